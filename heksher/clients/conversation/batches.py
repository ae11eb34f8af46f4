"""Batches: which settings are queried together.

A query names its settings in the URL. Each batch has its own ETag, so that a change costs one
batch. (The real service silently truncates a query string of 65,536 bytes; proxies allow less.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from heksher.clients.conversation.effects import Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from heksher.clients.conversation.tracking import Tracking
    from heksher.settings.rules.rule_set import RuleSet

MAX_NAMES_BYTES: Final = 3_500
"""The most bytes of names in a query; with the longest filter, its URL stays below 6 KB."""

MAX_NAMES: Final = 100
"""The most settings in a query; its response is parsed without letting others run."""

PATH: Final = "/api/v1/query"

_USUAL: Final = re.compile(r"[A-Za-z0-9_.]+")


@dataclass(frozen=True, slots=True)
class Batch:
    """One query.

    Attributes:
        names: The canonical names of the settings.
        query_filter: The value of `context_filters`, if there is one.
        query: The query string, to which an ETag belongs.
    """

    names: tuple[str, ...]
    query_filter: str | None
    query: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Computed once: each refresh needs it several times.
        names = f"settings={','.join([quote(name, safe='') for name in self.names])}"
        query = (
            names if self.query_filter is None else f"{names}&context_filters={self.query_filter}"
        )
        object.__setattr__(self, "query", query)

    def request(self, etag: str | None) -> Request:
        """Return the request, conditional if there is an *etag*."""
        headers = {} if etag is None else {"If-None-Match": etag}
        return Request("GET", PATH, query=self.query, headers=headers)

    def halves(self) -> list[Batch]:
        """Return two batches with half of the names each."""
        middle = (len(self.names) + 1) // 2
        return [
            Batch(names, self.query_filter)
            for names in (self.names[:middle], self.names[middle:])
            if names
        ]


@dataclass(frozen=True, slots=True)
class Plan:
    """The queries for all settings, and the conditions under which they can be sent again.

    Attributes:
        revision: The registry's revision; it changes with the settings.
        tracking: What was tracked.
        rule_sets: The rule sets published then, by the setting's index.
        batches: The queries.
    """

    revision: int
    tracking: Tracking
    rule_sets: Mapping[int, RuleSet[Any]]
    batches: tuple[Batch, ...]


def batches(names: Iterable[str], query_filter: str | None) -> list[Batch]:
    """Return *names* in batches, in order, so that an additional name changes only the last one.

    A name that the service itself may reject (it accepts a trailing newline once) gets its own batch.
    """
    made: list[Batch] = []
    current: list[str] = []
    size = 0
    for name in names:
        if not _USUAL.fullmatch(name):
            made.append(Batch((name,), query_filter))
            continue
        if current and (len(current) == MAX_NAMES or size + len(name) + 1 > MAX_NAMES_BYTES):
            made.append(Batch(tuple(current), query_filter))
            current, size = [], 0
        current.append(name)
        size += len(name) + 1
    if current:
        made.append(Batch(tuple(current), query_filter))
    return made
