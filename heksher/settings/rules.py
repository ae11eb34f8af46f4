"""Rules: what one says, and all rules of a setting compiled for look-ups.

Of the rules whose conditions all hold, the one in the tier with the highest precedence applies.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from heksher.settings.comparing import identical
from heksher.settings.packing import is_worth_packing, pack, packed_resolver, unpack
from heksher.settings.resolving import filler_of, resolver_of, texts_of
from heksher.settings.tiers import Tier, in_precedence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from heksher.settings.context import DefaultSource
    from heksher.settings.look_up_source import Positions
    from heksher.settings.packing import Packed
    from heksher.settings.resolving import Resolver, Table
    from heksher.settings.values import Coercion

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
    """A rule as the service sent it; what validators and `on_coerce` are given.

    Attributes:
        rule_id: The service's id.
        conditions: Pairs of a context feature and a value, all of which have to hold.
        value: The raw value, as JSON; not part of the `repr`.
    """

    rule_id: int
    conditions: tuple[Condition, ...]
    value: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A raw value from the service that was not taken.

    Attributes:
        setting_name: The setting, as declared.
        rule_id: The rule, or `None` for the service's default.
        reason: What is wrong, and where in the value; never the value's text.
    """

    setting_name: str
    rule_id: int | None
    reason: str

    def __str__(self) -> str:
        what = "the service's default" if self.rule_id is None else f"rule {self.rule_id}"
        return f"setting {self.setting_name!r}: {what} was rejected: {self.reason}"


class CompiledRule(NamedTuple):
    """One rule of a rule set: its id, its conditions, and its value, ready to be read."""

    rule_id: int
    conditions: tuple[Condition, ...]
    value: Any


_NO_COERCIONS: Final[Mapping[int | None, tuple[Coercion, ...]]] = {}


class RuleSet(Generic[T]):
    """A setting's rules and default, compiled; it never changes.

    Attributes:
        features: The setting's configurable features, as declared.
        shape: The positions of each tier's features, the highest precedence first; empty where
            there are no rules.
        default: What applies when no rule does.
        default_origin: Whose default that is.
        coercions: What was left out of values, by rule id; `None` is the service's default.
        rejections: The values that were not taken; a former value may stand in for one.
        foreign: How many rules were left out for a condition on a feature that the setting is not
            configurable by.
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
        self.features = features
        self.default = default
        self.default_origin = default_origin
        self.coercions = coercions or _NO_COERCIONS
        self.rejections = rejections
        self.foreign = foreign
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
        # As bytes: a number would be an object for each rule.
        self._ids = array("q", [one for tier in tiers for one in tier.rule_ids]).tobytes()
        if is_worth_packing(tables):
            self._packed = pack(self.shape, tables)
            self._resolver = packed_resolver(width, self.shape, self._packed, self.default)
        else:
            self._tables = tables
            self._resolver = resolver_of(width, self.shape, tables, self.default)

    @property
    def resolve(self) -> Resolver:
        """What takes feature values by position, and returns what applies."""
        if self._resolver is not None:
            return self._resolver
        default = self.default
        return lambda *_values: default

    def filler(
        self, *, sources: Sequence[DefaultSource], missing: Callable[[str], Exception]
    ) -> Resolver:
        """Return what resolves after filling in what was not given; see `filler_of`."""
        in_tables = (self.shape, self._tables, self.default) if self._packed is None else None
        return filler_of(self.features, sources, missing, self.resolve, in_tables)

    def _all_tables(self) -> tuple[Table, ...]:
        """Return the rules of each tier by feature value."""
        return self._tables if self._packed is None else unpack(self._packed, self.shape)

    @property
    def tiers(self) -> tuple[Tier[T], ...]:
        """The rules, the highest precedence first; made to look at, and not kept."""
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
        """Tell whether every context reads the same value, of the same type, from both."""
        if self.shape != other.shape or not identical(self.default, other.default):
            return False
        if self._packed is not None and other._packed is not None:
            return identical(self._packed, other._packed)
        return all(map(identical, self._all_tables(), other._all_tables()))

    def lists_as(self, other: RuleSet[T]) -> bool:
        """Tell whether both have rules of the same ids and conditions in the same order."""
        return (
            self.shape == other.shape
            and self._ids == other._ids
            and list(map(list, self._all_tables())) == list(map(list, other._all_tables()))
        )


@lru_cache(maxsize=4_096)
def _shared(shape: tuple[Positions, ...]) -> tuple[Positions, ...]:
    """Return the one tuple of this shape that all rule sets keep."""
    return shape
