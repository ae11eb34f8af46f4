"""Stored rules: finding, adding, changing and removing them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, delete, insert, select, update

from heksher.server import json_text
from heksher.server.storage.setting_rows import among
from heksher.server.storage.tables import conditions, context_features, rules, settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from heksher.server.storage.setting_rows import StoredSetting
    from heksher.settings.types.type_strings import Json

_MAX_RULE_ID: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class StoredRule:
    """A rule as the service holds it; its conditions in the service's feature order."""

    rule_id: int
    setting_name: str
    value: Json
    conditions: list[tuple[str, str]]
    metadata: dict[str, Json]


def find_rule(connection: Connection, rule_id: int) -> StoredRule | None:
    """Return the rule with this id."""
    # SQLite cannot compare with numbers that are too large.
    if not 0 < rule_id <= _MAX_RULE_ID:
        return None
    statement = select(settings.c.name, rules.c.value, rules.c.metadata).join(settings)
    row = connection.execute(statement.where(rules.c.id == rule_id)).one_or_none()
    if row is None:
        return None
    name, value, metadata = row
    own = conditions_of(connection, [rule_id])
    return StoredRule(
        rule_id, name, json_text.loads(value), own[rule_id], json_text.loads(metadata)
    )


def find_rule_id(
    connection: Connection, setting: StoredSetting, feature_values: Mapping[str, str]
) -> int | None:
    """Return the id of the setting's rule with exactly these conditions."""
    statement = select(rules.c.id).where(
        rules.c.setting_id == setting.setting_id,
        rules.c.conditions_key == _conditions_key(feature_values),
    )
    return connection.execute(statement).scalar_one_or_none()


def rules_of(connection: Connection, setting: StoredSetting) -> list[tuple[int, Json]]:
    """Return id and value of each rule of a setting, by id."""
    statement = select(rules.c.id, rules.c.value).where(rules.c.setting_id == setting.setting_id)
    found = connection.execute(statement.order_by(rules.c.id))
    return [(rule_id, json_text.loads(value)) for rule_id, value in found]


def conditions_of(
    connection: Connection, rule_ids: Iterable[int]
) -> dict[int, list[tuple[str, str]]]:
    """Return the conditions of these rules, by rule id, in the service's feature order."""
    statement = (
        select(conditions.c.rule_id, conditions.c.feature, conditions.c.value)
        .join(context_features, context_features.c.name == conditions.c.feature)
        .where(conditions.c.rule_id.in_(among(rule_ids)))
        .order_by(context_features.c.position)
    )
    found: dict[int, list[tuple[str, str]]] = {}
    for rule_id, feature, value in connection.execute(statement):
        found.setdefault(rule_id, []).append((feature, value))
    return found


def rules_using(
    connection: Connection, setting: StoredSetting, features: set[str]
) -> dict[str, list[int]]:
    """Return the ids of the setting's rules with a condition on one of *features*, by feature."""
    statement = (
        select(conditions.c.feature, rules.c.id)
        .join(rules, rules.c.id == conditions.c.rule_id)
        .join(context_features, context_features.c.name == conditions.c.feature)
        .where(rules.c.setting_id == setting.setting_id, conditions.c.feature.in_(features))
        .order_by(context_features.c.position, rules.c.id)
    )
    found: dict[str, list[int]] = {}
    for feature, rule_id in connection.execute(statement):
        found.setdefault(feature, []).append(rule_id)
    return found


def add_rule(
    connection: Connection,
    setting: StoredSetting,
    *,
    feature_values: Mapping[str, str],
    value: Json,
    metadata: dict[str, Json],
) -> int:
    """Store a new rule and return its id."""
    values = {
        "setting_id": setting.setting_id,
        "value": json_text.dumps(value),
        "metadata": json_text.dumps(metadata),
        "conditions_key": _conditions_key(feature_values),
    }
    added = connection.execute(insert(rules).values(values).returning(rules.c.id))
    rule_id: int = added.scalar_one()
    rows = [
        {"rule_id": rule_id, "feature": feature, "value": feature_value}
        for feature, feature_value in feature_values.items()
    ]
    connection.execute(insert(conditions), rows)
    return rule_id


def change_rule(connection: Connection, rule_id: int, **changes: Json) -> None:
    """Change columns of a rule: `value` or `metadata`."""
    texts = {name: json_text.dumps(value) for name, value in changes.items()}
    connection.execute(update(rules).where(rules.c.id == rule_id).values(texts))


def delete_rule(connection: Connection, rule_id: int) -> None:
    """Remove a rule."""
    connection.execute(delete(rules).where(rules.c.id == rule_id))


def _conditions_key(feature_values: Mapping[str, str]) -> str:
    return json_text.dumps(dict(sorted(feature_values.items())))
