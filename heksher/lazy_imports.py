"""Names of a module that are imported when somebody first asks for them."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


def imported_late(
    namespace: dict[str, Any], homes: Mapping[str, Iterable[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and `__dir__` of a module that imports some of its names late.

    A name is put into the module when it is first asked for, so that it costs nothing after that.
    Threads may ask for the same one at the same time. Type checkers are to be shown real imports
    instead: with a `__getattr__`, every misspelled name would be one of the module for them.

    Args:
        namespace: The module's `globals()`.
        homes: The names that each module gives, by the module's full name.
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def get(name: str) -> Any:
        module = namespace["__name__"]
        if name not in home_of:
            raise AttributeError(
                f"module {module!r} has no attribute {name!r}", name=name, obj=sys.modules[module]
            )
        namespace[name] = found = getattr(import_module(home_of[name]), name)
        return found

    def names() -> list[str]:
        return sorted({*namespace, *home_of})

    return get, names
