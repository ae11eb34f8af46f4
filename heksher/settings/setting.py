"""`Setting`: what a program declares, once, and reads wherever it needs the value."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    Never,
    TypeVar,
    get_origin,
    overload,
)

from typing_extensions import ParamSpec, TypedDict, Unpack

from heksher.exceptions import (
    InvalidSetting,
    InvalidValue,
    MissingContextAttribute,
    MissingContextFeature,
    UsageError,
)
from heksher.settings import registry as registries
from heksher.settings.context import ABSENT
from heksher.settings.declaration import (
    Location,
    check_alias,
    check_configurable_features,
    check_metadata,
    check_name,
    check_type,
    check_value,
    check_version,
    declaring_frame,
)
from heksher.settings.explaining import explain
from heksher.settings.listening import Listeners
from heksher.settings.reading import reader_factory, unexpected_argument
from heksher.settings.rules import Origin, RuleSet
from heksher.settings.state import fill_in
from heksher.settings.subscript import SubscriptedSetting
from heksher.settings.values import Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from contextvars import Context

    from heksher.settings.explaining import Resolution
    from heksher.settings.registry import Registry
    from heksher.settings.rules import ServiceRule
    from heksher.settings.setting_type import SettingType
    from heksher.settings.values import Coercion

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
        validators: The validators, in the order in which they are called.
        location: Where it is declared.
    """

    _type: Any = None
    name: str
    index: int
    default_value: T
    _listeners: Listeners | None = None

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
        # Given by a model, whose fields may be declared later than the class is.
        self._file = location.file if location else frame.f_code.co_filename
        self._line = location.line if location else frame.f_lineno
        shown = _UNNAMED if name is None else check_name(name)
        annotation = self._type if type is None else type
        if annotation is None:
            raise InvalidSetting(
                f"setting {shown!r} has no type: write Setting[int](...), or give the type second"
            )
        self.decoder = check_type(shown, annotation, frame)
        self.configurable_features = check_configurable_features(shown, configurable_features)
        self.metadata: Mapping[str, Any] = check_metadata(shown, metadata, description)
        self.version = check_version(shown, version)
        self.alias = check_alias(shown, alias)
        self.on_coerce = _checked_callback(shown, "on_coerce", on_coerce, optional=True)
        self.validators: tuple[Callable[..., T], ...] = ()
        self._registry = registry
        self._set_default(shown, default_value)
        if name is not None:
            self._declare(shown)

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

    def _set_default(self, shown: str, default_value: Any) -> None:
        if default_value is ABSENT:
            raise InvalidSetting(
                f"setting {shown!r} has no default_value: give the value to read without a service"
            )
        try:
            self.default_value, self.raw_default = check_value(
                shown, self.decoder, default_value, what="default_value"
            )
        except Rejected as rejected:
            raise InvalidSetting(rejected.reason) from None

    def _declare(self, name: str) -> None:
        self.name = name
        self._registry.declare(self)
        # Installed over the method of the same name, which is there for type checkers and docs.
        self.get = self._make_get()  # type: ignore[method-assign]  # one get for each setting

    def _make_get(self) -> Any:
        registry, features = self._registry, self.configurable_features
        make = registry.readers.get(features)
        if make is None:
            make = reader_factory(features)(registry.view.get, registry, unexpected_argument)
            # One for all threads, so that they share what it has.
            make = registry.readers.setdefault(features, make)
        get: Any = make(self, self.index)
        get.__name__ = "get"
        get.__qualname__ = f"Setting({self.name!r}).get"
        get.__module__ = __name__
        get.__doc__ = f"Return the value of setting {self.name!r} for a context."
        return get

    def _fill_in(self, view: Any) -> Any:
        return fill_in(view, self)

    def _read_late(self, *values: Any) -> Any:
        """Return how to read from a pinned state that is older than this setting."""
        view = self._registry.view.get() or self._registry.state
        if any(value is ABSENT for value in values):
            return fill_in(view, self)
        overrides = getattr(view, "values", {})
        if self.index in overrides:
            return lambda *_values: overrides[self.index]
        return self.declared_rules.resolve

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
        if args or not self._is_declared:
            self.get(*args, **kwargs)
        return explain(self, self._registry, kwargs)

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
        _checked_callback(self._shown_name, "a validator", validator, optional=False)
        self.validators = (*self.validators, validator)
        if self._is_declared:
            self._registry.outdated(self)
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
        _checked_callback(self._shown_name, "a listener", listener, optional=False)
        if self._listeners is None:
            # In one step: two threads may be the first.
            vars(self).setdefault("_listeners", Listeners())
        listeners: Any = self._listeners
        remove: Callable[[], None] = listeners.add(listener)
        return remove

    @property
    def listeners(self) -> tuple[tuple[Context, Callable[..., object]], ...]:
        """The listeners, each with the context to run it in."""
        return () if self._listeners is None else self._listeners.entries

    def override(self, value: T) -> AbstractContextManager[None]:
        """Read *value* until the `with` block ends, in this task or thread only.

        It lies over whatever is published, and does not pin the other settings.

        Raises:
            InvalidValue: The setting cannot have the value.
        """
        if not self._is_declared:
            raise UsageError(_NAMELESS)
        try:
            frozen, _ = check_value(self.name, self.decoder, value, what="override")
        except Rejected as rejected:
            raise InvalidValue(rejected.reason) from None
        return self._registry.overridden(self.index, frozen)

    @property
    def location(self) -> Location:
        """Where it is declared."""
        return Location(self._file, self._line)

    @property
    def declared_rules(self) -> RuleSet[T]:
        """What it reads until there is another rule set."""
        return RuleSet(self.configurable_features, (), self.default_value, Origin.LOCAL_DEFAULT)

    @property
    def type_string(self) -> str:
        """The Heksher type, as the service writes it."""
        return str(self.decoder.type)

    def missing(self, feature: str) -> MissingContextFeature:
        """Return the error that *feature* has no value."""
        return MissingContextFeature(self.name, feature)

    @property
    def _is_declared(self) -> bool:
        return hasattr(self, "index")

    @property
    def _shown_name(self) -> str:
        return getattr(self, "name", _UNNAMED)

    def __set_name__(self, owner: type, attribute: str) -> None:
        if not self._is_declared:
            name = check_name(attribute)
            self.alias = check_alias(name, self.alias)
            self._declare(name)

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
            f"setting {self._shown_name!r} is read-only: change it on the service, or use"
            " override() for a while"
        )

    def __delete__(self, instance: object) -> None:
        raise AttributeError(f"setting {self._shown_name!r} is read-only")

    def __copy__(self) -> Setting[T, P]:
        return self

    def __deepcopy__(self, memo: object) -> Setting[T, P]:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if not self._is_declared:
            raise UsageError("a setting is pickled by its name: give it one")
        return registries.find, (self.name,)

    def __repr__(self) -> str:
        return f"<Setting {self._shown_name!r}: {self.type_string}>"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for written in cls.__dict__.get("__orig_bases__", ()):
            if isinstance(get_origin(written), type) and issubclass(get_origin(written), Setting):
                (cls._type, *_) = written.__args__

    if not TYPE_CHECKING:

        def __class_getitem__(cls, parameters: Any) -> Any:
            return SubscriptedSetting(cls, parameters)


def _checked_callback(setting_name: str, what: str, callback: Any, *, optional: bool) -> Any:
    if not callable(callback) and not (optional and callback is None):
        raise InvalidSetting(
            f"{what} of setting {setting_name!r} is {type(callback).__name__}: give a function"
        )
    return callback
