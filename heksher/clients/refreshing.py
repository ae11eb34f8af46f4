"""From query answers and the previous snapshot to the next one, and a report of what happened."""

from __future__ import annotations

from asyncio import CancelledError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from heksher.clients.effects import Breathe
from heksher.settings.compiling import CompileOptions, compile_rule_set
from heksher.settings.rules import Rejection, RuleSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from heksher.clients.declaring import Standing
    from heksher.clients.effects import Flow
    from heksher.clients.querying import Plan
    from heksher.clients.tracking import Tracking
    from heksher.settings.compiling import RawRule
    from heksher.settings.declaration import Declaration
    from heksher.settings.state import Snapshot
    from heksher.wire import QueriedSetting

RULE_SETS_IN_ONE_GO: Final = 500
"""How many rule sets are brought into order, or let go, before others may run: a few ms."""


class Reading(NamedTuple):
    """What the values of a setting were made of when they were compiled last.

    Attributes:
        validators: The validators that they passed.
        is_local_default: Whether the setting was to read its own default.
        raw_default: The service's default.
    """

    validators: tuple[Any, ...]
    is_local_default: bool
    raw_default: Any


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What one refresh came to; nothing of it counts before it is published.

    Attributes:
        snapshot: The next snapshot.
        changed: The settings that some context reads otherwise now.
        etags: The ETag of each query that was answered well.
        tracking: What was tracked when it began.
        readings: How each setting compiled was read, by index.
        validated: What each setting with validators was compiled from, by index.
        standings: How each setting stands, by declared name.
        plan: The queries that the next refresh can send again, if all that could be was found out.
        notes: What is to be said once of settings' declarations, by declared name.
        malformed: What is wrong with entries of the service's list.
        missing_features: The client's context features that the service lacks.
        errors: What went wrong; where it did, former values stay.
        asked_for: Seconds for which the service asked to be sent no declarations.
    """

    snapshot: Snapshot
    changed: frozenset[Declaration]
    etags: Mapping[str, str]
    tracking: Tracking
    readings: Mapping[int, Reading]
    validated: Mapping[int, QueriedSetting]
    standings: dict[str, Standing]
    plan: Plan | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    malformed: tuple[str, ...] = ()
    missing_features: tuple[str, ...] = ()
    errors: tuple[Exception, ...] = ()
    asked_for: float = 0.0


class Compiler:
    """Collects the rule sets of one refresh.

    Args:
        living: Returns all living settings by index.
        previous: The rule sets that are read now, by index.
        feature_order: The service's order of context features.
        is_tracked: Tells whether a condition is tracked; `None` for all.

    Attributes:
        changed: The settings that some context reads otherwise.
        readings: How each setting compiled was read, by index.
        validated: What each setting with validators was compiled from, by index.
    """

    def __init__(
        self,
        living: Callable[[], Mapping[int, Declaration]],
        previous: Mapping[int, RuleSet[Any]],
        *,
        feature_order: tuple[str, ...],
        is_tracked: Callable[[str, str], bool] | None,
    ) -> None:
        self.living = living
        self._previous = previous
        self._feature_order = feature_order
        self._is_tracked = is_tracked
        self.changed: set[Declaration] = set()
        self.readings: dict[int, Reading] = {}
        self.validated: dict[int, QueriedSetting] = {}
        self._next: dict[int, RuleSet[Any]] | None = None

    @property
    def rule_sets(self) -> Mapping[int, RuleSet[Any]]:
        """The next rule sets by index: the previous ones, as long as none is another."""
        return self._previous if self._next is None else self._next

    def _writable(self) -> dict[int, RuleSet[Any]]:
        if self._next is None:
            self._next = dict(self._previous)
        return self._next

    def drop_dead(self) -> None:
        """Leave out the rules of settings that nobody has any more."""
        for index in self.rule_sets.keys() - self.living().keys():
            del self._writable()[index]

    def reorder(self) -> Flow[None]:
        """Bring all former rule sets into the present order of context features."""
        for place, setting in enumerate(self.living().values()):
            if place % RULE_SETS_IN_ONE_GO == 0:
                yield Breathe()
            former = self.rule_sets.get(setting.index)
            if former is not None:
                self._take(setting, former.reordered(self._feature_order))

    def compile(self, setting: Declaration, queried: QueriedSetting, standing: Standing) -> None:
        """Compile what a query answered for *setting*; what goes wrong there stays there."""
        # Taken before any validator is called: one that is added meanwhile has not seen all values.
        reading = Reading(
            setting.validators, standing.reads_local_default(setting), queried["default_value"]
        )
        self.readings[setting.index] = reading
        try:
            self._take(setting, self._compiled(setting, queried, standing))
            if reading.validators:
                self.validated[setting.index] = queried
        except (Exception, CancelledError) as error:  # noqa: BLE001  # a user's code may raise anything
            self._keep(setting, f"reading its rules raised {type(error).__name__}")

    def _compiled(
        self, setting: Declaration, queried: QueriedSetting, standing: Standing
    ) -> RuleSet[Any]:
        options = CompileOptions(
            feature_order=self._feature_order,
            use_local_default=standing.reads_local_default(setting),
            is_tracked=self._is_tracked,
        )
        return compile_rule_set(
            setting,
            queried["default_value"],
            _raw_rules(queried),
            previous=self._previous.get(setting.index),
            options=options,
        )

    def _keep(self, setting: Declaration, reason: str) -> None:
        """Let a setting read what it did until now, and say why."""
        former = self._previous.get(setting.index, setting.declared_rules)
        self._writable()[setting.index] = RuleSet(
            former.features,
            former.tiers,
            former.default,
            former.default_origin,
            coercions=former.coercions,
            rejections=(Rejection(setting.name, None, reason),),
            foreign=former.foreign,
        )

    def has_former(self, index: int) -> bool:
        """Tell whether a setting has rules from an earlier refresh."""
        return index in self._previous

    def forget(self, setting: Declaration) -> None:
        """Let a setting read its declared default: it is not to be queried."""
        if setting.index in self.rule_sets:
            del self._writable()[setting.index]
            former = self._previous.get(setting.index)
            if former is not None and not setting.declared_rules.reads_as(former):
                self.changed.add(setting)

    def _take(self, setting: Declaration, rule_set: RuleSet[Any]) -> None:
        index = setting.index
        former = self._previous.get(index, setting.declared_rules)
        if rule_set is not former and not rule_set.reads_as(former):
            self.changed.add(setting)
        elif index in self._previous and _says_the_same(rule_set, former):
            rule_set = former
        if self.rule_sets.get(index) is not rule_set:
            self._writable()[index] = rule_set


def let_go(rule_sets: list[RuleSet[Any]]) -> Flow[None]:
    """Let go of rule sets that nothing reads any more: it takes as long as to make them.

    Args:
        rule_sets: The last references to them; emptied.
    """
    while rule_sets:
        yield Breathe()
        del rule_sets[-RULE_SETS_IN_ONE_GO:]


def _says_the_same(rule_set: RuleSet[Any], former: RuleSet[Any]) -> bool:
    """Tell whether two rule sets that read the same also have the same to say of it."""
    return (
        rule_set.default_origin is former.default_origin
        and rule_set.rejections == former.rejections
        and rule_set.coercions == former.coercions
        and rule_set.foreign == former.foreign
        and rule_set.lists_as(former)
    )


def _raw_rules(queried: QueriedSetting) -> Iterator[RawRule]:
    for rule in queried["rules"]:
        yield rule["rule_id"], rule["context_features"], rule["value"]
