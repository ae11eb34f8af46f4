"""What a program gives is what it reads: nothing is guessed, changed, or mixed on the way."""

from __future__ import annotations

import gc
import re
from collections.abc import Collection, Iterable, Mapping, Sequence  # read by pydantic
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
from pydantic.alias_generators import to_camel
from pydantic_core import core_schema
from typing_extensions import TypeAliasType, TypedDict

from heksher import InvalidSetting, InvalidValue, Setting, SettingsModel, bind_context
from heksher.settings.context import default_source
from heksher.settings.reading.state import Snapshot
from heksher.settings.rules.rule_set import Origin, RuleSet
from heksher.settings.setting import declaration_of
from heksher.settings.types.annotations import decoder_of
from heksher.settings.types.decoder import Rejected
from heksher.settings.types.equality import identical
from heksher.settings.types.read_only import FrozenDict

if TYPE_CHECKING:
    from conftest import Publish

    from heksher.settings.registry import Registry
    from heksher.settings.types.decoder import Coercion


class ByName(BaseModel):
    model_config = ConfigDict(frozen=True, validate_by_name=True, validate_by_alias=False)
    a: int = Field(0, alias="A")


class ByEither(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True)
    a: int = Field(0, alias="A")


class ByAlias(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    a: int = Field(0, alias="A")


class Swapped(BaseModel):
    model_config = ConfigDict(frozen=True)
    a: int = Field(0, alias="b")
    b: int = Field(0, alias="a")


class Plain(TypedDict, total=False):
    my_key: int


class Camel(TypedDict):
    __pydantic_config__ = ConfigDict(alias_generator=to_camel)  # type: ignore[misc]
    my_key: int


class CamelOutside(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel)
    a_b: Plain


class Walked(BaseModel):
    model_config = ConfigDict(frozen=True)
    x: Iterable[int] = (1,)


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
            declaration_of(setting).index: RuleSet(("user",), (), number, Origin.SERVICE_DEFAULT)
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
    with pytest.raises(InvalidSetting, match=r"setting 's'.* raised UnicodeDecodeError"):
        declared(bytes, b"\xff", registry)


def test_override_with_bytes_that_are_no_text_is_refused_by_name(registry: Registry) -> None:
    setting = declared(bytes, b"a", registry)

    with pytest.raises(InvalidValue, match=r"setting 's'.* raised UnicodeDecodeError"):
        setting.override(b"\xff")


class Token:
    """Written as text; two of them are equal only if they are one."""

    def __init__(self, text: str) -> None:
        self.text = text

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        return core_schema.json_or_python_schema(
            json_schema=core_schema.no_info_after_validator_function(cls, core_schema.str_schema()),
            python_schema=core_schema.is_instance_schema(cls),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda token: token.text, return_schema=core_schema.str_schema()
            ),
        )


def test_type_of_which_values_are_not_compared_may_be_a_settings(registry: Registry) -> None:
    assert declared(Token, Token("a"), registry).get(user="x").text == "a"


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
    assert "returned an invalid value" in rule_set.rejections[0].reason


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


@pytest.mark.parametrize(
    ("record", "raw", "reason"),
    [
        (ByEither, {"a": 3}, None),
        (ByEither, {"a": 3, "A": 4}, "unknown key: the field's key is A @ $.a"),
        (ByAlias, {"a": 3}, "unknown key: the field's key is A @ $.a"),
        (ByAlias, {"b": 3}, "Extra inputs are not permitted @ $.b"),
    ],
    ids=["name", "both", "unread", "unknown"],
)
def test_record_is_read_by_the_keys_that_its_configuration_names(
    record: Any, raw: Any, reason: str | None
) -> None:
    decoder = decoder_of(record)

    if reason is None:
        assert decoder.decode(raw, []).a == 3
    elif record is ByAlias:
        with pytest.raises(Rejected) as rejected:
            decoder.decode(raw, [])
        assert str(rejected.value) == reason
    else:
        coercions: list[Coercion] = []
        assert decoder.decode(raw, coercions).a == 4
        assert [str(one) for one in coercions] == [reason]


def test_alias_generator_of_the_outer_record_loses_no_key_of_a_typed_dict(
    registry: Registry,
) -> None:
    default = CamelOutside.model_validate({"aB": {"myKey": 1}})

    setting = declared(CamelOutside, default, registry)

    assert setting.get(user="x").a_b == {"my_key": 1}


def test_alias_generator_of_a_typed_dict_is_refused() -> None:
    with pytest.raises(Rejected, match="alias_generator"):
        decoder_of(Camel)


def test_alias_that_is_the_name_of_another_field_is_refused() -> None:
    with pytest.raises(Rejected, match="the name of another field"):
        decoder_of(Swapped)


@pytest.mark.parametrize("annotation", [Walked, Sequence[Walked]], ids=["field", "element"])
def test_iterable_that_could_be_read_once_only_is_refused_in_a_record(annotation: Any) -> None:
    with pytest.raises(Rejected, match=r"use Sequence\[T\]"):
        decoder_of(annotation)


def test_iterable_that_could_be_read_once_only_is_refused_in_a_model(registry: Registry) -> None:
    with pytest.raises(InvalidSetting, match=r"field 'x' of M: .* use Sequence\[T\]"):

        class M(SettingsModel, prefix="m", configurable_features=["user"], registry=registry):
            x: dict[str, Iterable[int]] = {"a": [1]}  # noqa: RUF012  # pydantic copies it


def test_type_that_pydantic_does_not_know_is_an_error_that_names_the_model(
    registry: Registry,
) -> None:
    with pytest.raises(
        InvalidSetting, match=r"M has a field whose type .*Collection.* Use Sequence\[T\]"
    ):

        class M(SettingsModel, prefix="m", configurable_features=["user"], registry=registry):
            x: Collection[int] = (1,)


@pytest.mark.parametrize(
    "annotation",
    [
        Annotated[Iterable[int], Field(min_length=1)],
        Annotated[TypeAliasType("Some", Annotated[Iterable[int], Field(min_length=1)]), Field(max_length=3)],
    ],
    ids=["plain", "annotated twice"],
)  # fmt: skip
def test_constrained_iterable_is_read_as_a_tuple(annotation: Any) -> None:
    assert decoder_of(annotation).decode([1, 2], []) == (1, 2)


def test_model_that_reads_the_values_of_enums_is_refused(registry: Registry) -> None:
    with pytest.raises(InvalidSetting, match="use_enum_values"):

        class M(
            SettingsModel,
            prefix="m",
            configurable_features=["user"],
            registry=registry,
            use_enum_values=True,
        ):
            x: Feature = Feature.USER


def test_context_feature_may_be_called_as_the_first_parameter_of_a_method(
    registry: Registry,
) -> None:
    names: dict[str, Any] = {"__annotations__": {"x": "int"}, "x": 1, "__module__": __name__}
    make: Any = type(SettingsModel)
    made = make("M", (SettingsModel,), names, prefix="m", context=["cls"], registry=registry)

    assert SettingsModel.get.__func__(made, cls="x").x == 1  # type: ignore[attr-defined]


class MoreThanByAlias(ByAlias):
    b: int = 1


def test_default_of_a_subclass_is_refused_since_its_class_would_be_lost(
    registry: Registry,
) -> None:
    with pytest.raises(InvalidSetting, match="must be ByAlias itself"):
        declared(ByAlias, MoreThanByAlias(A=1), registry)
