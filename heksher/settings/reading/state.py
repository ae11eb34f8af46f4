"""One published state: for every setting, how it is read. Immutable but for what it lacked.

A state is a plain list, the fastest thing to look into, made by `make_state`:

* `state[0]` is its `StateContent`: what it was made from;
* `state[p]`, for the place `p` of a setting, a multiple of three, is the setting's resolver, or
  `None` where it has no rules, so that its value depends on nothing;
* `state[p + 1]` is its filler, or `None` until it is first needed;
* `state[p + 2]` is its value where it has no resolver.

It is too short for a setting that was declared later, which reads its declared default.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from heksher.exceptions import MissingContextFeature
from heksher.settings.context import NO_DEFAULT, DefaultSource

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from heksher.settings.declaration import Declaration
    from heksher.settings.rules.rule_set import RuleSet

State: TypeAlias = list[Any]

PLACES: Final = 3
"""How many items of a state are a setting's."""


class Source(StrEnum):
    """Where a snapshot's rules came from."""

    DECLARED_DEFAULTS = "declared defaults"
    SERVICE = "service"
    SNAPSHOT = "snapshot"
    STUB = "stub"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The compiled rules of all settings at one time; it never changes.

    Attributes:
        rule_sets: A rule set by the setting's index. A setting without one reads its declared
            default.
        feature_order: The service's order of context features, as of the same time.
        source: Where the rules came from.
        taken_at: When the service last confirmed them, in seconds of `time.monotonic`.
    """

    rule_sets: Mapping[int, RuleSet[Any]] = field(default_factory=dict)
    feature_order: tuple[str, ...] = ()
    source: Source = Source.DECLARED_DEFAULTS
    taken_at: float = field(default_factory=monotonic)


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class StateContent:
    """What a state was made from: a snapshot, and the client's defaults by feature.

    Each state has one of its own, which is there as long as the state is.
    """

    snapshot: Snapshot
    defaults: Mapping[str, DefaultSource]


class Overlay:
    """A view in which some settings have a given value, over a state; see `Setting.override`.

    Args:
        base: The state that is read for all others.
        overridden: The settings, kept, for others may have their places after them; the values.

    Attributes:
        values: The values by the settings' places.
    """

    __slots__ = ("_base", "overridden", "values")

    def __init__(
        self, base: Callable[[], State], overridden: Sequence[tuple[Declaration, Any]]
    ) -> None:
        self._base = base
        self.overridden: tuple[tuple[Declaration, Any], ...] = tuple(overridden)
        self.values: dict[int, Any] = {
            declaration.place: value for declaration, value in overridden
        }

    @property
    def state(self) -> State:
        """The state underneath: the pinned one, or the one that is published now."""
        return self._base()

    def __getitem__(self, place: int) -> Any:
        state = self.state
        first = place - place % PLACES
        resolve = state[place]
        if resolve is None and place == first:
            # Never `None`: by the time the value is asked for, another state may be published.
            value = state[first + 2]
            resolve = lambda *_values: value  # noqa: E731  # as small as it gets
        if first not in self.values or not first:
            return resolve
        # The caller's mistakes stay errors, so a missing feature has to be looked for.
        return None if resolve is None else _then(resolve, self.values[first])


def _then(resolve: Callable[..., Any], value: Any) -> Callable[..., Any]:
    def overridden(*feature_values: Any) -> Any:
        resolve(*feature_values)
        return value

    return overridden


class Alarm:
    """A state that calls someone before it is read for the first time; see `Registry.forked`.

    Attributes:
        state: The state underneath.
    """

    __slots__ = ("_ring", "state")

    def __init__(self, state: State, ring: Callable[[Alarm], None]) -> None:
        self.state: State = state
        self._ring = ring

    def __getitem__(self, place: int) -> Any:
        self._ring(self)
        return self.state[place]


View: TypeAlias = "State | Overlay | Alarm"


ASIDE: Final[tuple[Any, ...]] = (None,)
"""What readers are given while reads are observed: too short for all settings; see `observing`."""


def state_of(view: View) -> State:
    """Return the state that *view* shows, whatever lies over it."""
    return view if isinstance(view, list) else view.state


def settled(view: View) -> View:
    """Return *view* as it is now: overrides over one state, whatever is published from now on."""
    if not isinstance(view, Overlay):
        return view
    state = view.state
    return Overlay(lambda: state, view.overridden)


def make_state(content: StateContent, settings: Collection[Declaration]) -> State:
    """Return the state of *content* for *settings*; it is as long as they need it."""
    size = max([one.place for one in settings], default=0) + PLACES
    state: State = [None] * size
    state[0] = content
    rule_sets = content.snapshot.rule_sets
    for setting in settings:
        rule_set = rule_sets.get(setting.index)
        place = setting.place
        if rule_set is None:
            state[place + 2] = setting.default_value
        else:
            state[place : place + PLACES] = _items_of(rule_set)
    return state


def next_state(state: State, content: StateContent, replaced: Mapping[int, RuleSet[Any]]) -> State:
    """Return the state that follows *state*, where the settings at some places have other rules.

    The others keep their fillers, so *content* must have the same defaults of context features.
    """
    following = state.copy()
    following[0] = content
    for place, rule_set in replaced.items():
        following[place : place + PLACES] = _items_of(rule_set)
    return following


def _items_of(rule_set: RuleSet[Any]) -> tuple[Any, Any, Any]:
    if rule_set.shape:
        return rule_set.resolve, None, None
    return None, None, rule_set.default


def rule_set_in(state: State, setting: Declaration) -> RuleSet[Any]:
    """Return the rule set that *setting* has in *state*: of its declared default if none."""
    content: StateContent = state[0]
    return content.snapshot.rule_sets.get(setting.index) or setting.declared_rules


def fill_in(view: View, setting: Declaration) -> Any:
    """Return the filler of *setting* for *view*, made and kept there if it was not yet."""
    state = state_of(view)
    content: StateContent = state[0]
    rule_set = rule_set_in(state, setting)
    filler = rule_set.filler(
        sources=[content.defaults.get(name, NO_DEFAULT) for name in rule_set.features],
        # By the name alone: a state must not keep alive a setting that nobody can read any more.
        missing=partial(MissingContextFeature, setting.name),
    )
    if setting.place < len(state):
        state[setting.place + 1] = filler
    if isinstance(view, Overlay) and setting.place in view.values:
        return _then(filler, view.values[setting.place])
    return filler
