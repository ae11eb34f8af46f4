"""Versions of settings: compared by their numbers, kept as they were written."""

from __future__ import annotations

from typing import Final, NamedTuple

FIRST: Final = "1.0"
"""The version that a new setting must have."""


class _Number(NamedTuple):
    """A number of any length, without making an integer of it: Python refuses thousands of digits."""

    length: int
    digits: str

    def __str__(self) -> str:
        return self.digits or "0"


class Version(NamedTuple):
    """A version as two numbers, ordered as versions are."""

    major: _Number
    minor: _Number

    @classmethod
    def parse(cls, text: str) -> Version:
        """Return the version that *text* writes; it must have the form that requests are held to."""
        major, minor = text.rstrip("\n").split(".")
        return cls(_number(major), _number(minor))

    def __str__(self) -> str:
        return f"({self.major}, {self.minor})"


def _number(digits: str) -> _Number:
    significant = digits.lstrip("0")
    return _Number(len(significant), significant)
