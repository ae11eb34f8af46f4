"""The command line of the embedded service: `python -m heksher.server --port 9999`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from heksher.server import MISSING_EXTRA

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; return the exit code of the process."""
    options = _parser().parse_args(arguments)
    names = options.context_features.split(",") if options.context_features.strip() else []
    try:
        from heksher.server.app import create_app
        from heksher.server.serving import listen, serve

        app = create_app(context_features=names, database=options.database)
        listener = listen(options.host, options.port)
    except ModuleNotFoundError:
        return _fail(MISSING_EXTRA)
    except (OSError, ValueError) as error:
        return _fail(str(error))
    with listener:
        serve(app, listener)
    app.state.store.close()
    return 0


def _fail(message: str) -> int:
    sys.stderr.write(f"python -m heksher.server: {message}\n")
    return 1


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
    if text.isascii() and text.isdigit() and len(text) <= 5 and int(text) < 2**16:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number from 0 to 65535")


if __name__ == "__main__":
    sys.exit(main())
