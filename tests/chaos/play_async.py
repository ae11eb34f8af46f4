"""A history played by the asynchronous client, on an event loop in virtual time."""

from __future__ import annotations

import asyncio
import gc
import os
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx

from chaos.clock import VirtualLoop, virtual_time
from chaos.weather import GREATEST, AsyncWay
from chaos.world import FRESH, INTERVAL, SETTLED, Violation
from heksher import AsyncHeksherClient, ServiceError

if TYPE_CHECKING:
    from chaos.world import World

URL = "http://service.example"


class _Client(AsyncHeksherClient):
    def __init__(self, world: World, http: httpx.AsyncClient) -> None:
        super().__init__(
            URL,
            INTERVAL,
            ["environment", "user"],
            http_client=http,
            registry=world.registry,
            max_response_bytes=GREATEST,
        )
        self._upkeep.session.randomness.seed(world.random.random())
        self.world = world
        self.raises = False

    def on_update_ok(self) -> None:
        self.world.told()
        if self.raises:
            raise ValueError("a hook of the program's")

    def on_update_error(self, exc: Exception) -> None:
        if self.raises:
            raise ValueError("a hook of the program's")


def play(world: World) -> None:
    """Play a history to its end.

    Raises:
        Violation: A promise was broken.
    """
    loop = VirtualLoop(world.clock)
    try:
        with virtual_time(world.clock):
            asyncio.set_event_loop(loop)
            loop.run_until_complete(_Play(world).run())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


class _Play:
    def __init__(self, world: World) -> None:
        self.world = world
        self.random = world.random

    async def run(self) -> None:
        world = self.world
        for _ in range(self.random.randint(0, 4)):
            world.recreate("")
            world.change()
        async with httpx.AsyncClient(transport=AsyncWay(world.weather), trust_env=False) as http:
            client = await self._started(http)
            client.on_change(self._listener)
            for _ in range(self.random.randint(1, 4)):
                await self._trouble(client)
                await self._recover(client)
            if self.random.random() < 0.05:
                self._fork(client)
            await client.aclose()
            await self._check_nothing_left(client)

    async def _started(self, http: httpx.AsyncClient) -> _Client:
        """Start a client; now and then, under a fault first."""
        world = self.world
        if self.random.random() < 0.3:
            world.turn_weather()
            client = _Client(world, http)
            try:
                await client.set_as_main()
            except ServiceError:
                world.check_reads(client.status)
                await self._check_nothing_left(client)
            else:
                return client
            finally:
                world.weather.clear()
        client = _Client(world, http)
        await client.set_as_main()
        return client

    async def _trouble(self, client: _Client) -> None:
        world = self.world
        world.turn_weather()
        client.raises = self.random.random() < 0.2
        began = world.clock.now
        for _ in range(self.random.randint(1, 5)):
            if self.random.random() < 0.6:
                world.change()
            await asyncio.sleep(self.random.uniform(0.1, 3) * INTERVAL)
            world.check_reads(client.status)
            world.check_signs(client.status)
            await self._interfere(client)
        if world.weather.is_total and world.clock.now - began > 4 * INTERVAL:
            world.check_outage(client.status)
        client.raises = False

    async def _interfere(self, client: _Client) -> None:
        chance = self.random.random()
        if chance < 0.15:
            with suppress(ServiceError):
                await client.reload()
        elif chance < 0.3:
            reloading = asyncio.ensure_future(client.reload())
            await asyncio.sleep(self.random.uniform(0, 0.05))
            reloading.cancel()
            with suppress(asyncio.CancelledError, ServiceError):
                await reloading
        elif chance < 0.35 and FRESH not in self.world.settings:
            self.world.settings[FRESH] = FRESH.declare(self.world.registry)

    async def _recover(self, client: _Client) -> None:
        world = self.world
        world.weather.clear()
        await asyncio.sleep(SETTLED)
        if client.status.refused_declarations:
            # That is told in the status, and tried again at every tenth refresh, or now.
            await client.reload()
        world.check_settled(client.status)
        world.check_signs(client.status)
        world.records.forget()

    def _listener(self, _: Any) -> None:
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
            self.world.check_reads(client.status)
            said = [one for one in self.world.records.messages if "not updated here" in one]
            status = client.status
            os._exit(0 if len(said) == 1 and not status.started and status.age is not None else 1)
        finally:
            os._exit(2)

    async def _check_nothing_left(self, client: _Client) -> None:
        for _ in range(20):
            # What httpx leaves to the loop: asynchronous generators that were not exhausted.
            await asyncio.sleep(0)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if tasks:
            raise Violation("leak", f"tasks: {tasks}")
        if self.world.weather.streams:
            raise Violation("leak", f"open answers: {self.world.weather.streams}")
        if self.world.registry.main is not None:
            raise Violation("leak", "the client is still the main one")
        dead = weakref.ref(client)
        del client
        self.world.dead.append(dead)


def check_collected(world: World) -> None:
    """Check that the clients of a history that ended are gone.

    Raises:
        Violation: One is not.
    """
    gc.collect()
    if any(one() is not None for one in world.dead):
        raise Violation("leak", "a closed client is not collected")
