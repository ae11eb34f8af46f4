"""Responses of the service: bodies and refusals, and how the application sends them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import OperationalError
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from heksher.server import json_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fastapi import FastAPI
    from starlette.requests import Request

    from heksher.settings.types.type_strings import Json


class Refusal(Exception):  # noqa: N818 - a response, not an error of ours
    """Ends a request with this response; its changes to the store are rolled back."""

    def __init__(self, answer: Response) -> None:
        super().__init__(answer.status_code)
        self.answer = answer


class Problem(NamedTuple):
    """One problem of a request.

    Attributes:
        loc: The location: `body`, `path` or `query`, then names and indices.
        msg: The problem, for people.
        type: The kind of problem, for programs.
    """

    loc: tuple[str | int, ...]
    msg: str
    type: str


class InvalidRequest(Exception):  # noqa: N818 - a response, not an error of ours
    """Ends a request with status 422, listing all of its problems."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: list[Problem] = list(problems)
        super().__init__(self.problems)


def json_response(
    value: Json, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a response with a JSON body."""
    return Response(json_text.dumps(value), status, headers, media_type="application/json")


def text_response(text: str, status: int) -> Response:
    """Return a plain-text response; what UTF-8 cannot encode is replaced."""
    return Response(text.encode("utf-8", "replace"), status, media_type="text/plain")


def empty_response(status: int = 204) -> Response:
    """Return a response without a body."""
    return Response(status_code=status)


def set_text(names: Iterable[str]) -> str:
    """Return the names as Python writes a set, in alphabetical order."""
    return "{" + ", ".join(map(repr, sorted(names))) + "}"


def install_handlers(app: FastAPI) -> None:
    """Make *app* respond to refused and invalid requests as the service does."""

    def refused(_request: Request, refusal: Exception) -> Response:
        assert isinstance(refusal, Refusal)  # noqa: S101 - Starlette's signature is the wider one
        return refusal.answer

    def invalid(_request: Request, error: Exception) -> Response:
        assert isinstance(error, InvalidRequest)  # noqa: S101 - as above
        return _problems_answer(error.problems)

    def invalid_parameters(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - as above
        return _problems_answer(
            Problem(tuple(item["loc"]), item["msg"], item["type"]) for item in error.errors()
        )

    def gone(_request: Request, _error: Exception) -> Response:
        return empty_response(400)

    def busy(_request: Request, _error: Exception) -> Response:
        # The endpoints can cause no other operational error of SQLite.
        return text_response("the database is in use by another program", 423)

    app.add_exception_handler(Refusal, refused)
    app.add_exception_handler(OperationalError, busy)
    app.add_exception_handler(InvalidRequest, invalid)
    app.add_exception_handler(RequestValidationError, invalid_parameters)
    app.add_exception_handler(ClientDisconnect, gone)


def _problems_answer(problems: Iterable[Problem]) -> Response:
    detail = [problem._asdict() for problem in problems]
    # Escaped to ASCII: a location can be a key of the request that UTF-8 cannot encode.
    return Response(json.dumps({"detail": detail}), 422, media_type="application/json")
