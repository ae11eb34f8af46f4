"""What both clients do around a refresh: publish, commit, report, notify. No I/O, no waiting."""

from __future__ import annotations

from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any

from heksher.clients.conversation.memory import Session
from heksher.clients.conversation.pacing import Pacing
from heksher.clients.conversation.retry_after import longest_asked, seconds_asked
from heksher.clients.listeners import ChangeListeners
from heksher.clients.log_messages import (
    in_words,
    report_failure,
    report_recovery,
    report_refreshed,
    report_started_from_snapshot,
)
from heksher.clients.status import ClientStatus
from heksher.settings.context import default_source
from heksher.settings.reading.state import Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from heksher.clients.conversation.rule_compiler import Refreshed
    from heksher.clients.snapshots.last_good import LastGood
    from heksher.settings.context import DefaultSource, FeatureDefault
    from heksher.settings.registry import MainClient, Registry
    from heksher.settings.rules.rule_set import RuleSet


class Upkeep:
    """Keeps a client's books: what it published, how its refreshes went, what it reported.

    Attributes:
        session: The client's side of the conversation with the service.
        pacing: Decides when the next refresh is due.
        listeners: The listeners of changed settings.
        failures: The number of consecutive failed refreshes.
    """

    def __init__(
        self,
        registry: Registry,
        context_features: tuple[str, ...],
        *,
        update_interval: float,
        declares: bool,
        last_good: LastGood | None,
    ) -> None:
        self._registry = registry
        self._last_good = last_good
        self.session: Session = Session(registry, context_features, declares=declares)
        self.pacing: Pacing = Pacing(update_interval, self.session.randomness)
        self._defaults: dict[str, DefaultSource] = {}
        self.listeners: ChangeListeners = ChangeListeners()
        self._last_attempt: datetime | None = None
        self._last_success: datetime | None = None
        self._last_error: str | None = None
        self.failures: int = 0
        self._asked_for = 0.0

    def take_over(self, client: MainClient) -> None:
        """Make *client* the main client of the registry, with its own defaults.

        Raises:
            ClientStateError: Another client is the main one.
        """
        self._registry.claim(client)
        self._registry.set_defaults(dict(self._defaults), replace=True)

    def set_defaults(self, client: MainClient, features: dict[str, FeatureDefault]) -> None:
        """Set defaults of context features: at once, unless another client is the main one.

        Raises:
            InvalidContext: A default is neither a string, a `ContextVar`, nor a function.
        """
        sources = {name: default_source(name, default) for name, default in features.items()}
        self._defaults.update(sources)
        if self._registry.main in (None, client):
            self._registry.set_defaults(sources)

    def begin(self) -> None:
        """Record that a refresh begins."""
        self.pacing.began(monotonic())
        self._last_attempt, self._asked_for = datetime.now(UTC), 0.0

    def publish(self, refreshed: Refreshed) -> list[RuleSet[Any]]:
        """Publish a refresh, then commit it to the session, then report it.

        Returns:
            The rule sets that are no longer read.
        """
        session = self.session
        before = self._registry.snapshot.rule_sets
        standings, missing = session.standings, session.missing_features
        self._registry.publish(refreshed.snapshot)
        session.commit(refreshed)
        self._asked_for = max(refreshed.asked_for, longest_asked(refreshed.errors))
        report_refreshed(refreshed, self._registry.readable, before, standings, missing)
        now = refreshed.snapshot.rule_sets
        if before is now:
            return []
        return [one for index, one in before.items() if now.get(index) is not one]

    def snapshot_to_save(self, refreshed: Refreshed) -> Callable[[], None] | None:
        """Return a function that writes the last good state to disk, if it is due."""
        return (
            None if self._last_good is None else self._last_good.saving(refreshed, self._registry)
        )

    def start_from_snapshot(self, error: Exception) -> bool:
        """Publish the snapshot, since *error* made the first refresh fail.

        Returns:
            Whether there is a usable snapshot.
        """
        if self._last_good is None:
            return False
        snapshot = self._last_good.load(self.session, self._registry)
        if snapshot is None:
            return False
        self._registry.publish(snapshot)
        self.note(error)
        features = self.session.context_features
        missing = [name for name in features if name not in snapshot.feature_order]
        self.session.missing_features = tuple(missing)
        report_started_from_snapshot(error, monotonic() - snapshot.taken_at, missing)
        return True

    def succeeded(self) -> None:
        """Record a successful refresh."""
        if self.failures:
            report_recovery(self.failures)
        self.failures, self._last_error = 0, None
        self._last_success = datetime.now(UTC)
        self._ended()

    def failed(self, error: Exception) -> None:
        """Record and report a failed refresh."""
        self.note(error)
        report_failure(error, self.failures)

    def note(self, error: BaseException) -> None:
        """Record a failed refresh: only the message of *error*, which may hold whole responses."""
        self.failures += 1
        self._asked_for = max(self._asked_for, seconds_asked(error))
        self._ended()
        self._last_error = in_words(error)

    def _ended(self) -> None:
        self.pacing.ended(monotonic(), failures=self.failures, asked_for=self._asked_for)

    def wake(self) -> bool:
        """Ask for a refresh soon; return whether `seconds_left` may be shorter now."""
        return self.pacing.wake(monotonic())

    def seconds_left(self) -> float:
        """Return the seconds until a refresh is due: zero or less if it is."""
        return self.pacing.seconds_left(monotonic())

    def stopped(self, why: str) -> None:
        """Record why there will be no further refresh although nobody closed the client."""
        self._last_error = why

    def start_afresh(self) -> None:
        """Continue in a forked child, with a refresh soon."""
        self.session.start_afresh()
        self.pacing.start_afresh(monotonic(), self.session.randomness)
        self.wake()

    def status(self, *, started: bool) -> ClientStatus:
        """Return the client's state."""
        snapshot = self._registry.snapshot
        rule_sets = snapshot.rule_sets.values()
        standings = self.session.standings.values()
        known = snapshot.source is not Source.DECLARED_DEFAULTS
        return ClientStatus(
            started=started,
            last_attempt=self._last_attempt,
            last_success=self._last_success,
            age=monotonic() - snapshot.taken_at if known else None,
            consecutive_failures=self.failures,
            last_error=self._last_error,
            source=snapshot.source,
            rejected_rules=tuple([one for rules in rule_sets for one in rules.rejections]),
            refused_declarations=tuple([one.refusal for one in standings if one.refusal]),
            outdated_declarations=tuple([one.outdated for one in standings if one.outdated]),
            foreign_rules=sum([rules.foreign for rules in rule_sets]),
            missing_features=self.session.missing_features,
        )
