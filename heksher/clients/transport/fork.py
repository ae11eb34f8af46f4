"""Restarting clients in forked children.

Python calls the hook in every child, including those about to execute another program (uvloop's
subprocesses). So it does next to nothing: it replaces locks that a thread of the parent may hold,
and puts an alarm in place of the published state. The first read of a setting in the child triggers
the alarm; a child that reads none is not disturbed.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

if TYPE_CHECKING:
    from heksher.settings.registry import Registry


class ForkedClient(Protocol):
    """A client as seen by the fork hook."""

    registry: Registry

    def forked(self) -> None:
        """Called in the child, right after the fork."""

    def restart(self) -> None:
        """Called in the child, at the first read of a setting."""


_watched: WeakSet[ForkedClient] = WeakSet()
_asleep: WeakSet[ForkedClient] = WeakSet()


def watch(client: ForkedClient) -> None:
    """Register *client*, which is starting, for forks."""
    _watched.add(client)


def unwatch(client: ForkedClient) -> None:
    """Unregister *client*, which is closed."""
    _watched.discard(client)
    _asleep.discard(client)


def wake(client: ForkedClient) -> None:
    """Restart *client* if nothing has been read since the process was forked."""
    try:
        # Atomic, so that only one of several threads that read first restarts it.
        _asleep.remove(client)
    except KeyError:
        return
    client.restart()


def put_to_sleep(client: ForkedClient) -> None:
    """Have `wake` restart *client* again, since it could not be restarted."""
    _asleep.add(client)


def _wake_all(registry: Registry) -> None:
    for client in list(_asleep):
        if client.registry is registry:
            wake(client)


def _after_fork_in_child() -> None:
    for client in list(_watched):
        # A registry may have several: one that an earlier fork closed, and one started since.
        client.registry.forked(partial(_wake_all, client.registry))
        client.forked()
        _asleep.add(client)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
