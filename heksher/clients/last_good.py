"""Keeping the last good state on disk, and starting from it while the service is away."""

from __future__ import annotations

from pathlib import Path
from time import monotonic, time
from typing import TYPE_CHECKING

from heksher.clients.declaring import DeclarationOutcome, DefaultRead, Standing
from heksher.clients.refreshing import Compiler
from heksher.clients.reporting import report_snapshot_unsaved, report_snapshot_unusable
from heksher.clients.snapshot_file import (
    SavedState,
    SnapshotFile,
    SnapshotUnusable,
    saved_content,
)
from heksher.clients.transport import check_positive
from heksher.exceptions import InvalidClient
from heksher.settings.state import Snapshot, Source

if TYPE_CHECKING:
    import os

    from heksher.clients.refreshing import Refreshed
    from heksher.clients.session import Session
    from heksher.settings.registry import Registry


class LastGood:
    """What the service answered last, kept as bytes and on disk.

    Args:
        path: Where the file is, or is to be.
        max_age: Seconds after which the file is too old to start from; `None` for never.

    Raises:
        InvalidClient: The age is no number above zero, or there is no path that it is for.
    """

    def __init__(self, path: str | os.PathLike[str], max_age: float | None) -> None:
        if max_age is not None:
            check_positive("max_snapshot_age", max_age)
        self._file = SnapshotFile(Path(path).absolute(), max_age)
        self._bodies: dict[str, bytes] = {}
        self._standings: object = None
        self._is_failing = False

    def content(self, session: Session, refreshed: Refreshed) -> bytes | None:
        """Remember a published refresh; return what to save of it, if anything changed."""
        kept = {
            query: self._bodies[query] for query in refreshed.kept_queries if query in self._bodies
        }
        bodies = {**kept, **refreshed.bodies}
        saw_nothing_new = not refreshed.bodies and bodies.keys() == self._bodies.keys()
        standings = {
            name: (one.canonical_name, one.default_read)
            for name, one in refreshed.standings.items()
        }
        if saw_nothing_new and standings == self._standings:
            return None
        self._bodies, self._standings = bodies, standings
        return saved_content(
            bodies.values(),
            saved_at=time(),
            query_filter=session.tracking.query_filter(),
            feature_order=refreshed.snapshot.feature_order,
            standings=refreshed.standings,
        )

    def save(self, content: bytes) -> None:
        """Write *content* to disk; a failure costs one warning, however often it comes back."""
        try:
            self._file.save(content)
        except OSError as error:
            if not self._is_failing:
                report_snapshot_unsaved(self._file.path, error)
            self._is_failing = True
        else:
            self._is_failing = False

    def load(self, session: Session, registry: Registry) -> Snapshot | None:
        """Return the last good state, compiled for the settings of today; `None` if unusable."""
        now = time()
        try:
            saved = self._file.load(now)
            own_filter = session.tracking.query_filter()
            if saved["query_filter"] not in (None, own_filter):
                raise SnapshotUnusable("it was written while other contexts were tracked")
        except SnapshotUnusable as unusable:
            report_snapshot_unusable(self._file.path, unusable)
            return None
        return _compiled(saved, session, registry, age=max(0.0, now - saved["saved_at"]))


def _compiled(saved: SavedState, session: Session, registry: Registry, *, age: float) -> Snapshot:
    settings = registry.readable()
    queried = {name: one for answer in saved["answers"] for name, one in answer["settings"].items()}
    tracking, order = session.tracking, tuple(saved["feature_order"])
    compiler = Compiler(
        settings,
        registry.snapshot.rule_sets,
        feature_order=order,
        is_tracked=None if tracking.is_everything else tracking.is_tracked,
    )
    for index, setting in settings.items():
        stood = saved["standings"].get(setting.name)
        if stood is None or stood["canonical_name"] not in queried:
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
