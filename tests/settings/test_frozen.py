"""Read-only containers: nothing that can be called on one changes it, and it passes for a plain one."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, PrivateAttr, TypeAdapter

from heksher.settings.types.equality import identical
from heksher.settings.types.read_only import FrozenDict, FrozenList, FrozenSet, freeze

VALUES: list[Any] = [
    FrozenList([3, 1, 2]),
    FrozenDict({"a": 1, "b": 2}),
    FrozenSet({1, 2, 3}),
]
PLAIN: list[Any] = [[3, 1, 2], {"a": 1, "b": 2}, {1, 2, 3}]
PAIRS = list(zip(VALUES, PLAIN, strict=True))
ARGUMENTS: list[tuple[Any, ...]] = [
    (), (1,), (0, 9), ("a",), ("c", 9), ([9],), ({9},), ({"c": 9},), ([("c", 9)],), (slice(0, 2), [9]),
    (slice(0, 2),), (-1,), (2,), ([],), ({},), (set(),), (None,),
]  # fmt: skip
METHODS = [
    pytest.param(place, name, id=f"{type(value).__name__}.{name}")
    for place, value in enumerate(VALUES)
    for name in sorted({*dir(value), *dir(type(value).__mro__[1])})
    # These two are about the class of any object, and hold nothing of its items.
    if name not in ("__class__", "__new__") and callable(getattr(value, name, None))
]


def attempt(value: Any, name: str, arguments: tuple[Any, ...]) -> None:
    """Call a method in whatever way it can be called, whatever it raises."""
    try:
        getattr(value, name)(*arguments)
    except Exception:  # noqa: BLE001  # all that counts is what becomes of the value
        return


@pytest.mark.parametrize(("place", "name"), METHODS)
def test_no_method_changes_a_value(place: int, name: str) -> None:
    value = copy.copy(VALUES[place])
    frozen = type(VALUES[place])(value)

    for arguments in ARGUMENTS:
        attempt(frozen, name, arguments)

    assert identical(frozen, type(frozen)(PLAIN[place]))
    assert not hasattr(frozen, "__dict__")


@pytest.mark.parametrize("place", range(3), ids=["list", "dict", "set"])
def test_statement_that_would_change_a_value_is_an_error(place: int) -> None:
    value, statements = VALUES[place], (
        ["v += [1]", "v *= 2", "v[0] = 9", "del v[0]", "v[:] = []", "del v[:]"],
        ["v |= {'c': 1}", "v['a'] = 9", "del v['a']"],
        ["v |= {9}", "v &= {9}", "v -= {1}", "v ^= {1}"],
    )[place]  # fmt: skip

    for statement in statements:
        with pytest.raises(TypeError, match="read-only: copy it first"):
            exec(statement, {"v": value})  # noqa: S102  # our own statements

    assert value == PLAIN[place]


@pytest.mark.parametrize("name", ["x", "__dict__", "append", "__class__"])
def test_attributes_of_a_value_cannot_be_set(name: str) -> None:
    for value in VALUES:
        with pytest.raises((AttributeError, TypeError)):
            setattr(value, name, list)


@pytest.mark.parametrize(("value", "plain"), PAIRS, ids=lambda value: type(value).__name__)
def test_value_passes_for_a_plain_one(value: Any, plain: Any) -> None:
    assert value == plain
    assert plain == value
    assert isinstance(value, type(plain))
    assert len(value) == len(plain)
    assert sorted(value) == sorted(plain)
    assert bool(value)
    assert not type(value)()


COPIES = [
    copy.copy, copy.deepcopy, lambda value: value.copy(),
    *[lambda value, n=number: pickle.loads(pickle.dumps(value, n)) for number in range(2, 6)],  # noqa: S301
]  # fmt: skip


@pytest.mark.parametrize("make_copy", COPIES, ids=range(len(COPIES)))
@pytest.mark.parametrize(("value", "plain"), PAIRS, ids=lambda value: type(value).__name__)
def test_copy_is_plain_and_may_be_changed(value: Any, plain: Any, make_copy: Any) -> None:
    assert identical(make_copy(value), plain)


def test_deep_copy_and_pickle_are_plain_at_any_depth() -> None:
    value = freeze({"a": [[1], {2}]})

    for made in (copy.deepcopy(value), pickle.loads(pickle.dumps(value))):  # noqa: S301
        assert identical(made, {"a": [[1], {2}]})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (FrozenList.__add__(FrozenList([1]), [2]), [1, 2]), (list.__add__([2], FrozenList([1])), [2, 1]), (FrozenList([1]) * 2, [1, 1]),
        (2 * FrozenList([1]), [1, 1]), (FrozenList([1, 2])[:1], [1]),
        (FrozenDict({"a": 1}) | {"b": 2}, {"a": 1, "b": 2}), ({"b": 2} | FrozenDict({"a": 1}), {"b": 2, "a": 1}),
        (FrozenSet({1}) | {2}, {1, 2}), ({2} | FrozenSet({1}), {1, 2}), (FrozenSet({1, 2}) & {2}, {2}),
        ({2} & FrozenSet({1, 2}), {2}), (FrozenSet({1, 2}) - {2}, {1}), ({1, 2} - FrozenSet({2}), {1}),
        (FrozenSet({1, 2}) ^ {2}, {1}), ({1, 2} ^ FrozenSet({2}), {1}),
        (FrozenSet({1}).union({2}, [3]), {1, 2, 3}), (FrozenSet({1, 2}).intersection([2]), {2}),
        (FrozenSet({1, 2}).difference([2]), {1}), (FrozenSet({1}).symmetric_difference([2]), {1, 2}),
    ],
)  # fmt: skip
def test_what_is_computed_from_a_value_is_plain(value: Any, expected: Any) -> None:
    assert identical(value, expected)


def test_dict_made_from_keys_is_plain() -> None:
    assert identical(FrozenDict.fromkeys("ab", 1), {"a": 1, "b": 1})


def test_value_is_dumped_as_a_plain_one() -> None:
    value = freeze({"a": [1, {"b": [2]}]})

    assert json.dumps(value) == '{"a": [1, {"b": [2]}]}'
    assert TypeAdapter(dict[str, Any]).dump_json(value) == b'{"a":[1,{"b":[2]}]}'
    assert TypeAdapter(set[int]).dump_python(FrozenSet({1}), mode="json") == [1]


def test_value_is_validated_as_a_plain_one() -> None:
    assert TypeAdapter(list[int]).validate_python(FrozenList([1]), strict=True) == [1]
    assert TypeAdapter(dict[str, int]).validate_python(FrozenDict({"a": 1}), strict=True) == {
        "a": 1
    }
    assert TypeAdapter(set[int]).validate_python(FrozenSet({1}), strict=True) == {1}


class Team(BaseModel):
    model_config = ConfigDict(frozen=True)

    members: list[str] = []
    _seen: list[str] = PrivateAttr(default_factory=list)


@dataclass(frozen=True)
class Group:
    members: list[str] = field(default_factory=list)
    team: Team = field(default_factory=Team)


@dataclass(frozen=True, slots=True)
class Slots:
    members: list[str]


@pytest.mark.parametrize(
    "given",
    [Team(members=["a"]), Group(["a"], Team(members=["b"])), Slots(["a"])],
    ids=["model", "dataclass", "slots"],
)
def test_freezing_leaves_the_callers_own_instance_alone(given: Any) -> None:
    frozen = freeze(given)

    given.members.append("later")

    assert frozen.members == ["a"]
    assert type(given.members) is list
    assert type(frozen.members) is FrozenList
    assert type(frozen) is type(given)


def test_freezing_reaches_any_depth() -> None:
    frozen = freeze(([{"a": {1}}], Group(["a"], Team(members=["b"]))))

    assert type(frozen[0][0]["a"]) is FrozenSet
    assert type(frozen[1].team.members) is FrozenList


def test_freezing_what_is_frozen_returns_it() -> None:
    for value in VALUES:
        assert freeze(value) is value


def test_frozen_model_still_refuses_assignment_and_dumps_as_before() -> None:
    frozen = freeze(Team(members=["a"]))

    with pytest.raises(ValueError, match="frozen"):
        frozen.members = []
    assert frozen.model_dump_json() == '{"members":["a"]}'
    assert frozen == Team(members=["a"])


class Noted:
    __slots__ = ("note", "unset")

    note: str


@dataclass(frozen=True, slots=True)
class SlotsAndNote(Noted):
    number: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "note", "noted")


def test_freezing_keeps_the_slots_that_are_no_fields() -> None:
    frozen = freeze(SlotsAndNote(1))

    assert frozen.note == "noted"
    assert not hasattr(frozen, "unset")
