"""Stubs: rules that a test gives a setting, and takes away again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from heksher.exceptions import InvalidValue
from heksher.settings.checks import check_value
from heksher.settings.reading.state import Source
from heksher.settings.rules.compiling import CompileOptions, compile_rule_set
from heksher.settings.rules.rule_set import RuleSet
from heksher.settings.types.decoder import Rejected, with_article

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heksher.settings.declaration import Declaration
    from heksher.settings.reading.state import Snapshot
    from heksher.settings.registry import Registry
    from heksher.settings.types.decoder import Json

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rule(Generic[T]):
    """A rule of a stubbed setting.

    Attributes:
        match_conditions: Values by context feature, which must all hold; none matches always.
        value: What the setting reads then.
    """

    match_conditions: Mapping[str, str]
    value: T = field(repr=False)


class StubbedRules(RuleSet[Any]):
    """A rule set that a test has made."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class FormerRules:
    """What a setting's rules were; assigned to `rules`, it puts them back.

    Attributes:
        rule_set: The compiled rules; `None` where there were none.
    """

    rule_set: RuleSet[Any] | None = field(repr=False)


class Stubs:
    """The settings that one test, or one stub client, has given rules.

    Args:
        registry: Where the settings are declared.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._source = Source.STUB
        self._former: dict[int, FormerRules] = {}
        self._mine: dict[int, RuleSet[Any]] = {}

    def former(self, setting: Declaration) -> FormerRules:
        """Return what `put` takes to bring the present rules of *setting* back."""
        return FormerRules(self._registry.snapshot.rule_sets.get(setting.index))

    def put(self, setting: Declaration, rules: Any) -> bool:
        """Let *setting* read other rules from now on, everywhere in the process.

        Args:
            setting: Which.
            rules: Instances of `Rule`, or one value for all contexts, or `FormerRules`.

        Returns:
            Whether some context reads another value now.

        Raises:
            InvalidValue: The setting cannot have the value, or a rule is none that it could have.
        """
        former = self.former(setting)
        if isinstance(rules, FormerRules):
            rule_set = rules.rule_set
        else:
            rule_set = _compiled(setting, rules, self._registry.snapshot.feature_order)
        self._former.setdefault(setting.index, former)
        if rule_set is not None:
            self._mine[setting.index] = rule_set
        self._publish({setting.index: rule_set})
        before = former.rule_set or setting.declared_rules
        return not (rule_set or setting.declared_rules).reads_as(before)

    def restore(self) -> None:
        """Bring all former rules back, but for settings that somebody else has updated since."""
        present = self._registry.snapshot.rule_sets
        self._publish(
            {
                index: former.rule_set
                for index, former in self._former.items()
                if present.get(index) in (None, self._mine.get(index))
            }
        )
        self._former.clear()
        self._mine.clear()

    def _publish(self, changed: Mapping[int, RuleSet[Any] | None]) -> None:
        def change(snapshot: Snapshot) -> Snapshot:
            if not _has_stubs(snapshot.rule_sets):
                self._source = snapshot.source
            merged = {**snapshot.rule_sets, **changed}
            rule_sets = {index: one for index, one in merged.items() if one is not None}
            source = Source.STUB if _has_stubs(rule_sets) else self._source
            return replace(snapshot, rule_sets=rule_sets, source=source)

        if changed:
            self._registry.republish(change)


def is_stubbed(snapshot: Snapshot, index: int) -> bool:
    """Return whether a test has given the setting with *index* its rules."""
    return isinstance(snapshot.rule_sets.get(index), StubbedRules)


def _has_stubs(rule_sets: Mapping[int, RuleSet[Any]]) -> bool:
    return any(isinstance(one, StubbedRules) for one in rule_sets.values())


def _compiled(setting: Declaration, rules: Any, feature_order: Sequence[str]) -> StubbedRules:
    raw_rules = [
        (number, conditions, _raw(setting, value))
        for number, (conditions, value) in enumerate(_pairs(setting, rules), 1)
    ]
    compiled = compile_rule_set(
        setting,
        setting.raw_default,
        raw_rules,
        previous=None,
        options=CompileOptions(
            feature_order=feature_order or setting.configurable_features, use_local_default=True
        ),
    )
    for rejection in compiled.rejections:
        if rejection.rule_id is not None:
            raise InvalidValue(
                f"the stub value of setting {setting.name!r} is rejected: {rejection.reason}: give"
                " one that a rule could have"
            )
    return StubbedRules(
        compiled.features, compiled.tiers, compiled.default, compiled.default_origin
    )


def _pairs(setting: Declaration, rules: Any) -> list[tuple[list[tuple[str, str]], Any]]:
    if not isinstance(rules, Collection) or not any(isinstance(one, Rule) for one in rules):
        return [([], rules)]
    pairs: list[tuple[list[tuple[str, str]], Any]] = []
    for rule in rules:
        if not isinstance(rule, Rule):
            raise InvalidValue(
                f"the rules of setting {setting.name!r} hold {with_article(type(rule).__name__)}: give either"
                " instances of Rule, or one value"
            )
        conditions = _conditions(setting, rule.match_conditions)
        if conditions in [known for known, _ in pairs]:
            raise InvalidValue(
                f"two rules of setting {setting.name!r} have the conditions {dict(conditions)}: the"
                " service refuses the second"
            )
        pairs.append((conditions, rule.value))
    return pairs


def _conditions(setting: Declaration, conditions: Any) -> list[tuple[str, str]]:
    if not isinstance(conditions, Mapping):
        raise InvalidValue(
            f"the conditions of a rule of setting {setting.name!r} are"
            f" {type(conditions).__name__}: give a dict, such as {{'user': 'john'}}"
        )
    for feature, value in conditions.items():
        if feature not in setting.configurable_features:
            raise InvalidValue(
                f"a rule of setting {setting.name!r} has a condition on {feature!r}: it is"
                f" configurable by {list(setting.configurable_features)}"
            )
        if not isinstance(value, str):
            raise InvalidValue(
                f"a rule of setting {setting.name!r} has a condition on {feature!r} with a"
                f" {type(value).__name__}: give a str"
            )
    return sorted(conditions.items())


def _raw(setting: Declaration, value: Any) -> Json:
    try:
        _, raw = check_value(setting.name, setting.decoder, value, what="stub value")
    except Rejected as rejected:
        raise InvalidValue(
            f"{rejected}: give what its rules could hold, or a list of Rule(conditions, value)"
        ) from None
    return raw
