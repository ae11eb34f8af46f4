"""What a client may expect of any Heksher: on the embedded service, and on a real one.

With `HEKSHER_URL` set, everything runs on the service there, too. It needs the context features
`environment` and `user`, in this order, and is left as it was found.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

import httpx
import pytest

from heksher import TRACK_ALL, AsyncHeksherClient, Setting
from heksher.server import create_app
from heksher.settings.setting import declaration_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from heksher.settings.registry import Registry

REAL = os.environ.get("HEKSHER_URL", "")


class Service:
    """A Heksher, and one part of its settings, under a prefix that nobody else uses."""

    def __init__(self, url: str, http: httpx.AsyncClient, registry: Registry) -> None:
        self.url = url.rstrip("/")
        self.http = http
        self.registry = registry
        self.prefix = f"contract.{uuid.uuid4().hex}"
        # A registry holds settings weakly.
        self.kept: list[Any] = []

    def name(self, name: str) -> str:
        return f"{self.prefix}.{name}"

    def client(self, **options: Any) -> AsyncHeksherClient:
        arguments: dict[str, Any] = {"http_client": self.http, "registry": self.registry, **options}
        return AsyncHeksherClient(self.url, 3600, ["environment", "user"], **arguments)

    def declare(self, name: str, default: Any = 1, **options: Any) -> Any:
        annotation = options.pop("type", int)
        if "alias" in options:
            options["alias"] = self.name(options["alias"])
        features = options.pop("configurable_features", ["user"])
        setting = Setting(
            self.name(name), annotation, features, default, registry=self.registry, **options
        )
        self.kept.append(setting)
        return setting

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        response = await self.http.request(method, f"{self.url}/api/v1/{path}", json=body)
        assert response.is_success, response.text
        return response.json() if response.content else None

    async def held(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.call("GET", f"settings/{self.name(name)}")
        return found

    async def rule(self, name: str, value: Any, **conditions: str) -> int:
        body = {"setting": self.name(name), "value": value, "feature_values": conditions}
        rule_id: int = (await self.call("POST", "rules", body))["rule_id"]
        return rule_id

    async def another_program(self, name: str, default: Any = 1, **fields: Any) -> None:
        """Declare as another program would, at 1.0 first if it is a later version."""
        body = {"name": self.name(name), "configurable_features": ["user"], "type": "int"}
        for version in dict.fromkeys(["1.0", fields.pop("version", "1.0")]):
            full = {**body, "default_value": default, **fields, "version": version}
            await self.call("POST", "settings/declare", full)

    async def clean_up(self) -> None:
        for listed in (await self.call("GET", "settings"))["settings"]:
            if listed["name"].startswith(self.prefix):
                await self.call("DELETE", f"settings/{listed['name']}")


@pytest.fixture(params=["embedded", *(["real"] if REAL else [])])
async def service(request: pytest.FixtureRequest, registry: Registry) -> AsyncIterator[Service]:
    if request.param == "embedded":
        transport = httpx.ASGITransport(create_app(context_features=["environment", "user"]))
        http, url = httpx.AsyncClient(transport=transport), "http://embedded.example"
    else:
        http, url = httpx.AsyncClient(timeout=60), REAL
    async with http:
        service = Service(url, http, registry)
        yield service
        await service.clean_up()


class Colour(Enum):
    RED = "red"
    GREEN = "green"


async def test_service_is_healthy(service: Service) -> None:
    await service.client().ping()


async def test_setting_is_declared_as_written(service: Service) -> None:
    service.declare("n", 5, metadata={"owner": ["a", {"b": None}]})

    async with service.client() as client:
        assert client.status.refused_declarations == ()

    held = await service.held("n")
    assert (held["type"], held["default_value"], held["version"]) == ("int", 5, "1.0")
    assert (held["configurable_features"], held["aliases"]) == (["user"], [])
    assert held["metadata"] == {"owner": ["a", {"b": None}]}


TYPES = [
    (int, 0, 3),
    (float, 0.0, 2.5),
    (str, "", "text \u00e9 \U0001f600"),
    (bool, False, True),
    (Colour, Colour.RED, "green"),
    (Literal[1, 2, "a"], 1, "a"),
    (frozenset[Colour], frozenset(Colour), ["red"]),
    (frozenset[Literal["b", "a", 1]], frozenset(), [1, "b"]),
    (Sequence[int], (), [1, 2]),
    (list[str], ["a"], []),
    (Mapping[str, float], {}, {"a": 1.5}),
    (dict[str, list[int]], {"a": [1]}, {"b": []}),
    (timedelta, timedelta(0), "PT1M30S"),
]


@pytest.mark.parametrize(
    ("annotation", "default", "raw"), TYPES, ids=[str(one[0]) for one in TYPES]
)
async def test_every_type_is_declared_up_to_date_and_read(
    service: Service, annotation: Any, default: Any, raw: Any
) -> None:
    setting = service.declare("n", default, type=annotation)
    async with service.client():
        await service.rule("n", raw, user="john")
    async with service.client() as client:
        assert client.status.refused_declarations == ()
        assert client.status.rejected_rules == ()

        assert setting.get(user="jane") == default
        decoder = declaration_of(setting).decoder
        assert decoder.canonical(raw) == decoder.encode(setting.get(user="john"))


async def test_rule_with_the_latest_feature_wins(service: Service) -> None:
    setting = service.declare("n", 0, configurable_features=["user", "environment"])
    async with service.client() as client:
        await service.rule("n", 1, environment="e")
        await service.rule("n", 2, user="u")
        await service.rule("n", 3, user="u", environment="e")
        await client.reload()

        read = [
            setting.get(user=user, environment=environment)
            for user in ("u", None)
            for environment in ("e", None)
        ]
    assert read == [3, 2, 1, 0]


async def test_rules_come_and_go_and_change(service: Service) -> None:
    setting, read = service.declare("n"), []
    async with service.client() as client:
        rule_id = await service.rule("n", 5, user="u")
        await client.reload()
        read.append(setting.get(user="u"))
        await service.call("PUT", f"rules/{rule_id}/value", {"value": 6})
        await client.reload()
        read.append(setting.get(user="u"))
        await service.call("DELETE", f"rules/{rule_id}")
        await client.reload()
        read.append(setting.get(user="u"))

    assert read == [5, 6, 1]


async def test_nothing_new_is_answered_304(service: Service) -> None:
    setting = service.declare("n")
    async with service.client() as client:
        before = service.registry.snapshot.rule_sets[declaration_of(setting).index]
        await client.reload()

        assert service.registry.snapshot.rule_sets[declaration_of(setting).index] is before


async def test_later_version_of_a_new_setting_is_declared_in_two_steps(service: Service) -> None:
    service.declare("n", version="2.5", alias="unknown")

    async with service.client() as client:
        assert client.status.refused_declarations == ()

    assert (await service.held("n"))["version"] == "2.5"


async def test_upgrade_keeps_the_metadata_that_it_does_not_mention(service: Service) -> None:
    await service.another_program("n", metadata={"owner": "them"})
    setting = service.declare("n", 7, version="1.1")

    async with service.client() as client:
        assert client.status.refused_declarations == ()

    held = await service.held("n")
    assert (held["version"], held["default_value"]) == ("1.1", 7)
    assert held["metadata"] == {"owner": "them"}
    assert setting.get(user="u") == 7


@pytest.mark.parametrize(
    ("annotation", "type_string", "falsy", "before"),
    [
        (int, "int", 0, 5),
        (float, "float", 0.0, 5.5),
        (bool, "bool", False, True),
        (str, "str", "", "x"),
        (list[int], "Sequence<int>", [], [1]),
        (dict[str, int], "Mapping<int>", {}, {"a": 1}),
    ],
    ids=["int", "float", "bool", "str", "sequence", "mapping"],
)
async def test_upgrade_to_a_falsy_default_reads_it_for_ever(
    service: Service, annotation: Any, type_string: str, falsy: Any, before: Any
) -> None:
    await service.another_program("n", before, type=type_string)
    setting = service.declare("n", falsy, type=annotation, version="1.1")

    for _ in range(2):
        async with service.client() as client:
            await client.reload()

            assert setting.get(user="u") == falsy


async def test_rename_takes_the_rules_along(service: Service) -> None:
    await service.another_program("old")
    await service.rule("old", 9, user="u")
    setting = service.declare("new", version="1.1", alias="old")

    async with service.client() as client:
        assert client.status.refused_declarations == ()
        assert setting.get(user="u") == 9

    assert (await service.held("old"))["name"] == service.name("new")


async def test_rename_by_an_older_alias_works_too(service: Service) -> None:
    await service.another_program("oldest")
    await service.call(
        "PUT",
        f"settings/{service.name('oldest')}/name",
        {"name": service.name("old"), "version": "1.1"},
    )
    service.declare("new", version="1.2", alias="oldest")

    async with service.client() as client:
        assert client.status.refused_declarations == ()

    assert (await service.held("oldest"))["name"] == service.name("new")


async def test_renaming_back_works_where_it_is_asked_for(service: Service) -> None:
    await service.another_program("n")
    rename = {"name": service.name("other"), "version": "1.1"}
    await service.call("PUT", f"settings/{service.name('n')}/name", rename)
    service.declare("n", version="1.2", alias="other")

    async with service.client() as client:
        assert client.status.refused_declarations == ()

    assert (await service.held("other"))["name"] == service.name("n")


async def test_setting_renamed_while_running_is_followed(service: Service) -> None:
    setting, other = service.declare("n"), service.declare("other")
    async with service.client() as client:
        rename = {"name": service.name("new"), "version": "1.1"}
        await service.call("PUT", f"settings/{service.name('n')}/name", rename)
        await service.rule("new", 9, user="u")
        await service.rule("other", 8, user="u")
        await client.reload()

        assert (setting.get(user="u"), other.get(user="u")) == (9, 8)
        assert client.status.consecutive_failures == 0


async def test_setting_deleted_while_running_is_declared_again(service: Service) -> None:
    setting, other = service.declare("n"), service.declare("other")
    async with service.client() as client:
        await service.call("DELETE", f"settings/{service.name('n')}")
        await service.rule("other", 8, user="u")
        await client.reload()

        assert (setting.get(user="u"), other.get(user="u")) == (1, 8)
    assert (await service.held("n"))["default_value"] == 1


async def test_newer_version_of_another_program_is_read_and_told(service: Service) -> None:
    await service.another_program("n", 7, version="1.4")
    setting = service.declare("n", 0)

    async with service.client() as client:
        (outdated,) = client.status.outdated_declarations

    assert (outdated.latest_version, setting.get(user="u")) == ("1.4", 7)


async def test_newer_version_that_comes_while_running_is_read(service: Service) -> None:
    setting = service.declare("n", 0)
    async with service.client() as client:
        await service.another_program("n", 0)
        await service.call(
            "POST",
            "settings/declare",
            {
                "name": service.name("n"),
                "configurable_features": ["user"],
                "type": "int",
                "default_value": 7,
                "version": "1.1",
            },
        )
        await client.reload()

        assert setting.get(user="u") == 7


async def test_mismatch_is_told_with_its_differences(service: Service) -> None:
    await service.another_program("n", 7)
    setting = service.declare("n", 5.5, type=float)

    async with service.client() as client:
        (refused,) = client.status.refused_declarations

    assert refused.outcome == "mismatch"
    assert [one.attribute for one in refused.differences] == ["default_value", "type"]
    assert setting.get(user="u") == 7.0


async def test_upgrade_that_the_rules_forbid_is_told(service: Service) -> None:
    await service.another_program("n", configurable_features=["environment", "user"])
    await service.rule("n", 9, environment="e")
    setting = service.declare("n", version="2.0")

    async with service.client() as client:
        (refused,) = client.status.refused_declarations
        assert client.status.foreign_rules == 1

    assert (refused.outcome, setting.get(user="u")) == ("rejected", 1)


async def test_rules_that_a_subtype_left_behind_are_rejected_alone(service: Service) -> None:
    await service.another_program("n", 1, type="float")
    await service.rule("n", 9.5, user="u")
    await service.rule("n", 8, user="v")
    setting = service.declare("n", 1, version="1.1")

    async with service.client():
        assert setting.get(user="v") == 8
        assert setting.get(user="u") == 1


async def test_client_that_declares_nothing_changes_nothing(service: Service) -> None:
    await service.another_program("n", 7)
    settings = [service.declare("n", 3, version="1.1"), service.declare("unknown", 4)]

    async with service.client(declare=False) as client:
        assert len(client.status.refused_declarations) == 2
        assert [one.get(user="u") for one in settings] == [7, 4]

    assert (await service.held("n"))["version"] == "1.0"


@pytest.mark.parametrize(
    ("tracked", "read"),
    [
        ({}, [5, 6, 7]),
        ({"user": "u"}, [5, 1, 1]),
        ({"user": ["u", "w"], "environment": "e"}, [5, 1, 7]),
        ({"user": TRACK_ALL}, [5, 6, 1]),
        ({"user": []}, [1, 1, 1]),
    ],
    ids=["nothing", "one", "two", "all", "none"],
)
async def test_tracked_contexts_alone_are_read(
    service: Service, tracked: dict[str, Any], read: list[int]
) -> None:
    features = ["environment", "user"]
    setting = service.declare("n", configurable_features=features)
    await service.another_program("n", configurable_features=features)
    await service.rule("n", 5, user="u")
    await service.rule("n", 6, user="v")
    await service.rule("n", 7, user="w", environment="e")
    client = service.client()
    client.track_contexts(**tracked)

    async with client:
        assert [setting.get(user=user, environment="e") for user in "uvw"] == read


async def test_get_settings_lists_what_is_declared(service: Service) -> None:
    setting = service.declare("n", 5, metadata={"a": 1})
    async with service.client() as client:
        data = (await client.get_settings())[service.name("n")]

    assert (data.setting, data.default, data.type) == (setting, 5, "int")
    assert (data.metadata, data.configurable_features) == ({"a": 1}, ["user"])


async def test_hundreds_of_settings_are_declared_and_read(service: Service) -> None:
    settings = [service.declare(f"number_{place:03}", place) for place in range(300)]
    async with service.client() as client:
        await service.rule("number_150", -1, user="u")
        await client.reload()

        assert client.status.refused_declarations == ()
        assert [one.get(user="u") for one in settings[149:152]] == [149, -1, 151]
