"""Single rules: adding, finding, showing, removing, and changing their values."""

from typing import Annotated, Final

from fastapi import APIRouter, Path
from pydantic import BeforeValidator
from sqlalchemy import Connection
from starlette.responses import Response

from heksher.server.bodies import SETTING_NAME_PATTERN, NewRule, RequestBody, Value, matching
from heksher.server.responses import Refusal, empty_response, json_response, set_text, text_response
from heksher.server.storage.rule_rows import (
    StoredRule,
    add_rule,
    change_rule,
    delete_rule,
    find_rule,
    find_rule_id,
)
from heksher.server.storage.setting_rows import find_setting, get_setting
from heksher.server.storage.store import StoreOfApp

router: Final = APIRouter(prefix="/rules")

_CONDITION = r"[a-zA-Z_0-9]+:[a-zA-Z_0-9]+"
RuleId = Annotated[int, BeforeValidator(int), Path()]


def get_rule(connection: Connection, rule_id: int) -> StoredRule:
    """Return the rule with this id; if there is none, end the request with 404."""
    if rule := find_rule(connection, rule_id):
        return rule
    raise Refusal(empty_response(404))


@router.get("/search")
def search(
    setting: Annotated[str, matching(SETTING_NAME_PATTERN)],
    feature_values: Annotated[str, matching(rf"{_CONDITION}(,{_CONDITION})*$")],
    store: StoreOfApp,
) -> Response:
    """Find the rule of a setting with exactly these conditions."""
    pairs = [pair.partition(":") for pair in feature_values.split(",")]
    with store.reading() as connection:
        found = find_setting(connection, setting)
        values = {feature: value for feature, _, value in pairs}
        rule_id = found and find_rule_id(connection, found, values)
    return json_response({"rule_id": rule_id}) if rule_id else empty_response(404)


@router.post("")
def add(body: RequestBody, store: StoreOfApp) -> Response:
    """Add a rule to a setting."""
    new = body.read(NewRule)
    with store.writing() as connection:
        setting = find_setting(connection, new.setting)
        if setting is None:
            raise Refusal(text_response(f"setting not found with name {new.setting}", 422))
        if alien := new.feature_values.keys() - setting.configurable_features:
            text = f"setting is not configurable at context features {set_text(alien)}"
            raise Refusal(text_response(text, 400))
        _check_value(setting.type_string, fits=setting.type.accepts(new.value))
        if find_rule_id(connection, setting, new.feature_values) is not None:
            raise Refusal(text_response("rule already exists", 409))
        rule_id = add_rule(
            connection,
            setting,
            feature_values=new.feature_values,
            value=new.value,
            metadata=new.metadata,
        )
    return json_response({"rule_id": rule_id}, 201, {"location": f"/{rule_id}"})


@router.get("/{rule_id}")
def show(rule_id: RuleId, store: StoreOfApp) -> Response:
    """Show a rule."""
    with store.reading() as connection:
        rule = get_rule(connection, rule_id)
    return json_response(
        {
            "setting": rule.setting_name,
            "value": rule.value,
            "feature_values": [[feature, value] for feature, value in rule.conditions],
            "metadata": rule.metadata,
        }
    )


@router.delete("/{rule_id}")
def delete(rule_id: RuleId, store: StoreOfApp) -> Response:
    """Remove a rule."""
    with store.writing() as connection:
        get_rule(connection, rule_id)
        delete_rule(connection, rule_id)
    return empty_response()


@router.put("/{rule_id}/value")
@router.patch("/{rule_id}")
def put_value(rule_id: RuleId, body: RequestBody, store: StoreOfApp) -> Response:
    """Change the value of a rule."""
    value = body.read(Value).value
    with store.writing() as connection:
        rule = find_rule(connection, rule_id)
        if rule is None:
            raise Refusal(text_response("", 404))
        setting = get_setting(connection, rule.setting_name)
        _check_value(setting.type_string, fits=setting.type.accepts(value))
        change_rule(connection, rule_id, value=value)
    return empty_response()


def _check_value(type_string: str, *, fits: bool) -> None:
    if not fits:
        text = f"rule value is incompatible with setting type {type_string}"
        raise Refusal(text_response(text, 400))
