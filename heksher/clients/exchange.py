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
from weakref import WeakSet

import httpx

from heksher.clients.response_body import BodyTooLarge, BodyUnreadable, ResponseBody
from heksher.clients.transport import complete_response
from heksher.exceptions import ClientClosed

if TYPE_CHECKING:
    from heksher.clients.effects import Answer, Request
    from heksher.clients.transport import Endpoint

_CONNECTED: Final = ("connect_tcp.complete", "start_tls.complete", "connect_unix_socket.complete")


class Sockets:
    """Sockets that are connected to the service, as long as anybody else holds them."""

    def __init__(self) -> None:
        self._sockets: WeakSet[socket.socket] = WeakSet()

    def note(self, event: str, info: dict[str, Any]) -> None:
        """Take in a socket that was just connected, as httpcore tells of it."""
        if event.endswith(_CONNECTED):
            connected = info["return_value"].get_extra_info("socket")
            if isinstance(connected, socket.socket):
                self._sockets.add(connected)

    def shut_down(self) -> None:
        """End whatever any thread reads from them or writes to them."""
        for connected in list(self._sockets):
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        """Close this process's copies only: nothing is said to the other end."""
        for connected in list(self._sockets):
            with suppress(OSError):
                os.close(connected.detach())
        self._sockets = WeakSet()


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
        try:
            self._answers.put(self._stream())
        except Exception as error:  # noqa: BLE001  # a transport's failure is a value to the flow
            self._answers.put(error)
        except BaseException as error:  # noqa: BLE001  # it must not leave anybody waiting
            self._answers.put(httpx.ReadError(f"the transport raised {type(error).__name__}"))

    def _stream(self) -> Answer:
        arguments = self._endpoint.httpx_arguments(self._request)
        built = self._client.build_request(**arguments, extensions={"trace": self._note})
        for _ in range(self._client.max_redirects + 1):
            response = self._client.send(built, stream=True, follow_redirects=False)
            try:
                following = None
                if self._client.follow_redirects:
                    following = self._endpoint.redirected(self._request, response)
                if following is None:
                    return self._read(response)
                built = following
            finally:
                response.close()
        return self._endpoint.too_many_redirects(self._request)

    def _read(self, response: httpx.Response) -> Answer:
        if response.is_stream_consumed:
            # By an event hook of the caller's httpx client.
            return complete_response(response, response.content)
        try:
            body = ResponseBody(response, self._endpoint.max_response_bytes)
            for chunk in response.iter_raw():
                body.add(chunk)
                self._check()
            return complete_response(response, body.content())
        except BodyTooLarge:
            return self._endpoint.too_large(self._request)
        except BodyUnreadable as reason:
            return self._endpoint.unreadable(self._request, reason)

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
