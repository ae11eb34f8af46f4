"""Precedence, against an oracle written from the documented rule; last good values; explanations."""

from __future__ import annotations

from itertools import combinations, permutations, product
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from heksher import Setting, bind_context
from heksher.settings.reading.state import Snapshot, Source
from heksher.settings.registry import Registry
from heksher.settings.rules.compiling import CompileOptions, compile_rule_set
from heksher.settings.rules.rule_set import Origin, RuleSet
from heksher.settings.setting import declaration_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from conftest import Publish

FEATURES = ("a", "b", "c", "d")
VALUES = ("x", "y")
DEFAULT = -1

Conditions = dict[str, str]


def oracle(
    rules: Sequence[tuple[int, Conditions]], context: Mapping[str, Any], order: Sequence[str]
) -> int:
    """Return the rule that wins: the latest constrained feature wins, the next latest breaks ties."""
    matching = [
        (sorted((order.index(feature) for feature in conditions), reverse=True), rule_id)
        for rule_id, conditions in rules
        if all(context[feature] == value for feature, value in conditions.items())
    ]
    return max(matching)[1] if matching else DEFAULT


def raw(rules: Sequence[tuple[int, Conditions]]) -> list[Any]:
    return [
        (rule_id, [list(pair) for pair in conditions.items()], rule_id)
        for rule_id, conditions in rules
    ]


def published(
    rules: Sequence[tuple[int, Conditions]],
    order: Sequence[str],
    features: Sequence[str] = FEATURES,
) -> Setting[int, ...]:
    registry = Registry()
    setting = Setting("s", int, features, DEFAULT, registry=registry)
    rule_set = compile_rule_set(
        declaration_of(setting),
        DEFAULT,
        raw(rules),
        previous=None,
        options=CompileOptions(feature_order=order),
    )
    registry.publish(
        Snapshot(
            rule_sets={declaration_of(setting).index: rule_set},
            feature_order=tuple(order),
            source=Source.SERVICE,
        )
    )
    return setting


def all_conditions(
    features: Sequence[str] = FEATURES, values: Sequence[str] = VALUES
) -> list[Conditions]:
    """Return every set of conditions that a rule of these features can have."""
    return [
        dict(zip(names, chosen, strict=True))
        for width in range(1, len(features) + 1)
        for names in combinations(features, width)
        for chosen in product(values, repeat=width)
    ]


def all_contexts(
    features: Sequence[str] = FEATURES, values: Sequence[Any] = VALUES
) -> list[dict[str, Any]]:
    return [
        dict(zip(features, chosen, strict=True)) for chosen in product(values, repeat=len(features))
    ]


@pytest.mark.parametrize(
    "first", range(len(all_conditions())), ids=lambda place: str(all_conditions()[place])
)
def test_every_pair_of_rules_resolves_as_documented(first: int) -> None:
    worlds = all_conditions()
    contexts = all_contexts()
    for second in range(first + 1, len(worlds)):
        rules = [(1, worlds[first]), (2, worlds[second])]
        setting = published(rules, FEATURES)
        for context in contexts:
            assert setting.get(**context) == oracle(rules, context, FEATURES), (rules, context)


@pytest.mark.parametrize("order", list(permutations("abc")), ids="".join)
def test_order_of_the_service_decides_not_the_declared_one(order: Sequence[str]) -> None:
    worlds = all_conditions("abc", "x")
    for chosen in combinations(enumerate(worlds), 3):
        rules = [(number, conditions) for number, conditions in chosen]
        setting = published(rules, order, ("b", "c", "a"))
        for context in all_contexts("abc", ("x", "y", None)):
            assert setting.get(**context) == oracle(rules, context, order)


def test_latest_feature_outranks_two_earlier_ones() -> None:
    setting = published([(1, {"a": "x", "b": "x"}), (2, {"c": "x"})], FEATURES)

    assert setting.get(a="x", b="x", c="x", d="x") == 2


def test_next_latest_feature_breaks_the_tie_not_the_number_of_conditions() -> None:
    setting = published([(1, {"a": "x", "b": "x", "d": "x"}), (2, {"c": "x", "d": "x"})], FEATURES)

    assert setting.get(a="x", b="x", c="x", d="x") == 2


conditions_strategy = st.dictionaries(st.sampled_from(FEATURES), st.sampled_from("xyz"), min_size=1)
rules_strategy = st.lists(
    conditions_strategy, max_size=40, unique_by=lambda one: tuple(sorted(one.items()))
)
context_strategy = st.fixed_dictionaries(
    {feature: st.sampled_from(["x", "y", "z", None, "w"]) for feature in FEATURES}
)


@hypothesis_settings(deadline=None)
@given(
    rules=rules_strategy,
    order=st.permutations(FEATURES),
    contexts=st.lists(context_strategy, min_size=1, max_size=20),
)
def test_many_rules_resolve_as_documented(
    rules: list[Conditions], order: list[str], contexts: list[dict[str, Any]]
) -> None:
    numbered = list(enumerate(rules))
    setting = published(numbered, order)

    for context in contexts:
        assert setting.get(**context) == oracle(numbered, context, order)


@hypothesis_settings(deadline=None)
@given(rules=rules_strategy, order=st.permutations(FEATURES), context=context_strategy)
def test_explanation_replays_to_what_is_read(
    rules: list[Conditions], order: list[str], context: dict[str, Any]
) -> None:
    numbered = list(enumerate(rules))
    setting = published(numbered, order)

    explained = setting.explain(**context)

    assert explained.value == setting.get(**context) == oracle(numbered, context, order)
    assert explained.rule_id == (None if explained.value == DEFAULT else explained.value)
    matching = {n for n, one in numbered if one.items() <= context.items()}
    assert {explained.rule_id, *(one.rule_id for one in explained.outranked)} - {None} == matching
    assert dict(explained.conditions).items() <= context.items()


@hypothesis_settings(deadline=None)
@given(rules=rules_strategy, order=st.permutations(FEATURES))
def test_outranked_rule_is_told_the_feature_that_beat_it(
    rules: list[Conditions], order: list[str]
) -> None:
    setting = published(list(enumerate(rules)), order)

    explained = setting.explain(a="x", b="x", c="x", d="x")

    for one in explained.outranked:
        decisive = one.reason.rpartition(" ")[2]
        later = order[order.index(decisive) + 1 :]
        assert decisive in dict(explained.conditions)
        assert decisive not in dict(one.conditions)
        assert [f for f in later if f in dict(one.conditions)] == [
            f for f in later if f in dict(explained.conditions)
        ]


def test_more_tiers_than_are_generated_resolve_as_documented() -> None:
    features = ("a", "b", "c", "d", "e")
    rules = list(enumerate(all_conditions(features, "x")))
    setting = published(rules, features, features)

    for context in all_contexts(features, ("x", None)):
        assert setting.get(**context) == oracle(rules, context, features)
        with bind_context(**context):
            assert setting.get() == oracle(rules, context, features)


def test_feature_unknown_to_the_service_counts_as_earlier_than_all() -> None:
    rules = [(1, {"a": "x", "b": "x"}), (2, {"c": "x"})]
    setting = published(rules, ("c",))

    assert setting.get(a="x", b="x", c="x", d=None) == 2
    assert setting.explain(a="x", b="x", c="x", d=None).outranked[0].reason.endswith(" c")


def test_rule_on_a_foreign_feature_is_left_out_and_counted(
    registry: Registry, publish: Publish
) -> None:
    setting = Setting("s", int, ["a"], 0, registry=registry)

    rule_set = publish(
        setting, [(1, [["a", "x"], ["z", "y"]], 1), (2, [["z", "y"]], 2), (3, [["a", "x"]], 3)]
    )

    assert setting.get(a="x") == 3
    assert rule_set.foreign == 2
    assert rule_set.rejections == ()


def test_rule_is_used_only_if_all_its_conditions_are_tracked(
    registry: Registry, publish: Publish
) -> None:
    setting = Setting("s", int, ["a", "b"], 0, registry=registry)
    tracked = {("a", "x"), ("a", "y"), ("b", "x")}

    rule_set = publish(
        setting,
        [(1, [["a", "x"]], 1), (2, [["a", "y"], ["b", "y"]], 2), (3, [["a", "z"]], 3)],
        is_tracked=lambda feature, value: (feature, value) in tracked,
    )

    assert [one.rule_id for one in rule_set.rules()] == [1]


@pytest.mark.parametrize("ids", [(1, 2), (2, 1)], ids=str)
def test_newer_of_two_rules_with_the_same_conditions_is_used(
    ids: tuple[int, int], registry: Registry, publish: Publish
) -> None:
    setting = Setting("s", int, ["a", "b"], 0, registry=registry)

    rule_set = publish(
        setting,
        [
            (ids[0], [["a", "x"], ["b", "y"]], ids[0] * 10),
            (3, [["a", "z"], ["b", "y"]], 30),
            (ids[1], [["b", "y"], ["a", "x"]], ids[1] * 10),
        ],
    )

    assert setting.get(a="x", b="y") == 20
    assert setting.explain(a="x", b="y").rule_id == 2
    assert setting.explain(a="z", b="y").rule_id == 3
    assert [(one.rule_id, one.reason) for one in rule_set.rejections] == [
        (1, "superseded by rule 2, which is newer and has the same conditions")
    ]


def test_newer_duplicate_with_a_bad_value_leaves_the_older_rule(
    registry: Registry, publish: Publish
) -> None:
    setting = Setting("s", int, ["a"], 0, registry=registry)

    publish(setting, [(1, [["a", "x"]], 10), (2, [["a", "x"]], "bad")])

    assert setting.get(a="x") == 10


def test_conditions_may_come_in_any_order(registry: Registry, publish: Publish) -> None:
    setting = Setting("s", int, ["a", "b", "c"], 0, registry=registry)

    publish(setting, [(1, [["c", "z"], ["a", "x"], ["b", "y"]], 1)])

    assert setting.get(a="x", b="y", c="z") == 1
    assert setting.explain(a="x", b="y", c="z").conditions == (("a", "x"), ("b", "y"), ("c", "z"))


def test_rule_without_conditions_applies_always_and_yields_to_any_other(
    registry: Registry, publish: Publish
) -> None:
    setting = Setting("s", int, ["a"], 0, registry=registry)

    publish(setting, [(1, [], 1), (2, [["a", "x"]], 2)])

    assert setting.get(a="x") == 2
    assert setting.get(a=None) == 1
    assert "(always)" in str(setting.explain(a=None))


def test_rule_keeps_its_last_good_value_when_its_value_goes_bad(
    registry: Registry, publish: Publish
) -> None:
    setting = Setting("s", int, ["a"], 0, registry=registry)
    publish(setting, [(1, [["a", "x"]], 10), (2, [["a", "y"]], 20)])

    rule_set = publish(setting, [(1, [["a", "x"]], "bad"), (2, [["a", "y"]], 21)])

    assert (setting.get(a="x"), setting.get(a="y")) == (10, 21)
    assert [(one.setting_name, one.rule_id) for one in rule_set.rejections] == [("s", 1)]


def test_last_good_value_outlives_several_bad_ones_and_ends_with_its_rule(
    registry: Registry, publish: Publish
) -> None:
    setting = Setting("s", int, ["a"], 0, registry=registry)
    publish(setting, [(1, [["a", "x"]], 10)])
    bad_values: list[Any] = ["bad", None, []]
    for bad in bad_values:
        publish(setting, [(1, [["a", "x"]], bad)])
        assert setting.get(a="x") == 10

    publish(setting, [])

    assert setting.get(a="x") == 0


def test_rule_with_other_conditions_does_not_inherit_a_value(
    registry: Registry, publish: Publish
) -> None:
    setting = Setting("s", int, ["a"], 0, registry=registry)
    publish(setting, [(1, [["a", "x"]], 10)])

    publish(setting, [(1, [["a", "y"]], "bad")])

    assert (setting.get(a="x"), setting.get(a="y")) == (0, 0)


def test_rule_that_never_had_a_good_value_is_left_out(registry: Registry, publish: Publish) -> None:
    setting = Setting("s", int, ["a", "b"], 0, registry=registry)

    publish(setting, [(1, [["b", "x"]], "bad"), (2, [["a", "x"]], 2)])

    assert setting.get(a="x", b="x") == 2


@pytest.mark.parametrize(
    ("local", "service", "rule"),
    [(5, 0, 7), (0, 5, 7), (5, 7, 0), (0, 0, 0)],
    ids=["service", "local", "rule", "all"],
)
def test_zero_counts_wherever_it_stands(
    local: int, service: int, rule: int, registry: Registry, publish: Publish
) -> None:
    setting = Setting("s", int, ["a"], local, registry=registry)
    assert setting.get(a="x") == local

    publish(setting, [(1, [["a", "x"]], rule)], default=service)

    assert (setting.get(a="x"), setting.get(a=None)) == (rule, service)


FALSY: list[tuple[Any, Any, Any]] = [
    (int, 0, 5), (float, 0.0, 0.5), (str, "", "a"), (bool, False, True),
    (list[int], [], [1]), (dict[str, int], {}, {"a": 1}), (frozenset[int], frozenset(), frozenset({1})),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "falsy", "truthy"), FALSY, ids=ascii)
def test_falsy_values_are_read_as_rule_as_service_default_and_as_local_default(
    annotation: Any, falsy: Any, truthy: Any, registry: Registry, publish: Publish
) -> None:
    raw_falsy = list(falsy) if isinstance(falsy, frozenset) else falsy
    one: Any = Setting("one", annotation, ["a"], truthy, registry=registry)
    two: Any = Setting("two", annotation, ["a"], falsy, registry=registry)

    publish(one, [(1, [["a", "x"]], raw_falsy)], default=raw_falsy)
    publish(two, default=one.raw_default, use_local_default=True)

    assert one.get(a="x") == one.get(a=None) == two.get(a="x") == falsy
    assert type(one.get(a="x")) is type(two.get(a="x")) is type(two.default_value)
    assert one.explain(a="x").origin is Origin.RULE
    assert two.explain(a="x").origin is Origin.LOCAL_DEFAULT


def test_service_default_that_goes_bad_leaves_the_last_good_one(
    registry: Registry, publish: Publish
) -> None:
    setting = Setting("s", int, ["a"], 1, registry=registry)
    publish(setting, default=2)

    rule_set = publish(setting, default="bad")

    assert setting.get(a="x") == 2
    assert setting.explain(a="x").origin is Origin.SERVICE_DEFAULT
    assert [one.rule_id for one in rule_set.rejections] == [None]


def test_service_default_that_was_never_good_leaves_the_declared_one(
    registry: Registry, publish: Publish
) -> None:
    setting = Setting("s", int, ["a"], 1, registry=registry)

    publish(setting, default=None)

    assert setting.get(a="x") == 1
    assert setting.explain(a="x").origin is Origin.LOCAL_DEFAULT
    assert "the service's default was rejected" in str(setting.explain(a="x"))


def test_reordered_rule_set_reads_by_the_new_order(registry: Registry, publish: Publish) -> None:
    setting = Setting("s", int, ["a", "b"], 0, registry=registry)
    before = publish(setting, [(1, [["a", "x"]], 1), (2, [["b", "x"]], 2)])

    after = before.reordered(["b", "a"])

    assert (before.resolve("x", "x"), after.resolve("x", "x")) == (2, 1)
    assert not before.reads_as(after)
    assert after.reordered(["b", "a"]) is after
    assert before.reordered(["z", "a", "y", "b"]) is before


def compiled(rules: Sequence[Any], default: Any = 0) -> RuleSet[Any]:
    setting = Setting("s", float, ["a", "b"], 0.0, registry=Registry())
    return compile_rule_set(
        declaration_of(setting),
        default,
        rules,
        previous=None,
        options=CompileOptions(feature_order=("a", "b")),
    )


@pytest.mark.parametrize(
    ("rules", "default", "same"),
    [
        ([(9, [["a", "x"]], 1)], 0, True),
        ([(1, [["a", "x"]], 1.0)], 0.0, True),
        ([(1, [["a", "x"]], 2)], 0, False),
        ([(1, [["a", "y"]], 1)], 0, False),
        ([(1, [["b", "x"]], 1)], 0, False),
        ([(1, [["a", "x"]], 1)], 1, False),
        ([], 0, False),
    ],
    ids=["another id", "same value", "value", "condition", "feature", "default", "no rule"],
)
def test_rule_sets_read_alike_when_every_context_reads_the_same(
    rules: Sequence[Any], default: Any, same: bool
) -> None:
    assert compiled([(1, [["a", "x"]], 1)]).reads_as(compiled(rules, default)) is same


def test_rules_are_listed_with_the_highest_precedence_first() -> None:
    rule_set = compiled(
        [(1, [["a", "x"]], 1), (2, [["b", "y"]], 2), (3, [["b", "y"], ["a", "x"]], 3)]
    )

    assert [tuple(rule) for rule in rule_set.rules()] == [
        (3, (("a", "x"), ("b", "y")), 3.0),
        (2, (("b", "y"),), 2.0),
        (1, (("a", "x"),), 1.0),
    ]


def test_coercions_belong_to_what_is_read(registry: Registry, publish: Publish) -> None:
    setting = Setting[list[int]](
        "s", configurable_features=["a"], default_value=[], registry=registry
    )
    publish(setting, [(1, [["a", "x"]], [1, "bad"])], default=["bad"])

    assert [one.path for one in setting.explain(a="x").coercions] == ["$[1]"]
    assert [one.path for one in setting.explain(a=None).coercions] == ["$[0]"]

    publish(setting, default=["bad"], use_local_default=True)

    assert setting.explain(a=None).coercions == ()


SPARSE = [(number, conditions) for number, conditions in enumerate(all_conditions(values="x"))]
"""One rule for each set of features: too few a tier to generate code for."""


@hypothesis_settings(deadline=None)
@given(
    rules=rules_strategy,
    orders=st.tuples(st.permutations(FEATURES), st.permutations(FEATURES)),
    contexts=st.lists(context_strategy, min_size=1, max_size=20),
)
def test_reordered_rules_resolve_and_are_listed_as_if_compiled_so(
    rules: list[Conditions], orders: Any, contexts: list[dict[str, Any]]
) -> None:
    before, after = [compiled_of(list(enumerate(rules)), order) for order in orders]

    reordered = before.reordered(orders[1])

    assert reordered.reads_as(after)
    assert sorted(reordered.rules()) == sorted(after.rules())
    for context in contexts:
        expected = oracle(list(enumerate(rules)), context, orders[1])
        assert reordered.resolve(*[context[feature] for feature in FEATURES]) == expected


def compiled_of(rules: Sequence[tuple[int, Conditions]], order: Sequence[str]) -> RuleSet[Any]:
    setting = Setting("s", int, FEATURES, DEFAULT, registry=Registry())
    return compile_rule_set(
        declaration_of(setting),
        DEFAULT,
        raw(rules),
        previous=None,
        options=CompileOptions(feature_order=order),
    )


@pytest.mark.parametrize("changed", [None, 0, len(SPARSE) - 1])
def test_rules_of_many_tiers_are_compared(changed: int | None) -> None:
    rules = [one for one in SPARSE if one[0] != changed]

    one, other = compiled_of(rules, FEATURES), compiled_of(SPARSE, FEATURES)

    assert one.reads_as(other) is one.lists_as(other) is (changed is None)
    assert sorted(rule.rule_id for rule in one.rules()) == [number for number, _ in rules]


def test_rules_that_read_alike_are_listed_by_their_own_ids() -> None:
    one, other = compiled_of(SPARSE, FEATURES), compiled_of(SPARSE[::-1], FEATURES)
    renumbered = compiled_of([(number + 1, each) for number, each in SPARSE], FEATURES)

    assert one.lists_as(other)
    assert not one.lists_as(renumbered)


def test_newer_of_two_equal_rules_is_used_among_many_tiers(
    registry: Registry, publish: Publish
) -> None:
    setting = Setting("s", int, FEATURES, DEFAULT, registry=registry)

    rule_set = publish(setting, [*raw(SPARSE), (99, [["b", "x"], ["a", "x"]], 99)])

    (older,) = [number for number, conditions in SPARSE if conditions == {"a": "x", "b": "x"}]
    assert setting.get(a="x", b="x", c=None, d=None) == 99
    assert setting.explain(a="x", b="x", c=None, d=None).rule_id == 99
    assert [one.rule_id for one in rule_set.rejections] == [older]
