"""Decoders of `Sequence<T>` and `Mapping<T>`: lists, tuples, sets and mappings."""

from __future__ import annotations

import collections.abc
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from heksher.settings.types.decoder import (
    Coercion,
    Decoder,
    Rejected,
    check_text,
    encode_at,
    json_text,
    key_step,
    kind_of,
    salvage,
    type_name,
    with_article,
)
from heksher.settings.types.primitives import PRIMITIVES
from heksher.settings.types.read_only import FrozenDict, FrozenList, FrozenSet, frozen_dict
from heksher.settings.types.type_strings import MappingType, SequenceType

if TYPE_CHECKING:
    from collections.abc import Callable

    from heksher.settings.types.decoder import Json
    from heksher.settings.types.json_schema import Schema

SEQUENCES: Final[dict[Any, tuple[Any, tuple[type, ...]]]] = {
    list: (FrozenList, (list,)),
    collections.abc.MutableSequence: (FrozenList, (list,)),
    tuple: (tuple, (tuple,)),
    collections.abc.Sequence: (tuple, (tuple, list)),
    collections.abc.Collection: (tuple, (tuple, list)),
    collections.abc.Iterable: (tuple, (tuple, list)),
}
"""What each sequence type is read as, and which types its default may have."""

SETS: Final[dict[Any, tuple[Any, tuple[type, ...]]]] = {
    set: (FrozenSet, (set,)),
    collections.abc.MutableSet: (FrozenSet, (set,)),
    frozenset: (frozenset, (frozenset,)),
    collections.abc.Set: (frozenset, (frozenset, set)),
}

MAPPINGS: Final = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


class SequenceDecoder(Decoder):
    """`Sequence<T>`, read as the container that *make* returns.

    Args:
        element: The decoder of each element.
        make: Returns a new read-only container of a list of decoded elements.
        accepts: The types that a default may have.
        unordered: Whether the container is a set, which is sent sorted: the same from all processes.
    """

    __slots__ = ("_accepts", "_element", "_make", "_plain", "_unordered")

    def __init__(
        self,
        element: Decoder,
        make: Callable[[list[Any]], Any],
        *,
        accepts: tuple[type[Any], ...],
        unordered: bool = False,
    ) -> None:
        super().__init__(
            SequenceType(element.type),
            with_article(accepts[0].__name__),
            in_parts=True,
        )
        self._element = element
        self._plain = element.plain
        self._make = make
        self._accepts = accepts
        self._unordered = unordered

    @override
    def decode(self, raw: Json, coercions: list[Coercion]) -> Any:
        if type(raw) is not list:
            raise Rejected(f"must be a list, not {kind_of(raw)}")
        if self._plain and self._plain.issuperset(map(type, raw)):
            return self._make(raw)
        if self._element.in_parts:
            return self._make(self._salvaged(raw, coercions))
        decode = self._element.decode
        try:
            items = [decode(item, coercions) for item in raw]
        except Rejected:
            items = self._salvaged(raw, coercions)
        return self._make(items)

    def _salvaged(self, raw: list[Json], coercions: list[Coercion]) -> list[Any]:
        return [
            item for _, item in salvage(self._element, enumerate(raw), "[{}]".format, coercions)
        ]

    @override
    def encode(self, value: Any) -> list[Json]:
        if not isinstance(value, self._accepts):
            raise Rejected(f"must be {self.python}, not {type_name(value)}")
        encoded: list[Json] = [
            encode_at(self._element, f"[{i}]", item) for i, item in enumerate(value)
        ]
        if self._unordered:
            encoded.sort(key=json_text)
        return encoded

    @override
    def conform(self, value: Any) -> Any:
        self.encode(value)
        return self._make([self._element.conform(item) for item in value])

    @override
    def json_schema(self) -> Schema:
        return {**super().json_schema(), "items": self._element.json_schema()}


class MappingDecoder(Decoder):
    """`Mapping<T>`, read as a read-only dict with string keys."""

    __slots__ = ("_accepts", "_element", "_plain")

    def __init__(self, element: Decoder, *, accepts: tuple[type[Any], ...]) -> None:
        super().__init__(
            MappingType(element.type),
            with_article(accepts[0].__name__),
            in_parts=True,
        )
        self._element = element
        self._plain = element.plain
        self._accepts = accepts

    @override
    def decode(self, raw: Json, coercions: list[Coercion]) -> FrozenDict[str, Any]:
        if type(raw) is not dict:
            raise Rejected(f"must be an object, not {kind_of(raw)}")
        if self._plain and self._plain.issuperset(map(type, raw.values())):
            return frozen_dict(raw)
        if self._element.in_parts:
            return self._salvaged(raw, coercions)
        decode = self._element.decode
        try:
            return frozen_dict({key: decode(item, coercions) for key, item in raw.items()})
        except Rejected:
            return self._salvaged(raw, coercions)

    def _salvaged(self, raw: dict[str, Json], coercions: list[Coercion]) -> FrozenDict[str, Any]:
        return FrozenDict(salvage(self._element, raw.items(), key_step, coercions))

    @override
    def encode(self, value: Any) -> dict[str, Json]:
        if not isinstance(value, self._accepts):
            raise Rejected(f"must be {self.python}, not {type_name(value)}")
        encoded: dict[str, Json] = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise Rejected(f"must have str keys, not {type_name(key)}")
            encoded[check_text(str.__str__(key))] = encode_at(self._element, key_step(key), item)
        return encoded

    @override
    def conform(self, value: Any) -> FrozenDict[str, Any]:
        self.encode(value)
        return FrozenDict(
            {str.__str__(key): self._element.conform(item) for key, item in value.items()}
        )

    @override
    def json_schema(self) -> Schema:
        return {**super().json_schema(), "additionalProperties": self._element.json_schema()}


def sequence_decoder(origin: Any, element: Decoder) -> Decoder:
    """Return the decoder of a sequence type, one of `SEQUENCES`."""
    return _shared_if_primitive(_sequence_decoder, origin, element)


def mapping_decoder(origin: Any, element: Decoder) -> Decoder:
    """Return the decoder of a mapping type, one of `MAPPINGS`, whose values *element* decodes."""
    return _shared_if_primitive(_mapping_decoder, origin, element)


def set_decoder(origin: Any, element: Decoder) -> Decoder:
    """Return the decoder of a set type, one of `SETS`.

    Raises:
        Rejected: The elements are not hashable.
    """
    empty: tuple[Json, ...] = ([], {})
    for raw in empty:
        try:
            hash(element.decode(raw, []))
        except TypeError:
            raise Rejected("a set needs hashable elements: use list[...] instead") from None
        except Rejected:
            continue
    make, accepts = SETS[origin]
    return SequenceDecoder(element, _hashable(make), accepts=accepts, unordered=True)


def _sequence_decoder(origin: Any, element: Decoder) -> Decoder:
    make, accepts = SEQUENCES[origin]
    return SequenceDecoder(element, make, accepts=accepts)


def _mapping_decoder(origin: Any, element: Decoder) -> Decoder:
    accepts = (dict,) if origin is not collections.abc.Mapping else (collections.abc.Mapping,)
    return MappingDecoder(element, accepts=accepts)


def _shared_if_primitive(
    make: Callable[[Any, Decoder], Decoder], origin: Any, element: Decoder
) -> Decoder:
    """Return the decoder of a container; all settings share those of primitives."""
    if element in PRIMITIVES.values():
        return _shared(make, origin, element)
    return make(origin, element)


@lru_cache(maxsize=64)
def _shared(make: Callable[[Any, Decoder], Decoder], origin: Any, element: Decoder) -> Decoder:
    return make(origin, element)


def _hashable(make: Any) -> Any:
    """Return *make* for elements that pydantic or a user's type may make unhashable."""

    def make_set(items: list[Any]) -> Any:
        try:
            return make(items)
        except TypeError:
            raise Rejected("must have hashable elements") from None

    return make_set
