"""JSON Schema of one setting's raw values: of a Heksher type, and of pydantic's constraints on it.

Equality in JSON Schema is the service's: `1` and `1.0` are one number, and an `integer`; `true` is
neither. So an `enum` tells options apart as `options` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from heksher.settings.type_strings import (
    EnumType,
    FlagsType,
    MappingType,
    PrimitiveType,
    SequenceType,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heksher.settings.type_strings import HeksherType

Schema: TypeAlias = dict[str, Any]
"""A JSON Schema, 2020-12; always a new dict, so its receiver may change it."""

_PRIMITIVES: Final = {"int": "integer", "float": "number", "str": "string", "bool": "boolean"}

_NUMERIC: Final = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf")

CONSTRAINTS: Final[Mapping[str, tuple[str, ...]]] = {
    "integer": _NUMERIC,
    "number": _NUMERIC,
    "string": ("minLength", "maxLength", "pattern"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}
"""The constraints that a schema of each `type` may have."""


def type_schema(type: HeksherType) -> Schema:
    """Return the schema of the raw values that the service takes for *type*."""
    match type:
        case PrimitiveType():
            return {"type": _PRIMITIVES[type.name]}
        case EnumType():
            return {"enum": list(type.options)}
        case FlagsType():
            return {"type": "array", "items": {"enum": list(type.options)}, "uniqueItems": True}
        case SequenceType():
            return {"type": "array", "items": type_schema(type.element)}
        case MappingType():
            return {"type": "object", "additionalProperties": type_schema(type.element)}


def constrain(schema: Schema, theirs: object, definitions: Mapping[str, Any]) -> Schema:
    """Return *schema* with the constraints that pydantic's schema *theirs* has, at any depth.

    Args:
        schema: What a raw value looks like.
        theirs: What pydantic says of the same value; only constraints are taken from it.
        definitions: What references in *theirs* lead to.
    """
    resolved = _resolved(theirs, definitions)
    constrained = dict(schema)
    for keyword in CONSTRAINTS.get(schema.get("type", ""), ()):
        if keyword in resolved:
            constrained[keyword] = _json(resolved[keyword])
    for inner in ("items", "additionalProperties"):
        if isinstance(schema.get(inner), dict):
            constrained[inner] = constrain(schema[inner], resolved.get(inner), definitions)
    return constrained


def _resolved(schema: object, definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(schema, dict):
        return {}
    if "$ref" not in schema:
        return schema
    target = definitions.get(schema["$ref"].rpartition("/")[2])
    return {**_resolved(target, definitions), **schema}


def _json(limit: Any) -> str | int | float:
    """Return a constraint's limit as JSON; pydantic leaves a `Decimal` or a `bool` as it is."""
    if isinstance(limit, str):
        return limit
    return int(limit) if isinstance(limit, int) else float(limit)
