"""What a client remembers of its conversation with the service, from one refresh to the next."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final, TypeVar

from heksher.clients.declaring import DeclarationOutcome
from heksher.clients.tracking import Tracking

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from heksher.clients.declaring import Standing
    from heksher.clients.listing import Listing
    from heksher.clients.refreshing import Refreshed
    from heksher.clients.settled import Overview, Settled
    from heksher.clients.tracking import Tracked
    from heksher.settings.declaration import Declaration
    from heksher.settings.registry import Registry

T = TypeVar("T")

RETRY_EVERY: Final = 10
"""At every so many refreshes, declarations that were refused are tried again."""

RETRY_SOON: Final = frozenset({1, 2, 4})
"""How many refreshes after the service failed at declarations they are tried again, besides."""


class Session:
    """A client's side of its conversation: what it knows, and what it has to find out.

    Only `commit` and the client's own methods change it, never a refresh that is under way.

    Attributes:
        registry: Whose settings are declared and refreshed.
        context_features: The client's context features.
        declares: Whether settings are declared, or only queried.
        keeps_bodies: Whether refreshes keep the answers of queries, to be saved on disk.
        tracking: What is tracked.
        standings: How each setting stands, by declared name.
        etags: The ETag of each query.
        validators: The validators that each setting's values passed, by index.
        local_defaults: Whether each setting was to read its own default, by index.
        raw_defaults: The service's default of each setting when it was last seen, by index.
        missing_features: The client's context features that the service lacks.
        settled: What the last refresh settled, if it settled all.
        randomness: Where jitter comes from.
    """

    def __init__(
        self,
        registry: Registry,
        context_features: tuple[str, ...],
        *,
        declares: bool = True,
        keeps_bodies: bool = False,
    ) -> None:
        self.registry = registry
        self.context_features = context_features
        self.declares = declares
        self.keeps_bodies = keeps_bodies
        self.tracking = Tracking()
        self.standings: dict[str, Standing] = {}
        self.etags: dict[str, str] = {}
        self.validators: dict[int, tuple[Any, ...]] = {}
        self.local_defaults: dict[int, bool] = {}
        self.raw_defaults: dict[int, Any] = {}
        self.missing_features: tuple[str, ...] = ()
        self.settled: Settled | None = None
        self.randomness = random.Random()  # noqa: S311  # jitter, no secret
        self.refreshes = 0
        self._degraded: frozenset[str] = frozenset()
        self._degraded_for = 0

    def track(self, contexts: Mapping[str, Tracked]) -> None:
        """Track more; what was filtered for less is asked for afresh."""
        tracking = self.tracking.adding(contexts)
        if tracking != self.tracking:
            self.tracking = tracking
            self.etags = {}

    def start_afresh(self) -> None:
        """Ask for everything once more: this is a forked child, or another copy of the process.

        Whatever the fork interrupted may be half done, and copies with the same randomness would
        ask at the same times.
        """
        self.etags = {}
        self.settled = None
        self.randomness = random.Random()  # noqa: S311  # jitter, no secret

    @property
    def is_retry_due(self) -> bool:
        """Whether the next refresh is one that tries refused declarations again."""
        return (self.refreshes + 1) % RETRY_EVERY == 0

    @property
    def degraded(self) -> frozenset[str]:
        """The settings at whose declaration the service kept failing."""
        return self._degraded

    def settled_at(self, revision: int) -> Settled | None:
        """Return what is settled, if nothing has changed since then on the program's side."""
        settled = self.settled
        if (
            settled is None
            or settled.revision != revision
            or settled.tracking != self.tracking
            or settled.rule_sets is not self.registry.snapshot.rule_sets
        ):
            return None
        return settled

    def needs_listing(self, overview: Overview | None, *, thorough: bool) -> bool:
        """Tell whether the service's list is needed to know how all settings stand."""
        if overview is None or self._is_degraded_due:
            return True
        if thorough and overview.reads_local_defaults:
            # A newer version of another program shows in the list alone, if its default is equal.
            return True
        return overview.has_refusals and (thorough or self.is_retry_due)

    @property
    def _is_degraded_due(self) -> bool:
        return self._degraded_for in RETRY_SOON

    def undecided(
        self, declared: Collection[Declaration], listing: Listing, *, thorough: bool
    ) -> list[Declaration]:
        """Return the settings whose standing a fresh listing may change.

        What the service refused is not sent again for the same reason, but when a retry is due.
        """
        if thorough or self.is_retry_due:
            return list(declared)
        return [setting for setting in declared if not self._is_settled(setting, listing)]

    def _is_settled(self, setting: Declaration, listing: Listing) -> bool:
        standing = self.standings.get(setting.name)
        if standing is None or standing.index != setting.index:
            return False
        if standing.outcome not in _REFUSED_BY_SERVICE:
            return False
        if standing.outcome is DeclarationOutcome.DEGRADED and self._is_degraded_due:
            return False
        listed = listing.called(setting.name)
        if listed is None and setting.alias is not None:
            listed = listing.called(setting.alias)
        return listed == standing.listed

    def commit(self, refreshed: Refreshed) -> None:
        """Remember what a refresh found out, now that it is published."""
        self.refreshes += 1
        if refreshed.standings is not self.standings:
            self.standings = refreshed.standings
            self._degraded, before = _degraded(self.standings), self._degraded
            if not self._degraded <= before:
                self._degraded_for = 0
        self._degraded_for = self._degraded_for + 1 if self._degraded else 0
        self.missing_features = refreshed.missing_features
        _take_in(self.validators, refreshed.validators, refreshed)
        _take_in(self.local_defaults, refreshed.local_defaults, refreshed)
        _take_in(self.raw_defaults, refreshed.raw_defaults, refreshed)
        self.etags = dict(refreshed.etags) if refreshed.tracking == self.tracking else {}
        self.settled = refreshed.settled


def _degraded(standings: Mapping[str, Standing]) -> frozenset[str]:
    return frozenset(
        [
            name
            for name, standing in standings.items()
            if standing.outcome is DeclarationOutcome.DEGRADED
        ]
    )


def _take_in(known: dict[int, T], found: Mapping[int, T], refreshed: Refreshed) -> None:
    """Add what a refresh found to what is known, of the settings that have rules."""
    known.update(found)
    living = refreshed.snapshot.rule_sets
    if len(known) > len(living):
        for index in known.keys() - living.keys():
            del known[index]


_REFUSED_BY_SERVICE = frozenset(
    {DeclarationOutcome.REJECTED, DeclarationOutcome.REFUSED, DeclarationOutcome.DEGRADED}
)
