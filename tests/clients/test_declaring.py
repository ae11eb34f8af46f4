"""How a setting stands with the service: every row of the table, alone and on the service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from heksher import Setting, SettingType
from heksher.clients.conversation.declaring.decisions import (
    Post,
    decide,
    declaration_body,
    differences,
    lacking_features,
    undeclared,
)
from heksher.clients.conversation.declaring.outcomes import (
    DeclarationOutcome,
    DefaultRead,
    Standing,
)
from heksher.clients.conversation.service_settings import Listing
from heksher.settings.setting import declaration_of
from heksher.settings.types.custom import Conversion
from heksher.wire import LISTED_SETTING, ListedSetting, read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clients.conftest import Embedded
    from heksher.settings.registry import Registry

EXCHANGES = Path(__file__).parents[1] / "exchanges"
KEPT: list[Any] = []
"""The settings of a test, which a registry holds weakly."""


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    yield
    KEPT.clear()


def listed(name: str = "n", default: Any = 1, **fields: Any) -> ListedSetting:
    known = {
        "configurable_features": ["user"],
        "type": "int",
        "metadata": {},
        "aliases": [],
        "version": "1.0",
    }
    return ListedSetting(name=name, default_value=default, **{**known, **fields})


def declared(registry: Registry, name: str = "n", default: Any = 1, **fields: Any) -> Any:
    options: dict[str, Any] = {"configurable_features": ["user"], "registry": registry, **fields}
    setting = Setting(name, options.pop("type", int), default_value=default, **options)
    KEPT.append(setting)
    return declaration_of(setting)


def flags(registry: Registry, **fields: Any) -> Any:
    setting = Setting[frozenset[Literal["a", "b"]]](
        "n",
        configurable_features=["user"],
        default_value=frozenset(["a", "b"]),
        registry=registry,
        **fields,
    )
    return declaration_of(setting)


class Raw(SettingType[Any]):
    """Any type string, its values as they are."""

    def __init__(self, type_string: str) -> None:
        self._type_string = type_string

    def heksher_string(self) -> str:
        return self._type_string

    def convert_from_heksher(self, x: Any) -> Conversion[Any]:
        return Conversion(x)

    def convert_to_heksher(self, x: Any) -> Any:
        return x


def standing(decision: Standing | Post) -> Standing:
    assert isinstance(decision, Standing)
    return decision


def post(decision: Standing | Post) -> Post:
    assert isinstance(decision, Post)
    return decision


def attributes(found: Standing) -> list[str | None]:
    return [one.attribute for one in found.differences]


def test_same_version_and_content_needs_nothing(registry: Registry) -> None:
    found = standing(decide(declared(registry), Listing([listed()])))

    assert (found.outcome, found.canonical_name, found.refusal) == ("uptodate", "n", None)


def test_same_version_with_another_default_is_a_mismatch_without_a_post(registry: Registry) -> None:
    found = standing(decide(declared(registry), Listing([listed(default=2)])))

    assert found.outcome is DeclarationOutcome.MISMATCH
    assert found.refusal is not None
    assert attributes(found) == ["default_value"]


@pytest.mark.parametrize(("ours", "is_local"), [(0, True), (5, False)])
def test_same_version_reads_their_default_unless_ours_is_falsy(
    registry: Registry, ours: int, *, is_local: bool
) -> None:
    setting = declared(registry, default=ours)

    found = standing(decide(setting, Listing([listed(default=7)])))

    assert found.reads_local_default(setting) is is_local


@pytest.mark.parametrize(
    ("annotation", "type_string", "falsy", "other"),
    [
        (int, "int", 0, 1),
        (float, "float", 0.0, 1.5),
        (bool, "bool", False, True),
        (str, "str", "", "x"),
        (list[int], "Sequence<int>", [], [1]),
        (dict[str, int], "Mapping<int>", {}, {"a": 1}),
    ],
    ids=["int", "float", "bool", "str", "sequence", "mapping"],
)
def test_every_falsy_default_stands_in_for_theirs_at_their_version(
    registry: Registry, annotation: Any, type_string: str, falsy: Any, other: Any
) -> None:
    setting = declared(registry, default=falsy, type=annotation)

    found = standing(decide(setting, Listing([listed(default=other, type=type_string)])))

    assert found.reads_local_default(setting)


def test_metadata_alone_is_a_mismatch_too(registry: Registry) -> None:
    found = standing(decide(declared(registry), Listing([listed(metadata={"a": 1})])))

    assert found.outcome is DeclarationOutcome.MISMATCH
    assert attributes(found) == ["metadata"]


def test_newer_declaration_is_posted_under_its_name(registry: Registry) -> None:
    decision = post(decide(declared(registry, version="1.1", default=2), Listing([listed()])))

    (body,) = decision.bodies
    assert (body["name"], body["version"], body["alias"]) == ("n", "1.1", None)
    assert body["default_value"] == 2


def test_their_metadata_is_sent_back_where_ours_has_none(registry: Registry) -> None:
    theirs = listed(metadata={"owner": "team"})

    decision = post(decide(declared(registry, version="1.1"), Listing([theirs])))

    assert decision.bodies[0]["metadata"] == {"owner": "team"}


def test_our_metadata_is_sent_whole_where_there_is_some(registry: Registry) -> None:
    setting = declared(registry, version="1.1", metadata={"tags": ["a", {"b": [1]}]})

    decision = post(decide(setting, Listing([listed(metadata={"owner": "team"})])))

    assert json.loads(json.dumps(decision.bodies[0]["metadata"])) == {"tags": ["a", {"b": [1]}]}


def test_newer_declaration_of_a_setting_that_has_our_alias_names_it(registry: Registry) -> None:
    setting = declared(registry, version="1.1", alias="old")

    decision = post(decide(setting, Listing([listed(aliases=["old"])])))

    assert decision.bodies[0]["alias"] == "old"


def test_newer_declaration_leaves_out_an_alias_that_the_service_lacks(registry: Registry) -> None:
    setting = declared(registry, version="1.1", alias="old")

    assert post(decide(setting, Listing([listed()]))).bodies[0]["alias"] is None


def test_older_declaration_is_outdated_and_reads_their_default(registry: Registry) -> None:
    setting = declared(registry, default=0)

    found = standing(decide(setting, Listing([listed(default=5, version="1.1")])))

    assert found.outcome is DeclarationOutcome.OUTDATED
    assert found.refusal is None
    assert not found.reads_local_default(setting)
    assert found.outdated is not None
    assert found.outdated.latest_version == "1.1"


@pytest.mark.parametrize(
    ("ours", "theirs", "is_posted"),
    [("1.10", "1.9", True), ("1.9", "1.10", False), ("2.0", "1.99", True), ("1.0", "01.00", False)],
)
def test_versions_are_compared_as_numbers(
    registry: Registry, ours: str, theirs: str, *, is_posted: bool
) -> None:
    decision = decide(declared(registry, version=ours), Listing([listed(version=theirs)]))

    assert isinstance(decision, Post) is is_posted


def test_odd_spelling_of_the_same_version_is_the_same_version(registry: Registry) -> None:
    found = standing(decide(declared(registry), Listing([listed(version="1.00\n")])))

    assert found.outcome is DeclarationOutcome.UPTODATE


@pytest.mark.parametrize(
    ("version", "outcome"), [("1.0", "uptodate"), ("1.1", "outdated"), ("2.0", "outdated")]
)
def test_name_that_became_an_alias_is_followed(
    registry: Registry, version: str, outcome: str
) -> None:
    renamed = listed("new", aliases=["n"], version=version)

    found = standing(decide(declared(registry), Listing([renamed])))

    assert (found.outcome, found.canonical_name, found.refusal) == (outcome, "new", None)
    assert attributes(found) == ["name"]


def test_newer_declaration_of_an_alias_is_refused_here(registry: Registry) -> None:
    renamed = listed("new", default=5, aliases=["n"])
    setting = declared(registry, version="1.1")

    found = standing(decide(setting, Listing([renamed])))

    assert (found.outcome, found.canonical_name) == ("refused", "new")
    assert found.default_read is DefaultRead.OURS
    assert found.refusal is not None
    assert "rename it back" in found.refusal.reason


def test_renaming_back_is_posted_where_it_is_asked_for(registry: Registry) -> None:
    renamed = listed("new", aliases=["n"])
    setting = declared(registry, version="1.1", alias="new")

    decision = post(decide(setting, Listing([renamed])))

    assert decision.bodies[0]["alias"] == "new"


@pytest.mark.parametrize("alias", ["old", "older"])
def test_rename_names_the_canonical_name_whatever_alias_we_know(
    registry: Registry, alias: str
) -> None:
    former = listed("old", aliases=["older"])
    setting = declared(registry, version="1.1", alias=alias)

    decision = post(decide(setting, Listing([former])))

    assert (decision.bodies[0]["name"], decision.bodies[0]["alias"]) == ("n", "old")


def test_rename_keeps_metadata_and_order_of_a_set(registry: Registry) -> None:
    former = listed("old", ["b", "a"], type='Flags["a","b"]', metadata={"k": 1})
    setting = flags(registry, version="1.1", alias="old")

    decision = post(decide(setting, Listing([former])))

    assert decision.bodies[0]["default_value"] == ["b", "a"]
    assert decision.bodies[0]["metadata"] == {"k": 1}


def test_rename_at_the_same_version_is_refused_here_and_reads_their_rules(
    registry: Registry,
) -> None:
    setting = declared(registry, alias="old", default=0)

    found = standing(decide(setting, Listing([listed("old", default=5)])))

    assert (found.outcome, found.canonical_name) == ("refused", "old")
    assert found.reads_local_default(setting)


def test_unknown_setting_at_1_0_is_posted_once(registry: Registry) -> None:
    decision = post(decide(declared(registry), Listing()))

    assert [body["version"] for body in decision.bodies] == ["1.0"]
    assert decision.note is None


def test_unknown_setting_at_a_later_version_is_posted_in_two_steps(registry: Registry) -> None:
    setting = declared(registry, version="2.3", alias="gone")

    decision = post(decide(setting, Listing()))

    assert [(body["version"], body["alias"]) for body in decision.bodies] == [
        ("1.0", None),
        ("2.3", None),
    ]
    assert decision.note is not None
    assert "'gone'" in decision.note
    assert "1.0 first" in decision.note


def test_name_and_alias_of_two_settings_are_refused_here(registry: Registry) -> None:
    setting = declared(registry, version="9.0", alias="old", default=0)

    found = standing(decide(setting, Listing([listed(default=4), listed("old")])))

    assert (found.outcome, found.canonical_name) == ("refused", "n")
    assert found.default_read is DefaultRead.THEIRS


def test_service_that_keeps_failing_leaves_our_default_and_their_rules(registry: Registry) -> None:
    decision = post(decide(declared(registry, version="1.1"), Listing([listed()])))

    assert decision.standing.outcome is DeclarationOutcome.DEGRADED
    assert decision.standing.default_read is DefaultRead.OURS
    assert decision.standing.canonical_name == "n"


def test_set_in_another_order_is_the_same_default(registry: Registry) -> None:
    theirs = listed(default=["b", "a"], type='Flags["b", "a"]')

    assert standing(decide(flags(registry), Listing([theirs]))).outcome == "uptodate"


@pytest.mark.parametrize("theirs", [True, 1.0])
def test_defaults_that_python_calls_equal_are_not_told_apart(
    registry: Registry, theirs: Any
) -> None:
    assert standing(decide(declared(registry), Listing([listed(default=theirs)]))).refusal is None


def test_features_are_compared_as_a_set(registry: Registry) -> None:
    setting = declared(registry, configurable_features=["user", "environment"])
    theirs = listed(configurable_features=["environment", "user"])

    assert standing(decide(setting, Listing([theirs]))).outcome == "uptodate"


def test_type_that_cannot_be_read_is_a_difference(registry: Registry) -> None:
    found = standing(decide(declared(registry), Listing([listed(type="Sequence<" * 9000)])))

    assert attributes(found) == ["type"]


def recorded_differences() -> list[Any]:
    """Every declaration that the real service called a mismatch or outdated, and what it held."""
    cases: list[Any] = []
    for scenario in ("mismatch_same_version", "outdated_minor", "outdated_renamed"):
        held: dict[str, Any] = {}
        for exchange in json.loads((EXCHANGES / f"declare_{scenario}.json").read_text())[
            "exchanges"
        ]:
            body, answer = exchange["request"].get("json"), exchange["response"]["json"]
            if answer.get("outcome") in ("created", "upgraded"):
                aliases = [body["alias"]] if "alias" in body else []
                held = {"metadata": {}, "version": "1.0", **body, "aliases": aliases}
            elif answer.get("outcome") in ("mismatch", "outdated"):
                case = pytest.param(held, body, answer, id=f"{scenario}-{len(cases)}")
                cases.append(case)
    return cases


@pytest.mark.parametrize(("held", "body", "answer"), recorded_differences())
def test_differences_are_those_that_the_service_would_find(
    registry: Registry, held: dict[str, Any], body: dict[str, Any], answer: dict[str, Any]
) -> None:
    setting = Setting(
        body["name"],
        Raw(body["type"]),
        body["configurable_features"],
        body["default_value"],
        body.get("metadata"),
        version=body.get("version", "1.0"),
        registry=registry,
    )

    found = standing(
        decide(declaration_of(setting), Listing([read(LISTED_SETTING, json.dumps(held).encode())]))
    )

    assert found.outcome == answer["outcome"]
    assert [(one.level, one.attribute, one.latest_value) for one in found.differences] == [
        (one["level"], one.get("attribute"), one.get("latest_value"))
        for one in answer["differences"]
    ]


def test_recorded_differences_are_not_empty() -> None:
    assert len(recorded_differences()) >= 25


@pytest.mark.parametrize("key", ["name", "type", "default_value", "metadata", "version", "alias"])
def test_declaration_says_everything(registry: Registry, key: str) -> None:
    body = declaration_body(declared(registry, metadata={"a": [1]}), alias="old")

    expected = {"name": "n", "type": "int", "default_value": 1, "metadata": {"a": [1]}}
    assert body[key] == {**expected, "version": "1.0", "alias": "old"}[key]


def test_differences_of_equals_are_none(registry: Registry) -> None:
    assert differences(declared(registry), listed(), outdated=False) == ()


@pytest.mark.parametrize(
    ("version", "outcome", "is_refused"),
    [("1.0", "uptodate", False), ("0.9", "outdated", False), ("1.1", "refused", True)],
)
def test_client_that_declares_nothing_reports_what_is_not_as_asked(
    registry: Registry, version: str, outcome: str, *, is_refused: bool
) -> None:
    found = undeclared(declared(registry, version=version), Listing([listed()]))

    assert (found.outcome, found.canonical_name) == (outcome, "n")
    assert (found.refusal is not None) is is_refused


def test_client_that_declares_nothing_reads_the_default_that_is_there(registry: Registry) -> None:
    found = undeclared(declared(registry, version="1.1", default=0), Listing([listed(default=5)]))

    assert found.default_read is DefaultRead.THEIRS


def test_client_that_declares_nothing_reports_an_unknown_setting(registry: Registry) -> None:
    found = undeclared(declared(registry), Listing([listed("other")]))

    assert (found.outcome, found.canonical_name) == ("refused", None)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_client_that_declares_nothing_reports_a_rename_that_is_due(
    registry: Registry, version: str
) -> None:
    setting = declared(registry, alias="old", version=version)

    found = undeclared(setting, Listing([listed("old")]))

    assert (found.outcome, found.canonical_name) == ("refused", "old")


def test_client_that_declares_nothing_follows_a_rename(registry: Registry) -> None:
    found = undeclared(declared(registry), Listing([listed("new", aliases=["n"])]))

    assert (found.outcome, found.canonical_name, found.refusal) == ("uptodate", "new", None)


def test_setting_with_features_that_are_nowhere_reads_its_declared_default(
    registry: Registry,
) -> None:
    found = lacking_features(declared(registry), ["user"], "the service")

    assert found.is_unusable
    assert found.refusal is not None
    assert "unknown to the service" in found.refusal.reason


async def test_row_of_equals_sends_no_declaration(service: Embedded) -> None:
    await service.declare("n", 1)
    declared(service.registry)

    async with service.client() as client:
        assert client.status.refused_declarations == ()

    assert (await service.setting("n"))["version"] == "1.0"


@pytest.mark.parametrize(("default", "read"), [(3, 7), (0, 0)])
async def test_row_of_a_mismatch_on_the_service(service: Embedded, default: int, read: int) -> None:
    await service.declare("n", 7)
    setting = declared(service.registry, default=default)

    async with service.client() as client:
        (refused,) = client.status.refused_declarations

    assert (refused.outcome, setting.setting.get(user="u")) == ("mismatch", read)
    assert (await service.setting("n"))["default_value"] == 7


@pytest.mark.parametrize("default", [3, 0])
async def test_row_of_a_newer_declaration_on_the_service(service: Embedded, default: int) -> None:
    await service.declare("n", 7, metadata={"owner": "team"})
    setting = declared(service.registry, default=default, version="1.1")

    async with service.client() as client:
        assert client.status.refused_declarations == ()

    held = await service.setting("n")
    assert (held["version"], held["default_value"], setting.setting.get(user="u")) == (
        "1.1",
        default,
        default,
    )
    assert held["metadata"] == {"owner": "team"}


async def test_row_of_an_older_declaration_on_the_service(service: Embedded) -> None:
    await service.upgrade("n", 7)
    setting = declared(service.registry, default=0)

    async with service.client() as client:
        (outdated,) = client.status.outdated_declarations

    assert (outdated.latest_version, setting.setting.get(user="u")) == ("2.0", 7)


async def test_row_of_a_name_that_became_an_alias_on_the_service(service: Embedded) -> None:
    await service.declare("n", 7)
    await service.rule("n", 9, user="u")
    await service.put("settings/n/name", {"name": "new", "version": "1.0"})
    setting = declared(service.registry)

    async with service.client():
        assert (setting.setting.get(user="u"), setting.setting.get(user="v")) == (9, 7)


async def test_row_of_a_newer_alias_on_the_service(service: Embedded) -> None:
    await service.declare("n", 7)
    await service.rule("n", 9, user="u")
    await service.put("settings/n/name", {"name": "new", "version": "1.0"})
    setting = declared(service.registry, version="1.1")

    async with service.client() as client:
        (refused,) = client.status.refused_declarations

    assert (refused.outcome, setting.setting.get(user="u"), setting.setting.get(user="v")) == (
        "refused",
        9,
        1,
    )
    assert (await service.setting("n"))["name"] == "new"


async def test_row_of_renaming_back_on_the_service(service: Embedded) -> None:
    await service.declare("n", 7)
    await service.put("settings/n/name", {"name": "new", "version": "1.0"})
    declared(service.registry, version="1.1", alias="new")

    async with service.client() as client:
        assert client.status.refused_declarations == ()

    assert (await service.setting("new"))["name"] == "n"


async def test_row_of_a_rename_on_the_service(service: Embedded) -> None:
    await service.declare("old", 7)
    await service.rule("old", 9, user="u")
    setting = declared(service.registry, version="1.1", alias="old")

    async with service.client():
        assert (setting.setting.get(user="u"), setting.setting.get(user="v")) == (9, 1)

    assert (await service.setting("old"))["name"] == "n"


async def test_row_of_a_rename_that_came_too_early_on_the_service(service: Embedded) -> None:
    await service.declare("old", 7)
    await service.rule("old", 9, user="u")
    setting = declared(service.registry, alias="old")

    async with service.client() as client:
        (refused,) = client.status.refused_declarations

    assert (refused.outcome, setting.setting.get(user="u"), setting.setting.get(user="v")) == (
        "refused",
        9,
        7,
    )
    assert (await service.setting("old"))["name"] == "old"


async def test_row_of_an_unknown_setting_on_the_service(
    service: Embedded, caplog: pytest.LogCaptureFixture
) -> None:
    setting = declared(service.registry, version="2.3", alias="gone", default=0)

    async with service.client():
        assert setting.setting.get(user="u") == 0

    assert (await service.setting("n"))["version"] == "2.3"
    assert sum("1.0 first" in record.getMessage() for record in caplog.records) == 1


async def test_row_of_two_settings_on_the_service(service: Embedded) -> None:
    await service.declare("n", 7)
    await service.declare("old", 8)
    setting = declared(service.registry, version="1.1", alias="old", default=0)

    async with service.client() as client:
        (refused,) = client.status.refused_declarations

    assert (refused.outcome, setting.setting.get(user="u")) == ("refused", 7)
