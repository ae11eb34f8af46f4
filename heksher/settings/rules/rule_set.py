"""Rules: a rule as the service sent it, and all rules of a setting compiled for look-ups.

Of the rules whose conditions all hold, the one in the tier with the highest precedence applies.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from heksher.settings.rules.generated_rules import filler_of, resolver_of, texts_of
from heksher.settings.rules.packed_rules import is_worth_packing, pack, packed_resolver, unpack
from heksher.settings.rules.tiers import Tier, in_precedence
from heksher.settings.types.equality import identical

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from heksher.settings.context import DefaultSource
    from heksher.settings.rules.generated_rules import Resolver, Table
    from heksher.settings.rules.look_up_source import Positions
    from heksher.settings.rules.packed_rules import Packed
    from heksher.settings.types.decoder import Coercion

T = TypeVar("T")

Condition = tuple[str, str]
"""A context feature and the value that it has to have."""


class Origin(StrEnum):
    """Where a value came from."""

    RULE = "rule"
    SERVICE_DEFAULT = "service default"
    LOCAL_DEFAULT = "local default"
    OVERRIDE = "override"


@dataclass(frozen=True, slots=True)
class ServiceRule:
    """A rule as the service sent it; passed to validators and `on_coerce`.

    Attributes:
        rule_id: The service's id.
        conditions: Pairs of a context feature and a value, which must all hold.
        value: The raw value, as JSON; not part of the `repr`.
    """

    rule_id: int
    conditions: tuple[Condition, ...]
    value: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A raw value from the service that was rejected.

    Attributes:
        setting_name: The setting, as declared.
        rule_id: The rule, or `None` for the service's default.
        reason: Why, and where in the value; never contains the value's text.
    """

    setting_name: str
    rule_id: int | None
    reason: str

    def __str__(self) -> str:
        what = "the service's default" if self.rule_id is None else f"rule {self.rule_id}"
        return f"setting {self.setting_name!r}: {what} was rejected: {self.reason}"


class CompiledRule(NamedTuple):
    """One rule of a rule set: its id, conditions and decoded value."""

    rule_id: int
    conditions: tuple[Condition, ...]
    value: Any


_NO_COERCIONS: Final[Mapping[int | None, tuple[Coercion, ...]]] = {}


class RuleSet(Generic[T]):
    """The compiled rules and default of a setting; immutable.

    Attributes:
        features: The setting's configurable features, as declared.
        shape: The positions of each tier's features, the highest precedence first; empty without
            rules.
        default: The value if no rule matches.
        default_origin: Where the default came from.
        coercions: The dropped parts of values, by rule id; `None` is the service's default.
        rejections: The rejected values; a previous value may be in use instead.
        foreign: How many rules were dropped for a condition on a feature by which the setting is not
            configurable.
    """

    __slots__ = (
        "_ids",
        "_packed",
        "_resolver",
        "_tables",
        "coercions",
        "default",
        "default_origin",
        "features",
        "foreign",
        "rejections",
        "shape",
    )

    def __init__(  # noqa: PLR0913  # all of what a compilation found
        self,
        features: tuple[str, ...],
        tiers: Sequence[Tier[T]],
        default: T,
        default_origin: Origin,
        *,
        coercions: Mapping[int | None, tuple[Coercion, ...]] | None = None,
        rejections: tuple[Rejection, ...] = (),
        foreign: int = 0,
    ) -> None:
        self.features: tuple[str, ...] = features
        self.default: T = default
        self.default_origin: Origin = default_origin
        self.coercions: Mapping[int | None, tuple[Coercion, ...]] = coercions or _NO_COERCIONS
        self.rejections: tuple[Rejection, ...] = rejections
        self.foreign: int = foreign
        self.shape: tuple[Positions, ...] = ()
        self._ids = b""
        # The rules: packed, or the dict of each tier.
        self._packed: Packed | None = None
        self._tables: tuple[Table, ...] = ()
        self._resolver: Resolver | None = None
        if tiers:
            self._hold(tiers)

    def _hold(self, tiers: Sequence[Tier[T]]) -> None:
        width, tables = len(self.features), tuple([tier.values for tier in tiers])
        self.shape = _shared(tuple([tier.positions for tier in tiers]))
        # As bytes: numbers would be an object for each rule.
        self._ids = array("q", [one for tier in tiers for one in tier.rule_ids]).tobytes()
        if is_worth_packing(tables):
            self._packed = pack(self.shape, tables)
            self._resolver = packed_resolver(width, self.shape, self._packed, self.default)
        else:
            self._tables = tables
            self._resolver = resolver_of(width, self.shape, tables, self.default)

    @property
    def resolve(self) -> Resolver:
        """The function from feature values, by position, to the value that applies."""
        if self._resolver is not None:
            return self._resolver
        default = self.default
        return lambda *_values: default

    def filler(
        self, *, sources: Sequence[DefaultSource], missing: Callable[[str], Exception]
    ) -> Resolver:
        """Return a function like `resolve` that first fills in missing values; see `filler_of`."""
        in_tables = (self.shape, self._tables, self.default) if self._packed is None else None
        return filler_of(self.features, sources, missing, self.resolve, in_tables)

    def _all_tables(self) -> tuple[Table, ...]:
        """Return the rules of each tier by feature value."""
        return self._tables if self._packed is None else unpack(self._packed, self.shape)

    @property
    def tiers(self) -> tuple[Tier[T], ...]:
        """The rules, the highest precedence first; created at each access."""
        rule_ids = iter(array("q", self._ids))
        return tuple(
            [
                Tier(positions, values, islice(rule_ids, len(values)))
                for positions, values in zip(self.shape, self._all_tables(), strict=True)
            ]
        )

    def rules(self) -> Iterator[CompiledRule]:
        """Yield every rule, the highest precedence first."""
        for tier in self.tiers:
            for rule_id, (key, value) in zip(tier.rule_ids, tier.values.items(), strict=True):
                yield CompiledRule(rule_id, self._conditions(tier, key), value)

    def matching(self, values: Sequence[Any]) -> list[CompiledRule]:
        """Return the rules that match feature values by position; the first one applies."""
        texts = texts_of(values)
        matches = []
        for tier in self.tiers:
            key = tier.key(texts)
            if key in tier.values:
                matches.append(
                    CompiledRule(tier.rule_id(key), self._conditions(tier, key), tier.values[key])
                )
        return matches

    def _conditions(self, tier: Tier[T], key: Any) -> tuple[Condition, ...]:
        values = (key,) if len(tier.positions) == 1 else key
        names = [self.features[position] for position in tier.positions]
        return tuple(zip(names, values, strict=True))

    def reordered(self, feature_order: Sequence[str]) -> RuleSet[T]:
        """Return the same rules under another order of context features; itself if equal."""
        tiers = in_precedence(self.tiers, self.features, feature_order)
        if tuple([tier.positions for tier in tiers]) == self.shape:
            return self
        return RuleSet(
            self.features,
            tiers,
            self.default,
            self.default_origin,
            coercions=self.coercions,
            rejections=self.rejections,
            foreign=self.foreign,
        )

    def reads_as(self, other: RuleSet[T]) -> bool:
        """Return whether every context reads the same value, of the same type, from both."""
        if self.shape != other.shape or not identical(self.default, other.default):
            return False
        if self._packed is not None and other._packed is not None:
            return identical(self._packed, other._packed)
        return all(map(identical, self._all_tables(), other._all_tables()))

    def lists_as(self, other: RuleSet[T]) -> bool:
        """Return whether both have rules with the same ids and conditions in the same order."""
        return (
            self.shape == other.shape
            and self._ids == other._ids
            and list(map(list, self._all_tables())) == list(map(list, other._all_tables()))
        )


@lru_cache(maxsize=4_096)
def _shared(shape: tuple[Positions, ...]) -> tuple[Positions, ...]:
    """Return the tuple of this shape that all rule sets share."""
    return shape
