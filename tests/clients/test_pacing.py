"""When the next update is due: a jittered interval, and back-off with full jitter."""

from __future__ import annotations

import random

import pytest

from heksher.clients.conversation.pacing import Pacing, next_delay


def delays(interval: float, failures: int) -> list[float]:
    randomness = random.Random(1)  # noqa: S311  # jitter, no secret
    return [next_delay(interval, failures, randomness) for _ in range(2000)]


@pytest.mark.parametrize("interval", [0.01, 1, 60, 3600])
def test_a_normal_interval_varies_by_a_tenth(interval: float) -> None:
    drawn = delays(interval, 0)

    assert 0.9 * interval <= min(drawn) < 0.91 * interval
    assert 1.09 * interval < max(drawn) <= 1.1 * interval


@pytest.mark.parametrize(
    ("interval", "failures", "span"),
    [
        (60, 1, 1),
        (60, 2, 2),
        (60, 4, 8),
        (60, 7, 60),
        (60, 10_000, 60),
        (3600, 12, 2048),
        (3600, 13, 3600),
        (3600, 10**9, 3600),
        (5, 6, 32),
        (5, 7, 60),
        (0.1, 1, 0.1),
        (0.1, 20, 60),
    ],
)
def test_back_off_doubles_up_to_the_larger_of_interval_and_a_minute(
    interval: float, failures: int, span: float
) -> None:
    drawn = delays(interval, failures)

    assert max(drawn) <= span
    assert max(drawn) > 0.98 * span
    assert min(drawn) < 0.02 * span


def test_two_processes_do_not_come_back_together() -> None:
    one, other = (random.Random(seed) for seed in (1, 2))  # noqa: S311  # jitter, no secret

    drawn = [(next_delay(60, 5, one), next_delay(60, 5, other)) for _ in range(100)]

    assert sum(abs(mine - theirs) for mine, theirs in drawn) / 100 > 1


def pacing(interval: float = 60) -> Pacing:
    made = Pacing(interval, random.Random(1))  # noqa: S311  # jitter, no secret
    made.began(0)
    return made


def test_refresh_of_which_nobody_tells_the_end_is_followed_by_another() -> None:
    assert pacing(60).seconds_left(0) == 60


def test_wake_counts_once_answered_no_more() -> None:
    paced = pacing()
    paced.ended(0, failures=0, asked_for=0)

    assert [paced.wake(1), paced.wake(1.1)] == [True, False]
    assert paced.seconds_left(1.1) == pytest.approx(0.2)
    paced.began(2)
    paced.ended(2, failures=0, asked_for=0)
    assert paced.seconds_left(2) > 50


@pytest.mark.parametrize("failures", [1, 5, 9])
def test_wake_comes_no_sooner_than_a_retry(failures: int) -> None:
    paced = pacing()
    paced.ended(0, failures=failures, asked_for=0)
    before = paced.seconds_left(0)
    paced.wake(0)

    assert paced.seconds_left(0) == max(before, 0.0)


def test_forked_children_wait_as_their_parent_was_asked_to_but_not_together() -> None:
    left = set()
    for seed in range(50):
        paced = pacing()
        paced.ended(0, failures=1, asked_for=40)
        paced.start_afresh(10, random.Random(seed))  # noqa: S311  # jitter, no secret
        paced.wake(10)
        left.add(paced.seconds_left(10))

    assert min(left) >= 30
    assert max(left) <= 40
    assert len(left) == 50


def test_forked_child_of_a_healthy_client_refreshes_soon() -> None:
    paced = pacing()
    paced.ended(0, failures=0, asked_for=0)
    paced.start_afresh(10, random.Random(1))  # noqa: S311  # jitter, no secret
    paced.wake(10)

    assert paced.seconds_left(10) == pytest.approx(0.2)
