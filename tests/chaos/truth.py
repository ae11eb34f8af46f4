"""What is true of a service's settings, by its documented rules alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from chaos.model import Held, numbers
from chaos.specs import CONTEXTS, FEATURES, Context, Spec, fits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chaos.world import World

Choices = dict[tuple[str, int], set[Any]]
"""What may be read, by setting and context."""

Key = tuple[Any, ...]


class _Ranked(NamedTuple):
    """A rule that counts."""

    rank: int
    rule_id: int
    conditions: dict[str, str]
    value: Any
    key: Key
    is_good: bool


class Truth:
    """What is true of a service's settings, for a program that knows their past.

    Args:
        world: The history.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.past_defaults: dict[str, set[Any]] = {}
        self.past_rules: dict[Key, set[Any]] = {}
        self.sure: set[Key] = set()
        """The rules, and the defaults, of which the client has certainly read a good value."""
        self.ever: dict[str, set[Any]] = {}
        self._known: dict[Key, set[Any]] = {}
        self._lost: dict[str, set[Any]] = {}

    def held(self, spec: Spec) -> Held | None:
        held = self._world.service.find(spec.name)
        if held is None and spec.alias:
            held = self._world.service.find(spec.alias)
        return held

    def choices(self) -> Choices:
        """Return what may be read if the present state of the service is what is known."""
        found: Choices = {}
        for spec in list(self._world.settings):
            held = self.held(spec)
            ranked = [] if held is None else self._ranked(spec, held)
            for place, context in enumerate(CONTEXTS):
                key = (spec.name, place)
                if held is None:
                    # Until it is declared again, it keeps what it read.
                    lost = self._lost.get(spec.name, set())
                    found[key] = {spec.default} | self._known.get(key, set()) | lost
                    continue
                found[key] = self._known[key] = self._choices(spec, held, ranked, context)
                self.ever.setdefault(spec.name, set()).update(found[key])
        return found

    def _ranked(self, spec: Spec, held: Held) -> list[_Ranked]:
        """Return the rules that count, the highest precedence first; and remember what is good."""
        order, ranked = self._world.service.features, []
        for rule_id, (conditions, value) in held.rules.items():
            is_good = fits(spec.type, value)
            key = _key(spec, rule_id, conditions)
            if is_good:
                self.past_rules.setdefault(key, set()).add(value)
            if self._counts(spec, conditions):
                rank = sum(1 << order.index(name) for name in conditions)
                ranked.append(_Ranked(rank, rule_id, conditions, value, key, is_good))
        return sorted(ranked, key=lambda one: one[:2], reverse=True)

    def _choices(self, spec: Spec, held: Held, ranked: list[_Ranked], context: Context) -> set[Any]:
        found: set[Any] = set()
        for rule in ranked:
            if any(context[name] != wanted for name, wanted in rule.conditions.items()):
                continue
            if rule.is_good:
                return found | {rule.value}
            # What the rule said before stands in for a value that does not fit.
            found |= self.past_rules.get(rule.key, set())
            if rule.key in self.sure:
                return found
        return found | self._defaults(spec, held)

    def in_contexts_of_rules(self, spec: Spec) -> Iterator[tuple[Context, set[Any]]]:
        """Yield, for each rule of a setting, the context that it is for, and what may be read."""
        held = self.held(spec)
        if held is None:
            return
        ranked = self._ranked(spec, held)
        for conditions, _ in held.rules.values():
            if set(conditions) <= set(spec.features):
                context: Context = {name: conditions.get(name) for name in FEATURES}
                yield context, self._choices(spec, held, ranked, context)

    def _counts(self, spec: Spec, conditions: dict[str, str]) -> bool:
        tracked = self._world.tracked
        return set(conditions) <= set(spec.features) and (
            tracked is None
            or all(value in tracked.get(name, set()) for name, value in conditions.items())
        )

    def _defaults(self, spec: Spec, held: Held) -> set[Any]:
        past = self.past_defaults.setdefault(spec.name, set())
        ours, theirs = numbers(spec.version), numbers(held.version)
        if not spec.default and theirs == ours:
            return {spec.default}
        if fits(spec.type, held.default):
            past.add(held.default)
            # It is upgraded soon, or the service loses the upgrade to a falsy default.
            return {held.default, spec.default} if theirs < ours else {held.default}
        if theirs < ours:
            return past | {spec.default}
        return past if (spec.name,) in self.sure else past | {spec.default}

    def good_values(self, spec: Spec, held: Held) -> set[Any]:
        """Return the values of all rules that count and fit."""
        return {
            value
            for conditions, value in held.rules.values()
            if fits(spec.type, value) and self._counts(spec, conditions)
        }

    def settled(self, spec: Spec) -> None:
        """Note that the client has read what is good now of one setting."""
        held = self.held(spec)
        if held is None:
            return
        for rule_id, (conditions, value) in held.rules.items():
            if fits(spec.type, value) and self._counts(spec, conditions):
                self.sure.add(_key(spec, rule_id, conditions))
                self.past_rules[_key(spec, rule_id, conditions)] = {value}
        is_ours = not spec.default and numbers(held.version) == numbers(spec.version)
        if fits(spec.type, held.default) and not is_ours:
            self.sure.add((spec.name,))
            self.past_defaults[spec.name] = {held.default}

    def forgotten(self, spec: Spec, held: Held) -> None:
        """Note that the service forgets a setting: what it had may be read until it is declared."""
        self.unsure(spec)
        self._lost[spec.name] = {value for _, value in held.rules.values() if _is_plain(value)}

    def unsure(self, spec: Spec) -> None:
        """Note that the client may have lost what it knew of one setting."""
        self.sure = {key for key in self.sure if key[0] != spec.name}


def _is_plain(value: Any) -> bool:
    return isinstance(value, (int, str))


def _key(spec: Spec, rule_id: int, conditions: dict[str, str]) -> Key:
    return (spec.name, rule_id, *sorted(conditions.items()))
