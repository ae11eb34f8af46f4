"""An event loop in a thread of its own, to run coroutines for synchronous code."""

from __future__ import annotations

import asyncio
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for other threads until it is closed."""

    def __init__(self) -> None:
        self._ready = Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None
        self._thread = Thread(target=self._run, name="heksher-local-service", daemon=True)
        self._thread.start()
        self._ready.wait()

    def _run(self) -> None:
        asyncio.run(self._wait())

    async def _wait(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await self._ended.wait()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run *coroutine* in the loop, and return its result."""
        assert self._loop is not None  # noqa: S101  # set before the constructor returns
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def start(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Start *coroutine* in the loop without waiting for it; closing cancels it."""

        async def begin() -> asyncio.Task[object]:
            return asyncio.create_task(coroutine)

        self._task = self.run(begin())

    def close(self) -> None:
        """Stop the loop, and wait for the thread."""
        if self._loop is not None and self._ended is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join()
