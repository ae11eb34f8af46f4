"""Decoders: raw JSON to read-only Python values and back, and what the service can store.

A decoder is built once, when a setting is declared, from the decoders of its elements. `decode`
has three outcomes:

1. The raw value fits: it returns the value.
2. It fits in part: it returns the rest, and adds a `Coercion` for each part that was dropped.
3. It does not fit: it raises `Rejected`.

Neither a coercion nor a rejection contains text of the raw value: both reach logs.
"""

from __future__ import annotations

import json
import math
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias, TypeVar

from heksher.settings.types.json_schema import type_schema
from heksher.settings.types.read_only import freeze
from heksher.settings.types.type_strings import MAX_INT, MIN_INT, fits_utf8

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from heksher.settings.types.json_schema import Schema
    from heksher.settings.types.type_strings import HeksherType

K = TypeVar("K")

Json: TypeAlias = Any
"""A JSON value as Python reads it."""


@dataclass(frozen=True, slots=True)
class Coercion:
    """One part of a raw value that was dropped because it did not fit.

    Attributes:
        path: Where it was, as in `$[2]` or `$.colours[0]`.
        reason: Why it did not fit; never contains its text.
    """

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.reason} @ {self.path}"


class Rejected(ValueError):  # noqa: N818  # says what happened
    """A value that does not fit its type.

    Attributes:
        reason: What the value must be, as in "must be an int, not str".
        path: Leads to the part that does not fit, as in `[2]`; empty for the whole.
    """

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path

    def __str__(self) -> str:
        return f"{self.reason} @ ${self.path}" if self.path else self.reason

    def inside(self, step: str) -> Rejected:
        """Return the same rejection as seen from a container, one *step* further out."""
        return Rejected(self.reason, step + self.path)

    def about(self, what: str, whose: str) -> str:
        """Return a sentence about *what* of *whose*, as in "default_value[2] of ... must be an int"."""
        joint = " " if self.reason.startswith("must ") else ": "
        return f"{what}{self.path} {whose}{joint}{self.reason}"


class Decoder(ABC):
    """Converts between the raw JSON of one Heksher type and one Python type.

    Attributes:
        type: The Heksher type; `str()` of it is the type string.
        python: The Python type with its article, for error messages.
        in_parts: Whether a raw value may fit in part; if not, `decode` never adds a coercion.
        plain: The types of raw values that `decode` returns unchanged, if any.
    """

    __slots__ = ("in_parts", "python", "type")

    plain: ClassVar[frozenset[type]] = frozenset()

    def __init__(self, type: HeksherType, python: str, *, in_parts: bool = False) -> None:
        self.type: HeksherType = type
        self.python: str = python
        self.in_parts: bool = in_parts

    @abstractmethod
    def decode(self, raw: Json, coercions: list[Coercion]) -> Any:
        """Return the read-only value of *raw*; add to *coercions* what was dropped.

        Raises:
            Rejected: *raw* does not fit.
        """

    @abstractmethod
    def encode(self, value: Any) -> Json:
        """Return the raw JSON of *value*, the same in every process.

        Raises:
            Rejected: *value* is not of the Python type, or the service cannot store it.
        """

    def canonical(self, raw: Json) -> Json:
        """Return *raw* as `encode` writes it, so that raw values of equal meaning are equal.

        Raises:
            Rejected: *raw* does not fit, or fits only in part.
        """
        coercions: list[Coercion] = []
        value = self.decode(raw, coercions)
        if coercions:
            raise Rejected(coercions[0].reason)
        return self.encode(value)

    def conform(self, value: Any) -> Any:
        """Return *value*, from a user's function, read-only and of the types that `decode` returns.

        The type's own validators may reject it, but do not change it.

        Raises:
            Rejected: *value* is not of the Python type, or the service cannot store it.
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
    """Return the decoded *parts* that fit, each a key and its raw value; report the others.

    Args:
        decoder: Decodes each part.
        parts: Pairs of a key and a raw value.
        step: Returns the path step to a key.
        coercions: Receives a coercion for each part that does not fit.
    """
    # Each part is decoded once: a bad one costs the same at any depth.
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
    """Return the raw JSON of *value*, which is at *step* of its container."""
    try:
        return decoder.encode(value)
    except Rejected as rejected:
        raise rejected.inside(step) from None


def key_step(key: str) -> str:
    """Return the path step to *key*: `.key`, or `["a key"]` if it is not an identifier."""
    return f".{key}" if key.isidentifier() else f"[{json.dumps(key)}]"


def json_text(raw: Json) -> str:
    """Return *raw* as compact JSON, by which the service sorts options."""
    return json.dumps(raw, separators=(",", ":"), sort_keys=True)


def check_text(text: str) -> str:
    """Return *text* if the service can store it.

    Raises:
        Rejected: It contains NUL (PostgreSQL cannot store it) or a lone surrogate (not UTF-8).
    """
    if "\0" in text:
        raise Rejected("must not contain NUL (\\x00)")
    if not fits_utf8(text):
        raise Rejected("must not contain a lone surrogate (\\ud800 to \\udfff)")
    return text


def check_int(value: object) -> int:
    """Return *value* as a plain `int` that the service can store.

    Raises:
        Rejected: It is not an integer, or does not fit into 64 bits.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise Rejected(f"must be an int, not {type_name(value)}")
    if not MIN_INT <= value <= MAX_INT:
        raise Rejected("must be from -2**63 to 2**64 - 1, the integers that the service can store")
    return int(value)


def check_float(value: object) -> float:
    """Return *value* as a plain `float` that the service can store.

    Raises:
        Rejected: It is not a finite number.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise Rejected(f"must be a float, not {type_name(value)}")
    try:
        number = float(value)
    except OverflowError:
        raise Rejected("must fit into a float") from None
    if not math.isfinite(number):
        raise Rejected("must be finite, neither inf nor nan")
    return number


def check_json(value: object, path: str = "") -> Json:
    """Return a copy of *value* as plain JSON that the service can store.

    Raises:
        Rejected: Part of it is not JSON; the path leads there.
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
    raise Rejected(f"must be JSON, not {type_name(value)}", path)


def _json_key(key: object, path: str) -> str:
    if not isinstance(key, str):
        raise Rejected(f"must have str keys, not {type_name(key)}", path)
    return check_text(str.__str__(key))


_KINDS = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    list: "list",
    dict: "object",
}


def kind_of(raw: Json) -> str:
    """Return the JSON type of *raw*, as in "must be an int, not null"."""
    return "null" if raw is None else _KINDS.get(type(raw), type(raw).__name__)


# Names that are pronounced with a vowel first: HttpUrl and Unknown, but not UUID.
_AN: Final = re.compile(r"[AEIOaeio]|H(?=ttp|TTP)|[Uu](?=n(?!i)|[lmp])")


def type_name(value: object) -> str:
    """Return the type of a Python value, as in "must be an int, not str"."""
    return "None" if value is None else type(value).__name__


def with_article(name: str) -> str:
    """Return the *name* of a type with its article, as in "an int" and "a str"."""
    return f"{'an' if _AN.match(name) else 'a'} {name}"
