"""Declaring a setting: it is created, found up to date or outdated, upgraded, or refused."""

from typing import Final

from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.responses import Response

from heksher.server import versions
from heksher.server.answers import Refusal, json_answer, text_answer
from heksher.server.bodies import Declaration, RequestBody
from heksher.server.differences import (
    Differences,
    Obstacles,
    differences_since,
    differences_to_upgrade,
)
from heksher.server.features import unknown_features_text
from heksher.server.rule_rows import rules_of, rules_using
from heksher.server.setting_rows import (
    StoredSetting,
    add_setting,
    change_setting,
    find_setting,
    rename_setting,
    set_features,
)
from heksher.server.store import StoreOfApp
from heksher.server.versions import Version
from heksher.settings.type_strings import Json

router: Final = APIRouter(prefix="/settings")


@router.post("/declare")
def declare(body: RequestBody, store: StoreOfApp) -> Response:
    """Declare a setting, creating or upgrading it where that is needed and allowed."""
    declaration = body.read(Declaration)
    with store.writing() as connection:
        setting = _declared_setting(connection, declaration)
        if setting is None:
            return _create(connection, declaration)
        if declaration.version == setting.version_text:
            return _confirm(connection, setting, declaration)
        if Version.parse(declaration.version) < setting.version:
            found = differences_since(setting, declaration)
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
        raise Refusal(json_answer({"detail": f"alias {alias} does not exist"}, 404))
    # A name that is new renames the setting, whose present name must then be the alias.
    if (aliased.name != alias) if setting is None else (aliased.setting_id != setting.setting_id):
        detail = f"alias {alias} is an alias of unrelated setting {aliased.name}"
        raise Refusal(json_answer({"detail": detail}, 409))
    return aliased


def _create(connection: Connection, declaration: Declaration) -> Response:
    if declaration.version != versions.FIRST:
        text = f"newly created settings must have version {versions.FIRST}"
        raise Refusal(text_answer(text, 400))
    if unknown := unknown_features_text(connection, declaration.configurable_features):
        raise Refusal(text_answer(unknown, 404))
    add_setting(connection, declaration)
    return json_answer({"outcome": "created"})


def _confirm(connection: Connection, setting: StoredSetting, declaration: Declaration) -> Response:
    found = _differences_to_upgrade(connection, setting, declaration)
    if not found.attributes:
        return json_answer({"outcome": "uptodate"})
    return _outcome("mismatch", {}, found)


def _upgrade(connection: Connection, setting: StoredSetting, declaration: Declaration) -> Response:
    found = _differences_to_upgrade(connection, setting, declaration)
    is_major = Version.parse(declaration.version).major > setting.version.major
    previous: dict[str, Json] = {"previous_version": setting.version_text}
    if found.by_level["mismatch"] or (found.by_level["major"] and not is_major):
        return _outcome("rejected", previous, found)
    changes: dict[str, Json] = {
        "type": str(declaration.type),
        "default_value": declaration.default_value,
        "metadata": declaration.metadata,
    }
    changes = {name: value for name, value in changes.items() if name in found.attributes}
    if not declaration.type.accepts(setting.default_value):
        # Equal to the one declared, as 1 is to true, and still not of the new type.
        changes["default_value"] = declaration.default_value
    change_setting(connection, setting, version=declaration.version, **changes)
    if "configurable_features" in found.attributes:
        set_features(connection, setting, declaration.configurable_features)
    if "name" in found.attributes:
        rename_setting(connection, setting, declaration.name)
    return _outcome("upgraded", previous, found)


def _differences_to_upgrade(
    connection: Connection, setting: StoredSetting, declaration: Declaration
) -> Differences:
    present, declared = set(setting.configurable_features), set(declaration.configurable_features)
    in_use = rules_using(connection, setting, present - declared) if present - declared else {}
    unknown = unknown_features_text(connection, declared) if declared - present else None
    if unknown and not in_use:
        raise Refusal(json_answer({"detail": unknown}, 404))
    misfits: list[int] = []
    if declaration.type != setting.type:
        fits = declaration.type.accepts
        misfits = [rule_id for rule_id, value in rules_of(connection, setting) if not fits(value)]
    return differences_to_upgrade(setting, declaration, Obstacles(in_use, misfits))


def _outcome(outcome: str, version: dict[str, Json], found: Differences) -> Response:
    status = 409 if outcome in {"mismatch", "rejected"} else 200
    return json_answer({"outcome": outcome, **version, "differences": found.as_json()}, status)
