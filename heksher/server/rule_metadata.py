"""The metadata of rules, as a whole and key by key."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from heksher.server.answers import empty_answer, json_answer
from heksher.server.bodies import MetadataKey, RequestBody, RuleMetadata, Value
from heksher.server.rule_rows import change_rule
from heksher.server.rules import RuleId, get_rule
from heksher.server.store import Store, StoreOfApp
from heksher.settings.type_strings import Json

router: Final = APIRouter(prefix="/rules/{rule_id}/metadata")


@router.get("")
def show(rule_id: RuleId, store: StoreOfApp) -> Response:
    """Show the metadata of a rule."""
    with store.reading() as connection:
        return json_answer({"metadata": get_rule(connection, rule_id).metadata})


@router.post("")
def merge(rule_id: RuleId, body: RequestBody, store: StoreOfApp) -> Response:
    """Add to the metadata of a rule, replacing the keys that are there."""
    # Nothing to add is no reason to look for the rule: the service says 204 for unknown ones, too.
    if new := body.read(RuleMetadata).metadata:
        with _changing(store, rule_id) as metadata:
            metadata.update(new)
    return empty_answer()


@router.put("")
def replace(rule_id: RuleId, body: RequestBody, store: StoreOfApp) -> Response:
    """Replace the metadata of a rule."""
    new = body.read(RuleMetadata).metadata
    with _changing(store, rule_id) as metadata:
        metadata.clear()
        metadata.update(new)
    return empty_answer()


@router.delete("")
def clear(rule_id: RuleId, store: StoreOfApp) -> Response:
    """Remove the metadata of a rule."""
    with _changing(store, rule_id) as metadata:
        metadata.clear()
    return empty_answer()


@router.put("/{key}")
def put_key(rule_id: RuleId, key: MetadataKey, body: RequestBody, store: StoreOfApp) -> Response:
    """Set one key of the metadata of a rule."""
    value = body.read(Value).value
    with _changing(store, rule_id) as metadata:
        metadata[key] = value
    return empty_answer()


@router.delete("/{key}")
def delete_key(rule_id: RuleId, key: MetadataKey, store: StoreOfApp) -> Response:
    """Remove one key of the metadata of a rule; one that is not there is no error."""
    with _changing(store, rule_id) as metadata:
        metadata.pop(key, None)
    return empty_answer()


@contextmanager
def _changing(store: Store, rule_id: int) -> Iterator[dict[str, Json]]:
    """Give the metadata of a rule to be changed; it is stored afterwards."""
    with store.writing() as connection:
        metadata = dict(get_rule(connection, rule_id).metadata)
        yield metadata
        change_rule(connection, rule_id, metadata=metadata)
