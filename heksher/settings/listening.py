"""Listeners: who is told of changes, each with the context variables of whoever registered it."""

from __future__ import annotations

from contextvars import Context, copy_context
from typing import TYPE_CHECKING

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
