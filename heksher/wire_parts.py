"""Reading large answers part by part, so that their raw form is never there as a whole.

An answer is mostly small containers: some forty for a setting of ten rules. Held all at once they
set the garbage collector going again and again, and it takes longer than reading does; handed on
one part at a time they are gone before it looks.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, TypeAdapter, ValidationError, ValidationInfo, with_config
from pydantic_core import core_schema, to_json
from typing_extensions import TypedDict

from heksher import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydantic import GetCoreSchemaHandler

K = TypeVar("K")

_MALFORMED: Final = object()


class _OrMalformed:
    """Marks a type of which a wrong value is read as `_MALFORMED`, and harms nothing around it."""

    @staticmethod
    def __get_pydantic_core_schema__(
        source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.with_default_schema(
            handler(source), default=_MALFORMED, on_error="default"
        )


class _Reading:
    """A query's answer being read: who takes its settings, and the names of the malformed ones."""

    __slots__ = ("malformed", "name", "take")

    def __init__(self, take: Callable[[str, wire.QueriedSetting], object]) -> None:
        self.take = take
        self.name = ""
        self.malformed: list[str] = []


def _note_name(name: str, info: ValidationInfo[_Reading]) -> str:
    info.context.name = name
    return name


def _hand_over(queried: Any, info: ValidationInfo[_Reading]) -> None:
    reading = info.context
    if queried is _MALFORMED:
        reading.malformed.append(reading.name)
    else:
        reading.take(reading.name, queried)


@cache
def _query_adapter() -> TypeAdapter[Any]:
    @with_config(wire.STRICT)
    class QueryInParts(TypedDict):
        settings: dict[
            Annotated[str, AfterValidator(_note_name)],
            Annotated[wire.QueriedSetting, _OrMalformed, AfterValidator(_hand_over)],
        ]

    return TypeAdapter(QueryInParts)


def read_query(body: bytes, take: Callable[[str, wire.QueriedSetting], object]) -> dict[str, str]:
    """Hand each setting of the answer to a query to *take*, with its canonical name.

    Args:
        body: The answer, JSON.
        take: Called as `take(name, queried)`, in the order of the answer. It must raise nothing.

    Returns:
        What is wrong with the settings that were left out, by name.

    Raises:
        WrongShape: It is no answer to a query at all; then *take* was not called.
    """
    reading = _Reading(take)
    _validate(_query_adapter(), body, reading)
    if not reading.malformed:
        return {}
    entries = wire.read(wire.LOOSE_QUERY_ANSWER, body)["settings"]
    return _reasons(wire.QUERIED_SETTING, ((name, entries[name]) for name in reading.malformed))


def settings_in(body: bytes) -> dict[str, wire.QueriedSetting]:
    """Return the settings of an answer to a query by name, but for malformed ones.

    Raises:
        WrongShape: It is no answer to a query at all.
    """
    settings: dict[str, wire.QueriedSetting] = {}
    read_query(body, settings.__setitem__)
    return settings


@cache
def _list_adapter() -> TypeAdapter[Any]:
    @with_config(wire.STRICT)
    class ListInParts(TypedDict):
        settings: list[Annotated[wire.ListedSetting, _OrMalformed]]

    return TypeAdapter(ListInParts)


def read_list(body: bytes) -> tuple[list[wire.ListedSetting], dict[int, str]]:
    """Return the service's list of settings, and what is wrong with the entries left out.

    Args:
        body: The answer, JSON.

    Returns:
        The settings, and what is wrong with the others by their place in the answer.

    Raises:
        WrongShape: It is no list of settings at all.
    """
    entries = _validate(_list_adapter(), body, None)["settings"]
    good = [entry for entry in entries if entry is not _MALFORMED]
    if len(good) == len(entries):
        return good, {}
    raw = wire.read(wire.SETTINGS_ANSWER, body)["settings"]
    places = [place for place, entry in enumerate(entries) if entry is _MALFORMED]
    return good, _reasons(wire.LISTED_SETTING, ((place, raw[place]) for place in places))


def _reasons(adapter: TypeAdapter[Any], entries: Iterable[tuple[K, Any]]) -> dict[K, str]:
    """Return what is wrong with each of *entries* in the shape of *adapter*, if anything is."""
    reasons: dict[K, str] = {}
    for key, entry in entries:
        try:
            # Strict mode takes a list for a pair, and a dict for a dataclass, in JSON only.
            wire.read(adapter, to_json(entry))
        except wire.WrongShape as wrong:
            reasons[key] = str(wrong)
    return reasons


def _validate(adapter: TypeAdapter[Any], body: bytes, context: object) -> Any:
    try:
        return adapter.validate_json(body, context=context)
    except ValidationError as error:
        raise wire.WrongShape(wire.what_is_wrong(error)) from None
