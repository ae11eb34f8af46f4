"""Decoders of `Enum[...]` and `Flags[...]`: values from a list of options.

Options are distinguished by value *and* type. To the service, `1` equals `1.0` but not `true`; as
keys of a Python dict, all three are equal.
"""

from __future__ import annotations

from enum import Enum, Flag
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from typing_extensions import override

from heksher.settings.types.decoder import (
    Coercion,
    Decoder,
    Rejected,
    check_text,
    json_text,
    kind_of,
    type_name,
    with_article,
)
from heksher.settings.types.type_strings import EnumType, FlagsType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from heksher.settings.types.decoder import Json

PRIMITIVES = (int, float, str, bool)


class EnumDecoder(Decoder):
    """One of several options, each a raw JSON primitive that stands for a Python value.

    Args:
        options: Pairs of a raw option and the value that it is read as.
        python: The Python type with its article, for error messages.
    """

    __slots__ = ("__weakref__", "_of_bool", "_of_other", "_raw_of")

    def __init__(self, options: Sequence[tuple[Json, Any]], python: str) -> None:
        _check_distinct([raw for raw, _ in options])
        super().__init__(_enum_type([raw for raw, _ in options]), python)
        self._of_bool = {raw: value for raw, value in options if isinstance(raw, bool)}
        self._of_other = {raw: value for raw, value in options if not isinstance(raw, bool)}
        try:
            self._raw_of = {(type(value), value): raw for raw, value in options}
        except TypeError:
            raise Rejected("its members must be hashable: remove __eq__ and __hash__") from None

    @property
    def raw_options(self) -> list[Json]:
        """The options in the order of the type string."""
        return sorted(self._raw_of.values(), key=json_text)

    @override
    def decode(self, raw: Json, coercions: list[Coercion]) -> Any:
        values: dict[Any, Any] = self._of_bool if isinstance(raw, bool) else self._of_other
        if isinstance(raw, PRIMITIVES) and raw in values:
            return values[raw]
        raise self._no_option(kind_of(raw), {kind_of(option) for option in self.raw_options})

    @override
    def encode(self, value: Any) -> Json:
        try:
            return self._raw_of[type(value), value]
        except (KeyError, TypeError):
            kinds = {kind.__name__ for kind, _ in self._raw_of}
            raise self._no_option(type_name(value), kinds) from None

    def _no_option(self, kind: str, kinds: set[str]) -> Rejected:
        return Rejected(f"must be {self.python}, not {'another ' if kind in kinds else ''}{kind}")


_enum_decoders: Final[WeakValueDictionary[int, EnumDecoder]] = WeakValueDictionary()
"""By the `id` of the class, which its decoder keeps alive."""


def enum_decoder(enum: type[Enum]) -> EnumDecoder:
    """Return the decoder of *enum*, which all settings of this very class share.

    Raises:
        Rejected: It has no members, or one whose value is not a JSON primitive.
    """
    decoder = _enum_decoders.get(id(enum))
    if decoder is None:
        decoder = EnumDecoder(enum_options(enum), f"a member of {enum.__name__}")
        _enum_decoders[id(enum)] = decoder
    return decoder


class FlagDecoder(Decoder):
    """`Flags[...]` of the member names of a `Flag` class, read as one flag value."""

    __slots__ = ("_flags", "_members")

    def __init__(self, flags: type[Flag]) -> None:
        # Iteration yields the single bits, without combinations and zero.
        self._members = {str(member.name): member for member in flags}
        if not self._members:
            raise Rejected(f"{flags.__name__} needs at least one member with a single bit")
        super().__init__(FlagsType.of(self._members), with_article(flags.__name__), in_parts=True)
        self._flags = flags

    @override
    def decode(self, raw: Json, coercions: list[Coercion]) -> Flag:
        value = self._flags(0)
        for member in _known_options(raw, self._member, coercions):
            value |= member
        return value

    def _member(self, raw: Json) -> Flag | None:
        return self._members.get(raw) if isinstance(raw, str) else None

    @override
    def encode(self, value: Any) -> list[str]:
        if not isinstance(value, self._flags):
            raise Rejected(f"must be {self.python}, not {type_name(value)}")
        names = [name for name, member in self._members.items() if member & value]
        if self.decode(names, []) != value:
            raise Rejected(
                f"must only have bits that are members of {self._flags.__name__}: give each bit a"
                " member of its own"
            )
        return sorted(names, key=json_text)


class OptionSetDecoder(Decoder):
    """`Flags[...]` of the options of an `Enum` or `Literal`, read as a read-only set."""

    __slots__ = ("_accepts", "_make", "_option")

    def __init__(
        self,
        option: EnumDecoder,
        make: Callable[[Iterable[Any]], Any],
        *,
        accepts: tuple[type[Any], ...],
    ) -> None:
        super().__init__(
            FlagsType.of(option.raw_options),
            with_article(accepts[0].__name__),
            in_parts=True,
        )
        self._option = option
        self._make = make
        self._accepts = accepts

    @override
    def decode(self, raw: Json, coercions: list[Coercion]) -> Any:
        return self._make(_known_options(raw, self._value, coercions))

    def _value(self, raw: Json) -> Any:
        try:
            return self._option.decode(raw, [])
        except Rejected:
            return None

    @override
    def encode(self, value: Any) -> list[Json]:
        if not isinstance(value, self._accepts):
            raise Rejected(f"must be {self.python}, not {type_name(value)}")
        try:
            return sorted([self._option.encode(item) for item in value], key=json_text)
        except Rejected as rejected:
            raise Rejected(f"each element {rejected.reason}") from None


def _known_options(raw: Json, find: Callable[[Json], Any], coercions: list[Coercion]) -> list[Any]:
    if type(raw) is not list:
        raise Rejected(f"must be a list of flags, not {kind_of(raw)}")
    known = []
    for place, item in enumerate(raw):
        value = find(item)
        if value is None:
            coercions.append(Coercion(f"$[{place}]", f"unknown option of type {kind_of(item)}"))
        else:
            known.append(value)
    return known


def enum_options(enum: type[Enum]) -> list[tuple[Json, Enum]]:
    """Return the options of an Enum class: each member's value, and the member.

    Raises:
        Rejected: It has no members, or one whose value is not a JSON primitive.
    """
    options = [(member.value, member) for member in enum]
    if not options:
        raise Rejected(f"{enum.__name__} needs at least one member")
    for value, member in options:
        _check_primitive(value, f"member {enum.__name__}.{member.name}")
    return options


def literal_options(literals: Iterable[Any]) -> list[tuple[Json, Any]]:
    """Return the options of a `Literal[...]`: each one's raw value, and the option itself.

    Raises:
        Rejected: One is not a JSON primitive.
    """
    options = []
    for literal in literals:
        raw = literal.value if isinstance(literal, Enum) else literal
        _check_primitive(raw, f"option {literal!r}")
        options.append((raw, literal))
    return options


def _check_primitive(raw: object, what: str) -> None:
    if type(raw) not in PRIMITIVES:
        raise Rejected(f"{what} must be an int, float, str or bool, not {type_name(raw)}")


def _enum_type(raw_options: Sequence[Json]) -> EnumType:
    for raw in raw_options:
        if isinstance(raw, str):
            check_text(raw)
    try:
        return EnumType.of(raw_options)
    except ValueError as error:
        raise Rejected(str(error)) from None


def _check_distinct(raw_options: Sequence[Json]) -> None:
    seen: dict[Json, Json] = {}
    for raw in raw_options:
        if raw in seen:
            first = seen[raw]
            raise Rejected(f"options {first!r} and {raw!r} are equal: keep only one")
        seen[raw] = raw
