"""Serving an ASGI application on the loopback interface, in a running event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import uvicorn

from heksher.server.serving import listen

if TYPE_CHECKING:
    import socket
    from collections.abc import Coroutine


def listen_on_loopback(app: Any) -> tuple[str, Coroutine[Any, Any, None]]:
    """Return the URL of a free port, which listens from now on, and a coroutine that serves it."""
    listener = listen("127.0.0.1", 0)
    return f"http://127.0.0.1:{listener.getsockname()[1]}", _serve(app, listener)


async def _serve(app: Any, listener: socket.socket) -> None:
    config = uvicorn.Config(
        app,
        lifespan="off",
        # Failures are intended here. As in `heksher.server`, h11 accepts long queries.
        log_level="critical",
        http="h11",
        h11_max_incomplete_event_size=16 * 2**20,
        ws="none",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving
        raise
    finally:
        listener.close()
