"""What may be read and said at any moment of a history, and some time after each fault."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from chaos.pace import INTERVAL
from chaos.specs import CONTEXTS, Spec
from chaos.truth import Choices, Truth
from chaos.violation import Violation

if TYPE_CHECKING:
    from chaos.model import Held
    from chaos.world import World
    from heksher import ClientStatus

SETTLED: Final = 2.2 * INTERVAL + 60 + 35 + 10
MEMORY: Final = 160.0
"""For how long an answer may lie in secret."""


class _Past(NamedTuple):
    """What was true at some time."""

    at: float
    choices: Choices
    held: dict[str, Held]
    order: tuple[str, ...]
    known_as: tuple[int, str]


class Oracle:
    """Checks what is read and what is said, at any moment.

    Args:
        world: The history.

    Attributes:
        worked_at: When the last update that worked began; `None` before the first.
        confirmed_at: When the service confirmed its values in it.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.truth = Truth(world)
        self.worked_at: float | None = None
        self.confirmed_at: float | None = None
        self.lied_at = -1e9
        self._history: list[_Past] = []
        self._told: dict[str, tuple[Any, ...]] = {}
        self._young: set[str] = set()
        self._was_refused = False
        self.validators: list[tuple[Spec, list[Any]]] = []

    # What is noted.

    def note(self) -> None:
        """Note what is true now, since it changes, or did."""
        world = self._world
        known_as = (world.service.edition, str(world.tracked))
        if self._history and self._history[-1].known_as == known_as:
            return
        held = {
            name: replace(one, rules=dict(one.rules))
            for name, one in world.service.settings.items()
        }
        order = tuple(world.service.features)
        self._history.append(_Past(world.clock.now, self.truth.choices(), held, order, known_as))

    def forgotten(self, held: Held) -> None:
        """Note that the service forgets a setting: what was sure about it is not any more."""
        for spec in self._world.settings:
            if self.truth.held(spec) is held:
                self.truth.forgotten(spec, held)

    def declared(self, spec: Spec) -> None:
        """Note that the program declares something new: until it is fetched it has its default."""
        self._young.add(spec.name)
        self._told[spec.name] = spec.reading(self._world.settings[spec])

    def restarted(self) -> None:
        """Note that the program was ended, and another one begins."""
        self.truth.sure = set()
        self.worked_at = self.confirmed_at = None
        self._told, self.validators = {}, []
        self._world.pace.restarted()

    def refresh_began(self) -> None:
        refresh = self._world.pace.refresh
        if refresh is not None:
            refresh.reading = self.reading()

    def during_refresh(self) -> None:
        """Check that nothing of a refresh that is under way can be read yet."""
        pace = self._world.pace
        if pace.refresh is None or not pace.is_running or pace.refresh.reading is None:
            return
        now, before = self.reading(), pace.refresh.reading
        torn = [name for name, was in before.items() if now.get(name, was) != was]
        if torn:
            pace.wrong.append(f"half a refresh can be read: {_short(torn)}")

    def reading(self) -> dict[str, tuple[Any, ...]]:
        """Return all that is read now."""
        return {
            spec.name: spec.reading(setting) for spec, setting in list(self._world.settings.items())
        }

    def worked(self) -> None:
        """Note that an update worked, as `on_update_ok` is called."""
        world = self._world
        world.pace.ended(well=True)
        refresh, now = world.pace.refresh, world.clock.now
        if refresh is None:
            return
        self.worked_at, self.confirmed_at = refresh.began, refresh.as_of
        self._young = set()
        if world.weather.lies:
            self.lied_at = now
        if now - self.lied_at > MEMORY:
            self.prune(refresh.began)

    def failed(self) -> None:
        """Note that an update failed, as `on_update_error` is called."""
        self._world.pace.ended(well=False)

    def prune(self, began: float) -> None:
        """Forget what was true no more when the last good update began."""
        kept = [
            one
            for one, following in zip(self._history, [*self._history[1:], None], strict=True)
            if following is None or following.at >= began
        ]
        self._history = kept

    def told_of_change(self, changed: Any) -> None:
        """Note what is read when the program is told of a change."""
        for spec, setting in list(self._world.settings.items()):
            if setting in changed:
                self._told[spec.name] = spec.reading(setting)

    def begin_telling(self) -> None:
        """Note what is read when the program begins to be told of changes."""
        self._told = self.reading()

    # What is checked.

    def check(self, status: ClientStatus) -> None:
        """Check all that has to be true at any time.

        Raises:
            Violation: It is not.
        """
        self.check_wrongs()
        self.check_reads(status)
        self._check_signs(status)

    def check_wrongs(self) -> None:
        wrong = [*self._world.pace.wrong, *self._world.wire.wrong]
        if wrong:
            raise Violation("wrong", "; ".join(wrong[:3]))

    def check_reads(self, status: ClientStatus) -> None:
        """Check that all that is read was true since the last update that worked.

        What is not declared as asked, as the status says, keeps what it read before that, too.

        Raises:
            Violation: It was not.
        """
        world, now = self._world, self._world.clock.now
        if world.weather.lies:
            self.lied_at = now
        refused = {one.setting_name for one in status.refused_declarations}
        states = [self.truth.choices(), *[one.choices for one in self._history]]
        if status.consecutive_failures:
            states += self._misordered()
        is_new = self.worked_at is None or now - self.lied_at <= MEMORY
        for spec, setting in list(world.settings.items()):
            if spec.name in refused:
                self._was_refused = True
                self.truth.unsure(spec)
            for place, value in enumerate(spec.reading(setting)):
                known: set[Any] = set().union(*[one.get((spec.name, place), ()) for one in states])
                if is_new or spec.name in refused or spec.name in self._young:
                    known |= {spec.default}
                if spec.name in refused:
                    known |= self.truth.ever.get(spec.name, set())
                if not _is_in(value, known):
                    what = f"{spec.short} {spec.part_of(CONTEXTS[place])} is {value!r}"
                    raise Violation("wrong", f"{what}, not {known}")

    def _misordered(self) -> list[Choices]:
        """Return what may be read besides while some requests fail, as the status says.

        Rules and their order come in two answers: any rules of late may be read in any order of late,
        and by what is tracked now.
        """
        service = self._world.service
        order, settings, found = service.features, service.settings, []
        orders = {tuple(order), *[one.order for one in self._history]}
        for held in [settings, *[one.held for one in self._history]]:
            for other in orders:
                service.features, service.settings = list(other), held
                found.append(self.truth.choices())
        service.features, service.settings = order, settings
        # What was computed last is what is known last.
        self.truth.choices()
        return found

    def check_settled(self, status: ClientStatus, *, is_quiet: bool) -> None:
        """Check that all is right some time after the last fault.

        Args:
            status: What the client says.
            is_quiet: Whether nothing was asked of it meanwhile, such as to reload.

        Raises:
            Violation: Something is not.
        """
        self.check_wrongs()
        world = self._world
        reading = self.reading()
        if status.consecutive_failures or status.age is None or status.age > SETTLED:
            raise Violation("freeze", f"nothing is updated: {_said(status)}")
        self.check_values(_said(status))
        self._check_each_rule()
        self._check_told(reading)
        self._check_defaults()
        refused = {one.setting_name for one in status.refused_declarations}
        self._check_validators(refused)
        lost = [one.name for one in world.settings if self.truth.held(one) is None]
        if not refused.issuperset(lost):
            raise Violation("freeze", f"not declared, and nothing says so: {_short(lost)}")
        was_refused, self._was_refused = self._was_refused or bool(refused), False
        if (
            is_quiet
            and not was_refused
            and (wasted := world.pace.check_quiet(world.service.edition))
        ):
            raise Violation("wrong", wasted)
        for spec in world.settings:
            if spec.name not in refused:
                self.truth.settled(spec)
        self._history = []
        self.note()

    def check_values(self, said: str = "") -> None:
        """Check that all that is read is what the service holds now.

        Raises:
            Violation: It is not.
        """
        choices = self.truth.choices()
        for spec, setting in self._world.settings.items():
            for place, value in enumerate(spec.reading(setting)):
                known = choices[spec.name, place]
                if not _is_in(value, known):
                    what = f"{spec.short} {spec.part_of(CONTEXTS[place])} is {value!r}"
                    raise Violation("freeze", f"{what}, not {known}: {said}")

    def _check_each_rule(self) -> None:
        """Check each rule in the context that it is for, also where no other context has it."""
        for spec, setting in self._world.settings.items():
            for context, known in self.truth.in_contexts_of_rules(spec):
                value = setting.get(**spec.part_of(context))
                if not _is_in(value, known):
                    what = f"{spec.short} {spec.part_of(context)} is {value!r}"
                    raise Violation("freeze", f"{what}, not {known}")

    def _check_told(self, reading: dict[str, tuple[Any, ...]]) -> None:
        untold = [name for name, was in self._told.items() if reading.get(name, was) != was]
        if untold:
            raise Violation("wrong", f"changed, and no listener was told so: {_short(untold)}")

    def _check_validators(self, refused: set[str]) -> None:
        """Check that validators saw all values, also those that came before them."""
        for spec, seen in self.validators:
            held = self.truth.held(spec)
            if held is not None and spec.name not in refused:
                missed = self.truth.good_values(spec, held) - set(seen)
                if missed:
                    raise Violation("freeze", f"{spec.short} was not validated: {missed}")

    def _check_defaults(self) -> None:
        """Check that what a call leaves out comes from the defaults that the client was given."""
        defaults = self._world.defaults
        for spec, setting in self._world.settings.items():
            if set(spec.features) <= defaults.keys():
                given = setting.get(**{name: defaults[name] for name in spec.features})
                if setting.get() != given:
                    raise Violation("wrong", f"{spec.short} ignores the defaults {defaults}")

    def _check_signs(self, status: ClientStatus) -> None:
        """Check that the age is told, and that failures are."""
        world = self._world
        if self.confirmed_at is None:
            return
        if status.age is None:
            raise Violation("freeze", f"nothing tells how old the values are: {_said(status)}")
        # A refresh may end just after the moment that the service confirmed its values.
        if status.age < world.clock.now - self.confirmed_at - 1e-6:
            oldest = world.clock.now - self.confirmed_at
            raise Violation("freeze", f"the age is said to be {status.age}, and is {oldest}")
        if len(world.records.failures) > 2 * (1 + world.records.recoveries):
            raise Violation("freeze", f"failures fill the log: {world.records.messages}")

    def check_outage(self, status: ClientStatus) -> None:
        """Check the signs of a failure that has lasted for several intervals.

        Raises:
            Violation: There are none.
        """
        said = self._world.records.failures
        if not status.consecutive_failures or not status.last_error or not said:
            raise Violation("freeze", f"a silent failure: {_said(status)}")


def _is_in(value: Any, known: set[Any]) -> bool:
    return any(type(value) is type(one) and value == one for one in known)


def _short(names: list[str]) -> list[str]:
    return [name.partition(".x")[0] for name in names]


def _said(status: ClientStatus) -> str:
    return (
        f"{status.consecutive_failures} failures, {status.last_error}, age {status.age},"
        f" refused {_short([one.setting_name for one in status.refused_declarations])},"
        f" rejected {len(status.rejected_rules)}"
    )
