"""Threads that read while updates publish: nobody waits, sees half an update, or an older one last."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

import httpx
import pytest

from heksher import Setting, ThreadHeksherClient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heksher.settings.registry import Registry

UPDATES = 60
READERS = 4
BOUND = 30.0


class Counting:
    """A service where two settings hold the number of the query, which counts up."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("context_features"):
            return httpx.Response(200, json={"context_features": ["user"]})
        if request.url.path.endswith("settings"):
            return httpx.Response(200, json={"settings": []})
        if request.url.path.endswith("declare"):
            return httpx.Response(200, json={"outcome": "uptodate"})
        self.count += 1
        rule = {"value": self.count, "context_features": [["user", "x"]], "rule_id": 1}
        body = {"default_value": self.count, "rules": [rule]}
        return httpx.Response(200, json={"settings": {"a": body, "b": body}})


@pytest.fixture(autouse=True)
def frequent_switches() -> Iterator[None]:
    """Let the interpreter change threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def declare(registry: Registry, name: str) -> Setting[int]:
    return Setting[int](name, configurable_features=["user"], default_value=-1, registry=registry)


def test_readers_see_whole_updates_in_their_order(registry: Registry) -> None:
    a, b = declare(registry, "a"), declare(registry, "b")
    stopped = threading.Event()
    wrong: list[object] = []
    reads = [0] * READERS

    def read(reader: int) -> None:
        last = 0
        while not stopped.is_set():
            with registry.pinned():
                pair = a.get(user="x"), b.get(user=None), a.get(user="y")
            now = b.get(user="x")
            if len(set(pair)) != 1 or not last <= pair[0] <= now:
                wrong.append((pair, last, now))
            last = now
            reads[reader] += 1

    http = httpx.Client(transport=httpx.MockTransport(Counting()))
    readers = [threading.Thread(target=read, args=[number]) for number in range(READERS)]
    with ThreadHeksherClient(
        "http://x", 3600, ["user"], http_client=http, registry=registry
    ) as one:
        for reader in readers:
            reader.start()
        for _ in range(UPDATES):
            one.reload()
        stopped.set()
        for reader in readers:
            reader.join(BOUND)

    assert not wrong
    assert a.get(user="x") == UPDATES + 1
    assert min(reads) > 0


def test_settings_may_come_and_go_while_updates_publish(registry: Registry) -> None:
    kept = declare(registry, "a"), declare(registry, "b")
    wrong: list[BaseException] = []

    def churn(worker: int) -> None:
        for turn in range(100):
            try:
                assert declare(registry, f"s{worker}_{turn}").get(user="x") >= -1
            except BaseException as error:  # noqa: BLE001  # the test shows it
                wrong.append(error)
                return

    http = httpx.Client(transport=httpx.MockTransport(Counting()))
    workers = [threading.Thread(target=churn, args=[number]) for number in range(2)]
    with ThreadHeksherClient(
        "http://x", 3600, ["user"], http_client=http, registry=registry
    ) as one:
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            try:
                one.reload()
            except httpx.HTTPError:
                # The settings that come and go are not in this service's answers.
                continue
        for worker in workers:
            worker.join(BOUND)

    assert not wrong
    assert kept[0].get(user="x") == kept[1].get(user="x") > 1
