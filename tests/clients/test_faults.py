"""After every fault of the service, or of the way to it, updates go on and values come right."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import subprocess
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from clients.faulty import FAULTS, GREATEST, FaultyServer
from heksher import AsyncHeksherClient, ServiceError, Setting, ThreadHeksherClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from clients.conftest import Canned
    from heksher.settings.registry import Registry

OPTIONS: dict[str, Any] = {
    "request_timeout": 0.5,
    "max_response_bytes": GREATEST,
    "http_client_args": {"verify": False},
}
BOUND = 20.0
"""Seconds that anything here may take; what a test waits for comes much sooner."""


@pytest.fixture
def server(canned: Canned) -> Iterator[FaultyServer]:
    canned.features = ["user"]
    with FaultyServer(canned) as server:
        yield server


@pytest.fixture
def setting(registry: Registry, canned: Canned) -> Setting[int]:
    canned.add("n", 1)
    canned.rule("n", 1, 7, user="x")
    return Setting[int]("n", configurable_features=["user"], default_value=1, registry=registry)


class Watched(ThreadHeksherClient):
    """A client that tells of its updates; an update fails or works at each interval, of 20 ms."""

    def __init__(self, url: str, registry: Registry, **options: Any) -> None:
        super().__init__(url, 0.02, ["user"], registry=registry, **{**OPTIONS, **options})
        self.failed, self.worked = Event(), Event()
        self.errors: list[Exception] = []

    def on_update_ok(self) -> None:
        self.worked.set()

    def on_update_error(self, exc: Exception) -> None:
        self.errors.append(exc)
        self.failed.set()

    def await_failure(self) -> Exception:
        self.failed.clear()
        assert self.failed.wait(BOUND)
        return self.errors[-1]

    def await_value(self, setting: Setting[int], value: int) -> None:
        while setting.get(user="x") != value:
            self.worked.clear()
            assert self.worked.wait(BOUND)


class AsyncWatched(AsyncHeksherClient):
    def __init__(self, url: str, registry: Registry) -> None:
        super().__init__(url, 0.02, ["user"], registry=registry, **OPTIONS)
        self.failed, self.worked = asyncio.Event(), asyncio.Event()

    def on_update_ok(self) -> None:
        self.worked.set()

    def on_update_error(self, exc: Exception) -> None:
        assert isinstance(exc, ServiceError)
        self.failed.set()


@pytest.mark.parametrize("fault", FAULTS)
def test_thread_client_survives(
    server: FaultyServer, setting: Setting[int], registry: Registry, fault: str
) -> None:
    with Watched(server.url, registry) as client:
        server.fail(fault)
        error = client.await_failure()
        during = client.status
        server.service.rules.clear()
        server.service.rule("n", 2, 8, user="x")

        assert isinstance(error, ServiceError)
        assert setting.get(user="x") == 7
        assert during.consecutive_failures > 0
        assert during.age is not None
        server.recover()
        if "Retry-After" in fault:
            # It asks for a day: only an update that the program asks for comes sooner.
            client.reload()
        client.await_value(setting, 8)


@pytest.mark.parametrize("fault", FAULTS)
async def test_async_client_survives(
    server: FaultyServer, setting: Setting[int], registry: Registry, fault: str
) -> None:
    async with asyncio.timeout(BOUND), AsyncWatched(server.url, registry) as client:
        server.fail(fault)
        client.failed.clear()
        await client.failed.wait()
        server.service.rules.clear()
        server.service.rule("n", 2, 8, user="x")

        assert setting.get(user="x") == 7
        assert client.status.consecutive_failures > 0
        server.recover()
        if "Retry-After" in fault:
            await client.reload()
        while setting.get(user="x") != 8:
            client.worked.clear()
            await client.worked.wait()


@pytest.mark.parametrize("fault", FAULTS)
def test_start_under_a_fault_is_told_and_leaves_nothing(
    server: FaultyServer, setting: Setting[int], registry: Registry, fault: str
) -> None:
    server.fail(fault)

    with pytest.raises(ServiceError), Watched(server.url, registry, start_timeout=2):
        pass

    assert setting.get(user="x") == 1
    assert registry.main is None
    server.recover()
    with Watched(server.url, registry):
        assert setting.get(user="x") == 7


class Resolver:
    """Stands in front of the system's resolver of names."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.instead: Callable[[], None] | None = None
        self.resolve = socket.getaddrinfo
        self.released = Event()
        monkeypatch.setattr(socket, "getaddrinfo", self)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if self.instead is not None:
            self.instead()
        return self.resolve(*arguments, **options)

    def fail(self) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    def hang(self) -> None:
        self.released.wait(BOUND)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver(monkeypatch)
    yield resolver
    resolver.released.set()


@pytest.mark.parametrize("kind", ["fail", "hang"])
def test_thread_client_survives_a_resolver_that_does(
    server: FaultyServer, setting: Setting[int], registry: Registry, resolver: Resolver, kind: str
) -> None:
    with Watched(server.url, registry) as client:
        resolver.instead = getattr(resolver, kind)
        server.fail("connection refused")
        client.await_failure()
        server.recover()
        error = client.await_failure()
        server.service.rules.clear()
        server.service.rule("n", 2, 8, user="x")

        assert isinstance(error, ServiceError)
        assert setting.get(user="x") == 7
        resolver.instead = None
        resolver.released.set()
        client.await_value(setting, 8)


@pytest.mark.parametrize("kind", ["fail", "hang"])
async def test_async_client_survives_a_resolver_that_does(
    server: FaultyServer, setting: Setting[int], registry: Registry, resolver: Resolver, kind: str
) -> None:
    async with asyncio.timeout(BOUND), AsyncWatched(server.url, registry) as client:
        resolver.instead = getattr(resolver, kind)
        server.fail("connection refused")
        client.failed.clear()
        await client.failed.wait()
        server.recover()
        client.failed.clear()
        await client.failed.wait()
        server.service.rules.clear()
        server.service.rule("n", 2, 8, user="x")

        assert setting.get(user="x") == 7
        resolver.instead = None
        resolver.released.set()
        while setting.get(user="x") != 8:
            client.worked.clear()
            await client.worked.wait()


def test_closing_is_bounded_while_a_resolver_hangs(
    server: FaultyServer,
    setting: Setting[int],
    registry: Registry,
    resolver: Resolver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("heksher.clients.thread_client.CLOSE_TIMEOUT", 0.2)
    hanging = Event()

    def hang() -> None:
        hanging.set()
        resolver.hang()

    client = Watched(server.url, registry, request_timeout=60)
    with client:
        resolver.instead = hang
        server.fail("connection refused")
        assert hanging.wait(BOUND)

    assert not resolver.released.is_set()
    assert setting.get(user="x") == 7


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate, and its key, that nobody trusts."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 1"
    subprocess.run(  # noqa: S603  # nothing from outside
        [*command.split(), "-keyout", path, "-out", f"{path}.cert"],
        check=True,
        capture_output=True,
    )
    path.write_bytes(path.read_bytes() + path.with_name("both.pem.cert").read_bytes())
    return path


def test_thread_client_survives_a_failure_of_tls(
    canned: Canned, setting: Setting[int], registry: Registry, certificate: Path
) -> None:
    canned.features = ["user"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with FaultyServer(canned, context) as server, Watched(server.url, registry) as client:
        server.fail("garbage instead of a protocol")
        server.hang_up()
        client.await_failure()
        server.listen()
        error = client.await_failure()
        canned.rules.clear()
        canned.rule("n", 2, 8, user="x")

        assert isinstance(error, ServiceError)
        assert setting.get(user="x") == 7
        server.recover()
        client.await_value(setting, 8)


def test_certificate_that_is_not_trusted_is_a_failure_like_others(
    canned: Canned, setting: Setting[int], registry: Registry, certificate: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with (
        FaultyServer(canned, context) as server,
        pytest.raises(ServiceError, match="ConnectError"),
        Watched(server.url, registry, http_client_args={}),
    ):
        pass

    assert setting.get(user="x") == 1


def test_first_failure_warns_the_fifth_is_an_error_recovery_one_line(
    server: FaultyServer,
    setting: Setting[int],
    registry: Registry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "heksher")
    with ThreadHeksherClient(server.url, 3600, ["user"], registry=registry, **OPTIONS) as client:
        caplog.clear()
        server.fail("500")
        for _ in range(8):
            with pytest.raises(ServiceError):
                client.reload()
            setting.get(user="x")
        server.recover()
        client.reload()

    said = [(one.levelname, one.exc_info) for one in caplog.records if one.name == "heksher"]
    assert said == [("WARNING", None), ("ERROR", None), ("INFO", None)]
