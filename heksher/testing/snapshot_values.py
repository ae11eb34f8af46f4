"""The distinct values that settings have in an exported snapshot."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import TYPE_CHECKING, Any

from heksher.exceptions import InvalidValue
from heksher.settings.stubs import Rule, Stubs
from heksher.settings.types.decoder import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from heksher.clients.snapshots.file import SavedSetting
    from heksher.settings.declaration import Declaration
    from heksher.settings.registry import Registry
    from heksher.settings.types.decoder import Coercion

_RULES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class ProductionValue:
    """A value that a setting has in production.

    Attributes:
        declaration: The setting.
        value: The value.
        sources: The rules that it is of; `None` is the service's default.
    """

    declaration: Declaration
    value: Any
    sources: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"{self.declaration.name}, {_in_words(self.sources)}"

    def stub(self, registry: Registry) -> Stubs:
        """Let the setting read this value until what is returned is restored.

        Raises:
            InvalidValue: A validator of the setting refuses it.
        """
        stubs = Stubs(registry)
        stubs.put(self.declaration, [Rule({}, self.value)])
        return stubs


def _in_words(sources: tuple[int | None, ...]) -> str:
    rule_ids = sorted([one for one in sources if one is not None])
    if not rule_ids:
        return "the service's default"
    shown = ", ".join(map(str, rule_ids[:_RULES_SHOWN]))
    more = f" and {len(rule_ids) - _RULES_SHOWN} more" if len(rule_ids) > _RULES_SHOWN else ""
    return f"{'rule' if len(rule_ids) == 1 else 'rules'} {shown}{more}"


class ProductionValues:
    """What settings have in a snapshot, decoded when it is first asked for.

    Args:
        settings: The settings of the snapshot, by name.
        registry: Where this program's settings are declared.

    Attributes:
        rejected: The values that this program cannot read, in words, with the reasons.
    """

    def __init__(self, settings: Mapping[str, SavedSetting], registry: Registry) -> None:
        self._settings = settings
        self._registry = registry
        self._values: dict[int, list[ProductionValue]] = {}
        self.rejected: list[str] = []

    def of(self, settings: Iterable[Declaration], most: int) -> tuple[list[ProductionValue], int]:
        """Return values of these settings, in turns, and how many are left out.

        Args:
            settings: The settings.
            most: How many values to return at most.
        """
        in_order = sorted(settings, key=lambda setting: setting.name)
        in_turns = chain.from_iterable(zip_longest(*[self._of(setting) for setting in in_order]))
        found = [one for one in in_turns if one is not None]
        return list(islice(found, most)), max(0, len(found) - most)

    def _of(self, setting: Declaration) -> list[ProductionValue]:
        known = self._values.get(setting.index)
        if known is None:
            known = self._values[setting.index] = list(self._decoded(setting))
        return known

    def _decoded(self, setting: Declaration) -> Iterator[ProductionValue]:
        """Yield the values other than the declared default, which tests have met already."""
        queried = self._settings.get(setting.name) or self._settings.get(setting.alias or "")
        if queried is None:
            return
        raw_values: list[tuple[int | None, Any]] = [(None, queried["default_value"])]
        raw_values += [(rule["rule_id"], rule["value"]) for rule in queried["rules"]]
        by_text: dict[str, tuple[Any, list[int | None]]] = {}
        for source, raw in raw_values:
            coercions: list[Coercion] = []
            try:
                value = setting.decoder.decode(raw, coercions)
                text = json.dumps(setting.decoder.encode(value), sort_keys=True)
            except Rejected as rejected:
                self._reject(setting, source, str(rejected))
                continue
            by_text.setdefault(text, (value, []))[1].append(source)
        by_text.pop(json.dumps(setting.raw_default, sort_keys=True), None)
        for value, sources in by_text.values():
            one = ProductionValue(setting, value, tuple(sources))
            try:
                one.stub(self._registry).restore()
            except InvalidValue as error:
                self._reject(setting, sources[0], str(error))
            else:
                yield one

    def _reject(self, setting: Declaration, source: int | None, reason: str) -> None:
        self.rejected.append(f"{setting.name}, {_in_words((source,))}: {reason}")
