"""What the service answers: bodies, refusals, and how both leave the application."""

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

    from heksher.settings.type_strings import Json


class Refusal(Exception):  # noqa: N818 - an answer, not a fault of ours
    """Ends a request with this answer; whatever it changed in the store is undone."""

    def __init__(self, answer: Response) -> None:
        super().__init__(answer.status_code)
        self.answer = answer


class Problem(NamedTuple):
    """One fault of a request.

    Attributes:
        loc: Where it is: `body`, `path` or `query`, then names and indices.
        msg: What is wrong, for people.
        type: What is wrong, for programs.
    """

    loc: tuple[str | int, ...]
    msg: str
    type: str


class InvalidRequest(Exception):  # noqa: N818 - an answer, not a fault of ours
    """Ends a request with status 422, naming every problem it has."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: list[Problem] = list(problems)
        super().__init__(self.problems)


def json_answer(
    value: Json, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an answer with a JSON body."""
    return Response(json_text.dumps(value), status, headers, media_type="application/json")


def text_answer(text: str, status: int) -> Response:
    """Return an answer with a plain text; what is no UTF-8 in it is replaced."""
    return Response(text.encode("utf-8", "replace"), status, media_type="text/plain")


def empty_answer(status: int = 204) -> Response:
    """Return an answer without a body."""
    return Response(status_code=status)


def set_text(names: Iterable[str]) -> str:
    """Return the names as Python writes a set, in alphabetical order."""
    return "{" + ", ".join(map(repr, sorted(names))) + "}"


def install_handlers(app: FastAPI) -> None:
    """Let *app* answer refused and invalid requests in the service's forms."""

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
        return empty_answer(400)

    def busy(_request: Request, _error: Exception) -> Response:
        # In all that its endpoints do, SQLite has no other operational error but this one.
        return text_answer("the database is in use by another program", 423)

    app.add_exception_handler(Refusal, refused)
    app.add_exception_handler(OperationalError, busy)
    app.add_exception_handler(InvalidRequest, invalid)
    app.add_exception_handler(RequestValidationError, invalid_parameters)
    app.add_exception_handler(ClientDisconnect, gone)


def _problems_answer(problems: Iterable[Problem]) -> Response:
    detail = [problem._asdict() for problem in problems]
    # Escaped to ASCII: a location can be a key of the request that is no valid text.
    return Response(json.dumps({"detail": detail}), 422, media_type="application/json")
