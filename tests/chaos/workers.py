"""Histories in processes of their own, which end what hangs and name it."""

from __future__ import annotations

import faulthandler
import gc
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from chaos.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LIMIT: Final = 60.0
"""Seconds of real time that a history may take; most take a tenth of one."""

MEMORY: Final = 3 * 2**30
"""Bytes that a process of histories may have."""

TESTS: Final = Path(__file__).parents[1]


def work(arguments: Sequence[str]) -> int:
    """Play histories one by one, and print what comes of each; what a worker process does.

    Args:
        arguments: The first seed, how many histories, how many seconds each may take, and `stop` to
            stop at the first broken promise.
    """
    from chaos.runner import play

    first, count, limit = int(arguments[0]), int(arguments[1]), float(arguments[2])
    is_to_stop = arguments[3:] == ["stop"]
    logging.getLogger("httpx").setLevel(logging.WARNING)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    gc.freeze()
    for seed in range(first, first + count):
        _say({"begin": seed})
        # Ends the process, whatever it does, even in C, after writing where each thread is.
        faulthandler.dump_traceback_later(limit, exit=True)
        outcome = play(seed)
        faulthandler.cancel_dump_traceback_later()
        if outcome.kind:
            _say({"seed": seed, "kind": outcome.kind, "what": outcome.what})
            if is_to_stop:
                # Whatever it left running ends with the process.
                os._exit(0)
    os._exit(0)


def _say(what: dict[str, object]) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201  # how a worker answers


def broken_of(
    first: int, count: int, *, stop: bool = False, package: Path | None = None, limit: float = LIMIT
) -> Iterator[Outcome]:
    """Yield the histories that broke a promise, played in another process.

    Args:
        first: The first seed.
        count: How many there are.
        stop: Whether the first one is enough.
        package: A folder with the `heksher` to be played with, if not this one.
        limit: Seconds of real time that each may take.
    """
    end = first + count
    while first < end:
        given = [str(first), str(end - first), str(limit), *(["stop"] if stop else [])]
        with tempfile.TemporaryFile("w+") as errors:
            with _started(given, package=package, errors=errors) as process:
                try:
                    for line in process.stdout or ():
                        said = json.loads(line)
                        first = said.get("begin", first)
                        if "kind" in said:
                            yield Outcome(said["seed"], said["kind"], said["what"])
                            if stop:
                                return
                finally:
                    if stop:
                        process.kill()
            if not process.returncode:
                return
            errors.seek(0)
            yield Outcome(first, "freeze", f"hang, or crash: {errors.read()[:6_000]}")
            if stop:
                return
            first += 1


def _started(
    given: Sequence[str], *, package: Path | None, errors: IO[str]
) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(package or TESTS.parent), str(TESTS)])
    return subprocess.Popen(  # noqa: S603  # this very program
        [sys.executable, "-m", "chaos", "--worker", *given],
        env={**os.environ, "PYTHONPATH": path},
        cwd=package or TESTS,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    )
