"""The shapes of the service's JSON: strict where they matter, blind to what is new."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from heksher import wire

if TYPE_CHECKING:
    from pydantic import TypeAdapter

EXCHANGES = Path(__file__).parent / "exchanges"

ADAPTERS: dict[tuple[str, str], TypeAdapter[Any]] = {
    ("GET", "/api/v1/query"): wire.QUERY_ANSWER,
    ("GET", "/api/v1/context_features"): wire.CONTEXT_FEATURES_ANSWER,
    ("GET", "/api/v1/settings"): wire.LOOSE_SETTINGS_ANSWER,
    ("GET", "/api/health"): wire.HEALTH_ANSWER,
    ("POST", "/api/v1/settings/declare"): wire.OUTCOME_ANSWER,
}


def recorded() -> list[Any]:
    """Every answer of the real service that was recorded whole and says that all is well."""
    cases = []
    for file in sorted(EXCHANGES.glob("*.json")):
        for place, exchange in enumerate(json.loads(file.read_text())["exchanges"]):
            request, response = exchange["request"], exchange["response"]
            adapter = ADAPTERS.get((request["method"], request.get("path", "")))
            if adapter is None or response.get("status") != 200 or "json" not in response:
                continue
            if not isinstance(response["json"].get("settings", {}), str):
                cases.append(pytest.param(adapter, response["json"], id=f"{file.stem}-{place}"))
    return cases


@pytest.mark.parametrize(("adapter", "body"), recorded())
def test_every_recorded_answer_has_its_shape(adapter: TypeAdapter[Any], body: Any) -> None:
    assert wire.read(adapter, json.dumps(body).encode()).keys() <= body.keys()


def test_every_kind_of_answer_was_recorded() -> None:
    assert {id(case.values[0]) for case in recorded()} == {id(one) for one in ADAPTERS.values()}


def test_unknown_keys_are_ignored() -> None:
    rule = {"value": 1, "context_features": [["a", "b"]], "rule_id": 1, "new": {}}
    body = {"settings": {"n": {"default_value": 1, "rules": [rule], "new": []}}, "new": 1}

    answer, malformed = wire.read_query(json.dumps(body).encode())

    assert malformed == {}
    assert answer["n"]["rules"] == [{"value": 1, "context_features": [("a", "b")], "rule_id": 1}]


def test_one_malformed_setting_is_named_and_the_others_are_read() -> None:
    good: dict[str, Any] = {"default_value": None, "rules": []}
    body = {"settings": {"a": good, "b": {"rules": []}, "c": good, "d": 5}}

    answer, malformed = wire.read_query(json.dumps(body).encode())

    assert answer.keys() == {"a", "c"}
    assert malformed.keys() == {"b", "d"}
    assert "default_value" in malformed["b"]


def test_what_is_wrong_is_said_without_the_text_of_a_value() -> None:
    body = {"settings": {"n": {"default_value": 1, "rules": [{"rule_id": "canary"}]}}}

    with pytest.raises(wire.WrongShape) as caught:
        wire.read(wire.QUERY_ANSWER, json.dumps(body).encode())

    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert "$.settings.n.rules[0]" in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'"\\ud800"'], ids=repr)
def test_no_json_is_said_so(body: bytes) -> None:
    with pytest.raises(wire.WrongShape, match="no JSON"):
        wire.read(wire.QUERY_ANSWER, body)


@pytest.mark.parametrize(
    "version", ["1", "1.", ".1", "1.0.0", "a.b", "", "1.0\n\n", " 1.0", "-1.0"]
)
def test_version_is_two_numbers(version: str) -> None:
    entry = {"name": "n", "configurable_features": [], "type": "int", "default_value": 1}
    listed = {**entry, "metadata": {}, "aliases": [], "version": version}

    with pytest.raises(wire.WrongShape):
        wire.read(wire.LISTED_SETTING, json.dumps(listed).encode())


@pytest.mark.parametrize(
    ("version", "numbers"), [("1.0", (1, 0)), ("1.10", (1, 10)), ("01.00\n", (1, 0))]
)
def test_version_is_read_as_numbers(version: str, numbers: tuple[int, int]) -> None:
    assert wire.version_numbers(version) == numbers


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"settings": []}', b'{"settings": {"a": {}}', b'{"settings": null}'],
)
def test_what_is_no_answer_to_a_query_is_refused(body: bytes) -> None:
    with pytest.raises(wire.WrongShape):
        wire.read_query(body)


def test_of_a_name_that_comes_twice_the_last_one_counts() -> None:
    body = (
        b'{"settings": {"a": {"default_value": 1, "rules": []}, "a": {"default_value": 2,'
        b' "rules": []}}}'
    )

    assert wire.read_query(body)[0] == {"a": {"default_value": 2, "rules": []}}
