"""No request and no update, failed or not, leaves reference cycles of ours for the collector."""

from __future__ import annotations

import gc
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from clients.faulty import FAULTS, FaultyServer
from heksher import AsyncHeksherClient, ServiceError, Setting, ThreadHeksherClient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clients.conftest import Canned
    from heksher.settings.registry import Registry

KEPT = (BaseException, FrameType, TracebackType, httpx.Response)

OPTIONS: dict[str, Any] = {
    "request_timeout": 0.5,
    "max_response_bytes": 100_000,
    "http_client_args": {"verify": False},
}

SLOW = ("timeout before headers", "headers that drip", "timeout mid-body", "a body that drips")
"""The faults whose requests take until they time out."""

KINDS = ["no fault", *FAULTS]
FEW_KINDS = ["connection refused", "timeout mid-body", "wrong JSON", "too large", "404"]


@contextmanager
def uncollected() -> Iterator[list[object]]:
    """Collect nothing inside; list the responses, errors and frames that await a collection then.

    (Asyncio itself leaves a cycle for each connection that it closes.)
    """
    found: list[object] = []
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found += [repr(type(one)) for one in gc.garbage if isinstance(one, KEPT)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.fixture
def server(canned: Canned) -> Iterator[FaultyServer]:
    canned.features = ["user"]
    canned.add("n", 1)
    canned.rule("n", 1, 7, user="x")
    with FaultyServer(canned) as server:
        yield server
        server.recovered.set()


@pytest.fixture(autouse=True)
def setting(registry: Registry) -> Setting[int]:
    return Setting[int]("n", configurable_features=["user"], default_value=1, registry=registry)


def fail(server: FaultyServer, fault: str) -> int:
    """Let requests fail from now on; return how many to send."""
    if fault in FAULTS:
        server.fail(fault)
    return 3 if fault in SLOW else 20


@pytest.mark.parametrize("fault", KINDS)
def test_updates_of_the_thread_client_leave_no_cycles(
    server: FaultyServer, registry: Registry, fault: str
) -> None:
    with ThreadHeksherClient(server.url, 3600, ["user"], registry=registry, **OPTIONS) as client:
        updates = fail(server, fault)
        with suppress(ServiceError):
            client.reload()  # what is built at first use leaves cycles of pydantic's
        with uncollected() as found:
            for _ in range(updates):
                with suppress(ServiceError):
                    client.reload()

    assert found == []


@pytest.mark.parametrize("fault", KINDS)
async def test_updates_of_the_async_client_leave_no_cycles(
    server: FaultyServer, registry: Registry, fault: str
) -> None:
    client = AsyncHeksherClient(server.url, 3600, ["user"], registry=registry, **OPTIONS)
    async with client:
        updates = fail(server, fault)
        with suppress(ServiceError):
            await client.reload()
        with uncollected() as found:
            for _ in range(updates):
                with suppress(ServiceError):
                    await client.reload()

    assert found == []


@pytest.mark.parametrize("fault", FEW_KINDS)
def test_failed_starts_and_pings_of_the_thread_client_leave_no_cycles(
    server: FaultyServer, registry: Registry, fault: str
) -> None:
    fail(server, fault)

    with uncollected() as found:
        for _ in range(3):
            client = ThreadHeksherClient(server.url, 3600, ["user"], registry=registry, **OPTIONS)
            with suppress(ServiceError):
                client.ping()
            with suppress(ServiceError):
                client.get_settings()
            with suppress(ServiceError), client:
                pass
        del client

    assert found == []


@pytest.mark.parametrize("fault", FEW_KINDS)
async def test_failed_starts_and_pings_of_the_async_client_leave_no_cycles(
    server: FaultyServer, registry: Registry, fault: str
) -> None:
    fail(server, fault)

    with uncollected() as found:
        for _ in range(3):
            client = AsyncHeksherClient(server.url, 3600, ["user"], registry=registry, **OPTIONS)
            with suppress(ServiceError):
                await client.ping()
            with suppress(ServiceError):
                await client.get_settings()
            with suppress(ServiceError):
                async with client:
                    pass
        del client

    assert found == []
