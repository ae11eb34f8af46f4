"""The snapshot on disk: writing what is published, and starting from it without the service."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Final

from heksher.clients.conversation.declaring.outcomes import (
    DeclarationOutcome,
    DefaultRead,
    Standing,
)
from heksher.clients.conversation.rule_compiler import Compiler
from heksher.clients.log_messages import (
    report_snapshot_incomplete,
    report_snapshot_unsaved,
    report_snapshot_unusable,
)
from heksher.clients.snapshots.content import Encoding, raw_values_of
from heksher.clients.snapshots.file import (
    SnapshotFile,
    SnapshotUnusable,
    reason_of,
    saved_content,
)
from heksher.clients.transport.endpoint import check_positive
from heksher.exceptions import InvalidClient
from heksher.settings.reading.state import Snapshot, Source

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from heksher.clients.conversation.memory import Session
    from heksher.clients.conversation.rule_compiler import Refreshed
    from heksher.clients.conversation.tracking import Tracking
    from heksher.clients.snapshots.content import RawValues
    from heksher.clients.snapshots.file import SavedSetting, SavedState
    from heksher.settings.declaration import Declaration
    from heksher.settings.registry import Registry
    from heksher.settings.rules.rule_set import RuleSet

RENEWED_AFTER: Final = 0.25
"""The fraction of the maximum age after which an unchanged file is written again."""


class LastGood:
    """Keeps what is published on disk.

    Args:
        path: The file, which need not exist.
        max_age: The age in seconds above which the file is not used; `None` for no limit.
        clock: Returns the time in seconds since 1970.

    Raises:
        InvalidClient: The age is not a number above zero.
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
        self._raw_values: dict[int, RawValues] = {}
        self._saved: _Saved | None = None
        self._saved_as_of = -inf
        self._is_failing = False
        self._left_out: frozenset[str] = frozenset()

    def saving(self, refreshed: Refreshed, registry: Registry) -> Callable[[], None] | None:
        """Return a function that writes a published refresh to disk, if that is necessary.

        It is if something changed, if the last attempt failed, or if the file would soon be too
        old although the service has confirmed its values. The function may take long. Any thread
        may call it, before the next refresh is published.
        """
        self._keep_raw_values(refreshed)
        is_new = self._is_new(refreshed)
        as_of = self._clock() - (monotonic() - refreshed.snapshot.taken_at)
        renewed_after = inf if self._file.max_age is None else self._file.max_age * RENEWED_AFTER
        if not is_new and as_of - self._saved_as_of < renewed_after:
            return None
        return partial(self._save, refreshed, registry, as_of)

    def _keep_raw_values(self, refreshed: Refreshed) -> None:
        rule_sets = refreshed.snapshot.rule_sets
        for index in self._raw_values.keys() - rule_sets.keys():
            del self._raw_values[index]
        for index, queried in refreshed.validated.items():
            if index in rule_sets:
                former = self._raw_values.get(index, {})
                self._raw_values[index] = raw_values_of(queried, rule_sets[index], former)

    def _is_new(self, refreshed: Refreshed) -> bool:
        """Return whether the file would change, and remember what it is made from."""
        snapshot = refreshed.snapshot
        # Not the refresh itself: it would keep settings alive that the program drops.
        saved = _Saved(
            snapshot.rule_sets, snapshot.feature_order, refreshed.tracking, refreshed.standings
        )
        former, self._saved = self._saved, saved
        return former is None or not saved.is_like(former)

    def _save(self, refreshed: Refreshed, registry: Registry, as_of: float) -> None:
        """Write the file; log a warning for the first of several failures in a row."""
        encoding = Encoding(refreshed.standings, self._raw_values)
        content = saved_content(
            encoding.encode(registry.readable().values(), refreshed.snapshot),
            saved_at=as_of,
            feature_order=refreshed.snapshot.feature_order,
            tracking=refreshed.tracking.as_json(),
        )
        try:
            self._file.save(content)
        except (OSError, ValueError) as error:
            self._saved_as_of, self._saved = -inf, None
            if not self._is_failing:
                report_snapshot_unsaved(self._file.path, reason_of(error))
            self._is_failing = True
            return
        self._saved_as_of, self._is_failing = as_of, False
        left_out = frozenset(encoding.left_out)
        report_snapshot_incomplete(self._file.path, sorted(left_out - self._left_out))
        self._left_out = left_out

    def load(self, session: Session, registry: Registry) -> Snapshot | None:
        """Return the saved state, compiled for the present settings; `None` if it cannot be used."""
        now = self._clock()
        try:
            saved = self._file.load(now)
            if saved["tracking"] not in (None, session.tracking.as_json()):
                raise SnapshotUnusable("it was written while other contexts were tracked")
        except SnapshotUnusable as unusable:
            report_snapshot_unusable(self._file.path, unusable)
            return None
        return self._compiled(saved, session, registry, age=max(0.0, now - saved["saved_at"]))

    def _compiled(
        self, saved: SavedState, session: Session, registry: Registry, *, age: float
    ) -> Snapshot:
        settings, tracking = registry.readable(), session.tracking
        compiler = Compiler(
            lambda: settings,
            registry.snapshot.rule_sets,
            feature_order=tuple(saved["feature_order"]),
            is_tracked=None if tracking.is_everything else tracking.is_tracked,
        )
        by_canonical_name = {one["canonical_name"]: one for one in saved["settings"].values()}
        for setting in settings.values():
            found = _found(setting, saved["settings"], by_canonical_name)
            if found is not None:
                compiler.compile(setting, found, _standing(setting, found))
        for index, queried in compiler.validated.items():
            self._raw_values[index] = raw_values_of(queried, compiler.rule_sets[index], {})
        return Snapshot(
            rule_sets=compiler.rule_sets,
            feature_order=tuple(saved["feature_order"]),
            source=Source.SNAPSHOT,
            taken_at=monotonic() - age,
        )


@dataclass(frozen=True, slots=True)
class _Saved:
    """What a file is made from."""

    rule_sets: Mapping[int, RuleSet[Any]]
    feature_order: tuple[str, ...]
    tracking: Tracking
    standings: Mapping[str, Standing]

    def is_like(self, former: _Saved) -> bool:
        """Return whether the files would be the same."""
        return (
            self.rule_sets is former.rule_sets
            and self.feature_order == former.feature_order
            and self.tracking == former.tracking
            and (self.standings is former.standings or self._names() == former._names())
        )

    def _names(self) -> dict[str, tuple[str | None, DefaultRead]]:
        return {
            name: (one.canonical_name, one.default_read) for name, one in self.standings.items()
        }


def _found(
    setting: Declaration,
    saved: Mapping[str, SavedSetting],
    by_canonical_name: Mapping[str | None, SavedSetting],
) -> SavedSetting | None:
    """Return the saved values of *setting*, under its name or alias; `None` if it has none."""
    names = [setting.name] if setting.alias is None else [setting.name, setting.alias]
    for named in (saved, by_canonical_name):
        for name in names:
            found = named.get(name)
            if found is not None and (found["rules"] or found["default_origin"] != "local default"):
                return found
    return None


def _standing(setting: Declaration, saved: SavedSetting) -> Standing:
    is_local = saved["default_origin"] == "local default"
    return Standing(
        setting.name,
        setting.index,
        saved["canonical_name"],
        DeclarationOutcome.UPTODATE,
        DefaultRead.OURS if is_local else DefaultRead(saved["default_read"]),
    )


def last_good(path: str | os.PathLike[str] | None, max_age: float | None) -> LastGood | None:
    """Return the `LastGood` of a client, if it was given a path.

    Raises:
        InvalidClient: The age is not a number above zero, or is given without a path.
    """
    if path is not None:
        return LastGood(path, max_age)
    if max_age is not None:
        raise InvalidClient("max_snapshot_age needs a snapshot_path")
    return None
