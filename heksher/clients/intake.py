"""Taking in the settings of one answer: most of them while it is read, the rest with pauses."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from heksher.clients.effects import Breathe

if TYPE_CHECKING:
    from collections.abc import Callable

    from heksher.clients.effects import Flow
    from heksher.wire import QueriedSetting

COST_OF_A_SETTING: Final = 10
"""What compiling a setting costs beside its rules, in rules."""

TAKEN_WHILE_READING: Final = 2_000
"""How much of an answer is compiled while it is read, which nothing can interrupt: some 5 ms."""

TAKEN_IN_ONE_GO: Final = 1_000
"""How much of the rest is compiled before others may run."""


class Intake:
    """The settings of one answer.

    A setting that is compiled as soon as it has been read leaves its raw form behind at once; see
    `heksher.wire_parts`.

    Args:
        compile_one: Compiles a setting, given its canonical name.

    Attributes:
        names: The canonical names that came.
    """

    def __init__(self, compile_one: Callable[[str, QueriedSetting], None]) -> None:
        self._compile_one = compile_one
        self._cost = 0
        self._rest: deque[tuple[str, QueriedSetting]] = deque()
        self.names: set[str] = set()

    def take(self, name: str, queried: QueriedSetting) -> None:
        """Take one setting, as it is read."""
        self.names.add(name)
        self._cost += _cost(queried)
        if self._cost > TAKEN_WHILE_READING and len(self.names) > 1:
            self._rest.append((name, queried))
        else:
            self._compile_one(name, queried)

    def finish(self) -> Flow[None]:
        """Compile what was too much to be compiled on the way."""
        cost = TAKEN_IN_ONE_GO
        while self._rest:
            name, queried = self._rest.popleft()
            cost += _cost(queried)
            if cost > TAKEN_IN_ONE_GO:
                cost = _cost(queried)
                yield Breathe()
            self._compile_one(name, queried)


def _cost(queried: QueriedSetting) -> int:
    return len(queried["rules"]) + COST_OF_A_SETTING
