"""How a competitor is measured: a worker process that times an expression when it is told to.

A worker reads one request a line from its standard input and answers with one line of JSON on its
standard output, so that the harness can go round all workers again and again. It needs nothing but
Python: it runs in the competitor's own environment.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from itertools import count
from timeit import Timer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

TURN_SECONDS = 0.001
"""How long one turn of an expression takes: so short that most are not interrupted by other programs.

The floor has its turn right after."""

TURNS = 25
"""How many turns each has at a time; the best one counts, for others only add what disturbed it."""


def floor_method(features: Sequence[str]) -> Any:
    """Return an object whose `get` is the floor: a method with these keyword-only parameters."""
    scope: dict[str, Any] = {}
    source = f"class Floor:\n    def get(self, *, {', '.join(features)}):\n        return 5\n"
    exec(source, scope)  # noqa: S102  # the features of our own workloads
    return scope["Floor"]()


@dataclass
class Case:
    """One thing to time.

    Attributes:
        expression: What is timed, as source.
        names: What the source may use; `counter` is there, too.
        expected: What it has to return; checked before anything is timed.
        arguments: The arguments of the floor.
        features: The parameters of the floor.
        inside: What it is timed inside of.
    """

    expression: str
    names: Mapping[str, Any]
    expected: Any
    arguments: str
    features: tuple[str, ...]
    inside: Sequence[Callable[[], AbstractContextManager[Any]]] = field(default_factory=tuple)


def time_case(case: Case, turns: int = TURNS) -> dict[str, float]:
    """Return the nanoseconds of one run of *case* and of its floor, as in any task or request.

    A context with variables of others is set up first: reading a `ContextVar` costs more there
    than in an empty one, and programs that have contexts have those.
    """
    return copy_context().run(_time_case, case, turns)


def _time_case(case: Case, turns: int) -> dict[str, float]:
    for number in range(5):
        ContextVar[int](f"another{number}").set(number)
    names = {"counter": count(), **case.names}
    floor_names = {"counter": count(), "floor": floor_method(case.features)}
    read = Timer(case.expression, globals=names)
    floor = Timer(f"floor.get({case.arguments})", globals=floor_names)
    with ExitStack() as stack:
        for surrounding in case.inside:
            stack.enter_context(surrounding())
        found = eval(case.expression, dict(names))  # noqa: S307  # our own source
        if found != case.expected:
            raise AssertionError(f"{case.expression} is {found!r}, not {case.expected!r}")
        runs, floor_runs = _runs(read), _runs(floor)
        pairs = [
            (read.timeit(runs) / runs, floor.timeit(floor_runs) / floor_runs) for _ in range(turns)
        ]
    return {
        "ns": min(one for one, _ in pairs) * 1e9,
        "floor_ns": min(one for _, one in pairs) * 1e9,
    }


def _runs(timer: Timer) -> int:
    runs, seconds = 1, timer.timeit(1)
    while seconds < TURN_SECONDS / 4 and runs < 1 << 24:
        runs *= 2
        seconds = timer.timeit(runs)
    return max(1, int(runs * TURN_SECONDS / max(seconds, 1e-9)))


def serve(cases: Mapping[str, Case], versions: Mapping[str, str]) -> None:
    """Answer requests until there are none: the names of the cases, or one of them timed."""
    answers = sys.stdout
    # Whatever a library prints must not be taken for an answer.
    sys.stdout = sys.stderr
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "list":
            answer: Any = {"cases": list(cases), "versions": dict(versions)}
        else:
            answer = time_case(cases[request["case"]])
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def version_of(distribution: str) -> dict[str, str]:
    """Return the installed version of *distribution*, by its name."""
    from importlib.metadata import version

    return {distribution: version(distribution)}
