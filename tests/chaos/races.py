"""What other threads do to a client, at places in its code that a seed chooses.

A trace function looks on while the client runs. At a chosen line of a chosen function, such as the
third one that runs after an answer came, another thread gets the baton, and does something until it
is done, or has to wait. Now and then that thread is interrupted, too, at a line of its own.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from chaos import doors

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random
    from types import FrameType

    from chaos.scheduler import Scheduler

_LIKELY: Final = 0.9
_EARLIER: Final = 0.08
"""How likely others act after the last answer of a refresh, and after an earlier one."""

_AT_MOST: Final = 3
"""How often others act between two answers."""

_MOST_LINES: Final = 4
_WHERE: Final = [*[(30, 50)] * 5, *[(80, 115)] * 2, (1, 130), (1, 130)]
"""Which of the functions that run after an answer are interrupted: the 30th or so begins to publish, if nothing
is new; the 90th, if something is."""


class Races:
    """Lets other threads act while one runs.

    Args:
        scheduler: Has the threads.
        random: Decides.
        act: Does one thing that a program may do in any thread.

    Attributes:
        left: How often others may act from now on.
    """

    def __init__(self, scheduler: Scheduler, random: Random, act: Callable[[], object]) -> None:
        self._scheduler = scheduler
        self._random = random
        self._act = act
        self._seen: set[int] = set()
        self._foreign: set[int] = set()
        self._targets: set[int] = set()
        self._lines = 0
        self._acting = 0
        self._usual = self._answers = 0
        self.left = 0

    def began(self) -> None:
        """Note that a refresh begins: it may have as many answers as the last one had."""
        self._usual, self._answers = self._answers, 0

    def answered(self) -> None:
        """Choose where to act next: mostly after the last answer, when all is published."""
        self._answers += 1
        self._seen = set()
        likely = _LIKELY if self._answers >= self._usual else _EARLIER
        is_wanted = self.left > 0 and self._random.random() < likely
        often = self._random.randint(1, min(self.left, _AT_MOST)) if is_wanted else 0
        least, most = self._random.choice(_WHERE)
        self._targets = {self._random.randint(least, most) for _ in range(often)}
        # Looking on costs much: not where nothing is to happen.
        self._look(self.called if is_wanted else None)

    def ended(self) -> None:
        """Look on no more: the refresh is over."""
        self._targets = set()
        self._look(None)

    def _look(self, trace: Any) -> None:
        self._scheduler.trace = trace
        if self._scheduler.current.is_traced:
            sys.settrace(trace)

    def called(self, frame: FrameType, event: str, _: Any) -> Any:
        """Look on as a function is called; what a traced thread has as its trace function."""
        # By their places in memory, since to hash code takes longer than most calls; none goes away.
        code = id(frame.f_code)
        if code in self._seen or code in self._foreign or not self._targets:
            return None
        if not frame.f_code.co_filename.startswith(doors.PACKAGE):
            self._foreign.add(code)
            return None
        self._seen.add(code)
        if len(self._seen) not in self._targets:
            return None
        self._targets.discard(len(self._seen))
        self._lines = self._random.randint(1, _MOST_LINES)
        return self._stepped

    def _stepped(self, frame: FrameType, event: str, _: Any) -> Any:
        self._lines -= 1
        if self._lines > 0 and event == "line":
            return self._stepped
        if not self._targets:
            self._look(None)
        self._begin()
        return None

    def _begin(self) -> None:
        if self._acting or not self.left:
            return
        self._acting += 1
        self.left -= 1
        me = self._scheduler.current
        lines = self._random.choice([0, 0, self._random.randint(1, 12)])
        self._scheduler.spawn("another thread", lambda: self._run(lines, me), at_once=True)

    def _run(self, lines: int, interrupted: Any) -> None:
        left = lines

        def step(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal left
            if not frame.f_code.co_filename.startswith(doors.PACKAGE):
                return None
            left -= 1
            if left == 0 and not interrupted.is_done:
                self._scheduler.switch(interrupted)
            return step if left > 0 else None

        if lines:
            sys.settrace(step)
        try:
            self._act()
        finally:
            sys.settrace(None)
            self._acting -= 1
