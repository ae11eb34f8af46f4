"""Listeners: who is told of changes, each with the context variables of whoever registered it."""

from __future__ import annotations

from contextvars import Context, copy_context
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Listeners:
    """Registered listeners, in the order in which they came.

    Attributes:
        entries: Each listener, with the context to run it in; a tuple that is replaced whole, so
            that listeners may come and go while others are called.
    """

    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries: tuple[tuple[Context, Callable[..., object]], ...] = ()

    def add(self, listener: Callable[..., object]) -> Callable[[], None]:
        """Register *listener*; return a function that removes it, which may be called again."""
        entry = (copy_context(), listener)
        self.entries = (*self.entries, entry)

        def remove() -> None:
            self.entries = tuple([one for one in self.entries if one is not entry])

        return remove
