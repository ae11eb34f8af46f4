"""Driving flows with `httpx.AsyncClient`: the I/O of the asynchronous client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from heksher.clients.effects import Send, Wait, without_frames
from heksher.clients.transport import complete_response
from heksher.exceptions import ClientClosed, InvalidClient

if TYPE_CHECKING:
    from heksher.clients.effects import Answer, Effect, Flow, Request
    from heksher.clients.transport import Endpoint

T = TypeVar("T")

CLOSE_TIMEOUT = 5.0
"""Seconds that closing the connections may take."""

_TURNS = 3
"""How many turns of the event loop it takes until a task runs whose `asyncio.sleep` is over: its time
is looked at in the first, its future is set in the second, and it runs in the third."""


async def breathe() -> None:
    """Let all others run that are ready, or due."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


class AsyncDriver:
    """Drives flows, one or more at a time, over one httpx client.

    Args:
        endpoint: Where the service is.
        http_client: The caller's own client, which stays open; else one is made when needed.
    """

    def __init__(self, endpoint: Endpoint, http_client: httpx.AsyncClient | None) -> None:
        if isinstance(http_client, httpx.Client):
            raise InvalidClient("http_client is an httpx.Client: give an httpx.AsyncClient")
        self._endpoint = endpoint
        self._http_client = http_client
        self._owns_http_client = http_client is None
        self._is_closed = False
        self._left: list[httpx.AsyncClient] = []

    async def drive(self, flow: Flow[T]) -> T:
        """Do what *flow* asks for until it returns; return what it does.

        A cancellation only closes the flow.
        """
        answers: list[Answer] | None = None
        is_new = self._http_client is None
        # Made here, so that arguments it does not know are an error of their own.
        self._client()
        try:
            if is_new:
                # To be made, it loads the certificates that it trusts: some 20 ms.
                await breathe()
            while True:
                answers = await self._do(flow.send(answers))
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            flow.close()

    async def _do(self, effect: Effect) -> list[Answer] | None:
        if isinstance(effect, Send):
            return await self._send(effect.requests)
        if isinstance(effect, Wait):
            await asyncio.sleep(effect.seconds)
        else:
            await breathe()
        return None

    async def _send(self, requests: Any) -> list[Answer]:
        if len(requests) == 1:
            return [await self._exchange(requests[0])]
        answers: list[Any] = [None] * len(requests)
        async with asyncio.TaskGroup() as group:
            for place, request in enumerate(requests):
                group.create_task(self._exchange_into(answers, place, request))
        return answers

    async def _exchange_into(self, answers: list[Any], place: int, request: Request) -> None:
        # Not as the task's result: asyncio's debug mode logs results, and a transport's exception
        # may quote what was sent.
        answers[place] = await self._exchange(request)

    async def _exchange(self, request: Request) -> Answer:
        """Send one request; return its answer, or whatever went wrong."""
        try:
            async with asyncio.timeout(self._endpoint.deadline):
                return await self._stream(request)
        except TimeoutError as late:
            without_frames(late)
            return httpx.ReadTimeout("the answer took too long")
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            # Nobody cancelled this task: the transport let something of its own out.
            return httpx.ReadError("the transport gave up")
        except Exception as error:  # noqa: BLE001  # a transport's failure is a value to the flow
            return without_frames(error)

    async def _stream(self, request: Request) -> Answer:
        client = self._client()
        built = client.build_request(**self._endpoint.httpx_arguments(request))
        response = await client.send(built, stream=True)
        try:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > self._endpoint.max_response_bytes:
                    return self._endpoint.too_large(request)
        finally:
            try:
                await response.aclose()
            finally:
                response.stream = httpx.ByteStream(b"")  # httpx's own refers to the response
        return complete_response(response, bytes(body))

    def _client(self) -> httpx.AsyncClient:
        if self._is_closed:
            raise ClientClosed("the client is closed: make a new one")
        if self._http_client is None:
            self._http_client = httpx.AsyncClient(**self._endpoint.http_client_args)
        return self._http_client

    def forget(self) -> None:
        """Leave the connections to another process: this one is a copy of it, made by fork."""
        if self._owns_http_client and self._http_client is not None:
            # Held, or the collector would close here what is the other process's.
            self._left.append(self._http_client)
            self._http_client = None

    async def aclose(self) -> None:
        """Close the connections, unless they are the caller's."""
        self._is_closed = True
        if not self._owns_http_client or self._http_client is None:
            return
        client, self._http_client = self._http_client, None
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await client.aclose()
        except (TimeoutError, httpx.HTTPError, OSError, RuntimeError):
            # The connections are gone either way; RuntimeError: with the loop that had them.
            return
