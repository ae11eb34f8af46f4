"""What a client remembers from one refresh to the next."""

from __future__ import annotations

import random
from threading import Lock
from typing import TYPE_CHECKING, Final

from heksher.clients.conversation.declaring.outcomes import DeclarationOutcome
from heksher.clients.conversation.tracking import Tracking

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heksher.clients.conversation.batches import Plan
    from heksher.clients.conversation.declaring.outcomes import Standing
    from heksher.clients.conversation.rule_compiler import Reading, Refreshed
    from heksher.clients.conversation.tracking import Tracked
    from heksher.settings.registry import Registry

RETRY_EVERY: Final = 10
"""Refused declarations are retried at every so many refreshes."""

RETRY_SOON: Final = frozenset({1, 2, 4})
"""How many refreshes after a failure of the service degraded declarations are retried, too."""


class Session:
    """The client's memory of its conversation with the service.

    It has one writer: the thread or task that refreshes, which calls `commit` once a refresh has
    been published. Other threads may call `track`, which only replaces `tracking`.

    Attributes:
        registry: Whose settings are declared and refreshed.
        context_features: The client's context features.
        declares: Whether settings are declared, or only queried.
        tracking: What is tracked.
        standings: How each setting stands, by declared name.
        degraded: The settings that the service kept failing to declare.
        etags: ETags, by what was tracked and by query. The query alone does not suffice: it stays
            the same when a filter cannot express what is tracked.
        readings: How the values of each setting were read last, by index.
        plan: The queries of the last refresh, if they can be sent again.
        missing_features: The client's context features that the service lacks.
        randomness: The source of jitter.
    """

    def __init__(
        self, registry: Registry, context_features: tuple[str, ...], *, declares: bool = True
    ) -> None:
        self.registry = registry
        self.context_features = context_features
        self.declares = declares
        self.tracking: Tracking = Tracking()
        self.standings: dict[str, Standing] = {}
        self.degraded: frozenset[str] = frozenset()
        self.etags: dict[tuple[Tracking, str], str] = {}
        self.readings: dict[int, Reading] = {}
        self.plan: Plan | None = None
        self.missing_features: tuple[str, ...] = ()
        self.randomness: random.Random = random.Random()  # noqa: S311  # jitter, no secret
        self._refreshes = 0
        self._degraded_for = 0
        self._tracking_lock = Lock()

    def track(self, contexts: Mapping[str, Tracked]) -> None:
        """Track more contexts; the next refresh fetches their rules."""
        with self._tracking_lock:
            self.tracking = self.tracking.adding(contexts)

    def forked(self) -> None:
        """Replace the lock, which a thread of the parent process may hold for ever."""
        self._tracking_lock = Lock()

    def start_afresh(self) -> None:
        """Have the next refresh fetch everything: this process is a copy of another.

        The fork may have interrupted a refresh, and copies with the same source of jitter would
        send their requests at the same times.
        """
        self.etags = {}
        self.plan = None
        self.randomness = random.Random()  # noqa: S311  # jitter, no secret

    def plan_for(self, revision: int, tracking: Tracking) -> Plan | None:
        """Return the queries to send again, if nothing has changed in this program."""
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
        """Whether the next refresh retries refused declarations."""
        return (self._refreshes + 1) % RETRY_EVERY == 0

    @property
    def is_degraded_due(self) -> bool:
        """Whether the next refresh retries degraded declarations."""
        return self._degraded_for in RETRY_SOON

    def commit(self, refreshed: Refreshed) -> None:
        """Remember the results of a refresh, once it has been published."""
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
