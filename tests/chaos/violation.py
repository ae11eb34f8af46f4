"""What a history ends with when a promise is broken."""

from __future__ import annotations


class Violation(AssertionError):  # noqa: N818  # says what happened
    """A promise was broken.

    Attributes:
        kind: `freeze`, `wrong` or `leak`.
    """

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(f"{kind}: {what}")
        self.kind = kind
