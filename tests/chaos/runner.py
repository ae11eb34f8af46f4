"""Playing histories by their seeds, and counting what they broke."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import threading
import traceback
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from chaos import play_async, play_thread
from chaos.world import Violation, World

if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS = ("freeze", "wrong", "leak")


@dataclass(frozen=True)
class Outcome:
    """What came of one history: nothing, or the promise that it broke."""

    seed: int
    kind: str | None = None
    what: str = ""


def play(seed: int) -> Outcome:
    """Play the history of *seed*."""
    world = World(Random(seed))  # noqa: S311  # to be repeated, no secret
    logger = logging.getLogger("heksher")
    level, propagates = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(world.records)
    threads = threading.active_count()
    try:
        player = play_thread if seed % 3 == 0 else play_async
        player.play(world)
        if threading.active_count() > threads:
            raise Violation("leak", f"threads: {threading.enumerate()}")
        if seed % 20 == 0:
            play_async.check_collected(world)
    except Violation as violation:
        return Outcome(seed, violation.kind, str(violation))
    except Exception:  # noqa: BLE001  # whatever gets out of a client is a broken promise, too
        return Outcome(seed, "wrong", traceback.format_exc())
    finally:
        logger.removeHandler(world.records)
        logger.setLevel(level)
        logger.propagate = propagates
    return Outcome(seed)


def _play_many(seeds: Sequence[int]) -> list[Outcome]:
    logging.getLogger("httpx").setLevel(logging.WARNING)
    gc.freeze()
    return [outcome for outcome in map(play, seeds) if outcome.kind]


def play_all(count: int, first: int) -> list[Outcome]:
    """Play *count* histories from the seed *first* on; return those that broke a promise."""
    chunk = 50
    seeds = range(first, first + count)
    parts = [seeds[start : start + chunk] for start in range(0, count, chunk)]
    broken: list[Outcome] = []
    with multiprocessing.get_context("spawn").Pool() as pool:
        for outcomes in pool.imap_unordered(_play_many, parts):
            for outcome in outcomes:
                print(f"seed {outcome.seed}: {outcome.what}", flush=True)  # noqa: T201  # a command
            broken += outcomes
    return broken


def main(arguments: Sequence[str]) -> int:
    """Play as many histories as the first argument says; the second is the first seed."""
    count = int(arguments[0]) if arguments else 1000
    first = int(arguments[1]) if len(arguments) > 1 else 0
    kinds = Counter(outcome.kind for outcome in play_all(count, first))
    print(  # noqa: T201  # a command
        f"schedules {count}, silent freezes {kinds['freeze']}, wrong values {kinds['wrong']},"
        f" leaks {kinds['leak']}"
    )
    return 1 if kinds else 0
