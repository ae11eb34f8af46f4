"""Compile a setting's raw default and rules, from the response to a query, into its rule set."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from sys import intern
from typing import TYPE_CHECKING, Any, Final

from heksher.settings.rules.rule_set import CompiledRule, Origin, Rejection, RuleSet, ServiceRule
from heksher.settings.rules.tiers import Tier, in_precedence
from heksher.settings.types.decoder import Coercion, Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from heksher.settings.declaration import Declaration
    from heksher.settings.types.decoder import Json

    RawRule = tuple[int, Sequence[Sequence[str]], Json]
    _Layout = tuple[Tier[Any] | None, Callable[[Any], Any] | None]

_NO_VALUE: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileOptions:
    """How raw rules are compiled.

    Attributes:
        feature_order: The service's order of context features.
        use_local_default: Whether to use the declared default instead of the service's.
        is_tracked: Returns whether a condition, a feature and a value, is tracked; `None` for all.
    """

    feature_order: Sequence[str]
    use_local_default: bool = False
    is_tracked: Callable[[str, str], bool] | None = None


def compile_rule_set(
    setting: Declaration,
    default: Json,
    rules: Iterable[RawRule],
    *,
    previous: RuleSet[Any] | None,
    options: CompileOptions,
) -> RuleSet[Any]:
    """Return the rule set of one setting.

    An invalid value affects nothing else: a rule whose value is rejected keeps its value in
    *previous*, or is dropped if it has none. A rejected default is replaced by the previous one, or
    by the declared one.

    Args:
        setting: The setting.
        default: The service's default, raw.
        rules: For each rule, its id, conditions (pairs of a feature and a value) and raw value.
        previous: The current rule set.
        options: How to compile.
    """
    return _Compilation(setting, previous, options).compile(default, rules)


class _Compilation:
    """The compilation of one setting: the tiers, coercions and rejections so far."""

    def __init__(
        self, setting: Declaration, previous: RuleSet[Any] | None, options: CompileOptions
    ) -> None:
        self._setting = setting
        self._previous = previous
        self._options = options
        self._is_tracked = options.is_tracked
        self._tiers: dict[tuple[int, ...], Tier[Any]] = {}
        # By the features of a rule's conditions in the service's order; a single feature is the key.
        self._layouts: dict[str | tuple[str, ...], _Layout] = {}
        self._coercions: dict[int | None, tuple[Coercion, ...]] = {}
        self._rejections: list[Rejection] = []
        self._former_rules: dict[int, CompiledRule] | None = None
        self._foreign = 0

    def compile(self, raw_default: Json, rules: Iterable[RawRule]) -> RuleSet[Any]:
        default, origin = self._default(raw_default)
        self._add_all(rules)
        features = self._setting.configurable_features
        return RuleSet(
            features,
            in_precedence(self._used_tiers(), features, self._options.feature_order),
            default,
            origin,
            coercions=self._coercions,
            rejections=tuple(self._rejections),
            foreign=self._foreign,
        )

    def _default(self, raw: Json) -> tuple[Any, Origin]:
        value = self._read_default(raw)
        if self._options.use_local_default:
            return self._setting.default_value, Origin.LOCAL_DEFAULT
        if value is not _NO_VALUE:
            return value, Origin.SERVICE_DEFAULT
        former = self._previous
        if former is not None and former.default_origin is Origin.SERVICE_DEFAULT:
            self._keep_coercions(former, None)
            return former.default, former.default_origin
        return self._setting.default_value, Origin.LOCAL_DEFAULT

    def _add_all(self, rules: Iterable[RawRule]) -> None:
        setting = self._setting
        decode, validators, place = setting.decoder.decode, setting.validators, self._place
        coercions: list[Coercion] = []
        for rule_id, conditions, raw in rules:
            placed = place(conditions)
            if placed is None:
                continue
            tier, key = placed
            try:
                value = decode(raw, coercions)
                if coercions or validators:
                    found, coercions = coercions, []
                    value = self._finished(value, raw, found, (rule_id, conditions))
            except Rejected as rejected:
                coercions = []
                self._reject(rule_id, str(rejected))
                value = self._former_value(rule_id, conditions)
                if value is _NO_VALUE:
                    continue
            values = tier.values
            if key in values:
                self._replace(tier, key, value, rule_id)
            else:
                values[key] = value
                tier.rule_ids.append(rule_id)

    def _used_tiers(self) -> list[Tier[Any]]:
        """Return the tiers that have any rule with a value."""
        return [tier for tier in self._tiers.values() if tier.values]

    def _replace(self, tier: Tier[Any], key: Any, value: Any, rule_id: int) -> None:
        """Keep the newer of two rules with equal conditions, which the service may have."""
        other = tier.rule_id(key)
        older, newer = sorted((other, rule_id))
        if newer == rule_id:
            tier.replace(key, value, rule_id)
        self._reject(
            older, f"superseded by rule {newer}, which is newer and has the same conditions"
        )

    def _place(self, conditions: Sequence[Sequence[str]]) -> tuple[Tier[Any], Any] | None:
        """Return a rule's tier and its key there, or `None` if this program does not use the rule."""
        if len(conditions) == 1:
            ((feature, value),) = conditions
            tier, ordered = self._layouts.get(feature) or self._layout(feature, (feature,))
            key: Any = intern(value)
        else:
            features = tuple([feature for feature, _ in conditions])
            tier, ordered = self._layouts.get(features) or self._layout(features, features)
            key = tuple([intern(value) for _, value in conditions])
            if ordered is not None:
                key = ordered(key)
        if tier is None:
            self._foreign += 1
            return None
        if self._is_tracked is not None:
            for feature, value in conditions:
                if not self._is_tracked(feature, value):
                    return None
        return tier, key

    def _layout(self, known_as: Any, features: tuple[str, ...]) -> _Layout:
        """Return the tier for conditions on *features*, and what sorts their values."""
        positions, ordered = _arranged(self._setting.configurable_features, features)
        tier = None
        if positions is not None:
            tier = self._tiers.get(positions)
            if tier is None:
                tier = self._tiers[positions] = Tier(positions)
        self._layouts[known_as] = layout = (tier, ordered)
        return layout

    def _read_default(self, raw: Json) -> Any:
        """Return the value of *raw*, or `_NO_VALUE` if it is rejected."""
        coercions: list[Coercion] = []
        try:
            value = self._setting.decoder.decode(raw, coercions)
            return self._finished(value, raw, coercions, None)
        except Rejected as rejected:
            self._reject(None, str(rejected))
            return _NO_VALUE

    def _finished(
        self,
        value: Any,
        raw: Json,
        coercions: list[Coercion],
        rule: tuple[int, Sequence[Sequence[str]]] | None,
    ) -> Any:
        """Return a decoded value after `on_coerce` and the validators.

        Raises:
            Rejected: One of them rejects it.
        """
        source = None if rule is None else _rule(*rule, raw)
        if not coercions:
            return self._validated(value, source)
        value = self._validated(self._coerced(value, raw, coercions, source), source)
        self._coercions[None if rule is None else rule[0]] = tuple(coercions)
        return value

    def _coerced(
        self, value: Any, raw: Json, coercions: Sequence[Coercion], rule: ServiceRule | None
    ) -> Any:
        on_coerce = self._setting.on_coerce
        if on_coerce is None:
            raise Rejected(f"would need a coercion, which on_coerce=None forbids: {coercions[0]}")
        user_setting = self._setting.setting
        called = _called("on_coerce", on_coerce, value, raw, tuple(coercions), rule, user_setting)
        return value if called is value else self._conforming("on_coerce", called)

    def _validated(self, value: Any, rule: ServiceRule | None) -> Any:
        for validator in self._setting.validators:
            name = f"validator {getattr(validator, '__name__', type(validator).__name__)}"
            called = _called(name, validator, value, rule, self._setting.setting)
            if called is not value:
                value = self._conforming(name, called)
        return value

    def _conforming(self, name: str, value: Any) -> Any:
        """Return the result of a user's function, read-only and of the setting's type."""
        try:
            return self._setting.decoder.conform(value)
        except Rejected as rejected:
            raise Rejected(f"{name} returned an invalid value: {rejected}") from None
        except Exception as error:  # noqa: BLE001  # a user's code may raise anything
            raise Rejected(
                f"{name} returned a value whose validation raised {type(error).__name__}"
            ) from None

    def _former_value(self, rule_id: int, conditions: Sequence[Sequence[str]]) -> Any:
        if self._previous is None:
            return _NO_VALUE
        if self._former_rules is None:
            self._former_rules = {rule.rule_id: rule for rule in self._previous.rules()}
        rule = self._former_rules.get(rule_id)
        if rule is None or set(rule.conditions) != {(one[0], one[1]) for one in conditions}:
            return _NO_VALUE
        self._keep_coercions(self._previous, rule_id)
        return rule.value

    def _keep_coercions(self, former: RuleSet[Any], rule_id: int | None) -> None:
        """Report the coercions of a previous value that is still in use."""
        if rule_id in former.coercions:
            self._coercions[rule_id] = former.coercions[rule_id]

    def _reject(self, rule_id: int | None, reason: str) -> None:
        self._rejections.append(Rejection(self._setting.name, rule_id, reason))


@lru_cache(maxsize=4_096)
def _arranged(
    configurable: tuple[str, ...], features: tuple[str, ...]
) -> tuple[tuple[int, ...] | None, Callable[[Any], Any] | None]:
    """Return the ascending positions of *features*, and what sorts values in their order.

    Returns:
        `None` for the positions if one of the features is not configurable, and for the function if
        the values are already sorted.
    """
    if not set(features) <= set(configurable):
        return None, None
    positions = [configurable.index(feature) for feature in features]
    ascending = sorted(positions)
    if ascending == positions:
        return tuple(positions), None
    order = [positions.index(position) for position in ascending]
    return tuple(ascending), itemgetter(*order)


def _rule(rule_id: int, conditions: Sequence[Sequence[str]], raw: Json) -> ServiceRule:
    return ServiceRule(rule_id, tuple([(one[0], one[1]) for one in conditions]), raw)


def _called(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception as error:  # noqa: BLE001  # a callback that raises affects one value
        # Without its text, which may quote the value.
        raise Rejected(f"{name} raised {type(error).__name__}") from None
