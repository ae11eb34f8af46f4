"""Decoders of records: frozen models, frozen dataclasses and TypedDicts, as `Mapping<T>`.

Heksher has no record type, so all fields of a record have one Heksher type. Fields are decoded
one by one, without the constraints of their annotations; pydantic then validates the whole, once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from typing_extensions import override

from heksher.settings.types.decoder import (
    Coercion,
    Decoder,
    Rejected,
    encode_at,
    key_step,
    kind_of,
    salvage,
    type_name,
    with_article,
)
from heksher.settings.types.json_schema import constrain
from heksher.settings.types.pydantic_types import adapter_of, pydantic_schema, refusals, validated
from heksher.settings.types.read_only import freeze
from heksher.settings.types.record_fields import config_of
from heksher.settings.types.type_strings import MappingType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import TypeAdapter

    from heksher.settings.types.decoder import Json
    from heksher.settings.types.json_schema import Schema
    from heksher.settings.types.record_fields import RecordField


class RecordDecoder(Decoder):
    """`Mapping<T>`, read as a record.

    Args:
        record: The model, dataclass or TypedDict.
        record_fields: Its fields.
        decoders: Their decoders, by key.
    """

    __slots__ = (
        "_adapter",
        "_decoders",
        "_fields",
        "_forbids",
        "_key_of",
        "_reads_names",
        "_record",
    )

    def __init__(
        self, record: Any, record_fields: Sequence[RecordField], decoders: Mapping[str, Decoder]
    ) -> None:
        super().__init__(
            MappingType(_one_type(record, decoders)), with_article(record.__name__), in_parts=True
        )
        self._record = record
        self._fields = {field.key: field for field in record_fields}
        self._key_of = {field.name: field.key for field in record_fields}
        for name, key in self._key_of.items():
            if key != name and key in self._key_of:
                raise Rejected(
                    f"the alias {key} of field {name} of {record.__name__} is the name of another field:"
                    " use a different alias"
                )
        config = config_of(record)
        self._reads_names = bool(config.get("validate_by_name") or config.get("populate_by_name"))
        self._forbids = config.get("extra") == "forbid"
        self._decoders = decoders
        self._adapter: TypeAdapter[Any] = adapter_of(record)

    @override
    def decode(self, raw: Json, coercions: list[Coercion]) -> Any:
        if type(raw) is not dict:
            raise Rejected(f"must be an object, not {kind_of(raw)}")
        content: dict[str, Any] = {}
        for given, item in raw.items():
            key = given if given in self._decoders else self._key_of.get(given)
            if key is None:
                # The record's own configuration decides about unknown keys.
                content[given] = item
            elif key == given or (self._reads_names and key not in raw):
                content.update(self._decoded(key, given, item, coercions))
            elif self._forbids:
                raise Rejected(f"unknown key: the field's key is {key}", key_step(given))
            else:
                coercions.append(
                    Coercion(f"${key_step(given)}", f"unknown key: the field's key is {key}")
                )
        return freeze(self._validated(content, coercions))

    def _decoded(
        self, key: str, given: str, item: Json, coercions: list[Coercion]
    ) -> list[tuple[str, Any]]:
        parts = [(key, item)]
        found = salvage(self._decoders[key], parts, lambda _: key_step(given), coercions)
        if not found and self._fields[key].required:
            raise Rejected(coercions[-1].reason, coercions[-1].path[1:])
        return found

    def _validate(self, content: dict[str, Any]) -> Any:
        # By name too: nested values are decoded already, so the keys of TypedDicts are names.
        return self._adapter.validate_python(content, by_alias=True, by_name=True)

    def _validated(self, content: dict[str, Any], coercions: list[Coercion]) -> Any:
        """Return the validated record, without the optional fields that its constraints reject."""
        try:
            return validated(lambda: self._validate(content))
        except Rejected:
            refused = self._refused_fields(content)
            if not refused:
                raise
            for key, reason in refused.items():
                del content[key]
                coercions.append(Coercion(f"${key_step(key)}", reason))
        return validated(lambda: self._validate(content))

    def _refused_fields(self, content: dict[str, Any]) -> dict[str, str]:
        """Return why optional fields are rejected, by their keys."""
        reasons: dict[str, str] = {}
        try:
            self._validate(content)
        except ValidationError as error:
            for place, reason in refusals(error):
                key = self._key_of.get(place, place)
                if key in content and key in self._fields and not self._fields[key].required:
                    reasons.setdefault(key, reason)
        except Exception:  # noqa: BLE001  # a user's validator may raise anything
            return {}
        return reasons

    @override
    def encode(self, value: Any) -> dict[str, Json]:
        content = self._content(value)
        return {
            key: encode_at(self._decoders[key], key_step(key), item)
            for key, item in content.items()
        }

    def _content(self, value: Any) -> dict[str, Any]:
        if isinstance(self._record, type) and not issubclass(self._record, dict):
            if not isinstance(value, self._record):
                raise Rejected(f"must be {self.python}, not {type_name(value)}")
            if type(value) is not self._record:
                raise Rejected(
                    f"must be {self._record.__name__} itself, not its subclass {type(value).__name__}"
                )
            return {key: getattr(value, field.name) for key, field in self._fields.items()}
        if not isinstance(value, dict):
            raise Rejected(f"must be {self.python}, not {type_name(value)}")
        for key, field in self._fields.items():
            if field.required and key not in value:
                raise Rejected("required key is missing", key_step(key))
        for key in value:
            if key not in self._fields:
                raise Rejected(f"unknown key of {self._record.__name__}", key_step(str(key)))
        return {key: value[key] for key in self._fields if key in value}

    @override
    def json_schema(self) -> Schema:
        theirs = pydantic_schema(self._adapter)
        definitions = theirs.get("$defs", {})
        said = theirs.get("properties", {})
        properties = {}
        for key, decoder in self._decoders.items():
            properties[key] = constrain(decoder.json_schema(), said.get(key), definitions)
            if "description" in said.get(key, {}):
                properties[key]["description"] = said[key]["description"]
        # The record ignores other keys, but the service requires that they have the fields' type.
        others = super().json_schema()["additionalProperties"]
        return {
            "type": "object",
            "properties": properties,
            "required": [key for key, field in self._fields.items() if field.required],
            "additionalProperties": theirs.get("additionalProperties", True) and others,
        }


def _one_type(record: Any, decoders: Mapping[str, Decoder]) -> Any:
    by_type: dict[str, str] = {}
    for key, decoder in decoders.items():
        by_type.setdefault(str(decoder.type), key)
    if not by_type:
        raise Rejected(f"{record.__name__} needs at least one field")
    if len(by_type) > 1:
        mixed = ", ".join(f"{key} is {text}" for text, key in by_type.items())
        raise Rejected(
            f"all fields of {record.__name__} must have the same Heksher type ({mixed}): declare one"
            " setting for each field"
        )
    return next(iter(decoders.values())).type
