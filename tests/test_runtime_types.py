"""The types of public names at run time: pydantic, FastAPI and `get_type_hints` resolve them."""

import inspect
import json
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, get_type_hints

import httpx
import pytest
from fastapi import FastAPI
from pydantic import TypeAdapter

import heksher
import heksher.testing
from heksher import AsyncHeksherClient, ClientStatus, Setting
from heksher.clients import options, status
from heksher.clients.status import Difference, OutdatedDeclaration, RefusedDeclaration
from heksher.server import create_app
from heksher.settings.registry import Registry

PARTS = [ClientStatus, RefusedDeclaration, OutdatedDeclaration, Difference]


def callables(owner: Any) -> Iterator[tuple[str, Any]]:
    """Yield the functions that a public object consists of, with their names."""
    if not isinstance(owner, type):
        yield owner.__name__, owner
        return
    for cls in inspect.getmro(owner):
        if not cls.__module__.startswith("heksher"):
            continue
        for name, found in list(vars(cls).items()):
            function = getattr(found, "fget", None) or getattr(found, "__func__", found)
            is_public = not name.startswith("_") or name in ("__init__", "__getitem__")
            if is_public and inspect.isfunction(function):
                yield f"{cls.__name__}.{name}", function


def public() -> dict[str, Any]:
    owners = {name: getattr(heksher.exceptions, name) for name in heksher.exceptions.__all__}
    owners |= {name: getattr(heksher.testing, name) for name in heksher.testing.__all__}
    owners |= {name: getattr(heksher, name) for name in ("AsyncHeksherClient", "SettingData")}
    owners["ThreadHeksherClient"] = heksher.ThreadHeksherClient
    owners["create_app"] = create_app
    owners |= {one.__name__: one for one in PARTS}
    return dict(pair for owner in owners.values() for pair in callables(owner))


PUBLIC = public()


@pytest.mark.parametrize("name", PUBLIC)
def test_hints_of_a_public_callable_resolve(name: str) -> None:
    assert isinstance(get_type_hints(PUBLIC[name], include_extras=True), dict)


@pytest.mark.parametrize("name", ["ClientOptions", "AsyncClientOptions", "ThreadClientOptions"])
def test_hints_of_the_options_resolve(name: str) -> None:
    assert "http_client_args" in get_type_hints(getattr(options, name))


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_pydantic_describes_every_part_of_a_status(part: Any) -> None:
    schema = TypeAdapter(part).json_schema(mode="serialization")

    assert schema["properties"].keys() == {one.name for one in fields(part)}


def test_status_survives_a_round_trip_through_json(registry: Registry) -> None:
    adapter = TypeAdapter(ClientStatus)
    told = AsyncHeksherClient("http://x", 60, ["user"], registry=registry).status

    assert adapter.validate_json(adapter.dump_json(told)) == told


async def test_endpoint_may_return_a_status(registry: Registry) -> None:
    setting = Setting[int]("n", configurable_features=["x"], default_value=1, registry=registry)
    service = httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(context_features=["user"]))
    )
    app = FastAPI()
    client = AsyncHeksherClient("http://x", 60, ["user"], registry=registry, http_client=service)

    @app.get("/health")
    def health() -> ClientStatus:
        return client.status

    transport = httpx.ASGITransport(app)
    async with service, client, httpx.AsyncClient(transport=transport, base_url="http://a") as http:
        told = (await http.get("/health")).raise_for_status().json()

    assert (told["source"], told["started"], told["last_error"]) == ("service", True, None)
    assert [one["setting_name"] for one in told["refused_declarations"]] == [setting.name]
    assert "RefusedDeclaration" in json.dumps(app.openapi())
    assert status.ClientStatus is ClientStatus
