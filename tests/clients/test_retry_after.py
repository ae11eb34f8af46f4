"""`Retry-After`: both of its forms, nonsense, and what it delays."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from heksher import Setting
from heksher.clients.bookkeeping import Upkeep
from heksher.clients.conversation.declaring.declare import MOST_WAITED
from heksher.clients.conversation.pacing import LEAST_CAP
from heksher.clients.conversation.retry_after import longest_asked, seconds_asked
from heksher.exceptions import ServiceError, ServiceStatusError

if TYPE_CHECKING:
    from clients.conftest import Canned, Conversation
    from heksher.clients.conversation.effects import Answer, Request
    from heksher.settings.registry import Registry

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


def answer(status: int = 503, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=named, request=httpx.Request("GET", "http://x"))


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        (" 120 ", 120),
        ("9" * 400, float("inf")),
        ("Tue, 24 Nov 2026 08:00:30 GMT", 30),
        ("Tuesday, 24-Nov-26 08:01:00 GMT", 60),
        ("Tue, 24 Nov 2026 07:00:00 GMT", 0),
        ("Tue, 24 Nov 2026 08:00:30 -0000", 30),
    ],
)
def test_both_forms_are_read(status: int, asked: str, seconds: float) -> None:
    assert seconds_asked(answer(status, retry_after=asked), NOW) == seconds


@pytest.mark.parametrize(
    "nonsense",
    [
        "",
        "soon",
        "-5",
        "1.5",
        "1e3",
        "7 seconds",
        "\u0667",
        "Tue, 99 Nov 2026 08:00:30 GMT",
        "Tue, 24 Nov 99999999999999999999 08:00:30 GMT",
        "Tue, 24 Nov 2026 08:00:30 +9999999",
        "x" * 100_000,
    ],
)
def test_nonsense_is_ignored(nonsense: str) -> None:
    headers = [(b"retry-after", nonsense.encode())]
    response = httpx.Response(503, headers=headers, request=httpx.Request("GET", "http://x"))

    assert seconds_asked(response, NOW) == 0


def test_date_counts_from_the_service_s_own_time() -> None:
    late = answer(date="Tue, 24 Nov 2020 10:00:00 GMT", retry_after="Tue, 24 Nov 2020 10:00:05 GMT")

    assert seconds_asked(late, NOW) == 5


@pytest.mark.parametrize("status", [200, 301, 404, 500, 502])
def test_other_statuses_ask_for_nothing(status: int) -> None:
    assert seconds_asked(answer(status, retry_after="7")) == 0


def test_longest_wish_counts() -> None:
    asked = ServiceStatusError(
        "x", request=httpx.Request("GET", "http://x"), response=answer(retry_after="9")
    )

    assert longest_asked([answer(retry_after="7"), asked, httpx.ReadTimeout("lost")]) == 9
    assert longest_asked([]) == 0


def upkeep(registry: Registry, interval: float = 300) -> Upkeep:
    return Upkeep(registry, ("user",), update_interval=interval, declares=True, last_good=None)


def failed_with(asked: str) -> ServiceError:
    return ServiceStatusError(
        "x", request=httpx.Request("GET", "http://x"), response=answer(retry_after=asked)
    )


def left_after(registry: Registry, errors: list[ServiceError], interval: float = 300) -> float:
    """Return the seconds until the next update when so many have failed, each with its error."""
    kept = upkeep(registry, interval)
    for one in errors:
        kept.begin()
        kept.failed(one)
    return kept.seconds_left()


@pytest.mark.parametrize(
    ("interval", "asked", "least"),
    [(300, "20", 20), (300, "86400", 300), (1, "30", 30), (1, "86400", LEAST_CAP)],
)
def test_next_update_comes_no_sooner_than_asked_within_reason(
    registry: Registry, interval: float, asked: str, least: float
) -> None:
    drawn = [left_after(registry, [failed_with(asked)], interval) for _ in range(200)]

    assert least - 1 <= min(drawn)
    assert max(drawn) <= least * 1.1
    assert len(set(drawn)) == 200


def test_wish_counts_for_one_update_only(registry: Registry) -> None:
    errors = [failed_with("200"), ServiceError("another")]

    assert max(left_after(registry, errors) for _ in range(200)) <= 2


def test_back_off_that_is_longer_counts(registry: Registry) -> None:
    errors = [failed_with("1")] * 8

    assert max(left_after(registry, errors) for _ in range(200)) > 60


def declaring(talk: Conversation, answers: list[Answer]) -> None:
    """Answer the first declarations otherwise than usual."""

    def instead(request: Request) -> Answer | None:
        return answers.pop(0) if request.json and answers else None

    talk.service.instead.append(instead)


def declare(talk: Conversation, *names: str) -> list[Any]:
    return [
        Setting[int](name, configurable_features=["user"], default_value=1, registry=talk.registry)
        for name in names
    ]


def test_declaration_is_sent_again_no_sooner_than_asked(talk: Conversation) -> None:
    kept = declare(talk, "n")
    declaring(talk, [answer(429, retry_after="2")])

    refreshed = talk.refresh(first=True)

    _, wait = talk.waits
    assert 2.2 <= wait <= 3
    assert refreshed.standings["n"].outcome == "created"
    assert kept


def test_declarations_that_had_no_turn_yet_wait_too(talk: Conversation) -> None:
    names = [f"s{place}" for place in range(12)]
    kept = declare(talk, *names)
    declaring(talk, [answer(429, retry_after="1")])

    refreshed = talk.refresh(first=True)

    assert max(talk.waits) >= 1.2
    assert {one.outcome for one in refreshed.standings.values()} == {"created"}
    assert kept


def test_longer_wish_leaves_the_declaration_to_a_later_update(
    talk: Conversation, canned: Canned
) -> None:
    kept = declare(talk, "a", "n")
    canned.add("a", 1)
    declaring(talk, [answer(retry_after=str(int(MOST_WAITED) + 1))])

    refreshed = talk.refresh(first=True)

    assert sum(talk.waits) < 0.1
    assert refreshed.standings["n"].outcome == "degraded"
    assert (refreshed.errors, refreshed.asked_for) == ((), MOST_WAITED + 1)
    assert kept


def test_wish_of_a_declaration_delays_the_next_update(
    talk: Conversation, registry: Registry
) -> None:
    kept = declare(talk, "n")
    declaring(talk, [answer(retry_after="50")])
    client = upkeep(registry, 1)
    client.begin()

    client.publish(talk.refresh(first=True))
    client.succeeded()

    assert 49 <= client.seconds_left() <= 55
    assert kept
