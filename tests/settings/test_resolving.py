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
from heksher.settings import resolving
from heksher.settings.context import (
    ABSENT,
    NO_DEFAULT,
    DefaultKind,
    DefaultSource,
    default_source,
)
from heksher.settings.resolving import (
    MAX_GENERATED_TIERS,
    MAX_SHAPES,
    filler_source,
    make_filler,
    make_resolver,
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
    documented = str(resolving.__doc__).partition("::\n\n")[2].partition("\n\nA *filler*")[0]
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
    lambda chosen: st.tuples(*[tier_strategy(positions) for positions in chosen])
)
values_strategy = st.tuples(*[st.sampled_from(VALUES) for _ in range(WIDTH)])


@hypothesis_settings(deadline=None)
@given(tiers=tiers_strategy, values=values_strategy)
def test_loop_and_generated_code_resolve_alike(tiers: Any, values: Any) -> None:
    generated = make_resolver(WIDTH, tiers, "default")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resolving, "_factories", {})
        patch.setattr(resolving, "MAX_SHAPES", 0)
        looping = make_resolver(WIDTH, tiers, "default")

    assert looping(*values) == generated(*values)


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
def test_loop_and_generated_code_fill_in_alike(
    tiers: Any, sources: Any, bound: dict[str, Any], values: Any
) -> None:
    def make() -> Any:
        return make_filler(FEATURES, tiers, "default", sources=sources, missing=MissingError)

    generated = make()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resolving, "_factories", {})
        patch.setattr(resolving, "MAX_SHAPES", 0)
        looping = make()

    with bind_context(**bound):
        assert outcome(looping, values) == outcome(generated, values)


def test_no_more_shapes_are_generated_than_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    factories: dict[Any, Any] = {}
    monkeypatch.setattr(resolving, "_factories", factories)
    positions = [one for width in (1, 2, 3) for one in combinations(range(13), width)]

    for chosen in positions[: MAX_SHAPES + 20]:
        key: Any = "x" if len(chosen) == 1 else ("x",) * len(chosen)
        resolve = make_resolver(13, [(chosen, {key: 1})], 0)
        assert resolve(*["x"] * 13) == 1
        assert resolve(*["y"] * 13) == 0

    assert len(factories) == MAX_SHAPES


def test_more_tiers_than_documented_are_not_generated(monkeypatch: pytest.MonkeyPatch) -> None:
    factories: dict[Any, Any] = {}
    monkeypatch.setattr(resolving, "_factories", factories)
    chosen: list[Any] = [*combinations(range(6), 2), *combinations(range(6), 1)]
    tiers: list[Any] = [(one, {"x" if len(one) == 1 else ("x", "x"): one}) for one in chosen]

    make_resolver(6, tiers[:MAX_GENERATED_TIERS], 0)
    resolve = make_resolver(6, tiers[: MAX_GENERATED_TIERS + 1], 0)

    assert len(factories) == 1
    assert resolve(*["x"] * 6) == chosen[0]


def test_shape_is_generated_once_for_all_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    factories: dict[Any, Any] = {}
    monkeypatch.setattr(resolving, "_factories", factories)

    one = make_resolver(2, [((0,), {"x": 1})], 0)
    two = make_resolver(2, [((0,), {"x": 2})], 0)

    assert len(factories) == 1
    assert (one("x", "y"), two("x", "y"), one("y", "x")) == (1, 2, 0)
