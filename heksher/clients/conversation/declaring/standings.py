"""Determining how all settings stand with the service, and declaring those that need it."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from heksher.clients.conversation.declaring.decisions import is_known, lacking_features, undeclared
from heksher.clients.conversation.declaring.declare import Declarer
from heksher.clients.conversation.declaring.outcomes import DeclarationOutcome
from heksher.clients.conversation.effects import Breathe
from heksher.clients.conversation.responses import without_frames
from heksher.clients.conversation.service_settings import fetch_listing
from heksher.exceptions import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from heksher.clients.conversation.batches import Plan
    from heksher.clients.conversation.declaring.declare import ToSend
    from heksher.clients.conversation.declaring.outcomes import Standing
    from heksher.clients.conversation.declaring.progress import Progress
    from heksher.clients.conversation.effects import Flow
    from heksher.clients.conversation.memory import Session
    from heksher.clients.conversation.service_settings import Listing
    from heksher.settings.declaration import Declaration


class Settling:
    """How settings stand, as determined by one refresh.

    Args:
        session: What the client remembers; only read.
        plan: The queries to send again, if all settings stand as before.
        living: Returns all living settings by index; called only if they are needed.
        first: Whether unexpected responses are raised instead of kept.
        thorough: Whether refused declarations are retried.
        progress: Records how far the declarations have come.

    Attributes:
        standings: How each setting stands, by declared name; the session's own object as long as
            nothing has changed.
        notes: Remarks on declarations to log once, by declared name.
        malformed: Why entries of the service's list were left out.
        errors: Unexpected responses to declarations.
        asked_for: For how many seconds the service asked not to be sent declarations.
        missing_features: The client's context features that the service lacks now.
    """

    def __init__(
        self,
        session: Session,
        plan: Plan | None,
        living: Callable[[], Mapping[int, Declaration]],
        *,
        first: bool,
        thorough: bool,
        progress: Progress,
    ) -> None:
        self._progress = progress
        self._session = session
        self._plan = plan
        self._first = first
        self._thorough = thorough
        self.standings: dict[str, Standing] = (
            session.standings if plan else _of_living(session.standings, living())
        )
        self.notes: dict[str, str] = {}
        self.malformed: list[str] = []
        self.errors: list[Exception] = []
        self.asked_for: float = 0.0
        self.missing_features: tuple[str, ...] = session.missing_features

    @cached_property
    def declared(self) -> list[Declaration]:
        """The settings to declare."""
        return self._session.registry.declared()

    @property
    def plan(self) -> Plan | None:
        """The queries to send again, if all settings still stand as before."""
        return self._plan if self.standings is self._session.standings else None

    def needs_listing(self) -> bool:
        """Return whether the service's list is needed to know how all settings stand."""
        standings = self.standings
        if self._session.is_degraded_due or (self._plan is None and self._has_unknown()):
            return True
        if self._tries_again and any(one.refusal for one in standings.values()):
            return True
        # If the defaults are equal, only the list shows a newer version of another program.
        readings = self._session.readings.values()
        return self._thorough and any(reading.is_local_default for reading in readings)

    def _has_unknown(self) -> bool:
        for setting in self.declared:
            standing = self.standings.get(setting.name)
            if standing is None or standing.index != setting.index:
                return True
        return False

    @property
    def _tries_again(self) -> bool:
        return self._thorough or self._session.is_retry_due

    def canonical_name(self, setting: Declaration) -> str | None:
        """Return the name to query *setting* under; `None` if it must not be queried."""
        standing = self.standings.get(setting.name)
        return None if standing is None else standing.canonical_name

    def unusable(self) -> set[str]:
        """Return the names of settings that must read their declared default."""
        return {name for name, standing in self.standings.items() if standing.is_unusable}

    def settle(self, listing: Listing, feature_order: Sequence[str]) -> Flow[None]:
        """Determine how settings stand, given a fresh *listing*."""
        self.standings = dict(self.standings)
        waited = {name for name, one in self.standings.items() if self._has_waited(one)}
        available = set(self._session.context_features).intersection(feature_order)
        usable = [
            one
            for one in self.declared
            if available.issuperset(one.configurable_features)
            or self._has_features(one, feature_order)
        ]
        yield Breathe()
        undecided = [
            one for one in usable if one.name in waited or not self._is_decided(one, listing)
        ]
        yield from self._decide(undecided, listing)

    def _is_decided(self, setting: Declaration, listing: Listing) -> bool:
        """Return whether *listing* leaves a setting as it stands.

        A refused declaration is not sent again, unless a retry is due or the setting has changed.
        """
        standing = self.standings.get(setting.name)
        if self._tries_again or standing is None or standing.index != setting.index:
            return False
        if standing.outcome not in _REFUSED_BY_SERVICE:
            return False
        if standing.outcome is DeclarationOutcome.DEGRADED and self._session.is_degraded_due:
            return False
        listed = listing.called(setting.name)
        if listed is None and setting.alias is not None:
            listed = listing.called(setting.alias)
        return listed == standing.listed

    def has_waited_for_features(self) -> bool:
        """Return whether a setting was refused for context features that now exist."""
        waiting = [one for one in self.standings.values() if one.lacked_features]
        return any(map(self._has_waited, waiting))

    def _has_waited(self, standing: Standing) -> bool:
        return bool(standing.lacked_features) and all(
            name in self._session.context_features and name not in self.missing_features
            for name in standing.lacked_features
        )

    def look_again(self, settings: Iterable[Declaration]) -> Flow[None]:
        """Determine again how *settings* stand, after a query has shown that they may have changed.

        A refused declaration is not sent again while the service has the same setting.

        Raises:
            ServiceError: The list cannot be fetched.
        """
        listing, malformed = yield from fetch_listing()
        self.standings = dict(self.standings)
        self.malformed += malformed
        names = {setting.name for setting in settings}
        doubted = [
            setting
            for setting in self.declared
            if setting.name in names
            and not _is_refused_as_before(self.standings[setting.name], listing)
        ]
        yield from self._decide(doubted, listing)

    def _decide(self, settings: Sequence[Declaration], listing: Listing) -> Flow[None]:
        if not self._session.declares:
            for setting in settings:
                self.standings[setting.name] = undeclared(setting, listing)
            return
        overtaken = yield from self._declare(settings, listing)
        if overtaken:
            yield from self._decide_anew(overtaken)

    def _decide_anew(self, overtaken: list[ToSend]) -> Flow[None]:
        """Determine how settings stand that another program declared at the same time."""
        try:
            listing, malformed = yield from fetch_listing()
        except ServiceError as error:
            if self._first:
                raise
            self.errors.append(without_frames(error))
            self.standings.update({setting.name: post.standing for setting, post in overtaken})
            return
        self.malformed += malformed
        yield from self._declare([one for one, _ in overtaken if is_known(one, listing)], listing)

    def _declare(self, settings: Sequence[Declaration], listing: Listing) -> Flow[list[ToSend]]:
        """Send the declarations needed; return those for which *listing* was out of date."""
        declarer = Declarer(
            listing, self._session.randomness, self._session.degraded, self._progress
        )
        yield from declarer.declare(settings)
        if declarer.errors and self._first:
            raise declarer.errors.pop(0)
        self.errors += declarer.errors
        self.asked_for = max(self.asked_for, declarer.asked_for)
        self.malformed += declarer.malformed
        self.standings.update(declarer.standings)
        self.notes.update(declarer.notes)
        for setting in settings if self.missing_features else ():
            self._record_lacked(setting)
        return declarer.overtaken

    def _record_lacked(self, setting: Declaration) -> None:
        """Record which missing context features the service may have refused a setting for."""
        standing = self.standings[setting.name]
        lacked = [name for name in setting.configurable_features if name in self.missing_features]
        if lacked and standing.outcome is DeclarationOutcome.REFUSED:
            self.standings[setting.name] = replace(standing, lacked_features=tuple(lacked))

    def _has_features(self, setting: Declaration, feature_order: Sequence[str]) -> bool:
        places = (
            ("this client", self._session.context_features),
            ("the service", feature_order),
        )
        for whose, features in places:
            lacking = [name for name in setting.configurable_features if name not in features]
            if lacking:
                self.standings[setting.name] = lacking_features(setting, lacking, whose)
                return False
        return True


_REFUSED_BY_SERVICE = frozenset(
    {DeclarationOutcome.REJECTED, DeclarationOutcome.REFUSED, DeclarationOutcome.DEGRADED}
)


def _of_living(
    standings: dict[str, Standing], living: Mapping[int, Declaration]
) -> dict[str, Standing]:
    """Return the standings of living settings; *standings* itself if that is all of them."""
    names = {setting.name for setting in living.values()}
    if standings.keys() <= names:
        return standings
    return {name: standing for name, standing in standings.items() if name in names}


def _is_refused_as_before(standing: Standing, listing: Listing) -> bool:
    """Return whether *standing* is a refusal, and the service still has the same setting."""
    if standing.refusal is None or standing.canonical_name is None:
        return False
    listed = listing.named(standing.canonical_name)
    return listed is not None and listed == standing.listed
