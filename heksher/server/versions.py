"""Versions of settings: compared as numbers, stored as they were written."""

from __future__ import annotations

from typing import Final, NamedTuple

FIRST: Final = "1.0"
"""The version of every new setting."""


class _Number(NamedTuple):
    """A number of any length, without converting it: Python refuses thousands of digits."""

    length: int
    digits: str

    def __str__(self) -> str:
        return self.digits or "0"


class Version(NamedTuple):
    """A version as two numbers, in the order of versions."""

    major: _Number
    minor: _Number

    @classmethod
    def parse(cls, text: str) -> Version:
        """Return the version written as *text*, in the form that requests must have."""
        major, minor = text.rstrip("\n").split(".")
        return cls(_number(major), _number(minor))

    def __str__(self) -> str:
        return f"({self.major}, {self.minor})"


def _number(digits: str) -> _Number:
    significant = digits.lstrip("0")
    return _Number(len(significant), significant)
