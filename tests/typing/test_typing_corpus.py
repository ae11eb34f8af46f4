"""The typing corpus: large enough, and right under both type checkers in their strict modes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
BAD_MARK = "# pyright: ignore["


def lines(pattern: str, wanted: str) -> list[str]:
    return [
        line
        for path in sorted(FOLDER.glob(pattern))
        for line in path.read_text("utf-8").splitlines()
        if wanted in line
    ]


def test_corpus_has_enough_good_and_bad_lines() -> None:
    good, bad = lines("*_positive.py", "assert_type("), lines("*_negative.py", BAD_MARK)

    assert len(good) >= 70
    assert len(bad) >= 70
    assert len(lines("contexts_positive.py", "assert_type(")) >= 40
    assert len(lines("contexts_negative.py", BAD_MARK)) >= 40
    assert not lines("*_positive.py", "ignore[")
    assert all("# type: ignore[" in line for line in bad)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "checker",
    [
        ["mypy", "--config-file", str(FOLDER.parents[1] / "pyproject.toml")],
        ["pyright", "--pythonpath", sys.executable, "-p"],
    ],
    ids=["mypy", "pyright"],
)
def test_checker_flags_every_bad_line_and_no_good_one(checker: list[str]) -> None:
    """An ignore on a line without that error is an error itself, in both."""
    done = subprocess.run(  # noqa: S603  # our own tools
        [sys.executable, "-m", *checker, str(FOLDER)],
        check=False,
        capture_output=True,
        text=True,
        cwd=FOLDER.parents[1],
    )

    assert done.returncode == 0, done.stdout + done.stderr
