"""The httpx clients of a threaded client: one for each flow under way.

Whoever stops waiting for an answer has to cut the connection that it would come by. Which one that
is, httpx does not tell before the answer begins. So flows share no connections while they run.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

import httpx

from heksher.clients.exchange import Sockets
from heksher.exceptions import ClientClosed

if TYPE_CHECKING:
    from heksher.clients.transport import Endpoint


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """An httpx client for one flow, and what may be cut where it is used.

    Attributes:
        client: The httpx client.
        sockets: Those that it has connected; `None` where others use it, too, and only those may be
            cut that an exchange has connected itself.
    """

    client: httpx.Client
    sockets: Sockets | None


class Lines:
    """Makes lines as they are needed, and keeps one for the next flow.

    Args:
        endpoint: Has the arguments of httpx clients.
        http_client: The caller's own, which all flows use and nobody here closes.
    """

    def __init__(self, endpoint: Endpoint, http_client: httpx.Client | None) -> None:
        self._arguments = endpoint.http_client_args
        # A transport of the caller's has its own connections, whichever client uses it.
        self._is_shared = not self._arguments.keys().isdisjoint(("transport", "mounts"))
        self._callers = None if http_client is None else Line(http_client, None)
        self._lock = Lock()
        self._all: set[Line] = set()
        self._kept: Line | None = None
        self._is_closed = False

    @property
    def are_callers(self) -> bool:
        """Whether the connections are the caller's, so that a forked child cannot have its own."""
        return self._is_shared or self._callers is not None

    def take(self) -> Line:
        """Return a line that no other flow uses; it has to be given back.

        Raises:
            ClientClosed: All were closed.
        """
        with self._lock:
            if self._is_closed:
                raise ClientClosed("the client is closed: make a new one")
            if self._callers is not None:
                return self._callers
            line = self._kept or Line(httpx.Client(**self._arguments), Sockets())
            self._kept = line if self._is_shared else None
            self._all.add(line)
            return line

    def give_back(self, line: Line) -> None:
        """Keep *line* for the next flow, or close it if one is kept already."""
        with self._lock:
            if line not in self._all:
                # The caller's, closed already, or the parent process's.
                return
            self._kept = self._kept or line
            if self._kept is line:
                return
            self._all.remove(line)
        line.client.close()

    def shut_down(self) -> None:
        """End whatever any thread reads from them or writes to them, but for the caller's."""
        with self._lock:
            lines = list(self._all)
        for line in lines:
            if line.sockets is not None:
                line.sockets.shut_down()

    def close(self) -> None:
        """Close all connections, but for the caller's, and make no more."""
        with self._lock:
            self._is_closed, self._kept = True, None
            lines, self._all = self._all, set()
        for line in lines:
            line.client.close()

    def forget(self) -> None:
        """Leave the connections to another process: this one is a copy of it, made by fork."""
        self._lock = Lock()
        lines, self._all, self._kept = self._all, set(), None
        for line in lines:
            if line.sockets is not None:
                line.sockets.forget()
