"""The real service's pool of connections, in virtual time, with all that it does to those who start.

As measured (see `tests/exchanges/concurrent_*.json`): there are 15 connections. A request holds one; a
declaration that creates or upgrades holds it while it waits for a second. Who waits for 30 s gives up, with
a 500. So 15 creations at once stop the whole service until the first one gives up. Two creations of one
setting that do not see each other end in a 500, too. One processor does all the work, what was begun before
what is new. The clients need time, too, more or less of it: without that they would go in lockstep.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Final

import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from random import Random

    from chaos.model import Reply, Service

CONNECTIONS: Final = 15
GIVES_UP_AFTER: Final = 30.0
LATENCY: Final = 0.0005


@dataclass(frozen=True)
class Costs:
    """Seconds of the service's processor, as measured; `store` makes a creation as slow as one likes.

    Attributes:
        look: To find out what a declaration is about.
        confirm: To say that a declaration is up to date, besides.
        create: To create or upgrade a setting, besides.
        store: What the database takes for that; the processor is free meanwhile.
        listed: For each setting of a list.
        queried: For each setting of a query.
        other: For any other request.
    """

    look: float = 0.001
    confirm: float = 0.002
    create: float = 0.003
    store: float = 0.0
    listed: float = 0.00012
    queried: float = 0.0002
    other: float = 0.001


THINKS: Final = 0.004
"""Seconds that a client takes between an answer and its next request, on average."""


class GaveUp(Exception):  # noqa: N818  # says what happened
    """No connection was free in time."""


class Pool:
    """Connections, given to those who wait in the order in which they came."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        """Hold one of the connections.

        Raises:
            GaveUp: None was free for too long.
        """
        await self._take()
        try:
            yield
        finally:
            self._give_back()

    async def _take(self) -> None:
        if self._free:
            self._free -= 1
            return
        mine = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        try:
            async with asyncio.timeout(GIVES_UP_AFTER):
                await mine
        except TimeoutError:
            raise GaveUp from None
        finally:
            if not mine.done() or mine.cancelled():
                self._waiting = deque([one for one in self._waiting if one is not mine])

    def _give_back(self) -> None:
        while self._waiting:
            following = self._waiting.popleft()
            if not following.done():
                following.set_result(None)
                return
        self._free += 1


class _Processor:
    """Does one thing at a time: first what was begun, in order of arrival."""

    def __init__(self) -> None:
        self._is_busy = False
        self._waiting: list[tuple[bool, int, asyncio.Future[None]]] = []
        self._arrivals = 0

    async def work(self, seconds: float, *, is_new: bool = False) -> None:
        if self._is_busy:
            mine = asyncio.get_running_loop().create_future()
            self._arrivals += 1
            heappush(self._waiting, (is_new, self._arrivals, mine))
            await mine
        self._is_busy = True
        try:
            await asyncio.sleep(seconds)
        finally:
            self._is_busy = False
            while self._waiting:
                following = heappop(self._waiting)[2]
                if not following.done():
                    self._is_busy = True
                    following.set_result(None)
                    break


class PooledService:
    """A service behind its pool.

    Args:
        service: What it holds.
        costs: What it takes.

    Attributes:
        service: As given.
        posts: How many declarations it was sent.
        failures: How many requests it answered with a 500.
        starting: How many of its clients have yet to start.
        started: Set when all have, or gave up.
    """

    def __init__(self, service: Service, costs: Costs | None = None) -> None:
        self.service = service
        self.posts = 0
        self.failures = 0
        self.starting = 0
        self.started = asyncio.Event()
        self._costs = costs or Costs()
        self._pool = Pool(CONNECTIONS)
        self._processor = _Processor()

    async def answer(
        self, method: str, path: str, query: str, body: Any, etag: str | None
    ) -> Reply:
        """Answer a request, in its time."""
        if path.endswith("/health"):
            return self.service.answer(method, path, query, body, etag)
        try:
            async with self._pool.connection():
                if path.endswith("/declare"):
                    self.posts += 1
                    return await self._declare(body)
                await self._processor.work(self._cost(path, query), is_new=True)
                return self.service.answer(method, path, query, body, etag)
        except GaveUp:
            return self._failed()

    def note_start(self) -> None:
        """Note that one of the clients has started, or given up."""
        self.starting -= 1
        if not self.starting:
            self.started.set()

    def _failed(self) -> Reply:
        self.failures += 1
        return 500, "Internal Server Error", {"connection": "close"}

    def _cost(self, path: str, query: str) -> float:
        if path.endswith("/settings"):
            return self._costs.other + len(self.service.settings) * self._costs.listed
        if path.endswith("/query"):
            return self._costs.other + (1 + query.count(",")) * self._costs.queried
        return self._costs.other

    async def _declare(self, body: dict[str, Any]) -> Reply:
        await self._processor.work(self._costs.look, is_new=True)
        before = self.service.find(body["name"])
        version = before.version if before else None
        if version == body["version"]:
            await self._processor.work(self._costs.confirm)
            return self.service.declare(body)
        async with self._pool.connection():
            await self._processor.work(self._costs.create)
            await asyncio.sleep(self._costs.store)
            now = self.service.find(body["name"])
            if now is not None and (before is None or now.version != version):
                # Both had seen that it was not there, or older.
                return self._failed()
            return self.service.declare(body)


class PooledWay(httpx.AsyncBaseTransport):
    """The way of a client to a service behind its pool, and what the client itself takes.

    Args:
        service: The service.
        random: Says how long it takes each time.
    """

    def __init__(self, service: PooledService, random: Random) -> None:
        self._service = service
        self._random = random

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(LATENCY + self._random.expovariate(1 / THINKS))
        status, body, headers = await self._service.answer(
            request.method,
            request.url.path,
            request.url.query.decode(),
            json.loads(request.content) if request.content else None,
            request.headers.get("If-None-Match"),
        )
        await asyncio.sleep(LATENCY)
        if isinstance(body, str):
            return httpx.Response(status, text=body, headers=headers)
        return httpx.Response(status, json=body, headers=headers)
