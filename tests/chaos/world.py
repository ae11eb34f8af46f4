"""A service that changes, a program that reads, and the oracle that knows what it may read."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from chaos.clock import Clock
from chaos.model import TYPES, Held, Service, numbers
from chaos.weather import KINDS, SCOPES, Weather
from heksher import Setting
from heksher.settings.registry import Registry

if TYPE_CHECKING:
    import weakref
    from collections.abc import Callable
    from random import Random

    from heksher import ClientStatus

INTERVAL: Final = 60.0
FEATURES: Final = ["environment", "user"]
SETTLED: Final = 2.2 * INTERVAL + 60 + 35 + 10
"""Seconds after which all must be right again: two intervals, the back-off and the request that were
under way, and what declaring again may wait."""

MEMORY: Final = 160.0
"""For how long a refresh may have been under way when it ends."""

CONTEXTS: Final[list[dict[str, str | None]]] = [
    {"environment": None, "user": None},
    {"environment": "prod", "user": None},
    {"environment": None, "user": "x"},
    {"environment": "prod", "user": "x"},
]
CONDITIONS: Final[list[dict[str, str]]] = [
    {"environment": "prod"},
    {"user": "x"},
    {"environment": "prod", "user": "x"},
    {"user": "y"},
]


@dataclass(frozen=True)
class Spec:
    """A setting as the program declares it."""

    name: str
    type: str
    default: Any
    version: str = "1.0"
    alias: str | None = None

    def declare(self, registry: Registry) -> Setting[Any, ...]:
        return Setting(
            self.name,
            TYPES[self.type],
            configurable_features=FEATURES,
            default_value=self.default,
            version=self.version,
            alias=self.alias,
            registry=registry,
        )


SPECS: Final = [
    Spec("a", "int", 1),
    Spec("falsy", "int", 0),
    Spec("text", "str", "t"),
    Spec("renamed", "int", 4, "2.0", "former"),
    Spec("newer", "int", 9, "1.2"),
]
FRESH: Final = Spec("fresh", "int", 11)

Choices = dict[tuple[str, int], set[Any]]
"""What may be read, by setting and context."""


class Violation(AssertionError):  # noqa: N818  # says what happened
    """A promise was broken.

    Attributes:
        kind: `freeze`, `wrong` or `leak`.
    """

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(f"{kind}: {what}")
        self.kind = kind


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
        if "update failed" in message or "updates failed" in message:
            self.failures.append(record.levelno)
        elif "updated again" in message:
            self.recoveries += 1


class World:
    """One history: its randomness, its service, the way there, and what was true when."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.clock = Clock()
        self.service = Service(list(FEATURES))
        self.weather = Weather(self.service, random)
        self.registry = Registry()
        chosen = random.sample(SPECS, random.randint(2, 4))
        self.settings = {spec: spec.declare(self.registry) for spec in chosen}
        self.records = Records()
        self.past_defaults: dict[str, set[Any]] = {}
        self.ever: dict[str, set[Any]] = {}
        self.known: dict[tuple[Any, ...], set[Any]] = {}
        self.past_rules: dict[tuple[Any, ...], set[Any]] = {}
        self.history: list[tuple[float, Choices, Choices]] = []
        self.lied_at = -1e9
        self.worked_at: float | None = None
        self.renames = 0
        self.dead: list[weakref.ref[Any]] = []

    # What may be read.

    def choices(self) -> Choices:
        """Return what may be read if the present state of the service is what is known."""
        found: Choices = {}
        for spec in self.settings:
            held = self.service.find(spec.name)
            if held is None and spec.alias:
                held = self.service.find(spec.alias)
            for place, context in enumerate(CONTEXTS):
                found[spec.name, place] = self._choices(spec, held, context)
        return found

    def misordered(self) -> Choices:
        """Return what may be read besides while the order of context features cannot be had.

        Rules and their order come in two answers: if one of them fails, as the status says then,
        new rules are read in the order that was good last.
        """
        self.service.features.reverse()
        found = self.choices()
        self.service.features.reverse()
        return found

    def _choices(self, spec: Spec, held: Held | None, context: dict[str, str | None]) -> set[Any]:
        key = (spec.name, *context.items())
        if held is None:
            # Until it is declared again, it keeps what it read.
            return {spec.default} | self.known.get(key, set())
        self.known[key] = self._choices_of(spec, held, context)
        self.ever.setdefault(spec.name, set()).update(self.known[key])
        return self.known[key]

    def _choices_of(self, spec: Spec, held: Held, context: dict[str, str | None]) -> set[Any]:
        found: set[Any] = set()
        for rule_id, conditions, value in self._matching(held, context):
            key = (spec.name, rule_id, *sorted(conditions.items()))
            if _fits(spec, value):
                self.past_rules.setdefault(key, set()).add(value)
                return found | {value}
            # What the rule said before stands in for a value that does not fit.
            found |= self.past_rules.get(key, set())
        return found | self._defaults(spec, held)

    def _matching(self, held: Held, context: dict[str, str | None]) -> list[Any]:
        order = self.service.features
        matching = [
            (sum(1 << order.index(name) for name in conditions), rule_id, conditions, value)
            for rule_id, (conditions, value) in held.rules.items()
            if all(context.get(name) == wanted for name, wanted in conditions.items())
        ]
        return [one[1:] for one in sorted(matching, key=lambda one: one[:2], reverse=True)]

    def _defaults(self, spec: Spec, held: Held) -> set[Any]:
        past = self.past_defaults.setdefault(spec.name, set())
        if not spec.default and numbers(held.version) == numbers(spec.version):
            return {spec.default}
        if numbers(held.version) < numbers(spec.version):
            # It is upgraded soon, or the service loses the upgrade to a falsy default.
            return {spec.default, held.default}
        if _fits(spec, held.default):
            past.add(held.default)
            return {held.default}
        return past | {spec.default}

    # What changes.

    def change(self) -> None:
        """Change something on the service."""
        self._note()
        names = sorted(self.service.settings)
        change = self.random.choice(CHANGES)
        if names or change in (World.recreate, World.reorder):
            change(self, self.random.choice(names) if names else "")
        self._note()

    def _note(self) -> None:
        misordered = self.misordered()
        self.history.append((self.clock.now, self.choices(), misordered))

    def value_of(self, held: Held) -> Any:
        number = self.random.randint(100, 999)
        return number if held.type == "int" else f"v{number}"

    def add_rule(self, name: str) -> None:
        held = self.service.settings[name]
        self.service.add_rule(name, self.value_of(held), self.random.choice(CONDITIONS))

    def drop_rule(self, name: str) -> None:
        rules = self.service.settings[name].rules
        if rules:
            del rules[self.random.choice(sorted(rules))]

    def add_bad_rule(self, name: str) -> None:
        bad: Any = self.random.choice([None, [], 1.5, True, {"a": 1}])
        self.service.add_rule(name, bad, self.random.choice(CONDITIONS))

    def rename(self, name: str) -> None:
        self.renames += 1
        self.service.rename(name, f"{name.partition('__')[0]}__{self.renames}", self.bumped(name))

    def bumped(self, name: str) -> str:
        major, minor = numbers(self.service.settings[name].version)
        return f"{major}.{minor + 1}"

    def delete(self, name: str) -> None:
        del self.service.settings[name]

    def empty(self, _: str) -> None:
        self.service.settings.clear()
        self.service.rule_ids = 0

    def upgrade(self, name: str) -> None:
        held = self.service.settings[name]
        held.version, held.default = self.bumped(name), self.value_of(held)

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
        self.service.features.reverse()

    def recreate(self, _: str) -> None:
        """Have another program declare something: new to the service, or a former name."""
        body = {
            "name": self.random.choice(["other", "former", "a", "newer"]),
            "type": "int",
            "default_value": 50,
            "version": "1.0",
            "configurable_features": list(FEATURES),
            "metadata": {},
            "alias": None,
        }
        self.service.declare(body)

    def turn_weather(self) -> None:
        """Let something go wrong from now on."""
        kind, scope = self.random.choice(KINDS), self.random.choice(SCOPES)
        self.weather.turn(kind, scope, self.random.choice([1.0, 1.0, 0.5, 0.1]))

    # What is checked.

    def told(self) -> None:
        """Note that an update worked, as `on_update_ok` is called."""
        self.worked_at = now = self.clock.now
        if self.weather.lies:
            self.lied_at = now
        if now - self.lied_at > MEMORY:
            self.history = [one for one in self.history if one[0] > now - MEMORY]

    def check_reads(self, status: ClientStatus) -> None:
        """Check that all that is read was true since the last update that worked.

        What is not declared as asked, as the status says, keeps what it read before that, too.

        Raises:
            Violation: It was not.
        """
        if self.weather.lies:
            self.lied_at = self.clock.now
        misordered = [self.misordered(), *[choices for _, _, choices in self.history]]
        states = [self.choices(), *[choices for _, choices, _ in self.history]]
        if status.consecutive_failures:
            states += misordered
        refused = {one.setting_name for one in status.refused_declarations}
        for spec, setting in self.settings.items():
            for place, context in enumerate(CONTEXTS):
                value = setting.get(**context)
                known = {spec.default}.union(
                    *[state.get((spec.name, place), set()) for state in states],
                    self.ever.get(spec.name, set()) if spec.name in refused else set(),
                )
                if value not in known:
                    raise Violation("wrong", f"{spec.name} {context} is {value!r}, not {known}")

    def check_settled(self, status: ClientStatus) -> None:
        """Check that all is right some time after the last fault.

        Raises:
            Violation: Something is not.
        """
        for (name, place), known in self.choices().items():
            setting = next(one for spec, one in self.settings.items() if spec.name == name)
            value = setting.get(**CONTEXTS[place])
            if value not in known:
                what = f"{name} {CONTEXTS[place]} is {value!r}, not {known}"
                raise Violation("freeze", f"{what}: {status}")
        if status.consecutive_failures or status.age is None or status.age > SETTLED:
            raise Violation("freeze", f"nothing is updated: {status}")

    def check_signs(self, status: ClientStatus) -> None:
        """Check that the age is told, and that failures are.

        Raises:
            Violation: They are not.
        """
        if self.worked_at is None or status.age is None:
            raise Violation("freeze", f"nothing tells how old the values are: {status}")
        # A refresh may end just after the moment that the service confirmed its values.
        if status.age < self.clock.now - self.worked_at - 1e-6:
            raise Violation("freeze", f"the age is said to be {status.age}")
        if len(self.records.failures) > 2 * (1 + self.records.recoveries):
            raise Violation("freeze", f"failures fill the log: {self.records.messages}")

    def check_outage(self, status: ClientStatus) -> None:
        """Check the signs of a failure that has lasted for several intervals.

        Raises:
            Violation: There are none.
        """
        if not status.consecutive_failures or not status.last_error or not self.records.failures:
            raise Violation("freeze", f"a silent failure: {status} {self.records.messages}")


CHANGES: Final[list[Callable[[World, str], None]]] = [
    World.add_rule,
    World.add_rule,
    World.add_rule,
    World.add_rule,
    World.drop_rule,
    World.add_bad_rule,
    World.rename,
    World.delete,
    World.empty,
    World.upgrade,
    World.change_type,
    World.reorder,
    World.recreate,
]


def _fits(spec: Spec, value: Any) -> bool:
    if spec.type == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, str)
