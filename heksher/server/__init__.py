"""A Heksher service inside this process: for tests, for trying things out, for small set-ups.

`create_app` mounts it in a test or another application; `python -m heksher.server` serves it.
Both need the extra `server`: `pip install 'heksher[server]'`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from fastapi import FastAPI

__all__ = ["MISSING_EXTRA", "create_app"]

MISSING_EXTRA = "the embedded service needs the extra `server`: pip install 'heksher[server]'"
"""What is said where the packages of the extra are not installed."""


def create_app(
    *, context_features: Iterable[str] = (), database: str | os.PathLike[str] | None = None
) -> FastAPI:
    """Return the embedded service as an ASGI application with a store of its own.

    It answers at once, without lifespan events, from any number of threads and event loops. What it
    holds goes with it: two applications share nothing, unless they are given the same file.

    Args:
        context_features: The context features, least specific first. With a database that has some
            already: all of these in their order, and new ones anywhere among them; none leaves the
            stored ones as they are.
        database: A file to keep everything in, made if it is not there; in memory without one.

    Raises:
        ModuleNotFoundError: The extra `server` is not installed.
        ValueError: The context features are malformed, or not those of the database.
        OSError: The database file cannot be used.
    """
    try:
        from heksher.server.app import build_app
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("heksher"):
            raise
        raise ModuleNotFoundError(MISSING_EXTRA, name=error.name) from error
    return build_app(context_features, database)
