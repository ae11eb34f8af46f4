"""`Setting`: what a program declares, once, and reads wherever it needs the value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from inspect import getattr_static
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    Never,
    Self,
    TypeVar,
    get_origin,
    overload,
)
from weakref import ref

from typing_extensions import ParamSpec, TypedDict, Unpack

from heksher.exceptions import (
    InvalidSetting,
    InvalidValue,
    MissingContextAttribute,
    MissingContextFeature,
    UsageError,
)
from heksher.settings import registry as registries
from heksher.settings.checks import (
    check_alias,
    check_callback,
    check_configurable_features,
    check_metadata,
    check_name,
    check_type,
    check_value,
    check_version,
)
from heksher.settings.context import ABSENT
from heksher.settings.declaration import UNDECLARED, Declaration
from heksher.settings.explaining import Resolution
from heksher.settings.listeners import Attached
from heksher.settings.location import Location, declaring_frame, location_of
from heksher.settings.observing import read_observed
from heksher.settings.reading import by_name
from heksher.settings.reading.installed_get import make_get
from heksher.settings.registry import Registry
from heksher.settings.rules.rule_set import ServiceRule
from heksher.settings.subscript import SubscriptedSetting
from heksher.settings.types.custom import SettingType
from heksher.settings.types.decoder import Coercion, Decoder, Json, Rejected

_UNNAMED: Final = "(named by its attribute)"
_NAMELESS: Final = (
    "a setting without a name cannot be read: give it one, or assign it in a class body"
)

T = TypeVar("T")
P = ParamSpec("P", default=...)
Q = ParamSpec("Q")


class DeclarationDetails(TypedDict, total=False):
    """What a declaration may also say; see `Setting`."""

    metadata: Mapping[str, Any] | None
    alias: str | None
    version: str
    on_coerce: Callable[..., Any] | None
    description: str | None
    registry: Registry


def take_coerced(
    coerced: T,
    raw: Any,
    coercions: Sequence[Coercion],
    rule: ServiceRule | None,
    setting: Setting[T, ...],
) -> T:
    """Take what is left of a value that fits in part; what `on_coerce` is by default."""
    return coerced


class Setting(Generic[T, P]):
    """A typed, named value that depends on the context it is read in.

    Declare it once, at module level or in a class body, and read it anywhere::

        cache_ttl = Setting[int](
            "cache.ttl", configurable_features=["environment", "user"], default_value=60
        )
        cache_ttl.get(user="john")

    It works with its declared default until a client has fetched the service's rules, and needs
    no client at all. Any thread or task may read it. The process holds it weakly: one that nothing
    refers to any more is neither declared nor queried.

    In a class body it is a descriptor: the class attribute is the setting, an instance's attribute
    is the value for the ambient context. There, the name may be left out; until Python 3.12, what is
    wrong with the attribute's name is raised as the cause of a `RuntimeError` then.

    Args:
        name: ASCII letters, digits, `_` and `.`.
        type: The type, where it is not given by the subscript; `docs/types.md` lists what it may be.
        configurable_features: The context features that rules may have conditions on: names, or a
            `ContextFeatures` class. At least one.
        default_value: What is read until the service says otherwise.
        metadata: Any JSON by key, for people; sent with the declaration.
        alias: The name that the setting had before.
        version: `"MAJOR.MINOR"`; raise it when the declaration changes.
        on_coerce: Called as `on_coerce(coerced, raw, coercions, rule, setting)` with a value that
            fits in part; returns the value to take, or raises `TypeError` to reject it. `None`
            rejects all of them. By default the part that fits is taken.
        description: `metadata["description"]`, in a shorter way.
        registry: Where to declare it, if not in the registry of the process.

    Raises:
        InvalidSetting: The declaration cannot be right; the message says what to write instead.

    Attributes:
        name: The name, as declared.
        configurable_features: Their names, as declared.
        default_value: The declared default, read-only.
        raw_default: The declared default as JSON.
        metadata: The metadata, read-only.
        alias: The former name, or `None`.
        version: The version.
        on_coerce: As given.
        type_string: The Heksher type, as the service writes it.
    """

    _type: Any = None
    _declaration: Declaration

    if TYPE_CHECKING:

        @overload
        def __init__(
            self,
            name: str = ...,
            *,
            configurable_features: Iterable[str],
            default_value: T,
            metadata: Mapping[str, Any] | None = ...,
            alias: str | None = ...,
            version: str = ...,
            on_coerce: Callable[..., T] | None = ...,
            description: str | None = ...,
            registry: Registry = ...,
        ) -> None: ...

        @overload
        def __init__(
            self,
            name: str,
            type: SettingType[T],
            configurable_features: Iterable[str],
            default_value: T,
            metadata: Mapping[str, Any] | None = ...,
            alias: str | None = ...,
            version: str = ...,
            on_coerce: Callable[..., T] | None = ...,
            *,
            description: str | None = ...,
            registry: Registry = ...,
        ) -> None: ...

        @overload
        def __init__(
            self,
            name: str,
            type: Callable[..., T],
            configurable_features: Iterable[str],
            default_value: T,
            metadata: Mapping[str, Any] | None = ...,
            alias: str | None = ...,
            version: str = ...,
            on_coerce: Callable[..., T] | None = ...,
            *,
            description: str | None = ...,
            registry: Registry = ...,
        ) -> None: ...

    def __init__(
        self,
        name: Any = None,
        type: Any = None,
        configurable_features: Any = (),
        default_value: Any = ABSENT,
        metadata: Mapping[str, Any] | None = None,
        alias: str | None = None,
        version: str = "1.0",
        on_coerce: Callable[..., Any] | None = take_coerced,
        *,
        description: str | None = None,
        registry: Registry = registries.DEFAULT,
        location: Location | None = None,
    ) -> None:
        frame = declaring_frame(self)
        shown = _UNNAMED if name is None else check_name(name)
        annotation = self._type if type is None else type
        if annotation is None:
            raise InvalidSetting(
                f"setting {shown!r} has no type: write Setting[int](...), or give the type second"
            )
        decoder = check_type(shown, annotation, frame)
        features = check_configurable_features(shown, configurable_features)
        checked_metadata = check_metadata(shown, metadata, description)
        frozen, raw = _checked_default(shown, decoder, default_value)
        draft = Declaration(
            name=shown,
            configurable_features=features,
            decoder=decoder,
            default_value=frozen,
            raw_default=raw,
            metadata=checked_metadata,
            alias=check_alias(shown, alias),
            version=check_version(shown, version),
            on_coerce=None if on_coerce is None else check_callback(shown, "on_coerce", on_coerce),
            # Given by a model, whose fields may be declared later than the class is.
            location=location or location_of(frame),
            registry=registry,
            attached=Attached(self.__class__),
        )
        if name is None:
            self._declaration = draft
        else:
            registry.declare(draft, self._install)

    @classmethod
    def _of(cls, declaration: Declaration) -> Self:
        """Return a new `Setting` of a declaration whose `get` alone is in use."""
        setting = cls.__new__(cls)
        setting._install(declaration)
        return setting

    def _install(self, declaration: Declaration) -> None:
        """Be the `Setting` of *declaration*, and have its `get`."""
        attached = declaration.attached
        get = attached.get() or make_get(declaration)
        get.__module__ = by_name.__name__
        self._declaration = declaration
        # Installed over the method of the same name, which is there for type checkers and docs.
        self.get = get  # type: ignore[method-assign]  # one get for each setting
        attached.get, attached.setting = ref(get), ref(self)

    @classmethod
    def within(
        cls,
        context: Callable[Q, object],
        name: str | None = None,
        *,
        default_value: T,
        **details: Unpack[DeclarationDetails],
    ) -> Setting[T, Q]:
        """Declare a setting whose `get` is checked by type checkers, feature by feature.

        Written `Setting[int].within(Features, "cache.ttl", default_value=60)`. A call that
        misspells a feature, gives it what is no `str`, or leaves out one that is not `PROVIDED` is
        an error in mypy and pyright. At run time it is a setting like any other.

        Args:
            context: A `ContextFeatures` class; its features are the configurable ones.
            name: As for the class; may be left out in a class body.
            default_value: As for the class.
            **details: As for the class: `metadata`, `alias`, `version`, `on_coerce`,
                `description`, `registry`.

        Raises:
            InvalidSetting: The declaration cannot be right.
        """
        if cls._type is None:
            raise InvalidSetting("say the type first, as in Setting[int].within(Features, ...)")
        declare: Any = cls
        setting: Setting[T, Q] = declare(
            name, configurable_features=context, default_value=default_value, **details
        )
        return setting

    @property
    def name(self) -> str:
        """The name, as declared."""
        return self._declaration.name

    @property
    def configurable_features(self) -> tuple[str, ...]:
        """The names of the context features, as declared."""
        return self._declaration.configurable_features

    @property
    def default_value(self) -> T:
        """The declared default, read-only."""
        default: T = self._declaration.default_value
        return default

    @property
    def raw_default(self) -> Any:
        """The declared default as JSON."""
        return self._declaration.raw_default

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata, read-only."""
        return self._declaration.metadata

    @property
    def alias(self) -> str | None:
        """The former name, or `None`."""
        return self._declaration.alias

    @property
    def version(self) -> str:
        """The version."""
        return self._declaration.version

    @property
    def on_coerce(self) -> Callable[..., T] | None:
        """What is called with a value that fits in part, as given."""
        return self._declaration.on_coerce

    @property
    def type_string(self) -> str:
        """The Heksher type, as the service writes it."""
        return self._declaration.type_string

    def get(self, /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the value for a context: given here, else bound, else the client's defaults.

        Reads what was published last, from memory: no I/O, no lock. The function is the same for
        the life of the setting, so it may be kept and passed on.

        Args:
            *args: None; all features are keyword arguments.
            **kwargs: Values by context feature; `None` for none, which no rule's condition matches.

        Raises:
            MissingContextFeature: A configurable feature has no value anywhere.
            TypeError: A feature is not one of the configurable ones.
        """
        raise UsageError(_NAMELESS)

    def explain(self, /, *args: P.args, **kwargs: P.kwargs) -> Resolution[T]:
        """Return the value for a context as `get` would, and why it is that value.

        Args:
            *args: None, as for `get`.
            **kwargs: Values by context feature, as for `get`.

        Raises:
            MissingContextFeature: A configurable feature has no value anywhere.
            TypeError: A feature is not one of the configurable ones.
        """
        declaration = self._declaration
        if args or not self._is_declared or kwargs.keys() - set(declaration.configurable_features):
            self.get(*args, **kwargs)
        resolution: Resolution[T] = read_observed(declaration, dict(kwargs)).resolution
        return resolution

    def add_validator(self, validator: Callable[[T, Any, Any], T]) -> Callable[[T, Any, Any], T]:
        """Add a check of rule values and of the service's default; usable as a decorator.

        It is called as `validator(value, rule, setting)`, after those added before; *rule* is a
        `ServiceRule`, or `None` for the default. What it returns is the value; a `TypeError` or
        `ValueError` rejects that value alone. It does not see the declared default. Once values
        have been fetched, adding one asks for them again.

        Returns:
            The validator itself.

        Raises:
            InvalidSetting: It cannot be called.
        """
        declaration = self._declaration
        check_callback(declaration.name, "a validator", validator)
        declaration.attached.add_validator(validator)
        if self._is_declared:
            declaration.registry.outdated(declaration)
        return validator

    def on_change(self, listener: Callable[[Setting[T, P]], object]) -> Callable[[], None]:
        """Call *listener* with this setting after each update that changed what it reads.

        It runs after publishing, with the context variables of whoever registered it. One that
        raises is logged.

        Returns:
            A function that removes it; more than once is fine.

        Raises:
            InvalidSetting: It cannot be called.
        """
        check_callback(self.name, "a listener", listener)
        return self._declaration.attached.add(listener)

    def override(self, value: T) -> AbstractContextManager[None]:
        """Read *value* until the `with` block ends, in this task or thread only.

        It lies over whatever is published, and does not pin the other settings.

        Raises:
            InvalidValue: The setting cannot have the value.
        """
        if not self._is_declared:
            raise UsageError(_NAMELESS)
        declaration = self._declaration
        try:
            frozen, _ = check_value(self.name, declaration.decoder, value, what="override")
        except Rejected as rejected:
            raise InvalidValue(rejected.reason) from None
        overridden: AbstractContextManager[None] = declaration.registry.overridden(
            declaration, frozen
        )
        return overridden

    @property
    def _is_declared(self) -> bool:
        return self._declaration.index != UNDECLARED

    def __set_name__(self, owner: type, attribute: str) -> None:
        draft = self._declaration
        if not self._is_declared:
            name = check_name(attribute)
            draft = replace(draft, name=name, alias=check_alias(name, draft.alias))
            draft.registry.declare(draft, self._install)

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Setting[T, P]: ...

    @overload
    def __get__(self, instance: object, owner: type | None = None) -> T: ...

    def __get__(self, instance: object | None, owner: type | None = None) -> Setting[T, P] | T:
        if instance is None:
            return self
        try:
            return self.get()  # type: ignore[call-arg]  # all from the ambient context
        except MissingContextFeature as error:
            raise MissingContextAttribute(error.setting_name, error.feature) from None
        except UsageError as error:
            raise AttributeError(str(error)) from None

    def __set__(self, instance: object, value: Never) -> None:
        raise AttributeError(
            f"setting {self.name!r} is read-only: change it on the service, or use"
            " override() for a while"
        )

    def __delete__(self, instance: object) -> None:
        raise AttributeError(f"setting {self.name!r} is read-only")

    def __copy__(self) -> Setting[T, P]:
        return self

    def __deepcopy__(self, memo: object) -> Setting[T, P]:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if not self._is_declared:
            raise UsageError("a setting is pickled by its name: give it one")
        if self._declaration.registry is not registries.DEFAULT:
            raise UsageError(
                f"setting {self.name!r} is declared in a registry of its own, and a pickle finds"
                " settings in the registry of the process: pickle its name, and find it yourself"
            )
        return by_name.setting_of, (self.name,)

    def __repr__(self) -> str:
        return f"<Setting {self.name!r}: {self.type_string}>"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for method in ("get", "explain"):
            if getattr_static(cls, method) is not vars(Setting)[method]:
                raise InvalidSetting(
                    f"{cls.__name__} overrides {method}(), which is generated for each setting, so"
                    " it would not be called: change values with add_validator() or on_coerce, or"
                    f" give the method another name and call {method}() in it"
                )
        for written in cls.__dict__.get("__orig_bases__", ()):
            if isinstance(get_origin(written), type) and issubclass(get_origin(written), Setting):
                (cls._type, *_) = written.__args__

    if not TYPE_CHECKING:

        def __class_getitem__(cls, parameters: Any) -> Any:
            return SubscriptedSetting(cls, parameters)


def declaration_of(setting: Setting[Any, ...]) -> Declaration:
    """Return what heksher itself knows of *setting*: the declaration behind it."""
    return setting._declaration


def _checked_default(name: str, decoder: Decoder, default_value: Any) -> tuple[Any, Json]:
    if default_value is ABSENT:
        raise InvalidSetting(
            f"setting {name!r} has no default_value: give the value to read without a service"
        )
    try:
        return check_value(name, decoder, default_value, what="default_value")
    except Rejected as rejected:
        raise InvalidSetting(rejected.reason) from None
