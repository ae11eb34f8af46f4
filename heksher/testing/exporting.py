"""Exporting the values that settings have in production, for tests to run with.

The format is that of a client's `snapshot_path`, so such a file can be used as it is.
`export_snapshot` makes one in a running program, or from a response of the service.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from time import time

from heksher import wire
from heksher.clients.snapshots.content import Encoding
from heksher.clients.snapshots.file import (
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
    response: bytes | str | None = None,
    *,
    registry: Registry = registries.DEFAULT,
) -> None:
    """Write the values that settings have now to *path*, for `--heksher-snapshot`.

    Args:
        path: The file; an existing one is replaced.
        response: The body of the service's response to a query. Without one, the values published
            in this process are written, under the settings' declared names.
        registry: The registry of the settings.

    Raises:
        UsageError: *response* is not a response to a query.
        OSError: The file cannot be written.
    """
    snapshot = registry.snapshot
    settings: Iterable[tuple[str, SavedSetting]]
    if response is None:
        settings = Encoding().encode(registry.declared(), snapshot)
    else:
        settings = _responded(response)
    content = saved_content(
        sorted(settings), saved_at=time(), feature_order=snapshot.feature_order, tracking=None
    )
    SnapshotFile(Path(path)).save(content)


def read_snapshot(path: str | os.PathLike[str]) -> Mapping[str, SavedSetting]:
    """Return the settings of an exported snapshot by name.

    Raises:
        UsageError: The file cannot be read, or is not a snapshot.
    """
    try:
        return SnapshotFile(Path(path)).load(time())["settings"]
    except SnapshotUnusable as unusable:
        raise UsageError(f"snapshot {path} cannot be used: {unusable}") from None


def _responded(response: bytes | str) -> Iterator[tuple[str, SavedSetting]]:
    body = response.encode() if isinstance(response, str) else response
    try:
        settings = wire.read(wire.QUERY_RESPONSE, body)["settings"]
    except wire.WrongShape as wrong:
        raise UsageError(f"this is not a response to a query: {wrong}") from None
    for name, queried in settings.items():
        saved: SavedSetting = {
            "canonical_name": name,
            "default_read": "theirs unless falsy",
            "default_origin": "service default",
            **queried,
        }
        yield name, saved
