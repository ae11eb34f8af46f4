"""What wakes the updates of both clients: bursts are gathered, and back-off is never skipped."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from clients.plays import AsyncPlay, ThreadPlay
from heksher import ServiceError, Setting

if TYPE_CHECKING:
    from clients.conftest import Canned
    from clients.plays import Play
    from heksher.settings.registry import Registry

BOTH = pytest.mark.parametrize("playing", [AsyncPlay, ThreadPlay])
SPREADS = {
    "at once": [0.0] * 50,
    "evenly": [0.05] * 50,
    "in pairs": [0.1, 0.0] * 25,
    "with pauses": [0.3] * 8 + [0.0] * 42,
    "first and last": [2.4, *[0.0] * 49],
}


def declare(registry: Registry, name: str) -> Setting[int]:
    return Setting[int](name, configurable_features=["user"], default_value=1, registry=registry)


def refreshes(canned: Canned) -> int:
    """Return how many refreshes there have been: each begins with the order of features."""
    return len(canned.sent("context_features"))


def be_unavailable(canned: Canned, **headers: str) -> None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = httpx.Response(503, headers=named, request=httpx.Request("GET", "http://x"))
    canned.instead.append(lambda _request: answer)


def declare_spread(registry: Registry, play: Play, pauses: list[float]) -> list[Setting[int]]:
    settings = []
    for place, pause in enumerate(pauses):
        settings.append(declare(registry, f"n{place}"))
        play.pass_time(pause)
    return settings


@BOTH
@pytest.mark.parametrize("spread", SPREADS)
def test_fifty_declarations_cause_two_refreshes_at_most(
    playing: Any, spread: str, canned: Canned, registry: Registry
) -> None:
    with playing(canned, registry) as play:
        settings = declare_spread(registry, play, SPREADS[spread])
        for _ in range(10):
            play.pass_time(1)

        assert refreshes(canned) - 1 in (1, 2)
        assert len(canned.settings) == len(settings)


@BOTH
def test_one_declaration_is_fetched_within_a_second(
    playing: Any, canned: Canned, registry: Registry
) -> None:
    with playing(canned, registry) as play:
        setting = declare(registry, "n")
        canned.rule("n", 1, 9, user="x")
        play.pass_time(1)

        assert setting.get(user="x") == 9


@BOTH
def test_unending_declarations_put_no_refresh_off_for_ever(
    playing: Any, canned: Canned, registry: Registry
) -> None:
    with playing(canned, registry) as play:
        settings = declare_spread(registry, play, [0.1] * 300)

        assert 5 <= refreshes(canned) - 1 <= 11
        assert settings


@BOTH
def test_wakes_wait_for_as_long_as_the_service_asked(
    playing: Any, canned: Canned, registry: Registry
) -> None:
    with playing(canned, registry) as play:
        be_unavailable(canned, retry_after="60")
        settings = declare_spread(registry, play, [0.05] * 50)
        play.pass_time(57)
        before = refreshes(canned)
        play.pass_time(10)

        assert before - 1 == 1
        assert refreshes(canned) - 1 == 2
        assert settings


@BOTH
def test_validators_and_declarations_wait_for_back_off(
    playing: Any, canned: Canned, registry: Registry
) -> None:
    with playing(canned, registry) as play:
        setting = declare(registry, "n")
        play.pass_time(10)
        be_unavailable(canned, retry_after="50")
        with suppress(ServiceError):
            play.reload()
        canned.requests.clear()

        for _ in range(40):
            setting.add_validator(lambda value, _rule, _setting: value)
            play.pass_time(1)

        assert canned.requests == []


@BOTH
def test_reload_waits_for_nothing(playing: Any, canned: Canned, registry: Registry) -> None:
    with playing(canned, registry) as play:
        be_unavailable(canned, retry_after="60")
        with pytest.raises(ServiceError):
            play.reload()
        canned.instead.clear()
        setting = declare(registry, "n")
        canned.rule("n", 1, 9, user="x")

        play.reload()

        assert setting.get(user="x") == 9
