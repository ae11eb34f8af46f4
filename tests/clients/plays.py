"""Both clients in virtual time, told alike: start, let time pass, reload, close."""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol, Self
from unittest import mock

from chaos.clock import Clock, VirtualLoop, virtual_time

from heksher import AsyncHeksherClient, ThreadHeksherClient

if TYPE_CHECKING:
    from clients.conftest import Canned
    from heksher.settings.registry import Registry

URL = "http://service.example"
HOUR = 3600.0
BOUND = 20.0
STEP = 0.1


class Play(Protocol):
    """A started client, and the time that it lives in."""

    def pass_time(self, seconds: float) -> None: ...

    def reload(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def _arguments(canned: Canned, registry: Registry) -> dict[str, Any]:
    return {"http_client_args": {"transport": canned.transport()}, "registry": registry}


class AsyncPlay:
    """An asynchronous client, on an event loop in virtual time."""

    def __init__(self, canned: Canned, registry: Registry) -> None:
        clock = Clock()
        self._time = virtual_time(clock)
        self._loop = VirtualLoop(clock)
        self._client = AsyncHeksherClient(URL, HOUR, ["user"], **_arguments(canned, registry))

    def pass_time(self, seconds: float) -> None:
        self._loop.run_until_complete(asyncio.sleep(seconds))

    def reload(self) -> None:
        self._loop.run_until_complete(self._client.reload())

    def __enter__(self) -> Self:
        self._time.__enter__()
        self._loop.run_until_complete(self._client.set_as_main())
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run_until_complete(self._client.aclose())
        self._loop.close()
        self._time.__exit__(None, None, None)


class _Waiting(threading.Condition):
    """A condition whose waiters wait until they are told to look at the clock again."""

    def __init__(self) -> None:
        super().__init__()
        self.is_waited_for = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.is_waited_for.set()
        return super().wait()


class ThreadPlay:
    """A threaded client, whose thread waits for a virtual clock."""

    def __init__(self, canned: Canned, registry: Registry) -> None:
        self._clock = Clock()
        self._surroundings = ExitStack()
        self._waiting = _Waiting()
        with mock.patch("heksher.clients.thread_client.Condition", return_value=self._waiting):
            self._client = ThreadHeksherClient(URL, HOUR, ["user"], **_arguments(canned, registry))

    def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds / STEP)):
            self._step(STEP)
        self._step(seconds % STEP)

    def _step(self, seconds: float) -> None:
        assert self._waiting.is_waited_for.wait(BOUND)
        with self._waiting:
            self._clock.pass_time(seconds)
            self._waiting.is_waited_for.clear()
            self._waiting.notify_all()
        assert self._waiting.is_waited_for.wait(BOUND)

    def reload(self) -> None:
        self._client.reload()

    def __enter__(self) -> Self:
        self._surroundings.enter_context(virtual_time(self._clock))
        self._client.set_as_main()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._surroundings.close()
