"""Driving flows with `httpx.AsyncClient`: the I/O of the asynchronous client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from heksher.clients.conversation.effects import Send, Wait
from heksher.clients.conversation.responses import without_frames
from heksher.clients.transport.endpoint import complete_response
from heksher.clients.transport.response_body import BodyTooLarge, BodyUnreadable, ResponseBody
from heksher.exceptions import ClientClosed, InvalidClient

if TYPE_CHECKING:
    from heksher.clients.conversation.effects import Answer, Effect, Flow, Request
    from heksher.clients.transport.endpoint import Endpoint

T = TypeVar("T")

CLOSE_TIMEOUT = 5.0
"""Seconds that closing the connections may take."""

_TURNS = 3
"""Iterations of the event loop until a task runs whose `asyncio.sleep` has ended: the first finds that
its time is over, the second sets its future, the third runs it."""


async def breathe() -> None:
    """Let all other tasks run that are ready or due."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


class AsyncDriver:
    """Drives flows, one or more at a time, over one httpx client.

    Args:
        endpoint: Where the service is.
        http_client: The caller's httpx client, which is never closed; `None` to make one when
            needed.
    """

    def __init__(self, endpoint: Endpoint, http_client: httpx.AsyncClient | None) -> None:
        if isinstance(http_client, httpx.Client):
            raise InvalidClient("expected httpx.AsyncClient as http_client, got httpx.Client")
        self._endpoint = endpoint
        self._http_client = http_client
        self._owns_http_client = http_client is None
        self._is_closed = False
        self._left: list[httpx.AsyncClient] = []

    async def drive(self, flow: Flow[T]) -> T:
        """Perform the effects of *flow* until it returns; return its result.

        A cancellation only closes the flow.
        """
        responses: list[Answer] | None = None
        is_new = self._http_client is None
        # Made here, so that unknown arguments are not taken for a failure of transport.
        self._client()
        try:
            if is_new:
                # Making it loads the trusted certificates, which takes some 20 ms.
                await breathe()
            while True:
                responses = await self._do(flow.send(responses))
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
            return [await self._send_one(requests[0])]
        responses: list[Any] = [None] * len(requests)
        async with asyncio.TaskGroup() as group:
            for place, request in enumerate(requests):
                group.create_task(self._send_into(responses, place, request))
        return responses

    async def _send_into(self, responses: list[Any], place: int, request: Request) -> None:
        # Not as the task's result: asyncio's debug mode logs results, and the exception of a
        # transport may quote the request.
        responses[place] = await self._send_one(request)

    async def _send_one(self, request: Request) -> Answer:
        """Send one request; return the response, or the exception as a value."""
        try:
            async with asyncio.timeout(self._endpoint.deadline):
                return await self._stream(request)
        except TimeoutError as late:
            without_frames(late)
            return httpx.ReadTimeout("timed out waiting for the response")
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            # Nobody cancelled this task: the transport raised it for reasons of its own.
            return httpx.ReadError("request cancelled by the transport")
        except Exception as error:  # noqa: BLE001  # flows receive failures as values
            return without_frames(error)

    async def _stream(self, request: Request) -> Answer:
        client = self._client()
        built = client.build_request(**self._endpoint.httpx_arguments(request))
        for _ in range(client.max_redirects + 1):
            response = await client.send(built, stream=True, follow_redirects=False)
            try:
                following = None
                if client.follow_redirects:
                    following = self._endpoint.redirected(request, response)
                if following is None:
                    return await self._read(request, response)
                built = following
            finally:
                try:
                    await response.aclose()
                finally:
                    response.stream = httpx.ByteStream(b"")  # httpx's own refers to the response
        return self._endpoint.too_many_redirects(request)

    async def _read(self, request: Request, response: httpx.Response) -> Answer:
        if response.is_stream_consumed:
            # By an event hook of the caller's httpx client.
            return complete_response(response, response.content)
        try:
            body = ResponseBody(response, self._endpoint.max_response_bytes)
            async for chunk in response.aiter_raw():
                body.add(chunk)
            return complete_response(response, body.content())
        except BodyTooLarge:
            return self._endpoint.too_large(request)
        except BodyUnreadable as reason:
            return self._endpoint.unreadable(request, reason)

    def _client(self) -> httpx.AsyncClient:
        if self._is_closed:
            raise ClientClosed("client is closed: make a new one")
        if self._http_client is None:
            self._http_client = httpx.AsyncClient(**self._endpoint.http_client_args)
        return self._http_client

    def forget(self) -> None:
        """Leave the connections to the parent process; called in a forked child."""
        if self._owns_http_client and self._http_client is not None:
            # Kept, so that no finalizer closes the parent's connections here.
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
            # The connections are gone either way. RuntimeError: their event loop is closed.
            return
