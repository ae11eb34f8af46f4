"""Mistakes that type checkers find. Each line is an error; the day it is none, the ignore is."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Literal, assert_type

from heksher import Setting, bind_context

FEATURES = ["user"]


class Colour(Enum):
    RED = "red"


class Config:
    ttl = Setting[int]("ttl", configurable_features=FEATURES, default_value=60)


number = Setting[int]("a", configurable_features=FEATURES, default_value=60)

Setting[int]("a", configurable_features=FEATURES, default_value="60")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
Setting[int]("a", configurable_features=FEATURES, default_value=None)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
Setting[Literal["a"]]("a", configurable_features=FEATURES, default_value="b")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
Setting[Sequence[int]]("a", configurable_features=FEATURES, default_value=["x"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
Setting[list[str]]("a", configurable_features=FEATURES, default_value=("x",))  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
Setting[Colour]("a", configurable_features=FEATURES, default_value="red")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
Setting[int]("a", configurable_features=FEATURES)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
Setting[int]("a", default_value=60)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
Setting[int]("a", configurable_features=[1], default_value=60)  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
Setting[int]("a", configurable_features=FEATURES, default_value=60, version=1.0)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
Setting[int]("a", configurable_features=FEATURES, default_value=60, alias=5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
Setting[int]("a", configurable_features=FEATURES, default_value=60, metadata=["a"])  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
Setting[int]("a", configurable_features=FEATURES, default_value=60, on_coerce="drop")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
Setting[int]("a", configurable_features=FEATURES, default_value=60, default=60)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
Setting[int]("a", FEATURES, 60)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]

Config().ttl = 3  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
Config().ttl = "x"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
value: object = Config().ttl.get()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
total = Config.ttl + 1  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue, reportUnknownVariableType]
number.override("5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
number.override(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
number.on_change(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
number.add_validator(str.upper)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
number.metadata["a"] = 1  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
text: str = number.get(user="x")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
bind_context(user=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
bind_context("john")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
assert_type(number.get(), str)  # type: ignore[assert-type]  # pyright: ignore[reportAssertTypeFailure]


@number.add_validator  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def wrong(value: str, rule: object, setting: object) -> int:
    return 5


@number.add_validator  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def wrong_too(value: int, rule: object, setting: object) -> str:
    return "5"


def read(setting: Setting[str]) -> str:
    return setting.get()


read(number)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
read(Config.ttl)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
