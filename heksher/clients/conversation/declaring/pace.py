"""How fast a process declares new settings, since others may be declaring the same ones.

The real service has 15 database connections, and a creation holds one while it waits for a second.
When some 15 creations get that far together, from however many processes, the whole service hangs
for 30 s. Nobody tells a process how many others there are. So each one begins with few requests
and long pauses, goes faster while responses are quick, slower when they are not (additive increase,
multiplicative decrease), and looks at the service's list from time to time: what others have
declared meanwhile need not be sent, and says how many they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random

MAX_AT_ONCE: Final = 4
"""Declarations that one process sends together, at most."""

MAX_TOGETHER: Final = 10
"""Declarations under way from all processes together, at most: the service hangs at some 15."""

FEW: Final = 16
"""A start with fewer new settings than this is over before it can do harm."""

FIRST_SHARE: Final = 1 / 16
"""The share of its time that a process with many new settings has a request under way, at first."""

FIRST_SHARE_OF_FEW: Final = 1 / 4

LEAST_SHARE: Final = 1 / 256

QUICK: Final = 1.5
SLOW: Final = 2.0
"""A response is quick, or slow, by how many times the quickest so far it took."""

QUICK_ANYWAY: Final = 0.005
"""Seconds below which differences between responses say nothing."""

FIRST_LOOK_AFTER: Final = 3
"""Declarations that are sent before the first look at what others have declared."""

LONGEST_SPREAD: Final = 3.0
LONGEST_PAUSE: Final = 10.0
LONGEST_LIST: Final = 2.0
"""Seconds. A list that took longer waited for something else."""


class DeclarationPace:
    """The pace of one process during one round of declarations.

    Args:
        randomness: Where jitter comes from.
        new: The number of settings to declare.
        list_seconds: Seconds that the service took to list its settings.
    """

    def __init__(self, randomness: random.Random, new: int, list_seconds: float) -> None:
        self._random = randomness
        self._new = new
        self._list_seconds = min(list_seconds, LONGEST_LIST)
        first = FIRST_SHARE if new >= FEW else FIRST_SHARE_OF_FEW
        # A service that takes long to list is busy, perhaps with others like this process.
        self._share = first * max(1 / 4, min(1.0, 0.05 / max(list_seconds, 0.001)))
        self._is_growing_fast = True
        self._quickest = float("inf")
        self._last_seconds = 0.0
        self._created = 0
        self._created_by_others = 0
        self._failures = 0
        self._looks = 0
        self._quiet_looks = 0
        self._sent_since_look = 0
        self._failed_since_look = 0
        self._seconds_since_look = 0.0

    @property
    def processes(self) -> float:
        """The processes that seem to declare the same settings, this one included."""
        return min(64.0, 1 + self._created_by_others / (1 + self._created))

    @property
    def at_once(self) -> int:
        """The declarations to send together."""
        return max(1, min(MAX_AT_ONCE, int(self._share), int(MAX_TOGETHER / self.processes)))

    def first_pause(self) -> float:
        """Return the seconds to wait before the first declaration.

        Processes that were started together list at the same time, so that lists take longer.
        """
        longest = min(LONGEST_SPREAD, 10 * self._list_seconds + 0.004 * self._new)
        return self._random.uniform(0, longest)

    def sent(self, *, created: int, failed: int, total: int, seconds: float) -> None:
        """Take in what came of declarations that were sent together.

        Args:
            created: The settings that this process created.
            failed: The declarations that failed: 5xx, 429, or no response.
            total: All of them.
            seconds: Seconds until the last response.
        """
        self._created += created
        self._last_seconds = seconds
        self._sent_since_look += total
        self._failed_since_look += failed
        self._seconds_since_look += seconds
        if failed:
            self._failures += 1
            self._slow_down(0.5)
            return
        self._failures = 0
        # The service is one process: responses to several requests take longer.
        each = seconds / (1 + 0.5 * (total - 1))
        self._quickest = min(self._quickest, each)
        usual = max(self._quickest, QUICK_ANYWAY)
        if each > SLOW * usual:
            self._slow_down(0.6)
        elif each <= QUICK * usual:
            self._speed_up()

    def _slow_down(self, factor: float) -> None:
        self._is_growing_fast = False
        self._share = max(self._least_share, min(self._share, MAX_AT_ONCE) * factor)

    def _speed_up(self) -> None:
        is_fast = self._is_growing_fast or self._share < 0.5
        faster = self._share * 1.3 if is_fast else self._share + 0.15
        self._share = min(MAX_AT_ONCE, faster)

    @property
    def _least_share(self) -> float:
        return min(1.0, 1.5 / self.processes) if self._looks else LEAST_SHARE

    def pause(self, *, is_retry: bool) -> float:
        """Return the seconds to wait before what is sent next.

        Args:
            is_retry: Whether that has failed before.
        """
        has_hung = self._failures and self._last_seconds > 1
        if has_hung or self._failures > 1 or is_retry:
            # After a hang, those who failed together must not come back together.
            base = min(12.0, max(1.0, self._last_seconds / 3))
            return self._random.uniform(0.2, 1.0) * base * max(1, min(self._failures, 4))
        seconds = 0.0
        if self._share < 1:
            seconds = self._last_seconds * (1 / self._share - 1)
        if self.processes * self.at_once > MAX_TOGETHER:
            # While the service makes a list it does nothing else, and declarations pile up.
            seconds = max(seconds, self.processes * self._list_seconds / 5)
        return min(LONGEST_PAUSE, seconds) * self._random.uniform(0.5, 1.5)

    def paused(self, seconds: float) -> None:
        """Take in that time has passed."""
        self._seconds_since_look += seconds

    @property
    def is_look_due(self) -> bool:
        """Whether to list the service's settings again before more are declared."""
        if not self._looks:
            return self._sent_since_look >= FIRST_LOOK_AFTER
        if self._failed_since_look >= 3:
            return self._seconds_since_look >= 3 * self._list_seconds
        if self._created_by_others:
            # All processes together spend a third of the service's time on lists.
            interval = max(0.25, 3 * self.processes * self._list_seconds)
            return self._sent_since_look > 1 and self._seconds_since_look >= interval
        interval = max(0.25 * 2.0 ** min(self._quiet_looks, 20), 5 * self._list_seconds)
        return self._sent_since_look >= 20 and self._seconds_since_look >= interval

    def looked(self, *, found: int, seconds: float) -> None:
        """Take in that the list was looked at, and had *found* settings that others declared."""
        self._look_ended(seconds)
        self._looks += 1
        self._list_seconds = min(seconds, LONGEST_LIST)
        self._created_by_others += found
        if found:
            self._is_growing_fast = False
            bound = max(self._least_share, MAX_TOGETHER / 4 / self.processes)
            self._share = min(self._share, bound)
        else:
            self._quiet_looks += 1

    def look_failed(self, seconds: float) -> None:
        """Take in that the list could not be had."""
        self._look_ended(seconds)
        self._failures += 1
        self._last_seconds = seconds

    def _look_ended(self, seconds: float) -> None:
        self._sent_since_look = self._failed_since_look = 0
        self._seconds_since_look = 0.0
