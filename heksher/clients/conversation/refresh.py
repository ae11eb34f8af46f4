"""The conversation with the service, as flows without I/O.

The clients drive them, publish the result of `refresh`, and only then commit it to their session.
A refresh that fails or is cancelled at any point therefore changes nothing.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache, partial
from time import monotonic
from typing import TYPE_CHECKING, Final

from heksher import wire
from heksher.clients.conversation.batches import Plan
from heksher.clients.conversation.declaring.progress import Progress
from heksher.clients.conversation.declaring.standings import Settling
from heksher.clients.conversation.effects import Breathe, Request, ask, send
from heksher.clients.conversation.query import Querying
from heksher.clients.conversation.responses import expect, without_frames
from heksher.clients.conversation.rule_compiler import Compiler, Refreshed
from heksher.clients.conversation.service_settings import LIST_REQUEST, read_listing
from heksher.exceptions import InvalidContext, ServiceError, ServiceUnavailable
from heksher.settings.reading.state import Snapshot, Source

if TYPE_CHECKING:
    from heksher.clients.conversation.effects import Answer, Flow
    from heksher.clients.conversation.memory import Session

FEATURES_REQUEST: Final = Request("GET", "/api/v1/context_features")
HEALTH_REQUEST: Final = Request("GET", "/api/health")


_read_order: Final = partial(wire.read, wire.CONTEXT_FEATURES_RESPONSE)


def ping() -> Flow[None]:
    """Ask the service whether it is healthy.

    Raises:
        ServiceError: It is not, or does not respond.
    """
    answer = yield from ask(HEALTH_REQUEST)
    expect(HEALTH_REQUEST, answer, partial(wire.read, wire.HEALTH_RESPONSE))


def refresh(
    session: Session,
    *,
    first: bool = False,
    thorough: bool = False,
    progress: Progress | None = None,
) -> Flow[Refreshed]:
    """Fetch what has changed, and return what to publish.

    Args:
        session: What the client remembers; only read.
        first: Whether the client is starting; any error is raised then.
        thorough: Whether refused declarations are retried.
        progress: Records how far the declarations have come.

    Raises:
        InvalidContext: At the start, the service lacks a context feature of the client.
        ServiceError: The service is unreachable, or its response is unexpected. If only some of the
            queries failed, their errors are in the result, and their settings keep their values.
    """
    progress = progress or Progress()
    thorough = thorough or first
    flow = _Refresh(session, first=first, thorough=thorough, progress=progress)
    return (yield from flow.run())


class _Refresh:
    """One refresh: first the order of context features, then declarations, then queries."""

    def __init__(
        self, session: Session, *, first: bool, thorough: bool, progress: Progress
    ) -> None:
        self._session = session
        self._first = first
        self._tracking = session.tracking
        session.registry.declare_pending()
        # Before any setting is read: what is declared from here on is left to the next refresh.
        self._revision = session.registry.revision
        self._previous = session.registry.snapshot
        self._living = cache(session.registry.readable)
        plan = session.plan_for(self._revision, self._tracking)
        self._settling = Settling(
            session, plan, self._living, first=first, thorough=thorough, progress=progress
        )
        self._feature_order = self._previous.feature_order
        self._errors: list[Exception] = []

    def run(self) -> Flow[Refreshed]:
        yield from self._determine_standings()
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
        # The values are as old as the requests: later changes may be missing from the responses.
        asked_at = monotonic()
        yield from querying.run()
        yield from self._list_redefaulted(compiler, querying)
        unusable = self._settling.unusable()
        for setting in self._living().values() if unusable else ():
            if setting.name in unusable:
                compiler.forget(setting)
        yield Breathe()
        return self._refreshed(compiler, querying, asked_at)

    def _determine_standings(self) -> Flow[None]:
        if self._settling.needs_listing():
            began = monotonic()
            features, listed = yield from send([FEATURES_REQUEST, LIST_REQUEST])
            seconds = monotonic() - began
            self._read_features(features)
            yield Breathe()
            yield from self._settle(listed, seconds)
        else:
            self._read_features((yield from ask(FEATURES_REQUEST)))
            if self._settling.has_waited_for_features():
                began = monotonic()
                listed = yield from ask(LIST_REQUEST)
                yield from self._settle(listed, monotonic() - began)

    def _list_redefaulted(self, compiler: Compiler, querying: Querying) -> Flow[None]:
        """List again the settings whose default has changed: their version may have, too.

        Only `status` needs it, since the values are right already, so a failure does not matter.
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
            # A setting may have another name from now on.
            querying.batches = None
            with suppress(ServiceError):
                yield from self._settling.look_again(undecided)

    def _settle(self, listed: Answer, seconds: float) -> Flow[None]:
        try:
            listing, malformed = yield from read_listing(listed, seconds)
        except ServiceError as error:
            if self._first:
                raise
            # Settings that are known already can still be queried.
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
            # The last known order remains in use.
            self._errors.append(without_frames(error))
            return
        order = tuple(body["context_features"])
        missing = tuple([name for name in self._session.context_features if name not in order])
        if missing and self._first:
            raise InvalidContext(
                f"the service lacks the context features {list(missing)}: it has {list(order)}. Add"
                " them to the service, or correct the client's context_features"
            )
        # A feature that disappeared keeps its rules, with the lowest precedence.
        vanished = [name for name in self._feature_order if name not in order]
        self._feature_order = (*vanished, *order)
        self._settling.missing_features = missing

    def _next_plan(self, compiler: Compiler, querying: Querying) -> Plan | None:
        """Return the queries for the next refresh, unless this one leaves something open."""
        if self._errors or self._settling.errors or querying.batches is None:
            return None
        return Plan(self._revision, self._tracking, compiler.rule_sets, querying.batches)

    def _refreshed(self, compiler: Compiler, querying: Querying, asked_at: float) -> Refreshed:
        settling = self._settling
        errors = (*self._errors, *settling.errors, *querying.errors)
        snapshot = Snapshot(
            rule_sets=compiler.rule_sets,
            feature_order=self._feature_order,
            # With errors, only part of the values is confirmed: source and age stay as they were.
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
            plan=self._next_plan(compiler, querying),
            notes=settling.notes,
            malformed=tuple(settling.malformed),
            missing_features=settling.missing_features,
            errors=errors,
            asked_for=settling.asked_for,
        )
