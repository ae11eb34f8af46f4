"""A test that hangs fails, in a thread as in C, and what hangs is named; as `pyproject.toml` has it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HANGING = """
import ctypes, threading

def wait_for_ever():
    threading.Event().wait()

def test_thread():
    thread = threading.Thread(target=wait_for_ever, daemon=True)
    thread.start()
    thread.join()

def stay_in_c(library):
    mutex = ctypes.create_string_buffer(64)
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_lock(mutex)

def test_c():
    stay_in_c(ctypes.CDLL(None))

def test_c_that_lets_no_thread_run():
    stay_in_c(ctypes.PyDLL(None))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="hangs by means of pthreads")
@pytest.mark.parametrize(
    ("test", "named"),
    [
        ("test_thread", "in wait_for_ever"),
        ("test_c", "in stay_in_c"),
        ("test_c_that_lets_no_thread_run", "in stay_in_c"),
    ],
)
def test_hang_fails_and_is_named(tmp_path: Path, test: str, named: str) -> None:
    (tmp_path / "test_hanging.py").write_text(HANGING)
    quick = ["-o", "timeout=1", "-o", "faulthandler_timeout=3", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), *quick]

    ended = subprocess.run(  # noqa: S603  # this very program
        [*command, f"--rootdir={tmp_path}", f"test_hanging.py::{test}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert ended.returncode == 1
    assert named in ended.stdout + ended.stderr
