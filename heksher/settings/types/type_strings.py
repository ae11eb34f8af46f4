"""The language of Heksher's type strings, such as `Sequence<Enum["a","b"]>`.

`parse` reads a type string as the service does, and `str()` of a type returns it as the service
writes it: without blanks, options sorted by their JSON text, non-ASCII characters escaped. Types are
immutable, hashable, and equal if the service regards them as equal: `Enum[1]` equals `Enum[1.0]`, but
not `Enum[true]`, although in Python `1 == True`.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""A JSON value as Python reads it."""

Option: TypeAlias = "bool | int | float | str"
"""One option of an `Enum` or `Flags` type."""

PRIMITIVES: Final = ("int", "float", "str", "bool")
"""The names of the four primitive types."""

MIN_INT: Final = -(2**63)
"""The least integer that the service can store."""

MAX_INT: Final = 2**64 - 1
"""The greatest integer that the service can store."""

MAX_NESTING: Final = 200
"""How deeply `Sequence` and `Mapping` may be nested."""

# As elsewhere in the service, one line feed may end the text.
_ENCLOSED: Final = re.compile(r"(Sequence|Mapping)\s*<(.*)>\n?")


@dataclass(frozen=True, slots=True)
class PrimitiveType:
    """One of `int`, `float`, `str` and `bool`.

    Attributes:
        name: The type string.
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in PRIMITIVES:
            raise ValueError(f"expected one of {', '.join(PRIMITIVES)}, got {self.name!r}")

    def __str__(self) -> str:
        return self.name

    def accepts(self, raw: object) -> bool:
        """Return whether the service accepts the JSON value *raw* for this type."""
        match self.name:
            case "int":
                return _fits_integer(raw) or (isinstance(raw, float) and raw.is_integer())
            case "float":
                return _fits_integer(raw) or isinstance(raw, float)
            case "str":
                return isinstance(raw, str) and fits_utf8(raw)
            case _:
                return isinstance(raw, bool)

    def is_subtype_of(self, other: HeksherType) -> bool:
        """Return whether the service regards every value of this type as a value of *other*."""
        if not isinstance(other, PrimitiveType):
            return False
        return self.name == other.name or (self.name, other.name) == ("int", "float")


@dataclass(frozen=True, slots=True)
class _OptionsType:
    """A type with a list of options, sorted and without duplicates.

    Options are duplicates if they are equal in Python and both or neither of them is a boolean; the
    first spelling is kept.
    """

    name: ClassVar[str]
    options: tuple[Option, ...] = field(compare=False)
    _keys: frozenset[Hashable] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        first_spellings: dict[Hashable, Option] = {}
        for option in self.options:
            _check_option(option)
            first_spellings.setdefault(_key(option), option)
        object.__setattr__(self, "options", tuple(sorted(first_spellings.values(), key=json.dumps)))
        object.__setattr__(self, "_keys", frozenset(first_spellings))

    @classmethod
    def of(cls, options: Iterable[Option]) -> Self:
        """Return the type of these options, in any order and with duplicates.

        Raises:
            ValueError: An option is not a JSON primitive that the service can store.
        """
        return cls(tuple(options))

    def __str__(self) -> str:
        return self.name + json.dumps(self.options, separators=(",", ":"))

    def is_subtype_of(self, other: HeksherType) -> bool:
        """Return whether *other* is the same kind of type, and has all options of this one."""
        return type(other) is type(self) and self._keys <= other._keys

    def _has(self, raw: object) -> bool:
        return isinstance(raw, (bool, int, float, str)) and _key(raw) in self._keys


@dataclass(frozen=True, slots=True)
class EnumType(_OptionsType):
    """Exactly one of a list of options.

    Attributes:
        options: The options, merged and sorted by their JSON text.
    """

    name = "Enum"

    def accepts(self, raw: object) -> bool:
        """Return whether *raw* is one of the options (`1.0` is `1`, `true` is not)."""
        return self._has(raw)


@dataclass(frozen=True, slots=True)
class FlagsType(_OptionsType):
    """Any number of a list of options, in any order, each at most once.

    Attributes:
        options: The options, merged and sorted by their JSON text.
    """

    name = "Flags"

    def accepts(self, raw: object) -> bool:
        """Return whether *raw* is a list of options without duplicates.

        Here, unlike among the options of a type, `1`, `1.0` and `true` are duplicates.
        """
        if not isinstance(raw, list) or not all(map(self._has, raw)):
            return False
        return len(set(raw)) == len(raw)


@dataclass(frozen=True, slots=True)
class _ContainerType:
    """A type whose values contain values of one type."""

    name: ClassVar[str]
    element: HeksherType

    def __str__(self) -> str:
        return f"{self.name}<{self.element}>"

    def is_subtype_of(self, other: HeksherType) -> bool:
        """Return whether *other* is the same container, and its elements a supertype of these."""
        return type(other) is type(self) and self.element.is_subtype_of(other.element)


@dataclass(frozen=True, slots=True)
class SequenceType(_ContainerType):
    """A list whose elements all have one type.

    Attributes:
        element: The type of each element.
    """

    name = "Sequence"

    def accepts(self, raw: object) -> bool:
        """Return whether *raw* is a list of accepted elements."""
        return isinstance(raw, list) and all(map(self.element.accepts, raw))


@dataclass(frozen=True, slots=True)
class MappingType(_ContainerType):
    """An object with any keys, whose values all have one type.

    Attributes:
        element: The type of each value.
    """

    name = "Mapping"

    def accepts(self, raw: object) -> bool:
        """Return whether *raw* is an object with accepted values."""
        if not isinstance(raw, dict) or not all(isinstance(k, str) and fits_utf8(k) for k in raw):
            return False
        return all(map(self.element.accepts, raw.values()))


HeksherType: TypeAlias = PrimitiveType | EnumType | FlagsType | SequenceType | MappingType
"""Any type of a setting."""

_Container: TypeAlias = type[SequenceType] | type[MappingType]
_CONTAINERS: Final[dict[str, _Container]] = {"Sequence": SequenceType, "Mapping": MappingType}


@lru_cache(maxsize=256)
def parse(text: str) -> HeksherType:
    """Return the type of a type string.

    Blanks are allowed after `Enum`, `Flags`, `Sequence` and `Mapping`, inside `<>`, and around the
    items of a list of options. Numbers are read as by the service: an integer that does not fit into
    64 bits becomes a float.

    Raises:
        ValueError: The service would reject this text; the message says why.
    """
    containers: list[_Container] = []
    while enclosing := _ENCLOSED.fullmatch(text):
        containers.append(_CONTAINERS[enclosing[1]])
        text = enclosing[2].strip()
        if len(containers) > MAX_NESTING:
            raise ValueError(f"Sequence and Mapping are nested more than {MAX_NESTING} levels deep")
    result: HeksherType = _parse_innermost(text)
    for container in reversed(containers):
        result = container(result)
    return result


def _parse_innermost(text: str) -> PrimitiveType | EnumType | FlagsType:
    if text in PRIMITIVES:
        return PrimitiveType(text)
    if text.startswith("Enum"):
        return EnumType.of(_parse_options(text, text.removeprefix("Enum").lstrip()))
    if text.startswith("Flags"):
        return FlagsType.of(_parse_options(text, text.removeprefix("Flags").lstrip()))
    raise ValueError(f"cannot resolve setting type {text}")


def _parse_options(text: str, options: str) -> list[Any]:
    try:
        parsed = json.loads(
            options, parse_int=_parse_int, parse_float=_parse_float, parse_constant=_refuse_constant
        )
    except RecursionError:
        raise ValueError(f"the options of {text[:50]}... are nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"the options of {text} are not a JSON list: {error}") from error
    if not isinstance(parsed, list):
        raise ValueError(f"the options of {text} must be a JSON list, not {options}")
    return parsed


def _parse_int(digits: str) -> int | float:
    # 20 digits and a sign hold every integer of 64 bits; int() itself refuses thousands of digits.
    if len(digits) <= 21 and MIN_INT <= (number := int(digits)) <= MAX_INT:
        return number
    return _parse_float(digits)


def _parse_float(digits: str) -> float:
    if math.isinf(number := float(digits)):
        raise ValueError(f"the number {digits[:30]} is out of range")
    return number


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON value")


def _key(option: Option) -> Hashable:
    return isinstance(option, bool), option


def _check_option(option: object) -> None:
    if isinstance(option, str):
        fits = fits_utf8(option)
    elif isinstance(option, float):
        fits = math.isfinite(option)
    elif isinstance(option, int):
        fits = isinstance(option, bool) or _fits_integer(option)
    else:
        kind = type(option).__name__
        raise ValueError(f"an option must be a string, number or boolean, not {kind}")
    if not fits:
        raise ValueError(f"the service cannot store the option {option!r}")


def _fits_integer(raw: object) -> bool:
    return isinstance(raw, int) and not isinstance(raw, bool) and MIN_INT <= raw <= MAX_INT


def fits_utf8(text: str) -> bool:
    """Return whether *text* can be encoded as UTF-8, which lone surrogates cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
