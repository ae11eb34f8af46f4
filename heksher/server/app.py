"""Assembling the embedded service."""

import os
from collections.abc import Iterable
from string import punctuation
from typing import Final
from urllib.parse import quote

from fastapi import APIRouter, FastAPI
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from heksher.server import (
    declaration,
    features,
    query,
    rule_metadata,
    rules,
    setting_metadata,
    settings,
)
from heksher.server.responses import install_handlers, json_response
from heksher.server.storage.store import Store

SERVICE_VERSION: Final = "0.5.7"
"""The version of the Heksher service whose API this one implements."""


def create_app(
    *, context_features: Iterable[str] = (), database: str | os.PathLike[str] | None = None
) -> FastAPI:
    """Return the embedded service as an ASGI application with a store of its own.

    It is ready at once, without lifespan events, and may be used from any number of threads and event
    loops. Two applications share nothing unless they are given the same file.

    Args:
        context_features: The context features, least specific first. If the database already has
            some: all of those in their order, with new ones anywhere among them; or none, to leave
            them unchanged.
        database: A file to store everything in, created if necessary; in memory by default.

    Raises:
        ValueError: The context features are invalid, or differ from those of the database.
        OSError: The database file cannot be used.
    """
    store = Store(database)
    try:
        with store.writing() as connection:
            features.start_with(connection, context_features)
    except ValueError:
        store.close()
        raise
    app = FastAPI(title="Heksher, embedded", version=SERVICE_VERSION)
    app.state.store = store
    app.add_middleware(_TextOnly)
    install_handlers(app)
    app.add_api_route("/api/health", _health, methods=["GET"])
    app.include_router(_v1_router(), prefix="/api/v1")
    return app


class _TextOnly:
    """Passes requests on with path and query as valid text, whatever bytes were sent.

    Starlette redirects a path with an extra slash, and fails then if the query is not UTF-8.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"].encode("utf-8", "replace").decode()
            query_string = quote(scope["query_string"], safe=punctuation).encode()
            scope = {**scope, "path": path, "query_string": query_string}
        await self._app(scope, receive, send)


async def _health() -> Response:
    """Report that the service is healthy, and which version it implements."""
    return json_response({"version": SERVICE_VERSION})


def _v1_router() -> APIRouter:
    router = APIRouter()
    # The first route that matches a path decides which methods are allowed, so /settings/declare
    # comes before /settings/{name}.
    for module in (features, declaration, settings, setting_metadata, rules, rule_metadata, query):
        router.include_router(module.router)
    return router
