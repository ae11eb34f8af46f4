"""The query: defaults and rules of many settings, which programs resolve themselves."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Final, NamedTuple

from fastapi import APIRouter, Header, Query
from sqlalchemy import Connection, select, union_all
from starlette.responses import Response

from heksher.server.bodies import matching
from heksher.server.features import feature_order
from heksher.server.responses import Refusal, text_response
from heksher.server.storage.setting_rows import among
from heksher.server.storage.store import StoreOfApp
from heksher.server.storage.tables import aliases, conditions, rules, settings

router: Final = APIRouter()

_NAMES: Final = r"([a-zA-Z_0-9.]+(,[a-zA-Z_0-9.]+)*)?$"
_FILTER: Final = r"[a-zA-Z_0-9]+:(\*|\([a-zA-Z_0-9]+(,[a-zA-Z_0-9]+)*\))"
_FILTERS: Final = rf"(\*|{_FILTER}(,{_FILTER})*)?$"
_EACH_FILTER: Final = re.compile(r"([a-zA-Z_0-9]+):(?:\*|\(([^)]+)\))")


@router.get("/query")
def query(
    store: StoreOfApp,
    names: Annotated[str | None, Query(alias="settings"), matching(_NAMES)] = None,
    context_filters: Annotated[str, matching(_FILTERS)] = "*",
    include_metadata: bool = False,
    if_none_match: Annotated[str, Header()] = "",
) -> Response:
    """Return the defaults and rules of settings; 304 if the client already has them."""
    with store.reading() as connection:
        ids = None if names is None else _ids_of(connection, names.split(",") if names else [])
        allowed = _read_filters(context_filters)
        content = _Content(connection, ids)
        body = content.body(allowed, with_metadata=include_metadata).encode()
    etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
    if if_none_match == "*" or etag in if_none_match:
        return Response(status_code=304, headers={"etag": etag})
    return Response(body, headers={"etag": etag}, media_type="application/json")


class _Filter(NamedTuple):
    """Selects rules: each condition must be on one of the features, with one of its values."""

    values_of: Mapping[str, frozenset[str] | None]

    def lets_through(self, feature: str, value: str) -> bool:
        if feature not in self.values_of:
            return False
        values = self.values_of[feature]
        return values is None or value in values


def _read_filters(text: str) -> _Filter | None:
    if text == "*":
        return None
    values_of: dict[str, frozenset[str] | None] = {}
    for feature, values in _EACH_FILTER.findall(text):
        if feature in values_of:
            message = f"context name repeated in context filter: {feature}"
            raise Refusal(text_response(message, 400))
        values_of[feature] = frozenset(values.split(",")) if values else None
    return _Filter(values_of)


def _ids_of(connection: Connection, names: list[str]) -> list[int]:
    asked = among(names)
    statement = union_all(
        select(settings.c.name, settings.c.id).where(settings.c.name.in_(asked)),
        select(aliases.c.alias, aliases.c.setting_id).where(aliases.c.alias.in_(asked)),
    )
    found: dict[str, int] = {row[0]: row[1] for row in connection.execute(statement)}
    if unknown := [name for name in dict.fromkeys(names) if name not in found]:
        raise Refusal(text_response(f"the following are not setting names: {unknown}", 404))
    return sorted(set(found.values()))


class _Content:
    """Reads what a response needs and writes its body.

    Values are stored as the JSON text of responses, so the body is assembled from texts. Parsing and
    dumping tens of thousands of rules would take most of the time.
    """

    def __init__(self, connection: Connection, setting_ids: list[int] | None) -> None:
        self._connection = connection
        self._chosen = None if setting_ids is None else among(setting_ids)

    def body(self, allowed: _Filter | None, *, with_metadata: bool) -> str:
        statement = select(settings.c.id, settings.c.name, settings.c.default_value)
        if self._chosen is not None:
            statement = statement.where(settings.c.id.in_(self._chosen))
        rules_of = self._rules_of(allowed, with_metadata=with_metadata)
        parts = [
            f'{json.dumps(name)}:{{"default_value":{default},"rules":[{",".join(rules_of.get(i, ()))}]}}'
            for i, name, default in self._connection.execute(statement.order_by(settings.c.name))
        ]
        return f'{{"settings":{{{",".join(parts)}}}}}'

    def _rules_of(self, allowed: _Filter | None, *, with_metadata: bool) -> dict[int, list[str]]:
        conditions_of = self._conditions_of(allowed)
        statement = select(rules.c.id, rules.c.setting_id, rules.c.value, rules.c.metadata)
        if self._chosen is not None:
            statement = statement.where(rules.c.setting_id.in_(self._chosen))
        texts: dict[int, list[str]] = {}
        for rule_id, setting_id, value, metadata in self._connection.execute(
            statement.order_by(rules.c.id)
        ):
            if (own := conditions_of.get(rule_id)) is None:
                continue
            extra = f',"metadata":{metadata}' if with_metadata else ""
            texts.setdefault(setting_id, []).append(
                f'{{"value":{value},"context_features":[{own}],"rule_id":{rule_id}{extra}}}'
            )
        return texts

    def _conditions_of(self, allowed: _Filter | None) -> dict[int, str]:
        """Return the conditions of the selected rules, in the service's order."""
        position = {name: i for i, name in enumerate(feature_order(self._connection))}
        statement = select(conditions.c.rule_id, conditions.c.feature, conditions.c.value)
        if self._chosen is not None:
            chosen = select(rules.c.id).where(rules.c.setting_id.in_(self._chosen))
            statement = statement.where(conditions.c.rule_id.in_(chosen))
        pairs: dict[int, list[tuple[int, str]]] = {}
        refused: set[int] = set()
        for rule_id, feature, value in self._connection.execute(statement):
            if allowed is not None and not allowed.lets_through(feature, value):
                refused.add(rule_id)
            pair = f'["{feature}",{json.dumps(value)}]'
            pairs.setdefault(rule_id, []).append((position[feature], pair))
        return {
            rule_id: ",".join(pair for _, pair in sorted(own))
            for rule_id, own in pairs.items()
            if rule_id not in refused
        }
