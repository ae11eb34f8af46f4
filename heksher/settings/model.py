"""`SettingsModel`: one pydantic model, one setting for each field, read as one frozen object."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from inspect import get_annotations
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from heksher.exceptions import InvalidSetting, UsageError
from heksher.settings import registry as registries
from heksher.settings.model_plan import ModelPlan, plan_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from heksher.settings.registry import Registry
    from heksher.settings.setting import Setting

M = TypeVar("M", bound="SettingsModel")

_RESERVED = frozenset(name for name in dir(BaseModel) if not name.startswith("_")) | {
    "get",
    "current",
    "settings",
    "override",
}


@dataclass(frozen=True, slots=True)
class ModelDeclaration:
    """What a model's class keywords say, with those of the classes above it."""

    prefix: str | None = None
    configurable_features: Iterable[str] | None = None
    version: str = "1.0"
    registry: Registry = registries.DEFAULT


class _Current:
    """The model for the ambient context, as a class attribute."""

    def __get__(self, instance: object, owner: type[M]) -> M:
        return owner.get()


class _Settings:
    """The settings behind a model's fields, as a class attribute."""

    def __get__(
        self, instance: object, owner: type[SettingsModel]
    ) -> Mapping[str, Setting[Any, ...]]:
        return owner._completed_plan().settings


class SettingsModel(BaseModel):
    """Settings that belong together, declared as a pydantic model and read as one object.

    Every field is a setting of its own, called by the prefix and the field's name (or alias), with
    the field's default, constraints and description::

        class Cache(SettingsModel, prefix="cache", configurable_features=["environment", "user"]):
            ttl: int = 60
            size: Annotated[int, Field(ge=1, description="entries")] = 100

        Cache.get(user="john").ttl

    The class keywords are `prefix`, `configurable_features` (or `context`, the same), `version` and
    `registry`; they are inherited. A class without a prefix is abstract: it declares nothing, and
    serves as a base or as the type of a field, whose settings then are called by both names. An
    instance is built from one published state, frozen at any depth, and the same object for the
    same values; at most 1,024 combinations of values are kept.

    A combination of values that the model's own validators refuse reads as the instance of all
    declared defaults, and is reported once.

    Attributes:
        settings: The setting behind each field, by name; by dotted names in nested models.
        current: The instance for the ambient context.

    Raises:
        InvalidSetting: The model cannot be declared; the message names the field and the way out.
    """

    model_config = ConfigDict(frozen=True)

    settings: ClassVar[_Settings] = _Settings()
    current: ClassVar[_Current] = _Current()

    _declaration: ClassVar[ModelDeclaration] = ModelDeclaration()
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
        super().__init_subclass__(**kwargs)
        for name in get_annotations(cls):
            if name in _RESERVED:
                raise InvalidSetting(
                    f"field {name!r} of {cls.__name__} is called like an attribute of every such"
                    f" model: call it otherwise, as in {name}_: ... = Field(..., alias={name!r})"
                )
        given: dict[str, Any] = {
            "prefix": prefix,
            "configurable_features": context if context is not None else configurable_features,
            "version": version,
            "registry": registry,
        }
        cls._declaration = replace(
            cls._declaration, **{key: value for key, value in given.items() if value is not None}
        )
        cls._plan = None
        # Not that of the class above, which may have been installed there already.
        cls.get = SettingsModel.__dict__["get"]  # type: ignore[method-assign]  # see below

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Declare the fields' settings, if pydantic knows all of their types by now."""
        super().__pydantic_init_subclass__()
        if not cls._is_declared():
            return
        if cls.__pydantic_complete__:
            cls._completed_plan()
        else:
            cls._declaration.registry.declare_later(cls._complete)

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
                f' {cls.__name__}(SettingsModel, prefix="..."), and a type for each variable'
            )
        if not cls.__pydantic_complete__:
            # Raises pydantic's own error, which names the type that is not there.
            cls.model_rebuild(raise_errors=True)
        cls._plan = plan_of(cls, cls._declaration)
        # Installed over the method of the same name, which would cost more than the reading.
        cls.get = staticmethod(cls._plan.get)  # type: ignore[method-assign]  # as said
        return cls._plan

    @classmethod
    def get(cls, **context: str | None) -> Self:
        """Return the instance for a context: given here, else bound, else the client's defaults.

        All fields are read from one published state. The call is not checked by type checkers.

        Raises:
            MissingContextFeature: A configurable feature has no value anywhere.
            TypeError: A feature is not one of the configurable ones.
        """
        instance: Self = cls._completed_plan().get(**context)
        return instance

    @classmethod
    @contextmanager
    def override(cls, **values: Any) -> Iterator[None]:
        """Read these values of fields until the `with` block ends, in this task or thread only.

        Raises:
            InvalidValue: A field cannot have the value.
            UsageError: There is no such field.
        """
        settings = cls._completed_plan().settings
        with ExitStack() as stack:
            for name, value in values.items():
                if name not in settings:
                    raise UsageError(f"{cls.__name__} has no field {name!r}: {sorted(settings)}")
                stack.enter_context(settings[name].override(value))
            yield
