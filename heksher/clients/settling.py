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
from heksher.clients.effects import Breathe
from heksher.clients.listing import fetch_listing
from heksher.clients.settled import overview_of
from heksher.exceptions import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from heksher.clients.declaration_flow import ToSend
    from heksher.clients.declaring import Standing
    from heksher.clients.effects import Flow
    from heksher.clients.listing import Listing
    from heksher.clients.progress import Progress
    from heksher.clients.session import Session
    from heksher.clients.settled import Overview, Settled
    from heksher.settings.declared import DeclaredSetting


class Settling:
    """How settings stand, as one refresh finds it out; its session is only read.

    Args:
        session: What is known so far.
        settled: What of it still is as it was.
        living: Returns all living settings by index; called where they are needed.
        first: Whether answers that are not Heksher's are raised, instead of kept.
        progress: Is told how far the declarations have come.

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
        settled: Settled | None,
        living: Callable[[], Mapping[int, DeclaredSetting]],
        *,
        first: bool,
        progress: Progress,
    ) -> None:
        self._progress = progress
        self._session = session
        self._settled = settled
        self._first = first
        self.standings = session.standings if settled else _of_living(session, living())
        self.notes: dict[str, str] = {}
        self.malformed: list[str] = []
        self.errors: list[Exception] = []
        self.asked_for = 0.0
        self.missing_features = session.missing_features

    @cached_property
    def declared(self) -> list[DeclaredSetting]:
        """The settings to declare."""
        return self._session.registry.declared()

    @property
    def has_news(self) -> bool:
        """Whether any setting may stand otherwise than before."""
        return self.standings is not self._session.standings

    def overview(self) -> Overview | None:
        """Return how all settings stand; `None` if that is not known of one."""
        if self._settled is not None and not self.has_news:
            return self._settled.overview
        return overview_of(self.declared, self.standings)

    def needs_listing(self, *, thorough: bool) -> bool:
        """Tell whether the service's list is needed to know how all settings stand."""
        return self._session.needs_listing(self.overview(), thorough=thorough)

    def canonical_name(self, setting: DeclaredSetting) -> str | None:
        """Return the name to query *setting* by; `None` if it is not to be queried."""
        standing = self.standings.get(setting.name)
        return None if standing is None else standing.canonical_name

    def is_unusable(self, setting: DeclaredSetting) -> bool:
        """Tell whether *setting* has to read its declared default, whatever it read before."""
        standing = self.standings.get(setting.name)
        return standing is not None and standing.is_unusable

    def settle(
        self, listing: Listing, feature_order: Sequence[str], *, thorough: bool
    ) -> Flow[None]:
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
        undecided = self._session.undecided(usable, listing, thorough=thorough)
        waiting = [one for one in usable if one.name in waited]
        yield from self._decide(list(dict.fromkeys([*undecided, *waiting])), listing)

    def has_waited_for_features(self) -> bool:
        """Tell whether a setting was refused for context features that are there now."""
        overview = self.overview()
        return (
            overview is not None
            and overview.has_refusals
            and any(self._has_waited(one) for one in self.standings.values())
        )

    def _has_waited(self, standing: Standing) -> bool:
        return bool(standing.lacked_features) and all(
            name in self._session.context_features and name not in self.missing_features
            for name in standing.lacked_features
        )

    def look_again(self, settings: Iterable[DeclaredSetting]) -> Flow[None]:
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

    def _decide(self, settings: Sequence[DeclaredSetting], listing: Listing) -> Flow[None]:
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
            self.errors.append(error)
            self.standings.update({setting.name: post.standing for setting, post in overtaken})
            return
        self.malformed += malformed
        yield from self._declare([one for one, _ in overtaken if is_known(one, listing)], listing)

    def _declare(self, settings: Sequence[DeclaredSetting], listing: Listing) -> Flow[list[ToSend]]:
        """Declare what has to be; return what the service held otherwise by then."""
        declarer = Declarer(
            listing, self._session.randomness, self._session.degraded, self._progress
        )
        yield from declarer.declare(settings)
        if declarer.errors and self._first:
            raise declarer.errors[0]
        self.errors += declarer.errors
        self.asked_for = max(self.asked_for, declarer.asked_for)
        self.malformed += declarer.malformed
        self.standings.update(declarer.standings)
        self.notes.update(declarer.notes)
        for setting in settings if self.missing_features else ():
            self._note_lacked(setting)
        return declarer.overtaken

    def _note_lacked(self, setting: DeclaredSetting) -> None:
        """Note which context features a setting may have been refused for, by the service."""
        standing = self.standings[setting.name]
        lacked = [name for name in setting.configurable_features if name in self.missing_features]
        if lacked and standing.outcome is DeclarationOutcome.REFUSED:
            self.standings[setting.name] = replace(standing, lacked_features=tuple(lacked))

    def _has_features(self, setting: DeclaredSetting, feature_order: Sequence[str]) -> bool:
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


def _of_living(session: Session, living: Mapping[int, DeclaredSetting]) -> dict[str, Standing]:
    """Return how settings stand that still live."""
    names = {setting.name for setting in living.values()}
    return {name: standing for name, standing in session.standings.items() if name in names}


def _is_refused_as_before(standing: Standing, listing: Listing) -> bool:
    """Tell whether *standing* is that of a setting that the service holds as it did then."""
    if standing.refusal is None or standing.canonical_name is None:
        return False
    listed = listing.named(standing.canonical_name)
    return listed is not None and listed == standing.listed
