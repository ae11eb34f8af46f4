"""Decoders of `Enum[...]` and `Flags[...]`: values chosen from a list of options.

Options are told apart by value *and* kind: the service keeps `1` and `true` apart and takes `1.0`
for `1`, while a Python dict takes all three for one key.
"""

from __future__ import annotations

from enum import Enum, Flag
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from typing_extensions import override

from heksher.settings.type_strings import EnumType, FlagsType
from heksher.settings.values import (
    Coercion,
    Decoder,
    Rejected,
    check_text,
    json_text,
    kind_of,
    with_article,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from heksher.settings.values import Json

PRIMITIVES = (int, float, str, bool)


class EnumDecoder(Decoder):
    """One of several options, each a raw JSON primitive that stands for a Python value.

    Args:
        options: Pairs of a raw option and the value that it is read as.
        python: What a default has to be, in words.
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
            raise Rejected("its members cannot be hashed: leave __eq__ and __hash__ out") from None

    @property
    def raw_options(self) -> list[Json]:
        """The options in the order of the type string."""
        return sorted(self._raw_of.values(), key=json_text)

    @override
    def decode(self, raw: Json, coercions: list[Coercion]) -> Any:
        values: dict[Any, Any] = self._of_bool if isinstance(raw, bool) else self._of_other
        if isinstance(raw, PRIMITIVES) and raw in values:
            return values[raw]
        raise Rejected(f"{kind_of(raw)} that is none of the options")

    @override
    def encode(self, value: Any) -> Json:
        try:
            return self._raw_of[type(value), value]
        except (KeyError, TypeError):
            raise Rejected(f"{type(value).__name__} that is not {self.python}") from None


_enum_decoders: Final[WeakValueDictionary[int, EnumDecoder]] = WeakValueDictionary()
"""By the `id` of the class, which the decoder keeps alive with its members."""


def enum_decoder(enum: type[Enum]) -> EnumDecoder:
    """Return the decoder of *enum*, which all settings of this very class share.

    Raises:
        Rejected: It has no members, or one whose value is no JSON primitive.
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
        # Iterating gives the single bits; names of combinations and of zero say nothing new.
        self._members = {str(member.name): member for member in flags}
        if not self._members:
            raise Rejected(f"{flags.__name__} has no member of a single bit: give it at least one")
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
            raise Rejected(f"{type(value).__name__} is not {self.python}")
        names = [name for name, member in self._members.items() if member & value]
        if self.decode(names, []) != value:
            raise Rejected(
                f"the value has bits that no member of {self._flags.__name__} has alone: give each"
                " bit a member of its own"
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
            f"a {accepts[0].__name__} of which each is {option.python}",
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
            raise Rejected(f"{type(value).__name__} is not {self.python}")
        return sorted((self._option.encode(item) for item in value), key=json_text)


def _known_options(raw: Json, find: Callable[[Json], Any], coercions: list[Coercion]) -> list[Any]:
    if type(raw) is not list:
        raise Rejected(f"{kind_of(raw)} is no list of flags")
    known = []
    for place, item in enumerate(raw):
        value = find(item)
        if value is None:
            coercions.append(
                Coercion(f"$[{place}]", f"{kind_of(item)} that is none of the options")
            )
        else:
            known.append(value)
    return known


def enum_options(enum: type[Enum]) -> list[tuple[Json, Enum]]:
    """Return the options of an Enum class: each member's value, and the member.

    Raises:
        Rejected: It has no members, or one whose value is no JSON primitive.
    """
    options = [(member.value, member) for member in enum]
    if not options:
        raise Rejected(f"{enum.__name__} has no members: give it at least one")
    for value, member in options:
        _check_primitive(value, f"member {enum.__name__}.{member.name}")
    return options


def literal_options(literals: Iterable[Any]) -> list[tuple[Json, Any]]:
    """Return the options of a `Literal[...]`: each one's raw value, and the option itself.

    Raises:
        Rejected: One is no JSON primitive.
    """
    options = []
    for literal in literals:
        raw = literal.value if isinstance(literal, Enum) else literal
        _check_primitive(raw, f"option {literal!r}")
        options.append((raw, literal))
    return options


def _check_primitive(raw: object, what: str) -> None:
    if type(raw) not in PRIMITIVES:
        raise Rejected(f"{what} is no int, float, str or bool")


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
            raise Rejected(
                f"the options {first!r} and {raw!r} are one and the same to Python or to the"
                " service: keep one of them"
            )
        seen[raw] = raw
