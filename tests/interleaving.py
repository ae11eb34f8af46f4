"""Letting another thread run at each step of a function, one after the other."""

from __future__ import annotations

import sys
from itertools import count
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

PATIENCE = 0.1
"""Seconds to wait for the other thread: it may be waiting for a lock that the function holds."""


class Step:
    """One step of a function, at which another thread runs.

    Args:
        number: How many lines of Python the function runs before it.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.is_reached = False

    def run(self, function: Callable[[], object], other: Callable[[], object]) -> None:
        """Run *function*, and *other* in a thread of its own at this step, to its end if it can."""
        left = self.number
        thread = Thread(target=other, daemon=True)

        def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
            nonlocal left
            if event == "line":
                left -= 1
                if left == -1:
                    sys.settrace(None)
                    self.is_reached = True
                    thread.start()
                    thread.join(PATIENCE)
                    sys.settrace(trace)
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            function()
        finally:
            sys.settrace(before)
        if self.is_reached:
            thread.join()


def at_each_step(play: Callable[[Step], None]) -> None:
    """Call *play* for each step of the function that it runs, and once for none."""
    for number in count():
        step = Step(number)
        play(step)
        if not step.is_reached:
            return
