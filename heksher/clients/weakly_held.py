"""`WeaklyHeld`: objects that others keep alive, which any thread may add while another looks."""

from __future__ import annotations

from threading import Lock
from typing import Generic, TypeVar
from weakref import ref

T = TypeVar("T")


class WeaklyHeld(Generic[T]):
    """A collection of objects that it does not keep alive.

    A `WeakSet` fails with "Set changed size during iteration" when one thread adds to it, or drops
    what is in it, while another iterates. Here readers take no lock: they see one tuple, which
    never changes.
    """

    def __init__(self) -> None:
        self._references: tuple[ref[T], ...] = ()
        self._lock = Lock()

    def add(self, one: T) -> None:
        """Add an object, until nobody else holds it."""
        with self._lock:
            self._references = (
                *[kept for kept in self._references if kept() is not None],
                ref(one),
            )

    def living(self) -> list[T]:
        """Return those that are alive, in the order in which they were added."""
        found = [reference() for reference in self._references]
        return [one for one in found if one is not None]

    def forked(self) -> None:
        """Replace the lock in a forked child: a thread that only the parent has may hold it."""
        self._lock = Lock()
