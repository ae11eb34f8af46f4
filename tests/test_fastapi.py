"""Settings in a real FastAPI application: the caller of its API never chooses the context."""

import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI

from heksher import Setting, bind_context
from heksher.settings.registry import Registry

FEATURES = ["environment", "user"]


@pytest.fixture
def ttl(registry: Registry, publish: Any) -> Setting[int]:
    setting = Setting[int](
        "ttl", configurable_features=FEATURES, default_value=60, registry=registry
    )
    publish(setting, [(1, [["user", "admin"]], 5)])
    return setting


@pytest.fixture
def app(ttl: Setting[int]) -> FastAPI:
    """An application that depends on a setting in the way that the docs show."""
    made = FastAPI()

    def cache_ttl() -> int:
        return ttl.get()

    @made.middleware("http")
    async def bind(request: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
        with bind_context(environment="test", user=request.headers.get("x-user")):
            return await call_next(request)

    def sync(ttl: int = Depends(cache_ttl)) -> int:
        return ttl

    async def asynchronous(ttl: int = Depends(cache_ttl)) -> int:
        return ttl

    made.get("/sync")(sync)
    made.get("/async")(asynchronous)
    return made


async def get(app: FastAPI, url: str, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as http:
        return (await http.get(url, headers=named)).raise_for_status().json()


def test_no_feature_is_in_the_openapi_document(app: FastAPI) -> None:
    document = json.dumps(app.openapi())

    assert "/sync" in document
    assert not [name for name in FEATURES if name in document]


@pytest.mark.parametrize("path", ["/sync", "/async"])
async def test_query_does_not_choose_the_context(app: FastAPI, path: str) -> None:
    assert await get(app, f"{path}?user=admin") == 60
    assert await get(app, f"{path}?user=admin&environment=x", x_user="john") == 60


@pytest.mark.parametrize("path", ["/sync", "/async"])
async def test_dependency_reads_the_bound_context(app: FastAPI, path: str) -> None:
    assert await get(app, path, x_user="admin") == 5


async def test_get_itself_would_let_the_caller_choose(ttl: Setting[int]) -> None:
    """Why the docs warn of it: FastAPI reads the signature, which shows the features."""
    app = FastAPI()

    @app.get("/")
    def unsafe(ttl: Annotated[int, Depends(ttl.get)]) -> int:
        return ttl

    with bind_context(environment="test", user="john"):
        assert await get(app, "/?user=admin&environment=test") == 5
