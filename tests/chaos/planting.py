"""Planting a fault in a copy of heksher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class NotPlanted(AssertionError):  # noqa: N818  # says what happened
    """A fault's piece of source text is not there, or more than once."""


@dataclass(frozen=True)
class Fault:
    """One thing done wrong.

    Attributes:
        name: What it is called.
        breaks: The promise that it breaks.
        edits: Pieces of source text, and what stands there instead.
    """

    name: str
    breaks: str
    edits: tuple[tuple[str, str], ...]

    def plant(self, package: Path) -> None:
        """Change the sources in *package*.

        Raises:
            NotPlanted: A piece is not there exactly once.
        """
        for old, new in self.edits:
            files = [one for one in sorted(package.rglob("*.py")) if old in one.read_text()]
            count = sum(one.read_text().count(old) for one in files)
            if count != 1:
                raise NotPlanted(f"{self.name}: {count} places have {old!r}, not one")
            files[0].write_text(files[0].read_text().replace(old, new))
