"""Driving flows with `httpx.Client`: the I/O of the threaded client.

No timeout bounds DNS resolution, or headers that arrive byte by byte. So each request runs in a
daemon thread of its own (see `exchange`), and the caller stops waiting for it when it times out or
the client is closed.
"""

from __future__ import annotations

from math import inf
from threading import Event, Lock
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeVar

import httpx

from heksher.clients.conversation.effects import Breathe, Send
from heksher.clients.conversation.responses import without_frames
from heksher.clients.transport.connections import Connections
from heksher.clients.transport.request_thread import RequestThread, Sockets
from heksher.exceptions import ClientClosed

if TYPE_CHECKING:
    from collections.abc import Callable

    from heksher.clients.conversation.effects import Answer, Effect, Flow, Request
    from heksher.clients.transport.connections import PooledClient
    from heksher.clients.transport.endpoint import Endpoint

T = TypeVar("T")

MAX_HANGING: Final = 8
"""The number of timed-out requests whose threads still hang at which no further ones are sent."""


class Overdue(Exception):  # noqa: N818  # says what happened; never leaves the package
    """A flow did not finish in time."""


class ThreadDriver:
    """Drives flows in the calling thread; any other thread may close it meanwhile.

    Args:
        endpoint: Where the service is.
        http_client: The caller's httpx client, which is never closed; `None` to make one when
            needed.
    """

    def __init__(self, endpoint: Endpoint, http_client: httpx.Client | None) -> None:
        self._endpoint = endpoint
        self._connections = Connections(endpoint, http_client)
        self._lock = Lock()
        self._closed = Event()
        self._threads: set[RequestThread] = set()

    @property
    def is_closed(self) -> bool:
        """Whether the driver is closed, so that results of flows must be discarded."""
        return self._closed.is_set()

    @property
    def uses_callers_connections(self) -> bool:
        """Whether the connections are the caller's, so that a forked child cannot have its own."""
        return self._connections.are_callers

    def drive(self, flow: Flow[T], *, due: Callable[[], float] = lambda: inf) -> T:
        """Perform the effects of *flow* until it returns; return its result.

        Args:
            flow: The flow.
            due: Returns when it has to finish, in seconds of `time.monotonic`; asked again and again.

        Raises:
            ClientClosed: The driver was closed.
            Overdue: The flow did not finish in time.
        """
        responses: list[Answer] | None = None
        self._check_open()
        # Taken here, so that unknown arguments are not taken for a failure of transport.
        pooled = self._connections.take()
        try:
            while True:
                responses = self._do(flow.send(responses), pooled, due)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            flow.close()
            self._connections.give_back(pooled)

    def _do(
        self, effect: Effect, pooled: PooledClient, due: Callable[[], float]
    ) -> list[Answer] | None:
        self._check(due)
        if isinstance(effect, Send):
            return [self._send(request, pooled, due) for request in effect.requests]
        if not isinstance(effect, Breathe):
            self._closed.wait(min(effect.seconds, _left(due())))
            self._check(due)
        return None

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise ClientClosed("client is closed: make a new one")

    def _check(self, due: Callable[[], float]) -> None:
        self._check_open()
        if monotonic() >= due():
            raise Overdue

    def _send(self, request: Request, pooled: PooledClient, due: Callable[[], float]) -> Answer:
        """Send one request; return the response, or the exception as a value."""
        bound = inf if self._endpoint.deadline is None else self._endpoint.deadline
        try:
            thread = self._begin(request, pooled)
            if thread is None:
                return httpx.PoolTimeout(f"{MAX_HANGING} earlier requests are still hanging")
            response = thread.response(min(bound, _left(due())))
        except ClientClosed:
            raise
        except Exception as error:  # noqa: BLE001  # such as: no thread can be started
            return without_frames(error)
        self._check(due)
        return response

    def _begin(self, request: Request, pooled: PooledClient) -> RequestThread | None:
        """Begin to send *request*, unless too many earlier ones hang."""
        with self._lock:
            self._threads = {one for one in self._threads if one.is_running}
            if len(self._threads) >= MAX_HANGING:
                return None
            # Of the caller's client, only sockets that this request connects may be shut down.
            sockets = Sockets() if pooled.sockets is None else pooled.sockets
            thread = RequestThread(pooled.client, self._endpoint, request, sockets)
            thread.start()
            self._threads.add(thread)
        if self._closed.is_set():
            thread.abandon()
        return thread

    def abort(self) -> None:
        """End all flows under way, in any thread, and refuse further ones."""
        self._closed.set()
        with self._lock:
            threads, self._threads = self._threads, set()
        for thread in threads:
            thread.abandon()
        self._connections.shut_down()

    def close(self, timeout: float) -> None:
        """Abort, wait for requests to end, and close the connections unless they are the caller's."""
        with self._lock:
            threads = list(self._threads)
        self.abort()
        due = monotonic() + timeout
        for thread in threads:
            thread.join(max(0.0, due - monotonic()))
        self._connections.close()

    def forget(self) -> None:
        """Leave the connections to the parent process; called in a forked child."""
        was_closed, self._closed, self._lock = self._closed.is_set(), Event(), Lock()
        if was_closed:
            self._closed.set()
        self._threads = set()
        self._connections.forget()


def _left(due: float) -> float:
    return max(0.0, due - monotonic())
