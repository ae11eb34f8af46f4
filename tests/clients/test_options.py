"""The options of clients: one list for both clients and their stubs."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest

from heksher import AsyncHeksherClient, ThreadHeksherClient
from heksher.clients.options import AsyncClientOptions, ThreadClientOptions
from heksher.testing import AsyncStubHeksherClient, SyncStubHeksherClient

if TYPE_CHECKING:
    from heksher.settings.registry import Registry

CLIENTS = [
    (AsyncHeksherClient, AsyncClientOptions),
    (ThreadHeksherClient, ThreadClientOptions),
    (AsyncStubHeksherClient, AsyncClientOptions),
    (SyncStubHeksherClient, ThreadClientOptions),
]
EACH = pytest.mark.parametrize(
    ("client", "options"), CLIENTS, ids=[one.__name__ for one, _ in CLIENTS]
)


@EACH
def test_signature_shows_every_option_with_its_default(client: Any, options: Any) -> None:
    shown = inspect.signature(client).parameters
    by_keyword = {name: one for name, one in shown.items() if one.kind is one.KEYWORD_ONLY}

    assert {name: one.annotation for name, one in by_keyword.items()} == options.__annotations__
    assert by_keyword["start_timeout"].default == 60.0
    assert by_keyword["http_client"].default is None


@EACH
@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"start_timout": 3}, "unexpected keyword argument 'start_timout': did you mean 'start_ti"),
        ({"interval_of_my_own": 3}, "'declare', 'http_client', 'http_client_args'"),
    ],
)
def test_unknown_option_is_an_error_that_names_what_there_is(
    client: Any, options: Any, wrong: dict[str, Any], hint: str
) -> None:
    with pytest.raises(TypeError, match=f"^{client.__name__}.*{hint}"):
        client("http://x", 60, ["user"], **wrong)


def test_subclass_shows_its_own_signature(registry: Registry) -> None:
    class Own(ThreadHeksherClient):
        def __init__(self, name: str) -> None:
            super().__init__("http://x", 60, ["user"], registry=registry)

    assert list(inspect.signature(Own).parameters) == ["name"]
    assert not Own("x").status.started
