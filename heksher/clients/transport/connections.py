"""The connections of a threaded client: one httpx client for each flow under way.

A caller that stops waiting for a response has to shut its connection down. Which connection that is,
httpx does not say before the response begins. So flows under way never share connections: each takes
a `PooledClient`, and gives it back at its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

import httpx

from heksher.clients.transport.request_thread import Sockets
from heksher.exceptions import ClientClosed

if TYPE_CHECKING:
    from heksher.clients.transport.endpoint import Endpoint


@dataclass(frozen=True, slots=True, eq=False)
class PooledClient:
    """An httpx client for one flow, and the sockets that may be shut down.

    Attributes:
        client: The httpx client.
        sockets: The sockets that it connected; `None` if others use the client, too, so that each
            request may shut down only the ones that it connected itself.
    """

    client: httpx.Client
    sockets: Sockets | None


class Connections:
    """Makes httpx clients as they are needed, and keeps one for the next flow.

    Args:
        endpoint: Has the arguments of httpx clients.
        http_client: The caller's httpx client, which all flows share and which is never closed.
    """

    def __init__(self, endpoint: Endpoint, http_client: httpx.Client | None) -> None:
        self._arguments = endpoint.http_client_args
        # A transport of the caller's keeps its own connections, whichever client uses it.
        self._is_shared = not self._arguments.keys().isdisjoint(("transport", "mounts"))
        self._callers = None if http_client is None else PooledClient(http_client, None)
        self._lock = Lock()
        self._all: set[PooledClient] = set()
        self._kept: PooledClient | None = None
        self._is_closed = False

    @property
    def are_callers(self) -> bool:
        """Whether the connections are the caller's, so that a forked child cannot have its own."""
        return self._is_shared or self._callers is not None

    def take(self) -> PooledClient:
        """Return a client that no other flow uses; it must be given back.

        Raises:
            ClientClosed: The connections were closed.
        """
        with self._lock:
            if self._is_closed:
                raise ClientClosed("client is closed: make a new one")
            if self._callers is not None:
                return self._callers
            pooled = self._kept or PooledClient(httpx.Client(**self._arguments), Sockets())
            self._kept = pooled if self._is_shared else None
            self._all.add(pooled)
            return pooled

    def give_back(self, pooled: PooledClient) -> None:
        """Keep *pooled* for the next flow, or close it if there is one already."""
        with self._lock:
            if pooled not in self._all:
                # The caller's, already closed, or the parent process's.
                return
            self._kept = self._kept or pooled
            if self._kept is pooled:
                return
            self._all.remove(pooled)
        pooled.client.close()

    def shut_down(self) -> None:
        """Shut down all sockets, except those of the caller's client."""
        with self._lock:
            clients = list(self._all)
        for pooled in clients:
            if pooled.sockets is not None:
                pooled.sockets.shut_down()

    def close(self) -> None:
        """Close all connections except the caller's, and make no further ones."""
        with self._lock:
            self._is_closed, self._kept = True, None
            clients, self._all = self._all, set()
        for pooled in clients:
            pooled.client.close()

    def forget(self) -> None:
        """Leave the connections to the parent process; called in a forked child."""
        self._lock = Lock()
        clients, self._all, self._kept = self._all, set(), None
        for pooled in clients:
            if pooled.sockets is not None:
                pooled.sockets.forget()
