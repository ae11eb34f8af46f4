"""Threads that read while updates publish: nobody waits, sees half an update, or an older one last."""

from __future__ import annotations

import sys
import threading
from itertools import count
from typing import TYPE_CHECKING, Self

import httpx
import pytest

from heksher import Setting, ThreadHeksherClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from heksher.settings.registry import Registry

UPDATES = 60
READERS = 4
BOUND = 30.0


class Counting:
    """A service where all settings hold the number of the query, which counts up.

    Args:
        before: What has to happen before each query is answered.
    """

    def __init__(self, before: Callable[[], object] = lambda: None) -> None:
        self.count = 0
        self._before = before

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("context_features"):
            return httpx.Response(200, json={"context_features": ["user"]})
        if request.url.path.endswith("settings"):
            return httpx.Response(200, json={"settings": []})
        if request.url.path.endswith("declare"):
            return httpx.Response(200, json={"outcome": "uptodate"})
        self._before()
        self.count += 1
        rule = {"value": self.count, "context_features": [["user", "x"]], "rule_id": 1}
        body = {"default_value": self.count, "rules": [rule]}
        names = request.url.params["settings"].split(",")
        return httpx.Response(200, json={"settings": dict.fromkeys(names, body)})


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


class Churn:
    """Threads that declare settings, read them and drop them while an update is under way."""

    def __init__(self, registry: Registry, workers: int) -> None:
        self._registry = registry
        self._threads = [threading.Thread(target=self._run, args=[one]) for one in range(workers)]
        self._asked, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._is_over = False
        self.wrong: list[BaseException] = []

    def _run(self, worker: int) -> None:
        for turn in count():
            assert self._asked.acquire(timeout=BOUND)
            if self._is_over:
                return
            try:
                for place in range(3):
                    name = f"s{worker}_{turn}_{place}"
                    assert declare(self._registry, name).get(user="x") >= -1
                    if place == 1:
                        self._done.release()
            except BaseException as error:  # noqa: BLE001  # the test shows it
                self.wrong.append(error)

    def go_on(self) -> None:
        """Have each thread declare settings; return in the midst of that."""
        self._asked.release(len(self._threads))
        for _ in self._threads:
            assert self._done.acquire(timeout=BOUND)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._asked.release(len(self._threads))
        for thread in self._threads:
            thread.join(BOUND)


def test_settings_may_come_and_go_while_updates_publish(registry: Registry) -> None:
    kept = declare(registry, "a"), declare(registry, "b")
    churn = Churn(registry, 2)
    http = httpx.Client(transport=httpx.MockTransport(Counting(churn.go_on)))

    with (
        churn,
        ThreadHeksherClient(
            "http://x", 3600, ["user"], http_client=http, registry=registry
        ) as client,
    ):
        for _ in range(UPDATES):
            client.reload()

    assert not churn.wrong
    assert kept[0].get(user="x") == kept[1].get(user="x") > UPDATES
