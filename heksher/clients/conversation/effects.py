"""What a flow asks its driver for: requests, pauses, a chance for others to run.

A flow is a generator that makes all decisions and does no I/O. It yields one of these effects. In
return for a `Send` it is sent the responses in order; where no response came, the exception of the
transport takes its place as a value.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

T = TypeVar("T")

AT_ONCE: Final = 4
"""The most requests in one `Send`.

This bounds the bodies in memory, and the declarations that reach the service together: some 15 new
ones deadlock its connection pool.
"""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, relative to the service's URL.

    Attributes:
        method: The HTTP method.
        path: The path without the query; the only part of a URL that errors show.
        query: The query string, encoded; empty for none.
        json: The body, if there is one.
        headers: Additional headers.
    """

    method: str
    path: str
    query: str = ""
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Send:
    """Send these requests, at most `AT_ONCE`; concurrently if the driver can."""

    requests: Sequence[Request]


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for a number of seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Breathe:
    """Let others run; the next step may take a few milliseconds."""


Effect: TypeAlias = "Send | Wait | Breathe"
Answer: TypeAlias = "httpx.Response | Exception"
Flow: TypeAlias = Generator[Effect, Any, T]


def send(requests: Sequence[Request]) -> Flow[list[Answer]]:
    """Send any number of requests, `AT_ONCE` at a time; return the responses in order."""
    answers: list[Answer] = []
    for start in range(0, len(requests), AT_ONCE):
        answers += yield Send(requests[start : start + AT_ONCE])
    return answers


def ask(request: Request) -> Flow[Answer]:
    """Send one request; return its response."""
    (answer,) = yield from send([request])
    return answer
