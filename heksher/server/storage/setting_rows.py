"""Stored settings: finding, adding, changing and removing them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    Connection,
    Select,
    Text,
    column,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from heksher.server import json_text
from heksher.server.bodies import SETTING_NAME_PATTERN, Declaration
from heksher.server.responses import Refusal, text_response
from heksher.server.storage.tables import aliases, configurable_features, context_features, settings
from heksher.server.versions import Version
from heksher.settings.types import type_strings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from heksher.settings.types.type_strings import HeksherType, Json

_IS_NAME: Final = re.compile(SETTING_NAME_PATTERN).match


@dataclass(frozen=True, slots=True)
class StoredSetting:
    """A setting as the service holds it; features in the service's order, aliases sorted."""

    setting_id: int
    name: str
    type_string: str
    default_value: Json
    version_text: str
    metadata: dict[str, Json]
    configurable_features: list[str]
    aliases: list[str]

    @property
    def type(self) -> HeksherType:
        """The type."""
        return type_strings.parse(self.type_string)

    @property
    def version(self) -> Version:
        """The version as numbers."""
        return Version.parse(self.version_text)

    def as_json(self, *, whole: bool) -> dict[str, Json]:
        """Return the setting in its short or its full form."""
        listed: dict[str, Json] = {
            "name": self.name,
            "type": self.type_string,
            "default_value": self.default_value,
            "version": self.version_text,
        }
        if whole:
            listed["configurable_features"] = [*self.configurable_features]
            listed["metadata"] = self.metadata
            listed["aliases"] = [*self.aliases]
        return listed


def among(values: Iterable[str | int]) -> Select[Any]:
    """Return a selection of these values, as one parameter regardless of their number."""
    each = func.json_each(json_text.dumps(list(values))).table_valued(column("value", Text))
    return select(each.c.value)


def find_setting(connection: Connection, name: str) -> StoredSetting | None:
    """Return the setting with this name or alias."""
    if not _IS_NAME(name):
        return None
    aliased = select(aliases.c.setting_id).where(aliases.c.alias == name).scalar_subquery()
    found = _load(connection, or_(settings.c.name == name, settings.c.id == aliased))
    return found[0] if found else None


def get_setting(connection: Connection, name: str) -> StoredSetting:
    """Return the setting with this name or alias; if there is none, end the request with 404."""
    if setting := find_setting(connection, name):
        return setting
    raise Refusal(text_response(f"the setting {name} does not exist", 404))


def list_settings(connection: Connection) -> list[StoredSetting]:
    """Return all settings by name."""
    return _load(connection, None)


def add_setting(connection: Connection, declaration: Declaration) -> None:
    """Store a new setting as declared."""
    values = {
        "name": declaration.name,
        "type": str(declaration.type),
        "default_value": json_text.dumps(declaration.default_value),
        "version": declaration.version,
        "metadata": json_text.dumps(declaration.metadata),
    }
    added = connection.execute(insert(settings).values(values).returning(settings.c.id))
    _add_features(connection, added.scalar_one(), declaration.configurable_features)


def change_setting(connection: Connection, setting: StoredSetting, **changes: Json) -> None:
    """Change columns of a setting: `type`, `default_value`, `version` or `metadata`."""
    for name in changes.keys() & {"default_value", "metadata"}:
        changes[name] = json_text.dumps(changes[name])
    connection.execute(update(settings).where(settings.c.id == setting.setting_id).values(changes))


def set_features(connection: Connection, setting: StoredSetting, names: list[str]) -> None:
    """Replace the configurable features of a setting."""
    of_setting = configurable_features.c.setting_id == setting.setting_id
    connection.execute(delete(configurable_features).where(of_setting))
    _add_features(connection, setting.setting_id, names)


def rename_setting(connection: Connection, setting: StoredSetting, name: str) -> None:
    """Rename a setting, and keep its current name as an alias."""
    connection.execute(delete(aliases).where(aliases.c.alias == name))
    connection.execute(insert(aliases).values(alias=setting.name, setting_id=setting.setting_id))
    connection.execute(
        update(settings).where(settings.c.id == setting.setting_id).values(name=name)
    )


def delete_setting(connection: Connection, setting: StoredSetting) -> None:
    """Remove a setting, its rules and its aliases."""
    connection.execute(delete(settings).where(settings.c.id == setting.setting_id))


def _add_features(connection: Connection, setting_id: int, names: list[str]) -> None:
    rows = [{"setting_id": setting_id, "feature": name} for name in names]
    connection.execute(insert(configurable_features), rows)


def _load(connection: Connection, condition: Any) -> list[StoredSetting]:
    rows = select(settings).order_by(settings.c.name)
    features = (
        select(configurable_features)
        .join(context_features, context_features.c.name == configurable_features.c.feature)
        .order_by(context_features.c.position)
    )
    former_names = select(aliases.c.setting_id, aliases.c.alias).order_by(aliases.c.alias)
    if condition is not None:
        rows = rows.where(condition)
        chosen = select(settings.c.id).where(condition)
        features = features.where(configurable_features.c.setting_id.in_(chosen))
        former_names = former_names.where(aliases.c.setting_id.in_(chosen))
    features_of = _grouped(connection, features)
    aliases_of = _grouped(connection, former_names)
    return [
        StoredSetting(
            setting_id=row.id,
            name=row.name,
            type_string=row.type,
            default_value=json_text.loads(row.default_value),
            version_text=row.version,
            metadata=json_text.loads(row.metadata),
            configurable_features=features_of.get(row.id, []),
            aliases=aliases_of.get(row.id, []),
        )
        for row in connection.execute(rows)
    ]


def _grouped(connection: Connection, statement: Select[Any]) -> dict[int, list[str]]:
    groups: dict[int, list[str]] = {}
    for setting_id, text in connection.execute(statement):
        groups.setdefault(setting_id, []).append(text)
    return groups
