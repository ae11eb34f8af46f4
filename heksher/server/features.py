"""The context features of the service and their order, least to most specific."""

import re
from collections.abc import Iterable
from typing import Final

from fastapi import APIRouter
from sqlalchemy import Connection, bindparam, delete, func, insert, select, update
from starlette.responses import Response

from heksher.server.bodies import (
    FEATURE_NAME_PATTERN,
    MoveAfter,
    MoveBefore,
    NewContextFeature,
    RequestBody,
)
from heksher.server.responses import Refusal, empty_response, json_response, set_text, text_response
from heksher.server.storage.store import StoreOfApp
from heksher.server.storage.tables import configurable_features, context_features

router: Final = APIRouter(prefix="/context_features")


def feature_order(connection: Connection) -> list[str]:
    """Return all context features in their order."""
    statement = select(context_features.c.name).order_by(context_features.c.position)
    return list(connection.execute(statement).scalars())


def unknown_features_text(connection: Connection, names: Iterable[str]) -> str | None:
    """Return the service's message for *names* that are not context features, if any."""
    unknown = set(names).difference(feature_order(connection))
    return f"{set_text(unknown)} are not acceptable context features" if unknown else None


def start_with(connection: Connection, names: Iterable[str]) -> None:
    """Merge the *names* that the service is started with into the stored features.

    New names are added at their position among the others. Without names, nothing changes.

    Raises:
        ValueError: A name is invalid or repeated, or *names* lacks stored features or has them in
            another order.
    """
    if isinstance(names, str):
        raise ValueError(f"expected a list of context features, got a str: {names!r}")
    wanted = [name.strip() for name in names]
    for name in wanted:
        if not re.fullmatch(FEATURE_NAME_PATTERN, name):
            raise ValueError(
                f"invalid context feature {name!r}: use letters, digits and underscores"
            )
    if len(set(wanted)) < len(wanted):
        raise ValueError(f"repeated context feature in {', '.join(wanted)}: remove it")
    stored = feature_order(connection)
    if wanted and [name for name in wanted if name in stored] != stored:
        raise ValueError(
            f"the database has the context features {', '.join(stored)}, got {', '.join(wanted)}:"
            " give all of them, in this order"
        )
    if wanted:
        _set_order(connection, wanted)


@router.get("")
def list_features(store: StoreOfApp) -> Response:
    """List the context features in their order."""
    with store.reading() as connection:
        return json_response({"context_features": [*feature_order(connection)]})


@router.get("/{name}")
def get_feature(name: str, store: StoreOfApp) -> Response:
    """Return the index of a context feature in the order."""
    with store.reading() as connection:
        return json_response({"index": _index(feature_order(connection), name)})


@router.post("")
def add_feature(body: RequestBody, store: StoreOfApp) -> Response:
    """Add a context feature as the most specific one."""
    name = body.read(NewContextFeature).context_feature
    with store.writing() as connection:
        order = feature_order(connection)
        if name in order:
            raise Refusal(text_response("context feature already exists", 409))
        _set_order(connection, [*order, name])
    return empty_response()


@router.delete("/{name}")
def delete_feature(name: str, store: StoreOfApp) -> Response:
    """Delete a context feature that no setting uses."""
    with store.writing() as connection:
        order = feature_order(connection)
        del order[_index(order, name)]
        uses = select(func.count()).where(configurable_features.c.feature == name)
        if connection.execute(uses).scalar_one():
            message = (
                "context feature can't be deleted, there is at least one setting configured by it"
            )
            raise Refusal(text_response(message, 409))
        connection.execute(delete(context_features).where(context_features.c.name == name))
        _set_order(connection, order)
    return empty_response()


@router.patch("/{name}/index")
def move_feature(name: str, body: RequestBody, store: StoreOfApp) -> Response:
    """Move a context feature directly after or before another one."""
    move = body.read_either(MoveAfter, MoveBefore)
    target = move.to_after if isinstance(move, MoveAfter) else move.to_before
    with store.writing() as connection:
        order = feature_order(connection)
        index = _index(order, name)
        _index(order, target)
        if target != name:
            del order[index]
            order.insert(order.index(target) + isinstance(move, MoveAfter), name)
            _set_order(connection, order)
    return empty_response()


def _index(order: list[str], name: str) -> int:
    if name not in order:
        raise Refusal(empty_response(404))
    return order.index(name)


def _set_order(connection: Connection, order: list[str]) -> None:
    known = set(feature_order(connection))
    rows = [{"feature": name, "position": index} for index, name in enumerate(order)]
    added = [row for row in rows if row["feature"] not in known]
    moved = [row for row in rows if row["feature"] in known]
    if added:
        statement = insert(context_features).values(
            name=bindparam("feature"), position=bindparam("position")
        )
        connection.execute(statement, added)
    if moved:
        change = update(context_features).where(context_features.c.name == bindparam("feature"))
        connection.execute(change.values(position=bindparam("position")), moved)
