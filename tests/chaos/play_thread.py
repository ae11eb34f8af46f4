"""A history played by the threaded client, step by step, with snapshots, restarts and forks."""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from chaos.clock import VirtualEvent, virtual_time
from chaos.weather import GREATEST, ThreadWay
from chaos.world import FRESH, INTERVAL, SETTLED, Violation
from heksher import ServiceError, ThreadHeksherClient
from heksher.settings.registry import Registry
from heksher.settings.state import Source

if TYPE_CHECKING:
    from chaos.world import World

URL = "http://service.example"


class _Client(ThreadHeksherClient):
    """A client whose thread is the history: it refreshes when the clock says that it is due."""

    def __init__(self, world: World, http: httpx.Client, path: Path) -> None:
        super().__init__(
            URL,
            INTERVAL,
            ["environment", "user"],
            http_client_args={"trust_env": False},
            registry=world.registry,
            max_response_bytes=GREATEST,
            snapshot_path=path,
        )
        # Not as an argument: with connections of the caller's, no forked child goes on.
        self._endpoint.http_client_args["transport"] = http._transport
        self._upkeep.session.randomness.seed(world.random.random())
        self._driver._closed = VirtualEvent(world.clock)
        self.world = world

    def on_update_ok(self) -> None:
        self.world.told()

    def _start_thread(self) -> None:
        """Start none: `run_until` refreshes."""

    def run_until(self, end: float) -> None:
        """Do what the thread would do until the clock shows *end*."""
        clock = self.world.clock
        while (left := self._upkeep.seconds_left()) <= end - clock.now:
            clock.pass_time(max(0.0, left))
            self._refresh(thorough=False)
        clock.now = max(clock.now, end)

    def reload(self) -> None:
        """Do as the thread would if a call of `reload` were waiting."""
        error = self._refresh(thorough=True)
        if error is not None:
            raise error


def play(world: World) -> None:
    """Play a history to its end.

    Raises:
        Violation: A promise was broken.
    """
    with virtual_time(world.clock), tempfile.TemporaryDirectory() as folder:
        _Play(world, Path(folder) / "snapshot").run()
        if sorted(os.listdir(folder)) not in ([], ["snapshot"]):
            raise Violation("leak", f"files: {os.listdir(folder)}")


class _Play:
    def __init__(self, world: World, path: Path) -> None:
        self.world = world
        self.random = world.random
        self.path = path
        self.transport = ThreadWay(world.weather, world.clock.pass_time)

    def run(self) -> None:
        world = self.world
        for _ in range(self.random.randint(0, 4)):
            world.recreate("")
            world.change()
        with httpx.Client(transport=self.transport, trust_env=False) as http:
            client = _Client(world, http, self.path)
            client.set_as_main()
            for _ in range(self.random.randint(1, 4)):
                self._trouble(client)
                if self.random.random() < 0.2:
                    client = self._restart(client, http)
                self._recover(client)
            if self.random.random() < 0.1:
                self._fork(client)
            self._close(client)

    def _trouble(self, client: _Client) -> None:
        world = self.world
        world.turn_weather()
        began = world.clock.now
        for _ in range(self.random.randint(1, 5)):
            if self.random.random() < 0.6:
                world.change()
            client.run_until(world.clock.now + self.random.uniform(0.1, 3) * INTERVAL)
            world.check_reads(client.status)
            world.check_signs(client.status)
            self._interfere(client)
        if world.weather.is_total and world.clock.now - began > 4 * INTERVAL:
            world.check_outage(client.status)

    def _interfere(self, client: _Client) -> None:
        chance = self.random.random()
        if chance < 0.15:
            with suppress(ServiceError):
                client.reload()
        elif chance < 0.2 and FRESH not in self.world.settings:
            self.world.settings[FRESH] = FRESH.declare(self.world.registry)
        elif chance < 0.25:
            with suppress(ServiceError):
                client.ping()

    def _recover(self, client: _Client) -> None:
        world = self.world
        world.weather.clear()
        client.run_until(world.clock.now + SETTLED)
        if client.status.refused_declarations:
            # That is told in the status, and tried again at every tenth refresh, or now.
            client.reload()
        world.check_settled(client.status)
        world.check_signs(client.status)
        world.records.forget()

    def _restart(self, client: _Client, http: httpx.Client) -> _Client:
        """End the program and start it anew, in whatever weather it is."""
        world = self.world
        self._close(client)
        world.registry = Registry()
        world.settings = {spec: spec.declare(world.registry) for spec in world.settings}
        world.records.forget()
        client = _Client(world, http, self.path)
        try:
            client.set_as_main()
        except ServiceError as error:
            raise Violation(
                "wrong", f"there is a snapshot, and it was not used: {error}"
            ) from error
        world.check_reads(client.status)
        status = client.status
        if status.source is Source.SNAPSHOT:
            said = [one for one in world.records.messages if "those of a snapshot" in one]
            if len(said) != 1 or status.age is None or not status.consecutive_failures:
                raise Violation("freeze", f"nothing tells of the snapshot: {status} {said}")
        return client

    def _fork(self, client: _Client) -> None:
        """Check, in a child, that it starts again by itself, and brings all values."""
        world = self.world
        world.change()
        pid = os.fork()
        if pid:
            if os.waitpid(pid, 0)[1]:
                raise Violation("freeze", "a forked child is not updated")
            return
        try:
            world.records.forget()
            world.check_reads(client.status)
            said = [one for one in world.records.messages if "updated again from now on" in one]
            client.run_until(world.clock.now + 1)
            world.check_settled(client.status)
            os._exit(0 if len(said) == 1 else 1)
        finally:
            os._exit(2)

    def _close(self, client: _Client) -> None:
        client.close()
        if self.world.weather.streams:
            raise Violation("leak", f"open answers: {self.world.weather.streams}")
        requests = [one for one in threading.enumerate() if one.name == "heksher-request"]
        if requests or self.world.registry.main is not None:
            raise Violation("leak", f"{requests}, or the client is still the main one")
        self.world.dead.append(weakref.ref(client))
