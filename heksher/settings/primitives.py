"""Decoders of `int`, `float`, `str` and `bool`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from heksher.settings.type_strings import PrimitiveType
from heksher.settings.values import (
    Coercion,
    Decoder,
    Rejected,
    check_float,
    check_int,
    check_text,
    kind_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heksher.settings.values import Json


class IntDecoder(Decoder):
    """`int`: numbers without a fraction; `3.0` is one (the service says so), `true` is none."""

    __slots__ = ()

    plain = frozenset([int])

    def __init__(self) -> None:
        super().__init__(PrimitiveType("int"), "an int")

    @override
    def decode(self, raw: Json, coercions: list[Coercion]) -> int:
        if type(raw) is int:
            return raw
        if type(raw) is float and raw.is_integer():
            return int(raw)
        raise Rejected(f"{kind_of(raw)} is no int")

    @override
    def encode(self, value: Any) -> int:
        return check_int(value)


class FloatDecoder(Decoder):
    """`float`: every finite number, always read as a float."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(PrimitiveType("float"), "a float")

    @override
    def decode(self, raw: Json, coercions: list[Coercion]) -> float:
        if type(raw) is float:
            if math.isfinite(raw):
                return raw
        elif type(raw) is int:
            try:
                return float(raw)
            except OverflowError:
                raise Rejected("the number is too large for a float") from None
        raise Rejected(f"{kind_of(raw)} is no finite float")

    @override
    def encode(self, value: Any) -> float:
        return check_float(value)


class StrDecoder(Decoder):
    """`str`, as it is."""

    __slots__ = ()

    plain = frozenset([str])

    def __init__(self) -> None:
        super().__init__(PrimitiveType("str"), "a str")

    @override
    def decode(self, raw: Json, coercions: list[Coercion]) -> str:
        if type(raw) is str:
            return raw
        raise Rejected(f"{kind_of(raw)} is no str")

    @override
    def encode(self, value: Any) -> str:
        if not isinstance(value, str):
            raise Rejected(f"{type(value).__name__} is no str")
        return check_text(str.__str__(value))


class BoolDecoder(Decoder):
    """`bool`: `true` and `false`, never a number."""

    __slots__ = ()

    plain = frozenset([bool])

    def __init__(self) -> None:
        super().__init__(PrimitiveType("bool"), "a bool")

    @override
    def decode(self, raw: Json, coercions: list[Coercion]) -> bool:
        if raw is True or raw is False:
            return raw
        raise Rejected(f"{kind_of(raw)} is no bool")

    @override
    def encode(self, value: Any) -> bool:
        if value is True or value is False:
            return value
        raise Rejected(f"{type(value).__name__} is no bool")


PRIMITIVES: Final[Mapping[type, Decoder]] = {
    int: IntDecoder(),
    float: FloatDecoder(),
    str: StrDecoder(),
    bool: BoolDecoder(),
}
"""The decoder of each primitive type, which all settings share."""
