"""Driving flows with `httpx.Client`: the I/O of the threaded client.

Nothing bounds a thread that resolves a name, or reads headers that come byte by byte. So each
request runs in a daemon thread of its own, and whoever waits for it stops when its time is up, or
when the client is closed.
"""

from __future__ import annotations

from math import inf
from threading import Event, Lock
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeVar

import httpx

from heksher.clients.effects import Breathe, Send, without_frames
from heksher.clients.exchange import Exchange, Sockets
from heksher.clients.lines import Lines
from heksher.exceptions import ClientClosed

if TYPE_CHECKING:
    from heksher.clients.effects import Answer, Effect, Flow, Request
    from heksher.clients.lines import Line
    from heksher.clients.transport import Endpoint

T = TypeVar("T")

MAX_HANGING: Final = 8
"""How many requests may hang beyond their time before no further ones are begun."""


class Overdue(Exception):  # noqa: N818  # says what happened; never leaves the package
    """A flow was not done at the time that it was due."""


class ThreadDriver:
    """Drives flows in the calling thread; any other thread may close it meanwhile.

    Args:
        endpoint: Where the service is.
        http_client: The caller's own client, which stays open; else one is made when needed.
    """

    def __init__(self, endpoint: Endpoint, http_client: httpx.Client | None) -> None:
        self._endpoint = endpoint
        self._lines = Lines(endpoint, http_client)
        self._lock = Lock()
        self._closed = Event()
        self._exchanges: set[Exchange] = set()

    @property
    def is_closed(self) -> bool:
        """Whether it was closed, so that nothing it brought may be used any more."""
        return self._closed.is_set()

    @property
    def uses_callers_connections(self) -> bool:
        """Whether the connections are the caller's, so that a forked child cannot have its own."""
        return self._lines.are_callers

    def drive(self, flow: Flow[T], *, due: float = inf) -> T:
        """Do what *flow* asks for until it returns; return what it does.

        Args:
            flow: What to drive.
            due: When it has to be done, in seconds of `time.monotonic`.

        Raises:
            ClientClosed: The driver was closed.
            Overdue: It was not done in time.
        """
        answers: list[Answer] | None = None
        self._check_open()
        # Made here, so that arguments it does not know are an error of their own.
        line = self._lines.take()
        try:
            while True:
                answers = self._do(flow.send(answers), line, due)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            flow.close()
            self._lines.give_back(line)

    def _do(self, effect: Effect, line: Line, due: float) -> list[Answer] | None:
        self._check(due)
        if isinstance(effect, Send):
            return [self._exchange(request, line, due) for request in effect.requests]
        if not isinstance(effect, Breathe):
            self._closed.wait(min(effect.seconds, _left(due)))
            self._check(due)
        return None

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise ClientClosed("the client is closed: make a new one")

    def _check(self, due: float) -> None:
        self._check_open()
        if monotonic() >= due:
            raise Overdue

    def _exchange(self, request: Request, line: Line, due: float) -> Answer:
        """Send one request; return its answer, or whatever went wrong."""
        bound = inf if self._endpoint.deadline is None else self._endpoint.deadline
        try:
            exchange = self._begin(request, line)
            if exchange is None:
                return httpx.PoolTimeout(f"{MAX_HANGING} earlier requests still hang")
            answer = exchange.answer(min(bound, _left(due)))
        except ClientClosed:
            raise
        except Exception as error:  # noqa: BLE001  # such as: no thread can be started
            return without_frames(error)
        self._check(due)
        return answer

    def _begin(self, request: Request, line: Line) -> Exchange | None:
        """Start to send *request*, unless too many earlier ones hang."""
        with self._lock:
            self._exchanges = {one for one in self._exchanges if one.is_running}
            if len(self._exchanges) >= MAX_HANGING:
                return None
            # The sockets of the caller's client are known for as long as they are used here.
            sockets = Sockets() if line.sockets is None else line.sockets
            exchange = Exchange(line.client, self._endpoint, request, sockets)
            exchange.start()
            self._exchanges.add(exchange)
        if self._closed.is_set():
            exchange.abandon()
        return exchange

    def abort(self) -> None:
        """End what is being driven, in whatever thread, and drive nothing more."""
        self._closed.set()
        with self._lock:
            exchanges, self._exchanges = self._exchanges, set()
        for exchange in exchanges:
            exchange.abandon()
        self._lines.shut_down()

    def close(self, timeout: float) -> None:
        """Abort, wait for requests that end now, close the connections unless the caller's."""
        with self._lock:
            exchanges = list(self._exchanges)
        self.abort()
        due = monotonic() + timeout
        for exchange in exchanges:
            exchange.join(max(0.0, due - monotonic()))
        self._lines.close()

    def forget(self) -> None:
        """Leave the connections to another process: this one is a copy of it, made by fork."""
        was_closed, self._closed, self._lock = self._closed.is_set(), Event(), Lock()
        if was_closed:
            self._closed.set()
        self._exchanges = set()
        self._lines.forget()


def _left(due: float) -> float:
    return max(0.0, due - monotonic())
