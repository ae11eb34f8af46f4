"""One request in a thread of its own, so that whoever waits for its answer can stop waiting."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from contextvars import copy_context
from math import isinf
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

import httpx

from heksher.clients.effects import without_frames
from heksher.clients.transport import complete_response
from heksher.clients.weakly_held import WeaklyHeld
from heksher.exceptions import ClientClosed

if TYPE_CHECKING:
    from heksher.clients.effects import Answer, Request
    from heksher.clients.transport import Endpoint

_CONNECTED: Final = ("connect_tcp.complete", "start_tls.complete", "connect_unix_socket.complete")


class Sockets:
    """Sockets that are connected to the service, as long as anybody else holds them."""

    def __init__(self) -> None:
        self._sockets: WeaklyHeld[socket.socket] = WeaklyHeld()

    def note(self, event: str, info: dict[str, Any]) -> None:
        """Take in a socket that was just connected, as httpcore tells of it."""
        if event.endswith(_CONNECTED):
            connected = info["return_value"].get_extra_info("socket")
            if isinstance(connected, socket.socket):
                self._sockets.add(connected)

    def shut_down(self) -> None:
        """End whatever any thread reads from them or writes to them."""
        for connected in self._sockets.living():
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        """Close this process's copies only: nothing is said to the other end."""
        for connected in self._sockets.living():
            with suppress(OSError):
                os.close(connected.detach())
        self._sockets = WeaklyHeld()


class Exchange:
    """One request and its answer.

    Args:
        client: What sends it.
        endpoint: Where to, and how large the answer may be.
        request: What to send.
        sockets: Takes in the sockets that are connected for it.
    """

    def __init__(
        self, client: httpx.Client, endpoint: Endpoint, request: Request, sockets: Sockets
    ) -> None:
        self._client = client
        self._endpoint = endpoint
        self._request = request
        self._sockets = sockets
        self._answers: SimpleQueue[Answer] = SimpleQueue()
        self._is_abandoned = False
        self._thread = Thread(
            target=copy_context().run, args=[self._run], name="heksher-request", daemon=True
        )

    def start(self) -> None:
        """Send the request.

        Raises:
            RuntimeError: No thread can be started.
        """
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether its thread has not ended, be it waited for or not."""
        return self._thread.is_alive()

    def join(self, timeout: float) -> None:
        """Wait until its thread ends, but not longer than *timeout* seconds."""
        self._thread.join(timeout)

    def answer(self, timeout: float) -> Answer:
        """Wait for the answer, or for what went wrong; after *timeout* seconds, that it did.

        Raises:
            ClientClosed: It was abandoned.
        """
        try:
            answer = self._answers.get(timeout=None if isinf(timeout) else timeout)
        except Empty:
            self._is_abandoned = True
            # The thread is to end, too, and the connection must not be used for another request.
            # No other flow uses these sockets.
            self._sockets.shut_down()
            return httpx.ReadTimeout("the answer took too long")
        if isinstance(answer, ClientClosed):
            raise answer
        self._thread.join()
        return answer

    def abandon(self) -> None:
        """Have whoever waits for the answer told that the client is closed."""
        self._is_abandoned = True
        self._answers.put(ClientClosed("the client was closed"))
        self._sockets.shut_down()

    def _run(self) -> None:
        answer: Answer
        try:
            answer = self._stream()
        except Exception as error:  # noqa: BLE001  # a transport's failure is a value to the flow
            answer = without_frames(error)
        except BaseException as error:  # noqa: BLE001  # it must not leave anybody waiting
            answer = httpx.ReadError(f"the transport raised {type(error).__name__}")
        if not self._is_abandoned:
            # Else nobody would take it out, and its request refers to this exchange.
            self._answers.put(answer)

    def _stream(self) -> Answer:
        arguments = self._endpoint.httpx_arguments(self._request)
        built = self._client.build_request(**arguments, extensions={"trace": self._note})
        response = self._client.send(built, stream=True)
        try:
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > self._endpoint.max_response_bytes:
                    return self._endpoint.too_large(self._request)
                self._check()
        finally:
            try:
                response.close()
            finally:
                response.stream = httpx.ByteStream(b"")  # httpx's own refers to the response
        return complete_response(response, bytes(body))

    def _note(self, event: str, info: dict[str, Any]) -> None:
        self._sockets.note(event, info)
        if self._is_abandoned and event.endswith(_CONNECTED):
            # Raising here keeps httpcore from ever seeing the connection. (Elsewhere it would
            # disturb how httpcore ends a request.)
            info["return_value"].close()
            self._check()

    def _check(self) -> None:
        if self._is_abandoned:
            raise ClientClosed("nobody waits for the answer any more")
