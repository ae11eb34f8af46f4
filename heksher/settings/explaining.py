"""Why a setting has the value that it has: `Resolution`, what `Setting.explain` returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic
from typing import Any, Generic, TypeVar

from pydantic_core import to_jsonable_python

from heksher.settings.context import ABSENT, NO_DEFAULT, bound_features, read_default
from heksher.settings.declaration import Declaration
from heksher.settings.reading.state import Overlay, Source, State, StateContent, rule_set_in
from heksher.settings.rules.rule_set import CompiledRule, Condition, Origin, Rejection
from heksher.settings.rules.tiers import in_order
from heksher.settings.types.decoder import Coercion, with_article

T_co = TypeVar("T_co", covariant=True)


class FeatureSource(StrEnum):
    """Where a context feature's value came from."""

    ARGUMENT = "argument"
    BOUND = "bound context"
    DEFAULT = "client default"


@dataclass(frozen=True, slots=True)
class FeatureValue:
    """One context feature of a read.

    Attributes:
        feature: The feature.
        value: Its value; `None` for none.
        source: Where that came from.
    """

    feature: str
    value: object
    source: FeatureSource

    def __str__(self) -> str:
        note = ""
        if self.value is not None and not isinstance(self.value, str):
            note = f", {with_article(type(self.value).__name__)}, which matches nothing: give a str"
        return f"{self.feature}={self.value!r} ({self.source.value}{note})"


@dataclass(frozen=True, slots=True)
class Outranked:
    """A rule that matched too, but lost.

    Attributes:
        rule_id: The rule.
        conditions: Its conditions.
        reason: Why another rule wins.
    """

    rule_id: int
    conditions: tuple[Condition, ...]
    reason: str

    def __str__(self) -> str:
        return f"rule {self.rule_id} ({_shown(self.conditions)}) {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution(Generic[T_co]):
    """A setting's value for one context, and why it is that value.

    `str()` of it is a short answer to that question.

    Attributes:
        setting_name: The setting.
        value: The value, the very one that `get` returns.
        origin: Where it came from.
        rule_id: The rule that it came from, if it is from one.
        conditions: That rule's conditions.
        outranked: The other rules that matched, the highest precedence first.
        context: The context features that were used, and where each one's value came from.
        feature_order: The service's order of context features, which decides between rules.
        coercions: What had to be left out of the value, since it did not fit.
        rejections: The service's values for this setting that were not taken.
        source: Where the rules came from: the service, a snapshot, or nowhere yet.
        age: Seconds since the service last confirmed them.
    """

    setting_name: str
    value: T_co
    origin: Origin
    rule_id: int | None
    conditions: tuple[Condition, ...]
    outranked: tuple[Outranked, ...]
    context: tuple[FeatureValue, ...]
    feature_order: tuple[str, ...]
    coercions: tuple[Coercion, ...]
    rejections: tuple[Rejection, ...]
    source: Source
    age: float

    def __str__(self) -> str:
        because = f"the {self.origin.value}"
        if self.rule_id is not None:
            because = f"rule {self.rule_id} ({_shown(self.conditions)})"
        lines = [
            f"{self.setting_name} = {self.value!r}, from {because}",
            f"  context: {', '.join(str(one) for one in self.context)}",
            *(f"  {one}" for one in self.outranked),
            *(f"  left out: {one}" for one in self.coercions),
            *(f"  {one}" for one in self.rejections),
            f"  rules from: {self.source.value}, {self.age:.1f} s old",
        ]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain dicts, lists, strings and numbers, for `json.dumps`.

        The value is written as pydantic dumps it.
        """
        return {
            "setting": self.setting_name,
            "value": _jsonable(self.value),
            "origin": self.origin.value,
            "rule_id": self.rule_id,
            "conditions": dict(self.conditions),
            "outranked": [
                {"rule_id": one.rule_id, "conditions": dict(one.conditions), "reason": one.reason}
                for one in self.outranked
            ],
            "context": {
                one.feature: {
                    "value": _jsonable(one.value),
                    "source": one.source.value,
                }
                for one in self.context
            },
            "feature_order": list(self.feature_order),
            "coercions": [{"path": one.path, "reason": one.reason} for one in self.coercions],
            "rejections": [
                {"rule_id": one.rule_id, "reason": one.reason} for one in self.rejections
            ],
            "source": self.source.value,
            "age": self.age,
        }


def _jsonable(value: object) -> Any:
    try:
        return to_jsonable_python(value, fallback=str)
    except Exception:  # noqa: BLE001  # bytes that are not text, or a user's own class
        return repr(value)


class Read(Generic[T_co]):
    """One read of a setting: what `observe_reads` tells of it.

    Attributes:
        value: The value that was read.
    """

    __slots__ = ("_context", "_declaration", "_overrides", "_resolution", "_state", "value")

    def __init__(self, declaration: Declaration, given: Mapping[str, Any]) -> None:
        """Read a setting as its `get` does; *given* are the call's own arguments."""
        registry = declaration.registry
        view, state = registry.view.get(), registry.current_state()
        content: StateContent = state[0]
        self._declaration = declaration
        self._state: State = state
        self._overrides: Mapping[int, Any] = view.values if isinstance(view, Overlay) else {}
        self._context = tuple(
            [
                _feature_value(declaration, name, given, content)
                for name in declaration.configurable_features
            ]
        )
        self._resolution: Resolution[T_co] | None = None
        if declaration.place in self._overrides:
            self.value: T_co = self._overrides[declaration.place]
        else:
            resolve = rule_set_in(state, declaration).resolve
            self.value = resolve(*[one.value for one in self._context])

    @property
    def setting(self) -> Any:
        """The setting."""
        return self._declaration.setting

    @property
    def resolution(self) -> Resolution[T_co]:
        """Why it is that value; worked out when it is first asked for."""
        if self._resolution is None:
            self._resolution = _resolution(
                self._declaration, self._state, self._context, self._overrides, self.value
            )
        return self._resolution

    def __repr__(self) -> str:
        return f"<Read of setting {self._declaration.name!r}>"


def _feature_value(
    setting: Declaration, feature: str, given: Mapping[str, Any], content: StateContent
) -> FeatureValue:
    if given.get(feature, ABSENT) is not ABSENT:
        return FeatureValue(feature, given[feature], FeatureSource.ARGUMENT)
    bound = bound_features.get()
    if feature in bound:
        return FeatureValue(feature, bound[feature], FeatureSource.BOUND)
    value = read_default(content.defaults.get(feature, NO_DEFAULT))
    if value is ABSENT:
        raise setting.missing(feature)
    return FeatureValue(feature, value, FeatureSource.DEFAULT)


def _resolution(
    setting: Declaration,
    state: State,
    context: tuple[FeatureValue, ...],
    overrides: Mapping[int, Any],
    value: Any,
) -> Resolution[Any]:
    content: StateContent = state[0]
    snapshot = content.snapshot
    rule_set = rule_set_in(state, setting)
    values = [one.value for one in context]
    overridden = setting.place in overrides
    feature_order = in_order(rule_set.features, snapshot.feature_order)
    matches = rule_set.matching(values)
    winner = matches[0] if matches and not overridden else None
    origin = rule_set.default_origin if winner is None else Origin.RULE
    coercions = rule_set.coercions.get(winner.rule_id if winner else None, ())
    if overridden or origin is Origin.LOCAL_DEFAULT:
        coercions = ()
    return Resolution(
        setting_name=setting.name,
        value=value,
        origin=Origin.OVERRIDE if overridden else origin,
        rule_id=winner.rule_id if winner else None,
        conditions=winner.conditions if winner else (),
        outranked=tuple(
            [_outranked(one, winner, feature_order) for one in matches if one is not winner]
        ),
        context=context,
        feature_order=snapshot.feature_order,
        coercions=coercions,
        rejections=rule_set.rejections,
        source=snapshot.source,
        age=monotonic() - snapshot.taken_at,
    )


def _outranked(
    rule: CompiledRule, winner: CompiledRule | None, feature_order: Sequence[str]
) -> Outranked:
    if winner is None:
        return Outranked(rule.rule_id, rule.conditions, "gave way to the override")
    own = {feature for feature, _ in rule.conditions}
    theirs = {feature for feature, _ in winner.conditions}
    decisive = max(theirs - own, key=feature_order.index)
    return Outranked(rule.rule_id, rule.conditions, f"gave way: it has no condition on {decisive}")


def _shown(conditions: tuple[Condition, ...]) -> str:
    return ", ".join(f"{feature}={value}" for feature, value in conditions) or "always"
