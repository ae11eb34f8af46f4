"""The client fed with what the real service answered, and with what no Heksher answers."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import respx

from heksher import (
    AsyncHeksherClient,
    ServiceError,
    ServiceStatusError,
    Setting,
    SettingType,
    UnexpectedResponse,
)
from heksher.settings.setting import declaration_of
from heksher.settings.types.custom import Conversion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heksher.settings.registry import Registry

EXCHANGES = Path(__file__).parents[1] / "exchanges"
URL = "http://service.example"


class Anything(SettingType[Any]):
    """Takes whatever a rule says."""

    def heksher_string(self) -> str:
        return "str"

    def convert_from_heksher(self, x: Any) -> Conversion[Any]:
        return Conversion(x)

    def convert_to_heksher(self, x: Any) -> Any:
        return x


def recorded(method: str, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every distinct answer to such requests, with the name of its scenario."""
    seen = set()
    for file in sorted(EXCHANGES.glob("*.json")):
        for exchange in json.loads(file.read_text())["exchanges"]:
            request, answer = exchange["request"], exchange["response"]
            if request.get("path") != path or request["method"] != method:
                continue
            if not isinstance(answer, dict) or not isinstance(answer.get("status"), int):
                continue
            if isinstance(answer.get("json"), dict) and "(" in str(answer["json"].get("settings")):
                # Too long to be recorded whole.
                continue
            key = json.dumps([answer["status"], answer.get("json"), answer.get("text")])
            if key not in seen:
                seen.add(key)
                yield f"{file.stem}-{len(seen)}", answer


def response(answer: dict[str, Any]) -> httpx.Response:
    headers = {key: value for key, value in answer["headers"].items() if key != "content-length"}
    if "json" in answer:
        return httpx.Response(answer["status"], headers=headers, text=json.dumps(answer["json"]))
    return httpx.Response(answer["status"], headers=headers, text=answer.get("text") or "")


def cases(method: str, path: str, *, ok: bool | None = None) -> list[Any]:
    return [
        pytest.param(answer, id=name)
        for name, answer in recorded(method, path)
        if ok is None or (answer["status"] == 200) is ok
    ]


@pytest.fixture
def router() -> Iterator[respx.MockRouter]:
    """A service that has one setting, `n`, and answers as far as a test does not say otherwise."""
    listed = {
        "name": "n",
        "configurable_features": ["user"],
        "type": "int",
        "default_value": 1,
        "metadata": {},
        "aliases": [],
        "version": "1.0",
    }
    with respx.mock(base_url=URL, assert_all_called=False) as router:
        router.get("/api/v1/context_features", name="features").respond(
            json={"context_features": ["user"]}
        )
        router.get("/api/v1/settings", name="list").respond(json={"settings": [listed]})
        router.post("/api/v1/settings/declare", name="declare").respond(json={"outcome": "created"})
        router.get("/api/v1/query", name="query").mock(side_effect=usual_query)
        yield router


def usual_query(request: httpx.Request) -> httpx.Response:
    rule = {"value": 7, "context_features": [["user", "john"]], "rule_id": 1}
    names = request.url.params["settings"].split(",")
    settings = {name: {"default_value": 1, "rules": [rule]} for name in names}
    return httpx.Response(200, json={"settings": settings}, headers={"etag": '"good"'})


@contextmanager
def instead(router: respx.MockRouter, endpoint: str, answer: httpx.Response) -> Iterator[None]:
    """Let an endpoint give another answer for a while."""
    route = router[endpoint]
    usual, side_effect = route.return_value, route.side_effect
    route.mock(return_value=answer, side_effect=None)
    yield
    route.mock(return_value=usual, side_effect=side_effect)


def declare(registry: Registry, **options: Any) -> Setting[int]:
    return Setting[int](
        "n", configurable_features=["user"], default_value=1, registry=registry, **options
    )


def client_of(registry: Registry, features: tuple[str, ...] = ("user",)) -> AsyncHeksherClient:
    # Nothing is sent, so no certificates need to be loaded, which takes most of a test's time.
    arguments = {"verify": False}
    return AsyncHeksherClient(URL, 3600, features, registry=registry, http_client_args=arguments)


ACCEPTED = {"created", "uptodate", "upgraded", "outdated"}


@pytest.mark.parametrize("answer", cases("POST", "/api/v1/settings/declare"))
async def test_every_answer_to_a_declaration_is_understood(
    router: respx.MockRouter,
    registry: Registry,
    answer: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("heksher.clients.conversation.declaring.declare.RETRIES", 0)
    router["declare"].mock(return_value=response(answer), side_effect=None)
    setting = declare(registry, version="1.1")
    body = answer.get("json")
    outcome = body.get("outcome") if isinstance(body, dict) else None

    async with client_of(registry) as client:
        refused = client.status.refused_declarations

    if outcome in ACCEPTED:
        assert refused == ()
    else:
        expected = "degraded" if answer["status"] >= 500 else outcome or "refused"
        assert [one.outcome for one in refused] == [expected]
    assert setting.get(user="john") == 7


def test_every_outcome_was_recorded() -> None:
    answers = [answer for _, answer in recorded("POST", "/api/v1/settings/declare")]
    outcomes = {one["json"].get("outcome") for one in answers if isinstance(one.get("json"), dict)}

    assert outcomes >= {*ACCEPTED, "mismatch", "rejected"}
    assert {one["status"] for one in answers} >= {200, 400, 404, 409, 422, 500}


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(answer, id=name)
        for name, answer in recorded("POST", "/api/v1/settings/declare")
        if isinstance(answer.get("json"), dict) and answer["json"].get("differences")
    ],
)
async def test_differences_of_every_conflict_stand_in_the_status(
    router: respx.MockRouter, registry: Registry, answer: dict[str, Any]
) -> None:
    router["declare"].mock(return_value=response(answer), side_effect=None)
    setting = declare(registry, version="1.1")

    async with client_of(registry) as client:
        status = client.status

    told = [one.differences for one in status.refused_declarations]
    told += [one.differences for one in status.outdated_declarations]
    if answer["json"]["outcome"] not in ("created", "uptodate", "upgraded"):
        found = [(one.level, one.attribute, one.latest_value, one.message) for one in told[0]]
        assert found == [
            (one["level"], one.get("attribute"), one.get("latest_value"), one.get("message"))
            for one in answer["json"]["differences"]
        ]
    assert setting.get(user="x") is not None


def features_in(queried: dict[str, Any]) -> tuple[str, ...]:
    """Return the context features that any rule has a condition on; one, if none has."""
    rules = [rule for one in queried.values() for rule in one["rules"]]
    features = [feature for rule in rules for feature, _ in rule["context_features"]]
    return tuple(dict.fromkeys(features)) or ("user",)


@pytest.mark.parametrize("answer", cases("GET", "/api/v1/query", ok=True))
async def test_every_answer_to_a_query_is_read_whole(
    router: respx.MockRouter, registry: Registry, answer: dict[str, Any]
) -> None:
    queried = answer["json"]["settings"]
    features = features_in(queried)
    router["features"].respond(json={"context_features": list(features)})
    router["list"].respond(json={"settings": []})
    router["query"].mock(return_value=response(answer), side_effect=None)
    settings = [
        Setting(name, Anything(), features, "default", registry=registry) for name in queried
    ]

    async with client_of(registry, features) as client:
        replaced = {one.rule_id for one in client.status.rejected_rules}

    rule_sets = registry.snapshot.rule_sets
    for setting in settings:
        ids = {
            rule.rule_id: rule.value for rule in rule_sets[declaration_of(setting).index].rules()
        }
        assert ids == {
            one["rule_id"]: one["value"]
            for one in queried[setting.name]["rules"]
            if one["rule_id"] not in replaced
        }
        assert setting.get(**dict.fromkeys(features)) == queried[setting.name]["default_value"]


@pytest.mark.parametrize(
    "answer",
    [one for one in cases("GET", "/api/v1/query", ok=False) if one.values[0]["status"] != 304],
)
async def test_every_refusal_of_a_query_leaves_the_values_and_the_next_attempt_due(
    router: respx.MockRouter, registry: Registry, answer: dict[str, Any]
) -> None:
    setting = declare(registry)
    async with client_of(registry) as client:
        with instead(router, "query", response(answer)), pytest.raises(ServiceError):
            await client.reload()
        failed = client.status
        await client.reload()

        assert (failed.consecutive_failures, client.status.consecutive_failures) == (1, 0)
    assert setting.get(user="john") == 7


@pytest.mark.parametrize("answer", cases("GET", "/api/v1/settings", ok=True))
async def test_every_list_of_settings_is_read_whole(
    router: respx.MockRouter, registry: Registry, answer: dict[str, Any]
) -> None:
    router["list"].mock(return_value=response(answer), side_effect=None)
    whole = [one for one in answer["json"]["settings"] if "aliases" in one]

    found = await client_of(registry).get_settings()

    assert [one.model_dump() for one in found.values()] == whole


@pytest.mark.parametrize("answer", cases("GET", "/api/v1/context_features"))
async def test_every_answer_about_the_features_is_understood(
    router: respx.MockRouter, registry: Registry, answer: dict[str, Any]
) -> None:
    setting = declare(registry)
    async with client_of(registry) as client:
        router["features"].mock(return_value=response(answer), side_effect=None)
        if answer["status"] == 200:
            await client.reload()
            assert registry.snapshot.feature_order[-1:] == tuple(
                answer["json"]["context_features"][-1:] or ["user"]
            )
        else:
            with pytest.raises(ServiceStatusError):
                await client.reload()

    assert setting.get(user="john") == 7


@pytest.mark.parametrize("answer", cases("GET", "/api/health"))
async def test_every_answer_about_the_health_is_understood(
    router: respx.MockRouter, registry: Registry, answer: dict[str, Any]
) -> None:
    router.get("/api/health").mock(return_value=response(answer))
    client = client_of(registry)

    if answer["status"] == 200:
        await client.ping()
    else:
        with pytest.raises(ServiceStatusError):
            await client.ping()
    await client.aclose()


GARBAGE = {
    "empty": b"",
    "no-json": b"OK",
    "html": b"<!doctype html><title>Sign in</title>",
    "truncated": b'{"settings": {"n": {"default_value": 1, "ru',
    "array": b"[]",
    "null": b"null",
    "number": b"5",
    "other-service": b'{"status": "ok", "data": []}',
    "other-types": b'{"settings": 5, "context_features": {"a": 1}, "outcome": 3, "version": []}',
    "lone-surrogate": b'{"settings": {"n": "\\ud800"}, "context_features": ["\\ud800"]}',
    "bad-utf-8": b'{"settings": "\xff"}',
    "bare-nan": b"NaN",
    "deep": b"[" * 200_000,
    "deep-settings": b'{"settings":' * 50_000,
    "deep-rules": b'{"settings": {"n": {"default_value": ' + b"[" * 5_000 + b"]" * 5_000 + b"}}}",
    "nul": b"\0" * 100,
    "bom": b"\xef\xbb\xbf{}",
    "two": b'{"settings": {}}{"settings": {}}',
}


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE.keys())
@pytest.mark.parametrize("endpoint", ["features", "query", "list", "declare"])
async def test_garbage_raises_and_changes_nothing(
    router: respx.MockRouter, registry: Registry, endpoint: str, body: bytes
) -> None:
    setting = declare(registry)
    async with client_of(registry) as client:
        with instead(router, endpoint, httpx.Response(200, content=body)):
            late = Setting[int](
                "late", configurable_features=["user"], default_value=3, registry=registry
            )
            with pytest.raises(UnexpectedResponse, match="Check service_url"):
                await client.reload()

        assert client.status.consecutive_failures == 1
        assert "unexpected response to" in str(client.status.last_error)
        assert setting.get(user="john") == 7
        assert late.get(user="x") in (1, 3)


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE.keys())
@pytest.mark.parametrize("endpoint", ["features", "query", "list"])
async def test_garbage_stops_the_start(
    router: respx.MockRouter, registry: Registry, endpoint: str, body: bytes
) -> None:
    setting = declare(registry)
    router[endpoint].mock(return_value=httpx.Response(200, content=body), side_effect=None)

    with pytest.raises(UnexpectedResponse):
        await client_of(registry).set_as_main()

    assert (registry.main, setting.get(user="john")) == (None, 1)


@pytest.mark.parametrize("endpoint", ["features", "query"])
async def test_etag_of_the_last_good_answer_does_not_outlive_garbage(
    router: respx.MockRouter, registry: Registry, endpoint: str
) -> None:
    setting = declare(registry)
    html = httpx.Response(200, content=b"<html>", headers={"etag": '"bad"'})
    async with client_of(registry) as client:
        with instead(router, endpoint, html), pytest.raises(UnexpectedResponse):
            await client.reload()
        await client.reload()

    sent = [call.request.headers.get("if-none-match") for call in router["query"].calls]
    assert (
        sent == {"query": [None, '"good"', None], "features": [None, '"good"', '"good"']}[endpoint]
    )
    assert setting.get(user="john") == 7


async def test_garbage_is_logged_once_until_it_is_serious(
    router: respx.MockRouter, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "heksher")
    setting = declare(registry)
    async with client_of(registry) as client:
        with instead(router, "query", httpx.Response(200, text="<html>")):
            for _ in range(7):
                with pytest.raises(UnexpectedResponse):
                    await client.reload()
        await client.reload()

    told = [one for one in caplog.records if "update" in one.getMessage()]
    assert [one.levelname for one in told] == ["WARNING", "ERROR", "INFO"]
    assert all(one.exc_info is None for one in told)
    assert setting.get(user="john") == 7


@pytest.mark.parametrize("status", [201, 204, 206, 301, 302, 303, 307, 308])
@pytest.mark.parametrize("endpoint", ["features", "query"])
async def test_status_that_heksher_never_gives_is_unexpected(
    router: respx.MockRouter, registry: Registry, endpoint: str, status: int
) -> None:
    setting = declare(registry)
    async with client_of(registry) as client:
        answer = httpx.Response(status, headers={"location": "https://login.example"})

        with (
            instead(router, endpoint, answer),
            pytest.raises(UnexpectedResponse, match=f"status {status}"),
        ):
            await client.reload()

    assert setting.get(user="john") == 7


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 418, 429, 500, 502, 503, 599])
@pytest.mark.parametrize("endpoint", ["features", "query"])
async def test_no_error_status_stops_the_updates(
    router: respx.MockRouter, registry: Registry, endpoint: str, status: int
) -> None:
    setting = declare(registry)
    answer = httpx.Response(status, headers={"retry-after": "100000"}, text="<html>")
    async with client_of(registry) as client:
        with instead(router, endpoint, answer):
            for _ in range(2):
                with pytest.raises(ServiceError):
                    await client.reload()
        await client.reload()

        assert client.status.consecutive_failures == 0
    assert setting.get(user="john") == 7


BAD_RULES: dict[str, Any] = {
    "no-value": {"context_features": [["user", "x"]], "rule_id": 2},
    "no-id": {"value": 1, "context_features": [["user", "x"]]},
    "id-text": {"value": 1, "context_features": [["user", "x"]], "rule_id": "2"},
    "id-huge": {"value": 1, "context_features": [["user", "x"]], "rule_id": 2**80},
    "pair-of-three": {"value": 1, "context_features": [["user", "x", "y"]], "rule_id": 2},
    "null-condition": {"value": 1, "context_features": [["user", None]], "rule_id": 2},
    "object": {"value": 1, "context_features": {"user": "x"}, "rule_id": 2},
}


@pytest.mark.parametrize("rule", BAD_RULES.values(), ids=BAD_RULES.keys())
async def test_rule_of_the_wrong_shape_raises_and_changes_nothing(
    router: respx.MockRouter, registry: Registry, rule: dict[str, Any]
) -> None:
    setting = declare(registry)
    async with client_of(registry) as client:
        settings = {"n": {"default_value": 1, "rules": [rule]}}
        router["query"].mock(
            return_value=httpx.Response(200, json={"settings": settings}), side_effect=None
        )

        with pytest.raises(UnexpectedResponse, match="setting 'n'"):
            await client.reload()

    assert setting.get(user="john") == 7


ODD_RULES: dict[str, Any] = {
    "no-conditions": [],
    "feature-twice": [["user", "a"], ["user", "b"]],
    "unknown-feature": [["theme", "dark"]],
    "empty-names": [["", ""]],
    "newline": [["user", "x\n"]],
}


@pytest.mark.parametrize("conditions", ODD_RULES.values(), ids=ODD_RULES.keys())
async def test_odd_conditions_harm_no_other_rule(
    router: respx.MockRouter, registry: Registry, conditions: list[list[str]]
) -> None:
    rules = [
        {"value": 5, "context_features": conditions, "rule_id": 1},
        {"value": 7, "context_features": [["user", "john"]], "rule_id": 2},
    ]
    router["query"].mock(
        return_value=httpx.Response(
            200, json={"settings": {"n": {"default_value": 1, "rules": rules}}}
        ),
        side_effect=None,
    )
    setting = declare(registry)

    async with client_of(registry):
        assert setting.get(user="john") == 7
        assert setting.get(user="jane") == (1 if conditions else 5)


@pytest.mark.parametrize("value", ["text", None, 1.5, True, [], {}, float("nan")], ids=repr)
async def test_value_that_does_not_fit_is_left_out_alone(
    router: respx.MockRouter, registry: Registry, value: Any
) -> None:
    rules = [
        {"value": value, "context_features": [["user", "jane"]], "rule_id": 1},
        {"value": 7, "context_features": [["user", "john"]], "rule_id": 2},
    ]
    body = {"settings": {"n": {"default_value": value, "rules": rules}}}
    router["query"].mock(return_value=httpx.Response(200, text=json.dumps(body)), side_effect=None)
    setting = declare(registry)

    async with client_of(registry) as client:
        assert [setting.get(user=user) for user in ("john", "jane", "x")] == [7, 1, 1]
        assert [one.rule_id for one in client.status.rejected_rules] == [None, 1]
