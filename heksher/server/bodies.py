"""Request bodies: the forms of their parts, and reading them as models."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, TypeVar

from fastapi import Depends, Request
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    model_validator,
)

from heksher.server import json_text, versions
from heksher.server.responses import InvalidRequest, Problem, Refusal, json_response
from heksher.settings.types import type_strings
from heksher.settings.types.type_strings import HeksherType

Model = TypeVar("Model", bound=BaseModel)
Other = TypeVar("Other", bound=BaseModel)


def matching(pattern: str) -> AfterValidator:
    """Return a validator of texts; `$` accepts a final line feed, as the service does."""
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if not compiled.match(text):
            raise ValueError(f'string does not match regex "{pattern}"')
        return text

    return AfterValidator(check)


def _text_of(value: object) -> object:
    # The service accepts numbers and booleans as texts: 5 is "5", true is "True".
    return str(value) if isinstance(value, (int, float)) else value


def _storable(value: Any) -> Any:
    if found := json_text.fault(value):
        raise ValueError(found)
    return value


def _type_of(value: object) -> HeksherType:
    if not isinstance(value, str):
        raise ValueError(f"expected string, got {type(value).__name__}")
    _storable(value)  # the messages of `parse` quote the text
    return type_strings.parse(value)


def _distinct(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"context features must not be repeated: {repeated}")
    return names


def _not_empty(feature_values: dict[str, str]) -> dict[str, str]:
    if not feature_values:
        raise ValueError("feature_values must not be empty")
    return feature_values


FEATURE_NAME_PATTERN: Final = r"[a-zA-Z_0-9]+$"
SETTING_NAME_PATTERN: Final = r"[a-zA-Z_0-9.]+$"

MetadataKey = Annotated[str, matching(r"[a-zA-Z0-9_-]+$")]
_Text = Annotated[str, BeforeValidator(_text_of)]
_SettingName = Annotated[_Text, matching(SETTING_NAME_PATTERN)]
_FeatureName = Annotated[_Text, matching(FEATURE_NAME_PATTERN)]
_Features = Annotated[list[_FeatureName], Field(min_length=1), AfterValidator(_distinct)]
_Conditions = Annotated[
    dict[_FeatureName, Annotated[_Text, matching(r"[a-zA-Z_0-9]+$")]], AfterValidator(_not_empty)
]
_Version = Annotated[_Text, matching(r"^[0-9]+\.[0-9]+$")]
_Type = Annotated[HeksherType, PlainValidator(_type_of)]
_Json = Annotated[Any, AfterValidator(_storable)]
_Metadata = dict[MetadataKey, _Json]


class _Body(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(arbitrary_types_allowed=True)


class NewContextFeature(_Body):
    """A context feature to add."""

    context_feature: _FeatureName


class MoveAfter(_Body):
    """The context feature after which another one is moved."""

    to_after: _Text


class MoveBefore(_Body):
    """The context feature before which another one is moved."""

    to_before: _Text


class Declaration(_Body):
    """The declaration of a setting by a program."""

    name: _SettingName
    configurable_features: _Features
    type: _Type
    default_value: _Json
    metadata: _Metadata = {}
    alias: _SettingName | None = None
    version: _Version = versions.FIRST

    @model_validator(mode="after")
    def _fits_together(self) -> Declaration:
        if not self.type.accepts(self.default_value):
            raise ValueError(
                f"type ({self.type}) and default value ({self.default_value}) must match"
            )
        if self.alias == self.name:
            raise ValueError(f"name ({self.name}) and alias ({self.alias}) must differ")
        return self


class NewType(_Body):
    """A new type for a setting."""

    type: _Type
    version: _Version


class NewName(_Body):
    """A new name for a setting."""

    name: _SettingName
    version: _Version


class NewFeatures(_Body):
    """New configurable features for a setting."""

    configurable_features: _Features
    version: _Version


class SettingMetadata(_Body):
    """Metadata for a setting."""

    metadata: _Metadata = {}
    version: _Version


class SettingMetadataValue(_Body):
    """The value of one key of a setting's metadata."""

    value: _Json
    version: _Version


class NewVersion(_Body):
    """A new version for a setting."""

    version: _Version


class NewRule(_Body):
    """A rule to add."""

    setting: _SettingName
    feature_values: _Conditions
    value: _Json
    metadata: _Metadata = {}


class Value(_Body):
    """A value for a rule, or for one key of its metadata."""

    value: _Json


class RuleMetadata(_Body):
    """Metadata for a rule."""

    metadata: _Metadata = {}


@dataclass(frozen=True, slots=True)
class Body:
    """The unparsed body of a request; the thread of the route parses it."""

    raw: bytes
    is_json: bool

    def read(self, model: type[Model]) -> Model:
        """Return the body as *model*.

        Raises:
            InvalidRequest: The body is invalid JSON, or has another form; the problems say where.
            Refusal: The body is not text.
        """
        try:
            return model.model_validate(self._fields())
        except ValidationError as error:
            raise InvalidRequest(_problems(error)) from None

    def read_either(self, first: type[Model], second: type[Other]) -> Model | Other:
        """Return the body as *first*, or as *second* if that fails; see `read`."""
        fields = self._fields()
        try:
            return first.model_validate(fields)
        except ValidationError as error:
            problems = _problems(error)
        try:
            return second.model_validate(fields)
        except ValidationError as error:
            raise InvalidRequest(problems + _problems(error)) from None

    def _fields(self) -> dict[str, Any]:
        content = self._content()
        if content is None:
            raise InvalidRequest([Problem(("body",), "field required", "value_error.missing")])
        try:
            # The service takes whatever `dict` accepts for an object: [] is one without fields.
            fields = dict(content)
        except (TypeError, ValueError):
            problem = Problem(("body",), "value is not a valid dict", "type_error.dict")
            raise InvalidRequest([problem]) from None
        return {key: value for key, value in fields.items() if isinstance(key, str)}

    def _content(self) -> Any:
        if not self.raw:
            return None
        if not self.is_json:
            return self.raw
        try:
            return json.loads(self.raw)
        except json.JSONDecodeError as error:
            problem = Problem(("body", error.pos), str(error), "value_error.jsondecode")
            raise InvalidRequest([problem]) from None
        except (ValueError, RecursionError):
            detail = "There was an error parsing the body"
            raise Refusal(json_response({"detail": detail}, 400)) from None


async def _body_of(request: Request) -> Body:
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    subtype = media_type.lower().removeprefix("application/")
    is_json = media_type.lower() != subtype and (subtype == "json" or subtype.endswith("+json"))
    return Body(await request.body(), is_json)


RequestBody = Annotated[Body, Depends(_body_of)]


def _problems(error: ValidationError) -> list[Problem]:
    return [
        Problem(("body", *_loc_of(item["loc"])), item["msg"], item["type"])
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    ]


def _loc_of(loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Return a location of pydantic's in the spelling of pydantic 1, which the service uses."""
    if not loc:
        return ("__root__",)
    return (*loc[:-2], "__key__") if loc[-1] == "[key]" else loc
