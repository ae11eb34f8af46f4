"""A file that is written whole or not at all, and read only where nobody else can have written it."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from time import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

try:
    import fcntl
except ImportError:  # pragma: no cover  # Windows
    HAS_LOCKS = False
else:
    HAS_LOCKS = True

ABANDONED_AFTER: Final = 60.0
"""Seconds after which a temporary file that no process has locked counts as abandoned."""

_SUFFIX: Final = ".heksher-tmp"


class FileRefused(Exception):  # noqa: N818  # says what happened; never leaves the package
    """A file is not one to be believed; the text says why."""


def write_whole(path: Path, content: bytes) -> None:
    """Write *content* in place of what *path* holds, readable by this user only.

    It is written beside its place and moved there, so that readers and other writers never see a
    part of one, whenever this process is killed. What killed processes left behind is removed.

    Raises:
        OSError: The disk is full, read-only, or the folder does not exist.
        ValueError: No file can have this path.
    """
    _remove_abandoned(path)
    # mkstemp gives mode 0600 and a name that no other process has.
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_SUFFIX, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            # Held until the file is closed: it tells other processes that this one still writes.
            _lock(file.fileno())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
    _sync_folder(path.parent)


def read_trusted(path: Path, max_bytes: int) -> bytes:
    """Return the content of a regular file that only this user, or root, can have written.

    Never blocks for something else that has this path, such as a FIFO.

    Raises:
        FileRefused: It is not a regular file, or too large, somebody else's, or writable by others.
        OSError: It cannot be read.
        ValueError: No file can have this path.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags)
    with os.fdopen(handle, "rb") as file:
        _check(os.fstat(file.fileno()), max_bytes)
        # One byte more than allowed: it may have grown since.
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise FileRefused(_too_large(max_bytes))
    return content


def _check(found: os.stat_result, max_bytes: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise FileRefused("expected a regular file")
    if found.st_size > max_bytes:
        raise FileRefused(_too_large(max_bytes))
    if not hasattr(os, "geteuid"):  # pragma: no cover  # Windows
        return
    if found.st_uid not in (os.geteuid(), 0):
        raise FileRefused("it belongs to another user: expected this process's user, or root")
    is_ours = found.st_gid == os.getegid()
    if found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and not is_ours):
        raise FileRefused("other users may write to it: chmod go-w")


def _too_large(max_bytes: int) -> str:
    return f"it is larger than {max_bytes} bytes"


def _remove_abandoned(path: Path) -> None:
    """Remove temporary files of *path* that no living process is writing."""
    with suppress(OSError):
        for found in path.parent.glob(f".{_escaped(path.name)}.*{_SUFFIX}"):
            with suppress(OSError):
                if time() - found.stat().st_mtime > ABANDONED_AFTER and not _is_locked(found):
                    found.unlink()


def _escaped(name: str) -> str:
    return "".join(f"[{one}]" if one in "*?[" else one for one in name)


def _lock(handle: int) -> None:
    if HAS_LOCKS:
        # Not every file system has locks; without them, age alone tells.
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_locked(found: Path) -> bool:
    if not HAS_LOCKS:  # pragma: no cover  # Windows
        return False
    with found.open("rb") as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _sync_folder(folder: Path) -> None:
    """Make the move itself durable, where the system lets a folder be synced."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
