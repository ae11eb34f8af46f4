"""Clients in forked children: who was started before `os.fork()` has to start again there.

Python calls the hook in the child only, and also in children that are about to become another
program (uvloop's subprocesses). So it does next to nothing: it replaces locks that a thread of the
parent may hold, and leaves an alarm in the place of the published state. The first read of a
setting in the child sets that off; a child that reads none is not disturbed.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

if TYPE_CHECKING:
    from heksher.settings.registry import Registry


class ForkedClient(Protocol):
    """What a client does about being forked."""

    registry: Registry

    def forked(self) -> None:
        """Run in the child, right after the fork."""

    def restart(self) -> None:
        """Run in the child, at the first read of a setting."""


_watched: WeakSet[ForkedClient] = WeakSet()
_asleep: WeakSet[ForkedClient] = WeakSet()


def watch(client: ForkedClient) -> None:
    """Look after *client*, which is starting or started."""
    _watched.add(client)


def unwatch(client: ForkedClient) -> None:
    """Look after *client* no more: it is closed."""
    _watched.discard(client)
    _asleep.discard(client)


def wake(client: ForkedClient) -> None:
    """Restart *client* if it was forked and nothing has been read since."""
    try:
        # One step, so that of several threads that read first, one restarts it.
        _asleep.remove(client)
    except KeyError:
        return
    client.restart()


def put_to_sleep(client: ForkedClient) -> None:
    """Have `wake` restart *client* once more: it could not be."""
    _asleep.add(client)


def _wake_all(registry: Registry) -> None:
    for client in list(_asleep):
        if client.registry is registry:
            wake(client)


def _after_fork_in_child() -> None:
    for client in list(_watched):
        # A registry may have several: one that ended in an earlier fork, and one started since.
        client.registry.forked(partial(_wake_all, client.registry))
        client.forked()
        _asleep.add(client)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
