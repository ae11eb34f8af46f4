"""Calling listeners of changed settings: outside all locks, in order, isolated from each other."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from heksher.clients.log_messages import NOT_AWAITED, report_callback
from heksher.exceptions import InvalidClient
from heksher.settings.listeners import Listeners

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    from heksher.settings.declaration import Declaration


class ChangeListeners:
    """A client's listeners, which receive all settings that changed together as one set."""

    def __init__(self) -> None:
        self._listeners = Listeners()

    def on_change(self, listener: Callable[[frozenset[Any]], object]) -> Callable[[], None]:
        """Register *listener*, called with the set of changed settings after each change.

        Returns:
            A function that unregisters it.

        Raises:
            InvalidClient: *listener* is not callable.
        """
        if not callable(listener):
            raise InvalidClient(f"expected a callable as listener, got {type(listener).__name__}")
        return self._listeners.add(listener)

    def notify(self, changed: frozenset[Declaration]) -> None:
        """Call the listeners: first those of each setting, in order of declaration."""
        if not changed:
            return
        listened = [setting for setting in changed if setting.listeners]
        for setting in sorted(listened, key=lambda one: one.index):
            for context, listener in setting.listeners:
                _call(f"a listener of setting {setting.name!r}", context, listener, setting.setting)
        for context, listener in self._listeners.entries:
            _call("a listener of the client", context, listener, settings_of(changed))


def settings_of(declarations: frozenset[Declaration]) -> frozenset[Any]:
    """Return the settings of these declarations: what users are told of."""
    return frozenset([one.setting for one in declarations])


def _call(what: str, context: Context, callback: Callable[..., object], *arguments: Any) -> None:
    """Call a user's callback in its context; log what it raises."""
    try:
        # A copy, since a context can be entered only once, and another thread may be in it.
        refuse_coroutine(context.copy().run(callback, *arguments))
    except (Exception, CancelledError) as error:  # noqa: BLE001  # it must not affect the others
        report_callback(what, error)


def refuse_coroutine(returned: object) -> None:
    """Raise if a callback returned a coroutine, which would never run.

    Raises:
        TypeError: *returned* is a coroutine.
    """
    if isinstance(returned, Coroutine):
        returned.close()
        raise TypeError(NOT_AWAITED)
