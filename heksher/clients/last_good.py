"""Keeping the last good state on disk, and starting from it while the service is away."""

from __future__ import annotations

from functools import partial
from math import inf
from pathlib import Path
from time import monotonic, time
from typing import TYPE_CHECKING, Final

from pydantic_core import to_json

from heksher.clients.declaring import DeclarationOutcome, DefaultRead, Standing
from heksher.clients.refreshing import Compiler
from heksher.clients.reporting import report_snapshot_unsaved, report_snapshot_unusable
from heksher.clients.snapshot_file import (
    SavedState,
    SnapshotFile,
    SnapshotUnusable,
    reason_of,
    saved_content,
)
from heksher.clients.transport import check_positive
from heksher.exceptions import InvalidClient
from heksher.settings.state import Snapshot, Source
from heksher.wire_parts import settings_in

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Container

    from heksher import wire
    from heksher.clients.refreshing import Refreshed
    from heksher.clients.session import Session
    from heksher.clients.snapshot_file import SavedStanding
    from heksher.settings.declaration import Declaration
    from heksher.settings.registry import Registry

RENEWED_AFTER: Final = 0.25
"""At which part of the greatest age a file is written anew, though nothing has changed."""


class LastGood:
    """What the service answered last, kept as bytes and on disk.

    Args:
        path: Where the file is, or is to be.
        max_age: Seconds after which the file is too old to start from; `None` for never.
        clock: Tells the time, in seconds since 1970.

    Raises:
        InvalidClient: The age is no number above zero.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        max_age: float | None,
        *,
        clock: Callable[[], float] = time,
    ) -> None:
        if max_age is not None:
            check_positive("max_snapshot_age", max_age)
        self._file = SnapshotFile(Path(path).absolute(), max_age)
        self._clock = clock
        self._bodies: dict[str, bytes] = {}
        # What a start found on disk, or an earlier query brought: it stands in for queries that
        # have not been answered since.
        self._former: dict[str, wire.QueriedSetting] = {}
        self._filter: str | None = None
        self._rest: object = None
        self._saved_as_of = -inf
        self._is_failing = False

    def saving(self, refreshed: Refreshed) -> Callable[[], None] | None:
        """Remember a published refresh; return what writes it to disk, if there is a reason to.

        That is: something changed, the last attempt to write failed, or what is on disk would soon
        be too old to start from although the service has confirmed it since.
        """
        is_new = self._take_in(refreshed)
        as_of = self._clock() - (monotonic() - refreshed.snapshot.taken_at)
        renewed_after = inf if self._file.max_age is None else self._file.max_age * RENEWED_AFTER
        if not is_new and as_of - self._saved_as_of < renewed_after:
            return None
        former = [to_json({"settings": self._former})] if self._former else []
        content = saved_content(
            [*former, *self._bodies.values()],
            saved_at=as_of,
            query_filter=refreshed.tracking.query_filter(),
            feature_order=refreshed.snapshot.feature_order,
            standings=refreshed.standings,
        )
        return partial(self._save, content, as_of)

    def _take_in(self, refreshed: Refreshed) -> bool:
        """Remember what a refresh brought, and tell whether anything of it is new."""
        before = self._bodies
        kept = {query: before[query] for query in refreshed.kept_queries if query in before}
        self._bodies = {**kept, **refreshed.bodies}
        for query in refreshed.bodies.keys() & kept.keys():
            # A part of the new answer was malformed.
            self._bodies[query] = _merged(kept[query], refreshed.bodies[query])
        query_filter = refreshed.tracking.query_filter()
        if refreshed.kept_queries <= self._bodies.keys() and not refreshed.errors:
            self._former = {}
        else:
            for query in before.keys() - self._bodies.keys():
                self._former |= settings_in(before[query])
        if self._filter not in (None, query_filter):
            self._former = {}
        self._filter = query_filter
        standings = {
            name: (one.canonical_name, one.default_read)
            for name, one in refreshed.standings.items()
        }
        former, self._rest = self._rest, (standings, refreshed.snapshot.feature_order, query_filter)
        return self._bodies != before or self._rest != former

    def _save(self, content: bytes, as_of: float) -> None:
        """Write *content* to disk; a failure costs one warning, however often it comes back."""
        try:
            self._file.save(content)
        except (OSError, ValueError) as error:
            self._saved_as_of, self._rest = -inf, None
            if not self._is_failing:
                report_snapshot_unsaved(self._file.path, reason_of(error))
            self._is_failing = True
        else:
            self._saved_as_of, self._is_failing = as_of, False

    def load(self, session: Session, registry: Registry) -> Snapshot | None:
        """Return the last good state, compiled for the settings of today; `None` if unusable."""
        now = self._clock()
        try:
            saved = self._file.load(now)
            if saved["query_filter"] not in (None, session.tracking.query_filter()):
                raise SnapshotUnusable("it was written while other contexts were tracked")
        except SnapshotUnusable as unusable:
            report_snapshot_unusable(self._file.path, unusable)
            return None
        self._filter = saved["query_filter"]
        for answer in saved["answers"]:
            self._former |= answer["settings"]
        return _compiled(saved, session, registry, age=max(0.0, now - saved["saved_at"]))


def _merged(former: bytes, partial_answer: bytes) -> bytes:
    """Return the settings of both answers to a query; of the newer one, where both have one."""
    return to_json({"settings": {**settings_in(former), **settings_in(partial_answer)}})


def _compiled(saved: SavedState, session: Session, registry: Registry, *, age: float) -> Snapshot:
    settings = registry.readable()
    queried = {name: one for answer in saved["answers"] for name, one in answer["settings"].items()}
    tracking, order = session.tracking, tuple(saved["feature_order"])
    compiler = Compiler(
        lambda: settings,
        registry.snapshot.rule_sets,
        feature_order=order,
        is_tracked=None if tracking.is_everything else tracking.is_tracked,
    )
    for index, setting in settings.items():
        stood = _stood(setting, saved, queried)
        if stood is None:
            continue
        standing = Standing(
            setting.name,
            index,
            stood["canonical_name"],
            DeclarationOutcome.UPTODATE,
            DefaultRead(stood["default_read"]),
        )
        compiler.compile(setting, queried[stood["canonical_name"]], standing)
    return Snapshot(
        rule_sets=compiler.rule_sets,
        feature_order=order,
        source=Source.SNAPSHOT,
        taken_at=monotonic() - age,
    )


def _stood(
    setting: Declaration, saved: SavedState, queried: Container[str]
) -> SavedStanding | None:
    """Return how *setting* stood when the state was saved, under its own name or its former one."""
    for name in (setting.name, setting.alias):
        stood = None if name is None else saved["standings"].get(name)
        if stood is not None and stood["canonical_name"] in queried:
            return stood
    return None


def last_good(path: str | os.PathLike[str] | None, max_age: float | None) -> LastGood | None:
    """Return the keeper of a client's last good state, if it is to have one.

    Raises:
        InvalidClient: The age is no number above zero, or there is no path that it is for.
    """
    if path is not None:
        return LastGood(path, max_age)
    if max_age is not None:
        raise InvalidClient("max_snapshot_age needs a snapshot_path")
    return None
