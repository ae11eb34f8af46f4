"""Comparisons that distinguish what `==` does not: types, signed zeros, digits, time zones."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import datetime, time
from enum import Enum
from typing import Any, Final

from pydantic import BaseModel

_EXACT: Final = frozenset({int, str, bool})
"""Types whose equal values are indistinguishable."""


def identical(left: Any, right: Any) -> bool:
    """Return whether two values have the same types and are indistinguishable, at any depth.

    `1`, `1.0` and `True` differ here, and so do `0.0` and `-0.0`, `Decimal("1.0")` and
    `Decimal("1.00")`, or the same time in two time zones. Values of a user's class whose comparison
    raises, or does not return a boolean, differ.
    """
    try:
        return _identical(left, right)
    except Exception:  # noqa: BLE001  # a user's class may raise anything
        return False


def _identical(left: Any, right: Any) -> bool:
    if left is right:
        return True
    kind = type(left)
    if kind is not type(right):
        return False
    if kind in _EXACT:
        return bool(left == right)
    if kind is float:
        # Zeros have signs, and NaN does not equal itself.
        return (left == right and left != 0.0) or repr(left) == repr(right)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(_identical, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(
            map(_identical, left.values(), map(right.__getitem__, left))
        )
    if isinstance(left, (set, frozenset)):
        return len(left) == len(right) and bool(content_of(left) == content_of(right))
    names = _field_names(left)
    if names is not None:
        return all(_identical(getattr(left, name), getattr(right, name)) for name in names)
    return bool(left == right) and _shown(left) == _shown(right)


def content_of(value: Any) -> Any:
    """Return a hashable key that is equal for `identical` values, and only for those.

    Raises:
        TypeError: The value contains something that is not hashable.
    """
    kind = type(value)
    if kind in _EXACT or isinstance(value, Enum):
        return kind, value
    if isinstance(value, (list, tuple)):
        return kind, tuple([content_of(item) for item in value])
    if isinstance(value, dict):
        return kind, frozenset([(content_of(key), content_of(one)) for key, one in value.items()])
    if isinstance(value, (set, frozenset)):
        return kind, frozenset([content_of(item) for item in value])
    names = _field_names(value)
    if names is not None:
        return kind, tuple([content_of(getattr(value, name)) for name in names])
    hash(value)
    return kind, value, _shown(value)


def _field_names(value: Any) -> list[str] | None:
    """Return the fields of a record, without attributes that are computed from them."""
    if isinstance(value, BaseModel):
        return list(type(value).model_fields)
    if is_dataclass(value) and not isinstance(value, type):
        return [field.name for field in fields(value)]
    return None


def _shown(value: Any) -> str:
    # The default `repr` of an object is its address, which is not part of its value.
    if isinstance(value, (datetime, time)):
        # The offset counts, not the class of the time zone.
        return value.isoformat()
    kind: Any = type(value)
    return "" if kind.__repr__ is object.__repr__ else repr(value)
