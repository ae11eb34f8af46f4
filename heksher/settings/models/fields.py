"""The fields of a `SettingsModel` that are settings, including those of nested models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeGuard

from pydantic import BaseModel

from heksher.exceptions import InvalidSetting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

    NestedModel = type[BaseModel]

OWN_ATTRIBUTES: Final = frozenset({"get", "current", "settings", "override"})
"""The attributes that a `SettingsModel` adds to a pydantic model."""

_RESERVED: Final = OWN_ATTRIBUTES | {name for name in dir(BaseModel) if not name.startswith("_")}


@dataclass(frozen=True, slots=True, eq=False)
class SettingField:
    """One field that is a setting.

    Attributes:
        name: Its name, dotted in a nested model.
        setting_name: The setting's name: prefix and alias.
        path: The keys by which pydantic reads its value.
        annotation: Its type, with constraints.
        default: Its declared default.
        description: Its description.
    """

    name: str
    setting_name: str
    path: tuple[str, ...]
    annotation: Any
    default: Any
    description: str | None


def check_field_name(name: str, model_name: str) -> None:
    """Check that a field does not shadow an attribute of every model.

    Raises:
        InvalidSetting: It does.
    """
    if name in _RESERVED:
        raise InvalidSetting(
            f"field {name!r} of {model_name} shadows a SettingsModel attribute: rename it and keep the"
            f" name as an alias, {name}_: ... = Field(alias={name!r})"
        )


def setting_fields(model: type[BaseModel], prefix: str) -> Iterator[SettingField]:
    """Yield the fields of *model* that are settings, including those of nested models.

    Raises:
        InvalidSetting: A field cannot be a setting; the message says what to change.
    """
    if prefix.startswith(".") or prefix.endswith("."):
        raise InvalidSetting(
            f"the prefix of {model.__name__} is {prefix!r}: remove the dot, which is added"
        )
    return _fields(model, (), prefix, (model,), None)


def _fields(
    model: type[BaseModel],
    above: tuple[tuple[str, str], ...],
    prefix: str,
    containing: tuple[type[BaseModel], ...],
    defaults: BaseModel | None,
) -> Iterator[SettingField]:
    """Yield the fields of a model, nested or not.

    Args:
        model: The model.
        above: The names and keys of the fields that lead to it.
        prefix: The prefix of its settings' names.
        containing: The models that contain it, and itself.
        defaults: Its default instance, if the field that contains it has one.
    """
    so_far: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        check_field_name(name, model.__name__)
        key = _key(name, field, model)
        place = (*above, (name, key))
        shown = ".".join([step for step, _ in place])
        setting_name = f"{prefix}.{key}" if prefix else key
        nested = field.annotation
        if defaults is None:
            default = _default(field, so_far, shown, containing[0])
            so_far |= {} if default is _NONE else {name: default}
        else:
            default = getattr(defaults, name)
        if not _is_nested(nested):
            keys = tuple([step for _, step in place])
            yield _setting_field(field, default, shown, (setting_name, keys), containing[0])
            continue
        if nested in containing:
            raise InvalidSetting(
                f"field {shown!r} of {containing[0].__name__} nests {nested.__name__} in itself: use a"
                " different model there"
            )
        inner = _nested_defaults(default, nested, shown, containing[0])
        yield from _fields(nested, place, setting_name, (*containing, nested), inner)


def _setting_field(
    field: FieldInfo,
    default: Any,
    shown: str,
    names: tuple[str, tuple[str, ...]],
    model: type[BaseModel],
) -> SettingField:
    if default is _NONE:
        raise InvalidSetting(
            f"field {shown!r} of {model.__name__} needs a default, to be used without a service"
        )
    return SettingField(shown, *names, _annotation(field), default, field.description)


_NONE: Final = object()


def _default(field: FieldInfo, so_far: dict[str, Any], shown: str, model: type[BaseModel]) -> Any:
    if field.is_required():
        return _NONE
    try:
        return field.get_default(call_default_factory=True, validated_data=so_far)
    except Exception as error:  # noqa: BLE001  # a user's function may raise anything
        raise InvalidSetting(
            f"the default_factory of field {shown!r} of {model.__name__} raised"
            f" {type(error).__name__}: it is called once, with the defaults of the preceding fields"
        ) from None


def _nested_defaults(
    default: Any, nested: type[BaseModel], shown: str, model: type[BaseModel]
) -> BaseModel | None:
    if default is _NONE:
        return None
    if not isinstance(default, nested):
        raise InvalidSetting(
            f"the default of field {shown!r} of {model.__name__} must be {nested.__name__}(...), not"
            f" {type(default).__name__}: or remove it, to use the defaults of its fields"
        )
    return default


def _is_nested(annotation: Any) -> TypeGuard[NestedModel]:
    return isinstance(annotation, type) and hasattr(annotation, "_completed_plan")


def _annotation(field: FieldInfo) -> Any:
    if not field.metadata:
        return field.annotation
    return Annotated[(field.annotation, *field.metadata)]


def _key(name: str, field: FieldInfo, model: type[BaseModel]) -> str:
    alias = field.validation_alias
    if alias is not None and not isinstance(alias, str):
        raise InvalidSetting(
            f"field {name!r} of {model.__name__} must be read by a single key: use Field(alias=...)"
        )
    return alias or name
