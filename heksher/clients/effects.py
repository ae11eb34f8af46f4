"""What a flow asks of whoever drives it: requests, pauses, a chance for others to run.

A flow is a generator that holds all decisions and does no I/O. It yields one of these, and is sent
back the answers to a `Send` in order: a response, or the transport's exception as a value.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import httpx

from heksher import wire
from heksher.exceptions import (
    ServiceError,
    ServiceStatusError,
    ServiceUnavailable,
    UnexpectedResponse,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)

AT_ONCE: Final = 4
"""How many requests a `Send` has at most: so many bodies are in memory, and so many declarations
reach the service together (some 15 new ones deadlock its pool of connections)."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, relative to the service's URL.

    Attributes:
        method: The HTTP method.
        path: The path, without the query; the only part of a URL that errors show.
        query: The query, ready to be sent; empty for none.
        json: The body, if it has one.
        headers: Further headers.
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
    """Send these requests, at most `AT_ONCE`, together if the driver can."""

    requests: Sequence[Request]


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for a number of seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Breathe:
    """Let others run: what comes next may take a few milliseconds."""


Effect: TypeAlias = "Send | Wait | Breathe"
Answer: TypeAlias = "httpx.Response | Exception"
Flow: TypeAlias = Generator[Effect, Any, T]


def send(requests: Sequence[Request]) -> Flow[list[Answer]]:
    """Send any number of requests, `AT_ONCE` at a time; return their answers in order."""
    answers: list[Answer] = []
    for start in range(0, len(requests), AT_ONCE):
        answers += yield Send(requests[start : start + AT_ONCE])
    return answers


def ask(request: Request) -> Flow[Answer]:
    """Send one request; return its answer."""
    (answer,) = yield from send([request])
    return answer


def received(request: Request, answer: Answer) -> httpx.Response:
    """Return *answer* if a response came.

    Raises:
        ServiceError: None did.
    """
    if isinstance(answer, UnexpectedResponse):
        # A new one: its traceback leads to frames that hold this one.
        raise UnexpectedResponse(str(answer), request=_request_of(answer))
    if isinstance(answer, Exception):
        raise ServiceUnavailable(
            f"{request} failed: {type(answer).__name__}", request=_request_of(answer)
        ) from (None if isinstance(answer, _QUOTING) else answer)
    return answer


def without_frames(error: E) -> E:
    """Return *error* without the tracebacks of it and of the errors behind it.

    An error that is kept where its traceback leads, in a local variable or an attribute, is part of
    a reference cycle with all that the frames there hold.
    """
    behind: list[BaseException | None] = [error]
    seen: set[int] = set()
    while behind:
        one = behind.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = None
            behind += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
    return error


_QUOTING: Final = (httpx.ProtocolError, httpx.InvalidURL, UnicodeError)
"""Errors of the transport's that quote headers, or bytes of the service."""


def _request_of(error: Exception) -> httpx.Request | None:
    return getattr(error, "_request", None)


def expect(request: Request, answer: Answer, read: Callable[[bytes], T]) -> T:
    """Return what *read* makes of the body of *answer*, which has to be a 200.

    Raises:
        ServiceError: No response came, it has another status, or *read* raised `WrongShape`.
    """
    response = received(request, answer)
    if response.status_code != httpx.codes.OK:
        raise status_error(request, response)
    return read_body(request, response, read)


def read_body(request: Request, response: httpx.Response, read: Callable[[bytes], T]) -> T:
    """Return what *read* makes of the body of *response*.

    Raises:
        UnexpectedResponse: It raised `WrongShape`.
    """
    try:
        return read(response.content)
    except wire.WrongShape as wrong:
        raise unexpected(request, response, str(wrong)) from None


def status_error(request: Request, response: httpx.Response) -> ServiceError:
    """Return the error for a status that *request* does not allow for."""
    if response.status_code < httpx.codes.BAD_REQUEST:
        return unexpected(request, response, "it is no status that Heksher gives here")
    return ServiceStatusError(
        f"{request} was answered {response.status_code} {response.reason_phrase}".rstrip(),
        request=response.request,
        response=response,
    )


def unexpected(request: Request, response: httpx.Response, what: str) -> UnexpectedResponse:
    """Return the error for a response that no Heksher service gives."""
    return UnexpectedResponse(
        f"the answer to {request}, status {response.status_code}, is not Heksher's: {what}."
        " Check service_url, and what stands between",
        request=response.request,
    )
