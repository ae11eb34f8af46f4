"""Declaring a setting: it is created, up to date, outdated, upgraded or refused."""

from typing import Final

from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.responses import Response

from heksher.server import versions
from heksher.server.bodies import Declaration, RequestBody
from heksher.server.features import unknown_features_text
from heksher.server.responses import Refusal, json_response, text_response
from heksher.server.storage.rule_rows import rules_of, rules_using
from heksher.server.storage.setting_rows import (
    StoredSetting,
    add_setting,
    change_setting,
    find_setting,
    rename_setting,
    set_features,
)
from heksher.server.storage.store import StoreOfApp
from heksher.server.versions import Version
from heksher.settings.differences import (
    Difference,
    Obstacles,
    Terms,
    differences,
    differing,
)
from heksher.settings.types.type_strings import Json

router: Final = APIRouter(prefix="/settings")


@router.post("/declare")
def declare(body: RequestBody, store: StoreOfApp) -> Response:
    """Declare a setting: create or upgrade it if necessary and allowed."""
    declaration = body.read(Declaration)
    with store.writing() as connection:
        setting = _declared_setting(connection, declaration)
        if setting is None:
            return _create(connection, declaration)
        if declaration.version == setting.version_text:
            return _confirm(connection, setting, declaration)
        if Version.parse(declaration.version) < setting.version:
            found = differences(_held(setting), _declared(declaration), outdated=True)
            latest: dict[str, Json] = {"latest_version": setting.version_text}
            return _outcome("outdated", latest, found)
        return _upgrade(connection, setting, declaration)


def _declared_setting(connection: Connection, declaration: Declaration) -> StoredSetting | None:
    setting = find_setting(connection, declaration.name)
    alias = declaration.alias
    if not alias:
        return setting
    aliased = find_setting(connection, alias)
    if aliased is None:
        raise Refusal(json_response({"detail": f"alias {alias} does not exist"}, 404))
    # A new name renames the setting, whose current name must then be the alias.
    if (aliased.name != alias) if setting is None else (aliased.setting_id != setting.setting_id):
        detail = f"alias {alias} is an alias of unrelated setting {aliased.name}"
        raise Refusal(json_response({"detail": detail}, 409))
    return aliased


def _create(connection: Connection, declaration: Declaration) -> Response:
    if declaration.version != versions.FIRST:
        text = f"newly created settings must have version {versions.FIRST}"
        raise Refusal(text_response(text, 400))
    if unknown := unknown_features_text(connection, declaration.configurable_features):
        raise Refusal(text_response(unknown, 404))
    add_setting(connection, declaration)
    return json_response({"outcome": "created"})


def _confirm(connection: Connection, setting: StoredSetting, declaration: Declaration) -> Response:
    found = _differences_to_upgrade(connection, setting, declaration)
    if not found:
        return json_response({"outcome": "uptodate"})
    return _outcome("mismatch", {}, found)


def _upgrade(connection: Connection, setting: StoredSetting, declaration: Declaration) -> Response:
    found = _differences_to_upgrade(connection, setting, declaration)
    is_major = Version.parse(declaration.version).major > setting.version.major
    previous: dict[str, Json] = {"previous_version": setting.version_text}
    levels = {difference.level for difference in found}
    if "mismatch" in levels or ("major" in levels and not is_major):
        return _outcome("rejected", previous, found)
    changes: dict[str, Json] = {
        "type": str(declaration.type),
        "default_value": declaration.default_value,
        "metadata": declaration.metadata,
    }
    attributes = differing(_held(setting), _declared(declaration))
    changes = {name: value for name, value in changes.items() if name in attributes}
    if not declaration.type.accepts(setting.default_value):
        # Equal to the declared one, as 1 is to true, and yet not of the new type.
        changes["default_value"] = declaration.default_value
    change_setting(connection, setting, version=declaration.version, **changes)
    if "configurable_features" in attributes:
        set_features(connection, setting, declaration.configurable_features)
    if "name" in attributes:
        rename_setting(connection, setting, declaration.name)
    return _outcome("upgraded", previous, found)


def _differences_to_upgrade(
    connection: Connection, setting: StoredSetting, declaration: Declaration
) -> tuple[Difference, ...]:
    present, declared = set(setting.configurable_features), set(declaration.configurable_features)
    in_use = rules_using(connection, setting, present - declared) if present - declared else {}
    unknown = unknown_features_text(connection, declared) if declared - present else None
    if unknown and not in_use:
        raise Refusal(json_response({"detail": unknown}, 404))
    misfits: list[int] = []
    if declaration.type != setting.type:
        fits = declaration.type.accepts
        misfits = [rule_id for rule_id, value in rules_of(connection, setting) if not fits(value)]
    obstacles = Obstacles(in_use, misfits)
    return differences(_held(setting), _declared(declaration), obstacles=obstacles)


def _held(setting: StoredSetting) -> Terms:
    return Terms(
        setting.name,
        setting.configurable_features,
        setting.type,
        setting.default_value,
        setting.metadata,
    )


def _declared(declaration: Declaration) -> Terms:
    return Terms(
        declaration.name,
        declaration.configurable_features,
        declaration.type,
        declaration.default_value,
        declaration.metadata,
    )


def _outcome(outcome: str, version: dict[str, Json], found: tuple[Difference, ...]) -> Response:
    status = 409 if outcome in {"mismatch", "rejected"} else 200
    listed: list[Json] = [_as_json(difference) for difference in found]
    return json_response({"outcome": outcome, **version, "differences": listed}, status)


def _as_json(difference: Difference) -> dict[str, Json]:
    if difference.attribute is None:
        return {"level": difference.level, "message": difference.message}
    return {
        "level": difference.level,
        "attribute": difference.attribute,
        "latest_value": difference.latest_value,
    }
