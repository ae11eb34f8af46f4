"""Driving flows with `httpx.Client`: the I/O of the threaded client."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from threading import Event, Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakSet

import httpx

from heksher.clients.effects import Breathe, Send
from heksher.clients.transport import complete_response
from heksher.exceptions import ClientClosed

if TYPE_CHECKING:
    from heksher.clients.effects import Answer, Effect, Flow, Request
    from heksher.clients.transport import Endpoint

T = TypeVar("T")

_CONNECTED: Final = ("connect_tcp.complete", "start_tls.complete", "connect_unix_socket.complete")


class ThreadDriver:
    """Drives flows in the calling thread; any other thread may abort them.

    Args:
        endpoint: Where the service is.
        http_client: The caller's own client, which stays open; else one is made when needed.
    """

    def __init__(self, endpoint: Endpoint, http_client: httpx.Client | None) -> None:
        self._endpoint = endpoint
        self._http_client = http_client
        self._owns_http_client = http_client is None
        self._lock = Lock()
        self._aborted = Event()
        self._sockets: WeakSet[socket.socket] = WeakSet()

    def drive(self, flow: Flow[T]) -> T:
        """Do what *flow* asks for until it returns; return what it does.

        Raises:
            ClientClosed: It was aborted.
        """
        answers: list[Answer] | None = None
        try:
            while True:
                answers = self._do(flow.send(answers))
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            flow.close()

    def _do(self, effect: Effect) -> list[Answer] | None:
        self._check_not_aborted()
        if isinstance(effect, Send):
            return [self._exchange(request) for request in effect.requests]
        if not isinstance(effect, Breathe):
            self._aborted.wait(effect.seconds)
        return None

    def _check_not_aborted(self) -> None:
        if self._aborted.is_set():
            raise ClientClosed("the client was closed")

    def _exchange(self, request: Request) -> Answer:
        """Send one request; return its answer, or whatever went wrong."""
        try:
            self._check_not_aborted()
            return self._stream(request)
        except Exception as error:  # noqa: BLE001  # a transport's failure is a value to the flow
            return error

    def _stream(self, request: Request) -> Answer:
        client = self._client()
        arguments = self._endpoint.httpx_arguments(request)
        built = client.build_request(**arguments, extensions={"trace": self._note_socket})
        due = None if self._endpoint.deadline is None else monotonic() + self._endpoint.deadline
        response = client.send(built, stream=True)
        try:
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > self._endpoint.max_response_bytes:
                    return self._endpoint.too_large(request)
                if due is not None and monotonic() > due:
                    return httpx.ReadTimeout("the answer took too long")
        finally:
            response.close()
        return complete_response(response, bytes(body))

    def _note_socket(self, event: str, info: dict[str, Any]) -> None:
        """Keep the sockets of own connections, as httpcore tells of them, to shut them down."""
        if event.endswith(_CONNECTED):
            connected = info["return_value"].get_extra_info("socket")
            if isinstance(connected, socket.socket):
                self._sockets.add(connected)
            self._check_not_aborted()

    def _client(self) -> httpx.Client:
        with self._lock:
            if self._http_client is None:
                self._http_client = httpx.Client(**self._endpoint.http_client_args)
            return self._http_client

    def abort(self) -> None:
        """End what is being driven, in whatever thread: at once, unless it is just connecting."""
        self._aborted.set()
        for connected in list(self._sockets):
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def resume(self) -> None:
        """Let flows be driven again after `abort`."""
        self._aborted.clear()

    def close(self) -> None:
        """Close the connections, unless they are the caller's."""
        if not self._owns_http_client:
            return
        with self._lock:
            client, self._http_client = self._http_client, None
        if client is not None:
            client.close()

    def forget(self) -> None:
        """Leave the connections to another process: this one is a copy of it, made by fork."""
        self._lock = Lock()
        for connected in list(self._sockets):
            # Only this process's copy: nothing is said to the other end.
            with suppress(OSError):
                os.close(connected.detach())
        self._sockets = WeakSet()
        if self._owns_http_client:
            self._http_client = None
