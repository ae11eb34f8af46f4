"""The conversation with the service, as flows: requests out, answers in, no I/O.

The clients drive them, publish what `refresh` returns, and only then commit it to their session,
so that a refresh that fails or is cancelled at any point leaves nothing behind.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache, partial
from time import monotonic
from typing import TYPE_CHECKING, Final

from heksher import wire
from heksher.clients.effects import Breathe, Request, ask, expect, send, without_frames
from heksher.clients.listing import LIST_REQUEST, read_listing
from heksher.clients.query_flow import Querying
from heksher.clients.querying import Plan
from heksher.clients.refreshing import Compiler, Refreshed
from heksher.clients.settling import Settling
from heksher.exceptions import InvalidContext, ServiceError, ServiceUnavailable
from heksher.settings.state import Snapshot, Source

if TYPE_CHECKING:
    from heksher.clients.effects import Answer, Flow
    from heksher.clients.session import Session

FEATURES_REQUEST: Final = Request("GET", "/api/v1/context_features")
HEALTH_REQUEST: Final = Request("GET", "/api/health")


_read_order: Final = partial(wire.read, wire.CONTEXT_FEATURES_ANSWER)


def ping() -> Flow[None]:
    """Ask the service whether it is healthy.

    Raises:
        ServiceError: It is not, or does not answer.
    """
    answer = yield from ask(HEALTH_REQUEST)
    expect(HEALTH_REQUEST, answer, partial(wire.read, wire.HEALTH_ANSWER))


def refresh(session: Session, *, first: bool = False, thorough: bool = False) -> Flow[Refreshed]:
    """Fetch all that is new, and return what is to be published.

    Args:
        session: What is known so far; it is only read.
        first: Whether the client is starting: then whatever goes wrong is raised.
        thorough: Whether refused declarations are tried again.

    Raises:
        InvalidContext: At the start, the service lacks a context feature of the client.
        ServiceError: The service does not answer, or not as Heksher. Where only some queries
            failed, their errors are in the result, and the settings they ask for stay as they are.
    """
    return (yield from _Refresh(session, first=first, thorough=thorough or first).run())


class _Refresh:
    """One refresh: first the order of context features, then declarations, then queries."""

    def __init__(self, session: Session, *, first: bool, thorough: bool) -> None:
        self._session = session
        self._first = first
        self._tracking = session.tracking
        session.registry.declare_pending()
        # Before any setting is looked at: what is declared from here on is for the next refresh.
        self._revision = session.registry.revision
        self._previous = session.registry.snapshot
        self._living = cache(session.registry.readable)
        plan = session.plan_for(self._revision, self._tracking)
        self._settling = Settling(session, plan, self._living, first=first, thorough=thorough)
        self._feature_order = self._previous.feature_order
        self._errors: list[Exception] = []

    def run(self) -> Flow[Refreshed]:
        yield from self._find_out_standings()
        compiler = Compiler(
            self._living,
            self._previous.rule_sets,
            feature_order=self._feature_order,
            is_tracked=None if self._tracking.is_everything else self._tracking.is_tracked,
        )
        if self._settling.plan is None:
            yield Breathe()
            compiler.drop_dead()
        if self._feature_order != self._previous.feature_order:
            yield from compiler.reorder()
        querying = Querying(
            self._session,
            self._settling,
            compiler,
            tracking=self._tracking,
            first=self._first,
        )
        # What changes on the service while its answers come is not in them: they are that old.
        asked_at = monotonic()
        yield from querying.run()
        yield from self._look_at_redefaulted(compiler, querying)
        unusable = self._settling.unusable()
        for setting in self._living().values() if unusable else ():
            if setting.name in unusable:
                compiler.forget(setting)
        yield Breathe()
        return self._refreshed(compiler, querying, asked_at)

    def _find_out_standings(self) -> Flow[None]:
        if self._settling.needs_listing():
            features, listed = yield from send([FEATURES_REQUEST, LIST_REQUEST])
            self._read_features(features)
            yield Breathe()
            yield from self._settle(listed)
        else:
            self._read_features((yield from ask(FEATURES_REQUEST)))
            if self._settling.has_waited_for_features():
                yield from self._settle((yield from ask(LIST_REQUEST)))

    def _look_at_redefaulted(self, compiler: Compiler, querying: Querying) -> Flow[None]:
        """Find out which versions the service holds by now, where it changed defaults.

        Only `status` needs it, since what is read is right already: no failure counts.
        """
        readings, standings = self._session.readings, self._session.standings
        redefaulted = {
            index
            for index, reading in compiler.readings.items()
            if index in readings and readings[index].raw_default != reading.raw_default
        }
        undecided = [
            one
            for one in (self._living().values() if redefaulted else ())
            if one.index in redefaulted
            and self._settling.standings[one.name] is standings.get(one.name)
        ]
        if undecided:
            # The queries that were sent may name a setting as it was called before.
            querying.batches = None
            with suppress(ServiceError):
                yield from self._settling.look_again(undecided)

    def _settle(self, listed: Answer) -> Flow[None]:
        try:
            listing, malformed = yield from read_listing(listed)
        except ServiceError as error:
            if self._first:
                raise
            # What is known already can be queried all the same.
            self._errors.append(without_frames(error))
            return
        self._settling.malformed += malformed
        yield from self._settling.settle(listing, self._feature_order)

    def _read_features(self, answer: Answer) -> None:
        try:
            body = expect(FEATURES_REQUEST, answer, _read_order)
        except ServiceError as error:
            if self._first or isinstance(error, ServiceUnavailable):
                raise
            # The order that was good until now is still the best there is.
            self._errors.append(without_frames(error))
            return
        order = tuple(body["context_features"])
        missing = tuple([name for name in self._session.context_features if name not in order])
        if missing and self._first:
            raise InvalidContext(
                f"the service has no context feature {list(missing)}: it has {list(order)}. Add"
                " them to the service, or correct the client's context_features"
            )
        # One that disappeared keeps its rules, as the earliest of all.
        vanished = [name for name in self._feature_order if name not in order]
        self._feature_order = (*vanished, *order)
        self._settling.missing_features = missing

    def _plan_again(self, compiler: Compiler, querying: Querying) -> Plan | None:
        """Return the queries for the next refresh, if all that could be was found out."""
        if self._errors or self._settling.errors or querying.batches is None:
            return None
        return Plan(self._revision, self._tracking, compiler.rule_sets, querying.batches)

    def _refreshed(self, compiler: Compiler, querying: Querying, asked_at: float) -> Refreshed:
        settling = self._settling
        errors = (*self._errors, *settling.errors, *querying.errors)
        snapshot = Snapshot(
            rule_sets=compiler.rule_sets,
            feature_order=self._feature_order,
            # What only a part of the service confirmed is as old as the rest, and from there.
            source=self._previous.source if errors else Source.SERVICE,
            taken_at=self._previous.taken_at if errors else asked_at,
        )
        return Refreshed(
            snapshot=snapshot,
            changed=frozenset(compiler.changed),
            etags=querying.etags,
            tracking=self._tracking,
            readings=compiler.readings,
            validated=compiler.validated,
            standings=settling.standings,
            plan=self._plan_again(compiler, querying),
            notes=settling.notes,
            malformed=tuple(settling.malformed),
            missing_features=settling.missing_features,
            errors=errors,
            asked_for=settling.asked_for,
        )
