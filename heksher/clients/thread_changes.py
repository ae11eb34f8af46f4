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
        """Return an iterator that begins with the next change."""
        subscription = Subscription()
        self._subscriptions.add(subscription)
        if self._is_closed:
            # Looked at last: closing meanwhile finds the subscription, or is seen here.
            subscription.close()
        return subscription

    def put(self, changed: frozenset[Any]) -> None:
        """Give *changed* to all consumers, if it is not empty."""
        if changed:
            for subscription in self._subscriptions.living():
                subscription.put(changed)

    def forked(self) -> None:
        """Let go of what threads of the parent process may hold; see `forking`."""
        self._subscriptions.forked()
        for subscription in self._subscriptions.living():
            subscription.forked()

    def close(self) -> None:
        """End all iterators, once they have given what they have."""
        self._is_closed = True
        for subscription in self._subscriptions.living():
            subscription.close()


class Subscription:
    """One consumer's iterator: what changed since it was last asked, as one set."""

    def __init__(self) -> None:
        self._changed: frozenset[Any] = frozenset()
        self._news = Condition()
        self._is_closed = False

    def put(self, changed: frozenset[Any]) -> None:
        """Add to what the consumer gets next."""
        with self._news:
            self._changed |= changed
            self._news.notify_all()

    def forked(self) -> None:
        """Replace the lock: a thread that only the parent process has may hold it."""
        self._news = Condition()

    def close(self) -> None:
        """End the iterator, after what it has."""
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
