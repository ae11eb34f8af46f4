"""What `get` costs, as multiples of the cheapest call that could do the same.

The floor is a method with keyword-only parameters that returns a constant. Everything is measured
in turns in one process, and the best of many short runs counts, so that the ratios hold on a busy
machine too::

    python benchmarks/bench_get.py
"""

from __future__ import annotations

from contextlib import ExitStack
from contextvars import ContextVar
from timeit import Timer
from typing import TYPE_CHECKING, Any

from heksher import Setting, bind_context
from heksher.settings.compiling import CompileOptions, compile_rule_set
from heksher.settings.context import default_source
from heksher.settings.registry import Registry
from heksher.settings.state import Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

FEATURES = ("environment", "user", "theme")
CONTEXT = {"environment": "production", "user": "user7", "theme": "dark"}
CALL = "environment='production', user='user7', theme='dark'"
NUMBER, REPEATS = 20_000, 25

Rules = list[Any]


class Floor:
    """The cheapest thing that takes what `get` takes."""

    def get(self, *, environment: str, user: str, theme: str) -> int:
        return 5


def rules_on(*tiers: tuple[Sequence[str], int]) -> Rules:
    """Return rules: of each tier the features, and how many rules have conditions on them."""
    return [
        (number, [[feature, f"value{number}"] for feature in features], number)
        for features, count in tiers
        for number in range(count)
    ]


OVERLAPPING = [
    *[(n, [["user", f"user{n}"]], n) for n in range(50)],
    *[(50 + n, [["environment", "production"], ["user", f"user{n + 40}"]], n) for n in range(50)],
]
THREE_MASKS = rules_on((["environment"], 10), (["user"], 10), (["environment", "theme"], 10))
FOUR = ("environment", "user", "theme", "region")
TWELVE_MASKS = rules_on(
    *[([one], 5) for one in FOUR],
    *[([one, other], 5) for one in FOUR for other in FOUR if one < other],
    (["environment", "user", "theme"], 5),
    (["user", "theme", "region"], 5),
)


class Case:
    """One setting with rules, and the expression that reads it."""

    def __init__(
        self,
        rules: Rules,
        call: str = CALL,
        *,
        features: Sequence[str] = FEATURES,
        defaults: Mapping[str, Any] = {},
    ) -> None:
        self.registry = Registry()
        self.setting = Setting("bench", int, features, 5, registry=self.registry)
        rule_set = compile_rule_set(
            self.setting, 5, rules, previous=None, options=CompileOptions(feature_order=features)
        )
        self.registry.publish(Snapshot(rule_sets={self.setting.index: rule_set}))
        self.registry.set_defaults(
            {name: default_source(name, default) for name, default in defaults.items()}
        )
        self.expression = f"setting.get({call})"
        self.names: dict[str, Any] = {"setting": self.setting}
        self.surroundings: list[AbstractContextManager[None]] = []

    def inside(self, *surroundings: AbstractContextManager[None]) -> Case:
        self.surroundings += surroundings
        return self

    def as_attribute(self) -> Case:
        owner = type("Config", (), {"value": self.setting})
        self.expression, self.names = "config.value", {"config": owner()}
        return self


def cases() -> dict[str, tuple[Case, str]]:
    """Return each case, and what it may cost at most, in words."""
    variables = {name: ContextVar(name, default=value) for name, value in CONTEXT.items()}
    pinned = Case([])
    twelve = f"{CALL}, region='north'"
    return {
        "no rule": (Case([]), "3"),
        "1,000 rules on one feature": (Case(rules_on((["user"], 1000))), "4"),
        "three masks": (Case(THREE_MASKS), "6"),
        "100 rules on two features, overlapping": (Case(OVERLAPPING), "6"),
        "twelve masks": (Case(TWELVE_MASKS, twelve, features=FOUR), "8"),
        "no rule, constant defaults": (Case([], "", defaults=CONTEXT), "4.5"),
        "three masks, constant defaults": (Case(THREE_MASKS, "", defaults=CONTEXT), "9"),
        "no rule, variables": (Case([], "", defaults=variables), "4.5"),
        "1,000 rules, variables": (Case(rules_on((["user"], 1000)), "", defaults=variables), "6"),
        "three masks, variables": (Case(THREE_MASKS, "", defaults=variables), "9"),
        "three masks, one given, two variables": (
            Case(THREE_MASKS, "user='user7'", defaults=variables),
            "9",
        ),
        "no rule, bound": (Case([], "").inside(bind_context(**CONTEXT)), "4.5"),
        "three masks, bound": (Case(THREE_MASKS, "").inside(bind_context(**CONTEXT)), "9"),
        "no rule, descriptor, bound": (
            Case([], "").as_attribute().inside(bind_context(**CONTEXT)),
            "9",
        ),
        "no rule, pinned": (pinned.inside(pinned.registry.pinned()), "3"),
    }


def measure(case: Case) -> tuple[float, float]:
    """Return the best time of one read, and of one call of the floor, in seconds."""
    read = Timer(case.expression, globals=case.names)
    floor = Timer(f"floor.get({CALL})", globals={"floor": Floor()})
    with ExitStack() as stack:
        for surrounding in case.surroundings:
            stack.enter_context(surrounding)
        turns = [(read.timeit(NUMBER), floor.timeit(NUMBER)) for _ in range(REPEATS)]
    return min(one for one, _ in turns) / NUMBER, min(one for _, one in turns) / NUMBER


def main() -> None:
    print(f"{'':42}{'ns':>7}{'ratio':>8}{'target':>8}")
    for name, (case, target) in cases().items():
        read, floor = measure(case)
        print(f"{name:42}{read * 1e9:7.0f}{read / floor:8.1f}{'<= ' + target:>8}")
    print(f"{'the floor':42}{floor * 1e9:7.0f}{1:8.1f}")


if __name__ == "__main__":
    main()
