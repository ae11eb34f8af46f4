"""Threads that subscribe, connect, update and close at any step of each other."""

from __future__ import annotations

import socket
from threading import Thread
from typing import TYPE_CHECKING, Any

from interleaving import at_each_step

from heksher import ThreadHeksherClient
from heksher.clients.changes import Changes
from heksher.clients.thread_changes import ThreadChanges
from heksher.clients.transport.request_thread import Sockets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interleaving import Step

    from heksher.settings.registry import Registry

BOUND = 5.0


def is_over(changes: Iterator[Any]) -> bool:
    """Return whether *changes* ends, rather than wait for ever."""
    thread = Thread(target=lambda: list(changes), daemon=True)
    thread.start()
    thread.join(BOUND)
    return not thread.is_alive()


def test_consumers_may_subscribe_at_any_step_of_an_update() -> None:
    def play(step: Step) -> None:
        changes = ThreadChanges()
        consumers = [changes.subscribe() for _ in range(3)]

        step.run(
            lambda: changes.put(frozenset({"n"})), lambda: consumers.append(changes.subscribe())
        )

        assert [next(one) for one in consumers[:3]] == [{"n"}] * 3

    at_each_step(play)


def test_consumers_may_go_at_any_step_of_an_update() -> None:
    def play(step: Step) -> None:
        changes = ThreadChanges()
        consumers = [changes.subscribe() for _ in range(3)]

        step.run(lambda: changes.put(frozenset({"n"})), lambda: consumers.pop())

        assert [next(one) for one in consumers] == [{"n"}] * len(consumers)

    at_each_step(play)


def test_client_may_be_closed_at_any_step_of_a_subscription(registry: Registry) -> None:
    def play(step: Step) -> None:
        client = ThreadHeksherClient("http://x", 60, ["user"], registry=registry)
        subscribed: list[Iterator[Any]] = []

        step.run(lambda: subscribed.append(client.changes()), client.close)

        assert not step.is_reached or is_over(subscribed[0])

    at_each_step(play)


def test_consumers_may_subscribe_at_any_step_of_closing(registry: Registry) -> None:
    def play(step: Step) -> None:
        client = ThreadHeksherClient("http://x", 60, ["user"], registry=registry)
        subscribed: list[Iterator[Any]] = []

        step.run(client.close, lambda: subscribed.append(client.changes()))

        assert all(is_over(one) for one in subscribed)

    at_each_step(play)


def test_consumers_of_an_asynchronous_client_may_go_in_any_thread() -> None:
    def play(step: Step) -> None:
        changes = Changes()
        consumers = [changes.subscribe() for _ in range(3)]

        step.run(lambda: changes.put(frozenset({"n"})), consumers.clear)

    at_each_step(play)


class Connected:
    """What httpcore hands out when a connection was made."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def get_extra_info(self, _name: str) -> socket.socket:
        return self.connection


def test_connections_may_be_made_at_any_step_of_shutting_down() -> None:
    def play(step: Step) -> None:
        pairs = [socket.socketpair() for _ in range(4)]
        made = [{"return_value": Connected(pair[0])} for pair in pairs]
        sockets = Sockets()
        for one in made[:3]:
            sockets.note("connect_tcp.complete", one)

        step.run(sockets.shut_down, lambda: sockets.note("connect_tcp.complete", made[3]))

        assert [pair[1].recv(1) for pair in pairs[:3]] == [b""] * 3
        for connection in [one for pair in pairs for one in pair]:
            connection.close()

    at_each_step(play)
