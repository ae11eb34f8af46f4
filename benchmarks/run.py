"""Run all benchmarks, interleaved, and write `results.json`, the performance page and its chart.

`scripts/bench` makes the environments and calls this. With the names of sections as arguments, it
runs those and keeps the other results.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
OURS = str(HERE.parent / ".venv" / "bin" / "python")
ROUNDS = 7
WORKERS = {
    "heksher": "read_heksher.py",
    "heksher-py": "read_heksher_py.py",
    "launchdarkly": "read_launchdarkly.py",
    "openfeature": "read_openfeature.py",
    "unleash": "read_unleash.py",
    "growthbook": "read_growthbook.py",
    "eppo": "read_eppo.py",
}
LONG_NAMES = "checkout.regional.settings."
"""Names of 27 characters or more, as real ones are; it counts for the size of queries."""


def python_of(competitor: str) -> str:
    return OURS if competitor == "heksher" else str(HERE / f".venvs/{competitor}/bin/python")


def environment() -> dict[str, str]:
    """Return the environment of all processes: bytecode is kept, as it is where people import."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(HERE / ".venvs" / "bytecode")}


def say(text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", flush=True)


class Worker:
    """A competitor's process, which times what it is told to."""

    def __init__(self, competitor: str) -> None:
        self._process = subprocess.Popen(  # noqa: S603  # our own scripts
            [python_of(competitor), WORKERS[competitor]],
            cwd=HERE,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        listed = self.ask(do="list")
        self.cases: list[str] = listed["cases"]
        self.versions: dict[str, str] = listed["versions"]

    def ask(self, **request: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()


def reads() -> dict[str, Any]:
    """Time every case of every competitor, in rounds over all of them.

    Each round has processes of its own: how strings hash, and so how often they collide in a dict,
    is another in each.
    """
    found: dict[str, dict[str, Any]] = {name: {} for name in WORKERS}
    versions: dict[str, str] = {}
    for number in range(ROUNDS):
        say(f"reads, round {number + 1} of {ROUNDS}")
        workers = {name: Worker(name) for name in WORKERS}
        cases = dict.fromkeys(case for worker in workers.values() for case in worker.cases)
        for case, (name, worker) in product(cases, workers.items()):
            if case in worker.cases:
                entry = found[name].setdefault(case, {"ns": [], "floor_ns": []})
                for key, value in worker.ask(do="time", case=case).items():
                    entry[key].append(round(value, 1))
        versions = {name: next(iter(one.versions.values())) for name, one in workers.items()}
        for worker in workers.values():
            worker.close()
    return {"times": found, "versions": versions}


@contextmanager
def canned_service(plan: dict[str, Any], delay: float = 0.0) -> Iterator[str]:
    arguments = json.dumps({"plan": plan, "delay": delay})
    process = subprocess.Popen(  # noqa: S603  # our own script
        [OURS, "canned.py", arguments],
        cwd=HERE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.stdin.close()
        process.wait(10)


def script(competitor: str, *arguments: str) -> Any:
    done = subprocess.run(  # noqa: S603  # our own scripts
        [python_of(competitor), *arguments],
        cwd=HERE,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{competitor} {arguments}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def task(
    competitor: str, name: str, plan: dict[str, Any], delay: float = 0.0, **others: Any
) -> Any:
    with canned_service(plan, delay) as url:
        wanted = {"task": name, "plan": plan, "url": url, **others}
        return script(competitor, "clients.py", json.dumps(wanted))


UPDATE_PLANS: dict[str, dict[str, Any]] = {
    "1,000 x 20": {"settings": 1000, "rules": 20},
    "10,000 x 10": {"settings": 10_000, "rules": 10},
}


def updates() -> dict[str, Any]:
    """Time whole updates, ours and the predecessor's in turns."""
    found: dict[str, Any] = {}
    for name, plan in UPDATE_PLANS.items():
        rounds = 3 if plan["settings"] < 10_000 else 2
        rows: dict[str, dict[str, list[float]]] = {"heksher": {}, "heksher-py": {}}
        for number in range(rounds):
            for competitor, measured in rows.items():
                say(f"update {name}, {competitor}, round {number + 1} of {rounds}")
                answer = task(competitor, "update", plan, repeats=3)
                for key, values in answer["rows"].items():
                    measured.setdefault(key, []).extend(round(one, 5) for one in values)
        found[name] = rows
    shapes = {"settings": 10_000, "rules": 10, "random_masks": True}
    say("update of random masks")
    found["random masks"] = {"heksher": task("heksher", "update", shapes, repeats=2)["rows"]}
    say("updates after gc.freeze()")
    for name, plan in (("frozen", UPDATE_PLANS["10,000 x 10"]), ("frozen random masks", shapes)):
        found[name] = task("heksher", "frozen_update", plan, repeats=3)
    return found


def small_updates() -> dict[str, Any]:
    """Count requests and bytes where little or nothing changed."""
    found: dict[str, Any] = {}
    for settings in (1000, 10_000):
        plan = {"settings": settings, "rules": 10, "prefix": LONG_NAMES}
        say(f"small updates of {settings} settings")
        found[str(settings)] = {
            **task("heksher", "small_updates", plan),
            "unchanged": script(
                "heksher",
                "clients.py",
                json.dumps({"task": "unchanged", "plan": plan, "repeats": 9}),
            ),
        }
    return found


def starts() -> dict[str, Any]:
    """Time starts against a service that knows all settings, or none of them."""
    found: dict[str, Any] = {}
    for settings in (1000, 3000):
        for delay in (0.0, 0.005):
            plan = {"settings": settings, "rules": 0, "prefix": LONG_NAMES}
            rows = {}
            for competitor in ("heksher", "heksher-py"):
                say(f"start, {settings} settings, {delay * 1000:.0f} ms, {competitor}")
                rows[competitor] = task(competitor, "start", plan, delay)
            found[f"{settings} known, {delay * 1000:.0f} ms"] = rows
    plan = {"settings": 1000, "rules": 0, "known": 0, "prefix": LONG_NAMES}
    say("start, 1000 new settings")
    found["1000 new, 5 ms"] = {"heksher": task("heksher", "start", plan, 0.005)}
    return found


def memory() -> dict[str, Any]:
    """Measure what a rule keeps, ours and the predecessor's."""
    found: dict[str, Any] = {}
    for name, masks in (("one feature", False), ("random masks", True)):
        plan = {"settings": 2000, "rules": 20, "small": True, "random_masks": masks}
        for competitor in ("heksher", "heksher-py"):
            say(f"memory, {name}, {competitor}")
            found.setdefault(name, {})[competitor] = task(competitor, "memory", plan)
    return found


IMPORTS = {
    "nothing": ("heksher", "pass"),
    "floor": ("heksher", "import httpx; from pydantic import BaseModel, TypeAdapter"),
    "heksher": ("heksher", "import heksher"),
    "clients": ("heksher", "from heksher import AsyncHeksherClient, Setting, ThreadHeksherClient"),
    "heksher-py": ("heksher-py", "import heksher"),
    "launchdarkly": ("launchdarkly", "import ldclient"),
    "openfeature": ("openfeature", "import openfeature.api"),
    "unleash": ("unleash", "import UnleashClient; UnleashClient.UnleashClient"),
    "growthbook": ("growthbook", "import growthbook"),
    "eppo": ("eppo", "import eppo_client"),
}


def children_seconds() -> float:
    """Return the CPU time of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def imports() -> dict[str, Any]:
    """Time imports in fresh processes, in turns, in CPU time."""
    say("imports")
    found: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for _ in range(16):  # the first one writes the bytecode
        for name, (competitor, source) in IMPORTS.items():
            begun = children_seconds()
            subprocess.run(  # noqa: S603  # our own source
                [python_of(competitor), "-c", source],
                cwd=HERE,
                env=environment(),
                check=True,
                stderr=subprocess.PIPE,
            )
            found[name].append(round((children_seconds() - begun) * 1000, 2))
    return {"milliseconds": {name: values[1:] for name, values in found.items()}}


def declarations() -> dict[str, Any]:
    """Time the declaration of 1,000 settings in fresh processes, in turns."""
    say("declarations")
    found: dict[str, list[float]] = {"heksher": [], "heksher-py": []}
    wanted = json.dumps({"task": "declaring", "plan": {"settings": 1000, "rules": 0}})
    for _ in range(9):
        for competitor, measured in found.items():
            seconds = script(competitor, "clients.py", wanted)["per_setting"]
            measured.append(round(seconds * 1e6, 2))
    return {"microseconds": found}


def growth() -> dict[str, Any]:
    say("ten million reads")
    grown: dict[str, Any] = script("heksher", "growth.py")
    return grown


SECTIONS: dict[str, Callable[[], Any]] = {
    "reads": reads,
    "updates": updates,
    "small_updates": small_updates,
    "starts": starts,
    "memory": memory,
    "imports": imports,
    "declarations": declarations,
    "growth": growth,
}


def machine() -> dict[str, Any]:
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def main(wanted: list[str]) -> None:
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"sections": {}}
    results["machine"] = machine()
    for name in wanted or SECTIONS:
        before = os.getloadavg()[0]
        found = SECTIONS[name]()
        results["sections"][name] = {
            "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            "load_before": round(before, 2),
            "load_after": round(os.getloadavg()[0], 2),
            **found,
        }
        # Written after each section, so that an interrupted run keeps what it has.
        RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    report.write(results)


if __name__ == "__main__":
    main(sys.argv[1:])
