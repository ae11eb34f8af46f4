"""Which settings to ask for together: batches, and the requests for them.

A query names its settings in the URL, and each batch has an ETag of its own, so that a change
costs one batch. (The real service silently cuts a query string of 65,536 bytes; proxies are
stricter.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from heksher.clients.effects import Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from heksher.clients.tracking import Tracking
    from heksher.settings.rules import RuleSet

MAX_NAMES_BYTES: Final = 3_500
"""How many bytes of names a query has; with the longest filter its URL stays below 6 KB."""

MAX_NAMES: Final = 100
"""How many settings a query has: their answer is read in one go, so the loop waits for it."""

PATH: Final = "/api/v1/query"

_USUAL: Final = re.compile(r"[A-Za-z0-9_.]+")


@dataclass(frozen=True, slots=True)
class Batch:
    """One query.

    Attributes:
        names: The settings that it asks for, by canonical name.
        query_filter: The filter that it has.
        query: The query string; also what an ETag belongs to.
    """

    names: tuple[str, ...]
    query_filter: str | None
    query: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Once: it is asked for several times at each refresh.
        names = f"settings={','.join([quote(name, safe='') for name in self.names])}"
        query = (
            names if self.query_filter is None else f"{names}&context_filters={self.query_filter}"
        )
        object.__setattr__(self, "query", query)

    def request(self, etag: str | None) -> Request:
        """Return the request, conditional on *etag* if there is one."""
        headers = {} if etag is None else {"If-None-Match": etag}
        return Request("GET", PATH, query=self.query, headers=headers)

    def halves(self) -> list[Batch]:
        """Return two batches of half of the names each."""
        middle = (len(self.names) + 1) // 2
        return [
            Batch(names, self.query_filter)
            for names in (self.names[:middle], self.names[middle:])
            if names
        ]


@dataclass(frozen=True, slots=True)
class Plan:
    """The queries for all settings, and what they were made for.

    Attributes:
        revision: The registry's when they were made: another one tells of other settings.
        tracking: What was tracked.
        rule_sets: What was published then, by the setting's index.
        batches: The queries.
    """

    revision: int
    tracking: Tracking
    rule_sets: Mapping[int, RuleSet[Any]]
    batches: tuple[Batch, ...]


def batches(names: Iterable[str], query_filter: str | None) -> list[Batch]:
    """Return *names* in batches, in their order, so that a name at the end changes the last one.

    A name of the service's that it may not take back (it lets in a newline at the end) is alone.
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
