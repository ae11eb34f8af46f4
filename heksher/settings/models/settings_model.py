"""`SettingsModel`: a pydantic model with a setting for each field, read as one frozen object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from inspect import get_annotations
from threading import RLock
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    PydanticSchemaGenerationError,
    PydanticUndefinedAnnotation,
)
from pydantic_core import CoreSchema

from heksher.exceptions import (
    InvalidSetting,
    MissingContextAttribute,
    MissingContextFeature,
    UsageError,
)
from heksher.settings import registry as registries
from heksher.settings.location import declaring_frame, location_of
from heksher.settings.models.fields import OWN_ATTRIBUTES, check_field_name
from heksher.settings.models.plan import ModelDeclaration, ModelPlan, plan_of
from heksher.settings.registry import Registry
from heksher.settings.setting import Setting

M = TypeVar("M", bound="SettingsModel")

_completing: Final = RLock()
"""Held while a model is completed, so that its settings are declared only once."""


class _Current:
    """The model for the ambient context, as a class attribute."""

    def __get__(self, instance: object, owner: type[M]) -> M:
        try:
            return owner.get()
        except MissingContextFeature as error:
            raise MissingContextAttribute(error.setting_name, error.feature) from None
        except UsageError as error:
            raise AttributeError(str(error)) from None


class _Settings:
    """The settings behind a model's fields, as a class attribute."""

    def __get__(
        self, instance: object, owner: type[SettingsModel]
    ) -> Mapping[str, Setting[Any, ...]]:
        try:
            return owner._completed_plan().settings
        except UsageError as error:
            raise AttributeError(str(error)) from None


if TYPE_CHECKING:
    _Model = BaseModel
else:

    class _ModelType(type(BaseModel)):
        """Pydantic's metaclass, with the reason why a class attribute cannot be read."""

        def __getattr__(cls, name):
            if name in ("current", "settings"):
                # Pydantic's own would hide the error that the attribute has just raised.
                return vars(SettingsModel)[name].__get__(None, cls)
            return super().__getattr__(name)

    class _Model(BaseModel, metaclass=_ModelType):
        pass


class SettingsModel(_Model):
    """A group of settings, declared as a pydantic model and read as one object.

    Each field is a setting. Its name is the prefix and the field's name (or alias); its default,
    constraints and description are the field's::

        class Cache(SettingsModel, prefix="cache", configurable_features=["environment", "user"]):
            ttl: int = 60
            size: Annotated[int, Field(ge=1, description="entries")] = 100

        Cache.get(user="john").ttl

    The class keywords are `prefix`, `configurable_features` (or its synonym `context`), `version` and
    `registry`. They are inherited. A class without a prefix is abstract: it declares nothing, and is
    used as a base class or as the type of a field, which prefixes the names of its settings.

    An instance is read from one published state and frozen at any depth. Equal values give the same
    object; the 1,024 most recent combinations are kept. If the model's validators reject a combination
    of values, all declared defaults are read instead, and an error is logged once.

    Attributes:
        settings: The setting behind each field, by name; by dotted names in nested models.
        current: The instance for the ambient context.

    Raises:
        InvalidSetting: The model cannot be declared; the message names the field and what to change.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    settings: ClassVar[_Settings] = _Settings()
    current: ClassVar[_Current] = _Current()

    _declaration: ClassVar[ModelDeclaration] = ModelDeclaration(registry=registries.DEFAULT)
    _plan: ClassVar[ModelPlan | None] = None

    def __init_subclass__(
        cls,
        *,
        prefix: str | None = None,
        configurable_features: Iterable[str] | None = None,
        context: Iterable[str] | None = None,
        version: str | None = None,
        registry: Registry | None = None,
        **kwargs: Any,
    ) -> None:
        try:
            super().__init_subclass__(**kwargs)
        except TypeError:
            if not kwargs:
                raise
            raise InvalidSetting(
                f"{cls.__name__} got an unexpected class keyword {next(iter(kwargs))!r}: use prefix,"
                " configurable_features or context, version, registry, or pydantic's own"
            ) from None
        _check_class(cls)
        if context is not None and configurable_features is not None:
            raise InvalidSetting(
                f"{cls.__name__} has both context and configurable_features: keep only one"
            )
        given: dict[str, Any] = {
            "prefix": prefix,
            "configurable_features": context if context is not None else configurable_features,
            "version": version,
            "registry": registry,
        }
        cls._declaration = replace(
            cls._declaration,
            location=location_of(declaring_frame(), of_class=True),
            **{key: value for key, value in given.items() if value is not None},
        )
        cls._plan = None
        # Not that of the base class, which may be installed already.
        cls.get = SettingsModel.__dict__["get"]  # type: ignore[method-assign]  # see below

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Declare the fields' settings, now or once pydantic can resolve all of their types."""
        super().__pydantic_init_subclass__()
        if not cls._is_declared():
            return
        if cls.__pydantic_complete__:
            cls._completed_plan()
        else:
            cls._declaration.registry.declare_later(cls._complete)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler, /
    ) -> CoreSchema:
        """Return pydantic's schema of the fields.

        Raises:
            InvalidSetting: A field has a type that pydantic does not know.
        """
        try:
            return handler(source)
        except PydanticSchemaGenerationError as error:
            reason = str(error).partition("\n")[0].partition(" Set `arbitrary")[0]
            raise InvalidSetting(
                f"{cls.__name__} has a field whose type pydantic does not know: {reason} Use Sequence[T]"
                " for sequences, or another type that pydantic knows"
            ) from None

    @classmethod
    def _is_declared(cls) -> bool:
        is_generic = bool(cls.__pydantic_generic_metadata__["parameters"])
        return cls._declaration.prefix is not None and not is_generic

    @classmethod
    def _complete(cls) -> None:
        cls._completed_plan()

    @classmethod
    def _completed_plan(cls) -> ModelPlan:
        if cls._plan is not None:
            return cls._plan
        if not cls._is_declared():
            raise UsageError(
                f"{cls.__name__} is abstract: give it a prefix, as in class"
                f' {cls.__name__}(SettingsModel, prefix="..."), and a type for each type variable'
            )
        with _completing:
            if cls._plan is None:
                if not cls.__pydantic_complete__:
                    cls._resolve()
                cls._plan = plan_of(cls, cls._declaration)
                # Replaces the class method, whose call would cost more than reading.
                cls.get = staticmethod(cls._plan.get)  # type: ignore[method-assign]  # as said
            return cls._plan

    @classmethod
    def _resolve(cls) -> None:
        """Resolve the forward references that were undefined when the class was created."""
        try:
            cls.model_rebuild(raise_errors=True)
        except PydanticUndefinedAnnotation as error:
            raise InvalidSetting(
                f"{cls.__name__}, at {cls._declaration.location}, has a field with an undefined type"
                f" ({error.name}): define it at module level, or call {cls.__name__}.model_rebuild() where"
                " it is defined"
            ) from None

    @classmethod
    def get(cls, /, **context: str | None) -> Self:
        """Return the instance for a context: given here, else bound, else the client's defaults.

        All fields are read from one published state. Type checkers do not check the keywords.

        Raises:
            MissingContextFeature: A configurable feature has no value anywhere.
            TypeError: A feature is not one of the configurable ones.
        """
        instance: Self = cls._completed_plan().get(**context)
        return instance

    @classmethod
    def override(cls, /, **values: Any) -> AbstractContextManager[object]:
        """Override the values of fields until the `with` block ends, in this task or thread only.

        Args:
            **values: Values by field name; dotted in nested models, `**{"a.b": 1}`.

        Raises:
            InvalidValue: A field cannot have the value.
            UsageError: There is no such field.
        """
        settings = cls._completed_plan().settings
        unknown = sorted(values.keys() - settings.keys())
        if unknown:
            raise UsageError(f"{cls.__name__} has no setting {unknown[0]!r}: it has {[*settings]}")
        return _All([settings[name].override(value) for name, value in values.items()])


class _All(ExitStack):
    """Enters several context managers when it is entered itself."""

    def __init__(self, managers: Iterable[AbstractContextManager[None]]) -> None:
        super().__init__()
        self._managers = tuple(managers)

    def __enter__(self) -> Self:
        super().__enter__()
        for manager in self._managers:
            self.enter_context(manager)
        return self


def _check_class(cls: type[BaseModel]) -> None:
    """Reject names that would shadow an attribute of every settings model."""
    for name in get_annotations(cls):
        check_field_name(name, cls.__name__)
    hidden = sorted(OWN_ATTRIBUTES & cls.__dict__.keys())
    if hidden:
        raise InvalidSetting(
            f"{cls.__name__} defines {hidden[0]!r}, a SettingsModel attribute: rename it"
        )
