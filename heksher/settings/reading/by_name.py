"""What pickles of settings refer to: each setting, and each `get`, by its name.

Python pickles a function by its module and `__qualname__`, and looks that up piece by piece, split
at dots. A setting's `get` is called `Setting('cache.ttl').get` and says that it is of this module,
which finds it under that name, in this process and in the one that reads the pickle.
"""

from __future__ import annotations

from typing import Any, Final

from heksher.settings.registry import DEFAULT

_PREFIX: Final = "Setting('"


def setting_of(name: str) -> Any:
    """Return the living setting of that name in the registry of the process.

    Raises:
        UnknownSetting: There is none.
    """
    return DEFAULT.find(name).setting


class _Part:
    """The first pieces of the `__qualname__` of a `get`."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __getattr__(self, piece: str) -> Any:
        if piece.startswith("__"):
            raise AttributeError(piece)
        name = self._text.removeprefix(_PREFIX).removesuffix("')")
        if piece == "get" and self._text == f"{_PREFIX}{name}')":
            return setting_of(name).get
        return _Part(f"{self._text}.{piece}")


def __getattr__(name: str) -> Any:
    if name.startswith(_PREFIX):
        return _Part(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
