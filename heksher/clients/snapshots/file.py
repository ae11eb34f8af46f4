"""The snapshot file: the values that settings have, written by a client or by an export.

The first line names the format, and the SHA-256 and length of the content. The content is JSON:
the time, the order of context features, the tracked contexts, and the default and rules of each
setting. A file is written under a temporary name and then renamed, so that readers and other
writers never see a partial one. Only its owner may read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter, with_config
from pydantic_core import to_json
from typing_extensions import TypedDict

from heksher import wire
from heksher.clients.snapshots.durable_file import FileRefused, read_trusted, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

FORMAT: Final = "heksher-snapshot/2"

_NAME_OF_FORMAT: Final = b"heksher-snapshot/"


class SnapshotUnusable(Exception):  # noqa: N818  # says what happened; never leaves the package
    """A snapshot file is missing, damaged, in another format, or too old."""


@with_config(wire.STRICT)
class SavedSetting(TypedDict):
    """The default and the rules of a setting.

    `canonical_name` is the service's name for it, if it has one. `default_origin` is the default
    that was read; `default_read` decides which one a changed declaration reads.
    """

    canonical_name: str | None
    default_read: Literal["ours", "theirs", "theirs unless falsy"]
    default_origin: Literal["service default", "local default"]
    default_value: Any
    rules: list[wire.QueriedRule]


@with_config(wire.STRICT)
class SavedState(TypedDict):
    """The content of a snapshot file, with settings by declared name.

    `saved_at` is in seconds since 1970, UTC. `tracking` comes from `Tracking.as_json`.
    """

    saved_at: Annotated[float, Field(allow_inf_nan=False)]
    feature_order: list[str]
    tracking: dict[str, list[str] | None] | None
    settings: dict[str, SavedSetting]


_SAVED_STATE: Final[TypeAdapter[SavedState]] = TypeAdapter(SavedState)


MAX_BYTES: Final = 256 * 2**20
"""Bytes that a snapshot file may have; a larger one is not read."""

CLOCKS_DIFFER: Final = 60.0
"""Seconds by which clocks of machines that share a file may differ."""


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """The path of a snapshot file, and its maximum age.

    Attributes:
        path: The path.
        max_age: The maximum age in seconds; `None` for no limit.
    """

    path: Path
    max_age: float | None = None

    def save(self, content: bytes) -> None:
        """Replace the file by one with *content*, which `saved_content` makes.

        Raises:
            OSError: The disk is full or read-only, or the folder does not exist.
            ValueError: The path is invalid.
        """
        header = f"{FORMAT} {sha256(content).hexdigest()} {len(content)}\n".encode()
        write_whole(self.path, header + content)

    def load(self, now: float) -> SavedState:
        """Return the content of the file.

        Args:
            now: The present time in seconds since 1970.

        Raises:
            SnapshotUnusable: There is no file, or it cannot be used; the text says why.
        """
        try:
            raw = read_trusted(self.path, MAX_BYTES)
        except FileRefused as refused:
            raise SnapshotUnusable(str(refused)) from None
        except (OSError, ValueError) as error:
            raise SnapshotUnusable(f"it cannot be read: {reason_of(error)}") from None
        saved = _saved_state(raw)
        age = now - saved["saved_at"]
        if self.max_age is not None and age < -CLOCKS_DIFFER:
            # A clock that went back, or a wrong one: its age cannot be told.
            raise SnapshotUnusable("it was saved in the future by this machine's clock")
        if self.max_age is not None and age > self.max_age:
            raise SnapshotUnusable(f"it is {age:.0f} s old, older than max_snapshot_age")
        return saved


def _saved_state(raw: bytes) -> SavedState:
    header, _, content = raw.partition(b"\n")
    name = header.partition(b" ")[0]
    if not name.startswith(_NAME_OF_FORMAT):
        raise SnapshotUnusable("it is not a snapshot file")
    if name != FORMAT.encode():
        raise SnapshotUnusable(f"its format is not {FORMAT}: another version of heksher wrote it")
    if header != f"{FORMAT} {sha256(content).hexdigest()} {len(content)}".encode():
        raise SnapshotUnusable("it is damaged: its checksum does not match")
    try:
        return wire.read(_SAVED_STATE, content)
    except wire.WrongShape as wrong:
        raise SnapshotUnusable(f"it is damaged: {wrong}") from None


def reason_of(error: OSError | ValueError) -> str:
    """Return the message of *error*."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def saved_content(
    settings: Iterable[tuple[str, SavedSetting]],
    *,
    saved_at: float,
    feature_order: Iterable[str],
    tracking: Mapping[str, list[str] | None] | None,
) -> bytes:
    """Return the content of a snapshot file, with one setting a line."""
    head = {
        "saved_at": saved_at,
        "feature_order": list(feature_order),
        "tracking": tracking,
    }
    # One by one: a single call for all of them would block every other thread.
    entries = [b"%b: %b" % (to_json(name), to_json(setting)) for name, setting in settings]
    opened = to_json(head).removesuffix(b"}")
    return opened + b',"settings":{\n' + b",\n".join(entries) + b"\n}}\n"
