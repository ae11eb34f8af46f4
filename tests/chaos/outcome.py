"""What comes of a history."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """What came of one history: nothing, or the promise that it broke.

    Attributes:
        seed: Plays it again.
        kind: `freeze`, `wrong` or `leak`; `None` if all promises were kept.
        what: What happened, in words.
    """

    seed: int
    kind: str | None = None
    what: str = ""
