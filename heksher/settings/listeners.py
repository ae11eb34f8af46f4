"""Functions of the program that a setting calls: validators, and listeners to its changes."""

from __future__ import annotations

from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Listeners:
    """Registered listeners, in the order in which they came.

    They may come and go, from any thread, while others are called.
    """

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[object, tuple[Context, Callable[..., object]]] = {}

    @property
    def entries(self) -> tuple[tuple[Context, Callable[..., object]], ...]:
        """Each listener, with the context to run it in."""
        return tuple(self._entries.copy().values())

    def add(self, listener: Callable[..., object]) -> Callable[[], None]:
        """Register *listener*; return a function that removes it, which may be called again."""
        ticket = object()
        self._entries[ticket] = (copy_context(), listener)
        return lambda: self._remove(ticket)

    def _remove(self, ticket: object) -> None:
        self._entries.pop(ticket, None)


class Attached(Listeners):
    """What is attached to a declaration after it was made, from any thread: its listeners, and more.

    Each change is one operation on a dict, so that none is lost and no lock is needed. Dicts that
    are empty are nothing for the garbage collector to walk through.

    Attributes:
        kind: The class of its `Setting`.
        setting: Refers weakly to the `Setting`, if there is one.
        get: Refers weakly to its `get`, if there is one.
    """

    __slots__ = ("_validators", "get", "kind", "setting")

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind: Any = kind
        self._validators: dict[object, Callable[..., Any]] = {}
        self.setting: Callable[[], Any] = _nothing
        self.get: Callable[[], Any] = _nothing

    @property
    def validators(self) -> tuple[Callable[..., Any], ...]:
        """The validators, in the order in which they are called."""
        return tuple(self._validators.copy().values())

    def add_validator(self, validator: Callable[..., Any]) -> None:
        """Add *validator* after those that are there."""
        self._validators[object()] = validator


def _nothing() -> None: ...
