"""What a client remembers of its conversation with the service, from one refresh to the next."""

from __future__ import annotations

import random
from threading import Lock
from typing import TYPE_CHECKING, Final

from heksher.clients.declaring import DeclarationOutcome
from heksher.clients.tracking import Tracking

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heksher.clients.declaring import Standing
    from heksher.clients.querying import Plan
    from heksher.clients.refreshing import Reading, Refreshed
    from heksher.clients.tracking import Tracked
    from heksher.settings.registry import Registry

RETRY_EVERY: Final = 10
"""At every so many refreshes, declarations that were refused are tried again."""

RETRY_SOON: Final = frozenset({1, 2, 4})
"""How many refreshes after the service failed at declarations they are tried again, besides."""


class Session:
    """A client's side of its conversation: what it knows, and what it has to find out.

    Only `commit` changes it, in the thread or task that refreshes, and never a refresh under way.
    Any other may call `track`, which changes nothing but `tracking`.

    Attributes:
        registry: Whose settings are declared and refreshed.
        context_features: The client's context features.
        declares: Whether settings are declared, or only queried.
        tracking: What is tracked.
        standings: How each setting stands, by declared name.
        degraded: The settings at whose declaration the service kept failing.
        etags: The ETag of each query, by what was tracked when it was sent and by the query: where
            a filter cannot say what is tracked, the query alone stays the same.
        readings: How each setting was read last, by index.
        plan: The queries of the last refresh, if it found out all that it could of the settings.
        missing_features: The client's context features that the service lacks.
        randomness: Where jitter comes from.
    """

    def __init__(
        self, registry: Registry, context_features: tuple[str, ...], *, declares: bool = True
    ) -> None:
        self.registry = registry
        self.context_features = context_features
        self.declares = declares
        self.tracking = Tracking()
        self.standings: dict[str, Standing] = {}
        self.degraded: frozenset[str] = frozenset()
        self.etags: dict[tuple[Tracking, str], str] = {}
        self.readings: dict[int, Reading] = {}
        self.plan: Plan | None = None
        self.missing_features: tuple[str, ...] = ()
        self.randomness = random.Random()  # noqa: S311  # jitter, no secret
        self._refreshes = 0
        self._degraded_for = 0
        self._tracking_lock = Lock()

    def track(self, contexts: Mapping[str, Tracked]) -> None:
        """Track more; what was filtered for less is asked for afresh."""
        with self._tracking_lock:
            self.tracking = self.tracking.adding(contexts)

    def forked(self) -> None:
        """Replace the lock, which a thread of the parent process may have held."""
        self._tracking_lock = Lock()

    def start_afresh(self) -> None:
        """Ask for everything once more: this is a forked child, or another copy of the process.

        Whatever the fork interrupted may be half done, and copies with the same randomness would
        ask at the same times.
        """
        self.etags = {}
        self.plan = None
        self.randomness = random.Random()  # noqa: S311  # jitter, no secret

    def plan_for(self, revision: int, tracking: Tracking) -> Plan | None:
        """Return the queries to send again, if nothing has changed on the program's side."""
        plan = self.plan
        if (
            plan is None
            or plan.revision != revision
            or plan.tracking != tracking
            or plan.rule_sets is not self.registry.snapshot.rule_sets
        ):
            return None
        return plan

    @property
    def is_retry_due(self) -> bool:
        """Whether the next refresh is one that tries refused declarations again."""
        return (self._refreshes + 1) % RETRY_EVERY == 0

    @property
    def is_degraded_due(self) -> bool:
        """Whether the next refresh is one that tries declarations again that the service failed at."""
        return self._degraded_for in RETRY_SOON

    def commit(self, refreshed: Refreshed) -> None:
        """Remember what a refresh found out, now that it is published."""
        self._refreshes += 1
        if refreshed.standings is not self.standings:
            self.standings = refreshed.standings
            self.degraded, before = _degraded(self.standings), self.degraded
            if not self.degraded <= before:
                self._degraded_for = 0
        self._degraded_for = self._degraded_for + 1 if self.degraded else 0
        self.missing_features = refreshed.missing_features
        self.readings.update(refreshed.readings)
        for index in self.readings.keys() - refreshed.snapshot.rule_sets.keys():
            del self.readings[index]
        self.etags = {(refreshed.tracking, query): etag for query, etag in refreshed.etags.items()}
        self.plan = refreshed.plan


def _degraded(standings: Mapping[str, Standing]) -> frozenset[str]:
    return frozenset(
        [
            name
            for name, standing in standings.items()
            if standing.outcome is DeclarationOutcome.DEGRADED
        ]
    )
