"""Ids of parametrized tests that every process makes alike."""

from __future__ import annotations

import re


def shown(value: object) -> str:
    """Return the repr of *value* in ASCII, without addresses of objects and orders of sets."""
    if isinstance(value, (set, frozenset)):
        return f"{type(value).__name__}{sorted(map(shown, value))}"
    return re.sub(r" at 0x[0-9a-f]+", "", ascii(value))
