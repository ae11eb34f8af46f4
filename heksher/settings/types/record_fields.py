"""The fields of records: frozen models, frozen dataclasses and TypedDicts.

Records with features that their decoder does not support are rejected here.
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

from pydantic import AliasChoices, AliasPath, BaseModel
from pydantic.fields import FieldInfo
from typing_extensions import ReadOnly

from heksher.settings.types.decoder import Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_INITVAR: Final = dataclasses._FIELD_INITVAR  # type: ignore[attr-defined]  # no public name


@dataclass(frozen=True, slots=True)
class RecordField:
    """One field of a record: its key in the JSON, its name and annotation in Python."""

    key: str
    name: str
    annotation: Any
    required: bool


def model_fields(
    model: type[BaseModel], names: Callable[[], Mapping[str, Any]]
) -> list[RecordField]:
    """Return the fields of a pydantic model; *names* returns the names for its forward references.

    Raises:
        Rejected: It is not frozen, keeps unknown keys, or reads a field by more than one key.
    """
    config = model.model_config
    if not config.get("frozen"):
        raise Rejected(
            f"{model.__name__} must be frozen, or a reader could change the value for everyone: add"
            " model_config = ConfigDict(frozen=True)"
        )
    _check_keys(config, model)
    if config.get("extra") == "allow":
        raise Rejected(f'{model.__name__} must not have extra="allow": use "ignore" or "forbid"')
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
        f"a field of {cls.__name__} has an undefined type ({str(error).partition(chr(10))[0]}): define"
        " it earlier, at module level"
    )


def dataclass_fields(cls: Any) -> list[RecordField]:
    """Return the fields of a standard or pydantic dataclass.

    Raises:
        Rejected: It is not frozen, keeps unknown keys, or has a field that is not initialized.
    """
    config = config_of(cls)
    if not (cls.__dataclass_params__.frozen or config.get("frozen")):
        raise Rejected(
            f"{cls.__name__} must be frozen, or a reader could change the value for everyone: write"
            " @dataclass(frozen=True)"
        )
    if config.get("extra") == "allow":
        raise Rejected(f'{cls.__name__} must not have extra="allow": use "ignore" or "forbid"')
    try:
        object.__new__(cls)
    except TypeError:
        raise Rejected(
            f"{cls.__name__} cannot be created from its fields alone, for it is abstract or inherits from"
            " a class such as Exception: use a plain dataclass"
        ) from None
    if any(field._field_type is _INITVAR for field in cls.__dataclass_fields__.values()):
        raise Rejected(f"{cls.__name__} has an InitVar, which cannot be serialized: remove it")
    _check_keys(config, cls)
    hints = _hints(cls)
    pydantic_fields: Mapping[str, FieldInfo] = getattr(cls, "__pydantic_fields__", {})
    record_fields = []
    for field in fields(cls):
        if not field.init:
            raise Rejected(f"field {field.name} of {cls.__name__} must not have init=False")
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
    config = config_of(cls)
    if config.get("extra") == "allow":
        raise Rejected(f'{cls.__name__} must not have extra="allow": use "ignore" or "forbid"')
    _check_keys(config, cls)
    hints = _hints(cls)
    for key, hint in hints.items():
        _check_no_alias(cls, key, hint, None)
    return [
        RecordField(key, key, *_unqualified(hint, required=key in cls.__required_keys__))
        for key, hint in hints.items()
    ]


def _unqualified(hint: Any, *, required: bool) -> tuple[Any, bool]:
    """Return a key's annotation without its qualifiers, and whether the key is required."""
    # Under `from __future__ import annotations`, the class itself does not know the qualifiers.
    while (qualifier := get_origin(hint)) in (Required, NotRequired, ReadOnly):
        required = required if qualifier is ReadOnly else qualifier is Required
        (hint,) = get_args(hint)
    return hint, required


def config_of(record: Any) -> Mapping[str, Any]:
    """Return pydantic's configuration of a record; empty where it has none."""
    attribute = "model_config" if issubclass(record, BaseModel) else "__pydantic_config__"
    config: Mapping[str, Any] = getattr(record, attribute, {})
    return config


def _check_keys(config: Mapping[str, Any], record: Any) -> None:
    """Reject a configuration that reads fields by other keys than their aliases."""
    if config.get("validate_by_alias") is False:
        raise Rejected(
            f"{record.__name__} must not have validate_by_alias=False: remove the aliases instead"
        )
    if config.get("use_enum_values"):
        raise Rejected(
            f"{record.__name__} must not have use_enum_values=True: annotate the values' type instead"
        )
    if config.get("alias_generator") and not issubclass(record, BaseModel):
        raise Rejected(
            f"{record.__name__} must not have an alias_generator: use a frozen model instead"
        )


def _check_no_alias(record: Any, name: str, hint: Any, default: Any) -> None:
    """Reject an alias that only pydantic would see, but not the decoder or the class itself."""
    while get_origin(hint) in (Required, NotRequired, ReadOnly):
        (hint,) = get_args(hint)
    found = [*getattr(hint, "__metadata__", ()), default]
    if any(isinstance(one, FieldInfo) and one.validation_alias is not None for one in found):
        raise Rejected(
            f"field {name} of {record.__name__} must not have an alias: use a frozen model instead"
        )


def _key(name: str, field: FieldInfo) -> str:
    validation, serialization = field.validation_alias, field.serialization_alias
    if isinstance(validation, (AliasPath, AliasChoices)) or (
        validation is not None and serialization is not None and validation != serialization
    ):
        raise Rejected(
            f"field {name} must be read and written by the same key: use Field(alias=...)"
        )
    return validation or name
