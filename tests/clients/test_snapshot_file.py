"""The file of the last good state: whole or not at all, and refused unless it can be trusted."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from heksher.clients.snapshots.file import (
    SavedSetting,
    SnapshotFile,
    SnapshotUnusable,
    saved_content,
)

if TYPE_CHECKING:
    from pathlib import Path

SAVED: SavedSetting = {
    "canonical_name": "a",
    "default_read": "theirs",
    "default_origin": "service default",
    "default_value": 1,
    "rules": [{"rule_id": 1, "context_features": [("user", "x")], "value": 2}],
}


def content(**settings: Any) -> bytes:
    return saved_content(
        (settings or {"a": SAVED}).items(), saved_at=1000.0, feature_order=["user"], tracking=None
    )


@pytest.fixture
def file(tmp_path: Path) -> SnapshotFile:
    return SnapshotFile(tmp_path / "heksher.snapshot", 100)


def test_what_was_saved_is_loaded(file: SnapshotFile) -> None:
    file.save(content(a=SAVED, b={**SAVED, "canonical_name": None, "rules": []}))

    saved = file.load(1001.0)

    assert saved["feature_order"] == ["user"]
    assert saved["settings"]["a"] == SAVED
    assert list(saved["settings"]) == ["a", "b"]


def test_only_the_owner_may_read_it_however_often_it_is_written(file: SnapshotFile) -> None:
    old_mask = os.umask(0)
    try:
        for _ in range(2):
            file.save(content())

            assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    finally:
        os.umask(old_mask)


def test_nothing_else_is_left_in_the_folder(file: SnapshotFile) -> None:
    file.save(content())
    file.save(content())

    assert os.listdir(file.path.parent) == [file.path.name]


def test_a_write_that_fails_leaves_the_last_file_and_nothing_else(
    file: SnapshotFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.save(content())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        file.save(content(saved_at=2000.0))

    assert os.listdir(file.path.parent) == [file.path.name]
    assert file.load(1001.0)["saved_at"] == 1000.0


def test_it_is_synced_before_it_is_moved_to_its_place(
    file: SnapshotFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor: int) -> None:
        steps.append("sync")
        fsync(descriptor)

    def note_replace(source: str, target: str) -> None:
        steps.append("move")
        replace(source, target)

    monkeypatch.setattr("os.fsync", note_fsync)
    monkeypatch.setattr("os.replace", note_replace)
    file.save(content())

    assert steps == ["sync", "move", "sync"]


def damaged(raw: bytes) -> dict[str, bytes]:
    header, _, body = raw.partition(b"\n")
    return {
        "empty": b"",
        "cut in the header": raw[:20],
        "cut in the content": raw[:-5],
        "without content": header + b"\n",
        "one bit flipped": raw[:-3] + bytes([raw[-3] ^ 1]) + raw[-2:],
        "more than it should be": raw + b" ",
        "two files in one": raw + raw,
        "zeros": bytes(len(raw)),
        "random bytes": bytes(range(256)),
        "another format": raw.replace(b"heksher-snapshot/2", b"heksher-snapshot/3", 1),
        "the content alone": body,
    }


@pytest.mark.parametrize("kind", damaged(b"1234"))
def test_a_damaged_file_is_unusable(file: SnapshotFile, kind: str) -> None:
    file.save(content())
    file.path.write_bytes(damaged(file.path.read_bytes())[kind])

    with pytest.raises(SnapshotUnusable):
        file.load(1001.0)


def test_a_file_of_an_older_version_is_refused_and_says_so(file: SnapshotFile) -> None:
    file.path.write_bytes(b"heksher-snapshot/1 0 2\n{}")

    with pytest.raises(
        SnapshotUnusable, match=r"not heksher-snapshot/2: another version of heksher"
    ):
        file.load(0)


WRONG_SHAPES = {
    "no JSON": content() + b"]",
    "settings of another shape": content(a=[]),
    "a text for the time": content().replace(b"1000.0", b'"1000"'),
    "no time at all": content().replace(b"1000.0", b"NaN"),
    "an unknown default": content(a={**SAVED, "default_read": "someone's"}),
}


@pytest.mark.parametrize("kind", WRONG_SHAPES)
def test_a_file_of_another_shape_is_unusable_and_not_quoted(file: SnapshotFile, kind: str) -> None:
    file.save(WRONG_SHAPES[kind])

    with pytest.raises(SnapshotUnusable, match="damaged") as caught:
        file.load(1001.0)

    assert "someone" not in str(caught.value)


@pytest.mark.parametrize(("now", "is_usable"), [(1100.0, True), (1100.5, False), (990.0, True)])
def test_a_file_older_than_the_greatest_age_is_unusable(
    file: SnapshotFile, now: float, is_usable: bool
) -> None:
    file.save(content())

    if is_usable:
        file.load(now)
    else:
        with pytest.raises(SnapshotUnusable, match="100 s old, older than max_snapshot_age"):
            file.load(now)


@pytest.mark.parametrize("name", ["nowhere/file", "a\0b", "."])
def test_what_cannot_be_read_is_unusable(tmp_path: Path, name: str) -> None:
    with pytest.raises(SnapshotUnusable, match="cannot be read"):
        SnapshotFile(tmp_path / name, None).load(0)


WRITER = """
import sys
from pathlib import Path
from heksher.clients.snapshots.file import SnapshotFile, saved_content

path, letter = sys.argv[1:]
setting = {
    "canonical_name": None,
    "default_read": "theirs",
    "default_origin": "service default",
    "default_value": letter * 300_000,
    "rules": [],
}
file = SnapshotFile(Path(path), None)
for _ in range(25):
    file.save(saved_content([(letter, setting)], saved_at=0, feature_order=[], tracking=None))
"""


def test_processes_that_write_at_once_never_leave_a_torn_file(file: SnapshotFile) -> None:
    file.save(content())
    seen: set[str] = set()

    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(file.path), letter])  # noqa: S603
        for letter in "xyz"
    ]
    while any(writer.poll() is None for writer in writers):
        seen |= SnapshotFile(file.path).load(0)["settings"].keys()

    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert seen - {"a"}
    assert os.listdir(file.path.parent) == [file.path.name]


@pytest.mark.timeout(20)
def test_fifo_is_refused_at_once(file: SnapshotFile) -> None:
    os.mkfifo(file.path)

    with pytest.raises(SnapshotUnusable, match="expected a regular file"):
        file.load(1001.0)


def test_link_to_a_device_is_refused(file: SnapshotFile) -> None:
    file.path.symlink_to("/dev/zero")

    with pytest.raises(SnapshotUnusable, match="expected a regular file"):
        file.load(1001.0)


def test_huge_sparse_file_is_not_read(file: SnapshotFile) -> None:
    with file.path.open("wb") as sparse:
        sparse.truncate(3 * 2**30)

    with pytest.raises(SnapshotUnusable, match="larger than"):
        file.load(1001.0)


def test_file_that_anybody_may_write_is_not_believed(file: SnapshotFile) -> None:
    file.save(content())
    file.path.chmod(0o666)

    with pytest.raises(SnapshotUnusable, match="other users may write to it"):
        file.load(1001.0)


def test_file_from_the_future_does_not_pass_the_greatest_age(file: SnapshotFile) -> None:
    file.save(content())

    with pytest.raises(SnapshotUnusable, match="in the future"):
        file.load(100.0)


def test_what_a_killed_process_left_is_removed(file: SnapshotFile) -> None:
    left = file.path.parent / f".{file.path.name}.abc.heksher-tmp"
    left.write_bytes(b"half")
    os.utime(left, (0, 0))

    file.save(content())

    assert os.listdir(file.path.parent) == [file.path.name]
