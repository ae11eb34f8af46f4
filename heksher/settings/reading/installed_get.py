"""Give a declared setting its `get`; `reading` generates the source of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from heksher.settings.context import ABSENT
from heksher.settings.observing import read_observed
from heksher.settings.reading.generated_get import execute, reader_code, unexpected_argument
from heksher.settings.reading.state import fill_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from heksher.settings.declaration import Declaration


def make_get(declaration: Declaration) -> Any:
    """Return the `get` of a declared setting."""
    registry, features = declaration.registry, declaration.configurable_features
    make = registry.readers.get(features)
    if make is None:
        names = {
            "øregistry": registry,
            "øfill": fill_in,
            "øaside": _aside,
            "øunexpected": unexpected_argument,
        }
        # One for all threads.
        make = registry.readers.setdefault(features, execute(reader_code(features), names))
    qualname = f"Setting({declaration.name!r}).get"
    get = make(declaration, declaration.place, qualname)
    # The same for all, and a dict: one is enough.
    get.__kwdefaults__ = vars(make).setdefault("shared", get.__kwdefaults__)
    get.__name__ = "get"
    get.__qualname__ = qualname
    get.__doc__ = f"Return the value of setting {declaration.name!r} for a context."
    return get


def _aside(declaration: Declaration) -> Callable[..., Any]:
    """Return what reads a setting that is observed, or later than the state that is pinned."""
    return partial(_read_aside, declaration)


def _read_aside(declaration: Declaration, *values: Any) -> Any:
    named = zip(declaration.configurable_features, values, strict=True)
    given = {name: value for name, value in named if value is not ABSENT}
    return read_observed(declaration, given).value
