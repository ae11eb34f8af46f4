"""Measure a client at work, in a process of its own: `python clients.py TASK-AS-JSON`.

Runs in the environment of heksher and in that of heksher-py: what is used here, both have.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
import tracemalloc
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

import httpx
from canned import DEFAULTS, FEATURES, TYPES, Canned, Plan

from heksher import TRACK_ALL, AsyncHeksherClient, Setting


class Colour(Enum):
    """A type of the settings."""

    BLUE = "blue"
    GREEN = "green"
    RED = "red"


PYTHON_TYPES: tuple[Any, ...] = (int, str, Colour, Sequence[int], Mapping[str, str])


def declare(plan: Plan) -> list[Any]:
    defaults = [*DEFAULTS]
    defaults[2] = Colour.RED
    defaults[3] = tuple(DEFAULTS[3])
    return [
        Setting(
            plan.name(place),
            PYTHON_TYPES[plan.kind(place)],
            FEATURES,
            defaults[plan.kind(place)],
        )
        for place in range(plan.settings)
    ]


def client_of(url: str, **arguments: Any) -> Any:
    client = AsyncHeksherClient(url, 100_000, FEATURES, **arguments)
    if not _is_ours():
        # The predecessor is sent no rules but for what is tracked.
        client.track_contexts(**dict.fromkeys(FEATURES, TRACK_ALL))
    return client


class Stalls:
    """Measures for how long the event loop lets nothing else run, on the wall clock and in CPU time."""

    PERIOD = 0.001

    def __init__(self) -> None:
        self.wall = 0.0
        self.cpu = 0.0

    async def __aenter__(self) -> Stalls:
        self._task = asyncio.create_task(self._tick())
        await asyncio.sleep(0.01)
        self.wall = self.cpu = 0.0
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0.01)
        self._task.cancel()

    async def _tick(self) -> None:
        while True:
            wall, cpu = time.perf_counter(), time.thread_time()
            await asyncio.sleep(self.PERIOD)
            self.wall = max(self.wall, time.perf_counter() - wall - self.PERIOD)
            self.cpu = max(self.cpu, time.thread_time() - cpu)


async def _timed(work: Any) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    await work
    return time.perf_counter() - wall, time.process_time() - cpu


async def update(url: str, plan: Plan, repeats: int) -> dict[str, Any]:
    """Time updates of which everything changes, and the stalls that they and the start cause."""
    settings = declare(plan)
    client = client_of(url, start_timeout=120.0) if _is_ours() else client_of(url)
    rows: dict[str, list[float]] = {}

    def note(**values: float) -> None:
        for name, value in values.items():
            rows.setdefault(name, []).append(value)

    async with Stalls() as first, httpx.AsyncClient(timeout=120) as control:
        await client.set_as_main()
        note(first_wall=first.wall, first_cpu=first.cpu)
        for _ in range(repeats):
            await control.get(f"{url}/bench/all")
            wall, cpu = await _timed(client.reload())
            note(wall=wall, cpu=cpu)
            await control.get(f"{url}/bench/all")
            async with Stalls() as stalls:
                await client.reload()
            note(stall_wall=stalls.wall, stall_cpu=stalls.cpu)
            async with Stalls() as stalls:
                body = (await control.get(f"{url}/bench/whole")).content
            note(fetch_stall_wall=stalls.wall, fetch_stall_cpu=stalls.cpu)
            begun = time.perf_counter()
            parsed = json.loads(body)
            note(parse=time.perf_counter() - begun)
            assert len(parsed["settings"]) == len(settings)
            del parsed
    await client.aclose()
    return {"rows": rows, "bytes": len(body)}


def _is_ours() -> bool:
    return "declare" in AsyncHeksherClient.__init__.__annotations__


async def start(url: str, plan: Plan) -> dict[str, Any]:
    """Time a start, and count what it asked of the service."""
    settings = declare(plan)
    client = client_of(url)
    async with httpx.AsyncClient(timeout=120) as control:
        await control.get(f"{url}/bench/counts")
        wall, cpu = await _timed(client.set_as_main())
        counts = (await control.get(f"{url}/bench/counts")).json()
    await client.aclose()
    assert settings
    return {"wall": wall, "cpu": cpu, "counts": counts}


async def small_updates(url: str, plan: Plan) -> dict[str, Any]:
    """Count what updates cost of which one setting changes, and of which none does."""
    settings = declare(plan)
    client = client_of(url)
    answer: dict[str, Any] = {}
    async with httpx.AsyncClient(timeout=120) as control:
        await client.set_as_main()
        for name in ("one", "nothing"):
            if name == "one":
                await control.get(f"{url}/bench/one")
            await control.get(f"{url}/bench/counts")
            wall, cpu = await _timed(client.reload())
            answer[name] = {
                "wall": wall,
                "cpu": cpu,
                **(await control.get(f"{url}/bench/counts")).json(),
            }
    await client.aclose()
    assert settings
    return answer


class Accounted(httpx.AsyncClient):
    """An httpx client that adds up how long it takes, for a transport that never waits."""

    spent = 0.0

    def build_request(self, *args: Any, **kwargs: Any) -> httpx.Request:
        begun = time.perf_counter()
        try:
            return super().build_request(*args, **kwargs)
        finally:
            self.spent += time.perf_counter() - begun

    async def send(self, *args: Any, **kwargs: Any) -> httpx.Response:
        begun = time.perf_counter()
        try:
            return await super().send(*args, **kwargs)
        finally:
            self.spent += time.perf_counter() - begun


async def unchanged(plan: Plan, repeats: int) -> dict[str, Any]:
    """Time the client's own part of updates of which nothing changes: all but httpx."""
    canned = Canned(plan)

    def handle(request: httpx.Request) -> httpx.Response:
        target = request.url.raw_path.decode()
        headers = dict(request.headers)
        status, answer_headers, body = canned.answer(
            request.method, target, headers, request.content
        )
        return httpx.Response(status, headers=answer_headers, content=body)

    settings = declare(plan)
    http_client = Accounted(transport=httpx.MockTransport(handle))
    client = client_of("http://bench", http_client=http_client)
    await client.set_as_main()
    own = []
    for _ in range(repeats):
        http_client.spent = 0.0
        begun = time.perf_counter()
        await client.reload()
        own.append(time.perf_counter() - begun - http_client.spent)
    await client.aclose()
    await http_client.aclose()
    assert settings
    return {"own": own, "statuses": canned.statuses}


async def memory(url: str, plan: Plan) -> dict[str, Any]:
    """Measure what is kept for rules: the difference to the same settings without any."""
    settings = declare(plan)
    client = client_of(url)
    async with httpx.AsyncClient(timeout=120) as control:
        await control.get(f"{url}/bench/none")
        tracemalloc.start()
        await client.set_as_main()
        await client.reload()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        await control.get(f"{url}/bench/all")
        await client.reload()
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0] - before
        # Again, since the first update may have grown what serves them all.
        await control.get(f"{url}/bench/all")
        await client.reload()
        gc.collect()
        kept_later = tracemalloc.get_traced_memory()[0] - before
        whole = json.loads((await control.get(f"{url}/bench/whole")).content)["settings"]
    bare = bare_dicts(whole)
    await client.aclose()
    assert settings
    rules = plan.settings * plan.rules
    return {"rule": kept / rules, "rule_later": kept_later / rules, "bare": bare / rules}


def bare_dicts(whole: dict[str, Any]) -> int:
    """Return what the same rules take as one dict a setting and nothing else."""
    shared: dict[Any, Any] = {}
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    kept = []
    for setting in whole.values():
        table: dict[Any, Any] = {}
        for rule in setting["rules"]:
            pairs = [shared.setdefault(value, value) for _, value in rule["context_features"]]
            table[tuple(pairs) if len(pairs) > 1 else pairs[0]] = rule["value"]
        kept.append(table)
    return tracemalloc.get_traced_memory()[0] - before


async def declaring(plan: Plan) -> dict[str, Any]:
    """Time the declaration of settings, in CPU time."""
    begun = time.process_time()
    settings = declare(plan)
    seconds = time.process_time() - begun
    return {"per_setting": seconds / len(settings)}


async def frozen_update(url: str, plan: Plan, repeats: int) -> dict[str, Any]:
    """Measure the stalls of a program that calls `gc.freeze()` before and after its start."""
    settings = declare(plan)
    client = client_of(url)
    walls: list[float] = []
    cpus: list[float] = []
    gc.collect()
    gc.freeze()
    async with httpx.AsyncClient(timeout=120) as control:
        async with Stalls() as first:
            await client.set_as_main()
        gc.collect()
        gc.freeze()
        for _ in range(repeats):
            await control.get(f"{url}/bench/all")
            async with Stalls() as measured:
                await client.reload()
            walls.append(measured.wall)
            cpus.append(measured.cpu)
    await client.aclose()
    assert settings
    return {"stall_wall": walls, "stall_cpu": cpus, "first_cpu": [first.cpu]}


TASKS: dict[str, Any] = {
    "declaring": declaring,
    "frozen_update": frozen_update,
    "update": update,
    "start": start,
    "small_updates": small_updates,
    "unchanged": unchanged,
    "memory": memory,
}

if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    task["plan"] = Plan(**task["plan"])
    name = task.pop("task")
    assert len(TYPES) == len(PYTHON_TYPES)
    print(json.dumps(asyncio.run(TASKS[name](**task))))
