"""`LocalService`: the embedded service for stories, by URL and without a socket."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from heksher import AsyncHeksherClient, InvalidValue, ServiceError, ServiceUnavailable, Setting
from heksher.testing import LocalService

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heksher.settings.registry import Registry

FEATURES = ["environment", "user"]


@pytest.fixture
def service() -> Iterator[LocalService]:
    with LocalService(FEATURES) as local:
        yield local


@pytest.fixture
def ttl(registry: Registry) -> Setting[int, ...]:
    return Setting("ttl", int, FEATURES, 60, version="1.2", registry=registry)


def client_of(url: str, registry: Registry, **options: Any) -> AsyncHeksherClient:
    return AsyncHeksherClient(url, 3600, FEATURES, registry=registry, **options)


@pytest.mark.parametrize("by", ["url", "http_client"])
async def test_asynchronous_client_lives_through_a_story(
    by: str, service: LocalService, ttl: Setting[int, ...], registry: Registry
) -> None:
    options = {} if by == "url" else {"http_client": service.async_http_client()}
    url = service.url if by == "url" else "http://heksher.local"
    service.add_rule(ttl, 5, user="john")

    async with client_of(url, registry, **options) as client:
        assert ttl.get(environment="e", user="john") == 5

        rule_id = service.add_rule(ttl, 7, environment="e", user="john")
        await client.reload()
        assert ttl.get(environment="e", user="john") == 7

        service.rename(ttl, "cache.ttl")
        service.change_rule(rule_id, 8)
        await client.reload()
        assert ttl.get(environment="e", user="john") == 8

        service.delete_rule(rule_id)
        await client.reload()
        assert ttl.get(environment="e", user="john") == 5

        service.delete("cache.ttl")
        await client.reload()
        assert ttl.get(environment="e", user="john") == 60


def test_synchronous_http_reaches_it_without_a_socket(service: LocalService) -> None:
    with service.http_client(headers={"x-test": "1"}) as http:
        response = http.get("/api/v1/context_features")

    assert response.json() == {"context_features": FEATURES}
    assert service.request("GET", "settings") == {"settings": []}


def test_url_listens_on_the_loopback_interface(service: LocalService) -> None:
    assert service.url is service.url
    assert service.url.startswith("http://127.0.0.1:")
    assert httpx.get(f"{service.url}/api/health").json()["version"]


def test_two_services_share_nothing(service: LocalService, ttl: Setting[int, ...]) -> None:
    service.declare(ttl)

    with LocalService(["theme"]) as other:
        assert other.request("GET", "settings") == {"settings": []}
        assert other.url != service.url


def test_declaring_brings_the_setting_to_its_version(
    service: LocalService, ttl: Setting[int, ...]
) -> None:
    service.declare(ttl)

    held = service.request("GET", "settings/ttl")
    assert (held["version"], held["default_value"]) == ("1.2", 60)


async def test_service_fails_as_it_is_told_and_recovers(
    service: LocalService, ttl: Setting[int, ...], registry: Registry
) -> None:
    async with client_of(service.url, registry) as client:
        service.add_rule(ttl, 5, user="john")
        with service.fail_with(503):
            with pytest.raises(ServiceError):
                await client.reload()
            assert client.status.consecutive_failures == 1
            assert ttl.get(environment="e", user="john") == 60

        await client.reload()
        assert ttl.get(environment="e", user="john") == 5

        service.fail_with(500)
        service.fail_with(502)
        with pytest.raises(ServiceError):
            await client.ping()
        service.recover()
        await client.ping()


async def test_exception_reaches_clients_in_the_process(
    service: LocalService, registry: Registry
) -> None:
    async with client_of(
        "http://heksher.local", registry, http_client=service.async_http_client()
    ) as client:
        refused = httpx.ConnectError("refused")
        with service.fail_with(refused), pytest.raises(ServiceUnavailable):
            await client.ping()
        await client.ping()


def test_failure_may_be_limited_in_times_and_to_a_path(service: LocalService) -> None:
    service.fail_with(503, times=2)
    service.fail_with(418, path="/api/v1/query")

    with service.http_client() as http:
        assert [http.get("/api/health").status_code for _ in range(3)] == [503, 503, 200]
        assert http.get("/api/v1/query").status_code == 418
        with service.fail_with(ValueError("mine")), pytest.raises(ValueError, match="mine"):
            http.get("/api/health")
    assert service.request("GET", "settings") == {"settings": []}


def test_rule_of_a_setting_is_validated_and_encoded(
    service: LocalService, registry: Registry
) -> None:
    tags = Setting[frozenset[str]](
        "tags", configurable_features=["user"], default_value=frozenset[str](), registry=registry
    )

    rule_id = service.add_rule(tags, frozenset({"a"}), user="x")

    assert service.request("GET", f"rules/{rule_id}")["value"] == ["a"]
    with pytest.raises(InvalidValue, match="rule value of setting 'tags'"):
        service.add_rule(tags, frozenset({1}), user="x")


def test_what_the_service_refuses_says_why(service: LocalService, ttl: Setting[int, ...]) -> None:
    with pytest.raises(httpx.HTTPStatusError, match=r"POST rules: 422: .*none"):
        service.add_rule("none", 5, user="x")
    with pytest.raises(httpx.HTTPStatusError, match="POST rules: 422"):
        service.add_rule(ttl, 5)
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        service.delete("none")


def test_closing_ends_its_thread_and_its_port() -> None:
    before = threading.active_count()
    service = LocalService(FEATURES)
    url = service.url

    service.close()
    service.close()

    assert threading.active_count() <= before
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    before = threading.active_count()
    for name in [one for one in sys.modules if one.startswith(("heksher.server.", "fastapi"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)

    with pytest.raises(ModuleNotFoundError, match=r"pip install 'heksher\[server\]'"):
        LocalService(FEATURES)
    assert threading.active_count() <= before
