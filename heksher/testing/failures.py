"""Making a service fail as a story wants it to."""

import copy
from collections.abc import Awaitable, Callable
from threading import Lock
from typing import Any, Self, TypeAlias

AsgiApp: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]


class Failure:
    """One way to fail, until its `with` block ends or it has failed often enough.

    Args:
        failures: Where it stands.
        outcome: The status to answer with, or the exception to raise.
        times: How many requests fail; `None` for all.
        path: What the paths of the requests that fail begin with.
    """

    def __init__(
        self, failures: "Failures", outcome: int | Exception, *, times: int | None, path: str
    ) -> None:
        self._failures = failures
        self.outcome: int | Exception = outcome
        self.times: int | None = times
        self.path: str = path

    def end(self) -> None:
        """Fail no more."""
        self._failures.end(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


class Failures:
    """An ASGI application in front of another, which answers instead of it now and then."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app
        self._lock = Lock()
        self._failures: list[Failure] = []

    def add(self, failure: Failure) -> Failure:
        """Let requests fail; of several ways, the newest counts."""
        with self._lock:
            self._failures.insert(0, failure)
        return failure

    def end(self, failure: Failure | None = None) -> None:
        """Let nothing fail any more, or not in this way."""
        with self._lock:
            self._failures = [
                one for one in self._failures if failure is not None and one is not failure
            ]

    def _next(self, path: str) -> int | Exception | None:
        with self._lock:
            for failure in self._failures:
                if not path.startswith(failure.path):
                    continue
                if failure.times is not None:
                    failure.times -= 1
                    if not failure.times:
                        self._failures.remove(failure)
                return failure.outcome
        return None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, or pass it on."""
        outcome = self._next(scope["path"]) if scope["type"] == "http" else None
        if outcome is None:
            await self._app(scope, receive, send)
            return
        if isinstance(outcome, Exception):
            # A copy, since httpx writes into those of its own.
            raise copy.copy(outcome)
        headers = [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": outcome, "headers": headers})
        await send({"type": "http.response.body", "body": b"this failure is part of a test"})
