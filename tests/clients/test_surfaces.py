"""The two clients, compared member by member: the same words, with `await` or without."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any, get_type_hints

import pytest

from heksher import AsyncHeksherClient, ThreadHeksherClient

TWINS = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
}
AWAITED = {"set_as_main", "aclose", "close", "reload", "ping", "get_settings"}


def members(client: type) -> dict[str, Any]:
    found = {
        name: value
        for name, value in inspect.getmembers(client)
        if not name.startswith("_") or name in {*TWINS, *TWINS.values()}
    }
    return {TWINS.get(name, name): value for name, value in found.items()}


ASYNC, THREAD = members(AsyncHeksherClient), members(ThreadHeksherClient)


def signature(function: Any) -> list[tuple[str, Any, Any, Any]]:
    return [
        (one.name, one.kind, one.default, str(one.annotation).replace("Async", ""))
        for one in inspect.signature(function).parameters.values()
    ]


def words(docstring: str | None) -> list[str]:
    return (docstring or "").split()


def test_both_have_the_same_members() -> None:
    assert set(ASYNC) == set(THREAD)


def test_every_member_of_the_documented_surface_is_there() -> None:
    documented = {
        "set_as_main", "aclose", "close", "reload", "set_defaults", "track_contexts", "ping",
        "get_settings", "on_update_ok", "on_update_error", "on_change", "changes", "status",
    }  # fmt: skip

    assert documented <= set(THREAD)


def test_both_are_made_with_the_same_arguments() -> None:
    assert signature(AsyncHeksherClient) == signature(ThreadHeksherClient)


@pytest.mark.parametrize("name", sorted(name for name in ASYNC if callable(ASYNC[name])))
def test_a_method_takes_the_same_arguments_in_both(name: str) -> None:
    assert signature(ASYNC[name]) == signature(THREAD[name])


@pytest.mark.parametrize("name", sorted(name for name in ASYNC if callable(ASYNC[name])))
def test_a_method_returns_the_same_in_both(name: str) -> None:
    first, second = (str(inspect.signature(one[name]).return_annotation) for one in (ASYNC, THREAD))

    assert first.replace("Async", "") == second


@pytest.mark.parametrize("name", sorted(name for name in ASYNC if callable(ASYNC[name])))
def test_only_what_may_wait_is_awaited(name: str) -> None:
    is_awaited = name in AWAITED or name in TWINS.values()

    assert inspect.iscoroutinefunction(ASYNC[name]) == is_awaited
    assert not inspect.iscoroutinefunction(THREAD[name])


@pytest.mark.parametrize("name", ["ping", "get_settings", "set_as_main", "__init__"])
def test_a_method_is_described_in_the_same_words(name: str) -> None:
    first, second = (
        words(getattr(one, name).__doc__) for one in (AsyncHeksherClient, ThreadHeksherClient)
    )

    assert first == second


def test_changes_are_iterated_over_in_the_way_of_each() -> None:
    asynchronous = AsyncHeksherClient("http://x", 1, ["user"]).changes()
    threaded = ThreadHeksherClient("http://x", 1, ["user"]).changes()

    assert isinstance(asynchronous, AsyncIterator)
    assert isinstance(threaded, Iterator)


def test_status_has_one_type_in_both() -> None:
    hints = [
        get_type_hints(inspect.getattr_static(one, "status").fget, _names()) for one in _both()
    ]

    assert hints[0] == hints[1]


def _both() -> tuple[type, type]:
    return AsyncHeksherClient, ThreadHeksherClient


def _names() -> dict[str, Any]:
    from heksher import ClientStatus

    return {"ClientStatus": ClientStatus}
