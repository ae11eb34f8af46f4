"""`bind_context`, `pinned` and `override`, where leaving happens in another context than entering."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import httpx
import pytest
from fastapi import Depends, FastAPI

from heksher import Setting, UsageError, bind_context
from heksher.settings.setting import declaration_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from heksher.settings.registry import Registry

    Enter = Callable[[], Any]


@pytest.fixture
def setting(registry: Registry) -> Setting[int, ...]:
    return Setting("a", int, ["user"], 1, registry=registry)


@pytest.fixture(params=["bind_context", "pinned", "override"])
def scope(request: pytest.FixtureRequest, setting: Setting[int, ...], registry: Registry) -> Enter:
    return {
        "bind_context": lambda: bind_context(user="x"),
        "pinned": registry.pinned,
        "override": lambda: setting.override(5),
    }[request.param]


def test_leaving_in_another_context_changes_nothing_there(
    scope: Enter, setting: Setting[int, ...]
) -> None:
    manager = scope()
    copy_context().run(manager.__enter__)

    with bind_context(user="outer"), setting.override(7):
        copy_context().run(manager.__exit__, None, None, None)
        manager.__exit__(None, None, None)
        assert setting.get() == 7


async def test_leaving_in_a_worker_thread_does_not_raise(scope: Enter) -> None:
    manager = scope()

    await anyio.to_thread.run_sync(manager.__enter__)
    await anyio.to_thread.run_sync(manager.__exit__, None, None, None)

    with scope():
        pass


async def test_async_generator_may_be_closed_by_another_task(
    scope: Enter, setting: Setting[int, ...]
) -> None:
    async def generate() -> AsyncIterator[int]:
        with scope():
            yield setting.get(user="x")

    generator: Any = generate()
    first = await asyncio.create_task(anext(generator))

    await asyncio.create_task(generator.aclose())

    assert (first, setting.get(user="x")) in {(1, 1), (5, 1)}


async def test_synchronous_and_asynchronous_dependencies_of_fastapi_may_be_scopes(
    scope: Enter, setting: Setting[int, ...]
) -> None:
    def synchronous() -> Iterator[None]:
        with scope():
            yield

    async def asynchronous() -> AsyncIterator[None]:
        with scope(), bind_context(user="x"):
            yield

    app = FastAPI(dependencies=[Depends(synchronous)])

    @app.get("/", dependencies=[Depends(asynchronous)])
    async def read() -> int:
        return setting.get()

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        response = await client.get("/")

    assert (response.status_code, response.json() in (1, 5)) == (200, True)


def test_scope_that_is_in_use_cannot_be_entered_again(scope: Enter) -> None:
    manager = scope()

    with manager, pytest.raises(UsageError, match=r"in use already: call .* again"):
        manager.__enter__()


def test_scope_may_be_used_again_after_it_was_left(setting: Setting[int, ...]) -> None:
    override = setting.override(5)

    for _ in range(2):
        with override:
            assert setting.get(user="x") == 5
        assert setting.get(user="x") == 1


def test_scope_decorates_a_function_for_each_of_its_calls(
    setting: Setting[int, ...], registry: Registry
) -> None:
    @registry.overridden(declaration_of(setting), 5)
    @bind_context(user="x")
    def read(depth: int) -> int:
        value: int = setting.get() if depth == 0 else read(depth - 1)
        return value

    assert read(2) == 5
    assert setting.get(user="x") == 1
