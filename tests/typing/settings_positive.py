"""What type checkers infer of settings. Only they read this; nothing here is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType, assert_type

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from heksher import (
    HeksherEnum,
    HeksherMapping,
    HeksherSequence,
    Resolution,
    Setting,
    SettingType,
    bind_context,
)

if TYPE_CHECKING:
    from heksher.settings.rules.rule_set import ServiceRule

FEATURES = ["environment", "user"]


class Colour(Enum):
    RED = "red"


class Limits(BaseModel):
    model_config = ConfigDict(frozen=True)

    low: int = 0


@dataclass(frozen=True)
class Point:
    x: float


class Prices(TypedDict):
    small: int


Port = NewType("Port", int)


class Percent(SettingType[float]):
    """Abstract still, which is all the same to type checkers here."""


number = Setting[int]("a", configurable_features=FEATURES, default_value=60)
assert_type(number, Setting[int])
assert_type(number.get(user="x"), int)
assert_type(number.get(), int)
assert_type(number.get(**{"class": "x"}), int)
assert_type(number.default_value, int)
assert_type(number.name, str)
assert_type(number.configurable_features, tuple[str, ...])

assert_type(Setting("a", int, FEATURES, 60), Setting[int])
assert_type(Setting("a", str, FEATURES, ""), Setting[str])
assert_type(Setting("a", Colour, FEATURES, Colour.RED), Setting[Colour])
assert_type(Setting("a", Limits, FEATURES, Limits()), Setting[Limits])
assert_type(Setting("a", HeksherEnum(Colour), FEATURES, Colour.RED), Setting[Colour])
assert_type(Setting("a", HeksherSequence(int), FEATURES, (1,)).get(), tuple[Any, ...])
assert_type(Setting("a", HeksherMapping(int), FEATURES, {"a": 1}).get(), Mapping[str, Any])


def own_type(percent: Percent) -> None:
    assert_type(Setting("a", percent, FEATURES, 0.5), Setting[float])


literal = Setting[Literal["a", "b"]]("a", configurable_features=FEATURES, default_value="a")
assert_type(literal.get(user="x"), Literal["a", "b"])

annotated = Setting[Annotated[int, Field(ge=0)]](
    "a", configurable_features=FEATURES, default_value=0
)
assert_type(annotated.get(), int)

listed = Setting[list[int]]("a", configurable_features=FEATURES, default_value=[])
assert_type(listed.get(), list[int])

sequence = Setting[Sequence[str]]("a", configurable_features=FEATURES, default_value=["a"])
assert_type(sequence.get(), Sequence[str])

mapping = Setting[Mapping[str, float]]("a", configurable_features=FEATURES, default_value={})
assert_type(mapping.get(), Mapping[str, float])

members = Setting[frozenset[Colour]](
    "a", configurable_features=FEATURES, default_value=frozenset[Colour]()
)
assert_type(members.get(), frozenset[Colour])

model = Setting[Limits]("a", configurable_features=FEATURES, default_value=Limits())
assert_type(model.get().low, int)

point = Setting[Point]("a", configurable_features=FEATURES, default_value=Point(0))
assert_type(point.get().x, float)

prices = Setting[Prices]("a", configurable_features=FEATURES, default_value={"small": 1})
assert_type(prices.get()["small"], int)

port = Setting[Port]("a", configurable_features=FEATURES, default_value=Port(80))
assert_type(port.get(), Port)

assert_type(number.explain(user="x"), Resolution[int])
assert_type(number.explain(user="x").value, int)
assert_type(literal.explain().value, Literal["a", "b"])
assert_type(number.override(5), AbstractContextManager[None])
assert_type(number.on_change(lambda setting: setting.get()), Callable[[], None])


@number.add_validator
def positive(value: int, rule: ServiceRule | None, setting: Setting[int]) -> int:
    return abs(value)


assert_type(positive, Callable[[int, Any, Any], int])


def heard(setting: Setting[int]) -> None: ...


remove = number.on_change(heard)
remove()


def refuse(*arguments: object) -> int:
    raise TypeError


coercing = Setting[int](
    "a", configurable_features=FEATURES, default_value=1, on_coerce=refuse, metadata={"a": [1]},
    alias="b", version="1.1", description="what it does",
)  # fmt: skip
never = Setting[int]("a", configurable_features=FEATURES, default_value=1, on_coerce=None)


class Config:
    ttl = Setting[int](configurable_features=FEATURES, default_value=60)
    backend = Setting[Literal["memory", "redis"]](
        "backend", configurable_features=FEATURES, default_value="memory"
    )
    hosts = Setting[list[str]]("hosts", configurable_features=FEATURES, default_value=[])


assert_type(Config.ttl, Setting[int])
assert_type(Config.ttl.get(user="x"), int)
assert_type(Config().ttl, int)
assert_type(Config().backend, Literal["memory", "redis"])
assert_type(Config().hosts, list[str])


class IntSetting(Setting[int]): ...


assert_type(IntSetting("a", configurable_features=FEATURES, default_value=1).get(), int)


def read(setting: Setting[int]) -> int:
    with bind_context(user="x", environment=None), setting.override(3):
        return setting.get()


read(number)
read(Config.ttl)


def read_any(settings: Sequence[Setting[Any]]) -> list[Any]:
    return [setting.get() for setting in settings]


read_any([number, literal, Config.hosts])
