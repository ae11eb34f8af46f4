"""`threading`, `queue` and `concurrent.futures`, as far as the clients use them, for a scheduler."""

from __future__ import annotations

import queue
import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from chaos.scheduler import Scheduler, Task


class Primitives:
    """Makes what stands in for each primitive, in one history.

    Args:
        scheduler: Says which thread runs.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self._threads: dict[Task, _Thread] = {}

    def replacements(self) -> dict[Any, Any]:
        """Return what stands in for what."""
        return {
            threading.Lock: lambda: _Lock(self.scheduler),
            threading.RLock: lambda: _RLock(self.scheduler),
            threading.Condition: lambda lock=None: _Condition(self.scheduler, lock),
            threading.Event: lambda: _Event(self.scheduler),
            threading.Thread: lambda *given, **named: _Thread(self, *given, **named),
            threading.current_thread: self.current_thread,
            queue.SimpleQueue: lambda: _Queue(self.scheduler),
            queue.Queue: lambda maxsize=0: _Queue(self.scheduler),
            Future: lambda: _future(self.scheduler),
        }

    def current_thread(self) -> Any:
        return self._threads.get(self.scheduler.current, threading.main_thread())

    def started(self, thread: _Thread, task: Task) -> None:
        self._threads[task] = thread

    def ended(self) -> None:
        self._threads.pop(self.scheduler.current, None)


def _future(scheduler: Scheduler) -> Future[Any]:
    future: Future[Any] = Future()
    future._condition = _Condition(scheduler)  # type: ignore[assignment]  # as good as one
    return future


class _Lock:
    """What `threading.Lock` gives, and, of one that is taken again by its owner, `RLock`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._owner: Task | None = None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self._owner is not None:
            if not blocking:
                return False
            what = f"a lock that {self._owner.name} holds"
            bound = None if timeout < 0 else timeout
            if not self._scheduler.block(lambda: self._owner is None, bound, what):
                return False
        self._owner = self._scheduler.current
        return True

    def release(self) -> None:
        self._owner = None

    def locked(self) -> bool:
        return self._owner is not None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class _RLock(_Lock):
    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__(scheduler)
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self._owner is not self._scheduler.current and not super().acquire(blocking, timeout):
            return False
        self._count += 1
        return True

    def release(self) -> None:
        self._count -= 1
        if not self._count:
            super().release()

    def let_go(self) -> int:
        count, self._count = self._count, 0
        super().release()
        return count

    def take_back(self, count: int) -> None:
        self.acquire()
        self._count = count


class _Condition:
    def __init__(self, scheduler: Scheduler, lock: Any = None) -> None:
        self._scheduler = scheduler
        self._lock = _RLock(scheduler) if lock is None else lock
        self._waiting: deque[object] = deque()

    def acquire(self, *given: Any) -> bool:
        return bool(self._lock.acquire(*given))

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def wait(self, timeout: float | None = None) -> bool:
        ticket = object()
        self._waiting.append(ticket)
        held = self._lock.let_go() if isinstance(self._lock, _RLock) else self._lock.release()
        try:
            return self._scheduler.block(
                lambda: ticket not in self._waiting, timeout, "a condition"
            )
        finally:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            if isinstance(self._lock, _RLock):
                self._lock.take_back(held)
            else:
                self._lock.acquire()

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        clock = self._scheduler.clock
        due = None if timeout is None else clock.now + timeout
        while not (result := predicate()):
            left = None if due is None else due - clock.now
            if left is not None and left <= 0:
                break
            self.wait(left)
        return result

    def notify(self, n: int = 1) -> None:
        for _ in range(min(n, len(self._waiting))):
            self._waiting.popleft()

    def notify_all(self) -> None:
        self._waiting.clear()


class _Event:
    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True

    def clear(self) -> None:
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        if not self._is_set:
            self._scheduler.block(lambda: self._is_set, timeout, "an event")
        return self._is_set


class _Queue:
    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._items: deque[Any] = deque()

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        self._items.append(item)

    put_nowait = put

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        if not self._items and block:
            self._scheduler.block(lambda: bool(self._items), timeout, "a queue")
        if not self._items:
            raise queue.Empty
        return self._items.popleft()

    def get_nowait(self) -> Any:
        return self.get(block=False)

    def empty(self) -> bool:
        return not self._items

    def qsize(self) -> int:
        return len(self._items)


class _Thread:
    def __init__(
        self,
        primitives: Primitives,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        self._primitives = primitives
        self._run = (target or (lambda: None), tuple(args), dict(kwargs or {}))
        self._task: Task | None = None
        self.name = name or "a thread"
        self.daemon = bool(daemon)
        self.ident = id(self)

    def start(self) -> None:
        scheduler = self._primitives.scheduler
        self._task = scheduler.spawn(self.name, self._call, traced=True)
        self._primitives.started(self, self._task)

    def _call(self) -> None:
        target, args, kwargs = self._run
        # As a real thread does: what it ran is let go.
        del self._run
        try:
            target(*args, **kwargs)
        finally:
            self._primitives.ended()

    def is_alive(self) -> bool:
        return self._task is not None and not self._task.is_done

    def join(self, timeout: float | None = None) -> None:
        if self.is_alive():
            self._primitives.scheduler.block(
                lambda: not self.is_alive(), timeout, f"the end of {self.name}"
            )
