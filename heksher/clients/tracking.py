"""Which rules this program can ever need: tracked contexts, and the filter that says so.

The filter only saves bytes. The service reads feature names in it as `[a-z]+` and refuses a whole
query for one odd value, so whatever it might misread is not filtered there; what is tracked is
enforced here, on whatever comes back.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final, TypeAlias

from heksher.exceptions import InvalidContext


class TrackAll:
    """The type of `TRACK_ALL`."""

    def __repr__(self) -> str:
        return "TRACK_ALL"


Tracked: TypeAlias = str | Collection[str] | TrackAll
"""What a context feature may be tracked with."""

TRACK_ALL: Final = TrackAll()
"""Says that every value of a context feature is tracked."""

MAX_FILTER_BYTES: Final = 2_000
"""How long a filter may be; a feature whose values make it longer is not filtered by value."""

_FILTERABLE: Final = re.compile(r"[a-z]+")
_POSSIBLE_VALUE: Final = re.compile(r"[A-Za-z0-9_]+")


class Tracking:
    """The tracked values of context features; immutable, so a refresh sees one all along."""

    def __init__(self, values: dict[str, frozenset[str] | TrackAll] | None = None) -> None:
        self._values = values or {}

    def adding(self, contexts: Mapping[str, Tracked]) -> Tracking:
        """Return what is tracked with *contexts* added.

        Raises:
            InvalidContext: A value is neither a string, a collection of them, nor `TRACK_ALL`.
        """
        merged = dict(self._values)
        for feature, values in contexts.items():
            added, former = _checked(feature, values), merged.get(feature, frozenset())
            if isinstance(added, TrackAll) or isinstance(former, TrackAll):
                merged[feature] = TRACK_ALL
            else:
                merged[feature] = former | added
        return Tracking(merged)

    @property
    def is_everything(self) -> bool:
        """Whether nothing was tracked, so that all rules count."""
        return not self._values

    def is_tracked(self, feature: str, value: str) -> bool:
        """Tell whether a rule's condition is tracked; a rule counts if all of its are."""
        tracked = self._values.get(feature, frozenset())
        return isinstance(tracked, TrackAll) or value in tracked

    def query_filter(self) -> str | None:
        """Return the value of `context_filters` that loses no rule; `None` for no filter.

        Values that no rule can have are left out, and a feature that has only those.
        """
        if self.is_everything or not all(_FILTERABLE.fullmatch(name) for name in self._values):
            return None
        terms = {name: _term(values) for name, values in sorted(self._values.items())}
        terms = {name: term for name, term in terms.items() if term}
        while _length(terms) > MAX_FILTER_BYTES:
            longest = max(terms, key=lambda name: len(terms[name]))
            if terms[longest] == "*":
                return None
            terms[longest] = "*"
        return ",".join(f"{name}:{term}" for name, term in terms.items())

    def as_json(self) -> dict[str, list[str] | None] | None:
        """Return the tracked values by feature, `None` for all of its; `None` for everything."""
        if self.is_everything:
            return None
        return {
            name: None if isinstance(values, TrackAll) else sorted(values)
            for name, values in sorted(self._values.items())
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tracking) and self._values == other._values

    def __hash__(self) -> int:
        return hash(frozenset(self._values))


def _checked(feature: str, values: object) -> frozenset[str] | TrackAll:
    if isinstance(values, TrackAll):
        return values
    if isinstance(values, str):
        return frozenset([values])
    if isinstance(values, Collection) and all(isinstance(value, str) for value in values):
        return frozenset(values)
    raise InvalidContext(
        f"context feature {feature!r} is to be tracked with {type(values).__name__}: give a str,"
        " a collection of str, or TRACK_ALL"
    )


def _term(values: frozenset[str] | TrackAll) -> str:
    if isinstance(values, TrackAll):
        return "*"
    if any(value.endswith("\n") for value in values):
        # The service lets one newline at the end slip into a rule, but not into a filter.
        return "*"
    possible = sorted(value for value in values if _POSSIBLE_VALUE.fullmatch(value))
    return f"({','.join(possible)})" if possible else ""


def _length(terms: dict[str, str]) -> int:
    return sum(len(name) + len(term) + 2 for name, term in terms.items())
