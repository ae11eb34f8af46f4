"""A history played by the threaded client, with threads of the program's, restarts and forks."""

from __future__ import annotations

import os
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from chaos import doors
from chaos.pace import INTERVAL
from chaos.program import Program
from chaos.transports import ThreadWay
from chaos.violation import Violation
from chaos.weather import REQUEST_TIMEOUT
from chaos.world import SETTLED
from heksher import ClientClosed, ServiceError, ThreadHeksherClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from chaos.scheduler import Scheduler
    from chaos.world import World

_START: float = 2 * 60.0 + 1  # start_timeout counts from the last progress
_CLOSE: float = 5.0 + 1


class _Client(ThreadHeksherClient):
    world: World

    def on_update_ok(self) -> None:
        self.world.oracle.worked()

    def on_update_error(self, exc: Exception) -> None:
        self.world.oracle.failed()


def play(world: World, scheduler: Scheduler, folder: Path) -> None:
    """Play a history to its end.

    Raises:
        Violation: A promise was broken.
    """
    _Play(world, scheduler, folder).run()


class _Play(Program):
    def __init__(self, world: World, scheduler: Scheduler, folder: Path) -> None:
        super().__init__(world, scheduler, folder / "snapshot")
        self.random = world.random
        self.way = ThreadWay(world.wire, scheduler.sleep)

    def run(self) -> None:
        world = self.world
        world.populate()
        client = self._started()
        for _ in range(self.random.randint(1, 4)):
            client = self._episode(client)
        if self.random.random() < 0.1:
            self._fork(client)
        self._end(client)
        self.check_folder()

    def _episode(self, client: _Client) -> _Client:
        self.let_others_act()
        self._trouble(client)
        if self.random.random() < 0.2:
            client = self._restart(client)
        self._recover(client)
        self._race(client)
        return client

    def _make(self) -> _Client:
        client = _Client(**self.arguments(), http_client_args={"trust_env": False})
        doors.own_way(client, self.way)
        client.world = self.world
        self.prepare(client)
        return client

    def _start(self, client: _Client) -> None:
        began = self.world.clock.now
        try:
            client.set_as_main()
        finally:
            if self.world.clock.now > began + _START:
                raise Violation("freeze", f"a start took {self.world.clock.now - began} s")

    def _started(self) -> _Client:
        """Start a client; now and then, under a fault first."""
        world = self.world
        if self.random.random() < 0.3:
            world.turn_weather()
            client = self._make()
            try:
                self._start(client)
            except ServiceError:
                world.oracle.check_reads(client.status)
                self._close(client)
                world.oracle.restarted()
            else:
                self._listen(client)
                return client
            finally:
                world.weather.clear()
        client = self._make()
        self._start(client)
        self._listen(client)
        return client

    def _listen(self, client: _Client) -> None:
        self.world.oracle.begin_telling()
        self.begin_receiving()
        client.on_change(self._listener)
        changes = client.changes()
        self.scheduler.spawn("a consumer", lambda: self._consume(changes))

    def _consume(self, changes: Iterator[frozenset[Any]]) -> None:
        for changed in changes:
            self.receive(changed)

    def _listener(self, changed: Any) -> None:
        self.world.oracle.told_of_change(changed)
        if self.random.random() < 0.1:
            raise ValueError("a listener of the program's")

    def _trouble(self, client: _Client) -> None:
        world = self.world
        world.turn_weather()
        began = world.clock.now
        for _ in range(self.random.randint(1, 5)):
            if self.random.random() < 0.6:
                world.change()
            self.scheduler.sleep(self.random.uniform(0.1, 3) * INTERVAL)
            world.oracle.check(client.status)
            self.check_file()
            self._interfere(client)
        if world.weather.is_total and world.clock.now - began > 4 * INTERVAL:
            world.oracle.check_outage(client.status)

    def _interfere(self, client: _Client) -> None:
        chance = self.random.random()
        if chance < 0.15:
            self._reload(client)
        elif chance < 0.2:
            self.world.declare_more()
        elif chance < 0.25:
            with suppress(ServiceError):
                client.ping()
        elif chance < 0.3:
            self.scheduler.spawn("a reloader", lambda: self._reload(client))

    def _reload(self, client: _Client) -> None:
        self.world.pace.reload()
        with suppress(ServiceError, ClientClosed):
            client.reload()
        # Calls during an update share the next one, which begins at once.
        self.world.pace.reload()

    def _recover(self, client: _Client) -> None:
        world = self.world
        world.weather.clear()
        self.races.left = 0
        self.scheduler.sleep(SETTLED)
        self._check(client)

    def _race(self, client: _Client) -> None:
        """Let one other thread act, again and again, and see that it counts soon."""
        for _ in range(self.rounds):
            self.races.left = 1
            self.scheduler.sleep(1.3 * INTERVAL)
            self.races.left = 0
            self.scheduler.sleep(2.3 * INTERVAL)
            self._check(client)

    def _check(self, client: _Client) -> None:
        world = self.world
        is_quiet = not client.status.refused_declarations
        if not is_quiet:
            # That is told in the status, and tried again at every tenth refresh, or now.
            self._reload(client)
        # The consumer takes what it is given.
        self.scheduler.sleep(0.001)
        world.oracle.check_settled(client.status, is_quiet=is_quiet)
        world.oracle.check(client.status)
        self.check_received()
        self.check_file()
        world.records.forget()

    def _restart(self, client: _Client) -> _Client:
        """End the program and start it anew, in whatever weather it is."""
        world = self.world
        self._close(client)
        world.declare_again()
        world.records.forget()
        world.oracle.restarted()
        client = self._make()
        try:
            self._start(client)
        except ServiceError as error:
            if self.keeps and not any(map(doors.says_other_tracking, world.records.messages)):
                raise Violation("wrong", f"the snapshot was not used: {error}") from error
            self._close(client)
            world.oracle.restarted()
            world.weather.clear()
            client = self._make()
            self._start(client)
        self._listen(client)
        status = client.status
        world.oracle.check_reads(status)
        if str(status.source) == "snapshot":
            said = [one for one in world.records.messages if doors.says_snapshot(one)]
            if len(said) != 1 or status.age is None or not status.consecutive_failures:
                raise Violation("freeze", f"nothing tells of the snapshot: {said}")
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
            self.scheduler.in_child()
            world.records.forget()
            world.pace.restarted()
            world.oracle.check_reads(client.status)
            said = [one for one in world.records.messages if doors.says_forked(one)]
            self.scheduler.sleep(INTERVAL)
            world.oracle.check_settled(client.status, is_quiet=False)
            os._exit(0 if len(said) == 1 else 1)
        finally:
            os._exit(2)

    def _end(self, client: _Client) -> None:
        """Close the client, at times while it is busy, from another thread."""
        if self.has_races and self.random.random() < 0.5:
            self.races.left = 1
            self._reload(client)
            self.races.left = 0
        if self.random.random() < 0.3:
            self.world.turn_weather()
            self.scheduler.spawn("a reloader", lambda: self._reload(client))
            self.scheduler.sleep(self.random.choice([0.0, 0.005, 0.01, 0.015, 1.0]))
        self._close(client)

    def _close(self, client: _Client) -> None:
        began = self.world.clock.now
        client.close()
        if self.world.clock.now > began + _CLOSE:
            raise Violation("freeze", f"closing took {self.world.clock.now - began} s")
        # What hangs ends by itself, in its time.
        self.scheduler.sleep(2 * REQUEST_TIMEOUT)
        if self.world.wire.streams or self.scheduler.others():
            left = f"{self.world.wire.streams} open answers, threads {self.scheduler.others()}"
            raise Violation("leak", f"{left} of a closed client")
        if doors.has_main(self.world.registry):
            raise Violation("leak", "the client is still the main one")
        self.world.dead.append(weakref.ref(client))
        self.client = None
