"""Stub clients for tests: settings read the values that a test sets, without a service.

They have the names of heksher-py's: `client[setting].rules = 5`, a list of `Rule` instead of one
value, `patch`, and `monkeypatch.setattr(client[setting], "rules", 5)`, which restores the former
rules.
"""

from collections.abc import Callable, Collection
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar, Unpack, overload
from unittest.mock import AsyncMock, MagicMock

from heksher.clients.listeners import ChangeListeners
from heksher.clients.options import (
    AsyncClientOptions,
    StubOptions,
    ThreadClientOptions,
    shows_options,
    with_defaults,
)
from heksher.exceptions import UnknownSetting
from heksher.settings.context import DefaultSource, default_source
from heksher.settings.setting import Setting, declaration_of
from heksher.settings.stubs import FormerRules, Rule, Stubs

__all__ = ["AsyncStubHeksherClient", "Rule", "StubHeksherClient", "SyncStubHeksherClient"]

T = TypeVar("T")


class SettingPatcher(Generic[T]):
    """One setting of a stub client: `client[setting]`."""

    def __init__(self, client: "StubHeksherClient", setting: Setting[T, ...]) -> None:
        self._client = client
        self.setting: Final[Setting[T, ...]] = setting

    @property
    def rules(self) -> FormerRules:
        """The current rules, which may be assigned again later.

        Assign instances of `Rule`, or one value for all contexts. Values are validated as the
        service's are; an invalid one raises `InvalidValue`. Where no rule matches, the setting
        reads its declared default.
        """
        return self._client._stubs.former(declaration_of(self.setting))

    @rules.setter
    def rules(self, rules: T | Collection[Rule[T]] | FormerRules) -> None:
        self._client._put(self.setting, rules)

    def __repr__(self) -> str:
        return f"<stub of {self.setting!r}>"


class _Patch:
    """Restores a setting's former rules at the end of its `with` block."""

    def __init__(self, patcher: SettingPatcher[Any], former: FormerRules) -> None:
        self._patcher = patcher
        self._former = former

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._patcher.rules = self._former


class _StubEvents:
    """Receives what a registry tells a main client; a stub ignores it."""

    def setting_declared(self) -> None:
        """Ignore it: a new setting reads its declared default."""

    def setting_outdated(self, setting: Any) -> None:
        """Ignore it: stubbed rules stay."""


class StubHeksherClient:
    """Sets what settings read in a test, everywhere in the process; the base of both stubs.

    Args:
        *args: The arguments of a real client; ignored.
        **options: The options of a real client; ignored, except `registry`.

    Raises:
        TypeError: An option is unknown.
    """

    @shows_options(StubOptions)
    def __init__(self, *args: object, **options: Unpack[StubOptions]) -> None:
        known = with_defaults(options, StubOptions, type(self).__name__)
        self._registry = known["registry"]
        self._events = _StubEvents()
        self._stubs = Stubs(self._registry)
        self._former_defaults: dict[str, DefaultSource] | None = None
        self._listeners = ChangeListeners()

    @overload
    def __getitem__(self, setting: str) -> SettingPatcher[Any]: ...

    @overload
    def __getitem__(self, setting: Setting[T, ...]) -> SettingPatcher[T]: ...

    def __getitem__(self, setting: Setting[T, ...] | str) -> SettingPatcher[T]:
        """Return an object whose `rules` are those of a setting, given by itself or its name.

        Raises:
            UnknownSetting: No living setting has the name.
        """
        if isinstance(setting, str):
            found: Setting[T, ...] = self._registry.find(setting).setting
            return SettingPatcher(self, found)
        if declaration_of(setting).registry is not self._registry:
            raise UnknownSetting(
                f"setting {setting.name!r} belongs to another registry: give the stub that registry"
            )
        return SettingPatcher(self, setting)

    def patch(self, setting: Setting[T, ...], value: T | Collection[Rule[T]]) -> _Patch:
        """Give *setting* rules from now until the end of the returned object's `with` block.

        Raises:
            InvalidValue: The value is invalid for the setting.
        """
        patcher = self[setting]
        former = patcher.rules
        patcher.rules = value
        return _Patch(patcher, former)

    def _put(self, setting: Setting[Any, ...], rules: Any) -> None:
        declaration = declaration_of(setting)
        if self._stubs.put(declaration, rules):
            self._listeners.notify(frozenset({declaration}))

    def restore(self) -> None:
        """Restore the former rules of all settings, and the former defaults of context features."""
        self._stubs.restore()
        if self._former_defaults is not None:
            self._registry.set_defaults(self._former_defaults, replace=True)
            self._former_defaults = None

    def set_defaults(self, /, **features: str | ContextVar[str] | Callable[[], str | None]) -> None:
        """Set the values of context features for calls that neither give nor bind one.

        Raises:
            InvalidContext: A default is neither a string, a `ContextVar`, nor a function.
        """
        sources = {name: default_source(name, default) for name, default in features.items()}
        if self._former_defaults is None:
            self._former_defaults = dict(self._registry.defaults)
        self._registry.set_defaults(sources)

    def add_settings(self, settings: object) -> None:
        """Do nothing, as in heksher-py: settings declare themselves."""

    def track_contexts(self, /, **context_values: object) -> None:
        """Do nothing: all rules of a stub are used."""

    def on_change(self, listener: Callable[[frozenset[Any]], object]) -> Callable[[], None]:
        """Register *listener*, called with a set of one setting whenever its rules change.

        Returns:
            A function that unregisters it.

        Raises:
            InvalidClient: *listener* is not callable.
        """
        return self._listeners.on_change(listener)

    def _start(self) -> None:
        self._registry.claim(self._events)

    def _end(self) -> None:
        self.restore()
        self._registry.release(self._events)


class SyncStubHeksherClient(StubHeksherClient):
    """Replaces a `ThreadHeksherClient` in a test.

    Closing it, or leaving its `with` block, restores everything.

    Attributes:
        reload: A mock.
        close: A mock, which also closes the stub.
        ping: A mock.
    """

    @shows_options(ThreadClientOptions)
    def __init__(self, *args: object, **options: Unpack[ThreadClientOptions]) -> None:
        super().__init__(*args, **options)
        self.reload: MagicMock = MagicMock(return_value=None)
        self.ping: MagicMock = MagicMock(return_value=None)
        self.close: MagicMock = MagicMock(side_effect=self._end, return_value=None)

    def set_as_main(self) -> None:
        """Make this the main client.

        Raises:
            ClientStateError: Another client is the main one.
        """
        self._start()

    def __enter__(self) -> Self:
        self.set_as_main()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()


class AsyncStubHeksherClient(StubHeksherClient):
    """Replaces an `AsyncHeksherClient` in a test.

    Closing it, or leaving its `async with` block, restores everything.

    Attributes:
        reload: A mock.
        aclose: A mock, which also closes the stub.
        close: The same mock.
        ping: A mock.
    """

    @shows_options(AsyncClientOptions)
    def __init__(self, *args: object, **options: Unpack[AsyncClientOptions]) -> None:
        super().__init__(*args, **options)
        self.reload: AsyncMock = AsyncMock(return_value=None)
        self.ping: AsyncMock = AsyncMock(return_value=None)
        self.aclose: AsyncMock = AsyncMock(side_effect=self._end, return_value=None)
        self.close: AsyncMock = self.aclose

    async def set_as_main(self) -> None:
        """Make this the main client.

        Raises:
            ClientStateError: Another client is the main one.
        """
        self._start()

    async def __aenter__(self) -> Self:
        await self.set_as_main()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()
