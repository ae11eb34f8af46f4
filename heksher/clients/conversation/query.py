"""Querying the rules of all settings, as a flow; a bad response affects only its own settings."""

from __future__ import annotations

import re
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import httpx

from heksher import wire
from heksher.clients.conversation.batches import batches
from heksher.clients.conversation.declaring.outcomes import DeclarationOutcome, DefaultRead
from heksher.clients.conversation.effects import AT_ONCE, Breathe, Send
from heksher.clients.conversation.responses import (
    read_body,
    received,
    status_error,
    unexpected,
    without_frames,
)
from heksher.exceptions import ServiceError, ServiceUnavailable, UnexpectedResponse

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from heksher.clients.conversation.batches import Batch
    from heksher.clients.conversation.declaring.outcomes import Standing
    from heksher.clients.conversation.declaring.standings import Settling
    from heksher.clients.conversation.effects import Answer, Flow, Request
    from heksher.clients.conversation.memory import Session
    from heksher.clients.conversation.rule_compiler import Compiler
    from heksher.clients.conversation.tracking import Tracking
    from heksher.settings.declaration import Declaration
    from heksher.wire import QueriedSetting

MAX_LOOKS: Final = 3
"""How often one refresh lists the settings again because a query did not know a name."""

MAX_HALVINGS: Final = 32
"""How often one refresh halves a batch to find a name that is listed but cannot be queried."""

COMPILED_IN_ONE_GO: Final = 0.003
"""Seconds of compiling after which others may run; a single setting is not interrupted."""

SETTINGS_IN_ONE_GO: Final = 2_000
"""How many settings are looked up before others may run: a few milliseconds."""

_NAMES_SHOWN: Final = 3

_ETAG: Final = re.compile(r"[!-~]{1,500}")
"""An ETag that can be sent back: ASCII, and of a sensible length."""


_NEWLY_DECLARED: Final = frozenset({DeclarationOutcome.CREATED, DeclarationOutcome.UPGRADED})


class Querying:
    """The queries of one refresh.

    Args:
        session: What the client remembers; only read.
        settling: How the settings stand; consulted again when a query does not know them.
        compiler: Compiles the responses.
        tracking: What is tracked.
        first: Whether the first error is raised instead of kept.

    Attributes:
        batches: The queries for all settings; `None` if other queries are needed next time.
        etags: The ETag of each query whose response is current.
        requeried: The declared names of the settings that were compiled.
        errors: The errors that were kept.
    """

    def __init__(
        self,
        session: Session,
        settling: Settling,
        compiler: Compiler,
        *,
        tracking: Tracking,
        first: bool,
    ) -> None:
        self._session = session
        self._settling = settling
        self._compiler = compiler
        self._first = first
        self._tracking = tracking
        self._plan = settling.plan
        self._filter = tracking.query_filter()
        self._by_name: dict[str | None, list[Declaration]] = {}
        self._looks = 0
        self._halvings = 0
        self._unknown: list[Batch] = []
        self._absent: dict[str, Request] = {}
        self._redefaulted: set[str] = set()
        self._doubted: set[str] = set()
        self.batches: tuple[Batch, ...] | None = None
        self.etags: dict[str, str] = {}
        self.requeried: set[str] = set()
        self.errors: list[Exception] = []

    def run(self) -> Flow[None]:
        """Query all settings that the service knows, and some of them again if necessary."""
        yield from self._query()
        for setting in self._living() if self._doubted else ():
            if setting.name in self._doubted:
                self._compiler.readings.pop(setting.index, None)

    def _living(self) -> Collection[Declaration]:
        return self._compiler.living().values()

    def _query(self) -> Flow[None]:
        if self._plan is None:
            yield from self._find_by_name()
            pending = self._batches(self._living())
        else:
            pending = list(self._plan.batches)
        self.batches = tuple(pending)
        while pending:
            self._unknown, self._absent = [], {}
            for start in range(0, len(pending), AT_ONCE):
                if not (yield from self._send(pending[start : start + AT_ONCE])):
                    self._doubt(self._redefaulted)
                    self._keep_etags(pending[start + AT_ONCE :])
                    return
            pending = []
            if self._unknown or self._absent or self._redefaulted:
                pending = yield from self._query_unknown()

    def _batches(self, settings: Iterable[Declaration]) -> list[Batch]:
        names = dict.fromkeys(self._settling.canonical_name(setting) for setting in settings)
        return batches([name for name in names if name is not None], self._filter)

    def _settings_of(self, names: Iterable[str]) -> list[Declaration]:
        """Return the settings that are queried under *names*."""
        return [one for settings in self._asked_by(names).values() for one in settings]

    def _asked_by(self, names: Iterable[str]) -> dict[str, list[Declaration]]:
        """Return the settings that are queried under each of *names*."""
        return {name: self._by_name.get(name, []) for name in names}

    def _find_by_name(self) -> Flow[None]:
        """Look up under which name each setting is queried."""
        found: dict[str | None, list[Declaration]] = {}
        for place, setting in enumerate(self._living()):
            if place % SETTINGS_IN_ONE_GO == 0:
                yield Breathe()
            found.setdefault(self._settling.canonical_name(setting), []).append(setting)
        self._by_name = found

    def _send(self, asked: list[Batch]) -> Flow[bool]:
        """Send a few queries and read the responses; return whether there was any."""
        requests = [batch.request(self._etag(batch)) for batch in asked]
        answers: list[Answer] = yield Send(requests)
        reachable = False
        for batch, request in zip(asked, requests, strict=True):
            # Removed from the list, so that each body is freed once it has been read.
            answer = answers.pop(0)
            try:
                yield from self._read(batch, request, answer)
                reachable = True
            except ServiceError as error:
                self._fail(error)
                reachable = reachable or not isinstance(error, ServiceUnavailable)
        return reachable

    def _keep_etags(self, batches: Iterable[Batch]) -> None:
        """Keep the ETags of batches that are not sent because the service is unreachable."""
        for batch in batches:
            etag = self._etag(batch)
            if etag is not None:
                self.etags[batch.query] = etag

    def _fail(self, error: ServiceError) -> None:
        if not self._first:
            self.errors.append(without_frames(error))
            return
        try:
            raise error
        finally:
            del error  # its traceback holds this frame

    def _etag(self, batch: Batch) -> str | None:
        """Return the ETag to send, if the values that it stands for are still in use."""
        etag = self._session.etags.get((self._tracking, batch.query))
        if etag is None or self._plan is not None:
            return etag
        if not all(map(self._is_as_read, self._settings_of(batch.names))):
            return None
        return etag

    def _is_as_read(self, setting: Declaration) -> bool:
        """Return whether a setting has values, and would read the same response the same way."""
        reading = self._session.readings.get(setting.index)
        standing = self._settling.standings[setting.name]
        return (
            reading is not None
            and reading.validators == setting.validators
            and reading.is_local_default is standing.reads_local_default(setting)
            and self._compiler.has_former(setting.index)
        )

    def _read(self, batch: Batch, request: Request, answer: Answer) -> Flow[None]:
        response = received(request, answer)
        if response.status_code == httpx.codes.NOT_FOUND:
            self._unknown.append(batch)
        elif response.status_code == httpx.codes.NOT_MODIFIED:
            if "If-None-Match" not in request.headers:
                raise unexpected(request, response, "the request was not conditional")
            self.etags[batch.query] = request.headers["If-None-Match"]
        elif response.status_code == httpx.codes.OK:
            yield from self._read_rules(batch, request, response)
        else:
            raise status_error(request, response)

    def _read_rules(self, batch: Batch, request: Request, response: httpx.Response) -> Flow[None]:
        yield Breathe()
        if not self._by_name:
            yield from self._find_by_name()
        asked = self._asked_by(batch.names)
        found, malformed = read_body(request, response, wire.read_query)
        until = perf_counter() + COMPILED_IN_ONE_GO
        for name, queried in found.items():
            if perf_counter() > until:
                yield Breathe()
                until = perf_counter() + COMPILED_IN_ONE_GO
            self._compile(asked.get(name, ()), queried)
        for name in asked.keys() - found.keys() - malformed.keys():
            self._absent[name] = request
        wrong_names = malformed.keys() & asked.keys()
        for name in sorted(wrong_names):
            self._fail(unexpected(request, response, f"setting {name!r}: {malformed[name]}"))
        etag = response.headers.get("etag", "")
        if _ETAG.fullmatch(etag) and not wrong_names and self._is_whole(batch):
            self.etags[batch.query] = etag

    def _is_whole(self, batch: Batch) -> bool:
        """Return whether all settings of *batch* arrived, and none of them is in doubt."""
        if self._absent.keys() & set(batch.names):
            return False
        return not any(setting.name in self._doubted for setting in self._settings_of(batch.names))

    def _compile(self, settings: Iterable[Declaration], queried: QueriedSetting) -> None:
        for setting in settings:
            if self._has_another_default(setting, queried["default_value"]):
                self._redefaulted.add(setting.name)
            self._compiler.compile(setting, queried, self._settling.standings[setting.name])
            self.requeried.add(setting.name)

    def _has_another_default(self, setting: Declaration, raw: Any) -> bool:
        """Return whether a default changed that ours overrides: the version may have changed too."""
        standing = self._settling.standings[setting.name]
        if (
            standing.default_read is not DefaultRead.THEIRS_UNLESS_FALSY
            or not standing.reads_local_default(setting)
            or setting.name in self.requeried
        ):
            return False
        reading = self._session.readings.get(setting.index)
        if reading is not None:
            return bool(reading.raw_default != raw)
        listed = [standing.listed.default_value] if standing.listed else []
        return raw not in [setting.raw_default, *listed]

    def _query_unknown(self) -> Flow[list[Batch]]:
        """List again the settings that a query did not know; return the queries to send now."""
        if not self._by_name:
            yield from self._find_by_name()
        unknown = [(batch, self._settings_of(batch.names)) for batch in self._unknown]
        absent = {
            one.name: name for name, asked in self._asked_by(self._absent).items() for one in asked
        }
        before = dict(self._settling.standings)
        names = {one.name for _, settings in unknown for one in settings}
        names |= absent.keys() | self._redefaulted
        if not (yield from self._look_again(names)):
            self._doubt(self._redefaulted)
        # Settings may have other names now.
        self.batches, self._plan = None, None
        yield from self._find_by_name()
        pending: list[Batch] = []
        for batch, settings in unknown:
            pending += self._again(batch, settings, before)
        moved = self._moved(before, absent.keys() | self._redefaulted)
        self._redefaulted = set()
        for name in sorted(absent.keys() - {one.name for one in moved}):
            request = self._absent[absent[name]]
            self._fail(UnexpectedResponse(f"the response to {request} lacks setting {name!r}"))
        return [*pending, *self._batches(moved)]

    def _look_again(self, names: set[str]) -> Flow[bool]:
        """Determine again how settings stand; return whether that was possible."""
        if self._looks == MAX_LOOKS:
            return False
        self._looks += 1
        try:
            yield from self._settling.look_again(
                [one for one in self._living() if one.name in names]
            )
        except ServiceError as error:
            self._looks = MAX_LOOKS
            self._fail(error)
            return False
        return True

    def _doubt(self, names: set[str]) -> None:
        """Have the next refresh check the defaults of these settings again."""
        self._doubted |= names
        if names:
            self.etags.clear()

    def _moved(self, before: Mapping[str, Standing], names: Iterable[str]) -> list[Declaration]:
        """Return those of the settings whose name, default or outcome has changed."""
        wanted, now = set(names), self._settling.standings
        return [
            one
            for one in self._living()
            if one.name in wanted
            and (
                now[one.name].canonical_name != before[one.name].canonical_name
                or now[one.name].default_read is not before[one.name].default_read
                or now[one.name].outcome is not before[one.name].outcome
            )
        ]

    def _again(
        self, batch: Batch, settings: list[Declaration], before: Mapping[str, Standing]
    ) -> list[Batch]:
        """Return the queries that replace a batch with a name unknown to the service."""
        now = self._batches(settings)
        if now != [batch] or any(self._is_declared_again(one, before) for one in settings):
            return now
        if len(batch.names) > 1 and self._halvings < MAX_HALVINGS:
            # All are listed, but cannot be queried: close in on the one that is meant.
            self._halvings += 1
            return batch.halves()
        request = batch.request(None)
        named = ", ".join(repr(name) for name in batch.names[:_NAMES_SHOWN])
        self._fail(
            UnexpectedResponse(
                f"{request} returned 404 for settings that the service lists, one of:"
                f" {named}{', ...' if len(batch.names) > _NAMES_SHOWN else ''}"
            )
        )
        return []

    def _is_declared_again(self, setting: Declaration, before: Mapping[str, Standing]) -> bool:
        standing = self._settling.standings[setting.name]
        return standing is not before[setting.name] and standing.outcome in _NEWLY_DECLARED
