"""Taking in the settings of one answer: most of them while it is read, the rest with pauses."""

from __future__ import annotations

from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Final

from heksher.clients.effects import Breathe

if TYPE_CHECKING:
    from collections.abc import Callable

    from heksher.clients.effects import Flow
    from heksher.wire import QueriedSetting

IN_ONE_GO: Final = 0.005
"""Seconds after which others may run; what one setting takes by itself cannot be interrupted."""


class Intake:
    """The settings of one answer.

    A setting that is compiled as soon as it has been read leaves its raw form behind at once; see
    `heksher.wire_parts`. While an answer is read nothing else runs, so that has a limit in time,
    not in rules: what a rule costs depends on its type, and on the program's own validators.

    Args:
        compile_one: Compiles a setting, given its canonical name.
        clock: Tells the time, in seconds.

    Attributes:
        names: The canonical names that came.
    """

    def __init__(
        self,
        compile_one: Callable[[str, QueriedSetting], None],
        *,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._compile_one = compile_one
        self._clock = clock
        self._until = clock() + IN_ONE_GO
        self._rest: deque[tuple[str, QueriedSetting]] = deque()
        self.names: set[str] = set()

    def take(self, name: str, queried: QueriedSetting) -> None:
        """Take one setting, as it is read."""
        self.names.add(name)
        if self._rest or self._clock() > self._until:
            self._rest.append((name, queried))
        else:
            self._compile_one(name, queried)

    def finish(self) -> Flow[None]:
        """Compile what there was no time for on the way."""
        while self._rest:
            if self._clock() > self._until:
                yield Breathe()
                self._until = self._clock() + IN_ONE_GO
            self._compile_some()

    def _compile_some(self) -> None:
        """Compile what there is time for, but one setting at least."""
        while self._rest:
            self._compile_one(*self._rest.popleft())
            if self._clock() > self._until:
                return
