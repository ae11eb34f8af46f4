"""How a `SettingsModel` is read: the settings of its fields, all of them from one state."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from heksher.exceptions import InvalidSetting
from heksher.settings.checks import check_configurable_features
from heksher.settings.comparing import identical
from heksher.settings.context import ABSENT, Scope
from heksher.settings.model_fields import SettingField, setting_fields
from heksher.settings.model_instances import Instances
from heksher.settings.model_reading import model_reader_factory
from heksher.settings.reading import unexpected_argument
from heksher.settings.setting import Setting, declaration_of
from heksher.settings.state import fill_in
from heksher.settings.types import check_within
from heksher.settings.values import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import BaseModel

    from heksher.settings.location import Location
    from heksher.settings.registry import Registry

AnySetting = Setting[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDeclaration:
    """What a model's class keywords say, with those of the classes above it.

    Attributes:
        prefix: What the names of its settings begin with; `None` for an abstract model.
        configurable_features: What its settings are configurable by.
        version: The version of its settings.
        registry: Where its settings are declared.
        location: Where the class is written.
    """

    prefix: str | None = None
    configurable_features: Iterable[str] | None = None
    version: str = "1.0"
    registry: Registry
    location: Location | None = None


class ModelPlan:
    """The settings of one model, and how to read them as one.

    Attributes:
        settings: The settings by the name of their field, dotted in nested models.
        fields: The fields, in the same order.
        registry: Where the settings are declared.
        get: Returns the instance for a context; see `SettingsModel.get`.
    """

    def __init__(
        self,
        model: type[BaseModel],
        declared: Mapping[SettingField, AnySetting],
        features: tuple[str, ...],
        registry: Registry,
    ) -> None:
        self.registry = registry
        self.fields = tuple(declared)
        self.settings: Mapping[str, AnySetting] = MappingProxyType(
            {field.name: setting for field, setting in declared.items()}
        )
        self._features = features
        self._in_order = tuple([declaration_of(setting) for setting in declared.values()])
        paths = [field.path for field in declared]
        self._instances = Instances(model, self._in_order, paths, registry)
        self.get = self._make_get(model.__qualname__)

    def _make_get(self, model_name: str) -> Any:
        instances = self._instances
        get: Any = model_reader_factory(self._features, instances.own_keys)(
            self.registry,
            [setting.place for setting in self._in_order],
            self._filling,
            self._read_late,
            instances.by_key,
            instances.find,
            unexpected_argument,
            f"{model_name}.get",
        )
        get.__name__ = "get"
        get.__qualname__ = f"{model_name}.get"
        get.__doc__ = f"Return the instance of {model_name} for a context."
        return get

    def _filling(self, view: Any, place: int) -> Any:
        return fill_in(view, self._in_order[place])

    def _read_late(self, *values: Any) -> tuple[Any, ...]:
        """Return the values from a pinned state that is older than the model."""
        given = self._given(values)
        with Scope(self.registry.view, self.registry.pinned_view):
            return tuple([setting.get(**given) for setting in self.settings.values()])

    def _given(self, values: tuple[Any, ...]) -> dict[str, Any]:
        return {
            name: value
            for name, value in zip(self._features, values, strict=True)
            if value is not ABSENT
        }


def plan_of(model: type[BaseModel], declaration: ModelDeclaration) -> ModelPlan:
    """Declare the settings of a model's fields, and return how to read them.

    Raises:
        InvalidSetting: A field cannot be a setting; the message names it and the way out.
    """
    if not model.model_config.get("frozen"):
        raise InvalidSetting(
            f"{model.__name__} has frozen=False, so a reader could change what all others read:"
            " leave that out"
        )
    if model.model_config.get("use_enum_values"):
        raise InvalidSetting(
            f"{model.__name__} has use_enum_values=True, so that a field would read otherwise than its"
            " setting: leave that out"
        )
    if declaration.configurable_features is None:
        raise InvalidSetting(
            f"{model.__name__} has no context features: give it configurable_features=[...]"
        )
    features = check_configurable_features(model.__name__, declaration.configurable_features)
    fields = list(setting_fields(model, str.__str__(declaration.prefix or "")))
    if not fields:
        raise InvalidSetting(f"{model.__name__} has no fields: give it at least one")
    inherited = _inherited(model, declaration)
    for _, setting in inherited.values():
        if set(setting.configurable_features) == set(features):
            # The order is free, but the fields of one model are read by position.
            features = setting.configurable_features
    declared = {}
    for field in fields:
        if field.setting_name in inherited:
            known, setting = inherited[field.setting_name]
            _check_same(model, field, known, setting, features)
            declared[field] = setting
        else:
            declared[field] = _declared(model, field, features, declaration)
    return ModelPlan(model, declared, features, declaration.registry)


def _inherited(
    model: type[BaseModel], declaration: ModelDeclaration
) -> dict[str, tuple[SettingField, AnySetting]]:
    """Return what classes above have declared, by setting name: under one prefix it is shared."""
    found: dict[str, tuple[SettingField, AnySetting]] = {}
    for base in model.__mro__[1:]:
        plan = base.__dict__.get("_plan")
        if isinstance(plan, ModelPlan) and plan.registry is declaration.registry:
            for field in plan.fields:
                found.setdefault(field.setting_name, (field, plan.settings[field.name]))
    return found


def _check_same(
    model: type[BaseModel],
    field: SettingField,
    known: SettingField,
    setting: AnySetting,
    features: tuple[str, ...],
) -> None:
    what = None
    if setting.configurable_features != features:
        what = "other context features"
    elif field.annotation != known.annotation:
        what = "another type"
    elif not identical(field.default, known.default):
        what = "another default"
    elif field.description != known.description:
        what = "another description"
    if what is not None:
        raise InvalidSetting(
            f"field {field.name!r} of {model.__name__} gives the setting {setting.name!r}, which it"
            f" shares with the class above, {what}: give {model.__name__} a prefix of its own, or"
            " the field another name"
        )


def _declared(
    model: type[BaseModel],
    field: SettingField,
    features: tuple[str, ...],
    declaration: ModelDeclaration,
) -> AnySetting:
    declare: Any = Setting
    try:
        setting: AnySetting = declare(
            field.setting_name,
            field.annotation,
            configurable_features=features,
            default_value=field.default,
            description=field.description,
            version=declaration.version,
            registry=declaration.registry,
            location=declaration.location,
        )
        check_within(field.annotation)
    except InvalidSetting as error:
        raise type(error)(f"field {field.name!r} of {model.__name__}: {error}") from None
    except Rejected as rejected:
        raise InvalidSetting(f"field {field.name!r} of {model.__name__}: {rejected}") from None
    return setting
