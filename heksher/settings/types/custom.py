"""`SettingType`: the class to subclass for values that no annotation describes.

It keeps the names of heksher-py, so that subclasses written for it go on working.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from typing_extensions import override

from heksher.settings.types.decoder import Coercion, Decoder, Json, Rejected, check_json, type_name
from heksher.settings.types.read_only import freeze
from heksher.settings.types.type_strings import parse

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Conversion(Generic[T_co]):
    """What a raw value was converted to.

    Attributes:
        value: The Python value; it must be immutable, since all readers share it.
        coercions: One sentence for each part that was dropped; they reach logs, so they should not
            quote the value.
    """

    value: T_co
    coercions: Sequence[str] = ()


class SettingType(ABC, Generic[T]):
    """The type of a setting, for subclasses.

    Pass an instance wherever a type is accepted: `Setting("name", MyType(), ["user"], default)`.
    """

    @abstractmethod
    def heksher_string(self) -> str:
        """Return the type string, such as `Sequence<int>`."""

    @abstractmethod
    def convert_from_heksher(self, x: Any) -> Conversion[T]:
        """Return the immutable Python value of the raw JSON *x*.

        Raises:
            TypeError: *x* does not fit; a `ValueError` means the same.
        """

    @abstractmethod
    def convert_to_heksher(self, x: T) -> Any:
        """Return the raw JSON of the Python value *x*.

        Raises:
            TypeError: *x* is not a value of this type; a `ValueError` means the same.
        """

    def decoder(self) -> Decoder:
        """Return the decoder of this type, for internal use."""
        return CustomDecoder(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SettingType):
            return NotImplemented
        return self.heksher_string() == other.heksher_string()

    def __hash__(self) -> int:
        return hash(self.heksher_string())


class CustomDecoder(Decoder):
    """The decoder of a user's `SettingType`, which checks what its methods return."""

    __slots__ = ("_custom",)

    def __init__(self, custom: SettingType[Any]) -> None:
        try:
            heksher_type = parse(custom.heksher_string())
        except Exception as error:  # noqa: BLE001  # a user's code may raise or return anything
            raise Rejected(f"heksher_string() of {type(custom).__name__}: {error}") from None
        super().__init__(heksher_type, f"a value of {type(custom).__name__}", in_parts=True)
        self._custom = custom

    @override
    def decode(self, raw: Json, coercions: list[Coercion]) -> Any:
        try:
            conversion = self._custom.convert_from_heksher(raw)
        except Exception as error:  # noqa: BLE001  # a user's code may raise anything
            raise self._raised("convert_from_heksher", error) from None
        if not isinstance(conversion, Conversion):
            raise Rejected(
                f"convert_from_heksher() of {type(self._custom).__name__} must return a Conversion, not"
                f" {type_name(conversion)}"
            )
        coercions.extend([Coercion("$", str(reason)) for reason in conversion.coercions])
        return freeze(conversion.value)

    @override
    def encode(self, value: Any) -> Json:
        try:
            raw = self._custom.convert_to_heksher(value)
        except Exception as error:  # noqa: BLE001  # a user's code may raise anything
            raise self._raised("convert_to_heksher", error) from None
        raw = check_json(raw)
        if not self.type.accepts(raw):
            raise Rejected(
                f"convert_to_heksher() of {type(self._custom).__name__} must return JSON of type"
                f" {self.type}"
            )
        return raw

    def _raised(self, method: str, error: Exception) -> Rejected:
        return Rejected(
            f"{method}() of {type(self._custom).__name__} raised {type(error).__name__}"
        )
