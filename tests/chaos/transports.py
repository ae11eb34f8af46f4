"""The ways of the clients to their service: transports in virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx

from chaos.weather import GREATEST, PIECE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from chaos.pace import Pace
    from chaos.weather import Weather

_LATENCY = 0.01


class Wire:
    """What both transports do: note what arrives, have it answered, look at what is taken.

    Args:
        weather: How the way is.
        pace: Is told of all requests.

    Attributes:
        began: Called when a refresh begins.
        passed: Called at each request but the first of a refresh, and when an answer has come.
        closed: Called when an answer has come.
        streams: How many bodies were opened and not closed.
        wrong: What was found to be wrong.
    """

    def __init__(self, weather: Weather, pace: Pace) -> None:
        self.weather = weather
        self.pace = pace
        self.began: Callable[[], object] = lambda: None
        self.passed: Callable[[], object] = lambda: None
        self.closed: Callable[[], object] = lambda: None
        self.streams = 0
        self.wrong: list[str] = []

    def arrive(self, request: httpx.Request) -> None:
        if self.pace.arrived(request, self.weather.service.edition):
            self.began()
        else:
            self.passed()

    def answer(self, request: httpx.Request) -> tuple[int, list[Any], dict[str, str]]:
        status, chunks, headers = self.weather.answer(self.weather.strikes(request), request)
        self.pace.answered(request, status, headers.get("retry-after"))
        return status, chunks, headers


class _Stream(httpx.AsyncByteStream, httpx.SyncByteStream):
    def __init__(
        self, wire: Wire, request: httpx.Request, chunks: list[Any], sleep: Callable[[float], Any]
    ) -> None:
        self._wire = wire
        self._chunks = chunks
        self._sleep = sleep
        self._patience = request.extensions.get("timeout", {}).get("read") or 1e9
        self._taken = 0
        wire.streams += 1

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            if isinstance(chunk, float):
                await self._sleep(min(chunk, self._patience))
            if self._is_given(chunk):
                yield chunk

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            if isinstance(chunk, float):
                self._sleep(min(chunk, self._patience))
            if self._is_given(chunk):
                yield chunk

    def _is_given(self, chunk: Any) -> bool:
        if isinstance(chunk, Exception):
            raise chunk
        if isinstance(chunk, float):
            if chunk > self._patience:
                raise httpx.ReadTimeout("the service says no more")
            return False
        self._taken += len(chunk)
        if self._taken - len(chunk) > GREATEST + PIECE:
            self._wire.wrong.append(f"{self._taken} bytes of a body were taken")
        return True

    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        self._wire.streams -= 1
        self._wire.passed()
        self._wire.closed()


class AsyncWay(httpx.AsyncBaseTransport):
    """The way of an asynchronous client to its service."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._wire.arrive(request)
        await asyncio.sleep(_LATENCY)
        status, chunks, headers = self._wire.answer(request)
        stream = _Stream(self._wire, request, chunks, asyncio.sleep)
        return httpx.Response(status, headers=headers, stream=stream)


class ThreadWay(httpx.BaseTransport):
    """The way of a threaded client to its service.

    Args:
        wire: Notes what passes.
        sleep: Waits, in virtual time.
    """

    def __init__(self, wire: Wire, sleep: Callable[[float], object]) -> None:
        self._wire = wire
        self._sleep = sleep

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._wire.arrive(request)
        self._sleep(_LATENCY)
        status, chunks, headers = self._wire.answer(request)
        stream = _Stream(self._wire, request, chunks, self._sleep)
        return httpx.Response(status, headers=headers, stream=stream)
