"""Generated resolvers and fillers: their source as documented, their limits, the loop's equality."""

from __future__ import annotations

import re
from contextvars import ContextVar
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from heksher import bind_context
from heksher.settings import packing, resolving
from heksher.settings.context import (
    ABSENT,
    NO_DEFAULT,
    DefaultKind,
    DefaultSource,
    default_source,
)
from heksher.settings.packing import pack, packed_resolver, packed_source, unpack
from heksher.settings.resolving import (
    MAX_GENERATED_TIERS,
    MAX_SHAPES,
    MIN_SPARSE_TIERS,
    filler_around,
    filler_source,
    generated_filler,
    generated_resolver,
    resolver_source,
)

WIDTH = 4
FEATURES = ("a", "b", "c", "d")
SUBSETS = [
    positions for width in range(WIDTH + 1) for positions in combinations(range(WIDTH), width)
]
VALUES: list[Any] = ["x", "y", None, 5, [], {}]


class MissingError(Exception):
    """What the fillers of these tests raise."""


def test_source_is_as_documented() -> None:
    documented = str(resolving.__doc__).partition("::\n\n")[2].partition("\n\nWhat it")[0]
    lines = [line.removeprefix("    ") for line in documented.splitlines()]

    generated = resolver_source(2, ((0, 1), (1,))).splitlines()

    typed = "(type(ø0) is str or øis_text(ø0)) and (type(ø1) is str or øis_text(ø1))"
    assert [line.rstrip() for line in generated] == [
        line.replace("(type(ø0) is str or øis_text(ø0)) and (...)", typed) for line in lines
    ]


def test_source_of_a_filler_is_as_documented() -> None:
    documented = str(resolving.__doc__).rpartition("::\n\n")[2].partition("\n\nWhere")[0]
    lines = [line.removeprefix("    ") for line in documented.splitlines()]

    generated = filler_source((DefaultKind.FUNCTION, DefaultKind.VARIABLE), ((1,),))

    assert "\n".join(f"        {line}" for line in lines) in generated


def test_source_of_a_packed_resolver_is_as_documented() -> None:
    documented = str(packing.__doc__).partition("::\n\n")[2].partition("\n\nA rule")[0]
    lines = [line.removeprefix("    ") for line in documented.splitlines()]

    generated = packed_source(2)

    held = "øplaces=øplaces, økeys=økeys, ønumbers=ønumbers"
    assert generated == "\n".join(lines).replace("ørules=ørules, ...", f"ørules=ørules, {held}")


def test_function_holds_only_what_it_uses() -> None:
    source = filler_source((DefaultKind.CONSTANT, DefaultKind.FUNCTION), ((1,),))

    assert "def resolve(ø0, ø1, ødefault=ødefault, øn1=øn1, ød1=ød1, ør0=ør0):" in source


def test_filler_leaves_out_constants_that_no_rule_needs() -> None:
    source = filler_source((DefaultKind.CONSTANT, DefaultKind.CONSTANT), ((1,),))

    assert "ø0 is øABSENT" not in source
    assert "ø1 is øABSENT" in source
    assert "øambient()" not in filler_source((DefaultKind.CONSTANT,), ())


@pytest.mark.parametrize("kind", DefaultKind)
def test_every_generated_name_starts_with_a_character_no_feature_has(kind: DefaultKind) -> None:
    source = filler_source((kind,) * 4, ((0, 1), (1,), (), (0, 2), (1, 2), (0, 3)))
    python = {"def", "return", "try", "except", "if", "in", "is", "and", "or", "else", "raise",
              "type", "str", "TypeError"}  # fmt: skip

    names = set(re.findall(r"[^\W\d]\w*", source)) - python - {"resolve"}

    assert all(name.startswith("ø") for name in names)


def tier_strategy(positions: tuple[int, ...]) -> st.SearchStrategy[Any]:
    """Return a strategy of tiers with conditions on *positions*; one feature value is its own key."""
    values = st.sampled_from("xy")
    keys: Any = values if len(positions) == 1 else st.tuples(*[values for _ in positions])
    return st.tuples(st.just(positions), st.dictionaries(keys, st.integers(), min_size=1))


tiers_strategy = st.lists(st.sampled_from(SUBSETS), unique=True, max_size=14).flatmap(
    # No tier is below the one without conditions.
    lambda chosen: st.tuples(
        *[tier_strategy(one) for one in sorted(chosen, key=lambda one: not one)]
    )
)
values_strategy = st.tuples(*[st.sampled_from(VALUES) for _ in range(WIDTH)])


def generated(width: int, tiers: Any, default: Any) -> Any:
    """Return what is generated for *tiers*, whatever was generated before, and however few rules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resolving, "_factories", {})
        patch.setattr(resolving, "MIN_SPARSE_TIERS", MAX_GENERATED_TIERS + 1)
        resolver = generated_resolver(width, tiers, default)
    assert resolver is not None
    return resolver


def packed(width: int, tiers: Any, default: Any) -> Any:
    return packed_resolver(width, [positions for positions, _ in tiers], pack(tiers), default)


@hypothesis_settings(deadline=None)
@given(tiers=tiers_strategy, values=values_strategy)
def test_packed_rules_and_generated_code_resolve_alike(tiers: Any, values: Any) -> None:
    expected = generated(WIDTH, tiers, "default")(*values)

    assert packed(WIDTH, tiers, "default")(*values) == expected if tiers else expected == "default"


@given(tiers=tiers_strategy)
def test_rules_are_unpacked_as_they_were_packed(tiers: Any) -> None:
    unpacked = unpack(pack(tiers), [positions for positions, _ in tiers])

    assert [list(table.items()) for table in unpacked] == [
        list(rules.items()) for _, rules in tiers
    ]


class Text(str):
    """A `str` of a user's own."""

    __slots__ = ()


class Unhashable(str):
    """A `str` that cannot be hashed."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]


class Pretender:
    """What is equal to a `str` and is none."""

    def __eq__(self, other: object) -> bool:
        return other == "x"

    def __hash__(self) -> int:
        return hash("x")

    def __repr__(self) -> str:
        return "Pretender()"


SPARSE: list[Any] = [
    ((0, 2), {("x", "é"): 0}),
    ((1, 2), {("x", "x"): ""}),
    ((2,), {"x": None}),
    ((0, 1), {("x", "x"): False, ("y", ""): ()}),
    ((1,), {"日": 5}),
]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("x", "y", "é"), 0),
        (("y", "x", "x"), ""),
        ((None, None, "x"), None),
        (("x", "x", None), False),
        (("y", "", 5), ()),
        (("y", "日", "y"), 5),
        (("y", "y", "y"), "default"),
        ((Text("x"), "y", Text("é")), 0),
        (("x", Unhashable("x"), None), False),
        ((Unhashable("y"), "x", "x"), ""),
        (([], "x", "x"), ""),
        ((Pretender(), "x", None), "default"),
        ((Pretender(), "日", "y"), 5),
        ((None, None, Pretender()), "default"),
        ((0, (0, "x"), 1), "default"),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("make", [generated, packed])
def test_values_of_every_kind_are_found_or_not(make: Any, values: Any, expected: Any) -> None:
    assert make(3, SPARSE, "default")(*values) == expected


@pytest.mark.parametrize("make", [generated, packed])
def test_rule_without_conditions_applies_where_no_other_does(make: Any) -> None:
    resolve = make(2, [*[one for one in SPARSE if 2 not in one[0]], ((), {(): 0})], "default")

    assert (resolve("x", "x"), resolve("y", "y"), resolve([], "y")) == (False, 0, 0)


sources_strategy = st.tuples(
    *[
        st.sampled_from(
            [NO_DEFAULT, DefaultSource(DefaultKind.CONSTANT, "x"),
             DefaultSource(DefaultKind.FUNCTION, lambda: "y"),
             DefaultSource(DefaultKind.FUNCTION, lambda: None),
             default_source("v", ContextVar("unset")), default_source("v", ContextVar("set", default="x"))]
        )
        for _ in range(WIDTH)
    ]
)  # fmt: skip
bound_strategy = st.dictionaries(st.sampled_from(FEATURES), st.sampled_from(["x", "y", None]))


def outcome(resolve: Any, values: Any) -> Any:
    try:
        return resolve(*values)
    except MissingError as error:
        return str(error)


@hypothesis_settings(deadline=None)
@given(
    tiers=tiers_strategy, sources=sources_strategy, bound=bound_strategy,
    values=st.tuples(*[st.sampled_from([*VALUES, ABSENT, ABSENT]) for _ in range(WIDTH)]),
)  # fmt: skip
def test_fillers_of_both_kinds_fill_in_alike(
    tiers: Any, sources: Any, bound: dict[str, Any], values: Any
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resolving, "_factories", {})
        filler = generated_filler(FEATURES, tiers, "default", sources=sources, missing=MissingError)
    around = filler_around(
        generated(WIDTH, tiers, "default"), FEATURES, sources=sources, missing=MissingError
    )

    with bind_context(**bound):
        assert outcome(around, values) == outcome(filler, values)


def test_no_more_shapes_are_generated_than_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    factories: dict[Any, Any] = {}
    monkeypatch.setattr(resolving, "_factories", factories)
    positions = [one for width in (1, 2, 3) for one in combinations(range(13), width)]

    made = [generated_resolver(13, [(one, {"x": 1})], 0) for one in positions[: MAX_SHAPES + 20]]

    assert len(factories) == MAX_SHAPES
    assert [resolver is None for resolver in made] == [False] * MAX_SHAPES + [True] * 20


def test_more_tiers_than_documented_are_not_generated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "_factories", {})
    tiers: list[Any] = [
        (one, dict.fromkeys(["x", "y", "z"], 1)) for one in combinations(range(17), 1)
    ]

    assert generated_resolver(17, tiers[:MAX_GENERATED_TIERS], 0) is not None
    assert generated_resolver(17, tiers[: MAX_GENERATED_TIERS + 1], 0) is None


@pytest.mark.parametrize(
    ("tiers", "rules", "is_generated"),
    [(MIN_SPARSE_TIERS - 1, 1, True), (MIN_SPARSE_TIERS, 2, False), (MIN_SPARSE_TIERS, 3, True)],
)
def test_many_tiers_of_few_rules_are_not_generated(
    tiers: int, rules: int, is_generated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolving, "_factories", {})
    made: list[Any] = [((place,), dict.fromkeys("xyz"[:rules], 1)) for place in range(tiers)]

    assert (generated_resolver(6, made, 0) is not None) is is_generated


def test_shape_is_generated_once_for_all_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    factories: dict[Any, Any] = {}
    monkeypatch.setattr(resolving, "_factories", factories)

    one = generated_resolver(2, [((0,), {"x": 1})], 0)
    two = generated_resolver(2, [((0,), {"x": 2})], 0)

    assert len(factories) == 1
    assert one is not None
    assert two is not None
    assert (one("x", "y"), two("x", "y"), one("y", "x")) == (1, 2, 0)
