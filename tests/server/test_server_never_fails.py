"""No request makes the embedded service fail: whatever is sent, no answer is a 5xx."""

from __future__ import annotations

import asyncio
import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heksher.server import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

ENDPOINTS = [
    ("GET", "/api/health"),
    ("GET", "/api/v1/context_features"),
    ("POST", "/api/v1/context_features"),
    ("GET", "/api/v1/context_features/{name}"),
    ("DELETE", "/api/v1/context_features/{name}"),
    ("PATCH", "/api/v1/context_features/{name}/index"),
    ("POST", "/api/v1/settings/declare"),
    ("GET", "/api/v1/settings"),
    ("GET", "/api/v1/settings/{name}"),
    ("DELETE", "/api/v1/settings/{name}"),
    ("PUT", "/api/v1/settings/{name}/type"),
    ("PUT", "/api/v1/settings/{name}/name"),
    ("PUT", "/api/v1/settings/{name}/configurable_features"),
    ("GET", "/api/v1/settings/{name}/metadata"),
    ("POST", "/api/v1/settings/{name}/metadata"),
    ("PUT", "/api/v1/settings/{name}/metadata"),
    ("DELETE", "/api/v1/settings/{name}/metadata"),
    ("PUT", "/api/v1/settings/{name}/metadata/{key}"),
    ("DELETE", "/api/v1/settings/{name}/metadata/{key}"),
    ("POST", "/api/v1/rules"),
    ("GET", "/api/v1/rules/search"),
    ("GET", "/api/v1/rules/{rule}"),
    ("DELETE", "/api/v1/rules/{rule}"),
    ("PATCH", "/api/v1/rules/{rule}"),
    ("PUT", "/api/v1/rules/{rule}/value"),
    ("GET", "/api/v1/rules/{rule}/metadata"),
    ("POST", "/api/v1/rules/{rule}/metadata"),
    ("PUT", "/api/v1/rules/{rule}/metadata"),
    ("DELETE", "/api/v1/rules/{rule}/metadata"),
    ("PUT", "/api/v1/rules/{rule}/metadata/{key}"),
    ("DELETE", "/api/v1/rules/{rule}/metadata/{key}"),
    ("GET", "/api/v1/query"),
]

# Parts that are nearly right get deeper into the service than noise does.
NAMES = ["x", "y", "old", "user", "account", "a-b", "", "x\n", "é", "\0", "x" * 300, "5", "."]
VALUES: list[Any] = [
    *NAMES, 0, 1, -1, 1.5, True, False, None, [], {}, [1], {"a": 1}, {"user": "u"}, ["user"],
    ["user", "user"], ["user", "account"], ["nope"], 2**63, 2**64, 10**400, -(2**70), 1e300,
    math.inf, math.nan, "\ud800", {"\ud800": "\ud800"}, {"user": "\ud800"}, "int", "float", "str",
    "Enum[0,1]", "Sequence<int>", "Flags[" + "[" * 2000, "Sequence<" * 999, "Enum[1e999]", "1.0",
    "1.1", "2.0", "1.00", "1.0\n", "9" * 5000 + ".0", "0.0", [[["x"]]], {"user": {"user": []}},
]  # fmt: skip
GOOD_FIELDS = {
    "name": "x", "configurable_features": ["account", "user"], "type": "int", "alias": "old",
    "default_value": 1, "metadata": {"k": 1}, "version": "1.2", "setting": "x", "value": 3,
    "feature_values": {"account": "b"}, "context_feature": "new", "to_after": "user",
    "to_before": "account",
}  # fmt: skip
FIELDS_OF = {
    ("POST", "/api/v1/context_features"): ["context_feature"],
    ("PATCH", "/api/v1/context_features/{name}/index"): ["to_after", "to_before"],
    ("POST", "/api/v1/settings/declare"): [
        "name", "configurable_features", "type", "default_value", "metadata", "alias", "version",
    ],
    ("PUT", "/api/v1/settings/{name}/type"): ["type", "version"],
    ("PUT", "/api/v1/settings/{name}/name"): ["name", "version"],
    ("PUT", "/api/v1/settings/{name}/configurable_features"): ["configurable_features", "version"],
    ("POST", "/api/v1/settings/{name}/metadata"): ["metadata", "version"],
    ("PUT", "/api/v1/settings/{name}/metadata"): ["metadata", "version"],
    ("DELETE", "/api/v1/settings/{name}/metadata"): ["version"],
    ("PUT", "/api/v1/settings/{name}/metadata/{key}"): ["value", "version"],
    ("DELETE", "/api/v1/settings/{name}/metadata/{key}"): ["version"],
    ("POST", "/api/v1/rules"): ["setting", "feature_values", "value", "metadata"],
    ("PATCH", "/api/v1/rules/{rule}"): ["value"],
    ("PUT", "/api/v1/rules/{rule}/value"): ["value"],
    ("POST", "/api/v1/rules/{rule}/metadata"): ["metadata"],
    ("PUT", "/api/v1/rules/{rule}/metadata"): ["metadata"],
    ("PUT", "/api/v1/rules/{rule}/metadata/{key}"): ["value"],
}  # fmt: skip
RAW_BODIES = [
    b"", b"null", b"[]", b"{}", b"{", b"\xff\xfe", b"\xed\xa0\x80", b'"\xc3\x28"', b"NaN", b"-",
    b"[" * 100_000, b'{"a":' * 100_000, b"[" * 400 + b"]" * 400, b"1" * 10_000, b'""', b"5",
    b'[["name","x"]]', b'[[[1],2]]', b"\xef\xbb\xbf{}", "{}".encode("utf-16"), b'{"name":"\\ud800"}',
    b'{"version":1e999,"value":' + b"[" * 300 + b"]" * 300 + b"}",
]  # fmt: skip
CONTENT_TYPES = [
    b"application/json", b"text/plain", b"", b"application/x+json", b"\xff", b"multipart/form-data",
    b"application/x-www-form-urlencoded", b"application/json; charset=\xff",
]  # fmt: skip
QUERIES = [
    b"settings=x", b"settings=", b"settings=%00", b"settings=%ff,%", b"settings=x&settings=nope",
    b"context_filters=user:*", b"context_filters=user:(a,b),account:*", b"context_filters=",
    b"context_filters=user:*,user:*", b"context_filters=%F0%9F%98%80:*", b"include_metadata=1",
    b"include_metadata=\xff", b"setting=x&feature_values=user:u", b"setting=x&feature_values=::",
    b"setting=%ED%A0%80&feature_values=user:%ED%A0%80", b"include_additional_data=yes", b"&=&;%%",
    b"settings=" + b"x," * 40_000 + b"x",
]  # fmt: skip

segments = st.sampled_from(NAMES) | st.text(max_size=5)
rules = st.sampled_from(
    ["1", "2", "0", "-1", "99999999999", "9" * 5000, "1_0", "x", "1.0", "\uff11"]
)
json_values = st.sampled_from(VALUES) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
bodies = (
    st.dictionaries(st.sampled_from(sorted(GOOD_FIELDS)), json_values).map(
        lambda body: json.dumps(body).encode()
    )
    | st.sampled_from(RAW_BODIES)
    | st.binary(max_size=20)
)
queries = st.lists(st.sampled_from(QUERIES) | st.binary(max_size=10), max_size=2).map(b"&".join)


class Sent(NamedTuple):
    status: int
    headers: dict[bytes, bytes]
    body: bytes


async def send(
    app: FastAPI, method: str, path: str, *, query: bytes = b"", body: bytes = b"", **headers: bytes
) -> Sent:
    """Send a request as a server would that passes everything on, and return the answer."""
    raw_headers = [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
        "scheme": "http", "path": path, "raw_path": path.encode("utf-8", "surrogatepass"),
        "query_string": query, "root_path": "", "headers": raw_headers,
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def answer(message: Any) -> None:
        messages.append(message)

    await app(scope, receive, answer)
    body_sent = b"".join(message.get("body", b"") for message in messages[1:])
    return Sent(messages[0]["status"], dict(messages[0]["headers"]), body_sent)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    """Give an event loop without asyncio's debug mode, which takes 20 times as long here."""
    with asyncio.Runner(debug=False) as runner:
        yield runner


async def populated() -> FastAPI:
    """Return a service with a setting, a former name of it, and two rules."""
    app = create_app(context_features=["account", "user"])
    declaration = {"name": "old", "configurable_features": ["account", "user"], "type": "int"}
    declared = {**declaration, "default_value": 1}
    renamed = {**declared, "name": "x", "alias": "old", "version": "1.1"}
    for body in (declared, renamed):
        await send(app, "POST", "/api/v1/settings/declare", body=json.dumps(body).encode())
    for conditions in ({"user": "u"}, {"account": "a", "user": "u"}):
        rule = {"setting": "x", "feature_values": conditions, "value": 2}
        added = await send(app, "POST", "/api/v1/rules", body=json.dumps(rule).encode())
        assert added.status == 201
    return app


def fill(path: str, name: str, key: str, rule: str) -> str:
    return path.replace("{name}", name).replace("{key}", key).replace("{rule}", rule)


@pytest.fixture(scope="module")
def service(loop: asyncio.Runner) -> FastAPI:
    """Give a service for many random requests, each of which finds what the others left."""
    return loop.run(populated())


async def check_random_request(app: FastAPI, method: str, path: str, **request: bytes) -> None:
    for name, version in (("x", "1.0"), ("x", "9.0")):
        declaration = {
            "name": name, "configurable_features": ["user"], "type": "int", "default_value": 1,
            "version": version,
        }  # fmt: skip
        await send(app, "POST", "/api/v1/settings/declare", body=json.dumps(declaration).encode())

    answer = await send(app, method, path, **request)

    assert answer.status < 500
    if answer.headers.get(b"content-type") == b"application/json" and method != "HEAD":
        json.loads(answer.body)
    listed = await send(app, "GET", "/api/v1/settings", query=b"include_additional_data=1")
    asked = await send(app, "GET", "/api/v1/query")
    assert (listed.status, asked.status) == (200, 200)
    json.loads(asked.body)


@pytest.mark.parametrize(("method", "path"), ENDPOINTS, ids=[f"{m} {p}" for m, p in ENDPOINTS])
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    name=segments,
    key=segments,
    rule=rules,
    body=bodies,
    query=queries,
    content_type=st.sampled_from([b"application/json"] * 9 + CONTENT_TYPES),
)
def test_random_requests(
    loop: asyncio.Runner,
    service: FastAPI,
    method: str,
    path: str,
    name: str,
    key: str,
    rule: str,
    **request: bytes,
) -> None:
    loop.run(check_random_request(service, method, fill(path, name, key, rule), **request))


@pytest.mark.parametrize("body", RAW_BODIES, ids=lambda body: repr(body[:15]))
@pytest.mark.parametrize("path", ["/api/v1/settings/declare", "/api/v1/rules"])
async def test_bodies_that_are_no_declarations(path: str, body: bytes) -> None:
    answer = await send(create_app(), "POST", path, body=body, content_type=b"application/json")

    assert answer.status in {400, 422}
    assert "detail" in json.loads(answer.body)


@pytest.mark.parametrize(("method", "path"), FIELDS_OF, ids=[f"{m} {p}" for m, p in FIELDS_OF])
def test_every_field_with_every_kind_of_value(loop: asyncio.Runner, method: str, path: str) -> None:
    async def check_all() -> None:
        app = await populated()
        for field in FIELDS_OF[method, path]:
            for value in VALUES:
                fields = {**GOOD_FIELDS, field: value}
                if field == "to_before":
                    del fields["to_after"]
                body = json.dumps(fields).encode()
                answer = await send(app, method, fill(path, "x", "k", "1"), body=body)
                assert answer.status < 500, (field, value)

    loop.run(check_all())


@pytest.mark.parametrize(
    "method", ["HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "G\xc9T"]
)
def test_other_methods(loop: asyncio.Runner, method: str) -> None:
    async def check_all() -> None:
        app = await populated()
        for path in {path for _, path in ENDPOINTS}:
            answer = await send(app, method, fill(path, "x", "k", "1"))
            assert answer.status in {404, 405}

    loop.run(check_all())


STRANGE_SEGMENTS = [
    "%", "%zz", "%00", "%ff", "%ED%A0%80", "%2F", "..", "", "a b", "\ud800", "\udcff\udcfe",
    "x" * 100_000, "9" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("segment", STRANGE_SEGMENTS, ids=lambda segment: ascii(segment[:12]))
def test_strange_segments_of_paths(loop: asyncio.Runner, segment: str) -> None:
    """Servers decode what is percent-encoded; some pass on lone surrogates for what is no UTF-8."""

    async def check_all() -> None:
        app = await populated()
        for method, path in ENDPOINTS:
            for form in {segment, unquote(segment), unquote(segment, errors="surrogateescape")}:
                answer = await send(app, method, fill(path, form, form, form), body=b"{}")
                assert answer.status < 500

    loop.run(check_all())


@pytest.mark.parametrize("header", [b"", b"*", b'"', b"\xff", b"W/" * 10_000, b"*,*"])
async def test_any_condition_on_a_query(header: bytes) -> None:
    answer = await send(await populated(), "GET", "/api/v1/query", if_none_match=header)

    assert answer.status == (304 if header == b"*" else 200)


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/redoc"])
async def test_own_documentation(path: str) -> None:
    assert (await send(create_app(), "GET", path)).status == 200
