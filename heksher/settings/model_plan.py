"""How a `SettingsModel` is read: the settings of its fields, and instances by their values."""

from __future__ import annotations

import logging
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol

from pydantic import BaseModel, ValidationError

from heksher.exceptions import InvalidSetting
from heksher.settings.context import ABSENT
from heksher.settings.declaration import check_configurable_features
from heksher.settings.frozen import freeze
from heksher.settings.model_reading import model_reader_factory
from heksher.settings.reading import unexpected_argument
from heksher.settings.setting import Setting
from heksher.settings.state import fill_in, rule_set_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic.fields import FieldInfo

    from heksher.settings.registry import Registry

logger: Final = logging.getLogger("heksher")

MAX_INSTANCES: Final = 1_024
"""How many combinations of values a model keeps an instance for."""

AnySetting = Setting[Any, ...]


class PlanOptions(Protocol):
    """What a model's class keywords say."""

    @property
    def prefix(self) -> str | None:
        """What the names of its settings begin with."""

    @property
    def configurable_features(self) -> Iterable[str] | None:
        """What its settings are configurable by."""

    @property
    def version(self) -> str:
        """The version of its settings."""

    @property
    def registry(self) -> Registry:
        """Where its settings are declared."""


class ModelPlan:
    """The settings of one model, and how to read them as one.

    Attributes:
        settings: The settings by the name of their field, dotted in nested models.
        get: Returns the instance for a context; see `SettingsModel.get`.
    """

    def __init__(
        self,
        model: type[BaseModel],
        settings: Mapping[str, AnySetting],
        features: tuple[str, ...],
        registry: Registry,
    ) -> None:
        self._model = model
        self._registry = registry
        self.settings: Mapping[str, AnySetting] = MappingProxyType(dict(settings))
        self._fields = tuple(self.settings.values())
        self._paths = [_keys(model, name.split(".")) for name in self.settings]
        self._instances: dict[Any, Any] = {}
        self._values: dict[Any, tuple[Any, ...]] = {}
        self._reported: set[frozenset[int]] = set()
        self._all_defaults = self._proven_defaults()
        self.get = self._make_get(features)

    def _proven_defaults(self) -> Any:
        values = tuple([setting.default_value for setting in self._fields])
        try:
            return self._built(values)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            raise InvalidSetting(
                f"the defaults of {self._model.__name__} are refused by its own validators:"
                f" {first['msg']} @ {'.'.join(map(str, first['loc'])) or 'the whole'}"
            ) from None

    def _make_get(self, features: tuple[str, ...]) -> Any:
        hashable = tuple([_is_hashable(setting.default_value) for setting in self._fields])
        get: Any = model_reader_factory(features, hashable)(
            self._registry.view.get,
            self._registry,
            [setting.index for setting in self._fields],
            self._filling,
            self._read_late,
            self._instances,
            self._build,
            unexpected_argument,
        )
        get.__qualname__ = f"{self._model.__qualname__}.get"
        return get

    def _filling(self, view: Any, place: int) -> Any:
        return fill_in(view, self._fields[place])

    def _read_late(self, *values: Any) -> tuple[Any, ...]:
        """Return the values from a pinned state that is older than the model."""
        given = {
            name: value
            for name, value in zip(self._fields[0].configurable_features, values, strict=True)
            if value is not ABSENT
        }
        return tuple([setting.get(**given) for setting in self._fields])

    def _build(self, key: Any, values: tuple[Any, ...]) -> Any:
        """Return the instance of *values*, and keep it under *key*, in which ids may stand."""
        try:
            hash(key)
        except TypeError:
            # A value of a custom type that has no hash now and then.
            return self._build_safely(values)
        while len(self._instances) >= MAX_INSTANCES:
            oldest = next(iter(self._instances))
            self._instances.pop(oldest, None)
            self._values.pop(oldest, None)
        # The values are kept too, so that no other object can get an id that is in a key.
        self._values[key] = values
        return self._instances.setdefault(key, self._build_safely(values))

    def _build_safely(self, values: tuple[Any, ...]) -> Any:
        try:
            return self._built(values)
        except Exception as error:  # noqa: BLE001  # a user's validator may raise anything
            self._report(error, values)
            return self._all_defaults

    def _built(self, values: tuple[Any, ...]) -> Any:
        content: dict[str, Any] = {}
        for path, value in zip(self._paths, values, strict=True):
            inner = content
            for step in path[:-1]:
                inner = inner.setdefault(step, {})
            inner[path[-1]] = value
        return freeze(self._model.model_validate(content))

    def _report(self, error: Exception, values: tuple[Any, ...]) -> None:
        """Log once that values do not go together, by the rules that they are from."""
        state = self._registry.current_state()
        rule_ids = [
            rule.rule_id
            for setting, value in zip(self._fields, values, strict=True)
            for rule in rule_set_in(state, setting).rules()
            if rule.value is value
        ]
        known = frozenset(rule_ids)
        if known not in self._reported:
            self._reported.add(known)
            logger.error(
                "%s: its validators refuse a combination of values (%s), which reads as all"
                " declared defaults; it is of the rules %s",
                self._model.__name__,
                type(error).__name__,
                sorted(known),
                extra={"model": self._model.__name__, "rules": sorted(known)},
            )


def _is_hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def plan_of(model: type[BaseModel], options: PlanOptions) -> ModelPlan:
    """Declare the settings of a model's fields, and return how to read them.

    Raises:
        InvalidSetting: A field cannot be a setting; the message names it and the way out.
    """
    if not model.model_config.get("frozen"):
        raise InvalidSetting(f"{model.__name__} has frozen=False: its readers would share changes")
    if options.configurable_features is None:
        raise InvalidSetting(
            f"{model.__name__} has no context features: give it configurable_features=[...]"
        )
    features = check_configurable_features(model.__name__, options.configurable_features)
    settings = {}
    inherited = _inherited_settings(model, options)
    for name, setting_name, field in _leaves(model, str(options.prefix)):
        known = inherited.get(setting_name)
        settings[name] = known or _declared(model, name, setting_name, field, features, options)
    if not settings:
        raise InvalidSetting(f"{model.__name__} has no fields: give it at least one")
    return ModelPlan(model, settings, features, options.registry)


def _inherited_settings(model: type[BaseModel], options: PlanOptions) -> dict[str, AnySetting]:
    """Return the settings that classes above declared, by name: under one prefix they are shared."""
    found: dict[str, AnySetting] = {}
    for base in model.__mro__[1:]:
        plan = base.__dict__.get("_plan")
        if isinstance(plan, ModelPlan) and plan._registry is options.registry:
            for setting in plan.settings.values():
                found.setdefault(setting.name, setting)
    return found


def _leaves(model: type[BaseModel], prefix: str) -> list[tuple[str, str, FieldInfo]]:
    """Return each field that is a setting: its dotted name, its setting's name, the field."""
    found: list[tuple[str, str, FieldInfo]] = []
    for name, field in model.model_fields.items():
        setting_name = f"{prefix}.{_key(name, field)}" if prefix else _key(name, field)
        nested = field.annotation
        if isinstance(nested, type) and hasattr(nested, "_completed_plan"):
            found += [
                (f"{name}.{inner}", inner_setting, inner_field)
                for inner, inner_setting, inner_field in _leaves(nested, setting_name)
            ]
        else:
            found.append((name, setting_name, field))
    return found


def _declared(
    model: type[BaseModel],
    name: str,
    setting_name: str,
    field: FieldInfo,
    features: tuple[str, ...],
    options: PlanOptions,
) -> AnySetting:
    if field.is_required():
        raise InvalidSetting(
            f"field {name!r} of {model.__name__} has no default: give it the value to read"
            " without a service"
        )
    annotation: Any = field.annotation
    if field.metadata:
        annotation = Annotated[(annotation, *field.metadata)]
    try:
        return Setting[annotation](
            setting_name,
            configurable_features=features,
            default_value=field.get_default(call_default_factory=True, validated_data={}),
            description=field.description,
            version=options.version,
            registry=options.registry,
        )
    except InvalidSetting as error:
        raise type(error)(f"field {name!r} of {model.__name__}: {error}") from None


def _keys(model: Any, names: list[str]) -> list[str]:
    """Return the keys by which pydantic reads a dotted field."""
    keys = []
    for name in names:
        field = model.model_fields[name]
        keys.append(_key(name, field))
        model = field.annotation
    return keys


def _key(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    if alias is not None and not isinstance(alias, str):
        raise InvalidSetting(f"field {name!r} is read by more than one key: use Field(alias=...)")
    return alias or name
