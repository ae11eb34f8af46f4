"""The last good state on disk: what the service answered last, to start from while it is away.

A file is one line that names the format and the content's SHA-256 and length, then the content:
JSON with the time, the order of context features, how each setting stands, and the answers of the
queries, just as they came. It is written beside its place and moved there whole, so that readers
and other writers never see a part of one; only its owner may read it.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from heksher import wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from heksher.clients.declaring import Standing

FORMAT: Final = "heksher-snapshot/1"

_MODE: Final = 0o600


class SnapshotUnusable(Exception):  # noqa: N818  # says what happened; never leaves the package
    """A snapshot file is not there, damaged, of another format, or too old."""


@with_config(wire.STRICT)
class SavedStanding(TypedDict):
    """How a setting stood: the service's name for it, and which default it reads."""

    canonical_name: str
    default_read: Literal["ours", "theirs", "theirs unless falsy"]


@with_config(wire.STRICT)
class SavedState(TypedDict):
    """The content of a snapshot file.

    `saved_at` is in seconds since 1970, in UTC; `query_filter` is what the answers were filtered
    by.
    """

    saved_at: Annotated[float, Field(allow_inf_nan=False)]
    query_filter: str | None
    feature_order: list[str]
    standings: dict[str, SavedStanding]
    answers: list[wire.QueryAnswer]


_SAVED_STATE: Final[TypeAdapter[SavedState]] = TypeAdapter(SavedState)


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """A snapshot file's place, and how old one may be.

    Attributes:
        path: Where it is.
        max_age: Seconds; `None` for any age.
    """

    path: Path
    max_age: float | None

    def save(self, content: bytes) -> None:
        """Write *content*, as `saved_content` makes it, in place of the last.

        Raises:
            OSError: The disk is full, read-only, or the folder is not there.
            ValueError: No file can have this path.
        """
        header = f"{FORMAT} {sha256(content).hexdigest()} {len(content)}\n".encode()
        # mkstemp gives mode 0600 and a name that no other process has.
        handle, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(header + content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self.path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise
        _sync_folder(self.path.parent)

    def load(self, now: float) -> SavedState:
        """Return what was saved last.

        Args:
            now: The present time, in seconds since 1970.

        Raises:
            SnapshotUnusable: There is none, or it cannot be used; the text says why.
        """
        try:
            raw = self.path.read_bytes()
        except (OSError, ValueError) as error:
            raise SnapshotUnusable(f"it cannot be read: {reason_of(error)}") from None
        header, _, content = raw.partition(b"\n")
        if not header.startswith(FORMAT.encode() + b" "):
            raise SnapshotUnusable("it is of another format")
        if header != f"{FORMAT} {sha256(content).hexdigest()} {len(content)}".encode():
            raise SnapshotUnusable("it is damaged: its checksum is another")
        try:
            saved = wire.read(_SAVED_STATE, content)
        except wire.WrongShape as wrong:
            raise SnapshotUnusable(f"it is damaged: {wrong}") from None
        age = now - saved["saved_at"]
        if self.max_age is not None and age > self.max_age:
            raise SnapshotUnusable(f"it is {age:.0f} s old, older than max_snapshot_age")
        return saved


def reason_of(error: OSError | ValueError) -> str:
    """Return what is wrong with a file, in words."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _sync_folder(folder: Path) -> None:
    """Make the move itself durable, where the system lets a folder be synced."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def saved_content(
    answers: Iterable[bytes],
    *,
    saved_at: float,
    query_filter: str | None,
    feature_order: Iterable[str],
    standings: Mapping[str, Standing],
) -> bytes:
    """Return the content of a snapshot file; *answers* go in as they are."""
    head: dict[str, Any] = {
        "saved_at": saved_at,
        "query_filter": query_filter,
        "feature_order": list(feature_order),
        "standings": {
            name: {
                "canonical_name": standing.canonical_name,
                "default_read": standing.default_read.value,
            }
            for name, standing in standings.items()
            if standing.canonical_name is not None
        },
    }
    opened = json.dumps(head).encode().removesuffix(b"}")
    return opened + b', "answers": [' + b",".join(answers) + b"]}"
