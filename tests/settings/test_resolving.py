"""What a read finds, whatever look-up it is made by: few tiers, many dense or sparse ones, any shape."""

from __future__ import annotations

from contextvars import ContextVar
from itertools import combinations, islice, product
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from heksher import MissingContextFeature, Setting, bind_context
from heksher.settings.context import default_source
from heksher.settings.reading.state import Snapshot
from heksher.settings.registry import Registry
from heksher.settings.rules.compiling import CompileOptions, compile_rule_set
from heksher.settings.rules.generated_rules import MAX_SHAPES
from heksher.settings.setting import declaration_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FEATURES = ("a", "b", "c", "d", "e")
MASKS = [mask for width in range(1, 4) for mask in combinations(FEATURES, width)]
DEFAULT = -1

Rules = list[dict[str, str]]


def published(*worlds: Rules, registry: Registry | None = None) -> list[Setting[int, ...]]:
    """Return settings of a registry of their own; a rule's value is its number."""
    registry, rule_sets, settings = registry or Registry(), {}, []
    for number, rules in enumerate(worlds):
        setting = Setting(f"s{number}", int, FEATURES, DEFAULT, registry=registry)
        raw = [(place, list(rule.items()), place) for place, rule in enumerate(rules)]
        declaration = declaration_of(setting)
        rule_sets[declaration.index] = compile_rule_set(
            declaration, DEFAULT, raw, previous=None, options=CompileOptions(feature_order=FEATURES)
        )
        settings.append(setting)
    registry.publish(Snapshot(rule_sets=rule_sets, feature_order=FEATURES))
    return settings


def oracle(rules: Rules, context: Mapping[str, Any]) -> int:
    """Return the rule with the latest constrained feature, of those whose conditions all hold."""
    matching = [
        (sorted(map(FEATURES.index, rule), reverse=True), number)
        for number, rule in enumerate(rules)
        if all(
            isinstance(context[feature], str) and str.__str__(context[feature]) == value
            for feature, value in rule.items()
        )
    ]
    return max(matching)[1] if matching else DEFAULT


def rules_of(masks: Iterable[tuple[str, ...]], values: Sequence[str]) -> Rules:
    """Return a rule for each mask and value, with the same value for all of its features."""
    return [dict.fromkeys(mask, value) for mask in masks for value in values]


@pytest.fixture(scope="module")
def crowd() -> list[Setting[int, ...]]:
    """More living settings of shapes of their own than shapes are generated for."""
    shapes = islice(combinations(MASKS, 3), 2 * MAX_SHAPES + 50)
    return published(*[rules_of(shape, ["x"]) for shape in shapes])


WORLDS = {
    "no tier": [],
    "one tier": rules_of([("b",)], ["x", "é", ""]),
    "three tiers": rules_of([("a", "c"), ("b",), ("c",)], ["x", "é", ""]),
    "without conditions": [*rules_of([("a", "c"), ("b",)], ["x", ""]), {}],
    "many dense tiers": rules_of(MASKS[:12], ["x", "é", ""]),
    "many sparse tiers": rules_of(MASKS[:12], ["x"]),
    "many sparse tiers, without conditions": [*rules_of(MASKS[:12], ["x"]), {}],
    "more than are generated": rules_of(MASKS, ["x", "é", ""]),
}


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


VALUES: list[Any] = ["x", "y", "", None, 5, (), [], Text("x"), Unhashable("x"), Pretender()]


@pytest.mark.parametrize("rules", WORLDS.values(), ids=WORLDS)
def test_values_of_every_kind_are_found_or_not(rules: Rules) -> None:
    (setting,) = published(rules)

    for three in product(VALUES, repeat=3):
        context = dict(zip(FEATURES, (*three, "x", None), strict=True))
        assert setting.get(**context) == oracle(rules, context), context
        with bind_context(**context):
            assert setting.get() == oracle(rules, context), context


def test_settings_of_more_shapes_than_are_generated_read_alike(
    crowd: list[Setting[int, ...]],
) -> None:
    rules = rules_of(MASKS[-3:], ["x"])
    (setting,) = published(rules)

    for values in product(VALUES, repeat=3):
        context = dict(zip(FEATURES, ("x", "y", *values), strict=True))
        assert setting.get(**context) == oracle(rules, context), context
        with bind_context(**context):
            assert setting.get() == oracle(rules, context), context
    for number, shape in enumerate(islice(combinations(MASKS, 3), len(crowd))):
        context = {**dict.fromkeys(FEATURES), **dict.fromkeys(shape[0], "x")}
        assert crowd[number].get(**context) == oracle(rules_of(shape, ["x"]), context)


def test_pinned_state_reads_on_while_other_shapes_come_and_go() -> None:
    worlds = [rules_of(shape, ["x"]) for shape in islice(combinations(MASKS, 3), 20)]
    registry = Registry()
    settings = published(*worlds, registry=registry)
    context = dict.fromkeys(FEATURES, "x")

    with bind_context(**context), registry.pinned():
        before = [setting.get() for setting in settings]
        registry.publish(Snapshot())
        for shape in islice(combinations(MASKS, 3), 20, 40 + MAX_SHAPES):
            (other,) = published(rules_of(shape, ["x"]))
            assert other.get() == oracle(rules_of(shape, ["x"]), context)
        assert [setting.get() for setting in settings] == before

    assert before == [oracle(rules, context) for rules in worlds]
    assert settings[0].get(**context) == DEFAULT


SOURCES: list[Any] = [
    None, "x", lambda: "y", lambda: None, ContextVar("unset"), ContextVar("set", default="x"),
]  # fmt: skip


@hypothesis_settings(deadline=None)
@given(
    rules=st.sampled_from(list(WORLDS.values())),
    sources=st.tuples(*[st.sampled_from(SOURCES) for _ in FEATURES]),
    bound=st.dictionaries(st.sampled_from(FEATURES), st.sampled_from(["x", "y", None])),
    given_values=st.dictionaries(st.sampled_from(FEATURES), st.sampled_from(VALUES)),
)
def test_what_is_not_given_is_filled_in(
    rules: Rules, sources: tuple[Any, ...], bound: dict[str, Any], given_values: dict[str, Any]
) -> None:
    registry = Registry()
    (setting,) = published(rules, registry=registry)
    defaults = {name: one for name, one in zip(FEATURES, sources, strict=True) if one is not None}
    registry.set_defaults({name: default_source(name, one) for name, one in defaults.items()})
    known = {**{name: value_of(one) for name, one in defaults.items()}, **bound, **given_values}
    missing = [feature for feature in FEATURES if known.get(feature, ...) is ...]

    with bind_context(**bound):
        if missing:
            with pytest.raises(MissingContextFeature, match=f"'{missing[0]}'"):
                setting.get(**given_values)
        else:
            assert setting.get(**given_values) == oracle(rules, known)


def value_of(default: Any) -> Any:
    """Return the value of a default, or `...` where it has none."""
    if not isinstance(default, ContextVar):
        return default() if callable(default) else default
    try:
        return default.get()
    except LookupError:
        return ...
