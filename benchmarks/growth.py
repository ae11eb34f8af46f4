"""Read ten million times in every form, and see that nothing is kept: no block, no byte."""

from __future__ import annotations

import gc
import json
import resource
import sys
import tracemalloc
from contextlib import ExitStack
from itertools import count, repeat
from typing import TYPE_CHECKING, Any

from read_heksher import cases
from workloads import WORKLOADS

if TYPE_CHECKING:
    from protocol import Case

READS = 10_000_000
CHUNK = 1_000


def reader(case: Case) -> Any:
    """Return a function that reads a number of times."""
    source = f"def read(times):\n    for _ in repeat(None, times):\n        {case.expression}\n"
    scope: dict[str, Any] = {"repeat": repeat, "counter": count(), **case.names}
    exec(source, scope)  # noqa: S102  # our own source
    return scope["read"]


def run(case: Case, read: Any, times: int) -> None:
    with ExitStack() as stack:
        for surrounding in case.inside:
            stack.enter_context(surrounding())
        read(times)


def resident_kilobytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def growth(total: int = READS) -> dict[str, Any]:
    """Return how much memory there is more after *total* reads than before them."""
    readers = [(case, reader(case)) for case in cases().values()]
    for case, read in readers:
        run(case, read, CHUNK)
    gc.collect()
    blocks, resident = sys.getallocatedblocks(), resident_kilobytes()
    each = total // len(readers)
    for case, read in readers:
        run(case, read, each)
    gc.collect()
    grown = {
        "reads": each * len(readers),
        "blocks": sys.getallocatedblocks() - blocks,
        "peak_resident_kilobytes": resident_kilobytes() - resident,
    }
    return {**grown, "traced_bytes": traced_growth(readers)}


def traced_growth(readers: list[tuple[Case, Any]], times: int = 2_000) -> int:
    """Return the bytes that reads have allocated and kept, by `tracemalloc`."""
    tracemalloc.start()
    for case, read in readers:
        run(case, read, 10)
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    for case, read in readers:
        run(case, read, times)
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return kept


if __name__ == "__main__":
    assert WORKLOADS
    print(json.dumps(growth(int(sys.argv[1]) if len(sys.argv) > 1 else READS)))
