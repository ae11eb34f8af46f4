"""Random histories of `tests/chaos`, played by heksher-py 0.2.2 in an environment of its own.

    benchmarks/.venvs/heksher-py/bin/python benchmarks/chaos_heksher_py/play.py 1000

heksher-py has no status, so only what is read is checked: each time, that it was true since the last
update without an error; some time after each fault, that it is true again.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import types
import warnings
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import heksher.main_client
from heksher.heksher_client import TemporaryClient

import heksher
from heksher import TRACK_ALL, AsyncHeksherClient, Setting

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
doors = types.ModuleType("chaos.doors")
doors.Registry = object  # type: ignore[attr-defined]  # heksher-py has one for the process
doors.LISTS_ARE_SPARED = False  # type: ignore[attr-defined]
sys.modules["chaos.doors"] = doors

import chaos  # noqa: E402  # its modules need what is made above

chaos.doors = doors  # type: ignore[attr-defined]

from chaos import specs, violation  # noqa: E402
from chaos import world as worlds  # noqa: E402
from chaos.clock import Clock, VirtualLoop  # noqa: E402
from chaos.transports import AsyncWay  # noqa: E402


def declare(self: specs.Spec, _: object) -> Any:
    return Setting(
        self.name,
        specs.TYPES[self.type],
        sorted(self.features, key=specs.FEATURES.index),
        self.default,
        version=self.version,
        alias=self.alias,
    )


# What it cannot do at all is no fault of a history: rules that name features in another order.
worlds.CHANGES[:] = [change for change in worlds.CHANGES if change is not worlds.World.reorder]
specs.Spec.declare = declare  # type: ignore[method-assign]  # the constructor is another
for context in specs.CONTEXTS:
    # A context feature has to have a value in heksher-py.
    context.update({name: value or "none" for name, value in context.items()})


ONE_UPDATE = 160
"""Seconds that an update may take: what was true when it began may be read after it."""


class Status(types.SimpleNamespace):
    """What the oracle asks of a status, where there is none."""

    age = 0.0
    consecutive_failures = 0
    refused_declarations = ()


class Client(AsyncHeksherClient):
    def __init__(self, world: worlds.World) -> None:
        transport = AsyncWay(world.wire)
        super().__init__(
            "http://x",
            60,
            specs.FEATURES,
            http_client_args={"transport": transport, "timeout": 35},
        )
        self.world, self.failed = world, False

    def on_update_error(self, exc: Exception) -> None:
        self.failed = True

    def on_update_ok(self) -> None:
        # It is called after updates that failed as well.
        if not self.failed:
            self.world.oracle.worked_at = self.world.clock.now
            self.world.oracle.prune(self.world.clock.now - ONE_UPDATE)
        self.failed = False


async def play(world: worlds.World) -> None:
    random = world.random
    # It refuses rules that come in another order than that, and reads the service's defaults.
    world.service.features = list(specs.FEATURES)
    world.populate(likely=1.0)
    # It publishes one setting after another, and is not held to more.
    world.wire.began = world.wire.passed = lambda: None
    client = Client(world)
    client.track_contexts(**dict.fromkeys(specs.FEATURES, TRACK_ALL))
    await client.set_as_main()
    status = Status()
    for _ in range(random.randint(1, 4)):
        world.turn_weather()
        for _ in range(random.randint(1, 5)):
            if random.random() < 0.6:
                world.change()
            await asyncio.sleep(random.uniform(0.1, 3) * worlds.INTERVAL)
            world.oracle.check_reads(status)
            if random.random() < 0.15:
                with suppress(Exception):
                    await asyncio.wait_for(client.reload(), 120)
        world.weather.clear()
        await asyncio.sleep(worlds.SETTLED)
        world.oracle.check_values()
    with suppress(Exception):
        await client.aclose()


def outcome(seed: int) -> str:
    world = worlds.World.__new__(worlds.World)
    heksher.main_client.Main = TemporaryClient()
    random = Random(seed)  # noqa: S311  # to be repeated, no secret
    world.__init__(random, Clock())  # type: ignore[misc]  # its settings are declared in it
    loop = VirtualLoop(world.clock)
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(play(world))
    except violation.Violation as broken:
        return broken.kind
    except Exception:  # noqa: BLE001  # whatever gets out is counted
        # Out of the client, at the start or at a read.
        return "raised"
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        asyncio.set_event_loop(None)
        loop.close()
    return "right"


def main() -> None:
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda _: None
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    kinds = Counter(outcome(seed) for seed in range(count))
    gc.collect()
    print(f"schedules {count}: {dict(kinds)}")


main()
