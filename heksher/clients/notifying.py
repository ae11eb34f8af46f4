"""Telling listeners of changed settings: outside every lock, in order, harmed by none of them."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from heksher.clients.reporting import NOT_AWAITED, report_callback
from heksher.exceptions import InvalidClient
from heksher.settings.listening import Listeners

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    from heksher.settings.declaration import Declaration


class ChangeListeners:
    """A client's listeners, which are told of all settings that changed together."""

    def __init__(self) -> None:
        self._listeners = Listeners()

    def on_change(self, listener: Callable[[frozenset[Any]], object]) -> Callable[[], None]:
        """Call *listener* with the set of changed settings after each update that changed any.

        Returns:
            A function that removes it.

        Raises:
            InvalidClient: It cannot be called.
        """
        if not callable(listener):
            raise InvalidClient(f"a listener is {type(listener).__name__}: give a function")
        return self._listeners.add(listener)

    def notify(self, changed: frozenset[Declaration]) -> None:
        """Tell the listeners, those of each setting first, in order of declaration."""
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
    """Call a user's callback in its context; what it raises is logged."""
    try:
        # A copy: the callback may be running in that context already, in another thread.
        refuse_coroutine(context.copy().run(callback, *arguments))
    except (Exception, CancelledError) as error:  # noqa: BLE001  # it must not harm the others
        report_callback(what, error)


def refuse_coroutine(returned: object) -> None:
    """Check what a callback returned: a coroutine would never run.

    Raises:
        TypeError: It is one.
    """
    if isinstance(returned, Coroutine):
        returned.close()
        raise TypeError(NOT_AWAITED)
