"""Simulate 100,000 processes that poll one service, before, during and after an outage.

Each process waits as the clients do: `next_delay` is their own code. A request arrives when a
process begins a refresh; the service answers it in order of arrival, at a rate that it can keep, or
not at all while it is away. What is simulated is a refresh as one unit: the requests of one process
follow each other, so that the arrival of the first decides.

    python simulate_herd.py [processes]
"""

from __future__ import annotations

import heapq
import json
import random
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import httpx
from canned import Canned, Plan

from heksher.clients.conversation.batches import Batch
from heksher.clients.conversation.pacing import next_delay
from heksher.clients.conversation.refresh import FEATURES_REQUEST

if TYPE_CHECKING:
    from collections.abc import Callable

    from heksher.clients.conversation.effects import Request

PROCESSES = 100_000
INTERVAL = 60.0
OUTAGE = (300.0, 600.0)
END = 1_200.0
TIMEOUT = 35.0

HEAD_BYTES = 180
"""About what the head of an answer takes."""

Delay: TypeAlias = "Callable[[float, int, random.Random], float]"


def without_jitter(interval: float, failures: int, _randomness: random.Random) -> float:
    """Wait as a simple poller does: the interval, whatever happens."""
    return interval


def without_randomness(interval: float, failures: int, _randomness: random.Random) -> float:
    """Back off by doubling, without leaving anything to chance."""
    if not failures:
        return interval
    return min(max(interval, 60.0), 2.0 ** min(failures - 1, 60))


@dataclass
class Outcome:
    """What the service saw.

    Attributes:
        steady: Refreshes in a second before the outage: the mean.
        steady_peak: The same: the busiest second.
        down_peak: The busiest second of the outage, once its first minute is over.
        after_peak: The busiest second in the two minutes after the outage.
        recovered: Seconds after the outage until 99 in 100 processes have fresh values.
        longest_queue: How many refreshes waited for the service at once, at most.
    """

    steady: float
    steady_peak: int
    down_peak: int
    after_peak: int
    recovered: float
    longest_queue: int


def simulate(
    processes: int, delay: Delay, *, together: bool, capacity: float, seed: int = 1
) -> Outcome:
    """Return what the service sees of processes that wait for *delay* between refreshes.

    Args:
        processes: How many there are.
        delay: When to refresh next.
        together: Whether all were started in one second, as by a deployment, or over an interval.
        capacity: How many refreshes the service can answer in a second.
        seed: Makes it repeatable.
    """
    randomness = random.Random(seed)  # noqa: S311  # a simulation
    spread = 1.0 if together else INTERVAL
    events = [(randomness.uniform(0, spread), process, 0) for process in range(processes)]
    heapq.heapify(events)
    arrivals = [0] * (int(END) + 1)
    fresh_at: list[float] = []
    recovered: set[int] = set()
    free_at, longest = 0.0, 0.0
    while events and events[0][0] < END:
        now, process, failures = heapq.heappop(events)
        arrivals[int(now)] += 1
        if OUTAGE[0] <= now < OUTAGE[1]:
            done, failures = now, failures + 1
        else:
            free_at = max(free_at, now) + 1 / capacity
            longest = max(longest, free_at - now)
            done, failures = free_at, 0
            if free_at - now > TIMEOUT:
                done, failures = now + TIMEOUT, failures + 1
            elif now >= OUTAGE[1] and process not in recovered:
                recovered.add(process)
                fresh_at.append(done - OUTAGE[1])
        wait = delay(INTERVAL, failures, randomness)
        heapq.heappush(events, (done + wait, process, failures))
    fresh_at.sort()
    steady = arrivals[180 : int(OUTAGE[0])]
    return Outcome(
        steady=sum(steady) / len(steady),
        steady_peak=max(steady),
        down_peak=max(arrivals[int(OUTAGE[0]) + 60 : int(OUTAGE[1])]),
        after_peak=max(arrivals[int(OUTAGE[1]) : int(OUTAGE[1]) + 120]),
        recovered=fresh_at[int(processes * 0.99)] if len(fresh_at) > processes * 0.99 else END,
        longest_queue=int(longest * capacity),
    )


POLICIES: dict[str, Delay] = {
    "heksher's": next_delay,
    "back-off without jitter": without_randomness,
    "a fixed interval": without_jitter,
}


def table(processes: int) -> list[str]:
    """Return the rows of the table in `docs/scale.md`."""
    rows = []
    for together in (False, True):
        for name, delay in POLICIES.items():
            capacity = 1.5 * processes / INTERVAL
            found = simulate(processes, delay, together=together, capacity=capacity)
            started = "in one second" if together else "over a minute"
            rows.append(
                f"| {name} | {started} | {found.steady:,.0f} | {found.steady_peak:,} |"
                f" {found.down_peak:,} | {found.after_peak:,} | {found.longest_queue:,} |"
                f" {found.recovered:,.0f} s |"
            )
    return rows


def arithmetic(processes: int) -> list[str]:
    """Return the rows of what polling costs in requests and bytes, by batches a process."""
    names = tuple([f"checkout.regional.settings.s{place}" for place in range(100)])
    canned = Canned(Plan(settings=100, rules=10, prefix="checkout.regional.settings.s"))
    query = Batch(names, None)
    _, answer_headers, body = canned.answer("GET", f"/api/v1/query?{query.query}", {}, b"")
    asked = size_of(query.request(answer_headers["etag"]))
    refreshes = processes / INTERVAL
    rows = []
    for batches in (1, 3, 10):
        requests = refreshes * (1 + batches)
        sent = refreshes * (size_of(FEATURES_REQUEST) + batches * asked)
        without = refreshes * batches * (HEAD_BYTES + len(body))
        unchanged = requests * HEAD_BYTES
        rows.append(
            f"| {batches * 100:,} in {batches} | {refreshes:,.0f} | {requests:,.0f} |"
            f" {sent / 1e6:,.1f} MB | {without / 1e6:,.0f} MB | {unchanged / 1e6:,.1f} MB |"
        )
    return rows


def size_of(request: Request) -> int:
    """Return the bytes of a request, as httpx sends it."""
    with httpx.Client() as client:
        built = client.build_request(
            request.method,
            f"http://heksher.internal{request.path}?{request.query}",
            headers=dict(request.headers),
        )
    fields = sum(len(name) + len(value) + 4 for name, value in built.headers.raw)
    return len(built.url.raw_path) + len("GET  HTTP/1.1\r\n\r\n") + fields


def main() -> None:
    processes = int(sys.argv[1]) if len(sys.argv) > 1 else PROCESSES
    print("\n".join(arithmetic(processes)))
    print("\n".join(table(processes)))
    print(json.dumps({"processes": processes, "interval": INTERVAL, "outage": OUTAGE}))


if __name__ == "__main__":
    main()
