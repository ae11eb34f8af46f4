"""JSON as the service reads and writes it, and values that it cannot store."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

from heksher.settings.types.type_strings import MAX_INT, MIN_INT, fits_utf8

if TYPE_CHECKING:
    from heksher.settings.types.type_strings import Json

MAX_DEPTH: Final = 256
"""How deeply arrays and objects may be nested in a request."""


def dumps(value: Json) -> str:
    """Return the compact JSON text of *value*; numbers without JSON form become `null`."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"))


def loads(text: str) -> Any:
    """Return the value of a JSON text that this module wrote."""
    return json.loads(text)


def fault(value: object) -> str | None:
    """Return why *value* cannot be stored, or nothing if it can.

    It cannot if an integer takes more than 64 bits, a text has a lone surrogate, or arrays and
    objects are nested deeper than `MAX_DEPTH`.
    """
    level: list[object] = [value]
    for _ in range(MAX_DEPTH + 1):
        if not level:
            return None
        for item in level:
            if found := _own_fault(item):
                return found
        level = [inner for item in level for inner in _contents(item)]
    return f"nested deeper than {MAX_DEPTH} levels" if level else None


def _own_fault(item: object) -> str | None:
    if isinstance(item, int) and not MIN_INT <= item <= MAX_INT:
        return "an integer does not fit into 64 bits"
    if isinstance(item, str) and not fits_utf8(item):
        return "a text has half of a surrogate pair"
    return None


def _contents(item: object) -> list[object]:
    if isinstance(item, dict):
        return [*item.keys(), *item.values()]
    return item if isinstance(item, list) else []


def _finite(value: Json) -> Json:
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
