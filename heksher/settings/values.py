"""Raw JSON to read-only Python values and back: what a decoder is, and what the service can hold.

A decoder is built once, where a setting is declared, and composed of the decoders of its
elements. `decode` has three outcomes, as `Setting` promises them:

1. the raw value fits: the value;
2. it fits in part: the rest, and a `Coercion` in *coercions* for each thing that was left out;
3. it does not fit: `Rejected`.

Neither a coercion nor a rejection holds the text of a raw value, since both reach logs.
"""

from __future__ import annotations

import json
import math
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias, TypeVar

from heksher.settings.frozen import freeze
from heksher.settings.type_schemas import type_schema
from heksher.settings.type_strings import MAX_INT, MIN_INT, fits_utf8

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from heksher.settings.type_schemas import Schema
    from heksher.settings.type_strings import HeksherType

K = TypeVar("K")

Json: TypeAlias = Any
"""A JSON value as Python reads it; decoders find out what it is."""


@dataclass(frozen=True, slots=True)
class Coercion:
    """One part of a raw value that was left out, since it did not fit.

    Attributes:
        path: Where it stood, as in `$[2]` or `$.colours[0]`.
        reason: Why it did not fit; never its text.
    """

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.reason} @ {self.path}"


class Rejected(ValueError):  # noqa: N818  # says what happened
    """A value that does not fit its type; *path* leads to the part that does not."""

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path

    def __str__(self) -> str:
        return f"{self.reason} @ ${self.path}" if self.path else self.reason

    def inside(self, step: str) -> Rejected:
        """Return the same rejection as seen from a container, one *step* further out."""
        return Rejected(self.reason, step + self.path)


class Decoder(ABC):
    """Between the raw JSON of one Heksher type and one Python type.

    Attributes:
        type: The Heksher type; `str()` of it is the type string.
        python: What a default has to be, in words, for error messages.
        in_parts: Whether a raw value may fit in part; of others, `decode` adds no coercion.
        plain: The types of raw values that `decode` returns as they are, if there are any.
    """

    __slots__ = ("in_parts", "python", "type")

    plain: ClassVar[frozenset[type]] = frozenset()

    def __init__(self, type: HeksherType, python: str, *, in_parts: bool = False) -> None:
        self.type = type
        self.python = python
        self.in_parts = in_parts

    @abstractmethod
    def decode(self, raw: Json, coercions: list[Coercion]) -> Any:
        """Return the read-only value of *raw*; add to *coercions* what had to be left out.

        Raises:
            Rejected: *raw* does not fit.
        """

    @abstractmethod
    def encode(self, value: Any) -> Json:
        """Return the raw JSON of *value*, the same bytes in every process.

        Raises:
            Rejected: *value* is not of the Python type, or the service cannot hold it.
        """

    def canonical(self, raw: Json) -> Json:
        """Return *raw* as `encode` would write it; two raw values of one meaning are one then.

        Raises:
            Rejected: *raw* does not fit, or fits only in part.
        """
        coercions: list[Coercion] = []
        value = self.decode(raw, coercions)
        if coercions:
            raise Rejected(coercions[0].reason)
        return self.encode(value)

    def conform(self, value: Any) -> Any:
        """Return *value*, which a user's function made, read-only and of the types that `decode` gives.

        The type's own validators may refuse it, but make no other value of it.

        Raises:
            Rejected: *value* is not of the Python type, or the service cannot hold it.
        """
        raw = self.encode(value)
        coercions: list[Coercion] = []
        read = self.decode(raw, coercions)
        if coercions:
            raise Rejected(coercions[0].reason, coercions[0].path[1:])
        return read if self.encode(read) == raw else freeze(value)

    def json_schema(self) -> Schema:
        """Return the JSON Schema of the raw values that fit; see `schema` for what it cannot say."""
        return type_schema(self.type)


def salvage(
    decoder: Decoder,
    parts: Iterable[tuple[K, Json]],
    step: Callable[[K], str],
    coercions: list[Coercion],
) -> list[tuple[K, Any]]:
    """Decode what fits of *parts*, each a key and its raw value; report the rest.

    Each part is decoded once, so that a bad one costs no more the deeper it stands.

    Args:
        decoder: Decodes each part.
        parts: The parts.
        step: Returns the path step to a key.
        coercions: Where to report.
    """
    kept: list[tuple[K, Any]] = []
    inner: list[Coercion] = []
    for key, raw in parts:
        try:
            kept.append((key, decoder.decode(raw, inner)))
        except Rejected as rejected:
            inner = [Coercion(f"${rejected.path}", rejected.reason)]
        if inner:
            here = step(key)
            coercions.extend([Coercion(f"${here}{one.path[1:]}", one.reason) for one in inner])
            inner = []
    return kept


def encode_at(decoder: Decoder, step: str, value: Any) -> Json:
    """Encode *value*, which stands at *step* of its container."""
    try:
        return decoder.encode(value)
    except Rejected as rejected:
        raise rejected.inside(step) from None


def key_step(key: str) -> str:
    """Return the path step to *key*: `.key`, or `["a key"]` where it is no plain word."""
    return f".{key}" if key.isidentifier() else f"[{json.dumps(key)}]"


def json_text(raw: Json) -> str:
    """Return *raw* as compact JSON: the text that sorts options as the service sorts them."""
    return json.dumps(raw, separators=(",", ":"), sort_keys=True)


def check_text(text: str) -> str:
    """Return *text* if the service can hold it.

    Raises:
        Rejected: It holds NUL (PostgreSQL stores none) or a lone surrogate (no UTF-8 has one).
    """
    if "\0" in text:
        raise Rejected("text with a NUL character (\\x00) cannot be stored")
    if not fits_utf8(text):
        raise Rejected("text with a lone surrogate (\\ud800 to \\udfff) is no Unicode")
    return text


def check_int(value: object) -> int:
    """Return *value* as a plain `int` that the service can hold.

    Raises:
        Rejected: It is no integer, or does not fit into 64 bits.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise Rejected(f"{type(value).__name__} is no int")
    if not MIN_INT <= value <= MAX_INT:
        raise Rejected("the service holds integers from -2**63 to 2**64 - 1 only")
    return int(value)


def check_float(value: object) -> float:
    """Return *value* as a plain `float` that the service can hold.

    Raises:
        Rejected: It is no number, or not a finite one.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise Rejected(f"{type(value).__name__} is no float")
    try:
        number = float(value)
    except OverflowError:
        raise Rejected("the number is too large for a float") from None
    if not math.isfinite(number):
        raise Rejected("the service holds finite numbers only, neither inf nor nan")
    return number


def check_json(value: object, path: str = "") -> Json:
    """Return *value* as plain JSON that the service can hold: containers copied, at any depth.

    Raises:
        Rejected: Part of it is no JSON; the path leads there.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, dict):
        return {
            _json_key(key, path): check_json(item, path + key_step(key))
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [check_json(item, f"{path}[{place}]") for place, item in enumerate(value)]
    try:
        if isinstance(value, str):
            return check_text(str.__str__(value))
        if isinstance(value, int):
            return check_int(value)
        if isinstance(value, float):
            return check_float(value)
    except Rejected as rejected:
        raise rejected.inside(path) from None
    raise Rejected(f"{type(value).__name__} is no JSON", path)


def _json_key(key: object, path: str) -> str:
    if not isinstance(key, str):
        raise Rejected(f"a key is {type(key).__name__}, not str", path)
    return check_text(str.__str__(key))


_KINDS = {
    bool: "a bool",
    int: "an int",
    float: "a float",
    str: "a str",
    list: "a list",
    dict: "an object",
}


def kind_of(raw: Json) -> str:
    """Return what kind of JSON *raw* is, in words, without its text."""
    return "null" if raw is None else _KINDS.get(type(raw), type(raw).__name__)


# Names that are spelled or spoken with a vowel first, such as HttpUrl and Unknown, but not UUID.
_AN: Final = re.compile(r"[AEIOaeio]|H(?=ttp|TTP)|[Uu](?=n(?!i)|[lmp])")


def with_article(name: str) -> str:
    """Return the *name* of a type with its article, as in "an int" and "a str"."""
    return f"{'an' if _AN.match(name) else 'a'} {name}"
