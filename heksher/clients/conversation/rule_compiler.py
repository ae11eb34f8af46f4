"""Compiling the responses of one refresh into the next snapshot."""

from __future__ import annotations

from asyncio import CancelledError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from heksher.clients.conversation.effects import Breathe
from heksher.settings.rules.compiling import CompileOptions, compile_rule_set
from heksher.settings.rules.rule_set import Rejection, RuleSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from heksher.clients.conversation.batches import Plan
    from heksher.clients.conversation.declaring.outcomes import Standing
    from heksher.clients.conversation.effects import Flow
    from heksher.clients.conversation.tracking import Tracking
    from heksher.settings.declaration import Declaration
    from heksher.settings.reading.state import Snapshot
    from heksher.settings.rules.compiling import RawRule
    from heksher.wire import QueriedSetting

RULE_SETS_IN_ONE_GO: Final = 500
"""How many rule sets are reordered or released before others may run: a few milliseconds."""


class Reading(NamedTuple):
    """How the values of a setting were read when they were compiled last.

    Attributes:
        validators: The validators that were applied.
        is_local_default: Whether the setting reads its declared default.
        raw_default: The service's default.
    """

    validators: tuple[Any, ...]
    is_local_default: bool
    raw_default: Any


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The result of one refresh. None of it takes effect before it is published.

    Attributes:
        snapshot: The next snapshot.
        changed: The settings with another value in some context.
        etags: The ETag of each query whose response is current.
        tracking: What was tracked when the refresh began.
        readings: How each compiled setting was read, by index.
        validated: The raw values of each compiled setting with validators, by index.
        standings: How each setting stands, by declared name.
        plan: The queries for the next refresh, unless this one left something open.
        notes: Remarks on declarations to log once, by declared name.
        malformed: Why entries of the service's list were left out.
        missing_features: The client's context features that the service lacks.
        errors: The errors; settings concerned keep their former values.
        asked_for: For how many seconds the service asked not to be sent declarations.
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
    """Compiles the rule sets of one refresh.

    Args:
        living: Returns all living settings by index.
        previous: The published rule sets, by index.
        feature_order: The service's order of context features.
        is_tracked: Returns whether a condition is tracked; `None` if all are.

    Attributes:
        changed: The settings with another value in some context.
        readings: How each compiled setting was read, by index.
        validated: The raw values of each compiled setting with validators, by index.
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
        """The next rule sets by index; the previous object as long as nothing has changed."""
        return self._previous if self._next is None else self._next

    def _writable(self) -> dict[int, RuleSet[Any]]:
        if self._next is None:
            self._next = dict(self._previous)
        return self._next

    def drop_dead(self) -> None:
        """Remove the rules of settings that no longer exist."""
        for index in self.rule_sets.keys() - self.living().keys():
            del self._writable()[index]

    def reorder(self) -> Flow[None]:
        """Bring all rule sets into the present order of context features."""
        for place, setting in enumerate(self.living().values()):
            if place % RULE_SETS_IN_ONE_GO == 0:
                yield Breathe()
            former = self.rule_sets.get(setting.index)
            if former is not None:
                self._take(setting, former.reordered(self._feature_order))

    def compile(self, setting: Declaration, queried: QueriedSetting, standing: Standing) -> None:
        """Compile the response for *setting*; an error affects no other setting."""
        # Recorded first: a validator that is added in the meantime has not seen all values.
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
        """Keep the former values of a setting, and record why."""
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
        """Return whether a setting has rules from an earlier refresh."""
        return index in self._previous

    def forget(self, setting: Declaration) -> None:
        """Make a setting read its declared default."""
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
    """Release rule sets that are no longer read; that takes as long as making them.

    Args:
        rule_sets: The last references to them; emptied.
    """
    while rule_sets:
        yield Breathe()
        del rule_sets[-RULE_SETS_IN_ONE_GO:]


def _says_the_same(rule_set: RuleSet[Any], former: RuleSet[Any]) -> bool:
    """Return whether two rule sets with the same values also explain them the same way."""
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
