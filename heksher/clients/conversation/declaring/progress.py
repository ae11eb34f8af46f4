"""How far a start has come, and how much time it has left."""

from __future__ import annotations

from time import monotonic
from typing import Final

LONGEST_START: Final = 10
"""How many times `start_timeout` a start may take in all, however well it gets on."""


class Progress:
    """The progress of one refresh that declares settings.

    The time limit of a start counts from the last step that succeeded: a service that is given
    thousands of new settings is slow, not away.

    Args:
        timeout: Seconds that may pass without progress.
    """

    def __init__(self, timeout: float = float("inf")) -> None:
        self._timeout = timeout
        self._end = monotonic() + timeout * LONGEST_START
        self._due = monotonic() + timeout
        self._new = 0
        self._declared = 0

    def begin(self, new: int) -> None:
        """Take in that *new* settings are to be declared."""
        self._new += new

    def declared(self, count: int = 1) -> None:
        """Take in that the service knows *count* more of them."""
        if count:
            self._declared += count
            self._due = monotonic() + self._timeout

    def wait(self, seconds: float) -> None:
        """Take in that the flow pauses by itself, which is not the service's fault."""
        self._due += seconds

    def seconds_left(self) -> float:
        """Return the seconds until the time is up."""
        return self.due - monotonic()

    @property
    def due(self) -> float:
        """When the time is up, in seconds of `time.monotonic`."""
        return min(self._due, self._end)

    def __str__(self) -> str:
        """Return how far it has come, in words; empty where nothing was to be declared."""
        if not self._new:
            return ""
        return f"{self._declared} of {self._new} new settings were declared"
