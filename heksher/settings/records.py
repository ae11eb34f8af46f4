"""Decoders of records: frozen models, frozen dataclasses and TypedDicts, as `Mapping<T>`.

Heksher has no record type, so all fields of a record have one Heksher type. Fields are decoded
one by one, without the constraints of their annotations; pydantic then validates the whole, once.
"""

from __future__ import annotations

import dataclasses
from dataclasses import MISSING, dataclass, fields
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    NotRequired,
    Required,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import AliasChoices, AliasPath, BaseModel, ValidationError
from pydantic.fields import FieldInfo
from typing_extensions import ReadOnly, override

from heksher.settings.frozen import freeze
from heksher.settings.leaves import adapter_of, pydantic_schema, refusals, validated
from heksher.settings.type_schemas import constrain
from heksher.settings.type_strings import MappingType
from heksher.settings.values import (
    Coercion,
    Decoder,
    Rejected,
    encode_at,
    key_step,
    kind_of,
    salvage,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic import TypeAdapter

    from heksher.settings.type_schemas import Schema
    from heksher.settings.values import Json


_INITVAR: Final = dataclasses._FIELD_INITVAR  # type: ignore[attr-defined]  # no public name


@dataclass(frozen=True, slots=True)
class RecordField:
    """One field of a record: its key in the JSON, its name and annotation in Python."""

    key: str
    name: str
    annotation: Any
    required: bool


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
        super().__init__(MappingType(_one_type(record, decoders)), f"a {record.__name__}")
        self._record = record
        self._fields = {field.key: field for field in record_fields}
        self._key_of = {field.name: field.key for field in record_fields}
        for name, key in self._key_of.items():
            if key != name and key in self._key_of:
                raise Rejected(
                    f"field {name} of {record.__name__} is read by the key {key}, which is the name of"
                    " another field: use another alias"
                )
        config = _config(record)
        self._reads_names = bool(config.get("validate_by_name") or config.get("populate_by_name"))
        self._forbids = config.get("extra") == "forbid"
        self._decoders = decoders
        self._adapter: TypeAdapter[Any] = adapter_of(record)

    @property
    @override
    def in_parts(self) -> bool:
        return True

    @override
    def decode(self, raw: Json, coercions: list[Coercion]) -> Any:
        if type(raw) is not dict:
            raise Rejected(f"{kind_of(raw)} is no mapping")
        content: dict[str, Any] = {}
        for given, item in raw.items():
            key = given if given in self._decoders else self._key_of.get(given)
            if key is None:
                # What becomes of an unknown key is for the record's own configuration to say.
                content[given] = item
            elif key == given or (self._reads_names and key not in raw):
                content.update(self._decoded(key, given, item, coercions))
            elif self._forbids:
                raise Rejected(f"the field has another key, {key}", key_step(given))
            else:
                coercions.append(
                    Coercion(f"${key_step(given)}", f"the field has another key, {key}")
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
        # By names too: what is within is decoded already, so TypedDicts in it have them as keys.
        return self._adapter.validate_python(content, by_alias=True, by_name=True)

    def _validated(self, content: dict[str, Any], coercions: list[Coercion]) -> Any:
        """Validate the whole, without the optional fields that its constraints refuse."""
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
        """Return why the record refuses fields that it can do without, by their keys."""
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
                raise Rejected(f"{type(value).__name__} is not {self.python}")
            if type(value) is not self._record:
                raise Rejected(
                    f"{type(value).__name__} is a subclass of {self._record.__name__}, and would be"
                    f" read as that: give {self._record.__name__} itself"
                )
            return {key: getattr(value, field.name) for key, field in self._fields.items()}
        if not isinstance(value, dict):
            raise Rejected(f"{type(value).__name__} is not {self.python}")
        for key, field in self._fields.items():
            if field.required and key not in value:
                raise Rejected("the key is missing", key_step(key))
        for key in value:
            if key not in self._fields:
                raise Rejected(f"{self._record.__name__} has no such key", key_step(str(key)))
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
        # What the record would ignore, the service takes only if it has the type of the fields.
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
        raise Rejected(f"{record.__name__} has no fields")
    if len(by_type) > 1:
        mixed = ", ".join(f"{key} is {text}" for text, key in by_type.items())
        raise Rejected(
            f"the fields of {record.__name__} have different Heksher types ({mixed}) and a setting"
            " has one: declare one setting for each field"
        )
    return next(iter(decoders.values())).type


def model_fields(
    model: type[BaseModel], names: Callable[[], Mapping[str, Any]]
) -> list[RecordField]:
    """Return the fields of a pydantic model; *names* returns what its forward references may use.

    Raises:
        Rejected: It is not frozen, keeps unknown keys, or a field is read by more than one key.
    """
    config = model.model_config
    if not config.get("frozen"):
        raise Rejected(
            f"{model.__name__} is not frozen, so a reader could change the setting for all others:"
            " give it model_config = ConfigDict(frozen=True)"
        )
    _check_keys(config, model)
    if config.get("extra") == "allow":
        raise Rejected(f'{model.__name__} has extra="allow": use "ignore" or "forbid"')
    if not model.__pydantic_complete__:
        _complete(model, names())
    return [
        RecordField(_key(name, field), name, field.annotation, field.is_required())
        for name, field in model.model_fields.items()
    ]


def _complete(model: type[BaseModel], names: Mapping[str, Any]) -> None:
    try:
        model.model_rebuild(_types_namespace=names)
    except NameError as error:
        raise _undefined(model, error) from None


def _hints(cls: Any) -> dict[str, Any]:
    try:
        return get_type_hints(cls, include_extras=True)
    except NameError as error:
        raise _undefined(cls, error) from None


def _undefined(cls: Any, error: NameError) -> Rejected:
    return Rejected(
        f"the type of a field of {cls.__name__} is not defined"
        f" ({str(error).partition(chr(10))[0]}): define it above, at the top level of the module"
    )


def dataclass_fields(cls: Any) -> list[RecordField]:
    """Return the fields of a standard or pydantic dataclass.

    Raises:
        Rejected: It is not frozen, keeps unknown keys, or has a field that its constructor lacks.
    """
    config = _config(cls)
    if not (cls.__dataclass_params__.frozen or config.get("frozen")):
        raise Rejected(
            f"{cls.__name__} is not frozen, so a reader could change the setting for all others:"
            " write @dataclass(frozen=True)"
        )
    if config.get("extra") == "allow":
        raise Rejected(f'{cls.__name__} has extra="allow": use "ignore" or "forbid"')
    try:
        object.__new__(cls)
    except TypeError:
        raise Rejected(
            f"{cls.__name__} is abstract, or inherits from a class that is more than its fields, such"
            " as Exception: write a dataclass without that"
        ) from None
    if any(field._field_type is _INITVAR for field in cls.__dataclass_fields__.values()):
        raise Rejected(f"{cls.__name__} has an InitVar, which is not there to be written: leave it")
    _check_keys(config, cls)
    hints = _hints(cls)
    pydantic_fields: Mapping[str, FieldInfo] = getattr(cls, "__pydantic_fields__", {})
    record_fields = []
    for field in fields(cls):
        if not field.init:
            raise Rejected(f"field {field.name} of {cls.__name__} has init=False")
        info = pydantic_fields.get(field.name)
        if info is None:
            _check_no_alias(cls, field.name, hints[field.name], field.default)
        key = _key(field.name, info) if info else field.name
        required = info.is_required() if info else field.default is MISSING is field.default_factory
        record_fields.append(RecordField(key, field.name, hints[field.name], required))
    return record_fields


def typed_dict_fields(cls: Any) -> list[RecordField]:
    """Return the keys of a TypedDict.

    Raises:
        Rejected: It keeps unknown keys.
    """
    config = _config(cls)
    if config.get("extra") == "allow":
        raise Rejected(f'{cls.__name__} has extra="allow": use "ignore" or "forbid"')
    _check_keys(config, cls)
    hints = _hints(cls)
    for key, hint in hints.items():
        _check_no_alias(cls, key, hint, None)
    return [
        RecordField(key, key, *_unqualified(hint, required=key in cls.__required_keys__))
        for key, hint in hints.items()
    ]


def _unqualified(hint: Any, *, required: bool) -> tuple[Any, bool]:
    """Return what a key's annotation says without its qualifiers, and whether it is required.

    Under `from __future__ import annotations`, the class itself knows nothing of the qualifiers.
    """
    while (qualifier := get_origin(hint)) in (Required, NotRequired, ReadOnly):
        required = required if qualifier is ReadOnly else qualifier is Required
        (hint,) = get_args(hint)
    return hint, required


def _config(record: Any) -> Mapping[str, Any]:
    attribute = "model_config" if issubclass(record, BaseModel) else "__pydantic_config__"
    config: Mapping[str, Any] = getattr(record, attribute, {})
    return config


def _check_keys(config: Mapping[str, Any], record: Any) -> None:
    """Refuse a configuration under which fields are read by other keys than by their aliases."""
    if config.get("validate_by_alias") is False:
        raise Rejected(f"{record.__name__} has validate_by_alias=False: leave the aliases out")
    if config.get("use_enum_values"):
        raise Rejected(
            f"{record.__name__} has use_enum_values=True: annotate the values themselves"
        )
    if config.get("alias_generator") and not issubclass(record, BaseModel):
        raise Rejected(f"{record.__name__} has an alias_generator: only models may have one")


def _check_no_alias(record: Any, name: str, hint: Any, default: Any) -> None:
    """Refuse an alias that only pydantic would see: not the decoder, nor the class itself."""
    while get_origin(hint) in (Required, NotRequired, ReadOnly):
        (hint,) = get_args(hint)
    found = [*getattr(hint, "__metadata__", ()), default]
    if any(isinstance(one, FieldInfo) and one.validation_alias is not None for one in found):
        raise Rejected(
            f"field {name} of {record.__name__} has an alias: use a frozen model for that"
        )


def _key(name: str, field: FieldInfo) -> str:
    validation, serialization = field.validation_alias, field.serialization_alias
    if isinstance(validation, (AliasPath, AliasChoices)) or (
        validation is not None and serialization is not None and validation != serialization
    ):
        raise Rejected(f"field {name} is read and written by different keys: use Field(alias=...)")
    return validation or name
