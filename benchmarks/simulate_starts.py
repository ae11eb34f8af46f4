"""Simulate processes that start together with the same new settings, on the real service's pool.

The service is `tests/chaos/pool.py`: 15 connections, 2 for a creation, 30 s until it gives up, 500s on
races, 4 ms of its processor for a creation, as measured. This library's own client starts there, in virtual
time; beside it what heksher-py does: one declaration after another, and one that is answered 500 is lost
for the life of the process.

    python simulate_starts.py [PROCESSESxSETTINGS ...]
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from chaos.herd import heksher_py_start, heksher_start, start_together  # found there

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.herd import Herd

HERDS = [(1, 200), (4, 200), (16, 200), (64, 200), (1, 3_000), (4, 3_000)]
STARTS = {"heksher": heksher_start, "heksher-py": heksher_py_start}

HEAD = [
    "| processes x new settings | | all started after | failed to start | settings lost for life |"
    " declarations sent |",
    "|---|---|---|---|---|---|",
]


def measure(herds: Sequence[tuple[int, int]]) -> dict[str, dict[str, Herd]]:
    """Return what comes of each start, by how many, and by which library."""
    return {
        f"{processes:,} x {settings:,}": {
            name: start_together(processes, settings, start) for name, start in STARTS.items()
        }
        for processes, settings in herds
    }


def table(measured: dict[str, dict[str, Herd]]) -> list[str]:
    """Return the table in Markdown."""
    rows = [
        f"| {many} | {name} | {herd.took:,.1f} s | {herd.failed} | {herd.lost:,} | {herd.posts:,} |"
        for many, by_name in measured.items()
        for name, herd in by_name.items()
    ]
    return [*HEAD, *rows]


def main() -> None:
    logging.getLogger("httpx").setLevel(logging.WARNING)
    given = [tuple(map(int, one.split("x"))) for one in sys.argv[1:]]
    herds = [(processes, settings) for processes, settings in given] or HERDS
    measured = measure(herds)
    print("\n".join(table(measured)))
    plain = {many: {name: vars(herd) for name, herd in by.items()} for many, by in measured.items()}
    print(json.dumps(plain))


if __name__ == "__main__":
    main()
