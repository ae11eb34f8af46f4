"""Serving the embedded service with uvicorn until a signal ends it."""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any, Final

import uvicorn

if TYPE_CHECKING:
    from fastapi import FastAPI

_MAX_REQUEST_HEAD: Final = 16 * 2**20
_SECONDS_TO_FINISH: Final = 3


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on this address; port 0 picks a free one.

    Raises:
        OSError: Listening on the address failed; the message says why.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address, family=family)
    except (socket.gaierror, UnicodeError) as error:
        raise OSError(f"cannot listen on {host}: no such address") from error
    except OSError as error:
        # The message of `create_server` repeats the address.
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise OSError(f"cannot listen on {host}, port {port}: {reason}") from error


def serve(app: FastAPI, listener: socket.socket) -> None:
    """Serve *app* until SIGINT or SIGTERM; print the URL once it listens."""
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_level="warning",
        # httptools silently truncates query strings of 65,536 bytes and more. h11 does not, and
        # with this limit it accepts queries for tens of thousands of settings.
        http="h11",
        h11_max_incomplete_event_size=_MAX_REQUEST_HEAD,
        ws="none",
        timeout_graceful_shutdown=_SECONDS_TO_FINISH,
    )
    server = _Server(config)

    # uvicorn re-raises the signal that ended it, for the previous handler. This one lets the process
    # end by itself, and ends a server that has not installed its own handler yet.
    def end(_signal: int, _frame: Any) -> None:
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    server.run([listener])


class _Server(uvicorn.Server):
    """Prints its URL once it listens."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            sys.stdout.write(f"Heksher is listening on http://{shown}:{port}\n")
            sys.stdout.flush()
