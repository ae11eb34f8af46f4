"""Mistakes with contexts, models and the testing kit that type checkers find; each line is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from heksher import PROVIDED, AsyncHeksherClient, ContextFeatures, Setting, SettingsModel
from heksher.testing import LocalService, Rule, StubHeksherClient


class Provided(ContextFeatures):
    environment: str = PROVIDED


class Features(Provided):
    user: str


class Cache(SettingsModel, prefix="cache", context=Features):
    ttl: int = 60


number = Setting[int].within(Features, "a", default_value=60)
literal = Setting[Literal["a", "b"]].within(Features, "b", default_value="a")
listed = Setting[int]("c", configurable_features=Features, default_value=1)
client = AsyncHeksherClient("http://heksher", 60, Features)
stub = StubHeksherClient()
service = LocalService(Features)

number.get(usr="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
number.get(user="x", usr="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
number.get()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
number.get(environment="prod")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
number.get(user=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
number.get(user=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
number.get(user="x", environment=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
number.get("x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
number.explain()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
number.explain(usr="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
number.override("5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
literal.get()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
text: str = number.get(user="x")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
other: Literal["c"] = literal.get(user="x")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

Setting[int].within(Features, "d", default_value="60")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Setting[int].within(Features, "d", default_value=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Setting[Literal["a"]].within(Features, "d", default_value="b")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Setting[Sequence[int]].within(Features, "d", default_value=["x"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
Setting[int].within(Features, "d")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Setting[int].within(["user"], "d", default_value=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Setting[int].within(Features, "d", default_value=1, version=1.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Setting[int].within(Features, "d", default_value=1, default=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Setting[int].within(Features, 5, default_value=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

Features()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Features("x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Features(user=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Features(usr="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
found: object = Features(user="x").usr  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
Features.bind()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Features.bind(usr="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Features.bind(user=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Provided.set_defaults(client, user="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Provided.set_defaults(client, environment=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

Cache(ttl="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Cache(tll=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Cache.get("x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Cache.get(user=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
found = Cache.get(user="x").tll  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
found = Cache.current.tll  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
Cache.settings["ttl"] = listed  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
wrong: str = Cache.get(user="x").ttl  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

stub[listed].rules = "5"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
stub[listed].rules = [Rule({"user": "x"}, "5")]  # type: ignore[arg-type]  # pyright: ignore[reportAttributeAccessIssue]
stub[listed].rules = [Rule({"user": 5}, 5)]  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
stub[5].rules = 5  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
stub.patch(listed, "5")  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
Rule("user", 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
service.add_rule(listed, 5, user=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
service.add_rule(5, 5, user="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
service.fail_with("503")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
service.url = "http://heksher"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
