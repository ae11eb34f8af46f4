"""`async for changed in client.changes()`: one queue for each consumer, that never grows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from heksher.clients.weakly_held import WeaklyHeld

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Changes:
    """Hands sets of changed settings to any number of consumers."""

    def __init__(self) -> None:
        # Held weakly, since nothing ends an iterator that is dropped before its first step.
        self._subscriptions: WeaklyHeld[_Subscription] = WeaklyHeld()
        self._is_closed = False

    def subscribe(self) -> AsyncIterator[frozenset[Any]]:
        """Return an iterator that begins with the next change."""
        subscription = _Subscription()
        self._subscriptions.add(subscription)
        if self._is_closed:
            subscription.close()
        return subscription.iterate()

    def put(self, changed: frozenset[Any]) -> None:
        """Give *changed* to all consumers, if it is not empty."""
        if changed:
            for subscription in self._subscriptions.living():
                subscription.put(changed)

    def close(self) -> None:
        """End all iterators, once they have given what they have."""
        self._is_closed = True
        for subscription in self._subscriptions.living():
            subscription.close()


class _Subscription:
    def __init__(self) -> None:
        self._changed: frozenset[Any] = frozenset()
        self._news = asyncio.Event()
        self._is_closed = False

    def put(self, changed: frozenset[Any]) -> None:
        self._changed |= changed
        self._news.set()

    def close(self) -> None:
        self._is_closed = True
        self._news.set()

    async def iterate(self) -> AsyncIterator[frozenset[Any]]:
        while True:
            await self._news.wait()
            changed, self._changed = self._changed, frozenset()
            if not self._is_closed:
                self._news.clear()
            if changed:
                yield changed
            elif self._is_closed:
                return
