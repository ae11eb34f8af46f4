"""The file format of a snapshot: the values that settings have, written by a client or an export.

A file is one line that names the format and the content's SHA-256 and length, then the content:
JSON with the time, the order of context features, what was tracked, and for each setting its
default and rules, as `published` encodes them. It is written beside its place and moved there
whole, so that readers and other writers never see a part of one; only its owner may read it.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter, with_config
from pydantic_core import to_json
from typing_extensions import TypedDict

from heksher import wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

FORMAT: Final = "heksher-snapshot/2"

_NAME_OF_FORMAT: Final = b"heksher-snapshot/"


class SnapshotUnusable(Exception):  # noqa: N818  # says what happened; never leaves the package
    """A snapshot file is not there, damaged, of another format, or too old."""


@with_config(wire.STRICT)
class SavedSetting(TypedDict):
    """What a setting had.

    `canonical_name` is the service's name for it, if it had one; `default_origin` says whose
    default applied, and `default_read` which one it would read of another declared default.
    """

    canonical_name: str | None
    default_read: Literal["ours", "theirs", "theirs unless falsy"]
    default_origin: Literal["service default", "local default"]
    default_value: Any
    rules: list[wire.QueriedRule]


@with_config(wire.STRICT)
class SavedState(TypedDict):
    """The content of a snapshot file: settings by declared name.

    `saved_at` is in seconds since 1970, in UTC; `tracking` is `Tracking.as_json`.
    """

    saved_at: Annotated[float, Field(allow_inf_nan=False)]
    feature_order: list[str]
    tracking: dict[str, list[str] | None] | None
    settings: dict[str, SavedSetting]


_SAVED_STATE: Final[TypeAdapter[SavedState]] = TypeAdapter(SavedState)


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """A snapshot file's place, and how old one may be.

    Attributes:
        path: Where it is.
        max_age: Seconds; `None` for any age.
    """

    path: Path
    max_age: float | None = None

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
                file.write(header)
                file.write(content)
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
        saved = _saved_state(raw)
        age = now - saved["saved_at"]
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
    settings: Iterable[tuple[str, SavedSetting]],
    *,
    saved_at: float,
    feature_order: Iterable[str],
    tracking: Mapping[str, list[str] | None] | None,
) -> bytes:
    """Return the content of a snapshot file, one line for each setting."""
    head = {
        "saved_at": saved_at,
        "feature_order": list(feature_order),
        "tracking": tracking,
    }
    # One by one: what turns all into JSON at once lets no other thread run meanwhile.
    entries = [b"%b: %b" % (to_json(name), to_json(setting)) for name, setting in settings]
    opened = to_json(head).removesuffix(b"}")
    return opened + b',"settings":{\n' + b",\n".join(entries) + b"\n}}\n"
