"""heksher-py's explicit types: `HeksherEnum`, `HeksherFlags`, `HeksherSequence`, `HeksherMapping`.

Annotations are shorter; these are for code that builds types at run time.
"""

from __future__ import annotations

import collections.abc
from collections.abc import Callable
from enum import Enum, Flag
from typing import Any, TypeVar

from heksher.exceptions import InvalidSettingType
from heksher.settings.types.annotations import decoder_of
from heksher.settings.types.containers import MappingDecoder, SequenceDecoder
from heksher.settings.types.custom import Conversion, SettingType
from heksher.settings.types.decoder import Coercion, Decoder, Rejected
from heksher.settings.types.options import FlagDecoder, enum_decoder

T = TypeVar("T")
E = TypeVar("E", bound=Enum)
F = TypeVar("F", bound=Flag)


class _DecodedType(SettingType[T]):
    """An explicit type that uses the decoder of an annotation."""

    def __init__(self, make_decoder: Callable[[], Decoder]) -> None:
        try:
            self._decoder = make_decoder()
        except Rejected as rejected:
            raise InvalidSettingType(f"{type(self).__name__}: {rejected.reason}") from None

    def heksher_string(self) -> str:
        """Return the type string."""
        return str(self._decoder.type)

    def convert_from_heksher(self, x: Any) -> Conversion[T]:
        """Return the read-only value of the raw JSON *x*.

        Raises:
            TypeError: *x* does not fit.
        """
        coercions: list[Coercion] = []
        try:
            value = self._decoder.decode(x, coercions)
        except Rejected as rejected:
            raise TypeError(str(rejected)) from None
        return Conversion(value, [str(one) for one in coercions])

    def convert_to_heksher(self, x: T) -> Any:
        """Return the raw JSON of *x*.

        Raises:
            TypeError: *x* is not a value of this type.
        """
        try:
            return self._decoder.encode(x)
        except Rejected as rejected:
            raise TypeError(str(rejected)) from None

    def decoder(self) -> Decoder:
        """Return the decoder of this type, for internal use."""
        return self._decoder


class HeksherEnum(_DecodedType[E]):
    """`Enum[...]` of the values of an `Enum` class, read as its members.

    Raises:
        InvalidSettingType: It is not an `Enum` class, has no members, or a member's value is not an
            int, float, str or bool.
    """

    def __init__(self, enum_type: type[E]) -> None:
        super().__init__(lambda: enum_decoder(_subclass(enum_type, Enum)))


class HeksherFlags(_DecodedType[F]):
    """`Flags[...]` of the member names of a `Flag` class, read as one flag value.

    Raises:
        InvalidSettingType: It is not a `Flag` class, or has no members.
    """

    def __init__(self, flags_type: type[F]) -> None:
        super().__init__(lambda: FlagDecoder(_subclass(flags_type, Flag)))


class HeksherSequence(_DecodedType[tuple[Any, ...]]):
    """`Sequence<T>`, read as a tuple.

    Raises:
        InvalidSettingType: *inner* has no Heksher type.
    """

    def __init__(self, inner: Any) -> None:
        super().__init__(lambda: SequenceDecoder(decoder_of(inner), tuple, accepts=(tuple, list)))


class HeksherMapping(_DecodedType[collections.abc.Mapping[str, Any]]):
    """`Mapping<T>`, read as a read-only dict with string keys.

    Raises:
        InvalidSettingType: *inner* has no Heksher type.
    """

    def __init__(self, inner: Any) -> None:
        super().__init__(
            lambda: MappingDecoder(decoder_of(inner), accepts=(collections.abc.Mapping,))
        )


def _subclass(given: Any, kind: type[Enum]) -> Any:
    """Return *given* if it is a subclass of *kind*.

    Raises:
        Rejected: It is not.
    """
    if not (isinstance(given, type) and issubclass(given, kind)):
        raise Rejected(f"expected a subclass of {kind.__name__}, got {given!r}")
    return given
