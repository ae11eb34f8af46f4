"""The language of type strings: what is read, what is written, which values and subtypes fit."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heksher.settings.types.type_strings import (
    MAX_NESTING,
    EnumType,
    FlagsType,
    HeksherType,
    MappingType,
    Option,
    PrimitiveType,
    SequenceType,
    parse,
)

CANONICAL = [
    ("int", "int"),
    ("float", "float"),
    ("str", "str"),
    ("bool", "bool"),
    ("Enum[]", "Enum[]"),
    ("Flags[]", "Flags[]"),
    ("Enum[3,2,1]", "Enum[1,2,3]"),
    ("Enum[10,9,1,100]", "Enum[1,10,100,9]"),
    ('Enum["10","9",10,9]', 'Enum["10","9",10,9]'),
    ('Enum["b","a",1,true,false,1.5,0,-1]', 'Enum["a","b",-1,0,1,1.5,false,true]'),
    ('Enum["B","a","C","_","A1"]', 'Enum["A1","B","C","_","a"]'),
    ('Enum["", " "]', 'Enum[" ",""]'),
    ('Enum["a,b","c]d","[e"]', 'Enum["[e","a,b","c]d"]'),
    ("Enum[1,1.0,1e0]", "Enum[1]"),
    ("Enum[1.0,1]", "Enum[1.0]"),
    ("Enum[1,true]", "Enum[1,true]"),
    ("Enum[-0.0]", "Enum[-0.0]"),
    ("Enum[-0]", "Enum[0]"),
    ("Enum[1e22,1e-7,123456789012]", "Enum[123456789012,1e+22,1e-07]"),
    ("Enum[18446744073709551615]", "Enum[18446744073709551615]"),
    ("Enum[18446744073709551616]", "Enum[1.8446744073709552e+19]"),
    ("Enum[-9223372036854775809]", "Enum[-9.223372036854776e+18]"),
    ('Enum["é","z","\U0001f600"]', r'Enum["\u00e9","\ud83d\ude00","z"]'),
    (r'Enum["\u00e9"]', r'Enum["\u00e9"]'),
    (r'Enum["a\"b","c\\d","e/f","g\nh"]', r'Enum["a\"b","c\\d","e/f","g\nh"]'),
    ("Enum [ 2 , 1 ] ", "Enum[1,2]"),
    ("Flags\t[2,1]\n", "Flags[1,2]"),
    ("Sequence <float>", "Sequence<float>"),
    ("Sequence<int>\n", "Sequence<int>"),
    ("Mapping< Sequence< bool > >", "Mapping<Sequence<bool>>"),
    ('Mapping<Flags["b","a"]>', 'Mapping<Flags["a","b"]>'),
    ('Sequence<Enum["<",">"]>', 'Sequence<Enum["<",">"]>'),
]

REFUSED = [
    "", "Foo", "Int", "integer", " int", "int ", "int\n", "list", "null", "Set<int>", "Flag[1,2]",
    "Sequence", "Sequence<", "Sequence<>", "Sequence>", "Sequence<int", "Sequence<int>>",
    "Sequence<Foo>", "Sequence[int]", "sequence<int>", "Sequence<int> ", "Sequence<i\nnt>", " Sequence<int>",
    "Sequence<Enum[[1]]>", "Mapping<int", "Mapping<str,int>", "Mapping<>", "Mappings<int>",
    "Enum", "Enum[", "Enum[[1]]", "Enum[{}]", "Enum[null]", "Enum{}", "Enum[1,]", "Enum['a']",
    "Enum[a]", "Enum<1>", "Enum5", 'Enum"a"', "Enum[1]x", "Enum[NaN]", "Enum[Infinity]",
    "Enum[1e999]", r'Enum["\ud800"]', 'Enum["\n"]', "Flags", "Flags[1", "Flags[1,[2]]",
    "Enum" + "[" * 100_000, "Enum[" + "9" * 5_000 + "]",
]  # fmt: skip

VALUES = [
    ("int", [0, -1, 3.0, 1e3, 1e20, 2**64 - 1, -(2**63)]),
    ("float", [0, 1.5, 1e300, 2**64 - 1]),
    ("str", ["", "a", "é", "\0", "1"]),
    ("bool", [True, False]),
    ('Enum[0,1,"a",2.5]', [0, 1, 1.0, "a", 2.5]),
    ("Enum[true]", [True]),
    ('Flags[0,1,"a",true]', [[], [0], [1, 0], [True], ["a", 1.0]]),
    ("Flags[]", [[]]),
    ("Sequence<int>", [[], [1, 2], [1.0]]),
    ("Sequence<Sequence<float>>", [[], [[]], [[1, 2.5], []]]),
    ("Mapping<int>", [{}, {"a": 1}, {"": 1.0}]),
]

REFUSED_VALUES = [
    ("int", [True, 1.5, "1", None, [], {}, math.inf, math.nan, 2**64, -(2**63) - 1]),
    ("float", [True, "1", None, [1], 2**70]),
    ("str", [0, 1.5, None, True, [], {}, "\ud800"]),
    ("bool", [0, 1, 1.0, "true", None, []]),
    ('Enum[0,1,"a",2.5]', [True, False, "1", "A", "2.5", 3.0, None, [], {}, [1]]),
    ("Enum[true]", [1, 1.0, "true", False]),
    ("Enum[]", [None, 0, "", []]),
    ('Flags[0,1,"a",true]', [[1, 1], [1, 1.0], [1, True], [False], [2], [None], [[1]], [{}], 1]),
    ('Flags["a"]', ["a", {"a": 1}, None, ("a",)]),
    ("Flags[]", [[1], {}]),
    ("Sequence<int>", [[True], [None], ["a"], [[1]], {}, None, "ab", [1, "a"]]),
    ("Sequence<Sequence<float>>", [[1], [[[]]], [[None]]]),
    ("Mapping<int>", [[], {"a": "b"}, {"a": None}, {1: 1}, {"\ud800": 1}, None]),
]

SUBTYPES = [
    ("int", "int"),
    ("int", "float"),
    ("Enum[1]", "Enum[2,1.0]"),
    ("Enum[]", "Enum[1]"),
    ("Flags[1]", "Flags[1,2]"),
    ("Sequence<int>", "Sequence<float>"),
    ("Mapping<Sequence<Enum[1]>>", "Mapping<Sequence<Enum[1,2]>>"),
]

NO_SUBTYPES = [
    ("float", "int"),
    ("bool", "int"),
    ("Enum[1]", "int"),
    ("Enum[1]", "Enum[true]"),
    ("Enum[1,2]", "Enum[1]"),
    ("Enum[1]", "Flags[1]"),
    ("Flags[1]", "Enum[1]"),
    ("Flags[1]", "Sequence<int>"),
    ("Sequence<int>", "Mapping<int>"),
    ("Mapping<int>", "Sequence<int>"),
    ("Sequence<float>", "Sequence<int>"),
    ("Mapping<str>", "Mapping<int>"),
]


@pytest.mark.parametrize(("text", "canonical"), CANONICAL, ids=[text for text, _ in CANONICAL])
def test_text_is_read_and_written_canonically(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical
    assert str(parse(canonical)) == canonical
    assert parse(text) == parse(canonical)
    assert hash(parse(text)) == hash(parse(canonical))


@pytest.mark.parametrize("text", REFUSED, ids=[text[:20] for text in REFUSED])
def test_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


@pytest.mark.parametrize(("text", "values"), VALUES, ids=[text for text, _ in VALUES])
def test_value_is_accepted(text: str, values: list[object]) -> None:
    assert [value for value in values if not parse(text).accepts(value)] == []


@pytest.mark.parametrize(
    ("text", "values"), REFUSED_VALUES, ids=[text for text, _ in REFUSED_VALUES]
)
def test_value_is_not_accepted(text: str, values: list[object]) -> None:
    assert [value for value in values if parse(text).accepts(value)] == []


@pytest.mark.parametrize(("sub", "super_"), SUBTYPES)
def test_subtype(sub: str, super_: str) -> None:
    assert parse(sub).is_subtype_of(parse(super_))


@pytest.mark.parametrize(("sub", "super_"), NO_SUBTYPES)
def test_no_subtype(sub: str, super_: str) -> None:
    assert not parse(sub).is_subtype_of(parse(super_))


def test_types_that_python_takes_for_equal_differ() -> None:
    types: list[HeksherType] = [
        EnumType.of([1]),
        EnumType.of([True]),
        EnumType.of(["1"]),
        FlagsType.of([1]),
        PrimitiveType("int"),
        SequenceType(PrimitiveType("int")),
        MappingType(PrimitiveType("int")),
    ]

    assert len(set(types)) == len(types)
    assert str(types[0]) not in set[object](types)


def test_spellings_of_a_number_are_the_same_type_as_for_the_service() -> None:
    assert parse("Enum [3, 2.0,1 ]") == parse("Enum[1,2,3]")
    assert hash(parse("Flags[1.0]")) == hash(parse("Flags[1]"))


def test_options_are_merged_and_sorted_however_they_are_given() -> None:
    assert EnumType.of(iter([2, 1, 2.0, True])).options == (1, 2, True)
    assert FlagsType((2, 1, 2.0, True)) == FlagsType.of([True, 1, 2])


@pytest.mark.parametrize("option", [2**64, math.inf, math.nan, "\ud800", None, [1], b"a"])
def test_option_that_the_service_cannot_hold_is_refused(option: Option) -> None:
    with pytest.raises(ValueError, match="option"):
        EnumType.of([option])


def test_unknown_primitive_is_refused() -> None:
    with pytest.raises(ValueError, match="'date'"):
        PrimitiveType("date")


def test_nesting_is_bounded() -> None:
    deepest = "Sequence<" * MAX_NESTING + "int" + ">" * MAX_NESTING

    assert str(parse(deepest)) == deepest
    assert parse(deepest).accepts([[[]]])
    with pytest.raises(ValueError, match="nested more than 200 levels"):
        parse(f"Mapping<{deepest}>")


OPTIONS = st.lists(st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.text(max_size=3))
TYPES: st.SearchStrategy[HeksherType] = st.recursive(
    st.sampled_from(["int", "float", "str", "bool"]).map(PrimitiveType)
    | OPTIONS.map(EnumType.of)
    | OPTIONS.map(FlagsType.of),
    lambda inner: inner.map(SequenceType) | inner.map(MappingType),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(TYPES)
def test_what_is_written_is_read_back(heksher_type: HeksherType) -> None:
    assert parse(str(heksher_type)) == heksher_type
    assert heksher_type.is_subtype_of(heksher_type)


@given(TYPES, TYPES, JSON)
def test_values_of_a_subtype_are_values_of_its_supertype(
    sub: HeksherType, super_: HeksherType, raw: object
) -> None:
    if sub.is_subtype_of(super_) and sub.accepts(raw):
        assert super_.accepts(raw)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for candidate in (text, f"Enum{text}", f"Enum[{json.dumps(text)}]", f"Sequence<{text}>"):
        try:
            heksher_type = parse(candidate)
        except ValueError:
            continue
        assert parse(str(heksher_type)) == heksher_type
