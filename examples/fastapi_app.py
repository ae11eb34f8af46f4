"""A FastAPI application whose requests have a context: `python examples/fastapi_app.py`.

In production, `fastapi run` would start `create(...)` with the URL of a Heksher service.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import httpx
from fastapi import Depends, FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from heksher import PROVIDED, AsyncHeksherClient, ContextFeatures, Setting, SettingsModel, pinned
from heksher.testing import LocalService


class Features(ContextFeatures):
    environment: str = PROVIDED
    user: str | None


greeting = Setting[str].within(Features, "shop.greeting", default_value="Hello")


class Page(SettingsModel, prefix="page", context=Features):
    items: int = 20
    shows_prices: bool = True


class RequestContext:
    """Binds the user of each request, and lets it read one state of all settings until its end."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", ()))
        user = headers.get(b"x-user", b"").decode() or None
        with Features.bind(user=user), pinned():
            await self.app(scope, receive, send)


def page_of_user() -> Page:
    """Read the bound context. Without parameters, no query chooses another one."""
    return Page.current


def create(service_url: str) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncHeksherClient(service_url, 60, Features) as client:
            client.set_defaults(environment="production")
            app.state.heksher = client
            yield

    app = FastAPI(lifespan=lifespan)
    app.add_middleware(RequestContext)

    @app.get("/")
    async def front(page: Annotated[Page, Depends(page_of_user)]) -> dict[str, object]:
        return {"greeting": greeting.get(user=None), "page": page}

    @app.get("/why")
    def why() -> str:
        return str(Page.settings["items"].explain())

    return app


async def main() -> None:
    with LocalService(Features) as service:
        service.add_rule(Page.settings["items"], 50, user="john")
        app = create(service.url)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://shop") as http,
        ):
            john = {"x-user": "john"}
            print("Anybody:", (await http.get("/")).json())
            print("John:   ", (await http.get("/", headers=john)).json())
            print((await http.get("/why", headers=john)).json())


if __name__ == "__main__":
    asyncio.run(main())
