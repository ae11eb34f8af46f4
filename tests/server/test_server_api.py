"""What the recorded exchanges do not show: the rest of the API, and where it does better."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from heksher.server import create_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FEATURES = ["account", "user", "theme"]


@pytest.fixture
async def service() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=create_app(context_features=FEATURES))
    async with httpx.AsyncClient(transport=transport, base_url="http://heksher.test") as client:
        yield client


async def declare(service: httpx.AsyncClient, name: str, **fields: Any) -> httpx.Response:
    declaration = {"configurable_features": FEATURES, "type": "int", "default_value": 1, **fields}
    return await service.post("/api/v1/settings/declare", json={"name": name, **declaration})


async def add_rule(service: httpx.AsyncClient, value: Any, **conditions: str) -> int:
    rule = {"setting": "x", "feature_values": conditions, "value": value, "metadata": {"k": value}}
    added = await service.post("/api/v1/rules", json=rule)
    assert added.status_code == 201
    rule_id: int = added.json()["rule_id"]
    return rule_id


async def setting(service: httpx.AsyncClient, name: str = "x") -> Any:
    return (await service.get(f"/api/v1/settings/{name}")).json()


async def test_rule_is_found_by_its_conditions(service: httpx.AsyncClient) -> None:
    await declare(service, "x")
    await add_rule(service, 2, user="u")
    rule_id = await add_rule(service, 3, account="a", user="u")
    await service.put("/api/v1/settings/x/name", json={"name": "new", "version": "1.1"})

    for name in ("x", "new"):
        for conditions in ("account:a,user:u", "user:u,account:a"):
            query = {"setting": name, "feature_values": conditions}
            found = await service.get("/api/v1/rules/search", params=query)
            assert found.json() == {"rule_id": rule_id}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"setting": "x", "feature_values": "account:a"}, 404),
        ({"setting": "nope", "feature_values": "user:u"}, 404),
        ({"setting": "x"}, 422),
        ({"feature_values": "user:u"}, 422),
        ({"setting": "a-b", "feature_values": "user:u"}, 422),
        ({"setting": "x", "feature_values": "user"}, 422),
        ({"setting": "x", "feature_values": "user:u,"}, 422),
    ],
)
async def test_rule_is_not_found(
    service: httpx.AsyncClient, query: dict[str, str], status: int
) -> None:
    await declare(service, "x")
    await add_rule(service, 2, user="u")

    answer = await service.get("/api/v1/rules/search", params=query)

    assert answer.status_code == status
    assert bool(answer.content) == (status == 422)


async def test_query_shows_metadata_of_rules_when_asked(service: httpx.AsyncClient) -> None:
    await declare(service, "x")
    await add_rule(service, 2, user="u")

    answer = await service.get("/api/v1/query", params={"include_metadata": "true"})

    rule = {"value": 2, "context_features": [["user", "u"]], "rule_id": 1, "metadata": {"k": 2}}
    assert answer.json() == {"settings": {"x": {"default_value": 1, "rules": [rule]}}}


async def test_conditions_follow_the_present_order_of_features(service: httpx.AsyncClient) -> None:
    await declare(service, "x")
    await add_rule(service, 2, account="a", theme="t")
    before = await service.get("/api/v1/query")

    moved = await service.patch(
        "/api/v1/context_features/theme/index", json={"to_before": "account"}
    )

    after = await service.get("/api/v1/query", headers={"if-none-match": before.headers["etag"]})
    assert moved.status_code == 204
    assert after.json()["settings"]["x"]["rules"][0]["context_features"] == [
        ["theme", "t"],
        ["account", "a"],
    ]


async def test_metadata_of_a_setting_changes_key_by_key(service: httpx.AsyncClient) -> None:
    await declare(service, "x", metadata={"a": 1})
    path = "/api/v1/settings/x/metadata"

    put = await service.put(f"{path}/b", json={"value": None, "version": "1.1"})
    late = await service.put(f"{path}/b", json={"value": 2, "version": "1.1"})
    gone = await service.request("DELETE", f"{path}/a", json={"version": "1.2"})
    absent = await service.request("DELETE", f"{path}/zzz", json={"version": "1.3"})
    bad_key = await service.put(f"{path}/a.b", json={"value": 2, "version": "1.4"})

    assert [put.status_code, gone.status_code, absent.status_code] == [204, 204, 204]
    assert (late.status_code, late.text) == (
        409,
        "The setting x already has a newer version (1.1)",
    )
    assert bad_key.json()["detail"][0]["loc"] == ["path", "key"]
    assert (await setting(service))["metadata"] == {"b": None}
    assert (await setting(service))["version"] == "1.3"


@pytest.mark.parametrize(
    ("name", "body", "status", "text"),
    [
        ("nope", {"name": "n", "version": "2.0"}, 404, "setting does not exist"),
        ("x", {"name": "y", "version": "2.0"}, 409, "name already exists"),
        ("x", {"name": "former", "version": "2.0"}, 409, "name already exists"),
        (
            "x",
            {"name": "n", "version": "0.9"},
            409,
            "The setting x already has a newer version (1.0)",
        ),
        ("x", {"name": "n", "version": "1.0"}, 204, ""),
    ],
)
async def test_renaming(
    service: httpx.AsyncClient, name: str, body: dict[str, str], status: int, text: str
) -> None:
    await declare(service, "x")
    await declare(service, "former")
    await declare(service, "y", alias="former", version="1.1")

    answer = await service.put(f"/api/v1/settings/{name}/name", json=body)

    assert (answer.status_code, answer.text) == (status, text)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("type", {"type": "int", "version": "1.2"}),
        ("configurable_features", {"configurable_features": FEATURES, "version": "1.2"}),
    ],
)
async def test_version_alone_is_not_changed_by_an_alias(
    service: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    """The service says 204 and does nothing, so this one must not pretend that it works."""
    await declare(service, "x")
    await declare(service, "new", alias="x", version="1.1")

    by_alias = await service.put(f"/api/v1/settings/x/{path}", json=body)
    after_alias = await setting(service)
    await service.put(f"/api/v1/settings/new/{path}", json=body)

    assert by_alias.status_code == 204
    assert after_alias["version"] == "1.1"
    assert (await setting(service))["version"] == "1.2"


@pytest.mark.parametrize(
    "declaration",
    [
        {"name": "x", "type": "Enum[1,2]", "version": "1.1"},
        {"name": "x", "type": "str", "default_value": "", "version": "2.0"},
        {"name": "new", "alias": "x", "type": "str", "default_value": "", "version": "2.0"},
    ],
    ids=["subtype", "other type", "other type and name"],
)
async def test_upgrade_is_rejected_where_rules_have_other_values(
    service: httpx.AsyncClient, declaration: dict[str, Any]
) -> None:
    await declare(service, "x")
    await add_rule(service, 1, user="u")
    await add_rule(service, 3, user="v")
    before = await setting(service)

    answer = await declare(service, **declaration)

    misfits = [1, 2] if declaration["type"] == "str" else [2]
    text = f"setting type incompatible with values for rules: {misfits}"
    assert (answer.status_code, answer.json()["outcome"]) == (409, "rejected")
    assert {"level": "mismatch", "message": text} in answer.json()["differences"]
    assert await setting(service) == before


@pytest.mark.parametrize("default", [0, False, "", [], {}], ids=repr)
async def test_upgrade_to_a_falsy_default_of_another_type(
    service: httpx.AsyncClient, default: Any
) -> None:
    types = {int: "int", bool: "bool", str: "str", list: "Sequence<int>", dict: "Mapping<int>"}
    await declare(service, "x", default_value=7)

    answer = await declare(
        service, "x", type=types[type(default)], default_value=default, version="2.0"
    )

    assert answer.json()["outcome"] == "upgraded"
    assert (await setting(service))["default_value"] == default


@pytest.mark.parametrize(
    ("alias", "status", "answer"),
    [
        ("x", 422, ["body", "__root__"]),
        ("nope", 404, "alias nope does not exist"),
        ("y", 409, "alias y is an alias of unrelated setting y"),
    ],
)
async def test_alias_that_cannot_be(
    service: httpx.AsyncClient, alias: str, status: int, answer: Any
) -> None:
    await declare(service, "x")
    await declare(service, "y")

    refused = await declare(service, "x", alias=alias)

    assert refused.status_code == status
    detail = refused.json()["detail"]
    assert (detail[0]["loc"] if status == 422 else detail) == answer


async def test_setting_is_deleted_with_all_it_has_by_an_alias(service: httpx.AsyncClient) -> None:
    await declare(service, "x")
    await add_rule(service, 2, user="u")
    await declare(service, "new", alias="x", version="1.1")

    deleted = await service.delete("/api/v1/settings/x")
    again = await service.delete("/api/v1/settings/x")

    assert (deleted.status_code, again.status_code) == (204, 404)
    assert again.text == "setting name not found"
    assert (await service.get("/api/v1/rules/1")).status_code == 404
    assert (await declare(service, "x")).json() == {"outcome": "created"}
    assert (await service.get("/api/v1/query")).json() == {
        "settings": {"x": {"default_value": 1, "rules": []}}
    }


@pytest.mark.parametrize(
    ("place", "loc"),
    [
        ({"default_value": 2**64}, ["body", "default_value"]),
        ({"metadata": {"k": [-(2**63) - 1]}}, ["body", "metadata", "k"]),
        ({"type": "str", "default_value": "\ud800"}, ["body", "default_value"]),
        ({"metadata": {"k": {"\ud800": 1}}}, ["body", "metadata", "k"]),
        ({"configurable_features": ["user", "user"]}, ["body", "configurable_features"]),
    ],
    ids=["integer", "integer in metadata", "surrogate", "surrogate in metadata", "feature twice"],
)
async def test_what_the_service_fails_on_is_refused_at_its_place(
    service: httpx.AsyncClient, place: dict[str, Any], loc: list[str]
) -> None:
    body = {"name": "x", "configurable_features": FEATURES, "type": "int", "default_value": 1}
    content = json.dumps({**body, **place})

    answer = await service.post(
        "/api/v1/settings/declare", content=content, headers={"content-type": "application/json"}
    )

    assert answer.status_code == 422
    assert [problem["loc"] for problem in answer.json()["detail"]] == [loc]


async def test_every_problem_of_a_body_is_named(service: httpx.AsyncClient) -> None:
    body = {"name": "a-b", "configurable_features": ["user", "a b"], "version": "1", "metadata": 1}

    answer = await service.post("/api/v1/settings/declare", json=body)

    assert sorted(problem["loc"] for problem in answer.json()["detail"]) == [
        ["body", "configurable_features", 1],
        ["body", "default_value"],
        ["body", "metadata"],
        ["body", "name"],
        ["body", "type"],
        ["body", "version"],
    ]
