"""What can go wrong between a program and its service."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any, Final

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from chaos.model import Service

GREATEST: Final = 100_000
"""The clients' `max_response_bytes` here."""

REQUEST_TIMEOUT: Final = 35.0
PIECE: Final = 10_000
"""How many bytes of a body come together."""

FAILURES: dict[str, Callable[[], Exception]] = {
    "refused": lambda: httpx.ConnectError("[Errno 111] Connection refused"),
    "reset at connect": lambda: httpx.ConnectError("[Errno 104] Connection reset by peer"),
    "no such name": lambda: httpx.ConnectError("[Errno -2] Name or service not known"),
    "TLS": lambda: httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED]"),
    "reset": lambda: httpx.ReadError("[Errno 104] Connection reset by peer"),
    "no protocol": lambda: httpx.RemoteProtocolError("illegal status line"),
    "pool": lambda: httpx.PoolTimeout("no connection is free"),
    "a bug of the transport": lambda: RuntimeError("the transport is broken"),
}
BODIES: dict[str, tuple[bytes, dict[str, str]]] = {
    "HTML": (b"<html>Welcome</html>", {"content-type": "text/html"}),
    "empty": (b"", {}),
    "no JSON": (b'{"settings": ', {}),
    "wrong JSON": (b'{"settings": 1, "context_features": 2, "outcome": 3}', {}),
    "another service's JSON": (b'{"status": "ok"}', {}),
    "no UTF-8": (b'{"settings": "\xff"}', {}),
    "a wrong ETag": (b"[]", {"etag": '"wrong"'}),
}
SLOW = ["hang", "hang mid-body", "drip"]
BROKEN = ["reset mid-body", "too large", "padded", "inflated", "answer lost", "truncated"]
LIES = ["lying ETag", "lying 304"]
PARTS = ["an entry malformed", "an entry missing", "a rule malformed", "unasked 304"]
"""What spoils a part of an answer, or only some answers: not every update fails."""
PATIENCE = ["busy", "busy", "late"]
STATUSES = [*range(300, 304), *range(305, 309), *range(400, 432), 451, *range(500, 512), 599]

KINDS = [*FAILURES, *BODIES, *SLOW, *BROKEN, *LIES, *PARTS, *PARTS, *PATIENCE, "status"]
SCOPES = ["", "", "", "/context_features", "/settings", "/declare", "/query", "/query", "/query"]
"""To which requests it happens: the end of their path; mostly to all."""

_HARMLESS = {*LIES, *PARTS, "late"}

Answer = tuple[int, list[Any], dict[str, str]]
"""Status, chunks and headers; a chunk may be an exception, or seconds that it takes."""


class Weather:
    """How the way to the service is now.

    Attributes:
        kind: What goes wrong; `None` for nothing.
        scope: To which requests.
        likelihood: How often it does.
    """

    def __init__(self, service: Service, random: Random) -> None:
        self.service = service
        self.random = random
        self.clear()

    def clear(self) -> None:
        self.kind: str | None = None
        self.scope, self.likelihood = "", 1.0
        self.asks_for = 0

    def turn(self, kind: str, scope: str, likelihood: float) -> None:
        self.kind, self.scope, self.likelihood = kind, scope, likelihood
        self.asks_for = self.random.choice([1, 7, 30, 55, 86400])

    @property
    def is_total(self) -> bool:
        """Whether no update at all can work."""
        return self.kind is not None and self.kind not in _HARMLESS and self._is_always

    @property
    def _is_always(self) -> bool:
        return self.likelihood == 1.0 and self.scope in ("", "/context_features")

    @property
    def lies(self) -> bool:
        return self.kind in LIES

    def strikes(self, request: httpx.Request) -> str | None:
        """Return what goes wrong with a request, if anything."""
        if self.kind is None or not request.url.path.endswith(self.scope):
            return None
        return self.kind if self.random.random() < self.likelihood else None

    def served(self, request: httpx.Request) -> tuple[int, bytes, dict[str, str]]:
        """Return the service's own answer."""
        content = json.loads(request.content) if request.content else None
        status, body, headers = self.service.answer(
            request.method,
            request.url.path,
            request.url.query.decode(),
            content,
            request.headers.get("If-None-Match"),
        )
        raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        return status, raw, headers

    def answer(self, kind: str | None, request: httpx.Request) -> Answer:
        """Return the answer to a request with which *kind* goes wrong.

        Raises:
            Exception: No answer comes.
        """
        if kind in FAILURES:
            raise FAILURES[kind]()
        if kind in BODIES:
            body, headers = BODIES[kind]
            if request.method == "GET" and "etag" not in headers:
                # Whoever spoiled the body left the headers alone.
                headers = {**self.served(request)[2], **headers}
            return 200, [body], headers
        if kind == "status":
            headers = self.random.choice([{}, {"retry-after": "86400"}, {"location": "/x"}])
            body = self.random.choice([b"", b"Internal Server Error", b'{"detail": "no"}'])
            return self.random.choice(STATUSES), [body], headers
        if kind == "busy":
            status = self.random.choice([429, 503])
            return status, [b"later"], {"retry-after": str(self.asks_for)}
        if kind == "unasked 304" and _is_unconditional_query(request):
            return 304, [b""], self.served(request)[2]
        return self._spoiled(kind, request)

    def _spoiled(self, kind: str | None, request: httpx.Request) -> Answer:
        status, body, headers = self.served(request)
        if kind == "answer lost":
            raise httpx.ReadError("reset")
        if kind == "lying ETag":
            return status, [body], {**headers, "etag": '"lie"'} if status == 200 else headers
        if kind == "lying 304" and "If-None-Match" in request.headers:
            return 304, [b""], {"etag": request.headers["If-None-Match"]}
        if kind in PARTS:
            return status, [self._in_part(kind, status, body)], headers
        if kind == "inflated":
            packed = gzip.compress(body + b" " * 2 * GREATEST)
            return 200, [packed], {**headers, "content-encoding": "gzip"}
        made = _CHUNKS.get(kind or "")
        if made is None:
            return status, [body], headers
        # One that was cut short, or padded, was a good one before.
        return status if kind in SLOW or kind == "late" else 200, made(body), headers

    def _in_part(self, kind: str, status: int, body: bytes) -> bytes:
        """Return an answer to a query of which one setting is spoiled."""
        content = json.loads(body) if status == 200 and body.startswith(b"{") else {}
        settings = content.get("settings")
        if not isinstance(settings, dict) or not settings:
            return body
        name = self.random.choice(sorted(settings))
        if kind == "an entry missing":
            del settings[name]
        elif kind == "an entry malformed":
            settings[name] = self.random.choice([None, {"rules": []}, 7, {"default_value": 77}])
        else:
            rule = self.random.choice([{"value": 1}, 5, {"value": 1, "rule_id": 1}])
            settings[name]["rules"].append(rule)
        return json.dumps(content).encode()


def _is_unconditional_query(request: httpx.Request) -> bool:
    return request.url.path.endswith("/query") and "If-None-Match" not in request.headers


_CHUNKS: Final[dict[str, Callable[[bytes], list[Any]]]] = {
    "hang": lambda body: [1e9],
    "hang mid-body": lambda body: [body[:-1], 1e9],
    "drip": lambda body: [b" ", 30.0] * 100,
    "late": lambda body: [12.0, body],
    "reset mid-body": lambda body: [body[:-1], httpx.ReadError("reset")],
    "too large": lambda body: [b" " * PIECE] * 40,
    "padded": lambda body: [body, *[b" " * PIECE] * (2 * GREATEST // PIECE)],
    "truncated": lambda body: [body[: len(body) // 2]],
}
