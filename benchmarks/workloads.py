"""What is read: rules and contexts in a form that every competitor's worker translates for itself.

Needs nothing but Python, since workers of other environments import it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

DEFAULT = 5
"""What applies when no rule does."""

THREE = ("environment", "user", "theme")
FIVE = (*THREE, "region", "tier")

Rule = tuple[dict[str, str], int]


@dataclass(frozen=True)
class Workload:
    """Some rules, and the context that they are read for.

    Attributes:
        features: The features of the setting, in the order of precedence.
        rules: Conditions and value of each rule.
        context: The context.
        expected: What is read.
        tiers: How many different sets of features the rules have conditions on.
        new_user: Whether every call is for another user, whom no rule knows.
    """

    features: tuple[str, ...]
    rules: list[Rule]
    context: dict[str, str]
    expected: int
    new_user: bool = False

    @property
    def tiers(self) -> int:
        return len({tuple(sorted(conditions)) for conditions, _ in self.rules})

    def arguments(self) -> str:
        """Return the keyword arguments of a call, as source."""
        return ", ".join(f"{name}={value}" for name, value in self.sources().items())

    def sources(self) -> dict[str, str]:
        """Return the source of each feature's value; `counter` is an `itertools.count`."""
        return {
            name: "'u%d' % next(counter)" if self.new_user and name == "user" else repr(value)
            for name, value in self.context.items()
        }


def _context(features: tuple[str, ...], user: str) -> dict[str, str]:
    values = {
        "environment": "production",
        "user": user,
        "theme": "dark",
        "region": "north",
        "tier": "gold",
    }
    return {name: values[name] for name in features}


def _on_users(count: int) -> list[Rule]:
    return [({"user": f"user{number}"}, 100 + number) for number in range(count)]


def _overlapping() -> list[Rule]:
    """Return 100 rules: 50 for any environment, 50 for one, of which ten users have both."""
    return [
        *[({"user": f"user{number}"}, 100 + number) for number in range(50)],
        *[
            ({"environment": "production", "user": f"user{number + 40}"}, 200 + number)
            for number in range(50)
        ],
    ]


def _masks(masks: list[tuple[str, ...]], each: int) -> list[Rule]:
    """Return *each* rules with conditions on each of *masks*, none of which match."""
    return [
        ({feature: f"{feature}{number}" for feature in mask}, number)
        for mask in masks
        for number in range(each)
    ]


_TWELVE: list[tuple[str, ...]] = [
    *[(feature,) for feature in FIVE],
    *list(combinations(FIVE, 2))[:6],
    ("environment", "user", "theme"),
]

WORKLOADS: dict[str, Workload] = {
    "no rule": Workload(THREE, [], _context(THREE, "user5"), DEFAULT),
    "10 rules": Workload(THREE, _on_users(10), _context(THREE, "user5"), 105),
    "1,000 rules, hit": Workload(THREE, _on_users(1000), _context(THREE, "user500"), 600),
    "1,000 rules, miss": Workload(THREE, _on_users(1000), _context(THREE, "nobody"), DEFAULT),
    "1,000 rules, new user": Workload(
        THREE, _on_users(1000), _context(THREE, "nobody"), DEFAULT, new_user=True
    ),
    "100 rules, overlapping": Workload(THREE, _overlapping(), _context(THREE, "user45"), 205),
    "three masks": Workload(
        THREE,
        _masks([("environment",), ("user",), ("environment", "theme")], 10),
        _context(THREE, "user_x"),
        DEFAULT,
    ),
    "twelve masks": Workload(FIVE, _masks(_TWELVE, 8), _context(FIVE, "user_x"), DEFAULT),
}
