"""The type table in both directions: annotation, type string, defaults, raw values, rejections."""

from __future__ import annotations

import collections
import collections.abc
import gc
import os
import subprocess
import sys
import typing
import weakref
from collections.abc import Collection, Iterable, Mapping, MutableSequence, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag, IntEnum, IntFlag, StrEnum
from ipaddress import IPv4Address
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Generic, Literal, NewType, NotRequired, TypeVar
from uuid import UUID

import pydantic
import pydantic_core
import pytest
from annotated_types import Len, MinLen, MultipleOf
from ids import shown
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl, SecretStr
from typing_extensions import TypeAliasType, TypedDict

from heksher import (
    HeksherEnum,
    HeksherFlags,
    HeksherMapping,
    HeksherSequence,
    InvalidSetting,
    InvalidSettingType,
    Setting,
    SettingType,
)
from heksher.settings.registry import Registry
from heksher.settings.types.annotations import decoder_of
from heksher.settings.types.custom import Conversion
from heksher.settings.types.decoder import Coercion, Rejected
from heksher.settings.types.equality import identical
from heksher.settings.types.namespace import Namespace
from heksher.settings.types.read_only import FrozenDict, FrozenList, FrozenSet, freeze


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Size(StrEnum):
    SMALL = "small"


class Mixed(Enum):
    NUMBER = 5
    TEXT = "five"
    FRACTION = 0.5
    TRUTH = True


class Access(Flag):
    READ = 1
    WRITE = 2
    ALL = 3


class Bits(IntFlag):
    A = 1
    B = 4


class Limits(BaseModel):
    model_config = ConfigDict(frozen=True)

    low: int
    high: int = 10


class Aliased(BaseModel):
    model_config = ConfigDict(frozen=True)

    low: int = Field(alias="lowest")


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    names: list[str] = Field(default=[], max_length=2)


class Nested(BaseModel):
    model_config = ConfigDict(frozen=True)

    first: Limits
    second: Limits = Limits(low=0)


@dataclass(frozen=True)
class Point:
    x: float
    y: float = 0.0


@dataclass(frozen=True, slots=True)
class Slotted:
    tags: list[str] = field(default_factory=list)


@pydantic.dataclasses.dataclass(frozen=True)
class Checked:
    ratio: Annotated[float, Field(ge=0, le=1)]


class Prices(TypedDict):
    small: int
    large: NotRequired[int]


Port = NewType("Port", int)
Ports = TypeAliasType("Ports", list[Port])
T = TypeVar("T")
Many = TypeAliasType("Many", list[T], type_params=(T,))

UUID_TEXT = "12345678-1234-5678-1234-567812345678"

ROWS: list[tuple[str, Any, str, Any, Any]] = [
    # id, annotation, type string, a default, its raw JSON
    ("int", int, "int", 5, 5),
    ("int 0", int, "int", 0, 0),
    ("float", float, "float", 0.5, 0.5),
    ("float 0", float, "float", 0.0, 0.0),
    ("str", str, "str", "a", "a"),
    ("str empty", str, "str", "", ""),
    ("bool", bool, "bool", True, True),
    ("bool false", bool, "bool", False, False),
    ("annotated", Annotated[int, Field(ge=0)], "int", 0, 0),
    ("newtype", Port, "int", 80, 80),
    ("alias", Ports, "Sequence<int>", FrozenList([80]), [80]),
    ("generic alias", Many[str], "Sequence<str>", FrozenList(["a"]), ["a"]),
    ("twice annotated", Annotated[Annotated[str, MinLen(1)], "note"], "str", "a", "a"),
    ("datetime", datetime, "str", datetime(2024, 1, 31, 12, tzinfo=UTC), "2024-01-31T12:00:00Z"),
    ("date", date, "str", date(2024, 1, 31), "2024-01-31"),
    ("time", time, "str", time(12, 30), "12:30:00"),
    ("timedelta", timedelta, "str", timedelta(seconds=90), "PT1M30S"),
    ("timedelta 0", timedelta, "str", timedelta(0), "PT0S"),
    ("uuid", UUID, "str", UUID(UUID_TEXT), UUID_TEXT),
    ("decimal", Decimal, "str", Decimal("12.50"), "12.50"),
    ("url", HttpUrl, "str", HttpUrl("https://a.example/"), "https://a.example/"),
    ("path", PurePosixPath, "str", PurePosixPath("/a"), "/a"),
    ("address", IPv4Address, "str", IPv4Address("127.0.0.1"), "127.0.0.1"),
    ("enum", Colour, 'Enum["blue","red"]', Colour.RED, "red"),
    ("int enum", Level, "Enum[1,2]", Level.LOW, 1),
    ("str enum", Size, 'Enum["small"]', Size.SMALL, "small"),
    ("mixed enum", Mixed, 'Enum["five",0.5,5,true]', Mixed.TRUTH, True),
    ("literal", Literal["b", "a", 3], 'Enum["a","b",3]', 3, 3),
    ("literal false", Literal[False, "on"], 'Enum["on",false]', False, False),
    ("literal of enum", Literal[Colour.RED], 'Enum["red"]', Colour.RED, "red"),
    ("flag", Access, 'Flags["READ","WRITE"]', Access.ALL, ["READ", "WRITE"]),
    ("flag empty", Access, 'Flags["READ","WRITE"]', Access(0), []),
    ("int flag", Bits, 'Flags["A","B"]', Bits.B, ["B"]),
    ("enum set", set[Colour], 'Flags["blue","red"]', FrozenSet({Colour.RED}), ["red"]),
    ("literal set", frozenset[Literal["a", 1]], 'Flags["a",1]', frozenset({1, "a"}), ["a", 1]),
    ("enum set empty", frozenset[Colour], 'Flags["blue","red"]', frozenset(), []),
    ("list", list[int], "Sequence<int>", FrozenList([3, 1]), [3, 1]),
    ("list empty", list[int], "Sequence<int>", FrozenList(), []),
    ("mutable sequence", MutableSequence[int], "Sequence<int>", FrozenList([1]), [1]),
    ("tuple", tuple[str, ...], "Sequence<str>", ("a",), ["a"]),
    ("sequence", Sequence[bool], "Sequence<bool>", (True, False), [True, False]),
    ("collection", Collection[int], "Sequence<int>", (1,), [1]),
    ("iterable", Iterable[int], "Sequence<int>", (1,), [1]),
    ("set", set[int], "Sequence<int>", FrozenSet({2, 1}), [1, 2]),
    ("frozenset", frozenset[str], "Sequence<str>", frozenset({"b", "a"}), ["a", "b"]),
    ("abstract set", AbstractSet[int], "Sequence<int>", frozenset({1}), [1]),
    ("set of tuples", set[tuple[int, ...]], "Sequence<Sequence<int>>", FrozenSet({(1,)}), [[1]]),
    ("dict", dict[str, int], "Mapping<int>", FrozenDict({"a": 1}), {"a": 1}),
    ("dict empty", dict[str, int], "Mapping<int>", FrozenDict(), {}),
    ("mapping", Mapping[str, float], "Mapping<float>", FrozenDict({"a": 1.0}), {"a": 1.0}),
    ("model", Limits, "Mapping<int>", Limits(low=0, high=0), {"low": 0, "high": 0}),
    ("model alias", Aliased, "Mapping<int>", Aliased(lowest=1), {"lowest": 1}),
    (
        "nested models",
        Nested,
        "Mapping<Mapping<int>>",
        Nested(first=Limits(low=1)),
        {"first": {"low": 1, "high": 10}, "second": {"low": 0, "high": 10}},
    ),
    ("dataclass", Point, "Mapping<float>", Point(1.5), {"x": 1.5, "y": 0.0}),
    ("slotted", Slotted, "Mapping<Sequence<str>>", Slotted(FrozenList(["a"])), {"tags": ["a"]}),
    ("pydantic dataclass", Checked, "Mapping<float>", Checked(0.5), {"ratio": 0.5}),
    ("typed dict", Prices, "Mapping<int>", FrozenDict({"small": 0}), {"small": 0}),
    (
        "list of enums",
        list[Colour],
        'Sequence<Enum["blue","red"]>',
        FrozenList([Colour.RED]),
        ["red"],
    ),
    (
        "dict of lists",
        dict[str, list[int]],
        "Mapping<Sequence<int>>",
        FrozenDict({"a": FrozenList([1])}),
        {"a": [1]},
    ),
    (
        "list of flags",
        list[Access],
        'Sequence<Flags["READ","WRITE"]>',
        FrozenList([Access.READ]),
        [["READ"]],
    ),
    ("enum type", HeksherEnum(Colour), 'Enum["blue","red"]', Colour.RED, "red"),
    ("flags type", HeksherFlags(Access), 'Flags["READ","WRITE"]', Access.READ, ["READ"]),
    ("sequence type", HeksherSequence(Level), "Sequence<Enum[1,2]>", (Level.LOW,), [1]),
    (
        "mapping type",
        HeksherMapping(HeksherSequence(int)),
        "Mapping<Sequence<int>>",
        FrozenDict({"a": (1,)}),
        {"a": [1]},
    ),
]

table = pytest.mark.parametrize(
    ("annotation", "type_string", "value", "raw"),
    [row[1:] for row in ROWS],
    ids=[row[0] for row in ROWS],
)


@table
def test_annotation_has_its_type_string(
    annotation: Any, type_string: str, value: Any, raw: Any
) -> None:
    assert str(decoder_of(annotation).type) == type_string


@table
def test_default_is_written_as_its_raw_value(
    annotation: Any, type_string: str, value: Any, raw: Any
) -> None:
    assert identical(decoder_of(annotation).encode(value), raw)


@table
def test_raw_value_is_read_with_its_exact_type(
    annotation: Any, type_string: str, value: Any, raw: Any
) -> None:
    coercions: list[Coercion] = []

    read = decoder_of(annotation).decode(raw, coercions)

    assert identical(read, value)
    assert not coercions


@table
def test_raw_default_is_a_value_of_the_type_string(
    annotation: Any, type_string: str, value: Any, raw: Any
) -> None:
    assert decoder_of(annotation).type.accepts(raw)


@table
def test_declared_default_reads_as_an_updated_value_does(
    annotation: Any, type_string: str, value: Any, raw: Any
) -> None:
    setting: Any = Setting("s", annotation, ["user"], value, registry=Registry())

    assert identical(setting.get(user="x"), decoder_of(annotation).decode(raw, []))


@table
def test_null_is_rejected(annotation: Any, type_string: str, value: Any, raw: Any) -> None:
    with pytest.raises(Rejected):
        decoder_of(annotation).decode(None, [])


@table
def test_null_in_a_list_of_it_is_left_out(
    annotation: Any, type_string: str, value: Any, raw: Any
) -> None:
    coercions: list[Coercion] = []

    read = decoder_of(HeksherSequence(annotation)).decode([raw, None], coercions)

    assert identical(read, (value,))
    assert [one.path for one in coercions] == ["$[1]"]


DEFAULTS_TAKEN: list[tuple[Any, Any, Any]] = [
    (float, 60, 60.0),
    (int, Level.LOW, 1),
    (str, Size.SMALL, "small"),
    (Sequence[int], [1, 2], (1, 2)),
    (AbstractSet[int], {1}, frozenset({1})),
    (Mapping[str, int], {"a": 1}, FrozenDict({"a": 1})),
    (Mapping[str, int], collections.OrderedDict(a=1), FrozenDict({"a": 1})),
    (dict[str, int], collections.defaultdict(int, a=1), FrozenDict({"a": 1})),
    (list[float], [1, 2.5], FrozenList([1.0, 2.5])),
    (set[float], {0}, FrozenSet({0.0})),
    (Limits, Limits(low=1), Limits(low=1, high=10)),
]


@pytest.mark.parametrize(("annotation", "given", "value"), DEFAULTS_TAKEN, ids=shown)
def test_default_is_normalised_to_what_an_update_would_give(
    annotation: Any, given: Any, value: Any
) -> None:
    decoder = decoder_of(annotation)

    assert identical(decoder.decode(decoder.encode(given), []), value)


DEFAULTS_REFUSED: list[tuple[Any, Any]] = [
    (int, True), (int, 1.0), (int, "1"), (int, 2**64), (int, -(2**63) - 1), (int, None),
    (float, True), (float, "1"), (float, float("inf")), (float, float("nan")), (float, 10**400),
    (str, b"a"), (str, 1), (str, "a\0"), (str, "\ud800"),
    (bool, 1), (bool, 0), (bool, "true"), (bool, None),
    (Colour, "red"), (Colour, Size.SMALL), (Level, 1), (Level, True),
    (Literal[1], True), (Literal[1], 1.0), (Literal["a"], "b"), (Literal["a"], ["a"]),
    (Literal[True], 1), (Literal[Colour.RED], "red"),
    (Access, 1), (Access, "READ"), (Access, Bits.A), (Bits, Bits(2)),
    (set[Colour], {"red"}), (set[Colour], [Colour.RED]), (frozenset[Colour], {Colour.RED}),
    (list[int], (1,)), (list[int], "12"), (list[int], [True]), (list[int], ["1"]),
    (tuple[int, ...], [1]), (Sequence[str], "ab"), (Sequence[int], {1}), (set[int], frozenset({1})),
    (dict[str, int], {1: 1}), (dict[str, int], {"a": True}), (dict[str, int], [("a", 1)]),
    (dict[str, int], {"a\0": 1}), (dict[str, str], {"a": "\ud800"}),
    (Limits, {"low": 1}), (Limits, Point(1.0)), (Point, Limits(low=1)), (Prices, {}),
    (Prices, {"small": True}), (Prices, {"small": 1, "other": 1}), (Prices, [1]),
    (datetime, "2024-01-31T12:00:00Z"), (timedelta, 90), (UUID, UUID_TEXT), (Decimal, 1),
    (Path, "/a"), (HttpUrl, "https://a.example/"),
    (Annotated[int, Field(ge=0)], -1), (Annotated[list[int], MinLen(1)], []),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "given"), DEFAULTS_REFUSED, ids=shown)
def test_default_of_another_type_is_refused_where_it_is_declared(
    annotation: Any, given: Any
) -> None:
    with pytest.raises(InvalidSetting, match=r"default_value\S* of setting 'limits\.x'"):
        Setting("limits.x", annotation, ["user"], given, registry=Registry())


READ: list[tuple[Any, Any, Any]] = [
    (int, 3.0, 3), (int, -0.0, 0), (int, 1e3, 1000), (float, 3, 3.0), (float, 0, 0.0),
    (list[int], [1, 2.0], FrozenList([1, 2])),
    (dict[str, list[int]], {"a": [3.0]}, FrozenDict({"a": FrozenList([3])})),
    (set[int], [1, 1.0], FrozenSet({1})), (tuple[float, ...], [1], (1.0,)),
    (Limits, {"low": 3.0}, Limits(low=3)), (Point, {"x": 1}, Point(1.0)),
    (Prices, {"small": 3.0}, FrozenDict({"small": 3})),
    (Level, 1.0, Level.LOW), (Literal[1], 1.0, 1), (frozenset[Literal[1]], [1.0], frozenset({1})),
    (list[Level], [2.0], FrozenList([Level.HIGH])),
    (Annotated[int, Field(ge=3)], 3.0, 3),
    (Mixed, True, Mixed.TRUTH), (Mixed, 5.0, Mixed.NUMBER),
    (set[Colour], ["red", "red"], FrozenSet({Colour.RED})), (Access, ["READ", "READ"], Access.READ),
    (Limits, {"low": 1, "unknown": "x"}, Limits(low=1)),
    (int, 2**64 - 1, 2**64 - 1), (float, 2**64 - 1, float(2**64 - 1)),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "raw", "value"), READ, ids=shown)
def test_raw_value_in_another_spelling_is_read_without_coercion(
    annotation: Any, raw: Any, value: Any
) -> None:
    coercions: list[Coercion] = []

    assert identical(decoder_of(annotation).decode(raw, coercions), value)
    assert not coercions


REJECTED: list[tuple[Any, Any]] = [
    (int, True), (int, False), (int, "3"), (int, 3.5), (int, float("inf")), (int, []),
    (float, True), (float, "0.5"), (float, float("nan")), (float, 10**400),
    (str, 3), (str, True), (str, ["a"]), (bool, 1), (bool, 0.0), (bool, "false"),
    (Level, True), (Level, "1"), (Level, "LOW"), (Level, 1.5), (Level, []), (Level, {}),
    (Literal[1], True), (Literal[0], False), (Literal[True], 1), (Literal["a"], ["a"]),
    (Mixed, 1), (Colour, "RED"), (Colour, "Red"),
    (Access, "READ"), (Access, 1), (Access, {"READ": True}), (Bits, 5), (set[Colour], "red"),
    (list[int], "123"), (list[int], {"a": 1}), (list[int], 1), (tuple[int, ...], "1"),
    (dict[str, int], []), (dict[str, int], [["a", 1]]), (dict[str, int], "{}"),
    (Limits, []), (Limits, {}), (Limits, {"low": True}), (Limits, '{"low": 1}'), (Limits, {"high": 1}),
    (Point, {"y": 1.0}), (Prices, {"large": 1}), (Strict, {"other": []}),
    (datetime, 0), (datetime, "0"), (datetime, "1706700000"), (datetime, "2023-01-30"),
    (datetime, "2024-13-01T00:00:00Z"), (datetime, ""), (date, "2024-01-31T00:00:00"), (date, 0),
    (time, 30), (time, "30"), (timedelta, 90), (timedelta, "90"), (timedelta, "00:01:30"),
    (UUID, UUID_TEXT.replace("-", "")), (UUID, f"{{{UUID_TEXT}}}"), (UUID, f"urn:uuid:{UUID_TEXT}"),
    (Decimal, 12.5), (Decimal, "NaN"), (Decimal, "Infinity"), (Decimal, " 1"), (Decimal, "1_0"),
    (HttpUrl, "ftp://a.example/"), (IPv4Address, 2130706433), (IPv4Address, "2130706433"),
    (Annotated[int, Field(ge=0)], -1), (Annotated[str, Field(pattern="^a")], "b"),
    (HeksherSequence(int), "1"), (HeksherMapping(int), []), (HeksherEnum(Level), True),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "raw"), REJECTED, ids=shown)
def test_raw_value_that_does_not_fit_is_rejected(annotation: Any, raw: Any) -> None:
    with pytest.raises(Rejected):
        decoder_of(annotation).decode(raw, [])


@pytest.mark.parametrize(("annotation", "raw"), REJECTED, ids=shown)
def test_rejected_value_among_good_ones_costs_only_itself(annotation: Any, raw: Any) -> None:
    coercions: list[Coercion] = []

    read = decoder_of(dict[str, HeksherSequence(annotation)]).decode({"a": [raw]}, coercions)  # type: ignore[misc]

    assert read == {"a": ()}
    assert all(one.path.startswith("$.a[0]") for one in coercions)
    assert coercions


PARTS: list[tuple[str, Any, Any, Any, list[str]]] = [
    ("element", list[int], [1, "x", 3], FrozenList([1, 3]), ["$[1]"]),
    ("true among ints", list[int], [1, True, 0], FrozenList([1, 0]), ["$[1]"]),
    ("true among literals", list[Literal[1, 2]], [1, True], FrozenList([1]), ["$[1]"]),
    ("true among enums", tuple[Level, ...], [True, 2], (Level.HIGH,), ["$[0]"]),
    ("string among floats", tuple[float, ...], ["1.5", 1], (1.0,), ["$[0]"]),
    ("all elements", list[int], ["a", None], FrozenList(), ["$[0]", "$[1]"]),
    ("entry", dict[str, int], {"a": 1, "b c": "x"}, FrozenDict({"a": 1}), ['$["b c"]']),
    ("deep", dict[str, list[int]], {"a": [1, "x"]}, FrozenDict({"a": FrozenList([1])}), ["$.a[1]"]),
    ("twice", list[list[int]], [["x"], 5], FrozenList([FrozenList()]), ["$[0][0]", "$[1]"]),
    ("flag", Access, ["READ", "EXECUTE"], Access.READ, ["$[1]"]),
    ("only unknown flags", Access, ["X"], Access(0), ["$[0]"]),
    ("flag combination", Access, ["ALL"], Access(0), ["$[0]"]),
    ("true among flags", frozenset[Literal[1]], [True, 1], frozenset({1}), ["$[0]"]),
    ("flag of another kind", Access, [None, ["READ"], "READ"], Access.READ, ["$[0]", "$[1]"]),
    ("flags in a list", list[Bits], [["A", "C"]], FrozenList([Bits.A]), ["$[0][1]"]),
    ("optional field", Limits, {"low": 1, "high": "x"}, Limits(low=1), ["$.high"]),
    ("optional key", Prices, {"small": 1, "large": "x"}, FrozenDict({"small": 1}), ["$.large"]),
    ("field of a dataclass", Point, {"x": 1.0, "y": "1"}, Point(1.0), ["$.y"]),
    ("refused by its constraint", Strict, {"names": ["a", "b", "c"]}, freeze(Strict()), ["$.names"]),
    ("element of a field", Strict, {"names": ["a", 1]}, freeze(Strict(names=["a"])),
     ["$.names[1]"]),
    ("constraint of an element", list[Annotated[int, Field(ge=0)]], [1, -1], FrozenList([1]), ["$[1]"]),
    ("nested record", Nested, {"first": {"low": 1, "high": "x"}},
     Nested(first=Limits(low=1)), ["$.first.high"]),
    ("record in a list", list[Limits], [{"low": 1}, {"low": "x"}], FrozenList([Limits(low=1)]), ["$[1].low"]),
    ("dates", list[date], ["2024-01-31", "31.1.2024"], FrozenList([date(2024, 1, 31)]), ["$[1]"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("annotation", "raw", "value", "paths"),
    [row[1:] for row in PARTS],
    ids=[row[0] for row in PARTS],
)
def test_what_fits_in_part_is_read_without_the_rest(
    annotation: Any, raw: Any, value: Any, paths: list[str]
) -> None:
    coercions: list[Coercion] = []

    read = decoder_of(annotation).decode(raw, coercions)

    assert identical(read, value)
    assert [one.path for one in coercions] == paths


CONSTRAINED: list[tuple[Any, Any]] = [
    (Annotated[list[int], Len(2, 3)], FrozenList([1, 2])),
    (Annotated[tuple[int, ...], Len(2, 3)], (1, 2)),
    (Annotated[Sequence[int], Len(2, 3)], (1, 2)),
    (Annotated[Collection[int], Len(2, 3)], (1, 2)),
    (Annotated[Iterable[int], Len(2, 3)], (1, 2)),
    (Annotated[MutableSequence[int], Len(2, 3)], FrozenList([1, 2])),
    (Annotated[set[int], Len(2, 3)], FrozenSet({1, 2})),
    (Annotated[AbstractSet[int], Len(2, 3)], frozenset({1, 2})),
    (Annotated[Ports, Len(2, 3)], FrozenList([1, 2])),
    (Annotated[NewType("Hosts", Iterable[int]), Len(2, 3)], (1, 2)),
]


@pytest.mark.parametrize(("annotation", "value"), CONSTRAINED, ids=shown)
def test_constraint_is_checked_after_bad_elements_are_left_out(annotation: Any, value: Any) -> None:
    decoder = decoder_of(annotation)

    assert identical(decoder.decode([1, "x", 2, None], []), value)
    with pytest.raises(Rejected):
        decoder.decode([1, "x"], [])


def test_constraint_on_a_mapping_is_checked_after_bad_entries_are_left_out() -> None:
    decoder = decoder_of(Annotated[Mapping[str, int], Len(1, 1)])

    assert identical(decoder.decode({"a": 1, "b": "x"}, []), FrozenDict({"a": 1}))
    with pytest.raises(Rejected):
        decoder.decode({"b": "x"}, [])


def test_constraint_of_an_annotation_inside_another_holds() -> None:
    decoder = decoder_of(Annotated[Annotated[int, Field(ge=0)], Field(le=9)])

    assert decoder.decode(9, []) == 9
    for raw in (-1, 10):
        with pytest.raises(Rejected):
            decoder.decode(raw, [])


def test_constraint_of_a_text_type_holds() -> None:
    decoder = decoder_of(Annotated[timedelta, Field(gt=timedelta(0))])

    assert decoder.decode("PT1S", []) == timedelta(seconds=1)
    with pytest.raises(Rejected):
        decoder.decode("PT0S", [])


def test_validator_that_quotes_the_value_does_not_get_it_into_a_rejection() -> None:
    def refuse(value: str) -> str:
        raise ValueError(f"bad {value}")

    with pytest.raises(Rejected) as caught:
        decoder_of(Annotated[str, AfterValidator(refuse)]).decode("hunter2", [])

    assert "hunter2" not in str(caught.value)


def test_custom_error_that_quotes_the_value_does_not_get_it_into_a_rejection() -> None:
    def refuse(value: str) -> str:
        raise pydantic_core.PydanticCustomError("mine", "bad {value}", {"value": value})

    with pytest.raises(Rejected) as caught:
        decoder_of(Annotated[str, AfterValidator(refuse)]).decode("hunter2", [])

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("annotation", "raw"), REJECTED, ids=shown)
def test_rejection_does_not_quote_the_value(annotation: Any, raw: Any) -> None:
    with pytest.raises(Rejected) as caught:
        decoder_of(annotation).decode(raw, [])

    if isinstance(raw, str) and len(raw) > 3:
        assert raw not in str(caught.value)


@dataclass
class Loose:
    x: int


class Thawed(BaseModel):
    x: int


class Open(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")

    x: int


class OpenDict(TypedDict):
    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]  # pydantic's own way

    x: int


class Unlike(BaseModel):
    model_config = ConfigDict(frozen=True)

    x: int
    y: str


class Empty(BaseModel):
    model_config = ConfigDict(frozen=True)


class Tree(BaseModel):
    model_config = ConfigDict(frozen=True)

    children: list[Tree]


@dataclass(frozen=True)
class Node:
    next: dict[str, Node]


class TwoKeys(BaseModel):
    model_config = ConfigDict(frozen=True)

    x: int = Field(validation_alias="a", serialization_alias="b")


class Holder(BaseModel):
    model_config = ConfigDict(frozen=True)

    inner: Thawed


class Nothing(Enum):
    pass


class NoFlags(Flag):
    pass


class Odd(Enum):
    PAIR = (1, 2)


@dataclass(frozen=True)
class Derived:
    x: int
    y: int = field(init=False, default=1)


@dataclass(frozen=True)
class Lost:
    x: Missing  # type: ignore[name-defined]  # noqa: F821  # the point of it


@dataclass(frozen=True)
class Box(Generic[T]):
    x: T


UNTYPED: list[tuple[str, Any, str]] = [
    ("any", Any, "not a concrete type"),
    ("any inside", list[Any], "not a concrete type"),
    ("type variable", T, "not a concrete type"),
    ("optional", int | None, "use a value that means 'none'"),
    ("optional inside", dict[str, str | None], "use a value that means 'none'"),
    ("union", int | str, "use a single type, or Literal"),
    ("bare list", list, r"list\[int\]"),
    ("bare dict", dict, r"dict\[str, int\]"),
    ("bare tuple", tuple, r"tuple\[int, \.\.\.\]"),
    ("bare set", set, r"set\[int\]"),
    ("bare sequence", Sequence, r"Sequence\[int\]"),
    ("bare mapping", Mapping, r"Mapping\[str, int\]"),
    ("bare typing list", list, r"list\[int\]"),
    ("bare typing dict", dict, r"dict\[str, int\]"),
    ("bare typing tuple", tuple, r"tuple\[int, \.\.\.\]"),
    ("bare typing set", set, r"set\[int\]"),
    ("bare inside", list[dict], r"dict\[str, int\]"),  # type: ignore[type-arg]
    ("fixed tuple", tuple[int, int], r"use tuple\[T, \.\.\.\]"),
    ("empty tuple", tuple[()], r"tuple\[int, \.\.\.\]"),
    ("int keys", dict[int, int], "mapping keys must be str"),
    ("enum keys", dict[Colour, int], "mapping keys must be str"),
    ("secret", SecretStr, "must not hold secrets"),
    ("secret inside", list[SecretStr], "must not hold secrets"),
    ("generic secret", pydantic.Secret[int], "must not hold secrets"),
    ("not frozen model", Thawed, r"ConfigDict\(frozen=True\)"),
    ("not frozen inside", Holder, r"field inner of Holder: .*ConfigDict\(frozen=True\)"),
    ("not frozen dataclass", Loose, r"@dataclass\(frozen=True\)"),
    ("open model", Open, 'use "ignore" or "forbid"'),
    ("open typed dict", OpenDict, 'use "ignore" or "forbid"'),
    ("mixed fields", Unlike, "declare one setting for each field"),
    ("no fields", Empty, "needs at least one field"),
    ("recursive model", Tree, "contains itself"),
    ("recursive dataclass", Node, "contains itself"),
    ("two keys", TwoKeys, r"use Field\(alias="),
    ("generic dataclass", Box[int], "without type parameters"),
    ("init=False", Derived, "init=False"),
    ("undefined field", Lost, "define it earlier"),
    ("undefined reference", list["Nowhere"], "define it above"),  # type: ignore[name-defined]  # noqa: F821
    ("empty enum", Nothing, "needs at least one member"),
    ("empty flag", NoFlags, "at least one member with a single bit"),
    ("enum of tuples", Odd, "must be an int, float, str or bool, not"),
    ("literal none", Literal[None], "must be an int, float, str or bool, not"),
    ("literal bytes", Literal[b"a"], "must be an int, float, str or bool, not"),
    ("1 and true", Literal[1, True], "are equal: keep only one"),
    ("twice the same", Literal["red", Colour.RED], "are equal: keep only one"),
    ("literal NUL", Literal["a\0"], "NUL"),
    ("literal surrogate", Literal["\ud800"], "surrogate"),
    ("literal beyond 64 bits", Literal[18446744073709551616], "cannot store"),
    ("deque", collections.deque[int], r"use int, .*list\[T\]"),
    ("named tuple", collections.namedtuple("Pair", "a b"), r"use int, .*list\[T\]"),
    ("object", object, r"use int, .*list\[T\]"),
    ("callable", collections.abc.Callable[[int], int], r"use int, .*list\[T\]"),
    ("bytearray", bytearray, "use bytes"),
    ("no type", 5, r"use int, .*list\[T\]"),
    ("setting type class", HeksherEnum, r"use int, .*list\[T\]"),
    ("set of lists", set[list[int]], r"use list\[\.\.\.\]"),
    ("impossible constraint", Annotated[int, MultipleOf(0)], "pydantic cannot validate it"),
    ("set of dicts", frozenset[dict[str, int]], r"use list\[\.\.\.\]"),
]


@pytest.mark.parametrize(
    ("annotation", "says"), [row[1:] for row in UNTYPED], ids=[row[0] for row in UNTYPED]
)
def test_type_without_heksher_type_is_an_error_that_says_what_to_write(
    annotation: Any, says: str
) -> None:
    with pytest.raises(InvalidSettingType, match=says) as caught:
        Setting("a.name", annotation, ["user"], None, registry=Registry())

    assert "'a.name'" in str(caught.value)


Endless: Any = TypeAliasType("Endless", "list[Endless]")


def test_type_nested_without_end_is_an_error() -> None:
    with pytest.raises(InvalidSettingType, match="nested too deeply"):
        Setting("a", Endless, ["user"], [], registry=Registry())


class Later(Enum):
    A = "a"


FORWARD: list[tuple[str, Any, str]] = [
    ("itself", "Later", 'Enum["a"]'),
    ("in a list", list["Later"], 'Sequence<Enum["a"]>'),
    ("in a typing dict", typing.Dict[str, "Later"], 'Mapping<Enum["a"]>'),  # noqa: UP006
    ("annotated", Annotated["Later", Field()], 'Enum["a"]'),
    ("annotated list", Annotated["list[Later]", MinLen(0)], 'Sequence<Enum["a"]>'),
    ("in text", "dict[str, list[Later]]", 'Mapping<Sequence<Enum["a"]>>'),
]


@pytest.mark.parametrize(
    ("annotation", "type_string"), [row[1:] for row in FORWARD], ids=[row[0] for row in FORWARD]
)
def test_forward_reference_is_resolved_where_the_setting_is_declared(
    annotation: Any, type_string: str
) -> None:
    setting: Any = Setting[annotation](
        "s",
        configurable_features=["user"],
        default_value=decoder_of(annotation, Namespace(globals())).decode(
            {"E": "a", "S": [], "M": {}}[type_string[0]], []
        ),
        registry=Registry(),
    )

    assert setting.type_string == type_string


def test_forward_reference_may_name_what_is_local_to_the_function() -> None:
    class Inner(Enum):
        A = "a"

    setting = Setting[list["Inner"]](
        "s", configurable_features=["user"], default_value=[Inner.A], registry=Registry()
    )

    assert setting.get(user="x") == [Inner.A]


def test_forward_reference_of_a_local_model_is_resolved() -> None:
    class Outer(BaseModel):
        model_config = ConfigDict(frozen=True)

        inner: Inner

    class Inner(BaseModel):
        model_config = ConfigDict(frozen=True)

        x: int = 0

    setting = Setting(
        "s", Outer, ["user"], Outer.model_construct(inner=Inner()), registry=Registry()
    )

    assert setting.type_string == "Mapping<Mapping<int>>"


class Percent(SettingType[float]):
    def heksher_string(self) -> str:
        return "int"

    def convert_from_heksher(self, x: Any) -> Conversion[float]:
        return Conversion(min(x, 100) / 100, () if x <= 100 else ("more than all",))

    def convert_to_heksher(self, x: float) -> int:
        return round(x * 100)


class Careless(SettingType[Any]):
    def __init__(self, type_string: Any = "int", decoded: Any = 1, encoded: Any = 1) -> None:
        self.type_string, self.decoded, self.encoded = type_string, decoded, encoded

    def heksher_string(self) -> str:
        return self.type_string  # type: ignore[no-any-return]

    def convert_from_heksher(self, x: Any) -> Conversion[Any]:
        return self.decoded  # type: ignore[no-any-return]

    def convert_to_heksher(self, x: Any) -> Any:
        return self.encoded


def test_own_setting_type_is_used_both_ways() -> None:
    setting = Setting("s", Percent(), ["user"], 0.5, registry=Registry())

    assert (setting.type_string, setting.raw_default) == ("int", 50)
    assert identical(setting.get(user="x"), 0.5)


def test_own_setting_type_may_stand_inside_others() -> None:
    coercions: list[Coercion] = []

    read = decoder_of(list[Percent()]).decode([50, 200, "x"], coercions)  # type: ignore[misc]

    assert read == [0.5, 1.0]
    assert coercions[0] == Coercion("$[1]", "more than all")
    assert coercions[1].path == "$[2]"


@pytest.mark.parametrize("type_string", ["nonsense", "", None, 5], ids=shown)
def test_own_setting_type_with_a_wrong_type_string_is_refused(type_string: Any) -> None:
    with pytest.raises(InvalidSettingType, match="Careless"):
        Setting("s", Careless(type_string), ["user"], 1, registry=Registry())


@pytest.mark.parametrize("decoded", [5, None, "text"], ids=shown)
def test_own_setting_type_that_returns_no_conversion_rejects_the_value(decoded: Any) -> None:
    with pytest.raises(Rejected, match="must return a Conversion, not"):
        decoder_of(Careless(decoded=decoded)).decode(1, [])


@pytest.mark.parametrize("encoded", ["text", None, 2**70, object(), True], ids=shown)
def test_own_setting_type_that_encodes_to_another_type_is_refused(encoded: Any) -> None:
    with pytest.raises(Rejected):
        decoder_of(Careless(encoded=encoded)).encode(1)


def test_what_an_own_setting_type_returns_is_read_only() -> None:
    read = decoder_of(Careless(decoded=Conversion([[1]]))).decode(1, [])

    assert identical(read, FrozenList([FrozenList([1])]))


def test_setting_types_of_one_type_string_are_equal() -> None:
    assert HeksherSequence(int) == HeksherSequence(int)
    assert HeksherSequence(int) != HeksherSequence(str)
    assert len({HeksherEnum(Colour), HeksherEnum(Colour)}) == 1
    assert HeksherSequence(int) != "Sequence<int>"


def test_explicit_type_reports_what_it_left_out() -> None:
    conversion = HeksherFlags(Access).convert_from_heksher(["READ", "X"])

    assert conversion.value is Access.READ
    assert [str(one) for one in conversion.coercions] == ["unknown option of type str @ $[1]"]


def test_explicit_type_raises_type_error_for_what_does_not_fit() -> None:
    with pytest.raises(TypeError):
        HeksherEnum(Level).convert_from_heksher(True)
    with pytest.raises(TypeError):
        HeksherMapping(int).convert_to_heksher({"a": "x"})


@pytest.mark.parametrize(
    "make", [lambda: HeksherEnum(Odd), lambda: HeksherFlags(NoFlags), lambda: HeksherSequence(Any)]
)
def test_explicit_type_of_what_has_no_heksher_type_is_refused(make: Any) -> None:
    with pytest.raises(InvalidSettingType):
        make()


@pytest.mark.parametrize(
    ("annotation", "raw", "canonical"),
    [
        (int, 3.0, 3),
        (float, 3, 3.0),
        (set[Colour], ["red", "blue"], ["blue", "red"]),
        (Access, ["WRITE", "READ"], ["READ", "WRITE"]),
        (set[int], [10, 9, 1], [1, 10, 9]),
        (Limits, {"low": 1}, {"low": 1, "high": 10}),
        (timedelta, "PT90S", "PT1M30S"),
    ],
)
def test_two_raw_values_of_one_meaning_have_one_canonical_form(
    annotation: Any, raw: Any, canonical: Any
) -> None:
    assert identical(decoder_of(annotation).canonical(raw), canonical)


def test_what_fits_in_part_has_no_canonical_form() -> None:
    with pytest.raises(Rejected):
        decoder_of(list[int]).canonical([1, "x"])


HASH_SEEDED = """
from enum import Enum
from typing import Literal
from heksher.settings.types.namespace import Namespace
from heksher.settings.types.annotations import decoder_of
class E(Enum):
    A = "a"; B = "b"; C = "c"; D = "d"
names = {f"name{n}" for n in range(50)}
print(decoder_of(set[E]).type, decoder_of(set[E]).encode(set(E)))
print(decoder_of(set[str]).encode(names), decoder_of(frozenset[Literal["x", "y", 1]]).encode(frozenset({"y", 1, "x"})))
"""


def test_sets_are_sent_in_one_order_whatever_the_hash_seed() -> None:
    sent = {
        subprocess.run(  # noqa: S603  # our own text, by our own interpreter
            [sys.executable, "-c", HASH_SEEDED],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("0", "1", "2")
    }

    assert len(sent) == 1


def test_bad_element_costs_no_more_the_deeper_it_stands() -> None:
    calls = 0

    class Counting(SettingType[int]):
        def heksher_string(self) -> str:
            return "int"

        def convert_from_heksher(self, x: Any) -> Conversion[int]:
            nonlocal calls
            calls += 1
            raise TypeError

        def convert_to_heksher(self, x: int) -> int:
            return x

    annotation: Any = Counting()
    raw: Any = 1
    for _ in range(12):
        annotation, raw = HeksherMapping(HeksherSequence(annotation)), {"a": [raw]}

    decoder_of(annotation).decode(raw, [])

    assert calls == 1


@pytest.mark.parametrize(
    "annotation", [Colour, Sequence[int], list[str], Mapping[str, bool], dict[str, float], datetime]
)
def test_settings_of_one_plain_type_share_its_decoder(annotation: Any) -> None:
    assert decoder_of(annotation) is decoder_of(annotation)


def test_enum_classes_of_one_name_are_two_types() -> None:
    one, two = [Enum("Made", {"A": value}) for value in ("x", "y")]

    assert decoder_of(one).decode("x", []) is one.A  # type: ignore[attr-defined]
    assert str(decoder_of(two).type) == 'Enum["y"]'


def test_shared_decoder_lives_no_longer_than_what_uses_it() -> None:
    class Made(Enum):
        A = "x"

    decoder = decoder_of(Made)
    dead = weakref.ref(Made)

    del Made, decoder
    gc.collect()

    assert dead() is None


@pytest.mark.parametrize(
    ("annotation", "raw", "expected"),
    [
        (list[int], [1, 2.0, 0], [1, 2, 0]),
        (list[int], [1, True, 0], [1, 0]),
        (list[bool], [False, True, 1], [False, True]),
        (list[str], ["", "é", None], ["", "é"]),
        (set[int], [1, 1, 2], {1, 2}),
        (dict[str, int], {"a": 0, "b": 2.0, "c": "3"}, {"a": 0, "b": 2}),
        (dict[str, str], {"": "", "b": "x"}, {"": "", "b": "x"}),
    ],
    ids=shown,
)
def test_containers_of_primitives_take_what_fits(annotation: Any, raw: Any, expected: Any) -> None:
    value = decoder_of(annotation).decode(raw, [])

    assert identical(freeze(expected), value)


@pytest.mark.parametrize("annotation", [list[int], Sequence[int], dict[str, int]], ids=shown)
def test_decoded_container_is_not_the_raw_one(annotation: Any) -> None:
    raw: Any = {"a": 1} if "dict" in str(annotation) else [1]

    value = decoder_of(annotation).decode(raw, [])
    raw.clear()

    assert len(value) == 1
