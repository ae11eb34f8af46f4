"""The command line of the embedded service: `python -m heksher.server --port 9999`."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any, Final

from heksher.server import MISSING_EXTRA, create_app

try:
    import uvicorn
except ModuleNotFoundError as error:
    if error.name != "uvicorn":
        raise
    sys.exit(MISSING_EXTRA)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi import FastAPI

_MAX_REQUEST_HEAD: Final = 16 * 2**20
_SECONDS_TO_FINISH: Final = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; return the exit code of the process."""
    options = _parser().parse_args(arguments)
    names = options.context_features.split(",") if options.context_features.strip() else []
    try:
        app = create_app(context_features=names, database=options.database)
        listener = _listen(options.host, options.port)
    except (OSError, ValueError, ModuleNotFoundError) as error:
        sys.stderr.write(f"python -m heksher.server: {error}\n")
        return 1
    with listener:
        _serve(app, listener)
    app.state.store.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m heksher.server", description="A Heksher service on one SQLite database."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (loopback)")
    parser.add_argument(
        "--port", type=_port, default=9999, help="port to listen on; 0 picks a free one (9999)"
    )
    parser.add_argument("--database", metavar="FILE", help="SQLite file; in memory without one")
    parser.add_argument(
        "--context-features",
        metavar="A,B,C",
        default="",
        help="names of the context features, least specific first",
    )
    return parser


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) < 2**16:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number from 0 to 65535")


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address, family=family)
    except socket.gaierror as error:
        raise OSError(f"cannot listen on {host}: {error.strerror}") from error
    except OSError as error:
        # The text of `create_server` repeats the address.
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise OSError(f"cannot listen on {host}, port {port}: {reason}") from error


class _Server(uvicorn.Server):
    """Says where it listens, once it does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            sys.stdout.write(f"Heksher is listening on http://{shown}:{port}\n")
            sys.stdout.flush()


def _serve(app: FastAPI, listener: socket.socket) -> None:
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_level="warning",
        # httptools cuts query strings of 65,536 bytes and more without a word; h11 does not, and
        # with this limit it takes queries for tens of thousands of settings.
        http="h11",
        h11_max_incomplete_event_size=_MAX_REQUEST_HEAD,
        ws="none",
        timeout_graceful_shutdown=_SECONDS_TO_FINISH,
    )
    server = _Server(config)

    # uvicorn raises the signal that ended it once more, for the handler that was there before; this
    # one lets the process end by itself, and ends a server that has not got as far as its own.
    def end(_signal: int, _frame: Any) -> None:
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    server.run([listener])


if __name__ == "__main__":
    sys.exit(main())
