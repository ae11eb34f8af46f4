"""Driving flows in threads: what hangs is left behind, and only so much of it."""

from __future__ import annotations

import threading
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

import httpx
import pytest

from heksher.clients.effects import Wait
from heksher.clients.flows import HEALTH_REQUEST, ping
from heksher.clients.thread_driver import MAX_HANGING, Overdue, ThreadDriver
from heksher.clients.transport import Endpoint
from heksher.exceptions import ClientClosed, ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heksher.clients.effects import Flow

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


def make(hanging: Hanging, request_timeout: float = 0.02) -> ThreadDriver:
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
        make(hanging, 60).drive(ping(), due=monotonic() + 0.02)


def test_waiting_ends_when_the_flow_is_due(hanging: Hanging) -> None:
    ended = []

    def waiting() -> Flow[None]:
        try:
            yield Wait(3600)
        finally:
            ended.append(True)

    with pytest.raises(Overdue):
        make(hanging).drive(waiting(), due=monotonic() + 0.02)
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


def test_transport_that_ends_its_thread_is_a_failure_like_others(hanging: Hanging) -> None:
    def leave(_: httpx.Request) -> httpx.Response:
        raise SystemExit

    driver = make(hanging, 60)
    driver._http_client = httpx.Client(transport=httpx.MockTransport(leave))

    with pytest.raises(ServiceUnavailable, match="ReadError"):
        driver.drive(ping())
