"""JSON Schema of one setting's raw values: of a Heksher type, and of pydantic's constraints on it.

JSON Schema compares values as the service does: `1` equals `1.0`, which is an `integer`; `true` is
neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from heksher.settings.types.type_strings import (
    EnumType,
    FlagsType,
    MappingType,
    PrimitiveType,
    SequenceType,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heksher.settings.types.type_strings import HeksherType

Schema: TypeAlias = dict[str, Any]
"""A JSON Schema, 2020-12; always a new dict, which the receiver may change."""

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
    """Return the schema of the raw values that the service accepts for *type*."""
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
    """Return *schema* with the constraints of pydantic's schema *theirs*, at any depth.

    Args:
        schema: The schema of a raw value.
        theirs: Pydantic's schema of the same value; only its constraints are used.
        definitions: The targets of references in *theirs*.
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
    """Return a constraint's limit as JSON; pydantic keeps a `Decimal` or a `bool` unchanged."""
    if isinstance(limit, str):
        return limit
    return int(limit) if isinstance(limit, int) else float(limit)
