"""Stub clients for tests: settings read what a test says, without a service.

They are heksher-py's, name by name: `client[setting].rules = 5`, a list of `Rule` instead of one
value, `patch`, and `monkeypatch.setattr(client[setting], "rules", 5)`, which puts back what was
there.
"""

from collections.abc import Callable, Collection
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar, Unpack, overload
from unittest.mock import AsyncMock, MagicMock

from heksher.clients.notifying import ChangeListeners
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
from heksher.settings.stubbing import FormerRules, Rule, Stubs

__all__ = ["AsyncStubHeksherClient", "Rule", "StubHeksherClient", "SyncStubHeksherClient"]

T = TypeVar("T")


class SettingPatcher(Generic[T]):
    """One setting of a stub client: `client[setting]`."""

    def __init__(self, client: "StubHeksherClient", setting: Setting[T, ...]) -> None:
        self._client = client
        self.setting: Final[Setting[T, ...]] = setting

    @property
    def rules(self) -> FormerRules:
        """The rules now, to be assigned again later.

        Assign instances of `Rule`, or one value for all contexts. It is validated as the service's
        values are, and what the setting cannot have raises `InvalidValue`. Where no rule matches,
        the declared default is read.
        """
        return self._client._stubs.former(declaration_of(self.setting))

    @rules.setter
    def rules(self, rules: T | Collection[Rule[T]] | FormerRules) -> None:
        self._client._put(self.setting, rules)

    def __repr__(self) -> str:
        return f"<stub of {self.setting!r}>"


class _Patch:
    """Puts a setting's former rules back when its `with` block ends."""

    def __init__(self, patcher: SettingPatcher[Any], former: FormerRules) -> None:
        self._patcher = patcher
        self._former = former

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._patcher.rules = self._former


class _StubEvents:
    """What a registry tells a stub: it changes nothing."""

    def setting_declared(self) -> None:
        """Do nothing: a new setting reads its declared default."""

    def setting_outdated(self, setting: Any) -> None:
        """Do nothing: what has been stubbed stays."""


class StubHeksherClient:
    """Lets a test say what settings read, everywhere in the process; what both stubs do.

    Args:
        *args: Those of a real client; ignored.
        **options: Those of a real client; ignored, but for `registry`.

    Raises:
        TypeError: There is no such option.
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
        """Return a setting, given itself or by its name, to assign to its `rules`.

        Raises:
            UnknownSetting: No living setting has the name.
        """
        if isinstance(setting, str):
            found: Setting[T, ...] = self._registry.find(setting).setting
            return SettingPatcher(self, found)
        if declaration_of(setting).registry is not self._registry:
            raise UnknownSetting(
                f"setting {setting.name!r} is declared in another registry: give that to the stub"
            )
        return SettingPatcher(self, setting)

    def patch(self, setting: Setting[T, ...], value: T | Collection[Rule[T]]) -> _Patch:
        """Give *setting* rules at once, until the `with` block of what is returned ends.

        Raises:
            InvalidValue: The setting cannot have the value.
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
        """Take away all that this client gave settings, and its defaults of context features."""
        self._stubs.restore()
        if self._former_defaults is not None:
            self._registry.set_defaults(self._former_defaults, replace=True)
            self._former_defaults = None

    def set_defaults(self, /, **features: str | ContextVar[str] | Callable[[], str | None]) -> None:
        """Give context features the values that they have where a call gives none.

        Raises:
            InvalidContext: One is neither a string, a `ContextVar`, nor a function.
        """
        sources = {name: default_source(name, default) for name, default in features.items()}
        if self._former_defaults is None:
            self._former_defaults = dict(self._registry.defaults)
        self._registry.set_defaults(sources)

    def add_settings(self, settings: object) -> None:
        """Do nothing: settings are declared by themselves."""

    def track_contexts(self, /, **context_values: object) -> None:
        """Do nothing: all rules of a stub count."""

    def on_change(self, listener: Callable[[frozenset[Any]], object]) -> Callable[[], None]:
        """Call *listener* with each setting that is given other rules, in a set.

        Returns:
            A function that removes it.

        Raises:
            InvalidClient: It cannot be called.
        """
        return self._listeners.on_change(listener)

    def _start(self) -> None:
        self._registry.claim(self._events)

    def _end(self) -> None:
        self.restore()
        self._registry.release(self._events)


class SyncStubHeksherClient(StubHeksherClient):
    """Stands for a `ThreadHeksherClient` in a test.

    Closing it, or leaving its `with` block, puts everything back.

    Attributes:
        reload: A mock.
        close: A mock, which also closes it.
        ping: A mock.
    """

    @shows_options(ThreadClientOptions)
    def __init__(self, *args: object, **options: Unpack[ThreadClientOptions]) -> None:
        super().__init__(*args, **options)
        self.reload: MagicMock = MagicMock(return_value=None)
        self.ping: MagicMock = MagicMock(return_value=None)
        self.close: MagicMock = MagicMock(side_effect=self._end, return_value=None)

    def set_as_main(self) -> None:
        """Be the main client.

        Raises:
            ClientStateError: Another one is.
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
    """Stands for an `AsyncHeksherClient` in a test.

    Closing it, or leaving its `async with` block, puts everything back.

    Attributes:
        reload: A mock.
        aclose: A mock, which also closes it.
        close: The same.
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
        """Be the main client.

        Raises:
            ClientStateError: Another one is.
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
