"""Exceptions: their place in the tree, what they carry, and that they survive a process boundary."""

from __future__ import annotations

import pickle

import httpx
import pytest

from heksher import (
    DeclarationError,
    HeksherError,
    InvalidSetting,
    MissingContextAttribute,
    MissingContextFeature,
    ServiceStatusError,
    ServiceUnavailable,
    UnexpectedResponse,
    UsageError,
)

REQUEST = httpx.Request("GET", "http://heksher.example/api/health")
EXAMPLES: list[HeksherError] = [
    ServiceUnavailable("no answer", request=REQUEST),
    ServiceStatusError("refused", request=REQUEST, response=httpx.Response(503, request=REQUEST)),
    UnexpectedResponse("no JSON"),
    DeclarationError("refused", setting_name="a", outcome="mismatch", differences=["type"]),
    InvalidSetting("wrong"),
    MissingContextFeature("a", "user"),
    MissingContextAttribute("a", "user"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_exception_survives_pickling(error: HeksherError) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301

    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.__dict__.keys() == error.__dict__.keys()


def test_errors_of_the_service_are_errors_of_httpx() -> None:
    unavailable, refused, unexpected = EXAMPLES[:3]

    assert isinstance(unavailable, httpx.TransportError)
    assert isinstance(refused, httpx.HTTPStatusError)
    assert refused.response.status_code == 503
    assert refused.request is REQUEST
    assert isinstance(unexpected, httpx.HTTPError)


def test_refused_declaration_carries_what_differs() -> None:
    error = DeclarationError("refused", setting_name="a", outcome="mismatch", differences=["type"])

    assert (error.setting_name, error.outcome, error.differences) == ("a", "mismatch", ("type",))
    assert not isinstance(error, UsageError)


@pytest.mark.parametrize(
    ("feature", "written"),
    [("user", "get(user=...)"), ("class", "get(**{'class': ...})"), ("1a", "get(**{'1a': ...})"),
     ("__debug__", "get(**{'__debug__': ...})")],
)  # fmt: skip
def test_missing_feature_says_how_to_give_it(feature: str, written: str) -> None:
    assert written in str(MissingContextFeature("a", feature))
