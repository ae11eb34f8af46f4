"""Driving flows in threads: what hangs is left behind, and only so much of it."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from clients.faulty import FaultyServer
from heksher.clients.conversation.effects import Wait
from heksher.clients.conversation.refresh import HEALTH_REQUEST, ping
from heksher.clients.conversation.service_settings import fetch_listing
from heksher.clients.transport.endpoint import Endpoint
from heksher.clients.transport.thread_driver import MAX_HANGING, Overdue, ThreadDriver
from heksher.exceptions import ClientClosed, ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clients.conftest import Canned
    from heksher.clients.conversation.effects import Flow, Request

BOUND = 20.0


class Hanging:
    """A transport that hangs until it is released, and counts what reached it."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.count = 0

    def __call__(self, _: httpx.Request) -> httpx.Response:
        self.count += 1
        self.released.wait(BOUND)
        return httpx.Response(200, json={"version": "1"})


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    hanging = Hanging()
    yield hanging
    hanging.released.set()


def make(
    hanging: Callable[[httpx.Request], httpx.Response], request_timeout: float = 0.02
) -> ThreadDriver:
    endpoint = Endpoint(
        "http://x",
        request_timeout=request_timeout,
        max_response_bytes=1000,
        http_client_args=None,
    )
    return ThreadDriver(endpoint, httpx.Client(transport=httpx.MockTransport(hanging)))


def test_no_more_than_a_few_requests_hang_at_once(hanging: Hanging) -> None:
    driver = make(hanging)
    for _ in range(MAX_HANGING):
        with pytest.raises(ServiceUnavailable, match="ReadTimeout"):
            driver.drive(ping())
    for _ in range(3):
        with pytest.raises(ServiceUnavailable, match="PoolTimeout"):
            driver.drive(ping())

    assert hanging.count == MAX_HANGING
    hanging.released.set()
    while True:
        with suppress(ServiceUnavailable):
            driver.drive(ping())
            break
    assert hanging.count == MAX_HANGING + 1


def test_a_flow_that_is_overdue_is_left(hanging: Hanging) -> None:
    with pytest.raises(Overdue):
        make(hanging, 60).drive(ping(), due=partial(float, monotonic() + 0.02))


def test_waiting_ends_when_the_flow_is_due(hanging: Hanging) -> None:
    ended = []

    def waiting() -> Flow[None]:
        try:
            yield Wait(3600)
        finally:
            ended.append(True)

    with pytest.raises(Overdue):
        make(hanging).drive(waiting(), due=partial(float, monotonic() + 0.02))
    assert ended


def test_waiting_ends_when_the_driver_is_closed(hanging: Hanging) -> None:
    driver = make(hanging)

    def waiting() -> Flow[None]:
        threading.Thread(target=driver.abort).start()
        yield Wait(3600)

    with pytest.raises(ClientClosed):
        driver.drive(waiting())


def test_closing_waits_for_what_hangs_no_longer_than_told(hanging: Hanging) -> None:
    driver = make(hanging)
    with pytest.raises(ServiceUnavailable):
        driver.drive(ping())

    began = monotonic()
    driver.close(0.05)

    assert monotonic() - began < 5
    with pytest.raises(ClientClosed):
        driver.drive(ping())


def test_thread_that_cannot_be_started_is_a_failure_like_others(
    hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = make(hanging)

    def fail(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", fail)
    with pytest.raises(ServiceUnavailable, match=f"{HEALTH_REQUEST} failed: RuntimeError"):
        driver.drive(ping())


def test_transport_that_ends_its_thread_is_a_failure_like_others() -> None:
    def leave(_: httpx.Request) -> httpx.Response:
        raise SystemExit

    with pytest.raises(ServiceUnavailable, match="ReadError"):
        make(leave, 60).drive(ping())


class Slow:
    """A service on a real socket whose list and health are answered when they are released."""

    def __init__(self, canned: Canned) -> None:
        self.reached = {"/api/v1/settings": threading.Event(), "/api/health": threading.Event()}
        self.released = {path: threading.Event() for path in self.reached}
        self.is_slow = False
        canned.instead.append(self._wait)

    def _wait(self, request: Request) -> None:
        if self.is_slow and request.path in self.reached:
            self.reached[request.path].set()
            self.released[request.path].wait(BOUND)


@pytest.fixture
def slow(canned: Canned) -> Iterator[Slow]:
    slow = Slow(canned)
    yield slow
    for released in slow.released.values():
        released.set()


def own(server: FaultyServer, **arguments: Any) -> ThreadDriver:
    """Return a driver with httpx clients of its own."""
    endpoint = Endpoint(
        server.url, request_timeout=BOUND, max_response_bytes=10_000, http_client_args=arguments
    )
    return ThreadDriver(endpoint, None)


@pytest.mark.parametrize("is_pooled", [True, False], ids=["pooled", "new"])
def test_request_that_is_overdue_cuts_no_other_thread_s(
    canned: Canned, slow: Slow, *, is_pooled: bool
) -> None:
    canned.add("n", 1)
    found: list[object] = []
    with FaultyServer(canned) as server:
        driver = own(server)
        if is_pooled:
            driver.drive(ping())
        slow.is_slow = True
        other = threading.Thread(target=lambda: found.append(driver.drive(fetch_listing())))
        other.start()
        assert slow.reached["/api/v1/settings"].wait(BOUND)

        with pytest.raises(Overdue):
            driver.drive(ping(), due=partial(float, monotonic() + 0.05))

        for released in slow.released.values():
            released.set()
        other.join(BOUND)
        driver.close(BOUND)
    assert len(found) == 1


@contextmanager
def slow_listing(driver: ThreadDriver, slow: Slow) -> Iterator[None]:
    """Have another thread wait for the list all along, while pings are answered."""
    slow.is_slow = True
    other = threading.Thread(target=lambda: driver.drive(fetch_listing()))
    other.start()
    assert slow.reached["/api/v1/settings"].wait(BOUND)
    slow.released["/api/health"].set()
    yield
    slow.released["/api/v1/settings"].set()
    other.join(BOUND)


def test_flows_at_the_same_time_leave_one_httpx_client(
    canned: Canned, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[httpx.Client] = []

    class Counted(httpx.Client):
        def __init__(self, **arguments: Any) -> None:
            super().__init__(**arguments)
            made.append(self)

    monkeypatch.setattr("httpx.Client", Counted)
    with FaultyServer(canned) as server:
        driver = own(server)
        with slow_listing(driver, slow):
            driver.drive(ping())
            driver.drive(ping())

        assert [one.is_closed for one in made] == [True, False]
        driver.close(BOUND)
    assert [one.is_closed for one in made] == [True, True]


def test_transport_of_the_caller_s_is_closed_with_the_driver_only(
    canned: Canned, slow: Slow
) -> None:
    closed: list[bool] = []

    class Watched(httpx.HTTPTransport):
        def close(self) -> None:
            closed.append(True)
            super().close()

    with FaultyServer(canned) as server:
        driver = own(server, transport=Watched())
        with slow_listing(driver, slow):
            driver.drive(ping())

        assert not closed
        driver.close(BOUND)
    assert closed


def test_flow_that_goes_on_in_a_forked_child_gives_no_connection_of_the_parent_s_back(
    canned: Canned,
) -> None:
    with FaultyServer(canned) as server:
        driver = own(server)

        def forked() -> Flow[None]:
            yield from ping()
            driver.forget()

        driver.drive(forked())

        driver.drive(ping())
        driver.close(BOUND)
