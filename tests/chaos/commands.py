"""What `scripts/chaos` does: many histories, or planted faults that histories have to find."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chaos import doors
from chaos.planted import FAULTS
from chaos.workers import LIMIT, broken_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.outcome import Outcome
    from chaos.planting import Fault

CHUNK: Final = 50
MOST: Final = 1000
"""How many histories a planted fault may take."""

_SHOWN: Final = 110


def play_histories(arguments: Sequence[str]) -> int:
    """Play as many histories as the first argument says; the second is the first seed."""
    count = int(arguments[0]) if arguments else 1000
    first = int(arguments[1]) if len(arguments) > 1 else 0
    chunks = [
        (start, min(CHUNK, first + count - start)) for start in range(first, first + count, CHUNK)
    ]
    kinds: Counter[str | None] = Counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for outcomes in pool.map(lambda chunk: list(broken_of(*chunk)), chunks):
            for outcome in outcomes:
                _print(f"seed {outcome.seed}: {outcome.what}")
                kinds[outcome.kind] += 1
    _print(
        f"schedules {count}, silent freezes {kinds['freeze']}, wrong values {kinds['wrong']},"
        f" leaks {kinds['leak']}"
    )
    return 1 if kinds else 0


def play_planted(names: Sequence[str]) -> int:
    """Plant each fault, or those called *names*, and say how many histories it took to find it."""
    faults = [fault for fault in FAULTS if not names or fault.name in names]
    missed = []
    _print("| fault | what it breaks | histories | found as |\n|---|---|---|---|")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for fault, found in zip(faults, pool.map(find, faults), strict=True):
            if found is None:
                missed.append(fault.name)
            took = f"{found.seed + 1}" if found else "not found"
            what = found.what.strip().replace("\n", " ")[:_SHOWN] if found else ""
            _print(f"| {fault.name} | {fault.breaks} | {took} | {what} |")
    _print(f"planted {len(faults)}, found {len(faults) - len(missed)}, missed {missed or 'none'}")
    return 1 if missed else 0


def find(fault: Fault, most: int = MOST, limit: float = LIMIT) -> Outcome | None:
    """Return the first history that finds *fault*, of those that break nothing without it.

    Args:
        fault: What is planted.
        most: How many histories it may take.
        limit: Seconds of real time that each may take.
    """
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder)
        shutil.copytree(
            doors.PACKAGE, package / "heksher", ignore=shutil.ignore_patterns("__pycache__")
        )
        fault.plant(package / "heksher")
        seed = 0
        while seed < most:
            broken = next(
                iter(broken_of(seed, most - seed, stop=True, package=package, limit=limit)), None
            )
            if broken is None or not list(broken_of(broken.seed, 1)):
                return broken
            seed = broken.seed + 1
    return None


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # a command
