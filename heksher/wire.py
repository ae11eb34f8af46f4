"""The JSON of the service's API, version 1; no other module knows its shapes.

Shapes are checked strictly, unknown keys are ignored, and the meaning is left to others. Queries
are read into plain dicts, which cost half as much as models.
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

STRICT = ConfigDict(
    strict=True, defer_build=True
)  # built on first use: half of them are rarely needed


@with_config(STRICT)
class QueriedRule(TypedDict):
    """A rule in the response to a query; `context_features` are its conditions."""

    value: Any
    context_features: list[tuple[str, str]]
    rule_id: Annotated[int, Field(ge=-(2**63), lt=2**63)]


@with_config(STRICT)
class QueriedSetting(TypedDict):
    """A setting in the response to a query."""

    default_value: Any
    rules: list[QueriedRule]


@with_config(STRICT)
class QueryResponse(TypedDict):
    """The response to a query: settings by canonical name."""

    settings: dict[str, QueriedSetting]


@with_config(STRICT)
class LooseQueryResponse(TypedDict):
    """The response to a query, with entries of any shape."""

    settings: dict[str, Any]


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class ListedSetting:
    """A setting in the service's list, with all its attributes."""

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
class SettingsResponse(TypedDict):
    """The list of settings."""

    settings: list[ListedSetting]


@with_config(STRICT)
class LooseSettingsResponse(TypedDict):
    """The list of settings, with entries of any shape."""

    settings: list[Any]


@with_config(STRICT)
class ContextFeaturesResponse(TypedDict):
    """The context features in the service's order."""

    context_features: list[str]


@with_config(STRICT)
class HealthResponse(TypedDict):
    """The response of a healthy service."""

    version: str


@with_config(STRICT)
class DifferenceBody(TypedDict):
    """One difference between a declaration and what the service holds."""

    level: str
    attribute: NotRequired[str]
    latest_value: NotRequired[Any]
    message: NotRequired[str]


@with_config(STRICT)
class OutcomeResponse(TypedDict):
    """The outcome of a declaration."""

    outcome: str
    previous_version: NotRequired[str]
    latest_version: NotRequired[str]
    differences: NotRequired[list[DifferenceBody]]


@with_config(STRICT)
class ErrorResponse(TypedDict):
    """The body of some error responses; most have plain text, or nothing."""

    detail: str


QUERY_RESPONSE: TypeAdapter[QueryResponse] = TypeAdapter(QueryResponse)
QUERIED_SETTING: TypeAdapter[QueriedSetting] = TypeAdapter(QueriedSetting)
LOOSE_QUERY_RESPONSE: TypeAdapter[LooseQueryResponse] = TypeAdapter(LooseQueryResponse)
SETTINGS_RESPONSE: TypeAdapter[SettingsResponse] = TypeAdapter(SettingsResponse)
LOOSE_SETTINGS_RESPONSE: TypeAdapter[LooseSettingsResponse] = TypeAdapter(LooseSettingsResponse)
LISTED_SETTING: TypeAdapter[ListedSetting] = TypeAdapter(ListedSetting)
CONTEXT_FEATURES_RESPONSE: TypeAdapter[ContextFeaturesResponse] = TypeAdapter(
    ContextFeaturesResponse
)
HEALTH_RESPONSE: TypeAdapter[HealthResponse] = TypeAdapter(HealthResponse)
OUTCOME_RESPONSE: TypeAdapter[OutcomeResponse] = TypeAdapter(OutcomeResponse)
ERROR_RESPONSE: TypeAdapter[ErrorResponse] = TypeAdapter(ErrorResponse)


class WrongShape(ValueError):  # noqa: N818  # says what happened
    """A body is not valid JSON, or has another shape than expected; the text quotes none of it."""


def read(adapter: TypeAdapter[T], body: bytes) -> T:
    """Return the JSON text *body*, validated by *adapter*.

    Raises:
        WrongShape: It is not valid JSON, or has another shape.
    """
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        raise WrongShape(what_is_wrong(error)) from None


def read_query(body: bytes) -> tuple[dict[str, QueriedSetting], dict[str, str]]:
    """Return the settings in a response to a query, and why entries were left out.

    Both are keyed by canonical name. A malformed entry affects no other.

    Raises:
        WrongShape: It is not a response to a query at all.
    """
    try:
        return read(QUERY_RESPONSE, body)["settings"], {}
    except WrongShape:
        loose = read(LOOSE_QUERY_RESPONSE, body)["settings"]
    return _read_each(QUERIED_SETTING, loose.items())


def read_list(body: bytes) -> tuple[list[ListedSetting], dict[int, str]]:
    """Return the service's list of settings, and why entries were left out, by their positions.

    Raises:
        WrongShape: It is not a list of settings at all.
    """
    try:
        return read(SETTINGS_RESPONSE, body)["settings"], {}
    except WrongShape:
        loose = read(LOOSE_SETTINGS_RESPONSE, body)["settings"]
    good, reasons = _read_each(LISTED_SETTING, enumerate(loose))
    return list(good.values()), reasons


def _read_each(
    adapter: TypeAdapter[T], entries: Iterable[tuple[K, Any]]
) -> tuple[dict[K, T], dict[K, str]]:
    """Return the entries that *adapter* accepts, and why it rejects the others."""
    good: dict[K, T] = {}
    reasons: dict[K, str] = {}
    for key, entry in entries:
        try:
            # Strict mode accepts a list as a pair, and a dict as a dataclass, only in JSON.
            good[key] = read(adapter, to_json(entry))
        except WrongShape as wrong:
            reasons[key] = str(wrong)
    return good, reasons


def what_is_wrong(error: ValidationError) -> str:
    """Return what is wrong first, and where, without the text of a value."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return "invalid JSON"
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
    return f"{first['msg']} @ ${path}"


def version_numbers(version: str) -> tuple[int, int]:
    """Return a `MAJOR.MINOR` version as numbers."""
    major, _, minor = version.partition(".")
    return int(major), int(minor)
