"""`explain()`: the value that `get` returns, and why; whatever rules, context and view there are."""

from __future__ import annotations

import dataclasses
import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heksher import HeksherSequence, Setting, bind_context
from heksher.settings.context import default_source
from heksher.settings.explaining import FeatureSource
from heksher.settings.reading.state import Snapshot, Source
from heksher.settings.registry import Registry
from heksher.settings.rules.compiling import CompileOptions, compile_rule_set
from heksher.settings.rules.rule_set import Origin
from heksher.settings.setting import declaration_of

if TYPE_CHECKING:
    from conftest import Publish

FEATURES = ("environment", "theme", "user")

values = st.sampled_from(["a", "b", None])
some_values = st.dictionaries(st.sampled_from(FEATURES), values)
raw_rules = st.lists(
    st.dictionaries(st.sampled_from(FEATURES), st.sampled_from(["a", "b"]), max_size=3),
    max_size=12,
    unique_by=lambda conditions: tuple(sorted(conditions.items())),
)


@given(
    rules=raw_rules,
    order=st.permutations(FEATURES),
    defaults=st.fixed_dictionaries(dict.fromkeys(FEATURES, values)),
    bound=some_values,
    arguments=some_values,
    odd=st.sampled_from([None, 5, ["a"]]),
    views=st.lists(st.sampled_from(["pinned", "override"]), max_size=3),
)
def test_explanation_replays_to_what_get_returns(
    rules: list[dict[str, str]],
    order: list[str],
    defaults: dict[str, str | None],
    bound: dict[str, str | None],
    arguments: dict[str, Any],
    odd: Any,
    views: list[str],
) -> None:
    registry = Registry()
    setting = Setting("a", int, FEATURES, -1, registry=registry)
    raw = [(number, list(map(list, one.items())), number) for number, one in enumerate(rules)]
    options = CompileOptions(feature_order=order)
    rule_set = compile_rule_set(declaration_of(setting), -2, raw, previous=None, options=options)
    registry.publish(
        Snapshot(rule_sets={declaration_of(setting).index: rule_set}, feature_order=tuple(order))
    )
    registry.set_defaults(
        {name: default_source(name, lambda value=value: value) for name, value in defaults.items()}
    )
    arguments = {**arguments, **({} if odd is None else {"theme": odd})}

    with ExitStack() as stack:
        stack.enter_context(bind_context(**bound))
        for number, view in enumerate(views):
            stack.enter_context(
                registry.pinned() if view == "pinned" else setting.override(-9 - number)
            )
        why = setting.explain(**arguments)
        assert why.value == setting.get(**arguments)

    check(why, rules, order, {**defaults, **bound, **arguments})


def check(why: Any, rules: list[dict[str, str]], order: list[str], context: dict[str, Any]) -> None:
    """Hold an explanation to the documented rule of precedence, worked out anew."""
    matching = [
        number
        for number, conditions in enumerate(rules)
        if all(context[feature] == value for feature, value in conditions.items())
    ]
    matching.sort(
        key=lambda number: [feature in rules[number] for feature in reversed(order)], reverse=True
    )
    assert {one.feature: one.value for one in why.context} == context
    if why.origin is Origin.OVERRIDE:
        assert why.rule_id is None
        assert [one.rule_id for one in why.outranked] == matching
    elif matching:
        assert (why.origin, why.rule_id, why.value) == (Origin.RULE, matching[0], matching[0])
        assert [one.rule_id for one in why.outranked] == matching[1:]
        assert dict(why.conditions) == rules[matching[0]]
    else:
        assert (why.origin, why.rule_id, why.value) == (Origin.SERVICE_DEFAULT, None, -2)
    json.dumps(why.as_dict())
    assert str(why).startswith("a = ")


def test_explanation_says_where_each_feature_came_from(registry: Registry) -> None:
    setting = Setting("a", int, FEATURES, 1, registry=registry)
    registry.set_defaults({"environment": default_source("environment", "prod")})

    with bind_context(theme="dark"):
        why = setting.explain(user="john")

    assert [(one.value, one.source) for one in why.context] == [
        ("prod", FeatureSource.DEFAULT),
        ("dark", FeatureSource.BOUND),
        ("john", FeatureSource.ARGUMENT),
    ]


def test_loser_is_told_the_feature_that_decided(registry: Registry, publish: Publish) -> None:
    setting = Setting("a", int, FEATURES, 1, registry=registry)
    rules = [
        (1, [["environment", "e"], ["theme", "t"]], 5),
        (2, [["theme", "t"], ["user", "u"]], 6),
        (3, [["user", "u"]], 7),
    ]
    publish(setting, rules)

    why = setting.explain(environment="e", theme="t", user="u")

    assert why.rule_id == 2
    assert [(one.rule_id, one.reason) for one in why.outranked] == [
        (3, "gave way: it has no condition on theme"),
        (1, "gave way: it has no condition on user"),
    ]


def test_explanation_tells_of_coercions_and_rejections(
    registry: Registry, publish: Publish
) -> None:
    setting = Setting[list[int]](
        "a", configurable_features=["user"], default_value=[0], registry=registry
    )
    publish(setting, [(1, [["user", "x"]], [1, "secret"]), (2, [["user", "y"]], "secret")])

    why = setting.explain(user="x")

    assert why.value == [1]
    assert [one.path for one in why.coercions] == ["$[1]"]
    assert [one.rule_id for one in why.rejections] == [2]
    assert "secret" not in str(why)
    assert "secret" not in json.dumps(why.as_dict())


def test_explanation_of_a_snapshot_says_so_and_how_old_it_is(
    registry: Registry, publish: Publish
) -> None:
    setting = Setting("a", int, ["user"], 1, registry=registry)
    rule_set = publish(setting, [(1, [["user", "x"]], 2)])
    taken_at = registry.snapshot.taken_at - 3_600
    registry.publish(
        Snapshot(
            rule_sets={declaration_of(setting).index: rule_set},
            source=Source.SNAPSHOT,
            taken_at=taken_at,
        )
    )

    why = setting.explain(user="x")

    assert (why.origin, why.source) == (Origin.RULE, Source.SNAPSHOT)
    assert why.age >= 3_600
    assert "rules from: snapshot, 36" in str(why)


def test_explanation_never_changes(registry: Registry) -> None:
    why: Any = Setting("a", int, ["user"], 1, registry=registry).explain(user="x")

    with pytest.raises(dataclasses.FrozenInstanceError):
        why.value = 2


def test_explaining_does_not_make_later_reads_ask_for_views(registry: Registry) -> None:
    setting = Setting("a", int, ["user"], 1, registry=registry)

    setting.explain(user="x")

    assert not registry.viewed


def test_mistakes_are_those_of_get(registry: Registry) -> None:
    setting: Any = Setting("a", int, ["user"], 1, registry=registry)

    with pytest.raises(TypeError, match="'usr'"):
        setting.explain(usr="x")
    with pytest.raises(LookupError, match="'user'"):
        setting.explain()


def test_value_that_a_validator_refused_leaves_no_coercion_behind(
    publish: Publish, registry: Registry
) -> None:
    setting = Setting("s", HeksherSequence(int), ["user"], (1,), registry=registry)
    setting.add_validator(not_the_nine)

    publish(setting, [(1, [["user", "x"]], [5])])
    publish(setting, [(1, [["user", "x"]], [9, "x"])])

    explained = setting.explain(user="x")
    assert explained.value == (5,)
    assert explained.coercions == ()


@pytest.mark.parametrize("refused", [[9], None], ids=["by a validator", "by its type"])
def test_coerced_value_that_stands_in_for_a_refused_one_keeps_its_coercion(
    publish: Publish, registry: Registry, refused: Any
) -> None:
    setting = Setting("s", HeksherSequence(int), ["user"], (1,), registry=registry)
    setting.add_validator(not_the_nine)

    publish(setting, [(1, [["user", "x"]], [5, "x"])], default=[6, "x"])
    publish(setting, [(1, [["user", "x"]], refused)], default=refused)

    for user, value in (("x", (5,)), ("y", (6,))):
        explained = setting.explain(user=user)
        assert explained.value == value
        assert [one.path for one in explained.coercions] == ["$[1]"]


def not_the_nine(value: Any, _rule: Any, _setting: Any) -> Any:
    if 9 in value:  # as it is called
        raise ValueError
    return value


def test_explanation_of_bytes_that_are_no_text_is_still_json(registry: Registry) -> None:
    setting: Any = Setting("s", int, ["user"], 1, registry=registry)

    explained = setting.explain(user=b"\xff").as_dict()

    assert json.loads(json.dumps(explained["context"]))["user"]["value"] == repr(b"\xff")


class Disguised(str):
    """Text that is found as other text."""

    __slots__ = ()

    def __hash__(self) -> int:
        return hash("other")

    def __eq__(self, given: object) -> bool:
        return given == "other"


class Unhashed(str):
    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("user", [Disguised("x"), Unhashed("x")], ids=["disguised", "unhashed"])
def test_explanation_finds_the_rule_that_reading_finds(
    publish: Publish, registry: Registry, user: str
) -> None:
    setting = Setting("s", int, ["user"], 0, registry=registry)
    publish(setting, [(1, [["user", "x"]], 1), (2, [["user", "other"]], 2)])

    explained = setting.explain(user=user)

    assert explained.value == setting.get(user=user) == explained.rule_id
