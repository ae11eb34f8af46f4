"""When to refresh next: at a jittered interval, after a back-off, or soon after a wake.

Pure: nothing here reads a clock or waits. Both clients ask the same object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random

JITTER: Final = 0.1
"""The fraction by which an interval varies, so that processes started together drift apart."""

LEAST_CAP: Final = 60.0
"""Seconds that back-off may grow to even where the update interval is shorter."""

FIRST_RETRY: Final = 1.0
"""Seconds within which the first retry comes, unless the interval is shorter."""

QUIET: Final = 0.2
"""Seconds without another wake after which a woken refresh begins."""

BURST: Final = 3.0
"""Seconds that a burst of wakes may last.

A woken refresh waits no longer than this for further wakes, and begins no sooner than this after
the previous woken one. So a program that declares all its settings within this time causes two
refreshes at most, however its declarations are spread.
"""


class Pacing:
    """Decides when the next refresh is due.

    Whatever makes a client want fresh values sooner than its interval does is a *wake*: a new
    setting, a new validator, the first read in a forked child. All wakes pass one gate. It waits
    for further wakes, and it never opens before back-off or `Retry-After` allow.

    Times are seconds of `time.monotonic`. Any thread may call `wake` at any time; the other methods
    belong to whoever refreshes. None takes a lock: each change is one assignment, and a wake that
    races with `began` causes one refresh too many at worst.

    Args:
        update_interval: Seconds between refreshes while all is well.
        randomness: Where jitter comes from.
    """

    def __init__(self, update_interval: float, randomness: random.Random) -> None:
        self._update_interval = update_interval
        self._randomness = randomness
        # The first and the last wake since a refresh began.
        self._wakes: tuple[float, float] | None = None
        self._last_woken_refresh = float("-inf")
        self._earliest = float("-inf")
        self._due = float("inf")

    def wake(self, now: float) -> bool:
        """Ask for a refresh soon.

        Returns:
            Whether `seconds_left` may be shorter now, so that whoever waits has to ask again.
        """
        wakes = self._wakes
        self._wakes = (now if wakes is None else wakes[0], now)
        return wakes is None

    def seconds_left(self, now: float) -> float:
        """Return the seconds until a refresh is due: zero or less if it is."""
        return min(self._due, max(self._gate(), self._earliest)) - now

    def _gate(self) -> float:
        """Return when the gate opens, as far as the wakes are concerned."""
        wakes = self._wakes
        if wakes is None:
            return float("inf")
        first, last = wakes
        return max(min(last + QUIET, first + BURST), self._last_woken_refresh + BURST)

    def began(self, now: float) -> None:
        """Note that a refresh begins, which answers all wakes so far."""
        if self._gate() <= now:
            self._last_woken_refresh = now
        self._wakes = None
        # In case nobody tells how it ended.
        self._due = now + self._update_interval

    def ended(self, now: float, *, failures: int, asked_for: float) -> None:
        """Note how a refresh ended, and draw when the next one is due.

        Args:
            now: The present time.
            failures: How many consecutive refreshes have failed, this one included.
            asked_for: Seconds that the service asked to wait, by `Retry-After`; 0 if it did not.
        """
        wished = asked_delay(self._update_interval, self._randomness, asked_for)
        self._due = now + max(next_delay(self._update_interval, failures, self._randomness), wished)
        self._earliest = self._due if failures else now + wished

    def start_afresh(self, now: float, randomness: random.Random) -> None:
        """Continue in a forked child: `Retry-After` and back-off still hold, with fresh jitter."""
        self._randomness = randomness
        self._last_woken_refresh = float("-inf")
        left = max(0.0, self._earliest - now) * randomness.uniform(1, 1 + JITTER)
        self._earliest = now + left
        self._due = max(self._due, self._earliest)


def next_delay(update_interval: float, failures: int, randomness: random.Random) -> float:
    """Return the seconds to wait before the next refresh.

    Args:
        update_interval: Seconds between refreshes while all is well.
        failures: How many consecutive refreshes have failed. Each doubles the span that the delay
            is drawn from, up to the larger of the interval and `LEAST_CAP`.
        randomness: Where jitter comes from.
    """
    if failures == 0:
        return update_interval * randomness.uniform(1 - JITTER, 1 + JITTER)
    # The exponent is bounded, since floats are: 2.0**1024 overflows.
    span = min(update_interval, FIRST_RETRY) * 2.0 ** min(failures - 1, 60)
    return randomness.uniform(0, min(_cap(update_interval), span))


def asked_delay(update_interval: float, randomness: random.Random, asked_for: float) -> float:
    """Return the seconds to wait for a service that asked for *asked_for*.

    The service gets no more than back-off would grow to. Jitter keeps clients that were asked at the
    same time from returning at the same time.
    """
    return min(asked_for, _cap(update_interval)) * randomness.uniform(1, 1 + JITTER)


def _cap(update_interval: float) -> float:
    return max(update_interval, LEAST_CAP)
