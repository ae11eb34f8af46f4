"""What type checkers infer of contexts, models and the testing kit. Nothing here is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar, assert_type

from pydantic import BaseModel, Field

from heksher import (
    PROVIDED,
    AsyncHeksherClient,
    ContextFeatures,
    Resolution,
    Setting,
    SettingsModel,
    ThreadHeksherClient,
    pinned,
)
from heksher.clients.stub import AsyncStubHeksherClient, Rule, SyncStubHeksherClient
from heksher.testing import LocalService, StubHeksherClient, export_snapshot

T = TypeVar("T")


class Provided(ContextFeatures):
    environment: str = PROVIDED


class Features(Provided):
    user: str
    theme: str | None = PROVIDED


context = Features(user="x", environment="prod")
assert_type(context.user, str)
assert_type(context.theme, str | None)
Features(user="x")
Features(user="x", theme=None)

number = Setting[int].within(Features, "a", default_value=60)
assert_type(number.get(user="x"), int)
assert_type(number.get(user="x", environment="prod"), int)
assert_type(number.get(user="x", theme=None), int)
assert_type(number.explain(user="x"), Resolution[int])
assert_type(number.default_value, int)
assert_type(number.override(5), AbstractContextManager[None])

literal = Setting[Literal["a", "b"]].within(Features, "b", default_value="a")
assert_type(literal.get(user="x"), Literal["a", "b"])
annotated = Setting[Annotated[int, Field(ge=0)]].within(Features, "c", default_value=1)
assert_type(annotated.get(user="x"), int)
sequence = Setting[Sequence[str]].within(Features, "d", default_value=["a"])
assert_type(sequence.get(user="x"), Sequence[str])
mapping = Setting[Mapping[str, float]].within(Features, "e", default_value={})
assert_type(mapping.get(user="x"), Mapping[str, float])
detailed = Setting[list[int]].within(
    Features, "f", default_value=[], alias="g", version="1.1", metadata={"a": 1},
    description="what it does", on_coerce=None,
)  # fmt: skip
assert_type(detailed.get(user="x"), list[int])
provided = Setting[int].within(Provided, "h", default_value=1)
assert_type(provided.get(), int)
assert_type(provided.get(environment="prod"), int)
assert_type(literal.explain(user="x").value, Literal["a", "b"])


class Config:
    ttl = Setting[int].within(Features, default_value=60)


assert_type(Config.ttl.get(user="x"), int)
assert_type(Config().ttl, int)

listed = Setting[int]("i", configurable_features=Features, default_value=1)
assert_type(listed.get(anything="x"), int)

assert_type(Features.bind(user="x"), AbstractContextManager[None])
assert_type(Provided.bind(environment="prod"), AbstractContextManager[None])
with Features.bind(user="x", theme=None), Provided.bind():
    pass

client = AsyncHeksherClient("http://heksher", 60, Features)
thread_client = ThreadHeksherClient("http://heksher", 60, Features)
Provided.set_defaults(client, environment="prod")
Provided.set_defaults(thread_client, environment="prod")


class Inner(SettingsModel):
    port: int = 80


class Cache(SettingsModel, prefix="cache", context=Features, version="1.1"):
    limit: ClassVar[int] = 3
    ttl: int = 60
    size: Annotated[int, Field(ge=1)] = 100
    backend: Literal["memory", "redis"] = "memory"
    inner: Inner = Inner()


class Larger(Cache):
    hosts: list[str] = Field(default_factory=list[str])


assert_type(Cache.get(user="x"), Cache)
assert_type(Cache.get(user="x").ttl, int)
assert_type(Cache.get(user="x").backend, Literal["memory", "redis"])
assert_type(Cache.get(user="x").inner.port, int)
assert_type(Cache.current, Cache)
assert_type(Cache.current.size, int)
assert_type(Cache.settings["ttl"], Setting[Any, ...])
assert_type(Cache.settings, Mapping[str, Setting[Any, ...]])
assert_type(Larger.get(user="x"), Larger)
assert_type(Larger.current.hosts, list[str])
assert_type(Cache(ttl=3).ttl, int)
with Cache.override(ttl=3), pinned():
    pass


class Listed(SettingsModel, Generic[T], configurable_features=["user"]):
    items: list[T] = []  # noqa: RUF012  # pydantic copies it


class Numbers(Listed[int], prefix="numbers"): ...


assert_type(Numbers.get(user="x").items, list[int])
assert_type(Listed[str].get(user="x").items, list[str])


class Owner(BaseModel):
    ttl: ClassVar[Setting[int]] = Setting[int](
        "owner.ttl", configurable_features=["user"], default_value=60
    )


assert_type(Owner.ttl, Setting[int])
assert_type(Owner().ttl, int)


def test_stub(heksher: StubHeksherClient) -> None:
    heksher[listed].rules = 5
    heksher[listed].rules = [Rule({"user": "x"}, 5), Rule({}, 6)]
    heksher["cache.ttl"].rules = 5
    heksher[number].rules = 5
    former = heksher[listed].rules
    heksher[listed].rules = former
    with heksher.patch(listed, 5):
        assert_type(listed.get(), int)


SyncStubHeksherClient("http://heksher", 60, Features)[listed].rules = 5
AsyncStubHeksherClient()[listed].rules = [Rule({"user": "x"}, 5)]
assert_type(Rule({"user": "x"}, 5), Rule[int])

with LocalService(Features) as service:
    assert_type(service.url, str)
    assert_type(service.add_rule(listed, 5, user="x"), int)
    assert_type(service.add_rule("cache.ttl", 5, user="x"), int)
    with service.fail_with(503, times=1), service.fail_with(OSError()):
        service.rename(listed, "j")
        service.delete("j")
export_snapshot("values.json")
