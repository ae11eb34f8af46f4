"""The JSON of the service's API, version 1: the only place that knows its shapes.

Shapes are checked strictly, unknown keys are ignored, and meaning is left to others. The bulk of a
query is read into plain dicts, which costs half of what models do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from pydantic_core import to_json
from typing_extensions import TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")
K = TypeVar("K")

STRICT = ConfigDict(strict=True, defer_build=True)  # built at first use: half are rarely needed


@with_config(STRICT)
class QueriedRule(TypedDict):
    """A rule in the answer to a query; `context_features` are its conditions."""

    value: Any
    context_features: list[tuple[str, str]]
    rule_id: Annotated[int, Field(ge=-(2**63), lt=2**63)]


@with_config(STRICT)
class QueriedSetting(TypedDict):
    """A setting in the answer to a query."""

    default_value: Any
    rules: list[QueriedRule]


@with_config(STRICT)
class QueryAnswer(TypedDict):
    """The answer to a query: settings by canonical name."""

    settings: dict[str, QueriedSetting]


@with_config(STRICT)
class LooseQueryAnswer(TypedDict):
    """The answer to a query of which only the outline is right."""

    settings: dict[str, Any]


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class ListedSetting:
    """A setting as the service lists it, with all that it knows of it."""

    name: str
    configurable_features: list[str]
    type: str
    default_value: Any
    metadata: dict[str, Any]
    aliases: list[str]
    version: Annotated[str, Field(pattern=r"^[0-9]{1,1000}\.[0-9]{1,1000}\n?$")]

    @property
    def version_numbers(self) -> tuple[int, int]:
        """The version as numbers: `1.10` is newer than `1.9`."""
        return version_numbers(self.version)


@with_config(STRICT)
class SettingsAnswer(TypedDict):
    """The list of settings."""

    settings: list[ListedSetting]


@with_config(STRICT)
class LooseSettingsAnswer(TypedDict):
    """A list of settings of which only the outline is right."""

    settings: list[Any]


@with_config(STRICT)
class ContextFeaturesAnswer(TypedDict):
    """The context features in the service's order."""

    context_features: list[str]


@with_config(STRICT)
class HealthAnswer(TypedDict):
    """What a healthy service says."""

    version: str


@with_config(STRICT)
class DifferenceBody(TypedDict):
    """One difference between a declaration and what the service holds."""

    level: str
    attribute: NotRequired[str]
    latest_value: NotRequired[Any]
    message: NotRequired[str]


@with_config(STRICT)
class OutcomeAnswer(TypedDict):
    """What came of a declaration."""

    outcome: str
    previous_version: NotRequired[str]
    latest_version: NotRequired[str]
    differences: NotRequired[list[DifferenceBody]]


@with_config(STRICT)
class ErrorAnswer(TypedDict):
    """What some error statuses come with; most come with plain text, or nothing."""

    detail: str


QUERY_ANSWER: TypeAdapter[QueryAnswer] = TypeAdapter(QueryAnswer)
QUERIED_SETTING: TypeAdapter[QueriedSetting] = TypeAdapter(QueriedSetting)
LOOSE_QUERY_ANSWER: TypeAdapter[LooseQueryAnswer] = TypeAdapter(LooseQueryAnswer)
SETTINGS_ANSWER: TypeAdapter[SettingsAnswer] = TypeAdapter(SettingsAnswer)
LOOSE_SETTINGS_ANSWER: TypeAdapter[LooseSettingsAnswer] = TypeAdapter(LooseSettingsAnswer)
LISTED_SETTING: TypeAdapter[ListedSetting] = TypeAdapter(ListedSetting)
CONTEXT_FEATURES_ANSWER: TypeAdapter[ContextFeaturesAnswer] = TypeAdapter(ContextFeaturesAnswer)
HEALTH_ANSWER: TypeAdapter[HealthAnswer] = TypeAdapter(HealthAnswer)
OUTCOME_ANSWER: TypeAdapter[OutcomeAnswer] = TypeAdapter(OutcomeAnswer)
ERROR_ANSWER: TypeAdapter[ErrorAnswer] = TypeAdapter(ErrorAnswer)


class WrongShape(ValueError):  # noqa: N818  # says what happened
    """A body is no JSON, or not of the shape it should have; the text quotes nothing of it."""


def read(adapter: TypeAdapter[T], body: bytes) -> T:
    """Return *body*, JSON, in the shape of *adapter*.

    Raises:
        WrongShape: It is no JSON, or of another shape.
    """
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        raise WrongShape(what_is_wrong(error)) from None


def read_query(body: bytes) -> tuple[dict[str, QueriedSetting], dict[str, str]]:
    """Return the settings of the answer to a query, and what is wrong with those left out.

    Both are by canonical name. A malformed entry harms no other.

    Raises:
        WrongShape: It is no answer to a query at all.
    """
    try:
        return read(QUERY_ANSWER, body)["settings"], {}
    except WrongShape:
        loose = read(LOOSE_QUERY_ANSWER, body)["settings"]
    return _read_each(QUERIED_SETTING, loose.items())


def read_list(body: bytes) -> tuple[list[ListedSetting], dict[int, str]]:
    """Return the service's list of settings, and by their places what is wrong with those left out.

    Raises:
        WrongShape: It is no list of settings at all.
    """
    try:
        return read(SETTINGS_ANSWER, body)["settings"], {}
    except WrongShape:
        loose = read(LOOSE_SETTINGS_ANSWER, body)["settings"]
    good, reasons = _read_each(LISTED_SETTING, enumerate(loose))
    return list(good.values()), reasons


def _read_each(
    adapter: TypeAdapter[T], entries: Iterable[tuple[K, Any]]
) -> tuple[dict[K, T], dict[K, str]]:
    """Return the entries that have the shape of *adapter*, and what is wrong with the others."""
    good: dict[K, T] = {}
    reasons: dict[K, str] = {}
    for key, entry in entries:
        try:
            # Strict mode takes a list for a pair, and a dict for a dataclass, in JSON only.
            good[key] = read(adapter, to_json(entry))
        except WrongShape as wrong:
            reasons[key] = str(wrong)
    return good, reasons


def what_is_wrong(error: ValidationError) -> str:
    """Return the first thing that is wrong and where, without the text of a value."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return "it is no JSON"
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
    return f"{first['msg']} @ ${path}"


def version_numbers(version: str) -> tuple[int, int]:
    """Return a `MAJOR.MINOR` version as numbers."""
    major, _, minor = version.partition(".")
    return int(major), int(minor)
