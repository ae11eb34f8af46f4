"""`Endpoint`: turns a flow's requests into httpx's; and checks of both clients' arguments."""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

import httpx

from heksher.clients.transport.response_body import ACCEPTED_ENCODINGS
from heksher.exceptions import InvalidClient, UnexpectedResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heksher.clients.conversation.effects import Request
    from heksher.clients.transport.response_body import BodyUnreadable

_URLS_KEPT: Final = 256


class Endpoint:
    """Where the service is, and the limits of its responses.

    Args:
        service_url: The service's URL; it may have a path, with or without a trailing slash.
        request_timeout: Seconds that one request may take.
        max_response_bytes: Bytes that the body of one response may have.
        http_client_args: Arguments of the httpx client; its `timeout` overrides *request_timeout*.

    Raises:
        InvalidClient: An argument is invalid.

    Attributes:
        max_response_bytes: As given.
        http_client_args: The arguments of the httpx client.
        deadline: Seconds that one request may take in all; `None` for no limit.
    """

    def __init__(
        self,
        service_url: str,
        *,
        request_timeout: float,
        max_response_bytes: int,
        http_client_args: Mapping[str, Any] | None,
    ) -> None:
        url = _checked_url(service_url)
        self._headers = _authorization(url)
        # Without secrets: httpx logs URLs, and errors hold them.
        self._url = str(url.copy_with(userinfo=b"", query=None, fragment=None)).rstrip("/")
        # httpx parses each character of a URL, and queries, which are long, seldom change.
        self._url_of = lru_cache(maxsize=_URLS_KEPT)(self._make_url)
        self.max_response_bytes: int = int(check_positive("max_response_bytes", max_response_bytes))
        timeout = check_positive("request_timeout", request_timeout)
        self.http_client_args: dict[str, Any] = {"timeout": timeout, **(http_client_args or {})}
        self.deadline: float | None = _deadline(httpx.Timeout(self.http_client_args["timeout"]))

    def _make_url(self, path: str, query: str) -> httpx.URL:
        return httpx.URL(f"{self._url}{path}?{query}" if query else f"{self._url}{path}")

    def httpx_arguments(self, request: Request) -> dict[str, Any]:
        """Return the arguments of `build_request` for *request*."""
        arguments: dict[str, Any] = {
            "method": request.method,
            "url": self._url_of(request.path, request.query),
            "headers": {
                "Accept-Encoding": ACCEPTED_ENCODINGS,
                **self._headers,
                **request.headers,
            },
        }
        if request.json is not None:
            arguments["json"] = request.json
        return arguments

    def redirected(self, request: Request, response: httpx.Response) -> httpx.Request | None:
        """Return the request to follow *response* with, if it is a redirect.

        Raises:
            UnexpectedResponse: It leads to another host, which would be sent the client's headers,
                or from https to http.
        """
        following = response.next_request
        if following is None:
            return None
        here, there = response.request.url, following.url
        if here.host != there.host or (here.scheme, there.scheme) == ("https", "http"):
            raise UnexpectedResponse(
                f"{request} was redirected to {there.scheme}://{there.host}, which would be sent"
                " this client's headers: set service_url to where the service is",
                request=response.request,
            )
        return following

    def unreadable(self, request: Request, reason: BodyUnreadable) -> UnexpectedResponse:
        """Return the error for a body that cannot be decompressed."""
        return UnexpectedResponse(
            f"unexpected response to {request}: {reason}. Check service_url and any proxy in between"
        )

    def too_many_redirects(self, request: Request) -> UnexpectedResponse:
        """Return the error for a request that is redirected again and again."""
        return UnexpectedResponse(f"{request} was redirected too often: check service_url")

    def too_large(self, request: Request) -> UnexpectedResponse:
        """Return the error for a body that is too large."""
        return UnexpectedResponse(
            f"response to {request} is larger than max_response_bytes"
            f" ({self.max_response_bytes} bytes)"
        )


def complete_response(response: httpx.Response, body: bytes) -> httpx.Response:
    """Return a streamed response as one that holds its *body*, which is already decoded."""
    headers = [
        (name, value)
        for name, value in response.headers.multi_items()
        if name not in ("content-encoding", "content-length", "transfer-encoding")
    ]
    return httpx.Response(
        response.status_code, headers=headers, content=body, request=response.request
    )


def check_positive(name: str, value: float) -> float:
    """Return *value* if it is a finite number above zero.

    Raises:
        InvalidClient: It is not.
    """
    expected = f"expected a finite number above zero as {name}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidClient(f"{expected}, got {type(value).__name__}")
    if not isfinite(value) or value <= 0:
        raise InvalidClient(f"{expected}, got {value}")
    return value


def _checked_url(service_url: str) -> httpx.URL:
    # Without quoting it: it may hold credentials.
    expected = "expected a URL such as 'http://heksher.example:8000' as service_url"
    if not isinstance(service_url, str):
        raise InvalidClient(f"{expected}, got {type(service_url).__name__}")
    try:
        url = httpx.URL(service_url)
    except httpx.InvalidURL:
        raise InvalidClient(f"{expected}, got an invalid one") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise InvalidClient(f"{expected}, got one without scheme or host")
    if url.query or url.fragment:
        raise InvalidClient(f"{expected}, got one with a query or fragment: remove it")
    return url


def _authorization(url: httpx.URL) -> dict[str, str]:
    """Return the header for the credentials in *url*, if there are any."""
    if not url.userinfo:
        return {}
    credentials = b64encode(f"{url.username}:{url.password}".encode()).decode()
    return {"Authorization": f"Basic {credentials}"}


def _deadline(timeout: httpx.Timeout) -> float | None:
    """Return the seconds that a request may take in all, since httpx limits only its steps."""
    steps = [timeout.connect, timeout.read, timeout.write, timeout.pool]
    bounds = [step for step in steps if step is not None]
    return max(bounds) if len(bounds) == len(steps) else None
