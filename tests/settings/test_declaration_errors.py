"""Declarations that cannot be right: an error at that line that names the setting and the way out."""

from __future__ import annotations

import pickle
import re
from dataclasses import dataclass
from enum import Enum, Flag
from typing import TYPE_CHECKING, Any, Literal, cast

import pytest
from ids import shown

from heksher import (
    HeksherEnum,
    HeksherFlags,
    InvalidSetting,
    InvalidSettingType,
    Setting,
    UsageError,
)

if TYPE_CHECKING:
    from heksher.settings.registry import Registry

GOOD: dict[str, Any] = {"configurable_features": ["user"], "default_value": 60}

WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("no feature", {"configurable_features": []}, r'name at least one, such as \["user"\]'),
    ("no features given", {"configurable_features": ()}, "name at least one"),
    ("feature as text", {"configurable_features": "user"}, "give a list of names"),
    ("feature as bytes", {"configurable_features": b"user"}, "give a list of names"),
    ("features of no kind", {"configurable_features": 5}, "give a list of names"),
    ("features None", {"configurable_features": None}, "give a list of names"),
    (
        "feature with a dash",
        {"configurable_features": ["user-id"]},
        "use letters, digits and _ only",
    ),
    (
        "feature with a newline",
        {"configurable_features": ["user\n"]},
        "use letters, digits and _ only",
    ),
    ("empty feature", {"configurable_features": [""]}, "use letters, digits and _ only"),
    ("feature beyond ASCII", {"configurable_features": ["ø0"]}, "use letters, digits and _ only"),
    (
        "digits beyond ASCII",
        {"configurable_features": ["u\u0661"]},
        "use letters, digits and _ only",
    ),
    (
        "feature of another type",
        {"configurable_features": ["user", 5]},
        "use letters, digits and _ only",
    ),
    (
        "feature twice",
        {"configurable_features": ["a", "b", "a"]},
        r"name \['a'\] twice: once is enough",
    ),
    ("no default", {"default_value": ...}, "default_value"),
    ("default of another type", {"default_value": "60"}, "must be an int, not str"),
    ("default None", {"default_value": None}, "must be an int, not None"),
    ("default true", {"default_value": True}, "must be an int, not bool"),
    ("default beyond 64 bits", {"default_value": 2**64}, r"must be from -2\*\*63 to 2\*\*64 - 1"),
    ("default below 64 bits", {"default_value": -(2**63) - 1}, r"must be from -2\*\*63"),
    (
        "version of one number",
        {"version": "1"},
        r'two numbers without leading zeros, such as "1\.0"',
    ),
    ("version 1.00", {"version": "1.00"}, "without leading zeros"),
    ("version 01.0", {"version": "01.0"}, "without leading zeros"),
    ("version with a newline", {"version": "1.0\n"}, "write it as a string"),
    ("version of three", {"version": "1.0.0"}, "two numbers"),
    ("version as a number", {"version": 1.0}, "write it as a string"),
    ("version None", {"version": None}, "write it as a string"),
    ("version negative", {"version": "-1.0"}, "two numbers"),
    ("digits of a version", {"version": "\u0661.0"}, "two numbers"),
    ("alias misnamed", {"alias": "old name"}, "use ASCII letters, digits, _ and . only"),
    ("alias empty", {"alias": ""}, "use ASCII letters, digits, _ and . only"),
    ("alias of no kind", {"alias": 5}, "use ASCII letters, digits, _ and . only"),
    ("own name as alias", {"alias": "cache.ttl"}, "or leave the alias out"),
    ("metadata of no kind", {"metadata": ["a"]}, "give a dict"),
    ("metadata key", {"metadata": {"a.b": 1}}, "use ASCII letters, digits, _ and - only"),
    ("metadata key empty", {"metadata": {"": 1}}, "use ASCII letters, digits, _ and - only"),
    ("metadata key newline", {"metadata": {"a\n": 1}}, "use ASCII letters, digits, _ and - only"),
    ("metadata key type", {"metadata": {5: 1}}, "use ASCII letters, digits, _ and - only"),
    (
        "metadata no JSON",
        {"metadata": {"a": [object()]}},
        r"metadata\.a\[0\] of setting .* must be JSON, not object",
    ),
    ("metadata set", {"metadata": {"a": {1}}}, "must be JSON, not set"),
    ("metadata bytes", {"metadata": {"a": b"x"}}, "must be JSON, not bytes"),
    ("metadata inner key", {"metadata": {"a": {1: 2}}}, "must have str keys, not int"),
    (
        "metadata inf",
        {"metadata": {"a": float("inf")}},
        r"metadata\.a of setting .* must be finite",
    ),
    ("metadata nan", {"metadata": {"a": [float("nan")]}}, "must be finite"),
    ("metadata beyond 64 bits", {"metadata": {"a": 2**64}}, r"must be from -2\*\*63"),
    ("metadata NUL", {"metadata": {"a": "x\0"}}, "NUL"),
    ("metadata inner NUL key", {"metadata": {"a": {"x\0": 1}}}, "NUL"),
    ("metadata surrogate", {"metadata": {"a": ["\ud800"]}}, "lone surrogate"),
    ("description of no kind", {"description": 5}, "give a str"),
    ("description NUL", {"description": "a\0"}, "NUL"),
    ("on_coerce", {"on_coerce": "drop"}, "give a function"),
    ("on_coerce a number", {"on_coerce": 0}, "give a function"),
]


def declare(registry: Registry, name: Any = "cache.ttl", **arguments: Any) -> Any:
    merged = {**GOOD, **arguments}
    given = {key: value for key, value in merged.items() if value is not ...}
    setting: Any = Setting(name, given.pop("type", int), registry=registry, **given)
    return setting


@pytest.mark.parametrize(
    ("arguments", "says"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG]
)
def test_wrong_declaration_says_what_is_wrong_and_what_to_write(
    arguments: dict[str, Any], says: str, registry: Registry
) -> None:
    with pytest.raises(InvalidSetting, match=says) as caught:
        declare(registry, **arguments)

    assert "'cache.ttl'" in str(caught.value)
    assert isinstance(caught.value, (UsageError, ValueError))
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("arguments", "says"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG]
)
def test_wrong_declaration_leaves_nothing_behind(
    arguments: dict[str, Any], says: str, registry: Registry
) -> None:
    with pytest.raises(InvalidSetting):
        declare(registry, **arguments)

    assert registry.declared() == []
    assert declare(registry).get(user="x") == 60


@pytest.mark.parametrize(
    "name",
    ["", " ", "a b", "a-b", "a/b", "a\n", "\na", "é", "a\0", "\u0661", 5, b"a", ["a"], object()],
    ids=shown,
)
def test_wrong_name_is_refused(name: Any, registry: Registry) -> None:
    with pytest.raises(InvalidSetting, match=r"use ASCII letters, digits, _ and \. only, as in"):
        declare(registry, name)


@pytest.mark.parametrize("name", ["a", "A.b_C.9", "...", "_", "0", "class"])
def test_name_that_the_service_takes_is_taken(name: str, registry: Registry) -> None:
    assert declare(registry, name).name == name


@pytest.mark.parametrize("version", ["0.0", "1.0", "10.20", "123456789.1"])
def test_version_that_the_service_takes_is_taken(version: str, registry: Registry) -> None:
    assert declare(registry, version=version).version == version


VALUES: list[tuple[str, Any, Any, str]] = [
    ("inf", float, float("inf"), "neither inf nor nan"),
    ("nan", float, float("nan"), "neither inf nor nan"),
    (
        "inf in a list",
        list[float],
        [0.5, float("-inf")],
        r"default_value\[1\] of .* must be finite",
    ),
    ("huge int for a float", float, 10**400, "must fit into a float"),
    ("beyond 64 bits in a dict", dict[str, int], {"a b": 2**70}, r'default_value\["a b"\] of'),
    ("NUL", str, "a\0", "NUL"),
    ("surrogate", str, "\udfff", "lone surrogate"),
    ("NUL in a list", list[str], ["a", "\0"], r"default_value\[1\] of .* NUL"),
    ("NUL in a key", dict[str, str], {"\0": "a"}, "NUL"),
    ("surrogate in a key", dict[str, str], {"\ud800": "a"}, "lone surrogate"),
    ("list for a tuple", tuple[int, ...], [1], "must be a tuple, not list"),
    ("str for a sequence", list[str], "ab", "must be a list, not str"),
    ("int keys", dict[str, int], {1: 1}, "must have str keys, not int"),
    (
        "bad element",
        list[dict[str, int]],
        [{"a": 1}, {"a": "x"}],
        r"default_value\[1\]\.a of setting .* must be an int, not str",
    ),
]


@pytest.mark.parametrize(
    ("annotation", "value", "says"), [row[1:] for row in VALUES], ids=[row[0] for row in VALUES]
)
def test_default_that_the_service_cannot_hold_is_refused_with_its_path(
    annotation: Any, value: Any, says: str, registry: Registry
) -> None:
    with pytest.raises(InvalidSetting, match=says) as caught:
        declare(registry, type=annotation, default_value=value)

    assert re.match(r"default_value\S*( b\"\])? of setting 'cache.ttl'", str(caught.value))


def test_default_nested_in_itself_is_refused(registry: Registry) -> None:
    endless: list[Any] = []
    endless.append(endless)
    nested: Any = list[int]
    for _ in range(3):
        nested = list[nested]

    with pytest.raises(InvalidSetting):
        declare(registry, type=nested, default_value=endless)


def test_metadata_nested_in_itself_is_refused(registry: Registry) -> None:
    endless: dict[str, Any] = {}
    endless["a"] = endless

    with pytest.raises(InvalidSetting, match=r"'cache.ttl' is nested too deeply"):
        declare(registry, metadata=endless)


def test_unnamed_setting_says_how_it_is_named(registry: Registry) -> None:
    with pytest.raises(InvalidSetting, match=r"\(named by its attribute\)"):
        Setting[int](configurable_features=[], default_value=1, registry=registry)


def test_attribute_that_is_no_setting_name_is_refused(registry: Registry) -> None:
    setting = Setting[int](configurable_features=["user"], default_value=1, registry=registry)

    with pytest.raises(InvalidSetting, match="'größe' is not a setting's name"):
        setting.__set_name__(object, "größe")


class Unhashable(Enum):
    A = 1
    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Raised(Exception):  # noqa: N818  # no error is meant
    code: int = 1


class Explosive(list[int]):
    def __iter__(self) -> Any:
        raise RuntimeError("boom")


class Composite(Flag):
    READ = 1
    BOTH = 6


class OnlyComposite(Flag):
    BOTH = 6


class Plain(Enum):
    A = 1


@pytest.mark.parametrize(
    ("annotation", "default", "reason"),
    [
        (Unhashable, Unhashable.A, "must be hashable: remove __eq__"),
        (Raised, Raised(), "such as Exception"),
        (list[int], Explosive([1]), "RuntimeError"),
        (Composite, Composite.BOTH, "give each bit a member of its own"),
        (OnlyComposite, OnlyComposite.BOTH, "at least one member with a single bit"),
    ],
    ids=["unhashable enum", "exception", "walked", "composite flag", "only a composite"],
)
def test_class_that_no_setting_can_have_is_refused_by_the_settings_name(
    annotation: Any, default: Any, reason: str, registry: Registry
) -> None:
    with pytest.raises(InvalidSetting, match=f"setting 's'.*{reason}"):
        Setting[annotation](
            "s", configurable_features=["user"], default_value=default, registry=registry
        )


@pytest.mark.parametrize("given", [int, None, Literal["a"]], ids=str)
@pytest.mark.parametrize("explicit", [HeksherEnum, HeksherFlags])
def test_explicit_type_of_what_is_no_enum_is_refused(explicit: Any, given: Any) -> None:
    with pytest.raises(InvalidSettingType, match="expected a subclass of"):
        explicit(given)


def test_explicit_flags_of_an_enum_without_bits_are_refused() -> None:
    with pytest.raises(InvalidSettingType, match="expected a subclass of Flag"):
        HeksherFlags(cast("Any", Plain))


def test_empty_subscript_is_refused() -> None:
    with pytest.raises(InvalidSetting, match=r"write Setting\[int\]"):
        cast("Any", Setting)[()]


def test_pickling_a_setting_without_a_name_is_refused(registry: Registry) -> None:
    setting = Setting[int](configurable_features=["user"], default_value=1, registry=registry)

    with pytest.raises(UsageError, match="give it one"):
        pickle.dumps(setting)


def test_alias_that_is_the_name_of_the_attribute_is_refused(registry: Registry) -> None:
    setting = Setting[int](
        configurable_features=["user"], default_value=1, alias="ttl", registry=registry
    )

    with pytest.raises(InvalidSetting, match="its own name as alias"):
        setting.__set_name__(type, "ttl")
