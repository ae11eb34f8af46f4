"""Tracked contexts: which rules this program can need, and the filter that expresses it.

The filter only saves bytes. The service parses feature names in it as `[a-z]+`, and rejects the
whole query for one unexpected value, so anything it could misread is not filtered. The client
applies the tracked contexts itself to every response.
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
"""The types of value that a context feature may be tracked with."""

TRACK_ALL: Final = TrackAll()
"""Tracks every value of a context feature."""

MAX_FILTER_BYTES: Final = 2_000
"""The longest filter; features whose values would make it longer are not filtered by value."""

_FILTERABLE: Final = re.compile(r"[a-z]+")
_POSSIBLE_VALUE: Final = re.compile(r"[A-Za-z0-9_]+")


class Tracking:
    """The tracked values of context features; immutable, so that a refresh works with one state."""

    def __init__(self, values: dict[str, frozenset[str] | TrackAll] | None = None) -> None:
        self._values = values or {}

    def adding(self, contexts: Mapping[str, Tracked]) -> Tracking:
        """Return a tracking with *contexts* added.

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
        """Whether nothing was tracked, so that all rules apply."""
        return not self._values

    def is_tracked(self, feature: str, value: str) -> bool:
        """Return whether a condition is tracked; a rule applies if all its conditions are."""
        tracked = self._values.get(feature, frozenset())
        return isinstance(tracked, TrackAll) or value in tracked

    def query_filter(self) -> str | None:
        """Return a value of `context_filters` that excludes no tracked rule; `None` for no filter.

        Values that no rule can have are omitted, and so are features with only such values.
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
        """Return the tracked values by feature, `None` for all values; `None` if all rules apply."""
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
        f"tracked values of context feature {feature!r} must be a str, a collection of str, or"
        f" TRACK_ALL, not {type(values).__name__}"
    )


def _term(values: frozenset[str] | TrackAll) -> str:
    if isinstance(values, TrackAll):
        return "*"
    if any(value.endswith("\n") for value in values):
        # The service accepts a trailing newline in a rule, but not in a filter.
        return "*"
    possible = sorted(value for value in values if _POSSIBLE_VALUE.fullmatch(value))
    return f"({','.join(possible)})" if possible else ""


def _length(terms: dict[str, str]) -> int:
    return sum(len(name) + len(term) + 2 for name, term in terms.items())
