"""One history: a service that changes, a program, the way between them, and all of its chance."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from chaos import doors
from chaos.model import Held, Service, numbers
from chaos.oracle import Oracle
from chaos.pace import INTERVAL, Pace
from chaos.specs import FEATURES, FRESH, MANY, OTHERS, SPECS, VALUES, Spec, padded
from chaos.transports import Wire
from chaos.weather import KINDS, SCOPES, Weather

if TYPE_CHECKING:
    import weakref
    from collections.abc import Callable
    from random import Random

    from chaos.clock import Clock
    from heksher import Setting

__all__ = ["INTERVAL", "Records", "World"]

SETTLED: Final = 2.2 * INTERVAL + 60 + 35 + 10
"""Seconds after which all must be right again: two intervals, the back-off and the request that were
under way, and what declaring again may wait."""


class Records(logging.Handler):
    """Counts what is said about updates that fail and work again."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.forget()

    def forget(self) -> None:
        self.failures: list[int] = []
        self.recoveries = 0
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        self.messages.append(message)
        if doors.says_failure(message):
            self.failures.append(record.levelno)
        elif doors.says_recovery(message):
            self.recoveries += 1


class World:
    """One history.

    Args:
        random: All of its chance.

    Attributes:
        settings: What the program has declared.
        has_many: Whether there are rules for many values of one feature, to be tracked one by one.
        tracked: What it tracks, by feature; `None` while it tracks nothing, so that all rules count.
        defaults: What it gave context features as their defaults.
        is_simple: Whether each rule has one condition.
    """

    def __init__(self, random: Random, clock: Clock) -> None:
        self.random = random
        self.clock = clock
        self.service = Service(random.sample(FEATURES, len(FEATURES)))
        self.weather = Weather(self.service, random)
        self.pace = Pace(self.clock)
        self.wire = Wire(self.weather, self.pace)
        self.registry = doors.Registry()
        chosen = random.sample(SPECS, random.randint(3, 7))
        self.settings: dict[Spec, Setting[Any, ...]] = {
            spec: spec.declare(self.registry) for spec in chosen
        }
        self.has_many = False
        self.tracked: dict[str, set[str]] | None = None
        self.defaults: dict[str, str] = {}
        self.records = Records()
        self.renames = 0
        # Rules with one condition each look alike, whatever the order of features is.
        self.is_simple = random.random() < 0.3
        self.dead: list[weakref.ref[Any]] = []
        self.oracle = Oracle(self)
        self.wire.began = self.oracle.refresh_began
        self.wire.passed = self.oracle.during_refresh

    # What the program does.

    def declare_again(self) -> None:
        """Declare all anew, as a program does that was restarted."""
        self.registry = doors.Registry()
        self.settings = {spec: spec.declare(self.registry) for spec in self.settings}

    def declare_more(self) -> None:
        """Declare what was not declared yet, if there is something left."""
        for spec in FRESH:
            if spec not in self.settings:
                self.pace.wake()
                self.oracle.note()
                self.settings[spec] = spec.declare(self.registry)
                self.oracle.declared(spec)
                return

    def some_tracking(self) -> dict[str, str]:
        """Return something to track: at first little, later one thing more."""
        if self.tracked is None:
            features = {name for name in FEATURES if self.random.random() < 0.4} | {"account_id"}
            return {name: VALUES[name][0] for name in sorted(features)}
        untracked = [
            (name, value)
            for name, values in VALUES.items()
            for value in dict.fromkeys([*values, *(MANY if name == "account_id" else ())])
            if value not in self.tracked.get(name, ())
        ]
        return dict([self.random.choice(untracked)]) if untracked else {}

    def tracks(self, contexts: dict[str, str]) -> None:
        """Note that the program tracks more."""
        self.oracle.note()
        tracked = {name: set(values) for name, values in (self.tracked or {}).items()}
        for name, value in contexts.items():
            tracked.setdefault(name, set()).add(value)
        self.tracked = tracked
        self.oracle.note()

    # What changes on the service.

    def populate(self, *, likely: float = 0.5) -> None:
        """Have the service hold something when the history begins.

        Args:
            likely: How likely a setting has the default there that it has here.
        """
        for spec in list(self.settings):
            if self.has_many or self.random.random() < 0.6:
                default = spec.default if self.random.random() < likely else None
                short, features = spec.former or spec.short, list(spec.features)
                self._declare_for_another(short, spec.type, features, default)
        for _ in range(self.random.randint(0, 12)):
            if self.service.settings:
                self.add_rule(self.random.choice(sorted(self.service.settings)))
        for held in list(self.service.settings.values()):
            if "account_id" in held.features and (self.has_many or self.random.random() < 0.7):
                many = MANY if self.has_many else []
                for value in dict.fromkeys([*VALUES["account_id"], *many]):
                    conditions = {"account_id": value}
                    self.service.add_rule(held.name, self.value_of(held), conditions)
        self.oracle.note()

    def change(self) -> None:
        """Change something on the service."""
        self.oracle.note()
        names = sorted(self.service.settings)
        change = self.random.choice(CHANGES)
        if names or change in (World.recreate, World.reorder):
            change(self, self.random.choice(names) if names else "")
            self.service.edition += 1
        self.oracle.note()

    def value_of(self, held: Held) -> Any:
        number = self.random.randint(100, 9999)
        return number if held.type == "int" else f"v{number}"

    def some_conditions(self, held: Held) -> dict[str, str]:
        most = 1 if self.is_simple else len(held.features)
        features = self.random.sample(held.features, self.random.randint(1, most))
        return {name: self.random.choice(VALUES[name]) for name in features}

    def add_rule(self, name: str) -> None:
        held = self.service.settings[name]
        self.service.add_rule(name, self.value_of(held), self.some_conditions(held))

    def add_overlapping_rules(self, name: str) -> None:
        """Add rules of which all match one context: which one wins, the order of features says."""
        held = self.service.settings[name]
        for feature in held.features:
            self.service.add_rule(name, self.value_of(held), {feature: VALUES[feature][0]})

    def drop_rule(self, name: str) -> None:
        rules = self.service.settings[name].rules
        if rules:
            del rules[self.random.choice(sorted(rules))]

    def _bad(self) -> Any:
        return self.random.choice([None, [], 1.5, True, {"a": 1}])

    def add_bad_rule(self, name: str) -> None:
        held = self.service.settings[name]
        self.service.add_rule(name, self._bad(), self.some_conditions(held))

    def spoil_rule(self, name: str) -> None:
        """Give a rule that is there a value that does not fit: what it said before has to stay."""
        rules = self.service.settings[name].rules
        if rules:
            rule_id = self.random.choice(sorted(rules))
            rules[rule_id] = (rules[rule_id][0], self._bad())

    def spoil_default(self, name: str) -> None:
        self.service.settings[name].default = self._bad()

    def rename(self, name: str) -> None:
        self.renames += 1
        version = self._bumped(name)
        short = name.partition(".")[0].partition("__")[0]
        self.service.rename(name, padded(f"{short}__{self.renames}"), version)

    def _bumped(self, name: str) -> str:
        major, minor = numbers(self.service.settings[name].version)
        return f"{major}.{minor + 1}"

    def delete(self, name: str) -> None:
        self.oracle.forgotten(self.service.settings[name])
        del self.service.settings[name]

    def empty(self, _: str) -> None:
        for held in self.service.settings.values():
            self.oracle.forgotten(held)
        self.service.settings.clear()
        self.service.rule_ids = 0

    def upgrade(self, name: str) -> None:
        held = self.service.settings[name]
        held.version, held.default = self._bumped(name), self.value_of(held)

    def change_type(self, name: str) -> None:
        held = self.service.settings[name]
        held.type = "str" if held.type == "int" else "int"
        held.version = f"{numbers(held.version)[0] + 1}.0"
        held.default = self.value_of(held)
        rules = [conditions for conditions, _ in held.rules.values()]
        held.rules.clear()
        for conditions in rules:
            self.service.add_rule(name, self.value_of(held), conditions)

    def reorder(self, _: str) -> None:
        self.random.shuffle(self.service.features)

    def recreate(self, _: str) -> None:
        """Have another program declare something: new to the service, or a former name."""
        self._declare_for_another(self.random.choice(OTHERS), "int", ["environment", "user"])

    def _declare_for_another(
        self, short: str, kind: str, features: list[str], default: Any = None
    ) -> None:
        fifty = 50 if kind == "int" else "fifty"
        body: dict[str, Any] = {
            "name": padded(short),
            "type": kind,
            "default_value": fifty if default is None else default,
            "version": "1.0",
            "configurable_features": features,
            "metadata": {},
            "alias": None,
        }
        self.service.declare(body)

    def turn_weather(self) -> None:
        """Let something go wrong from now on."""
        kind = self.random.choice(KINDS)
        # Who is sent too many declarations says so, more often than others.
        more = ["/declare"] * len(SCOPES) if kind == "busy" else []
        scope = self.random.choice([*SCOPES, *more])
        self.weather.turn(kind, scope, self.random.choice([1.0, 1.0, 0.5, 0.1]))


CHANGES: Final[list[Callable[[World, str], None]]] = [
    *[World.add_rule] * 5,
    *[World.add_overlapping_rules] * 2,
    World.drop_rule,
    World.add_bad_rule,
    *[World.spoil_rule] * 2,
    World.spoil_default,
    World.rename,
    World.delete,
    World.empty,
    World.upgrade,
    World.change_type,
    *[World.reorder] * 3,
    World.recreate,
]
