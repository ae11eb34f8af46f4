"""Differences between a declaration and the service's setting, and their levels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from heksher.server.bodies import Declaration
    from heksher.server.setting_rows import StoredSetting
    from heksher.settings.type_strings import Json

Level: TypeAlias = Literal["minor", "major", "mismatch"]


@dataclass(frozen=True, slots=True)
class Obstacles:
    """The rules that prevent an upgrade.

    Attributes:
        removed_features_in_use: Rule ids by feature, for features that the declaration lacks.
        misfits: Ids of rules whose values do not have the declared type.
    """

    removed_features_in_use: dict[str, list[int]] = field(default_factory=dict)
    misfits: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Differences:
    """Differences by level, and the attributes that an upgrade has to change."""

    by_level: dict[Level, list[dict[str, Json]]]
    attributes: frozenset[str]

    def as_json(self) -> list[Json]:
        """Return the differences as the service lists them."""
        return [
            {"level": level, **difference}
            for level, differences in self.by_level.items()
            for difference in differences
        ]


class _Comparison:
    """Collects differences; for an outdated declaration, levels are those of the reverse change."""

    def __init__(self, setting: StoredSetting, declaration: Declaration) -> None:
        self._setting = setting
        self._declaration = declaration
        self._by_level: dict[Level, list[dict[str, Json]]] = {
            "minor": [],
            "major": [],
            "mismatch": [],
        }
        self._attributes: set[str] = set()

    def result(self) -> Differences:
        return Differences(self._by_level, frozenset(self._attributes))

    def compare_features(self, in_use: dict[str, list[int]], *, outdated: bool) -> None:
        older = set(self._setting.configurable_features)
        newer = set(self._declaration.configurable_features)
        if older == newer:
            return
        self._attributes.add("configurable_features")
        if outdated:
            older, newer = newer, older
        removed = sorted(older - newer)
        if in_use:
            ids = [rule_id for rule_ids in in_use.values() for rule_id in rule_ids]
            text = f"configurable features {removed} are still in use by rules {ids}"
            self._by_level["mismatch"].append({"message": text})
        elif newer < older:
            text = f"removal of configurable features {removed}"
            self._by_level["minor"].append({"message": text})
        else:
            self._add("major", "configurable_features", [*self._setting.configurable_features])

    def compare_types(self, misfits: list[int], *, outdated: bool) -> None:
        older, newer = self._setting.type, self._declaration.type
        if older == newer:
            return
        self._attributes.add("type")
        if outdated:
            older, newer = newer, older
        if misfits:
            text = f"setting type incompatible with values for rules: {misfits}"
            self._by_level["mismatch"].append({"message": text})
        else:
            level: Level = "minor" if newer.is_subtype_of(older) else "major"
            self._add(level, "type", self._setting.type_string)

    def compare_rest(self) -> None:
        # The service compares as Python does: 1, 1.0 and true do not differ.
        setting, declaration = self._setting, self._declaration
        if setting.name != declaration.name:
            self._add("minor", "name", setting.name)
        if setting.default_value != declaration.default_value:
            self._add("minor", "default_value", setting.default_value)
        if setting.metadata != declaration.metadata:
            self._add("minor", "metadata", setting.metadata)

    def _add(self, level: Level, attribute: str, latest_value: Json) -> None:
        self._attributes.add(attribute)
        self._by_level[level].append({"attribute": attribute, "latest_value": latest_value})


def differences_to_upgrade(
    setting: StoredSetting, declaration: Declaration, obstacles: Obstacles
) -> Differences:
    """Return what the declaration would change, at the levels that apply to an upgrade."""
    comparison = _Comparison(setting, declaration)
    comparison.compare_features(obstacles.removed_features_in_use, outdated=False)
    comparison.compare_types(obstacles.misfits, outdated=False)
    comparison.compare_rest()
    return comparison.result()


def differences_since(setting: StoredSetting, declaration: Declaration) -> Differences:
    """Return what has changed on the service since the version of the declaration."""
    comparison = _Comparison(setting, declaration)
    comparison.compare_features({}, outdated=True)
    comparison.compare_types([], outdated=True)
    comparison.compare_rest()
    return comparison.result()
