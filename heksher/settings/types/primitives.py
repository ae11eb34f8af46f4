"""Decoders of `int`, `float`, `str` and `bool`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Final

from typing_extensions import override

from heksher.settings.types.decoder import (
    Coercion,
    Decoder,
    Rejected,
    check_float,
    check_int,
    check_text,
    kind_of,
    type_name,
)
from heksher.settings.types.type_strings import PrimitiveType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heksher.settings.types.decoder import Json


class IntDecoder(Decoder):
    """`int`: numbers without a fraction; the service accepts `3.0`, but not `true`."""

    __slots__ = ()

    plain: ClassVar[frozenset[type]] = frozenset([int])

    def __init__(self) -> None:
        super().__init__(PrimitiveType("int"), "an int")

    @override
    def decode(self, raw: Json, coercions: list[Coercion]) -> int:
        if type(raw) is int:
            return raw
        if type(raw) is float and raw.is_integer():
            return int(raw)
        raise Rejected(f"must be an int, not {kind_of(raw)}")

    @override
    def encode(self, value: Any) -> int:
        return check_int(value)


class FloatDecoder(Decoder):
    """`float`: any finite number, always read as a float."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(PrimitiveType("float"), "a float")

    @override
    def decode(self, raw: Json, coercions: list[Coercion]) -> float:
        if type(raw) is float and math.isfinite(raw):
            return raw
        if type(raw) in (int, float):
            return check_float(raw)
        raise Rejected(f"must be a float, not {kind_of(raw)}")

    @override
    def encode(self, value: Any) -> float:
        return check_float(value)


class StrDecoder(Decoder):
    """`str`, unchanged."""

    __slots__ = ()

    plain: ClassVar[frozenset[type]] = frozenset([str])

    def __init__(self) -> None:
        super().__init__(PrimitiveType("str"), "a str")

    @override
    def decode(self, raw: Json, coercions: list[Coercion]) -> str:
        if type(raw) is str:
            return raw
        raise Rejected(f"must be a str, not {kind_of(raw)}")

    @override
    def encode(self, value: Any) -> str:
        if not isinstance(value, str):
            raise Rejected(f"must be a str, not {type_name(value)}")
        return check_text(str.__str__(value))


class BoolDecoder(Decoder):
    """`bool`: `true` and `false`, never a number."""

    __slots__ = ()

    plain: ClassVar[frozenset[type]] = frozenset([bool])

    def __init__(self) -> None:
        super().__init__(PrimitiveType("bool"), "a bool")

    @override
    def decode(self, raw: Json, coercions: list[Coercion]) -> bool:
        if raw is True or raw is False:
            return raw
        raise Rejected(f"must be a bool, not {kind_of(raw)}")

    @override
    def encode(self, value: Any) -> bool:
        if value is True or value is False:
            return value
        raise Rejected(f"must be a bool, not {type_name(value)}")


PRIMITIVES: Final[Mapping[type, Decoder]] = {
    int: IntDecoder(),
    float: FloatDecoder(),
    str: StrDecoder(),
    bool: BoolDecoder(),
}
"""The decoder of each primitive type, which all settings share."""
