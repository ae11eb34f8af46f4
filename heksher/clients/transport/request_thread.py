"""One request in a thread of its own, so that its caller can stop waiting for the response.

httpx bounds each step of a request, but neither the whole of it nor DNS resolution. A `RequestThread`
is one request under way: its caller may give up at any time, which shuts the request's sockets down so
that its thread ends as well.
"""

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

from heksher.clients.conversation.responses import without_frames
from heksher.clients.transport.endpoint import complete_response
from heksher.clients.transport.response_body import BodyTooLarge, BodyUnreadable, ResponseBody
from heksher.clients.weakly_held import WeaklyHeld
from heksher.exceptions import ClientClosed

if TYPE_CHECKING:
    from heksher.clients.conversation.effects import Answer, Request
    from heksher.clients.transport.endpoint import Endpoint

_CONNECTED: Final = ("connect_tcp.complete", "start_tls.complete", "connect_unix_socket.complete")


class Sockets:
    """The sockets connected to the service, for as long as httpx keeps them."""

    def __init__(self) -> None:
        self._sockets: WeaklyHeld[socket.socket] = WeaklyHeld()

    def note(self, event: str, info: dict[str, Any]) -> None:
        """Add a socket that was just connected; httpcore calls this as a trace function."""
        if event.endswith(_CONNECTED):
            connected = info["return_value"].get_extra_info("socket")
            if isinstance(connected, socket.socket):
                self._sockets.add(connected)

    def shut_down(self) -> None:
        """Shut them down, which ends reading and writing in any thread."""
        for connected in self._sockets.living():
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        """Close this process's copies without telling the other end; called in a forked child."""
        for connected in self._sockets.living():
            with suppress(OSError):
                os.close(connected.detach())
        self._sockets = WeaklyHeld()


class RequestThread:
    """One request and its response.

    Args:
        client: The httpx client that sends it.
        endpoint: Where the service is, and how large a body may be.
        request: The request.
        sockets: Collects the sockets that are connected for it.
    """

    def __init__(
        self, client: httpx.Client, endpoint: Endpoint, request: Request, sockets: Sockets
    ) -> None:
        self._client = client
        self._endpoint = endpoint
        self._request = request
        self._sockets = sockets
        self._responses: SimpleQueue[Answer] = SimpleQueue()
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
        """Whether the request's thread is still running, even if nobody waits for it."""
        return self._thread.is_alive()

    def join(self, timeout: float) -> None:
        """Wait at most *timeout* seconds for the request's thread to end."""
        self._thread.join(timeout)

    def response(self, timeout: float) -> Answer:
        """Wait for the response, or the exception, for at most *timeout* seconds.

        Raises:
            ClientClosed: The request was abandoned.
        """
        try:
            response = self._responses.get(timeout=None if isinf(timeout) else timeout)
        except Empty:
            self._is_abandoned = True
            self._drop_if_late()
            # The thread has to end as well, and the connection must not be reused. No other flow
            # uses these sockets.
            self._sockets.shut_down()
            return httpx.ReadTimeout("timed out waiting for the response")
        if isinstance(response, ClientClosed):
            raise response
        self._thread.join()
        return response

    def abandon(self) -> None:
        """Stop waiting: `response` raises `ClientClosed`, and the request is cut off."""
        self._is_abandoned = True
        self._responses.put(ClientClosed("client was closed"))
        self._sockets.shut_down()

    def _drop_if_late(self) -> None:
        """Drop a response that nobody waits for any more: its request refers to this thread."""
        if self._is_abandoned:
            with suppress(Empty):
                self._responses.get_nowait()

    def _run(self) -> None:
        response: Answer
        try:
            response = self._stream()
        except Exception as error:  # noqa: BLE001  # flows receive failures as values
            response = without_frames(error)
        except BaseException as error:  # noqa: BLE001  # the caller must not wait for ever
            response = httpx.ReadError(f"transport raised {type(error).__name__}")
        if not self._is_abandoned:
            self._responses.put(response)
            self._drop_if_late()

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
                try:
                    response.close()
                finally:
                    response.stream = httpx.ByteStream(b"")  # httpx's own refers to the response
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
            # disturb httpcore's clean-up of a request.)
            info["return_value"].close()
            self._check()

    def _check(self) -> None:
        if self._is_abandoned:
            raise ClientClosed("request was abandoned")
