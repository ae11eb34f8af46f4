"""Tiers of rules, and their precedence.

Of the rules whose conditions all hold, the one with a condition on the latest context feature
wins, in the service's order of features; the next latest breaks ties. That is one integer: a bit
for each feature, later features higher. Rules with conditions on the same features have the same
integer and form one tier, a dict of values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from heksher.settings.rules.look_up_source import Positions

T = TypeVar("T")


class Tier(Generic[T]):
    """All rules with conditions on the same features.

    Attributes:
        positions: The features' positions among the setting's configurable features, ascending.
        values: The rules' values by feature value, or by a tuple of them if there is not exactly one.
        rule_ids: The rules' ids, in the order of `values`.
    """

    __slots__ = ("positions", "rule_ids", "values")

    def __init__(
        self, positions: Positions, values: dict[Any, T] | None = None, rule_ids: Iterable[int] = ()
    ) -> None:
        self.positions: Positions = positions
        self.values: dict[Any, T] = {} if values is None else values
        self.rule_ids: list[int] = list(rule_ids)

    def key(self, values: Sequence[Any]) -> Any:
        """Return the key of a rule for these feature values."""
        if len(self.positions) == 1:
            return values[self.positions[0]]
        return tuple([values[position] for position in self.positions])

    def rule_id(self, key: Any) -> int:
        """Return the id of the rule with this *key*."""
        return self.rule_ids[list(self.values).index(key)]

    def replace(self, key: Any, value: T, rule_id: int) -> None:
        """Replace a rule with another one that has the same conditions."""
        self.rule_ids[list(self.values).index(key)] = rule_id
        self.values[key] = value


def in_order(features: Sequence[str], feature_order: Sequence[str]) -> list[str]:
    """Return *features* in the service's order; those that it lacks come first."""
    unordered = [feature for feature in features if feature not in feature_order]
    return unordered + [feature for feature in feature_order if feature in features]


def in_precedence(
    tiers: Sequence[Tier[T]], features: Sequence[str], feature_order: Sequence[str]
) -> tuple[Tier[T], ...]:
    """Return *tiers* with the highest precedence first.

    Args:
        tiers: Each with conditions on different features.
        features: The setting's features; the tiers' positions are those among them.
        feature_order: The service's order.
    """
    if len(tiers) <= 1:
        return tuple(tiers)
    order = in_order(features, feature_order)
    bit_of = [1 << order.index(feature) for feature in features].__getitem__
    return tuple(
        sorted(tiers, key=lambda tier: sum(map(bit_of, tier.positions)), reverse=True),
    )
