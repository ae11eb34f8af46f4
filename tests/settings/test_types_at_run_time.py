"""Public types resolve at run time: pydantic validates and dumps them, tools read their signatures."""

from __future__ import annotations

import inspect
import typing
from typing import Any

import pytest
from pydantic import TypeAdapter

from heksher import (
    Conversion,
    HeksherEnum,
    HeksherFlags,
    HeksherMapping,
    HeksherSequence,
    SettingsModel,
    SettingType,
)
from heksher.settings.documents import declared_settings, json_schema, markdown
from heksher.settings.rules.rule_set import Origin, Rejection, ServiceRule
from heksher.settings.types.decoder import Coercion

CLASSES: list[Any] = [
    Coercion, Conversion, HeksherEnum, HeksherFlags, HeksherMapping, HeksherSequence, Origin,
    Rejection, ServiceRule, SettingType, SettingsModel,
]  # fmt: skip

FUNCTIONS: list[Any] = [declared_settings, json_schema, markdown]

VALUES: list[Any] = [
    Coercion("$[2]", "must be an int, not str"),
    Conversion(5, ["rounded"]),
    Rejection("cache.ttl", 7, "must be an int, not str"),
    ServiceRule(7, (("user", "john"),), [5]),
    Origin.RULE,
]


def methods(cls: type) -> list[Any]:
    """Return the public functions that *cls* and our classes above it define."""
    own = [above for above in cls.__mro__ if above.__module__.startswith("heksher.")]
    found = [
        inspect.unwrap(getattr(one, "__func__", one))
        for above in own
        for name, one in vars(above).items()
        if name in ("__init__", "__init_subclass__") or not name.startswith("_")
    ]
    return [one for one in found if inspect.isfunction(one)]


@pytest.mark.parametrize("public", [*CLASSES, *FUNCTIONS], ids=lambda one: one.__name__)
def test_annotations_resolve(public: Any) -> None:
    callables = methods(public) if isinstance(public, type) else [public]

    for one in [public, *callables]:
        typing.get_type_hints(one, include_extras=True)


@pytest.mark.parametrize("value", VALUES, ids=lambda one: type(one).__name__)
def test_pydantic_dumps_and_reads_what_is_handed_back(value: Any) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(type(value))

    assert adapter.validate_json(adapter.dump_json(value)) == value
    assert adapter.json_schema()
