"""Finding out how all settings stand with the service, and declaring those that need it."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from heksher.clients.declaration_flow import Declarer
from heksher.clients.declaring import (
    DeclarationOutcome,
    is_known,
    lacking_features,
    undeclared,
)
from heksher.clients.effects import Breathe, without_frames
from heksher.clients.listing import fetch_listing
from heksher.exceptions import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from heksher.clients.declaration_flow import ToSend
    from heksher.clients.declaring import Standing
    from heksher.clients.effects import Flow
    from heksher.clients.listing import Listing
    from heksher.clients.querying import Plan
    from heksher.clients.session import Session
    from heksher.settings.declaration import Declaration


class Settling:
    """How settings stand, as one refresh finds it out; its session is only read.

    Args:
        session: What is known so far.
        plan: The queries to send again, if all settings stand as they did.
        living: Returns all living settings by index; called where they are needed.
        first: Whether answers that are not Heksher's are raised, instead of kept.
        thorough: Whether refused declarations are tried again.

    Attributes:
        standings: How each setting stands, by declared name; the session's own, unless there is
            news of one.
        notes: What is to be said once of a declaration, by declared name.
        malformed: What is wrong with entries of the service's list.
        errors: Answers to declarations that are not Heksher's.
        asked_for: Seconds for which the service asked to be sent no declarations.
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
    ) -> None:
        self._session = session
        self._plan = plan
        self._first = first
        self._thorough = thorough
        self.standings = session.standings if plan else _of_living(session.standings, living())
        self.notes: dict[str, str] = {}
        self.malformed: list[str] = []
        self.errors: list[Exception] = []
        self.asked_for = 0.0
        self.missing_features = session.missing_features

    @cached_property
    def declared(self) -> list[Declaration]:
        """The settings to declare."""
        return self._session.registry.declared()

    @property
    def plan(self) -> Plan | None:
        """The queries to send again, if all settings still stand as they did."""
        return self._plan if self.standings is self._session.standings else None

    def needs_listing(self) -> bool:
        """Tell whether the service's list is needed to know how all settings stand."""
        standings = self.standings
        if self._session.is_degraded_due or (self._plan is None and self._has_unknown()):
            return True
        if self._tries_again and any(one.refusal for one in standings.values()):
            return True
        # A newer version of another program shows in the list alone, if its default is equal.
        return self._thorough and any(
            standings[one.name].reads_local_default(one) for one in self.declared
        )

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
        """Return the name to query *setting* by; `None` if it is not to be queried."""
        standing = self.standings.get(setting.name)
        return None if standing is None else standing.canonical_name

    def unusable(self) -> set[str]:
        """Return the settings that have to read their declared default, whatever they read."""
        return {name for name, standing in self.standings.items() if standing.is_unusable}

    def settle(self, listing: Listing, feature_order: Sequence[str]) -> Flow[None]:
        """Find out how all settings stand by *listing*, where it may have news of them."""
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
        """Tell whether *listing* cannot change how a setting stands.

        What the service refused is not sent again for the same reason, but when a retry is due.
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
        """Tell whether a setting was refused for context features that are there now."""
        return any(self._has_waited(one) for one in self.standings.values())

    def _has_waited(self, standing: Standing) -> bool:
        return bool(standing.lacked_features) and all(
            name in self._session.context_features and name not in self.missing_features
            for name in standing.lacked_features
        )

    def look_again(self, settings: Iterable[Declaration]) -> Flow[None]:
        """Find out how *settings* stand now: a query did not know them as it should.

        What the service refused is left alone, as long as it knows the setting.

        Raises:
            ServiceError: The list cannot be had.
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
        """Find out how settings stand that another program declared at the same time."""
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
        """Declare what has to be; return what the service held otherwise by then."""
        declarer = Declarer(listing, self._session.randomness, self._session.degraded)
        yield from declarer.declare(settings)
        if declarer.errors and self._first:
            raise declarer.errors.pop(0)
        self.errors += declarer.errors
        self.asked_for = max(self.asked_for, declarer.asked_for)
        self.standings.update(declarer.standings)
        self.notes.update(declarer.notes)
        for setting in settings if self.missing_features else ():
            self._note_lacked(setting)
        return declarer.overtaken

    def _note_lacked(self, setting: Declaration) -> None:
        """Note which context features a setting may have been refused for, by the service."""
        standing = self.standings[setting.name]
        lacked = [name for name in setting.configurable_features if name in self.missing_features]
        if lacked and standing.outcome is DeclarationOutcome.REFUSED:
            self.standings[setting.name] = replace(standing, lacked_features=tuple(lacked))

    def _has_features(self, setting: Declaration, feature_order: Sequence[str]) -> bool:
        places = (
            ("this client does", self._session.context_features),
            ("the service does", feature_order),
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
    """Return how settings stand that still live; *standings* itself if all do."""
    names = {setting.name for setting in living.values()}
    if standings.keys() <= names:
        return standings
    return {name: standing for name, standing in standings.items() if name in names}


def _is_refused_as_before(standing: Standing, listing: Listing) -> bool:
    """Tell whether *standing* is that of a setting that the service holds as it did then."""
    if standing.refusal is None or standing.canonical_name is None:
        return False
    listed = listing.named(standing.canonical_name)
    return listed is not None and listed == standing.listed
