"""`Retry-After`: for how long the service asks clients to wait."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import httpx

from heksher.exceptions import ServiceStatusError

if TYPE_CHECKING:
    from collections.abc import Iterable

_ASKING: Final = frozenset({429, 503})
"""The statuses with which the header is honoured."""

_SECONDS: Final = re.compile(r"[0-9]+")
_LONGEST_DATE: Final = 64


def seconds_asked(answer: object, now: datetime | None = None) -> float:
    """Return the `Retry-After` of a response in seconds; 0 if it has none.

    Args:
        answer: A response, or an exception that may hold one.
        now: The present time, if not the real one. The response's `Date` takes precedence.
    """
    response = answer.response if isinstance(answer, ServiceStatusError) else answer
    if not isinstance(response, httpx.Response) or response.status_code not in _ASKING:
        return 0.0
    asked = response.headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(asked):
        return float(asked)
    until = _date(asked)
    if until is None:
        return 0.0
    since = _date(response.headers.get("date", "")) or now or datetime.now(UTC)
    return max(0.0, (until - since).total_seconds())


def longest_asked(answers: Iterable[object]) -> float:
    """Return the longest `Retry-After` of *answers* in seconds."""
    return max((seconds_asked(one) for one in answers), default=0.0)


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text[:_LONGEST_DATE])
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
