"""Requests counted against time: when refreshes may begin, how long they may take, what they cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from chaos import doors
from chaos.weather import REQUEST_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from chaos.clock import Clock

INTERVAL: Final = 60.0
CAP: Final = 60.0
"""Seconds that back-off grows to, and that `Retry-After` counts for."""

_SLACK: Final = 1e-6
_LONGEST: Final = REQUEST_TIMEOUT + 4 * REQUEST_TIMEOUT / 3
"""Seconds within a refresh without a request: one that runs out of time, then the longest wait.

Between declarations that hang, that is up to a third of the last one's time for each in a row, of which
there are four at most.
"""

_UNDER_WAY: Final = 3
"""How many declarations may be on their way when the first is answered."""

_FEW: Final = 8
_TINY: Final = 0.13
"""A full jitter leaves so many delays in a row all below this part of their span once in 10 million."""


@dataclass
class Refresh:
    """One refresh, as the service sees it.

    Attributes:
        began: When its first request arrived.
        queried: When its first query arrived, if any did.
        last: When its last request arrived.
        asked: Seconds for which it has to be left alone, as it asked.
        has_asked: Whether it asked at all.
        spared_until: Until when it asked to be sent no declarations.
        unwanted: How many it was sent all the same since it asked.
        sent: Path and status of each answer.
        reading: What was read when it began.
        edition: What the service was when it began.
    """

    began: float
    edition: int
    reading: dict[str, tuple[object, ...]] | None = None
    queried: float | None = None
    last: float = 0.0
    asked: float = 0.0
    has_asked: bool = False
    spared_until: float = 0.0
    unwanted: int = 0
    sent: list[tuple[str, int]] = field(default_factory=list)

    @property
    def as_of(self) -> float:
        """When the service confirmed its values, at the latest."""
        return self.began if self.queried is None else self.queried


class Pace:
    """When refreshes begin, and what is wrong about it.

    Args:
        clock: Tells the time.

    Attributes:
        over: Called when a refresh is.
        wrong: What was found to be wrong.
        refresh: The refresh that is under way, or was last.
        failures: How many have failed in a row.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.wrong: list[str] = []
        self.over: Callable[[], object] = lambda: None
        self.refresh: Refresh | None = None
        self.failures = 0
        self.is_running = False
        self._ended: float | None = None
        self._began_before = -1e9
        self._woken_at = -1e9
        self._reloaded_at = -1e9
        self._spans: list[tuple[int, float]] = []

    def wake(self) -> None:
        """Note that the program did something that is to be told to the service soon."""
        self._woken_at = self._clock.now

    def reload(self) -> None:
        """Note that the program wants a refresh now, whatever was asked for."""
        self._reloaded_at = self._clock.now

    def restarted(self) -> None:
        """Forget what the last client did."""
        self._ended, self.failures, self.is_running = None, 0, False
        self._spans = []

    def arrived(self, request: httpx.Request, edition: int) -> bool:
        """Note that a request arrives; return whether a refresh begins with it."""
        now, path = self._clock.now, request.url.path
        if path.endswith("/health"):
            return False
        if path.endswith("/context_features"):
            self._check_begin(now)
            self.refresh = Refresh(now, edition, last=now)
            self._began_before, self.is_running = now, True
            return True
        if self.refresh is not None and self.is_running:
            if path.endswith("/query") and self.refresh.queried is None:
                self.refresh.queried = now
            self._check_duration(now)
            self.refresh.last = now
            if path.endswith("/declare"):
                self._check_declaration(self.refresh, now)
        return False

    def _check_declaration(self, refresh: Refresh, now: float) -> None:
        refresh.unwanted = refresh.unwanted + 1 if now < refresh.spared_until - _SLACK else 0
        if refresh.unwanted > _UNDER_WAY:
            self.wrong.append("declarations are sent to a service that asked for none")

    def answered(self, request: httpx.Request, status: int, retry_after: str | None) -> None:
        """Note what a request was answered."""
        if self.refresh is None or not self.is_running or request.url.path.endswith("/health"):
            return
        self.refresh.sent.append((request.url.path.rpartition("/")[2], status))
        if retry_after is not None and status in (429, 503):
            self.refresh.has_asked = True
            if doors.LISTS_ARE_SPARED or not request.url.path.endswith("/settings"):
                self.refresh.asked = max(self.refresh.asked, float(retry_after))
            if request.url.path.endswith("/declare"):
                self.refresh.spared_until = self._clock.now + float(retry_after)

    def ended(self, *, well: bool) -> None:
        """Note that a refresh is over."""
        self._check_duration(self._clock.now)
        if self.refresh is not None and self.refresh.queried is None:
            # It asked for no values: they are as old as it says.
            self.refresh.queried = self._clock.now
        self._ended, self.is_running = self._clock.now, False
        self.failures = 0 if well else self.failures + 1
        self.over()

    def _check_duration(self, now: float) -> None:
        if self.refresh is not None and self.is_running and now - self.refresh.last > _LONGEST:
            self.wrong.append(f"a request took {now - self.refresh.last:.0f} s")

    def _check_begin(self, now: float) -> None:
        if self._ended is None or self.refresh is None:
            return
        waited = now - self._ended
        if self._reloaded_at >= self._began_before:
            return
        asked = min(self.refresh.asked, CAP)
        is_woken = self._woken_at >= self._began_before
        if waited < asked - _SLACK:
            self.wrong.append(f"a refresh after {waited:.1f} s, though {asked:.0f} were asked for")
        # No wake goes before the back-off allows.
        if (self.failures or not is_woken) and not self.refresh.has_asked:
            self._check_delay(waited)

    def _check_delay(self, waited: float) -> None:
        span = INTERVAL if not self.failures else min(CAP, 2.0 ** (self.failures - 1))
        part = waited / span
        least, most = (0.0, 1.0) if self.failures else (0.9, 1.1)
        if not least - _SLACK <= part <= most + _SLACK:
            self.wrong.append(f"a refresh {waited:.1f} s after {self.failures} failures")
        if self._spans and abs(self._spans[-1][1] - part) < 1e-9:
            self.wrong.append(f"the same delay twice: no jitter, {part} of {span} s")
        self._spans.append((self.failures, part))
        late = [part for failures, part in self._spans[-_FEW:] if failures > 3]
        if len(late) == _FEW and max(late) < _TINY:
            self.wrong.append(f"no back-off: {late} after {self.failures} failures")

    def check_quiet(self, edition: int) -> str | None:
        """Return what the last refresh sent in vain, though nothing had changed."""
        last = self.refresh
        if last is None or self.is_running or last.edition != edition:
            return None
        wasted = [
            one for one in last.sent if one not in (("context_features", 200), ("query", 304))
        ]
        return f"{wasted} though nothing changed" if wasted else None
