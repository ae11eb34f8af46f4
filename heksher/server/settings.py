"""Single settings: showing, listing, removing, and changing type, name and features."""

from typing import Final

from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.responses import Response

from heksher.server.bodies import NewFeatures, NewName, NewType, RequestBody
from heksher.server.features import unknown_features_text
from heksher.server.responses import Refusal, empty_response, json_response, set_text, text_response
from heksher.server.storage.rule_rows import conditions_of, rules_of, rules_using
from heksher.server.storage.setting_rows import (
    StoredSetting,
    change_setting,
    delete_setting,
    find_setting,
    get_setting,
    list_settings,
    rename_setting,
    set_features,
)
from heksher.server.storage.store import StoreOfApp
from heksher.server.versions import Version

router: Final = APIRouter(prefix="/settings")


@router.get("")
def list_all(store: StoreOfApp, include_additional_data: bool = False) -> Response:
    """List all settings by name."""
    with store.reading() as connection:
        found = list_settings(connection)
    return json_response(
        {"settings": [setting.as_json(whole=include_additional_data) for setting in found]}
    )


@router.get("/{name}")
def show(name: str, store: StoreOfApp) -> Response:
    """Show the setting with this name or alias."""
    with store.reading() as connection:
        shown = get_setting(connection, name).as_json(whole=True)
    order = ("name", "configurable_features", "type", "default_value", "metadata", "aliases")
    return json_response({key: shown[key] for key in (*order, "version")})


@router.delete("/{name}")
def delete(name: str, store: StoreOfApp) -> Response:
    """Remove the setting with this name or alias, its rules and aliases."""
    with store.writing() as connection:
        setting = find_setting(connection, name)
        if setting is None:
            raise Refusal(text_response("setting name not found", 404))
        delete_setting(connection, setting)
    return empty_response()


@router.put("/{name}/type")
def put_type(name: str, body: RequestBody, store: StoreOfApp) -> Response:
    """Change the type of a setting."""
    new = body.read(NewType)
    with store.writing() as connection:
        setting = get_setting(connection, name)
        is_same = new.type == setting.type
        if _is_in_force(name, setting, Version.parse(new.version), is_same=is_same):
            return empty_response()
        if is_same:
            _bump_version(connection, name, setting, new.version)
            return empty_response()
        if found := _type_conflicts(connection, setting, new):
            return json_response({"conflicts": [*found]}, 409)
        change_setting(connection, setting, type=str(new.type), version=new.version)
    return empty_response()


@router.put("/{name}/name")
def put_name(name: str, body: RequestBody, store: StoreOfApp) -> Response:
    """Rename a setting, keeping its current name as an alias."""
    new = body.read(NewName)
    with store.writing() as connection:
        setting = find_setting(connection, name)
        if setting is None:
            raise Refusal(text_response("setting does not exist", 404))
        if Version.parse(new.version) < setting.version:
            text = f"The setting {name} already has a newer version ({setting.version_text})"
            raise Refusal(text_response(text, 409))
        if new.name != setting.name:
            namesake = find_setting(connection, new.name)
            if namesake is not None and namesake.setting_id != setting.setting_id:
                raise Refusal(text_response("name already exists", 409))
            rename_setting(connection, setting, new.name)
        elif Version.parse(new.version) == setting.version:
            return empty_response()
        change_setting(connection, setting, version=new.version)
    return empty_response()


@router.put("/{name}/configurable_features")
def put_features(name: str, body: RequestBody, store: StoreOfApp) -> Response:
    """Change the configurable features of a setting."""
    new = body.read(NewFeatures)
    with store.writing() as connection:
        setting = get_setting(connection, name)
        version = Version.parse(new.version)
        present, wanted = set(setting.configurable_features), set(new.configurable_features)
        if _is_in_force(name, setting, version, is_same=present == wanted):
            return empty_response()
        if present == wanted:
            _bump_version(connection, name, setting, new.version)
            return empty_response()
        if in_use := rules_using(connection, setting, present - wanted):
            ids = [rule_id for rule_ids in in_use.values() for rule_id in rule_ids]
            text = f"Configurable features {set_text(in_use)} are in use by rules {ids}"
            raise Refusal(text_response(text, 409))
        if wanted - present and version.major == setting.version.major:
            text = "Cannot add new configurable features on a minor version bump"
            raise Refusal(text_response(text, 409))
        if unknown := unknown_features_text(connection, wanted):
            raise Refusal(text_response(unknown, 404))
        set_features(connection, setting, new.configurable_features)
        change_setting(connection, setting, version=new.version)
    return empty_response()


def _is_in_force(name: str, setting: StoredSetting, version: Version, *, is_same: bool) -> bool:
    """Return whether a change is already in effect; refuse one of an older version."""
    if version == setting.version and is_same:
        return True
    if version <= setting.version:
        text = f"the setting {name} is at a higher version than the request ({setting.version})"
        raise Refusal(text_response(text, 409))
    return False


def _bump_version(connection: Connection, name: str, setting: StoredSetting, version: str) -> None:
    # The service looks for the name as it was given, so under an alias nothing happens.
    if name == setting.name:
        change_setting(connection, setting, version=version)


def _type_conflicts(connection: Connection, setting: StoredSetting, new: NewType) -> list[str]:
    found = []
    if not new.type.accepts(setting.default_value):
        found.append(f"the default value {setting.default_value!r} does not match the new type")
    held = rules_of(connection, setting)
    misfits = {rule_id: value for rule_id, value in held if not new.type.accepts(value)}
    if misfits:
        conditions_by_rule = conditions_of(connection, misfits)
        found += [
            f"rule {rule_id} ({conditions_by_rule[rule_id]}) has incompatible value {value}"
            for rule_id, value in misfits.items()
        ]
    if Version.parse(new.version).major == setting.version.major and not new.type.is_subtype_of(
        setting.type
    ):
        found.append(f"cannot change type to non-subtype {new.type} in a minor version bump")
    return found
