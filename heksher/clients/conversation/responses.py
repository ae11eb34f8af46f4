"""From a response, or the exception that came instead, to its content or to an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import httpx

from heksher import wire
from heksher.exceptions import (
    ServiceError,
    ServiceStatusError,
    ServiceUnavailable,
    UnexpectedResponse,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from heksher.clients.conversation.effects import Answer, Request

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)

_QUOTING: Final = (httpx.ProtocolError, httpx.InvalidURL, UnicodeError)
"""Exceptions of the transport whose text may quote headers or bytes of the service."""


def received(request: Request, answer: Answer) -> httpx.Response:
    """Return *answer* if it is a response.

    Raises:
        ServiceError: It is an exception.
    """
    if isinstance(answer, UnexpectedResponse):
        # Raise a new one: the traceback of this one would lead to frames that hold it.
        raise UnexpectedResponse(str(answer), request=_request_of(answer))
    if isinstance(answer, Exception):
        raise ServiceUnavailable(
            f"{request} failed: {type(answer).__name__}", request=_request_of(answer)
        ) from (None if isinstance(answer, _QUOTING) else answer)
    return answer


def _request_of(error: Exception) -> httpx.Request | None:
    return getattr(error, "_request", None)


def expect(request: Request, answer: Answer, read: Callable[[bytes], T]) -> T:
    """Return what *read* makes of the body of *answer*, which must have status 200.

    Raises:
        ServiceError: There is no response, it has another status, or *read* raised `WrongShape`.
    """
    response = received(request, answer)
    if response.status_code != httpx.codes.OK:
        raise status_error(request, response)
    return read_body(request, response, read)


def read_body(request: Request, response: httpx.Response, read: Callable[[bytes], T]) -> T:
    """Return what *read* makes of the body of *response*.

    Raises:
        UnexpectedResponse: *read* raised `WrongShape`.
    """
    try:
        return read(response.content)
    except wire.WrongShape as wrong:
        raise unexpected(request, response, str(wrong)) from None


def status_error(request: Request, response: httpx.Response) -> ServiceError:
    """Return the error for a status that *request* does not allow."""
    if response.status_code < httpx.codes.BAD_REQUEST:
        return unexpected(request, response, "Heksher does not use this status here")
    return ServiceStatusError(
        f"{request} returned {response.status_code} {response.reason_phrase}".rstrip(),
        request=response.request,
        response=response,
    )


def unexpected(request: Request, response: httpx.Response, what: str) -> UnexpectedResponse:
    """Return the error for a response that no Heksher service gives."""
    return UnexpectedResponse(
        f"unexpected response to {request} (status {response.status_code}): {what}."
        " Check service_url and any proxy in between",
        request=response.request,
    )


def without_frames(error: E) -> E:
    """Return *error* after clearing its traceback and those of the errors that led to it.

    A traceback holds frames. An error kept by such a frame, in a local variable or in an attribute
    of `self`, is part of a reference cycle with everything that the frames hold.
    """
    errors: list[BaseException | None] = [error]
    seen: set[int] = set()
    while errors:
        one = errors.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = None
            errors += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
    return error
