"""Time that passes only when a history says so."""

from __future__ import annotations

import asyncio
import selectors
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """The seconds since a history began, with a start that is nobody's zero."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1.7e9 + self.now

    def pass_time(self, seconds: float) -> None:
        self.now += seconds


class _Selector(selectors.DefaultSelector):
    """Where a real selector would wait, others run, or the clock moves."""

    wait: Callable[[Callable[[], bool], float | None], object]

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        self.wait(lambda: bool(super(_Selector, self).select(0)), timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that lives in virtual time.

    Args:
        clock: Tells the time.
        wait: Called as `wait(is_ready, timeout)` where the loop has nothing to do; moves the clock.
            By default nothing else runs, so it jumps.
    """

    def __init__(
        self, clock: Clock, wait: Callable[[Callable[[], bool], float | None], object] | None = None
    ) -> None:
        selector = _Selector()
        selector.wait = wait or self._jump
        super().__init__(selector)
        self._virtual = clock

    def _jump(self, _is_ready: Callable[[], bool], timeout: float | None) -> None:
        if timeout is None:
            raise RuntimeError("everything waits for what never comes")
        self._virtual.pass_time(timeout)

    def time(self) -> float:
        return self._virtual.now

    def run_in_executor(  # type: ignore[override]  # of any function
        self, executor: Any, func: Any, *args: Any
    ) -> Any:
        """Run *func* here: what a thread of the real world does takes no virtual time."""
        done: Future[Any] = Future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  # whoever awaits it is told
            done.set_exception(error)
        return asyncio.wrap_future(done, loop=self)
