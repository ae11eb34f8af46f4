"""`for changed in client.changes()`: the threaded client's side of `changes`."""

from __future__ import annotations

from threading import Condition
from typing import TYPE_CHECKING, Any

from heksher.clients.weakly_held import WeaklyHeld

if TYPE_CHECKING:
    from collections.abc import Iterator


class ThreadChanges:
    """Hands sets of changed settings to any number of consumers, each in a thread of its own."""

    def __init__(self) -> None:
        self._subscriptions: WeaklyHeld[Subscription] = WeaklyHeld()
        self._is_closed = False

    def subscribe(self) -> Iterator[frozenset[Any]]:
        """Return an iterator over the changes from now on."""
        subscription = Subscription()
        self._subscriptions.add(subscription)
        if self._is_closed:
            # Checked last: `close` either finds the subscription, or is noticed here.
            subscription.close()
        return subscription

    def put(self, changed: frozenset[Any]) -> None:
        """Hand *changed* to all consumers, unless it is empty."""
        if changed:
            for subscription in self._subscriptions.living():
                subscription.put(changed)

    def forked(self) -> None:
        """Replace locks that threads of the parent process may hold; see `forking`."""
        self._subscriptions.forked()
        for subscription in self._subscriptions.living():
            subscription.forked()

    def close(self) -> None:
        """End all iterators, after their pending changes."""
        self._is_closed = True
        for subscription in self._subscriptions.living():
            subscription.close()


class Subscription:
    """One consumer's iterator: each step returns what changed since the last one, as one set."""

    def __init__(self) -> None:
        self._changed: frozenset[Any] = frozenset()
        self._news = Condition()
        self._is_closed = False

    def put(self, changed: frozenset[Any]) -> None:
        """Merge *changed* into the consumer's pending set."""
        with self._news:
            self._changed |= changed
            self._news.notify_all()

    def forked(self) -> None:
        """Replace the lock: a thread that only the parent process has may hold it."""
        self._news = Condition()

    def close(self) -> None:
        """End the iterator, after its pending set."""
        with self._news:
            self._is_closed = True
            self._news.notify_all()

    def __iter__(self) -> Iterator[frozenset[Any]]:
        return self

    def __next__(self) -> frozenset[Any]:
        with self._news:
            self._news.wait_for(lambda: self._changed or self._is_closed)
            changed, self._changed = self._changed, frozenset()
        if not changed:
            raise StopIteration
        return changed
