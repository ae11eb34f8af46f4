"""Many processes of one program that start together, in virtual time, on a service behind its pool."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

import httpx

from chaos import doors
from chaos.clock import Clock, VirtualLoop
from chaos.model import Service
from chaos.pool import PooledService, PooledWay
from heksher import AsyncHeksherClient, Setting
from heksher import ServiceError as StartError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from chaos.pool import Costs

    Start = Callable[["PooledService", int, Random], Awaitable["Started"]]

URL: Final = "http://service.example"
TOGETHER: Final = 0.5
"""Seconds within which all processes start."""

LATER: Final = 300.0
"""Seconds after which what was not declared at the start has to be."""


@dataclass
class Started:
    """One process after its start.

    Attributes:
        took: Seconds.
        error: Why it did not start; `None` if it did.
        lost: How many of its settings nobody declares any more.
    """

    took: float
    error: str | None
    lost: int = 0


@dataclass
class Herd:
    """What came of a start of many.

    Attributes:
        took: Seconds until the last had started, or given up.
        failed: How many did not start, and why the first one did not.
        lost: How many settings of processes that started are declared by none of their later updates.
        posts: How many declarations the service was sent until then.
        failures: How many requests it answered with a 500.
    """

    took: float
    failed: int
    why: str | None
    lost: int
    posts: int
    failures: int


def names(count: int) -> list[str]:
    return [f"settings.of.a.program.n{number}" for number in range(count)]


async def heksher_start(service: PooledService, settings: int, random: Random) -> Started:
    """Start a process that uses this library; see how its settings stand some updates later."""
    registry = doors.Registry()
    kept = [
        Setting(name, int, ["user"], number, registry=registry)
        for number, name in enumerate(names(settings))
    ]
    transport = PooledWay(service, random)
    http = httpx.AsyncClient(transport=transport, trust_env=False, timeout=None)  # noqa: S113
    client = AsyncHeksherClient(URL, 60, ["user"], http_client=http, registry=registry)
    doors.seed(client, random.random())
    loop = asyncio.get_running_loop()
    began, error, lost = loop.time(), None, 0
    async with http:
        try:
            await client.set_as_main()
        except StartError as raised:
            error = str(raised)
        took = loop.time() - began
        service.note_start()
        if error is None:
            await asyncio.sleep(LATER)
            lost = len(client.status.refused_declarations)
        await client.aclose()
    del kept
    return Started(took, error, lost)


async def heksher_py_start(service: PooledService, settings: int, random: Random) -> Started:
    """Start a process as heksher-py does: one declaration after another; one that fails is lost."""
    loop = asyncio.get_running_loop()
    began, lost = loop.time(), 0
    transport = PooledWay(service, random)
    async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=60) as http:
        for number, name in enumerate(names(settings)):
            body = {
                "name": name,
                "configurable_features": ["user"],
                "type": "int",
                "default_value": number,
                "metadata": {},
                "alias": None,
                "version": "1.0",
            }
            answer = await http.post(f"{URL}/api/v1/settings/declare", json=body)
            lost += answer.status_code != httpx.codes.OK
    service.note_start()
    return Started(loop.time() - began, None, lost)


def start_together(
    processes: int,
    settings: int,
    start: Start = heksher_start,
    *,
    costs: Costs | None = None,
    seed: int = 1,
) -> Herd:
    """Start *processes* together, each with the same *settings* new ones."""
    random, clock = Random(seed), Clock()  # noqa: S311  # to be repeated, no secret
    replacements = {
        time.monotonic: clock.monotonic,
        time.perf_counter: clock.monotonic,
        time.time: clock.time,
    }
    loop = VirtualLoop(clock)
    loop.set_debug(False)
    logger = logging.getLogger("heksher")
    is_disabled, logger.disabled = logger.disabled, True
    try:
        with doors.replaced(replacements):
            return loop.run_until_complete(_herd(processes, settings, start, costs, random))
    finally:
        logger.disabled = is_disabled
        loop.close()


async def _herd(
    processes: int, settings: int, start: Start, costs: Costs | None, random: Random
) -> Herd:
    service = PooledService(Service(["user"]), costs)
    service.starting = processes

    async def one(number: int) -> Started:
        own = Random(number)  # noqa: S311  # to be repeated, no secret
        delay = random.uniform(0, TOGETHER) if number else 0.0
        await asyncio.sleep(delay)
        started = await start(service, settings, own)
        return Started(started.took + delay, started.error, started.lost)

    waiting = [asyncio.ensure_future(one(number)) for number in range(processes)]
    await service.started.wait()
    posts, failures = service.posts, service.failures
    started = await asyncio.gather(*waiting)
    errors = [one.error for one in started if one.error is not None]
    return Herd(
        max(one.took for one in started),
        len(errors),
        errors[0] if errors else None,
        sum(one.lost for one in started),
        posts,
        failures,
    )
