"""The plan of a `SettingsModel`: declare the settings of its fields, and read them from one state."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from heksher.exceptions import InvalidSetting
from heksher.settings.checks import check_configurable_features
from heksher.settings.context import ABSENT, Scope
from heksher.settings.models.fields import SettingField, setting_fields
from heksher.settings.models.generated_get import model_reader_factory
from heksher.settings.models.instances import Instances
from heksher.settings.reading.generated_get import unexpected_argument
from heksher.settings.reading.state import fill_in
from heksher.settings.setting import Setting, declaration_of
from heksher.settings.types.annotations import check_within
from heksher.settings.types.decoder import Rejected
from heksher.settings.types.equality import identical

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import BaseModel

    from heksher.settings.location import Location
    from heksher.settings.registry import Registry

AnySetting = Setting[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDeclaration:
    """The class keywords of a model, including inherited ones.

    Attributes:
        prefix: The prefix of its settings' names; `None` for an abstract model.
        configurable_features: The configurable features of its settings.
        version: The version of its settings.
        registry: Where its settings are declared.
        location: Where the class is defined.
    """

    prefix: str | None = None
    configurable_features: Iterable[str] | None = None
    version: str = "1.0"
    registry: Registry
    location: Location | None = None


class ModelPlan:
    """The settings of one model, and its `get`.

    Attributes:
        settings: The settings by field name, dotted in nested models.
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
        self.fields: tuple[SettingField, ...] = tuple(declared)
        self.settings: Mapping[str, AnySetting] = MappingProxyType(
            {field.name: setting for field, setting in declared.items()}
        )
        self._features = features
        self._in_order = tuple([declaration_of(setting) for setting in declared.values()])
        paths = [field.path for field in declared]
        self._instances = Instances(model, self._in_order, paths, registry)
        self.get: Any = self._make_get(model.__qualname__)

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
        """Return the values in a pinned state that is older than the model."""
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
    """Declare the settings of a model's fields, and return its plan.

    Raises:
        InvalidSetting: A field cannot be a setting; the message says what to change.
    """
    if not model.model_config.get("frozen"):
        raise InvalidSetting(
            f"{model.__name__} must not have frozen=False, or a reader could change the value for"
            " everyone: remove it"
        )
    if model.model_config.get("use_enum_values"):
        raise InvalidSetting(
            f"{model.__name__} must not have use_enum_values=True, or a field would differ from its"
            " setting: remove it"
        )
    if declaration.configurable_features is None:
        raise InvalidSetting(
            f"{model.__name__} needs context features: add configurable_features=[...]"
        )
    features = check_configurable_features(model.__name__, declaration.configurable_features)
    fields = list(setting_fields(model, str.__str__(declaration.prefix or "")))
    if not fields:
        raise InvalidSetting(f"{model.__name__} needs at least one field")
    inherited = _inherited(model, declaration)
    for _, setting in inherited.values():
        if set(setting.configurable_features) == set(features):
            # Their order is arbitrary, but all fields of a model need the same one.
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
    """Return the settings that base classes have declared, which a model shares by name."""
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
        what = "different context features"
    elif field.annotation != known.annotation:
        what = "a different type"
    elif not identical(field.default, known.default):
        what = "a different default"
    elif field.description != known.description:
        what = "a different description"
    if what is not None:
        raise InvalidSetting(
            f"field {field.name!r} of {model.__name__} has {what} than in its base class, with which it"
            f" shares the setting {setting.name!r}: use a different prefix or field name"
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
