"""`Setting`: declaring in every spelling, reading from every context, descriptors, overrides."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import sys
import threading
import weakref
from collections import UserString
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ids import shown
from pydantic import BaseModel

from heksher import (
    InvalidContext,
    InvalidSetting,
    InvalidValue,
    MissingContextAttribute,
    MissingContextFeature,
    Resolution,
    Setting,
    SettingsModel,
    UnknownSetting,
    UsageError,
    bind_context,
    pinned,
)
from heksher.settings.context import default_source
from heksher.settings.reading.state import Snapshot, Source
from heksher.settings.registry import Registry
from heksher.settings.rules.compiling import CompileOptions, compile_rule_set
from heksher.settings.rules.rule_set import Origin, ServiceRule
from heksher.settings.setting import declaration_of
from heksher.settings.types.read_only import FrozenDict, FrozenList

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from conftest import Publish

    from heksher.settings.types.decoder import Coercion

T = TypeVar("T")

IF_USER_IS_JOHN = [(1, [["user", "john"]], 10)]


def ttl(registry: Registry, name: str = "cache.ttl", **arguments: Any) -> Setting[int, ...]:
    """Declare the setting that most tests read."""
    return Setting[int](
        name,
        **{
            "configurable_features": ["user"],
            "default_value": 60,
            "registry": registry,
            **arguments,
        },
    )


def set_default(registry: Registry, /, **defaults: Any) -> None:
    registry.set_defaults({name: default_source(name, value) for name, value in defaults.items()})


def compiled(setting: Setting[int, ...], rules: Sequence[Any]) -> Any:
    options = CompileOptions(feature_order=setting.configurable_features)
    return compile_rule_set(
        declaration_of(setting), setting.raw_default, rules, previous=None, options=options
    )


def test_subscript_and_second_argument_declare_the_same(registry: Registry) -> None:
    one = Setting[int]("a", configurable_features=["user"], default_value=60, registry=registry)
    two = Setting("b", int, ["user"], 60, registry=registry)

    for setting in (one, two):
        assert setting.type_string == "int"
        assert setting.configurable_features == ("user",)
        assert setting.get(user="x") == setting.default_value == setting.raw_default == 60


def test_all_arguments_may_be_given_by_position_as_in_heksher_py(registry: Registry) -> None:
    def refuse(*arguments: object) -> int:
        raise TypeError

    setting = Setting("a", int, ["user"], 60, {"unit": "s"}, "b", "1.2", refuse, registry=registry)

    assert setting.metadata == {"unit": "s"}
    assert (setting.alias, setting.version, setting.on_coerce) == ("b", "1.2", refuse)


def test_arguments_left_out_have_their_documented_values(registry: Registry) -> None:
    setting = ttl(registry)

    assert (setting.alias, setting.version, dict(setting.metadata)) == (None, "1.0", {})
    assert (len(declaration_of(setting).validators), len(declaration_of(setting).listeners)) == (
        0,
        0,
    )


def test_description_is_metadata(registry: Registry) -> None:
    setting = ttl(registry, metadata={"unit": "s", "description": "old"}, description="how long")

    assert setting.metadata == {"unit": "s", "description": "how long"}


def test_metadata_is_copied_and_read_only(registry: Registry) -> None:
    tags = ["a"]
    setting = ttl(registry, metadata={"tags": tags, "pair": (1, 2)})

    tags.append("b")

    assert setting.metadata == {"tags": ["a"], "pair": [1, 2]}
    with pytest.raises(TypeError):
        setting.metadata["x"] = 1  # type: ignore[index]


def test_default_is_a_read_only_copy(registry: Registry) -> None:
    given = [1]
    setting = Setting[list[int]](
        "a", configurable_features=["user"], default_value=given, registry=registry
    )

    given.append(2)

    assert setting.get(user="x") == setting.raw_default == [1]
    assert type(setting.get(user="x")) is FrozenList


def test_value_has_one_type_before_and_after_an_update(
    registry: Registry, publish: Publish
) -> None:
    setting = Setting[dict[str, list[float]]](
        "a", configurable_features=["user"], default_value={"a": [1]}, registry=registry
    )
    before = setting.get(user="x")

    publish(setting, [(1, [["user", "x"]], {"a": [1]})])

    after = setting.get(user="x")
    assert type(before) is type(after) is FrozenDict
    assert type(before["a"]) is type(after["a"]) is FrozenList
    assert type(before["a"][0]) is type(after["a"][0]) is float


def test_subclass_may_name_the_type(registry: Registry) -> None:
    class IntSetting(Setting[int]):
        pass

    class Special(IntSetting):
        pass

    setting = Special("a", configurable_features=["user"], default_value=1, registry=registry)

    assert (type(setting), setting.type_string) == (Special, "int")


def test_subclass_may_leave_the_type_open(registry: Registry) -> None:
    class Own(Setting[T]):
        pass

    setting = Own[int]("a", configurable_features=["user"], default_value=1, registry=registry)

    assert (type(setting), setting.type_string) == (Own, "int")


def test_subscript_with_type_variables_may_be_filled_in_later(registry: Registry) -> None:
    lists: Any = Setting[list[T]]  # type: ignore[valid-type]

    setting: Any = lists[int](
        "a", configurable_features=["user"], default_value=[1], registry=registry
    )

    assert setting.type_string == "Sequence<int>"


def test_type_given_twice_is_an_error(registry: Registry) -> None:
    with pytest.raises(InvalidSetting, match="by the subscript already"):
        Setting[int]("a", int, ["user"], 1, registry=registry)
    with pytest.raises(InvalidSetting, match="by the subscript already"):
        Setting[int]("a", type=int, configurable_features=["user"], default_value=1)


def test_type_left_out_is_an_error(registry: Registry) -> None:
    with pytest.raises(InvalidSetting, match=r"'a' has no type: write Setting\[int\]"):
        Setting("a", configurable_features=["user"], default_value=1, registry=registry)


@pytest.mark.parametrize("method", ["get", "explain"])
def test_subclass_that_overrides_what_is_generated_is_refused(method: str) -> None:
    mixin = type("Mixin", (), {method: lambda self: 5})

    for bases, namespace in [((Setting,), {method: lambda self: 5}), ((mixin, Setting), {})]:
        with pytest.raises(InvalidSetting, match=rf"Own overrides {method}\(\), .* another name"):
            type("Own", bases, namespace)


@pytest.mark.parametrize("name", [".", ".."])
def test_name_that_no_path_of_a_url_can_hold_is_refused(name: str, registry: Registry) -> None:
    with pytest.raises(InvalidSetting, match="no URL can hold it"):
        ttl(registry, name)
    with pytest.raises(InvalidSetting, match="no URL can hold it"):
        ttl(registry, alias=name)


def test_error_of_a_defaults_function_reaches_the_caller_after_one_call(
    registry: Registry,
) -> None:
    class Model(SettingsModel, prefix="m", context=["user"], registry=registry):
        a: int = 1

    setting, calls = ttl(registry), []

    def fail() -> str:
        calls.append(1)
        raise IndexError("mine")

    set_default(registry, user=fail)
    for read in (setting.get, setting.explain, Model.get, lambda: Model.settings["a"].get()):
        with pytest.raises(IndexError, match="mine") as caught:
            read()
        assert caught.value.__context__ is None

    assert len(calls) == 4


def test_validators_that_threads_add_at_once_are_all_kept(
    fast_switching: None, registry: Registry
) -> None:
    setting = ttl(registry)

    def add() -> None:
        for _ in range(200):
            setting.add_validator(lambda value, rule, setting: value)

    run_all(*[add] * 4)

    assert len(declaration_of(setting).validators) == 800


def test_name_of_a_dropped_setting_is_free_again(registry: Registry) -> None:
    Setting("a", int, ["user"], 1, registry=registry)

    again = Setting("a", str, ["user"], "x", registry=registry)

    assert registry.find("a").setting is again


def test_registry_holds_settings_weakly(registry: Registry) -> None:
    reference = weakref.ref(ttl(registry))

    assert reference() is None
    assert registry.declared() == []
    assert registry.readable() == {}
    with pytest.raises(UnknownSetting, match=r"'cache\.ttl'"):
        registry.find("cache.ttl")


def test_kept_get_keeps_its_setting_and_sees_every_update(
    registry: Registry, publish: Publish
) -> None:
    read = partial(ttl(registry).get, user="john")

    (declaration,) = registry.declared()
    setting = declaration.setting
    assert read() == 60
    publish(setting, IF_USER_IS_JOHN)

    assert read() == 10
    assert setting.get is read.func


def test_settings_are_listed_in_order_of_declaration(registry: Registry) -> None:
    settings = [ttl(registry, name) for name in ("b", "a", "c.d")]

    assert [one.setting for one in registry.declared()] == settings
    assert [one.name for one in settings] == ["b", "a", "c.d"]


def test_registries_share_nothing() -> None:
    one, two = ttl(Registry()), ttl(Registry())

    with one.override(1):
        assert (one.get(user="x"), two.get(user="x")) == (1, 60)


def test_get_is_one_object_for_life(registry: Registry, publish: Publish) -> None:
    setting = ttl(registry)
    get = setting.get

    publish(setting, IF_USER_IS_JOHN)
    set_default(registry, user="john")

    assert setting.get is get
    assert get() == 10


def test_signature_of_get_shows_the_features(registry: Registry) -> None:
    setting = ttl(registry, configurable_features=["environment", "user"])

    signature = inspect.signature(setting.get)

    assert list(signature.parameters) == ["environment", "user"]
    assert {one.kind for one in signature.parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    assert inspect.getdoc(setting.get) == "Return the value of setting 'cache.ttl' for a context."


ODD_FEATURES = ["k", "d0", "self", "class", "__debug__", "1a", "get", "None", "print", "_", "args",
                "kwargs", "cls", "view", "resolve", "key", "r0", "n0", "ABSENT", "registry"]  # fmt: skip


@pytest.mark.parametrize("feature", ODD_FEATURES)
def test_feature_of_any_name_is_read_from_everywhere(
    feature: str, registry: Registry, publish: Publish
) -> None:
    setting = ttl(registry, configurable_features=[feature, "user"])
    publish(setting, [(1, [[feature, "x"]], 1), (2, [[feature, "y"], ["user", "u"]], 2)])

    assert setting.get(**{feature: "x", "user": "u"}) == 1
    assert setting.explain(**{feature: "y", "user": "u"}).value == 2
    with bind_context(**{feature: "y", "user": "u"}):
        assert setting.get() == 2
        assert setting.get(**{feature: "x"}) == 1
    set_default(registry, **{feature: "x"})
    assert setting.get(user="u") == 1


def test_all_odd_features_together(registry: Registry, publish: Publish) -> None:
    setting = ttl(registry, configurable_features=ODD_FEATURES)
    publish(setting, [(n, [[feature, "x"]], n) for n, feature in enumerate(ODD_FEATURES, 1)])

    for place, feature in enumerate(ODD_FEATURES, 1):
        context = dict.fromkeys(ODD_FEATURES, "y") | {feature: "x"}
        assert setting.get(**context) == setting.explain(**context).value == place
        with pytest.raises(TypeError, match="unexpected keyword argument 'nope'"):
            setting.get(**context, nope="x")


STATES = ["before", "no rules", "rules", "defaults", "override"]


def bring_into(state: str, setting: Setting[Any, ...], registry: Registry, publish: Publish) -> Any:
    """Bring *setting*, of features a and user, into one of the states that a read may meet."""
    if state in ("no rules", "defaults"):
        publish(setting)
    if state == "rules":
        publish(setting, [(1, [["user", "x"]], 1), (2, [["a", "x"]], 2)])
    if state == "defaults":
        set_default(registry, a="x")
    return setting.override(5) if state == "override" else bind_context()


@pytest.mark.parametrize("method", ["get", "explain"])
@pytest.mark.parametrize("state", STATES)
def test_unknown_feature_is_a_type_error_naming_the_setting(
    state: str, method: str, registry: Registry, publish: Publish
) -> None:
    setting = ttl(registry, configurable_features=["a", "user"])

    with bring_into(state, setting, registry, publish):
        for context in ({"usr": "x"}, {"a": "x", "user": "x", "usr": "x"}):
            with pytest.raises(
                TypeError, match=r"Setting\('cache.ttl'\).get\(\) got an unexpected.*'usr'"
            ):
                getattr(setting, method)(**context)


@pytest.mark.parametrize("method", ["get", "explain"])
@pytest.mark.parametrize("state", STATES)
def test_feature_without_a_value_is_missing(
    state: str, method: str, registry: Registry, publish: Publish
) -> None:
    setting = ttl(registry, configurable_features=["a", "user"])

    with (
        bring_into(state, setting, registry, publish),
        pytest.raises(
            MissingContextFeature, match=r"'cache.ttl'.*'user'.*get\(user=\.\.\.\)"
        ) as caught,
    ):
        getattr(setting, method)(a="x")

    assert (caught.value.setting_name, caught.value.feature) == ("cache.ttl", "user")
    assert isinstance(caught.value, LookupError)
    assert not isinstance(caught.value, AttributeError)


def test_positional_argument_is_a_type_error(registry: Registry) -> None:
    with pytest.raises(TypeError, match="positional"):
        ttl(registry).get("john")


class TextEnum(StrEnum):
    JOHN = "john"


class MixedIn(str, Enum):  # noqa: UP042  # still common
    JOHN = "john"


class Plain(Enum):
    JOHN = "john"


class Unhashable(str):
    __hash__ = None  # type: ignore[assignment]


class Everything:
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash("john")


MATCHING: list[Any] = [
    "john",
    TextEnum.JOHN,
    MixedIn.JOHN,
    "".join(["jo", "hn"]),
    Unhashable("john"),
]
UNMATCHING: list[Any] = [
    None, "John", "", 5, 1.5, True, [], {}, set(), ["john"], b"john", UserString("john"), Plain.JOHN,
    object(), str, Everything(), ("john",),
]  # fmt: skip


@pytest.mark.parametrize("value", MATCHING, ids=lambda value: type(value).__name__)
def test_value_that_is_a_str_matches(value: Any, registry: Registry, publish: Publish) -> None:
    setting = ttl(registry, configurable_features=["user", "a"])
    publish(setting, [*IF_USER_IS_JOHN, (2, [["user", "john"], ["a", "x"]], 20)])

    assert setting.get(user=value, a=None) == setting.explain(user=value, a=None).value == 10
    assert setting.get(user=value, a="x") == setting.explain(user=value, a="x").value == 20
    assert setting.get(user=value, a=[]) == 10


@pytest.mark.parametrize("value", UNMATCHING, ids=shown)
def test_value_that_is_no_str_matches_nothing(
    value: Any, registry: Registry, publish: Publish
) -> None:
    setting = ttl(registry, configurable_features=["user", "a"])
    publish(
        setting, [*IF_USER_IS_JOHN, (2, [["user", "john"], ["a", "x"]], 20), (3, [["a", "x"]], 30)]
    )

    assert setting.get(user=value, a=None) == setting.explain(user=value, a=None).value == 60
    assert setting.get(user=value, a="x") == setting.explain(user=value, a="x").value == 30
    with bind_context(user=value):
        assert setting.get(a="x") == 30


def test_explanation_says_that_a_value_of_another_type_matches_nothing(registry: Registry) -> None:
    explained = ttl(registry).explain(user=5)

    assert "user=5 (argument, an int, which matches nothing: give a str)" in str(explained)
    assert "matches nothing" not in str(ttl(registry).explain(user=None))


def test_given_value_wins_over_bound_and_bound_over_default(
    registry: Registry, publish: Publish
) -> None:
    setting = ttl(registry)
    publish(
        setting, [(n, [["user", name]], n) for n, name in enumerate(("given", "bound", "default"))]
    )
    set_default(registry, user="default")

    assert setting.get() == 2
    with bind_context(user="bound"):
        assert setting.get() == 1
        assert setting.get(user="given") == 0
        assert setting.get(user=None) == 60


def test_bindings_nest_and_end(registry: Registry, publish: Publish) -> None:
    setting = ttl(registry, configurable_features=["a", "user"])
    publish(setting, [(1, [["a", "x"], ["user", "u"]], 1), (2, [["a", "y"], ["user", "u"]], 2)])

    with bind_context(a="x", other="z"):
        with bind_context(user="u"):
            assert setting.get() == 1
            with bind_context(a="y"):
                assert setting.get() == 2
            assert setting.get() == 1
        with pytest.raises(MissingContextFeature):
            setting.get()


def test_bound_none_hides_the_default(registry: Registry, publish: Publish) -> None:
    setting = ttl(registry)
    publish(setting, IF_USER_IS_JOHN)
    set_default(registry, user="john")

    with bind_context(user=None):
        assert setting.get() == 60


current_user: ContextVar[str] = ContextVar("current_user")
KINDS: dict[str, Any] = {"string": "john", "variable": current_user, "function": lambda: "john"}


@pytest.mark.parametrize("kind", KINDS)
def test_default_of_each_kind_is_used(kind: str, registry: Registry, publish: Publish) -> None:
    setting = ttl(registry)
    publish(setting, IF_USER_IS_JOHN)
    set_default(registry, user=KINDS[kind])

    token = current_user.set("john")
    try:
        assert setting.get() == setting.explain().value == 10
        assert setting.get(user=None) == 60
    finally:
        current_user.reset(token)


def test_variable_without_a_value_counts_as_not_given(registry: Registry) -> None:
    setting = ttl(registry)
    set_default(registry, user=current_user)

    with pytest.raises(MissingContextFeature):
        setting.get()
    with pytest.raises(MissingContextFeature):
        setting.explain()


def test_default_of_a_variable_itself_counts(registry: Registry, publish: Publish) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="john")
    setting = ttl(registry)
    publish(setting, IF_USER_IS_JOHN)
    set_default(registry, user=variable)

    assert setting.get() == setting.explain().value == 10
    token = variable.set("jane")
    assert setting.get() == 60
    variable.reset(token)


def test_function_is_called_for_each_read(registry: Registry, publish: Publish) -> None:
    setting = ttl(registry)
    publish(setting, IF_USER_IS_JOHN)
    users = iter(["john", "jane", None, "john"])
    set_default(registry, user=lambda: next(users))

    assert [setting.get() for _ in range(4)] == [10, 60, 60, 10]


def test_defaults_add_up_and_may_be_replaced(registry: Registry) -> None:
    setting = ttl(registry, configurable_features=["a", "user"])

    set_default(registry, a="x")
    set_default(registry, user="u")
    assert setting.get() == 60

    registry.set_defaults({}, replace=True)
    with pytest.raises(MissingContextFeature):
        setting.get()


@pytest.mark.parametrize("default", [None, 5, ["x"], b"x"], ids=shown)
def test_default_of_another_kind_is_refused(default: Any) -> None:
    with pytest.raises(
        InvalidContext, match=r"'user' is .*: give a str, a ContextVar, or a function"
    ):
        default_source("user", default)


def test_setting_declared_after_a_default_uses_it(registry: Registry) -> None:
    set_default(registry, user="john")

    assert ttl(registry).get() == 60


async def test_tasks_inherit_the_bound_context_and_keep_their_own(
    registry: Registry, publish: Publish
) -> None:
    setting = ttl(registry)
    publish(setting, [(n, [["user", str(n)]], n) for n in range(20)])

    async def request(number: int) -> tuple[int, int]:
        inherited = setting.get()
        with bind_context(user=str(number)):
            await asyncio.sleep(0)
            return inherited, setting.get()

    with bind_context(user="19"):
        results = await asyncio.gather(*[request(number) for number in range(19)])

    assert results == [(19, number) for number in range(19)]


def test_other_thread_sees_neither_binding_nor_override(registry: Registry) -> None:
    setting = ttl(registry)
    seen: list[object] = []

    def read() -> None:
        seen.append(setting.get(user="x"))
        with pytest.raises(MissingContextFeature):
            setting.get()

    with bind_context(user="x"), setting.override(1):
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()

    assert seen == [60]


def test_override_is_read_until_its_block_ends(registry: Registry, publish: Publish) -> None:
    setting, other = ttl(registry), ttl(registry, "other")
    publish(setting, IF_USER_IS_JOHN)

    with setting.override(1), other.override(2):
        with setting.override(3):
            assert (setting.get(user="john"), other.get(user="x")) == (3, 2)
        assert (setting.get(user="john"), other.get(user="x")) == (1, 2)

    assert (setting.get(user="john"), other.get(user="x")) == (10, 60)


def test_override_ends_with_an_exception(registry: Registry) -> None:
    setting = ttl(registry)

    with pytest.raises(ZeroDivisionError), setting.override(1):
        raise ZeroDivisionError

    assert setting.get(user="x") == 60


def test_override_does_not_pin_other_settings(registry: Registry, publish: Publish) -> None:
    setting, other = ttl(registry), ttl(registry, "other")

    with setting.override(1):
        publish(other, default=5)
        publish(setting, default=6)
        assert (setting.get(user="x"), other.get(user="x")) == (1, 5)

    assert setting.get(user="x") == 6


@pytest.mark.parametrize("value", [True, "1", None, 2**64, 1.0], ids=shown)
def test_override_of_another_type_is_an_error(value: Any, registry: Registry) -> None:
    with pytest.raises(InvalidValue, match=r"override of setting 'cache.ttl' must be"):
        ttl(registry).override(value)


def test_override_with_a_falsy_value_is_read(registry: Registry) -> None:
    setting = ttl(registry)

    with setting.override(0), bind_context(user="x"):
        assert setting.get() == setting.explain().value == 0


def test_override_is_read_only(registry: Registry) -> None:
    setting = Setting[list[int]](
        "a", configurable_features=["user"], default_value=[], registry=registry
    )
    given = [1]

    with setting.override(given):
        given.append(2)
        assert setting.get(user="x") == [1]
        assert type(setting.get(user="x")) is FrozenList


def test_pinned_state_is_read_until_its_block_ends(registry: Registry, publish: Publish) -> None:
    setting = ttl(registry)
    set_default(registry, user="john")

    with registry.pinned():
        publish(setting, IF_USER_IS_JOHN)
        set_default(registry, user="jane")
        with registry.pinned():
            assert (setting.get(), setting.get(user="john")) == (60, 60)
        assert setting.explain(user="john").value == 60

    assert (setting.get(), setting.get(user="john")) == (60, 10)


def test_override_lies_over_a_pinned_state(registry: Registry, publish: Publish) -> None:
    setting, other = ttl(registry), ttl(registry, "other")

    with registry.pinned():
        publish(other, default=5)
        with setting.override(1):
            assert (setting.get(user="x"), other.get(user="x")) == (1, 60)


def test_pinning_under_an_override_keeps_both(registry: Registry, publish: Publish) -> None:
    setting, other = ttl(registry), ttl(registry, "other")

    with setting.override(1), registry.pinned():
        publish(other, default=5)
        publish(setting, default=5)
        assert (setting.get(user="x"), other.get(user="x")) == (1, 60)


def test_setting_declared_while_pinned_reads_its_default(
    registry: Registry, publish: Publish
) -> None:
    old = ttl(registry, "old")
    publish(old)

    with registry.pinned():
        publish(old)
        setting = ttl(registry)
        publish(setting, IF_USER_IS_JOHN)
        assert setting.get(user="john") == 60
        with bind_context(user="john"):
            assert setting.get() == setting.explain().value == 60
        with setting.override(5), bind_context(user="john"):
            assert setting.get() == setting.get(user="x") == 5
        with pytest.raises(MissingContextFeature):
            setting.get()

    assert setting.get(user="john") == 10


async def test_tasks_inherit_a_pinned_state_and_others_go_on(
    registry: Registry, publish: Publish
) -> None:
    setting = ttl(registry)

    async def read() -> int:
        return setting.get(user="john")

    with registry.pinned():
        inside = asyncio.create_task(read())
    outside = asyncio.create_task(read())
    publish(setting, IF_USER_IS_JOHN)

    assert (await inside, await outside) == (60, 10)


def test_pinned_is_about_the_registry_of_the_process() -> None:
    with pinned():
        pass


def test_explanation_of_a_rule(registry: Registry, publish: Publish) -> None:
    setting = ttl(registry, configurable_features=["environment", "user"])
    publish(
        setting,
        [(1, [["environment", "dev"]], 5), (2, [["user", "john"], ["environment", "dev"]], 7)],
    )
    set_default(registry, environment="dev")

    with bind_context(user="john"):
        explained: Resolution[int] = setting.explain()

    assert (explained.value, explained.origin, explained.rule_id) == (7, Origin.RULE, 2)
    assert explained.conditions == (("environment", "dev"), ("user", "john"))
    assert [(one.feature, one.value, one.source.value) for one in explained.context] == [
        ("environment", "dev", "client default"),
        ("user", "john", "bound context"),
    ]
    assert [(one.rule_id, one.reason) for one in explained.outranked] == [
        (1, "gave way: it has no condition on user")
    ]
    assert (explained.source, explained.age >= 0) == (Source.SERVICE, True)


def test_explanation_of_each_origin(registry: Registry, publish: Publish) -> None:
    setting = ttl(registry)
    assert setting.explain(user="x").origin is Origin.LOCAL_DEFAULT
    assert setting.explain(user="x").source is Source.DECLARED_DEFAULTS

    publish(setting, IF_USER_IS_JOHN, default=5)

    assert setting.explain(user="x").origin is Origin.SERVICE_DEFAULT
    assert setting.explain(user="john").origin is Origin.RULE
    with setting.override(0):
        explained = setting.explain(user="john")
    assert (explained.origin, explained.rule_id, explained.value) == (Origin.OVERRIDE, None, 0)
    assert explained.outranked[0].reason == "gave way to the override"


def test_explanation_reads_well_and_dumps_as_json(registry: Registry, publish: Publish) -> None:
    setting = Setting[list[int]](
        "a", configurable_features=["user"], default_value=[], registry=registry
    )
    publish(setting, [(1, [["user", "john"]], [1, "x"]), (2, [["user", "jane"]], "x")])

    explained = setting.explain(user="john")

    assert str(explained).splitlines()[:4] == [
        "a = [1], from rule 1 (user=john)",
        "  context: user='john' (argument)",
        "  left out: must be an int, not str @ $[1]",
        "  setting 'a': rule 2 was rejected: must be a list, not str",
    ]
    dumped = json.loads(json.dumps(explained.as_dict()))
    assert (dumped["value"], dumped["conditions"], dumped["coercions"]) == (
        [1], {"user": "john"}, [{"path": "$[1]", "reason": "must be an int, not str"}],
    )  # fmt: skip


def test_explanation_calls_a_default_function_once(registry: Registry) -> None:
    setting = ttl(registry)
    calls: list[int] = []
    set_default(registry, user=lambda: calls.append(1))

    setting.explain()

    assert calls == [1]


@given(
    rule_value=st.sampled_from(["john", "jane"]),
    default=st.sampled_from(["john", "jane", None]),
    bound=st.sampled_from(["john", "jane", None, ...]),
    argument=st.sampled_from(["john", "jane", None, ...]),
    overridden=st.booleans(),
)
def test_explanation_is_of_what_get_returns(
    rule_value: str, default: str | None, bound: Any, argument: Any, overridden: bool
) -> None:
    registry = Registry()
    setting = ttl(registry)
    rule_set = compiled(setting, [(1, [["user", rule_value]], 10)])
    registry.publish(Snapshot(rule_sets={declaration_of(setting).index: rule_set}))
    set_default(registry, user=lambda: default)
    given_features = {} if argument is ... else {"user": argument}

    with (
        bind_context(**({} if bound is ... else {"user": bound})),
        setting.override(3) if overridden else bind_context(),
    ):
        explained = setting.explain(**given_features)
        assert explained.value == setting.get(**given_features)
        assert (explained.origin is Origin.RULE) is (explained.value == 10)


def test_class_attribute_is_the_setting_and_instance_attribute_its_value(
    registry: Registry, publish: Publish
) -> None:
    class Config:
        cache_ttl = ttl(registry)

    publish(Config.cache_ttl, IF_USER_IS_JOHN)

    assert isinstance(Config.cache_ttl, Setting)
    with bind_context(user="john"):
        assert Config().cache_ttl == 10
        assert getattr(Config(), "cache_ttl", 3) == 10
        assert hasattr(Config(), "cache_ttl")


def test_descriptor_without_a_name_takes_that_of_its_attribute(registry: Registry) -> None:
    class Config:
        cache_ttl = Setting[int](
            configurable_features=["user"], default_value=60, registry=registry
        )

        @staticmethod
        @cache_ttl.add_validator
        def check(value: int, rule: Any, setting: Any) -> int:
            return value

    assert Config.cache_ttl.name == "cache_ttl"
    assert registry.find("cache_ttl").setting is Config.cache_ttl
    assert declaration_of(Config.cache_ttl).validators == (Config.check,)
    assert Config.cache_ttl.get(user="x") == 60


def test_missing_context_of_an_attribute_is_an_attribute_error(registry: Registry) -> None:
    class Config:
        cache_ttl = ttl(registry)

    config = Config()

    with pytest.raises(MissingContextAttribute, match="bind_context") as caught:
        _ = config.cache_ttl
    assert isinstance(caught.value, AttributeError)
    assert isinstance(caught.value, MissingContextFeature)
    assert not hasattr(config, "cache_ttl")
    assert getattr(config, "cache_ttl", 3) == 3


def test_mock_and_inspect_take_an_owner_without_context(registry: Registry) -> None:
    class Config:
        cache_ttl = ttl(registry)
        other = 1

    assert Mock(spec=Config).cache_ttl is not None
    assert Mock(spec=Config()).other is not None
    assert ("other", 1) in inspect.getmembers(Config())
    assert inspect.getattr_static(Config(), "cache_ttl") is Config.cache_ttl


def test_attribute_can_be_neither_assigned_nor_deleted(registry: Registry) -> None:
    class Config:
        cache_ttl = ttl(registry)

    config: Any = Config()

    with pytest.raises(AttributeError, match=r"'cache.ttl' is read-only: change it on the service"):
        config.cache_ttl = 3
    with pytest.raises(AttributeError, match="read-only"):
        del config.cache_ttl


def test_owner_may_be_a_dataclass(registry: Registry) -> None:
    @dataclass(frozen=True, slots=True)
    class Config:
        size: int
        cache_ttl: ClassVar = ttl(registry)

    with bind_context(user="x"):
        assert Config(3).cache_ttl == 60
    assert Config(3) == Config(3)
    assert repr(Config(3)).endswith("Config(size=3)")


def test_owner_may_be_a_pydantic_model(registry: Registry) -> None:
    class Config(BaseModel):
        size: int = 3
        cache_ttl: ClassVar[Setting[int]] = ttl(registry)

    with bind_context(user="x"):
        assert Config().cache_ttl == 60
    assert Config().model_dump() == {"size": 3}


def test_owner_may_be_generic_have_slots_and_implement_a_protocol(registry: Registry) -> None:
    class Slotted(Generic[T]):
        __slots__ = ()
        cache_ttl = ttl(registry)

    class HasTtl(Protocol):
        @property
        def cache_ttl(self) -> int: ...

    with_ttl: HasTtl = Slotted[str]()
    with bind_context(user="x"):
        assert with_ttl.cache_ttl == 60


def test_setting_that_never_got_a_name_says_so(registry: Registry) -> None:
    setting = Setting[int](configurable_features=["user"], default_value=1, registry=registry)

    class Config:
        pass

    Config.late = setting  # type: ignore[attr-defined]
    for use in (
        lambda: setting.get(user="x"),
        lambda: setting.explain(),
        lambda: setting.override(1),
    ):
        with pytest.raises(UsageError, match="without a name"):
            use()
    assert not hasattr(Config(), "late")
    assert registry.declared() == []
    assert "named by its attribute" in repr(setting)


def test_validators_are_called_in_order_with_value_rule_and_setting(
    registry: Registry, publish: Publish
) -> None:
    setting = ttl(registry)
    calls: list[Any] = []

    @setting.add_validator
    def double(value: int, rule: ServiceRule | None, setting: Setting[int]) -> int:
        calls.append((value, rule, setting))
        return value * 2

    setting.add_validator(lambda value, rule, setting: value + 1)
    publish(setting, IF_USER_IS_JOHN, default=5)

    assert (setting.get(user="john"), setting.get(user="x"), setting.default_value) == (21, 11, 60)
    assert calls == [(5, None, setting), (10, ServiceRule(1, (("user", "john"),), 10), setting)]


@pytest.mark.parametrize("error", [TypeError, ValueError, KeyError, ZeroDivisionError])
def test_validator_that_raises_rejects_that_value_alone(
    error: type[Exception], registry: Registry, publish: Publish
) -> None:
    setting = ttl(registry)

    @setting.add_validator
    def refuse(value: int, rule: Any, setting: Any) -> int:
        if value == 13:
            raise error("hunter2")
        return value

    rule_set = publish(setting, [(1, [["user", "a"]], 13), (2, [["user", "b"]], 14)])

    assert (setting.get(user="a"), setting.get(user="b")) == (60, 14)
    (rejection,) = rule_set.rejections
    assert str(rejection) == (
        f"setting 'cache.ttl': rule 1 was rejected: validator refuse raised {error.__name__}"
    )


@pytest.mark.parametrize("returned", ["5", None, True, 2**64, [], 5.0], ids=shown)
def test_validator_that_returns_what_the_setting_cannot_have_rejects_the_value(
    returned: Any, registry: Registry, publish: Publish
) -> None:
    setting = ttl(registry)
    setting.add_validator(lambda value, rule, setting: returned)

    rule_set = publish(setting, IF_USER_IS_JOHN)

    assert setting.get(user="john") == 60
    assert "returned an invalid value" in rule_set.rejections[-1].reason


def test_what_a_validator_returns_is_made_read_only(registry: Registry, publish: Publish) -> None:
    setting = Setting[list[int]](
        "a", configurable_features=["user"], default_value=[], registry=registry
    )
    kept = [7]
    setting.add_validator(lambda value, rule, setting: kept)
    publish(setting)

    kept.append(8)

    assert setting.get(user="x") == [7]
    assert type(setting.get(user="x")) is FrozenList


class Client:
    def __init__(self) -> None:
        self.told: list[Any] = []

    def setting_declared(self) -> None:
        self.told.append("declared")

    def setting_outdated(self, setting: Any) -> None:
        self.told.append(setting)


def test_client_is_told_of_new_settings_and_of_new_validators(registry: Registry) -> None:
    client = Client()
    registry.claim(client)

    setting = ttl(registry)
    setting.add_validator(lambda value, rule, setting: value)

    assert client.told == ["declared", declaration_of(setting)]


@pytest.mark.parametrize("what", [None, 5, "text"], ids=shown)
def test_validator_and_listener_have_to_be_callable(what: Any, registry: Registry) -> None:
    setting = ttl(registry)

    with pytest.raises(InvalidSetting, match=r"'cache.ttl' is .*: give a function"):
        setting.add_validator(what)
    with pytest.raises(InvalidSetting, match=r"'cache.ttl' is .*: give a function"):
        setting.on_change(what)


def names(registry: Registry, on_coerce: Any = ...) -> Setting[list[str], ...]:
    return Setting[list[str]](
        "names",
        configurable_features=["user"],
        default_value=["default"],
        registry=registry,
        **({} if on_coerce is ... else {"on_coerce": on_coerce}),
    )


HALF_GOOD = [(1, [["user", "john"]], ["good", 5])]


def test_coerced_value_is_taken_and_reported_by_default(
    registry: Registry, publish: Publish
) -> None:
    setting = names(registry)

    rule_set = publish(setting, HALF_GOOD)

    assert setting.get(user="john") == ["good"]
    assert {rule: [str(one) for one in found] for rule, found in rule_set.coercions.items()} == {
        1: ["must be a str, not int @ $[1]"]
    }
    assert rule_set.rejections == ()


def test_on_coerce_none_rejects_every_coercion(registry: Registry, publish: Publish) -> None:
    setting = names(registry, None)

    rule_set = publish(setting, HALF_GOOD)

    assert setting.get(user="john") == ["default"]
    assert "on_coerce=None forbids: must be a str, not int @ $[1]" in rule_set.rejections[0].reason
    assert rule_set.coercions == {}


def test_on_coerce_is_given_all_there_is_to_know(registry: Registry, publish: Publish) -> None:
    calls: list[Any] = []

    def decide(
        coerced: list[str],
        raw: Any,
        coercions: Sequence[Coercion],
        rule: ServiceRule | None,
        setting: Any,
    ) -> list[str]:
        calls.append(
            (coerced, raw, [one.path for one in coercions], rule and rule.rule_id, setting)
        )
        return [*coerced, "more"]

    setting = names(registry, decide)
    publish(setting, HALF_GOOD, default=[5])

    assert calls == [
        ([], [5], ["$[0]"], None, setting),
        (["good"], ["good", 5], ["$[1]"], 1, setting),
    ]
    assert (setting.get(user="john"), setting.get(user="x")) == (["good", "more"], ["more"])
    assert type(setting.get(user="x")) is FrozenList


@pytest.mark.parametrize("error", [TypeError, ValueError, RuntimeError])
def test_on_coerce_that_raises_rejects_the_value(
    error: type[Exception], registry: Registry, publish: Publish
) -> None:
    def refuse(*arguments: Any) -> list[str]:
        raise error("hunter2")

    setting = names(registry, refuse)

    rule_set = publish(setting, HALF_GOOD)

    assert setting.get(user="john") == ["default"]
    assert rule_set.rejections[0].reason == f"on_coerce raised {error.__name__}"


def test_on_coerce_is_not_asked_about_values_that_fit(registry: Registry, publish: Publish) -> None:
    setting = names(registry, lambda *arguments: ["wrong"])

    publish(setting, [(1, [["user", "john"]], ["good"])])

    assert (setting.get(user="john"), setting.get(user="x")) == (["good"], ["default"])


def test_validators_see_what_on_coerce_returned(registry: Registry, publish: Publish) -> None:
    setting = names(registry, lambda *arguments: ["coerced"])
    setting.add_validator(lambda value, rule, setting: [*value, "validated"])

    publish(setting, HALF_GOOD, default=["fits"])

    assert setting.get(user="john") == ["coerced", "validated"]


def test_listener_is_kept_with_its_context_until_removed(registry: Registry) -> None:
    setting = ttl(registry)
    heard: list[Any] = []

    with bind_context(user="x"):
        remove = setting.on_change(lambda changed: heard.append((changed, changed.get())))
    other = setting.on_change(lambda changed: None)
    for context, listener in declaration_of(setting).listeners:
        context.copy().run(listener, setting)
    remove()
    remove()

    assert heard == [(setting, 60)]
    assert len(declaration_of(setting).listeners) == 1
    other()
    assert not declaration_of(setting).listeners


def test_same_listener_may_be_registered_twice_and_removed_once(registry: Registry) -> None:
    setting = ttl(registry)

    first = setting.on_change(print)
    setting.on_change(print)
    first()
    first()

    assert len(declaration_of(setting).listeners) == 1


def test_copy_gives_the_setting_itself(registry: Registry) -> None:
    setting = ttl(registry)

    assert copy.copy(setting) is copy.deepcopy(setting) is copy.deepcopy([setting])[0] is setting


def test_repr_names_setting_and_type(registry: Registry) -> None:
    assert repr(ttl(registry)) == "<Setting 'cache.ttl': int>"


@pytest.fixture
def fast_switching() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def run_all(*functions: Callable[[], None]) -> None:
    """Run functions in threads of their own, and raise what one of them raised."""
    errors: list[BaseException] = []

    def guarded(function: Callable[[], None]) -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001  # raised again below
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=[one]) for one in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_threads_read_whole_states_while_another_publishes(
    fast_switching: None, registry: Registry
) -> None:
    one, two = ttl(registry, "one"), ttl(registry, "two")
    done = threading.Event()

    def write() -> None:
        for number in range(300):
            rule_set = compiled(one, [(1, [["user", "john"]], number)])
            registry.publish(
                Snapshot(
                    rule_sets={
                        declaration_of(one).index: rule_set,
                        declaration_of(two).index: rule_set,
                    }
                )
            )
            set_default(registry, user="john")
        done.set()

    def read() -> None:
        last = 0
        while not done.is_set():
            with registry.pinned(), bind_context(user="john"):
                first, second = one.get(), two.get(user="john")
            assert first == second
            assert first >= last
            last = 0 if first == 60 else first

    run_all(write, read, read)


def test_threads_declare_while_others_publish(
    fast_switching: None, registry: Registry, publish: Publish
) -> None:
    kept: list[Setting[int, ...]] = []
    first = ttl(registry, "first")

    def declare(prefix: str) -> None:
        for number in range(200):
            setting = ttl(registry, f"{prefix}{number}")
            assert setting.get(user="x") == 60
            with bind_context(user="x"):
                assert setting.get() == 60
            kept.append(setting)

    def write() -> None:
        for number in range(200):
            publish(first, default=number)

    run_all(partial(declare, "a"), partial(declare, "b"), write)

    assert len(registry.declared()) == 401
    assert {setting.get(user="x") for setting in kept} == {60}
    assert copy_context().run(first.get, user="x") == 199
