"""When to refresh next: a jittered interval, and back-off while the service fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random

JITTER: Final = 0.1
"""By which part of it an interval varies, so that processes started together drift apart."""

LEAST_CAP: Final = 60.0
"""Seconds that back-off may grow to even where the update interval is shorter."""

FIRST_RETRY: Final = 1.0
"""Seconds within which the first retry comes, if the interval is not shorter."""


def next_delay(
    update_interval: float, failures: int, randomness: random.Random, *, asked_for: float = 0.0
) -> float:
    """Return the seconds to wait before the next refresh.

    Args:
        update_interval: Seconds between refreshes while all is well.
        failures: How many refreshes in a row have failed. Each doubles the span that the delay is
            drawn from, up to the larger of the interval and `LEAST_CAP`.
        randomness: Where jitter comes from.
        asked_for: Seconds for which the service asked to be left alone. Up to that cap, the delay
            is no shorter.
    """
    delay = _drawn(update_interval, failures, randomness)
    if not asked_for:
        return delay
    # Those who were asked together do not come back together.
    later = randomness.uniform(1, 1 + JITTER)
    return max(delay, min(asked_for, max(update_interval, LEAST_CAP)) * later)


def _drawn(update_interval: float, failures: int, randomness: random.Random) -> float:
    if failures == 0:
        return update_interval * randomness.uniform(1 - JITTER, 1 + JITTER)
    cap = max(update_interval, LEAST_CAP)
    # The exponent is bounded, since a float is: 2**1024 is none.
    span = min(update_interval, FIRST_RETRY) * 2.0 ** min(failures - 1, 60)
    return randomness.uniform(0, min(cap, span))
