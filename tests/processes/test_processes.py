"""Processes, event loops and threads: the matrix of `docs/reliability.md`, row by row."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = Path(__file__).with_name("programs.py")
WOKEN = {
    "at first": 1,
    "told of a change": True,
    "then": 7,
    "age is known": True,
    "started": True,
    "said": 1,
    "threads": ["MainThread", "heksher"],
}
"""What a forked child tells: it read the last values at once, and the newest soon after."""

GIVEN = {"child": [1, 1, False, True, [True], True, True, 0, 7], "parent": [7, 0]}
"""What a child tells whose client was given its connections: it says once that nothing is updated."""

EXPECTED: dict[str, Any] = {
    "preload": {"workers": [WOKEN, WOKEN, WOKEN], "parent": 1, "said": 0},
    "given_http_client": GIVEN,
    "given_transport": GIVEN,
    "grandchild_of_a_child_with_a_client_of_its_own": 7,
    "grandchild": WOKEN,
    "grandchild_of_a_reader": {**WOKEN, "said": 2},
    "reload_in_a_child": [7, 1, 2],
    "changes_in_a_child": [["processes.changes_in_a_child"], 7],
    "close_in_a_child": {"child": [1, False], "parent": 7},
    "fork_while_starting": {
        "child": {**WOKEN, "then": 8},
        "parent": 8,
    },
    "fork_under_locks": [7] * 20,
    "child_that_reads_nothing": {"child": [1, []], "printed": "1\n", "parent": 0},
    "parent_is_as_fast_as_before": "list",
    "multiprocessing_fork": {"child": WOKEN, "exit code": 0},
    "multiprocessing_forkserver": {"child": [7, 0], "exit code": 0},
    "multiprocessing_spawn": {"child": [7, 0], "exit code": 0},
    "multiprocessing_pool": [7, 7, 7, 7],
    "async_before_fork": {"before": [1, 1, False, True, 1], "with a client of its own": 7},
    "asyncio_run_twice": [7, 8],
    "asyncio_run_twice_without_closing": [True, 7],
    "two_loops_in_turn": [7, 8],
    "built_at_import_time": 7,
    "uvloop_with_subprocesses": {"printed": ["1"] * 5, "value": 7, "said": 0},
    "uvloop_with_subprocesses_and_threads": {"printed": ["1"] * 5, "value": 7, "said": 0},
}

LOOP_IS_GONE = {"asyncio_run_twice_without_closing", "async_before_fork"}


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """The URL of an embedded service in a process of its own."""
    command = [sys.executable, "-m", "heksher.server", "--port", "0", "--context-features", "user"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:  # noqa: S603
        assert service.stdout is not None
        line = service.stdout.readline()
        yield next(word for word in line.split() if word.startswith("http")).rstrip("/.")
        service.terminate()


@pytest.mark.parametrize("program", EXPECTED)
def test_program_sees_what_the_matrix_says(program: str, url: str) -> None:
    done = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-W", "error", PROGRAMS, program, url],
        capture_output=True,
        text=True,
        timeout=50,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == EXPECTED[program]
    # A loop that is gone while its client is open has transports that nobody can close.
    assert "Traceback" not in done.stderr or program in LOOP_IS_GONE
