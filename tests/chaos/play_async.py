"""A history played by the asynchronous client, on an event loop in virtual time."""

from __future__ import annotations

import asyncio
import os
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx

from chaos import doors
from chaos.clock import VirtualLoop
from chaos.pace import INTERVAL
from chaos.program import Program
from chaos.transports import AsyncWay
from chaos.violation import Violation
from chaos.weather import REQUEST_TIMEOUT
from chaos.world import SETTLED
from heksher import AsyncHeksherClient, ClientClosed, ServiceError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from chaos.scheduler import Scheduler
    from chaos.world import World

_START: float = 2 * 60.0 + 6  # start_timeout counts from the last progress
_CLOSE: float = 10.0 + 1


class _Client(AsyncHeksherClient):
    world: World
    raises = False

    def on_update_ok(self) -> None:
        self.world.oracle.worked()
        if self.raises:
            raise ValueError("a hook of the program's")

    def on_update_error(self, exc: Exception) -> None:
        self.world.oracle.failed()
        if self.raises:
            raise ValueError("a hook of the program's")


def play(world: World, scheduler: Scheduler, folder: Path) -> None:
    """Play a history to its end.

    Raises:
        Violation: A promise was broken.
    """
    loop = VirtualLoop(
        world.clock, lambda ready, timeout: scheduler.block(ready, timeout, "the event loop")
    )
    playing = _Play(world, scheduler, folder)
    scheduler.main.is_traced = True
    try:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(playing.run())
    finally:
        for task in asyncio.all_tasks(loop):
            # Of a history that ended where a promise was broken.
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # nothing says so
        asyncio.set_event_loop(None)
        loop.close()


class _Play(Program):
    def __init__(self, world: World, scheduler: Scheduler, folder: Path) -> None:
        super().__init__(world, scheduler, folder / "snapshot")
        self.random = world.random
        self.consumer: asyncio.Task[None] | None = None

    async def run(self) -> None:
        world = self.world
        world.populate()
        transport = AsyncWay(world.wire)
        async with httpx.AsyncClient(
            transport=transport, trust_env=False, timeout=REQUEST_TIMEOUT
        ) as http:
            client = await self._started(http)
            self._listen(client)
            for _ in range(self.random.randint(1, 4)):
                self.let_others_act()
                await self._trouble(client)
                await self._recover(client)
                await self._race(client)
            if self.random.random() < 0.05:
                self._fork(client)
            await self._end(client)
        self.check_folder()

    def _make(self, http: httpx.AsyncClient) -> _Client:
        client = _Client(**self.arguments(), http_client=http)
        client.world = self.world
        self.prepare(client)
        return client

    async def _start(self, client: _Client) -> None:
        began = self.world.clock.now
        try:
            await client.set_as_main()
        finally:
            if self.world.clock.now > began + _START:
                raise Violation("freeze", f"a start took {self.world.clock.now - began} s")

    async def _started(self, http: httpx.AsyncClient) -> _Client:
        """Start a client; now and then, under a fault first."""
        world = self.world
        if self.random.random() < 0.3:
            world.turn_weather()
            client = self._make(http)
            try:
                await self._start(client)
            except ServiceError:
                world.oracle.check_reads(client.status)
                await self._check_nothing_left(client)
                world.oracle.restarted()
            else:
                return client
            finally:
                world.weather.clear()
        client = self._make(http)
        await self._start(client)
        return client

    def _listen(self, client: _Client) -> None:
        self.world.oracle.begin_telling()
        self.begin_receiving()
        client.on_change(self._listener)
        self.consumer = asyncio.ensure_future(self._consume(client.changes()))

    async def _consume(self, changes: AsyncIterator[frozenset[Any]]) -> None:
        async for changed in changes:
            self.receive(changed)

    async def _trouble(self, client: _Client) -> None:
        world = self.world
        world.turn_weather()
        client.raises = self.random.random() < 0.2
        began = world.clock.now
        for _ in range(self.random.randint(1, 5)):
            if self.random.random() < 0.6:
                world.change()
            await asyncio.sleep(self.random.uniform(0.1, 3) * INTERVAL)
            world.oracle.check(client.status)
            self.check_file()
            await self._interfere(client)
        if world.weather.is_total and world.clock.now - began > 4 * INTERVAL:
            world.oracle.check_outage(client.status)
        client.raises = False

    async def _interfere(self, client: _Client) -> None:
        chance = self.random.random()
        if chance < 0.15:
            await self._reload(client)
        elif chance < 0.3:
            self.world.pace.reload()
            reloading = asyncio.ensure_future(client.reload())
            await asyncio.sleep(self.random.uniform(0, 0.05))
            reloading.cancel()
            with suppress(asyncio.CancelledError, ServiceError):
                await reloading
        elif chance < 0.35:
            self.world.declare_more()

    async def _reload(self, client: _Client) -> None:
        self.world.pace.reload()
        with suppress(ServiceError, ClientClosed):
            await client.reload()

    async def _recover(self, client: _Client) -> None:
        world = self.world
        world.weather.clear()
        self.races.left = 0
        await asyncio.sleep(SETTLED)
        await self._check(client)

    async def _race(self, client: _Client) -> None:
        """Let one other thread act, again and again, and see that it counts soon."""
        for _ in range(self.rounds):
            self.races.left = 1
            await asyncio.sleep(1.3 * INTERVAL)
            self.races.left = 0
            await asyncio.sleep(2.3 * INTERVAL)
            await self._check(client)

    async def _check(self, client: _Client) -> None:
        world = self.world
        is_quiet = not client.status.refused_declarations
        if not is_quiet:
            # That is told in the status, and tried again at every tenth refresh, or now.
            await self._reload(client)
        world.oracle.check_settled(client.status, is_quiet=is_quiet)
        world.oracle.check(client.status)
        self.check_received()
        self.check_file()
        world.records.forget()

    def _listener(self, changed: Any) -> None:
        self.world.oracle.told_of_change(changed)
        if self.random.random() < 0.1:
            raise ValueError("a listener of the program's")

    def _fork(self, client: _Client) -> None:
        """Check, in a child, that it says that it is not updated."""
        pid = os.fork()
        if pid:
            if os.waitpid(pid, 0)[1]:
                raise Violation("freeze", "a forked child does not say that it is not updated")
            return
        try:
            self.world.records.forget()
            self.world.oracle.check_reads(client.status)
            said = [one for one in self.world.records.messages if doors.says_forked(one)]
            status = client.status
            os._exit(0 if len(said) == 1 and not status.started and status.age is not None else 1)
        finally:
            os._exit(2)

    async def _end(self, client: _Client) -> None:
        """Close the client, at times while it is busy."""
        if self.random.random() < 0.3:
            self.world.turn_weather()
            reloading = asyncio.ensure_future(self._reload(client))
            await asyncio.sleep(self.random.choice([0.0, 0.005, 0.01, 0.015, 1.0]))
        else:
            reloading = asyncio.ensure_future(asyncio.sleep(0))
        began = self.world.clock.now
        await client.aclose()
        if self.world.clock.now > began + _CLOSE:
            raise Violation("freeze", f"closing took {self.world.clock.now - began} s")
        await asyncio.wait([reloading, *([self.consumer] if self.consumer else [])], timeout=1)
        self.consumer = None
        await self._check_nothing_left(client)

    async def _check_nothing_left(self, client: _Client) -> None:
        for _ in range(20):
            # What httpx leaves to the loop: asynchronous generators that were not exhausted.
            await asyncio.sleep(0)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if tasks or self.world.wire.streams:
            raise Violation("leak", f"tasks {tasks}, open answers {self.world.wire.streams}")
        if doors.has_main(self.world.registry):
            raise Violation("leak", "the client is still the main one")
        self.world.dead.append(weakref.ref(client))
        self.client = None
