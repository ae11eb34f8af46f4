"""Decoders that use pydantic: types serialized as a JSON string, and constraints on any type."""

from __future__ import annotations

import json
import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind
from pydantic_core import ErrorDetails, PydanticSerializationError
from pydantic_core.core_schema import ErrorType
from typing_extensions import override

from heksher.settings.types.decoder import (
    Coercion,
    Decoder,
    Rejected,
    check_text,
    kind_of,
    type_name,
    with_article,
)
from heksher.settings.types.json_schema import constrain
from heksher.settings.types.read_only import freeze
from heksher.settings.types.type_strings import PrimitiveType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from heksher.settings.types.decoder import Json
    from heksher.settings.types.json_schema import Schema

T = TypeVar("T")

WIRE_FORMS: dict[type, tuple[re.Pattern[str], str]] = {
    datetime: (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d"), "2024-01-31T12:30:00Z"),
    date: (re.compile(r"\d{4}-\d\d-\d\d$"), "2024-01-31"),
    time: (re.compile(r"\d\d:\d\d"), "12:30:00"),
    timedelta: (re.compile(r"[+-]?P"), "PT1M30S"),
    Decimal: (re.compile(r"[+-]?[0-9.][0-9.eE+-]*$"), "12.50"),
    UUID: (
        re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"),
        "12345678-1234-5678-1234-567812345678",
    ),
}
"""The only wire form of types for which pydantic accepts several, and an example."""

USE_INSTEAD = (
    "use int, float, str, bool, an Enum, Literal[...], list[T], dict[str, T], a frozen model or"
    " dataclass, or a type such as datetime that is serialized as a string"
)
"""What to use instead of an unknown type."""

_SAFE_MESSAGES = frozenset(get_args(ErrorType)) - {
    "value_error",
    "assertion_error",
    "union_tag_invalid",
}
"""Pydantic's own error types; other messages come from validators and may quote the value."""


_FORMATS: dict[str, type] = {
    "date-time": datetime,
    "date": date,
    "time": time,
    "duration": timedelta,
}


class TextDecoder(Decoder):
    """A type that pydantic serializes as a JSON string: `datetime`, `UUID`, `HttpUrl`, `Path`, ..."""

    __slots__ = ("_adapter", "_form")

    def __init__(self, annotation: Any, python: str) -> None:
        super().__init__(PrimitiveType("str"), python)
        self._adapter: TypeAdapter[Any] = adapter_of(annotation)
        if pydantic_schema(self._adapter, mode="serialization").get("type") != "string":
            raise Rejected(f"pydantic does not serialize it as a JSON string: {USE_INSTEAD}")
        self._form = _wire_form(annotation, self._adapter)

    @override
    def decode(self, raw: Json, coercions: list[Coercion]) -> Any:
        if type(raw) is not str:
            raise Rejected(f"must be a str, not {kind_of(raw)}")
        if self._form is not None and self._form[0].match(raw) is None:
            raise Rejected(f"must be {self.python} in the form {self._form[1]}")
        # In JSON mode, strict accepts the string forms and nothing else.
        return validated(lambda: self._adapter.validate_json(json.dumps(raw), strict=True))

    @override
    def encode(self, value: Any) -> str:
        validated(lambda: self._adapter.validate_python(value, strict=True))
        try:
            raw = self._adapter.dump_python(value, mode="json", warnings="error")
        except PydanticSerializationError:
            raise Rejected(f"must be {self.python}, not {type_name(value)}") from None
        except Exception as error:  # noqa: BLE001  # a user's serializer may raise anything
            raise Rejected(
                f"cannot be serialized as a JSON string: its serializer raised {type(error).__name__}"
            ) from None
        if not isinstance(raw, str):
            raise Rejected(
                f"must serialize to a JSON string, which {type(value).__name__} does not"
            )
        check_text(raw)
        if _differs(self.decode(raw, []), value):
            raise Rejected(
                "must survive a round trip through JSON: use a value that its JSON text describes in full"
            )
        return raw

    @override
    def json_schema(self) -> Schema:
        theirs = pydantic_schema(self._adapter, mode="serialization")
        schema = constrain(super().json_schema(), theirs, theirs.get("$defs", {}))
        if "format" in theirs:
            schema["format"] = theirs["format"]
        if self._form is not None:
            schema.update(pattern=f"^{self._form[0].pattern}", examples=[self._form[1]])
        return schema


def text_decoder(annotation: type) -> TextDecoder:
    """Return the decoder of a class that pydantic serializes as a JSON string.

    Raises:
        Rejected: Pydantic does not serialize it as one.
    """
    make = _shared_text_decoder if annotation in WIRE_FORMS else TextDecoder
    return make(annotation, with_article(annotation.__name__))


_shared_text_decoder: Final = lru_cache(maxsize=len(WIRE_FORMS))(TextDecoder)


def _differs(read: Any, value: Any) -> bool:
    """Return whether two values are known to differ: those of a class without `__eq__` are not."""
    comparing: Any = type(value).__eq__
    return comparing is not object.__eq__ and bool(read != value)


class ConstrainedDecoder(Decoder):
    """Another decoder, whose values are then checked by pydantic's constraints and validators.

    Args:
        inner: Decodes the value; of a container, the elements that fit.
        annotation: The type of the decoded value with the constraints; elements are `Any`, since
            they are decoded already.
    """

    __slots__ = ("_adapter", "_inner")

    def __init__(self, inner: Decoder, annotation: Any) -> None:
        super().__init__(inner.type, inner.python, in_parts=inner.in_parts)
        self._inner = inner
        self._adapter: TypeAdapter[Any] = adapter_of(annotation)

    @override
    def decode(self, raw: Json, coercions: list[Coercion]) -> Any:
        value = self._inner.decode(raw, coercions)
        return freeze(validated(lambda: self._adapter.validate_python(value)))

    @override
    def encode(self, value: Any) -> Json:
        return self._inner.encode(value)

    @override
    def conform(self, value: Any) -> Any:
        conforming = self._inner.conform(value)
        validated(lambda: self._adapter.validate_python(conforming))
        return conforming

    @override
    def json_schema(self) -> Schema:
        theirs = pydantic_schema(self._adapter)
        return constrain(self._inner.json_schema(), theirs, theirs.get("$defs", {}))


def constraints(metadata: Sequence[Any]) -> list[Any]:
    """Return the part of an `Annotated`'s *metadata* that pydantic may act on."""
    kept = []
    for item in metadata:
        if isinstance(item, FieldInfo):
            kept.extend(item.metadata)
        elif not isinstance(item, str):
            kept.append(item)
    return kept


def adapter_of(annotation: Any) -> TypeAdapter[Any]:
    """Return pydantic's adapter for *annotation*.

    Raises:
        Rejected: Pydantic cannot validate the type.
    """
    try:
        return TypeAdapter(annotation)
    except PydanticSchemaGenerationError:
        raise Rejected(f"pydantic cannot validate it: {USE_INSTEAD}") from None
    except Exception as error:  # noqa: BLE001  # the schema of a user's own class may raise anything
        reason = str(error).partition("\n")[0]
        raise Rejected(f"pydantic cannot validate it: {reason}") from None


class _QuietGenerator(GenerateJsonSchema):
    """Pydantic's generator, without its warnings about defaults, which are not used."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = set(  # noqa: RUF012  # as pydantic has it
        get_args(JsonSchemaWarningKind)
    )


def pydantic_schema(
    adapter: TypeAdapter[Any], *, mode: Literal["validation", "serialization"] = "validation"
) -> Schema:
    """Return pydantic's JSON Schema of what *adapter* reads or writes; empty if there is none."""
    try:
        return adapter.json_schema(mode=mode, schema_generator=_QuietGenerator)
    except PydanticUserError:
        return {}


def _wire_form(annotation: Any, adapter: TypeAdapter[Any]) -> tuple[re.Pattern[str], str] | None:
    """Return the only form of a type's text, by its format: pydantic has many types of dates."""
    written = _FORMATS.get(pydantic_schema(adapter, mode="serialization").get("format", ""))
    if written is not None:
        return WIRE_FORMS[written]
    target = getattr(annotation, "__origin__", annotation)
    if not isinstance(target, type):
        return None
    return next((WIRE_FORMS[cls] for cls in target.__mro__ if cls in WIRE_FORMS), None)


def validated(validate: Callable[[], T]) -> T:
    """Return the result of *validate*, a validation by pydantic.

    Raises:
        Rejected: It raised anything.
    """
    try:
        return validate()
    except ValidationError as error:
        raise _rejected(error) from None
    except Exception as error:  # noqa: BLE001  # a user's validator may raise anything
        # Without its text, which may quote the value.
        raise Rejected(f"a validator of its type raised {type(error).__name__}") from None


def _rejected(error: ValidationError) -> Rejected:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
    return Rejected(_reason(first), path)


def refusals(error: ValidationError) -> list[tuple[str, str]]:
    """Return which fields of a record pydantic rejected: pairs of a key and a reason."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [(str(one["loc"][0]), _reason(one)) for one in found if one["loc"]]


def _reason(error: ErrorDetails) -> str:
    if error["type"] in _SAFE_MESSAGES:
        return error["msg"]
    return "rejected by a validator of its type"
