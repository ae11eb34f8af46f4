"""Telling two values apart: by types, and by what `==` takes for one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest
from ids import shown
from pydantic import BaseModel, ConfigDict

from heksher import Setting, SettingType
from heksher.settings.types.custom import Conversion
from heksher.settings.types.equality import content_of, identical
from heksher.settings.types.read_only import FrozenList

if TYPE_CHECKING:
    from conftest import Publish

    from heksher.settings.registry import Registry

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


class Team(BaseModel):
    model_config = ConfigDict(frozen=True)

    members: list[str] = []

    @cached_property
    def first(self) -> str:
        return self.members[0]


@dataclass(frozen=True)
class Group:
    members: list[str] = field(default_factory=list)

    @cached_property
    def first(self) -> str:
        return self.members[0]


@dataclass(frozen=True, slots=True)
class Slots:
    members: list[str]


class Nameless:
    """Equal to its like; its `repr` is Python's own."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Nameless)

    def __hash__(self) -> int:
        return 1


class Ambiguous:
    """Compared part by part, as arrays are."""

    def __eq__(self, other: object) -> Any:
        return Ambiguous()

    def __hash__(self) -> int:
        return 1

    def __bool__(self) -> bool:
        raise ValueError("which part?")


class Ambiguously(SettingType[Ambiguous]):
    def heksher_string(self) -> str:
        return "int"

    def convert_from_heksher(self, x: Any) -> Conversion[Ambiguous]:
        return Conversion(Ambiguous())

    def convert_to_heksher(self, x: Ambiguous) -> int:
        return 1


SAME: list[tuple[Any, Any]] = [
    (1, 1), ("a", "a"), ([1, (2,)], [1, (2,)]), ({"a": {1}}, {"a": {1}}), ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    (frozenset({1, "a"}), frozenset({"a", 1})), (Team(members=["a"]), Team(members=["a"])),
    (Group(["a"]), Group(["a"])), ((), ()), (None, None), (0.5, 0.5), (-0.0, -0.0), (float("nan"), float("nan")),
    (Decimal("1.0"), Decimal("1.0")), (NOON, NOON + timedelta()), (Nameless(), Nameless()),
    (re.compile("a"), re.compile("a")), ({Decimal("1.0")}, {Decimal("1.0")}),
]  # fmt: skip
DIFFERENT: list[tuple[Any, Any]] = [
    (1, True), (1, 1.0), (0, False), (0, 0.0), ("", None), ([], ()), ([1], [True]), ([1], [1, 1]),
    ((0,), (False,)), ({"a": 1}, {"a": True}), ({"a": 1}, {"b": 1}), ({1}, {True}), ({1}, frozenset({1})),
    (FrozenList(), []), (Team(members=["a"]), Team(members=["b"])), (Group(["a"]), Group(["b"])),
    (Group(["a"]), Slots(["a"])), ({"a": [1.0]}, {"a": [1]}), (frozenset({(1,)}), frozenset({(True,)})),
    (0.0, -0.0), ([0.0], [-0.0]), ({0.0}, {-0.0}), (Decimal("1.0"), Decimal("1.000")),
    ({Decimal("1.0")}, {Decimal("1.000")}), ({"a": Decimal(1)}, {"a": Decimal("1.0")}),
    (NOON, NOON.astimezone(timezone(timedelta(hours=1)))), (re.compile("a"), re.compile("a", re.IGNORECASE)),
    (Ambiguous(), Ambiguous()), ([Ambiguous()], [Ambiguous()]),
]  # fmt: skip


@pytest.mark.parametrize(("left", "right"), SAME, ids=shown)
def test_values_that_nobody_can_tell_apart_are_identical(left: Any, right: Any) -> None:
    assert identical(left, right)


@pytest.mark.parametrize(("left", "right"), DIFFERENT, ids=shown)
def test_values_that_can_be_told_apart_are_not_identical(left: Any, right: Any) -> None:
    assert not identical(left, right)
    assert not identical(right, left)


@pytest.mark.parametrize("made", [Team(members=["a"]), Group(["a"])], ids=["model", "dataclass"])
def test_reading_a_cached_property_does_not_make_a_value_another(made: Any) -> None:
    other = type(made)(members=["a"])

    assert made.first == "a"

    assert identical(made, other)
    assert content_of(made) == content_of(other)


@pytest.mark.parametrize(
    ("annotation", "default", "first", "second"),
    [
        (Decimal, Decimal(0), "1.0", "1.000"),
        (datetime, NOON, "2024-01-02T12:00:00Z", "2024-01-02T13:00:00+01:00"),
        (float, 1.0, 0.0, -0.0),
    ],
    ids=["digits", "zone", "sign"],
)
def test_update_to_an_equal_value_that_is_written_otherwise_is_a_change(
    publish: Publish,
    registry: Registry,
    annotation: Any,
    default: Any,
    first: Any,
    second: Any,
) -> None:
    setting = Setting("s", annotation, ["user"], default, registry=registry)
    before = publish(setting, [(1, [["user", "x"]], first)])
    after = publish(setting, [(1, [["user", "x"]], second)])

    assert not after.reads_as(before)
    assert str(setting.get(user="x")) != str(setting.get(user="y"))


def test_values_that_cannot_be_compared_are_read_anew_each_time(
    publish: Publish, registry: Registry
) -> None:
    setting = Setting("s", Ambiguously(), ["user"], Ambiguous(), registry=registry)

    before = publish(setting, [(1, [["user", "x"]], 1)])
    after = publish(setting, [(1, [["user", "x"]], 2)])

    assert not after.reads_as(before)
