"""What can go wrong between a program and its service, and the transports where it does."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from random import Random

    from chaos.model import Service

GREATEST = 50_000
"""The clients' `max_response_bytes` here."""

REQUEST_TIMEOUT = 35.0

FAILURES: dict[str, Callable[[], Exception]] = {
    "refused": lambda: httpx.ConnectError("[Errno 111] Connection refused"),
    "reset at connect": lambda: httpx.ConnectError("[Errno 104] Connection reset by peer"),
    "no such name": lambda: httpx.ConnectError("[Errno -2] Name or service not known"),
    "TLS": lambda: httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED]"),
    "reset": lambda: httpx.ReadError("[Errno 104] Connection reset by peer"),
    "no protocol": lambda: httpx.RemoteProtocolError("illegal status line"),
    "pool": lambda: httpx.PoolTimeout("no connection is free"),
    "a bug of the transport": lambda: RuntimeError("the transport is broken"),
}
BODIES: dict[str, tuple[bytes, dict[str, str]]] = {
    "HTML": (b"<html>Welcome</html>", {"content-type": "text/html"}),
    "empty": (b"", {}),
    "no JSON": (b'{"settings": ', {}),
    "wrong JSON": (b'{"settings": 1, "context_features": 2, "outcome": 3}', {}),
    "another service's JSON": (b'{"status": "ok"}', {}),
    "no UTF-8": (b'{"settings": "\xff"}', {}),
    "a wrong ETag": (b"[]", {"etag": '"wrong"'}),
}
SLOW = ["hang", "hang mid-body", "drip"]
BROKEN = ["reset mid-body", "too large", "answer lost", "truncated"]
LIES = ["lying ETag", "lying 304"]
STATUSES = [*range(300, 304), *range(305, 309), *range(400, 432), 451, *range(500, 512), 599]

KINDS = [*FAILURES, *BODIES, *SLOW, *BROKEN, *LIES, "status"]
SCOPES = ["", "", "", "/context_features", "/settings", "/declare", "/query", "/query", "/query"]
"""To which requests it happens: the end of their path; mostly to all."""


class Weather:
    """How the way to the service is now.

    Attributes:
        kind: What goes wrong; `None` for nothing.
        scope: To which requests.
        likelihood: How often it does.
        streams: How many bodies were opened and not closed.
    """

    def __init__(self, service: Service, random: Random) -> None:
        self.service = service
        self.random = random
        self.streams = 0
        self.clear()

    def clear(self) -> None:
        self.kind: str | None = None
        self.scope, self.likelihood = "", 1.0

    def turn(self, kind: str, scope: str, likelihood: float) -> None:
        self.kind, self.scope, self.likelihood = kind, scope, likelihood

    @property
    def is_total(self) -> bool:
        """Whether no update at all can work."""
        return self.kind is not None and self.kind not in LIES and self._is_always

    @property
    def _is_always(self) -> bool:
        return self.likelihood == 1.0 and self.scope in ("", "/context_features")

    @property
    def lies(self) -> bool:
        return self.kind in LIES

    def strikes(self, request: httpx.Request) -> str | None:
        """Return what goes wrong with a request, if anything."""
        if self.kind is None or not request.url.path.endswith(self.scope):
            return None
        return self.kind if self.random.random() < self.likelihood else None

    def served(self, request: httpx.Request) -> tuple[int, bytes, dict[str, str]]:
        """Return the service's own answer."""
        content = json.loads(request.content) if request.content else None
        status, body, headers = self.service.answer(
            request.method,
            request.url.path,
            request.url.query.decode(),
            content,
            request.headers.get("If-None-Match"),
        )
        raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        return status, raw, headers

    def answer(self, kind: str | None, request: httpx.Request) -> tuple[int, Any, dict[str, str]]:
        """Return status, chunks and headers of an answer; a chunk may be an exception, or a pause.

        Raises:
            Exception: No answer comes.
        """
        if kind in FAILURES:
            raise FAILURES[kind]()
        if kind in BODIES:
            body, headers = BODIES[kind]
            if request.method == "GET" and "etag" not in headers:
                # Whoever spoiled the body left the headers alone.
                headers = {**self.served(request)[2], **headers}
            return 200, [body], headers
        if kind == "status":
            headers = self.random.choice([{}, {"retry-after": "86400"}, {"location": "/x"}])
            body = self.random.choice([b"", b"Internal Server Error", b'{"detail": "no"}'])
            return self.random.choice(STATUSES), [body], headers
        return self._spoiled(kind, request)

    def _spoiled(self, kind: str | None, request: httpx.Request) -> tuple[int, Any, dict[str, str]]:
        status, body, headers = self.served(request)
        if kind == "hang":
            return status, [1e9], headers
        if kind == "hang mid-body":
            return status, [body[:-1], 1e9], headers
        if kind == "drip":
            return status, [b" ", 30.0] * 100, headers
        if kind == "reset mid-body":
            return 200, [body[:-1], httpx.ReadError("reset")], headers
        if kind == "too large":
            return 200, [b" " * GREATEST] * 3, headers
        if kind == "answer lost":
            raise httpx.ReadError("reset")
        if kind == "truncated":
            return 200, [body[: len(body) // 2]], headers
        if kind == "lying ETag":
            return status, [body], {**headers, "etag": '"lie"'} if status == 200 else headers
        if kind == "lying 304" and "If-None-Match" in request.headers:
            return 304, [b""], {"etag": request.headers["If-None-Match"]}
        return status, [body], headers


class _Stream(httpx.AsyncByteStream, httpx.SyncByteStream):
    def __init__(self, weather: Weather, chunks: list[Any], pause: Callable[[float], None]) -> None:
        self._weather = weather
        self._chunks = chunks
        self._pause = pause
        weather.streams += 1

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            if isinstance(chunk, float):
                await asyncio.sleep(chunk)
            elif isinstance(chunk, Exception):
                raise chunk
            else:
                yield chunk

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            if isinstance(chunk, float):
                self._pause(chunk)
            elif isinstance(chunk, Exception):
                raise chunk
            else:
                yield chunk

    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        self._weather.streams -= 1


class AsyncWay(httpx.AsyncBaseTransport):
    """The way of an asynchronous client to its service."""

    def __init__(self, weather: Weather) -> None:
        self._weather = weather

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.01)
        status, chunks, headers = self._weather.answer(self._weather.strikes(request), request)
        stream = _Stream(self._weather, chunks, lambda _: None)
        return httpx.Response(status, headers=headers, stream=stream)


class ThreadWay(httpx.BaseTransport):
    """The way of a threaded client to its service; what takes time moves the clock.

    Args:
        weather: How it is.
        pass_time: Moves the clock by a number of seconds.
    """

    def __init__(self, weather: Weather, pass_time: Callable[[float], None]) -> None:
        self._weather = weather
        self._pass_time = pass_time

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._pass_time(0.01)
        status, chunks, headers = self._weather.answer(self._weather.strikes(request), request)
        stream = _Stream(self._weather, chunks, self._pause)
        return httpx.Response(status, headers=headers, stream=stream)

    def _pause(self, seconds: float) -> None:
        self._pass_time(min(seconds, REQUEST_TIMEOUT))
        raise httpx.ReadTimeout("the service says no more")
