"""Compressed, endless and redirected responses: what they may cost, and where headers go."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from heksher import (
    AsyncHeksherClient,
    ServiceUnavailable,
    ThreadHeksherClient,
    UnexpectedResponse,
)
from heksher.settings.registry import Registry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

URL = "http://heksher.test"
LIMIT = 2**20
HEALTHY = json.dumps({"version": "0.5.7"}).encode()


class Pieces(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that comes in pieces, as over a socket."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self.pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece


def compressed(*pieces: bytes, encoding: str = "gzip") -> Callable[[httpx.Request], httpx.Response]:
    headers = {"content-encoding": encoding, "content-type": "application/json"}
    return lambda _request: httpx.Response(200, headers=headers, stream=Pieces(*pieces))


async def ping_async(handler: Callable[[httpx.Request], httpx.Response], **options: Any) -> None:
    arguments = {"transport": httpx.MockTransport(handler), **options}
    client = AsyncHeksherClient(
        URL, 60, ["user"], http_client_args=arguments, max_response_bytes=LIMIT, registry=Registry()
    )
    try:
        await client.ping()
    finally:
        await client.aclose()


async def ping_threaded(handler: Callable[[httpx.Request], httpx.Response], **options: Any) -> None:
    arguments = {"transport": httpx.MockTransport(handler), **options}
    client = ThreadHeksherClient(
        URL, 60, ["user"], http_client_args=arguments, max_response_bytes=LIMIT, registry=Registry()
    )
    try:
        client.ping()
    finally:
        client.close()


both = pytest.mark.parametrize("ping", [ping_async, ping_threaded], ids=["async", "threaded"])


@both
async def test_gzip_is_asked_for_alone_and_read(ping: Any) -> None:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["accept-encoding"])
        body = gzip.compress(HEALTHY)
        return compressed(*[body[place : place + 1] for place in range(len(body))])(request)

    await ping(handler)

    assert asked == ["gzip"]


@both
async def test_gzip_of_several_members_with_padding_is_read(ping: Any) -> None:
    body = gzip.compress(HEALTHY[:5]) + gzip.compress(HEALTHY[5:]) + b"\0" * 20

    await ping(compressed(body))


@both
@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "deflate", "zstd, gzip", "GZIP,gzip"])
async def test_other_encodings_are_refused_by_name(ping: Any, encoding: str) -> None:
    bomb = gzip.compress(gzip.compress(bytes(2**24)))

    with pytest.raises(UnexpectedResponse, match="Content-Encoding must be gzip or absent"):
        await ping(compressed(bomb, encoding=encoding))


@both
async def test_bomb_costs_less_than_twice_the_limit(ping: Any) -> None:
    bomb = gzip.compress(bytes(64 * LIMIT))
    tracemalloc.start()
    try:
        with pytest.raises(UnexpectedResponse, match=f"{LIMIT} bytes"):
            await ping(compressed(bomb))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 2 * LIMIT


@both
@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"not gzip", "invalid gzip"), (gzip.compress(HEALTHY)[:-9], "incomplete gzip")],
    ids=["invalid", "incomplete"],
)
async def test_broken_gzip_is_an_unexpected_response(ping: Any, body: bytes, reason: str) -> None:
    with pytest.raises(UnexpectedResponse, match=reason):
        await ping(compressed(body))


def redirecting(location: str, to: list[httpx.URL]) -> Callable[[httpx.Request], httpx.Response]:
    def handler(request: httpx.Request) -> httpx.Response:
        to.append(request.url)
        if len(to) == 1:
            return httpx.Response(307, headers={"location": location})
        return httpx.Response(200, content=HEALTHY)

    return handler


@both
@pytest.mark.parametrize(
    "location", ["http://elsewhere.test/api/health", "https://heksher.test.evil.example/"]
)
async def test_redirect_to_another_host_gets_no_request(ping: Any, location: str) -> None:
    asked: list[httpx.URL] = []

    with pytest.raises(UnexpectedResponse, match=r"another host|was redirected to"):
        await ping(
            redirecting(location, asked), follow_redirects=True, headers={"x-token": "s3cret"}
        )

    assert [url.host for url in asked] == ["heksher.test"]


@both
async def test_redirect_on_the_same_host_is_followed_where_asked_for(ping: Any) -> None:
    asked: list[httpx.URL] = []

    await ping(redirecting("/other/health", asked), follow_redirects=True)

    assert [url.path for url in asked] == ["/api/health", "/other/health"]


@both
async def test_redirect_is_unexpected_where_following_was_not_asked_for(ping: Any) -> None:
    asked: list[httpx.URL] = []

    with pytest.raises(UnexpectedResponse):
        await ping(redirecting("/other/health", asked))

    assert len(asked) == 1


@both
async def test_endless_redirects_end(ping: Any) -> None:
    asked: list[int] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(1)
        return httpx.Response(302, headers={"location": str(request.url)})

    with pytest.raises(UnexpectedResponse, match="redirected too often"):
        await ping(handler, follow_redirects=True, max_redirects=3)

    assert len(asked) == 4


@both
async def test_redirect_from_https_to_http_gets_no_request(ping: Any) -> None:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.scheme)
        scheme = "https" if len(asked) == 1 else "http"
        return httpx.Response(302, headers={"location": f"{scheme}://heksher.test/again"})

    with pytest.raises((UnexpectedResponse, ServiceUnavailable)):
        await ping(handler, follow_redirects=True)

    assert asked == ["http", "https"]
