"""The metadata of rules, as a whole and key by key."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from heksher.server.bodies import MetadataKey, RequestBody, RuleMetadata, Value
from heksher.server.responses import empty_response, json_response
from heksher.server.rules import RuleId, get_rule
from heksher.server.storage.rule_rows import change_rule
from heksher.server.storage.store import Store, StoreOfApp
from heksher.settings.types.type_strings import Json

router: Final = APIRouter(prefix="/rules/{rule_id}/metadata")


@router.get("")
def show(rule_id: RuleId, store: StoreOfApp) -> Response:
    """Show the metadata of a rule."""
    with store.reading() as connection:
        return json_response({"metadata": get_rule(connection, rule_id).metadata})


@router.post("")
def merge(rule_id: RuleId, body: RequestBody, store: StoreOfApp) -> Response:
    """Merge into the metadata of a rule, replacing existing keys."""
    # With nothing to add, the service does not look for the rule: 204 even for unknown ones.
    if new := body.read(RuleMetadata).metadata:
        with _changing(store, rule_id) as metadata:
            metadata.update(new)
    return empty_response()


@router.put("")
def replace(rule_id: RuleId, body: RequestBody, store: StoreOfApp) -> Response:
    """Replace the metadata of a rule."""
    new = body.read(RuleMetadata).metadata
    with _changing(store, rule_id) as metadata:
        metadata.clear()
        metadata.update(new)
    return empty_response()


@router.delete("")
def clear(rule_id: RuleId, store: StoreOfApp) -> Response:
    """Remove the metadata of a rule."""
    with _changing(store, rule_id) as metadata:
        metadata.clear()
    return empty_response()


@router.put("/{key}")
def put_key(rule_id: RuleId, key: MetadataKey, body: RequestBody, store: StoreOfApp) -> Response:
    """Set one key of the metadata of a rule."""
    value = body.read(Value).value
    with _changing(store, rule_id) as metadata:
        metadata[key] = value
    return empty_response()


@router.delete("/{key}")
def delete_key(rule_id: RuleId, key: MetadataKey, store: StoreOfApp) -> Response:
    """Remove one key of the metadata of a rule, if it exists."""
    with _changing(store, rule_id) as metadata:
        metadata.pop(key, None)
    return empty_response()


@contextmanager
def _changing(store: Store, rule_id: int) -> Iterator[dict[str, Json]]:
    """Yield the metadata of a rule to be modified, and store it afterwards."""
    with store.writing() as connection:
        metadata = dict(get_rule(connection, rule_id).metadata)
        yield metadata
        change_rule(connection, rule_id, metadata=metadata)
