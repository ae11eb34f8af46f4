"""From a flow's requests to httpx's, and what both clients check of their arguments."""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

import httpx

from heksher.exceptions import InvalidClient, UnexpectedResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heksher.clients.effects import Request

_URLS_KEPT: Final = 256


class Endpoint:
    """Where the service is, and how long and how large its answers may be.

    Args:
        service_url: The service's URL; it may have a path, with or without a final slash.
        request_timeout: Seconds for one request.
        max_response_bytes: Bytes of one answer.
        http_client_args: The arguments of the httpx client, of which `timeout` wins.

    Raises:
        InvalidClient: One of them cannot be right.

    Attributes:
        max_response_bytes: As given.
        http_client_args: What to make an httpx client with.
        deadline: Seconds that one request may take in all; `None` for no bound.
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
        # Without what is secret in it: httpx logs URLs, and errors have them.
        self._url = str(url.copy_with(userinfo=b"", query=None, fragment=None)).rstrip("/")
        # httpx looks at each character of a URL, and queries, which are long, seldom change.
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
            "headers": {**self._headers, **request.headers},
        }
        if request.json is not None:
            arguments["json"] = request.json
        return arguments

    def too_large(self, request: Request) -> UnexpectedResponse:
        """Return the error for an answer that is larger than allowed."""
        return UnexpectedResponse(
            f"the answer to {request} is larger than max_response_bytes,"
            f" {self.max_response_bytes} bytes"
        )


def complete_response(response: httpx.Response, body: bytes) -> httpx.Response:
    """Return a response that was streamed as one that holds its *body*, decoded already."""
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
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidClient(f"{name} is {type(value).__name__}: give a number above zero")
    if not isfinite(value) or value <= 0:
        raise InvalidClient(f"{name} is {value}: give a number above zero")
    return value


def _checked_url(service_url: str) -> httpx.URL:
    wrong = "is no URL of a service: write it as in 'http://heksher.example:8000'"
    if not isinstance(service_url, str):
        raise InvalidClient(f"service_url, {type(service_url).__name__}, {wrong}")
    try:
        url = httpx.URL(service_url)
    except httpx.InvalidURL:
        raise InvalidClient(f"service_url {wrong}") from None
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
        raise InvalidClient(f"service_url {wrong}, without query and fragment")
    return url


def _authorization(url: httpx.URL) -> dict[str, str]:
    """Return the header that says what *url* has before its host, if it has anything there."""
    if not url.userinfo:
        return {}
    credentials = b64encode(f"{url.username}:{url.password}".encode()).decode()
    return {"Authorization": f"Basic {credentials}"}


def _deadline(timeout: httpx.Timeout) -> float | None:
    """Return the seconds that a request may take in all: httpx bounds each of its steps only."""
    steps = [timeout.connect, timeout.read, timeout.write, timeout.pool]
    bounds = [step for step in steps if step is not None]
    return max(bounds) if len(bounds) == len(steps) else None
