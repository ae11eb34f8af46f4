"""What a program gives is what it reads: nothing is guessed, changed, or mixed on the way."""

from __future__ import annotations

import gc
import re
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass
from enum import Enum
from itertools import count
from typing import TYPE_CHECKING, Annotated, Any
from weakref import ref

import pytest
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PastDatetime,
    RootModel,
    SecretStr,
)
from typing_extensions import TypedDict

from heksher import InvalidSetting, Setting, SettingsModel, bind_context
from heksher.settings.comparing import identical
from heksher.settings.context import default_source
from heksher.settings.frozen import FrozenDict
from heksher.settings.rules import Origin, RuleSet
from heksher.settings.state import Snapshot
from heksher.settings.types import decoder_of
from heksher.settings.values import Rejected

if TYPE_CHECKING:
    from conftest import Publish

    from heksher.settings.registry import Registry
    from heksher.settings.values import Coercion


class ByName(BaseModel):
    model_config = ConfigDict(frozen=True, validate_by_name=True, validate_by_alias=False)
    a: int = Field(0, alias="A")


class ByEither(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True)
    a: int = Field(0, alias="A")


class Root(RootModel[str]):
    pass


class Secret(RootModel[SecretStr]):
    model_config = ConfigDict(frozen=True)


@dataclass(frozen=True)
class Aliased:
    a: Annotated[int, Field(alias="A")] = 1


@dataclass(frozen=True)
class Initialised:
    a: int
    scale: InitVar[int] = 2


class Keys(TypedDict):
    a: Annotated[int, Field(alias="A")]


class Feature(str, Enum):  # noqa: UP042  # whose str() is not its text
    USER = "user"


def one_more(value: int) -> int:
    return value + 1


def declared(annotation: Any, default: Any, registry: Registry) -> Any:
    return Setting[annotation](
        "s", configurable_features=["user"], default_value=default, registry=registry
    )


@pytest.mark.parametrize(
    ("annotation", "default"),
    [
        (ByName, ByName.model_validate({"a": 5})),
        (Aliased, Aliased(2)),
        (Initialised, Initialised(2)),
        (Keys, {"a": 1}),
        (Root, Root("a")),
        (Secret, Secret(SecretStr("hunter2"))),
        (re.Pattern[str], re.compile("a", re.IGNORECASE)),
        (Annotated[int, AfterValidator(one_more)], 1),
    ],
    ids=["by name", "alias", "InitVar", "TypedDict", "root", "secret", "flags", "validator"],
)
def test_default_that_would_be_read_otherwise_is_refused(
    annotation: Any, default: Any, registry: Registry
) -> None:
    with pytest.raises(InvalidSetting, match="setting 's'"):
        declared(annotation, default, registry)


def test_default_that_a_validator_makes_regular_is_read_so(registry: Registry) -> None:
    setting = declared(Annotated[str, AfterValidator(str.lower)], "ABC", registry)

    assert setting.get(user="x") == "abc"


@pytest.mark.parametrize("raw", ["3", True], ids=["text", "true"])
def test_field_under_its_other_key_is_left_out_and_not_guessed(raw: object) -> None:
    coercions: list[Coercion] = []

    assert decoder_of(ByEither).decode({"a": raw}, coercions) == ByEither.model_validate({})
    assert [one.path for one in coercions] == ["$.a"]


def test_features_of_an_enum_of_texts_go_by_their_text(registry: Registry) -> None:
    setting = Setting[int](
        "s", configurable_features=[Feature.USER], default_value=1, registry=registry
    )

    assert setting.configurable_features == ("user",)
    assert setting.get(user="x") == 1


def test_setting_read_from_a_bound_context_is_still_collected(registry: Registry) -> None:
    setting = declared(int, 1, registry)
    with bind_context(user="x"):
        setting.get()
    reference = ref(setting)

    del setting
    gc.collect()

    assert reference() is None


def test_model_sees_one_state_while_another_setting_is_overridden(registry: Registry) -> None:
    class Pair(SettingsModel, prefix="p", configurable_features=["user"], registry=registry):
        a: int = 1
        b: int = 1

    other = Setting[int](
        "other", configurable_features=["user"], default_value=1, registry=registry
    )

    def publishing() -> str:
        number = next(numbers)
        rule_sets = {
            setting.index: RuleSet(("user",), (), number, Origin.SERVICE_DEFAULT)
            for setting in Pair.settings.values()
        }
        registry.publish(Snapshot(rule_sets=rule_sets))
        return "x"

    numbers = count(10)
    registry.set_defaults({"user": default_source("user", publishing)})
    with other.override(5):
        read = [Pair.get() for _ in range(5)]

    assert all(pair.a == pair.b for pair in read)


@pytest.mark.parametrize("raw", ["1700000000", "2024-01-31 12:30:00Z"], ids=["number", "blank"])
@pytest.mark.parametrize("annotation", [AwareDatetime, PastDatetime])
def test_pydantics_own_kinds_of_dates_have_the_one_form_too(annotation: Any, raw: str) -> None:
    with pytest.raises(Rejected, match="in the form"):
        decoder_of(annotation).decode(raw, [])


def test_bytes_that_are_no_text_are_refused_by_name(registry: Registry) -> None:
    with pytest.raises(InvalidSetting, match="setting 's'"):
        declared(bytes, b"\xff", registry)


def test_explaining_takes_no_positional_argument_as_reading_does(registry: Registry) -> None:
    setting: Any = declared(int, 1, registry)

    with pytest.raises(TypeError, match="positional"):
        setting.explain("x", user="a")


def ten_more_from_ten(value: int) -> int:
    return value + 10 if value >= 10 else value  # not the same when done twice


@pytest.mark.parametrize(
    ("annotation", "default", "raw", "returned", "read"),
    [
        (Annotated[int, AfterValidator(ten_more_from_ten)], 1, 2, 20, 20),
        (Sequence[Annotated[int, AfterValidator(ten_more_from_ten)]], [1], [2], [20], (20,)),
        (
            Mapping[str, Annotated[int, AfterValidator(ten_more_from_ten)]],
            {"a": 1},
            {"a": 2},
            {"a": 20},
            FrozenDict({"a": 20}),
        ),
        (Annotated[Sequence[int], Field(min_length=1)], [1], [2], [20], (20,)),
        (float, 1.0, 2.0, 20, 20.0),
    ],
    ids=["scalar", "sequence", "mapping", "constrained", "float"],
)
def test_what_an_added_validator_returns_is_read_as_it_is(
    annotation: Any,
    default: Any,
    raw: Any,
    returned: Any,
    read: Any,
    publish: Publish,
    registry: Registry,
) -> None:
    setting = declared(annotation, default, registry)
    setting.add_validator(lambda _value, _rule, _setting: returned)

    publish(setting, [(1, [["user", "x"]], raw)])

    assert identical(setting.get(user="x"), read)


def test_what_an_added_validator_returns_still_keeps_to_the_constraints(
    publish: Publish, registry: Registry
) -> None:
    setting = declared(Annotated[int, Field(ge=0)], 1, registry)
    setting.add_validator(lambda value, _rule, _setting: -value)

    rule_set = publish(setting, [(1, [["user", "x"]], 2)], default=0)

    assert setting.get(user="x") == 0
    assert "returned what the setting cannot have" in rule_set.rejections[0].reason


class Explosive(list[int]):
    def __iter__(self) -> Any:
        raise RuntimeError("boom")


def test_value_that_raises_when_it_is_walked_through_costs_its_own_rule_only(
    publish: Publish, registry: Registry
) -> None:
    setting = declared(list[int], [1], registry)
    setting.add_validator(lambda value, rule, _setting: Explosive([1]) if rule else value)

    rule_set = publish(setting, [(1, [["user", "x"]], [2])], default=[3])

    assert setting.get(user="x") == [3]
    assert "RuntimeError" in rule_set.rejections[0].reason
