"""Time that passes only when a history says so."""

from __future__ import annotations

import asyncio
import selectors
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Iterator

_MODULES = ("flows", "upkeep", "last_good", "thread_client", "thread_driver")


class Clock:
    """The seconds since a history began, with a start that is nobody's zero."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def pass_time(self, seconds: float) -> None:
        self.now += seconds


class VirtualEvent(Event):
    """An event for which waiting moves the clock at once."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self._clock.pass_time(timeout)
        return self.is_set()


class _Selector(selectors.DefaultSelector):
    """Where a real selector would wait, the clock moves."""

    clock: Clock

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready and timeout:
            self.clock.pass_time(timeout)
        elif not ready and timeout is None:
            raise RuntimeError("everything waits for what never comes")
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that lives in virtual time."""

    def __init__(self, clock: Clock) -> None:
        selector = _Selector()
        selector.clock = clock
        super().__init__(selector)
        self._clock = clock

    def time(self) -> float:
        return self._clock.now


@contextmanager
def virtual_time(clock: Clock) -> Iterator[None]:
    """Have heksher's clients tell the time by *clock*."""
    patches = [
        mock.patch(f"heksher.clients.{name}.monotonic", clock.monotonic) for name in _MODULES
    ]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()
