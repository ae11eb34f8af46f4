"""An exported snapshot: the values that production has, in a file for tests to meet.

The file has the format of a client's `snapshot_path`, so that file does as well. Another is made by
`export_snapshot`, in a running program or from a response of the service.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from time import time

from heksher import wire
from heksher.clients.published import Encoding
from heksher.clients.snapshot_file import (
    SavedSetting,
    SnapshotFile,
    SnapshotUnusable,
    saved_content,
)
from heksher.exceptions import UsageError
from heksher.settings import registry as registries
from heksher.settings.registry import Registry


def export_snapshot(
    path: str | os.PathLike[str],
    answer: bytes | str | None = None,
    *,
    registry: Registry = registries.DEFAULT,
) -> None:
    """Write the values that settings have now to *path*, for `--heksher-snapshot`.

    Args:
        path: The file; one that is there is replaced.
        answer: What the service answered to a query, to be checked and written; without one, what
            is published in this process, under the names that settings are declared by.
        registry: Whose settings, if not those of the process.

    Raises:
        UsageError: *answer* is not what a service answers to a query.
        OSError: The file cannot be written.
    """
    snapshot = registry.snapshot
    settings: Iterable[tuple[str, SavedSetting]]
    if answer is None:
        settings = Encoding().encode(registry.declared(), snapshot)
    else:
        settings = _answered(answer)
    content = saved_content(
        sorted(settings), saved_at=time(), feature_order=snapshot.feature_order, tracking=None
    )
    SnapshotFile(Path(path)).save(content)


def read_snapshot(path: str | os.PathLike[str]) -> Mapping[str, SavedSetting]:
    """Return the settings of an exported snapshot by name.

    Raises:
        UsageError: It cannot be read, or is none.
    """
    try:
        return SnapshotFile(Path(path)).load(time())["settings"]
    except SnapshotUnusable as unusable:
        raise UsageError(f"snapshot {path} cannot be used: {unusable}") from None


def _answered(answer: bytes | str) -> Iterator[tuple[str, SavedSetting]]:
    body = answer.encode() if isinstance(answer, str) else answer
    try:
        settings = wire.read(wire.QUERY_ANSWER, body)["settings"]
    except wire.WrongShape as wrong:
        raise UsageError(f"this is not what a service answers to a query: {wrong}") from None
    for name, queried in settings.items():
        saved: SavedSetting = {
            "canonical_name": name,
            "default_read": "theirs unless falsy",
            "default_origin": "service default",
            **queried,
        }
        yield name, saved
