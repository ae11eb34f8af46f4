"""Playing histories by their seeds, and counting what they broke."""

from __future__ import annotations

import gc
import logging
import sys
import tempfile
import time
import traceback
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

from chaos import doors, play_async, play_fork, play_thread
from chaos.clock import Clock
from chaos.outcome import Outcome
from chaos.primitives import Primitives
from chaos.scheduler import Hang, Scheduler
from chaos.violation import Violation
from chaos.world import Records, World

if TYPE_CHECKING:
    from collections.abc import Iterator

_FORKS: Final = 25
"""Of so many histories, one is on real sockets, and forks."""


def play(seed: int) -> Outcome:
    """Play the history of *seed*."""
    before = sys.gettrace()
    try:
        _play(seed)
    except Violation as violation:
        return Outcome(seed, violation.kind, str(violation))
    except Hang as hang:
        return Outcome(seed, "freeze", f"hang: {hang}")
    except Exception:  # noqa: BLE001  # whatever gets out of a client is a broken promise, too
        return Outcome(seed, "wrong", traceback.format_exc())
    finally:
        sys.settrace(before)
    return Outcome(seed)


def _play(seed: int) -> None:
    world: Any = None
    random = Random(seed)  # noqa: S311  # to be repeated, no secret
    if seed % _FORKS == _FORKS - 1:
        with _listening(Records()):
            play_fork.play(random)
        return
    scheduler = Scheduler(clock := Clock(), Random(seed + 0.5))  # noqa: S311
    replacements = {
        **Primitives(scheduler).replacements(),
        time.monotonic: clock.monotonic,
        time.perf_counter: clock.monotonic,
        time.time: clock.time,
        time.sleep: scheduler.sleep,
    }
    try:
        with doors.replaced(replacements), tempfile.TemporaryDirectory() as folder:
            world = World(random, clock)
            with _listening(world.records):
                player = play_thread if seed % 3 == 0 else play_async
                player.play(world, scheduler, Path(folder))
    finally:
        scheduler.end()
    if seed % 20 == 0:
        _check_collected(world)


@contextmanager
def _listening(records: logging.Handler) -> Iterator[None]:
    logger = logging.getLogger("heksher")
    level, propagates = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(records)
    try:
        yield
    finally:
        logger.removeHandler(records)
        logger.setLevel(level)
        logger.propagate = propagates


def _check_collected(world: World) -> None:
    """Check that the clients of a history that ended are gone.

    Raises:
        Violation: One is not.
    """
    gc.collect()
    if any(one() is not None for one in world.dead):
        raise Violation("leak", "a closed client is not collected")
