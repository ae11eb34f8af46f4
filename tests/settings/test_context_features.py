"""`ContextFeatures`: a class of features, wherever a list of names may stand."""

from __future__ import annotations

import inspect
import typing  # noqa: F401  # for annotations that are text
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Optional, Union  # noqa: F401  # as above

import pytest

from heksher import (
    PROVIDED,
    AsyncHeksherClient,
    ContextFeatures,
    InvalidContext,
    InvalidSetting,
    MissingContextFeature,
    Setting,
    bind_context,
)
from heksher.clients.stub import StubHeksherClient
from heksher.settings.context import default_source
from heksher.settings.setting import declaration_of

if TYPE_CHECKING:
    from heksher.settings.registry import Registry


class Provided(ContextFeatures):
    environment: str = PROVIDED
    theme: str | None = PROVIDED


class Features(Provided):
    user: str


class Odd(ContextFeatures):
    self: str
    client: str
    match: Optional[str]  # noqa: UP045  # people write it so


FeaturesType: Any = type(ContextFeatures)


@pytest.fixture
def ttl(registry: Registry) -> Setting[int, ...]:
    setting: Any = Setting[int].within(Features, "ttl", default_value=60, registry=registry)
    return setting  # type: ignore[no-any-return]  # so that tests may call it wrongly


def test_class_stands_for_its_names_in_order_of_inheritance() -> None:
    assert list(Features) == ["environment", "theme", "user"]
    assert len(Features) == 3
    assert "user" in Features
    assert "usr" not in Features
    assert bool(Features)
    assert repr(PROVIDED) == "PROVIDED"


def test_setting_within_has_the_features_of_the_class(ttl: Setting[int, ...]) -> None:
    assert ttl.configurable_features == ("environment", "theme", "user")
    assert list(inspect.signature(ttl.get).parameters) == ["environment", "theme", "user"]
    assert ttl.get(environment="e", theme=None, user="x") == 60
    assert declaration_of(ttl).location.file == __file__


def test_class_stands_for_a_list_in_a_declaration(registry: Registry) -> None:
    listed = Setting[int]("a", configurable_features=Features, default_value=1, registry=registry)

    assert listed.configurable_features == ("environment", "theme", "user")
    AsyncHeksherClient("http://heksher", 60, Features, registry=registry)


def test_what_is_neither_given_nor_provided_is_missing(
    ttl: Setting[int, ...], registry: Registry
) -> None:
    with pytest.raises(MissingContextFeature, match="'environment'"):
        ttl.get(user="x")
    registry.set_defaults({"environment": default_source("environment", "e")})
    with bind_context(theme="dark"):
        assert ttl.get(user="x") == 60
        with pytest.raises(MissingContextFeature, match="'user'"):
            ttl.get()
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'usr'"):
        ttl.get(usr="x")


def test_binding_is_checked(ttl: Setting[int, ...]) -> None:
    with Features.bind(environment="e", theme="t", user="x"):
        assert ttl.get() == 60
    with pytest.raises(MissingContextFeature):
        ttl.get()
    with Provided.bind(environment="e"), Features.bind(user="x", theme=None):
        assert ttl.get() == 60
    wrong: Any = Features.bind
    with pytest.raises(
        InvalidContext, match=r"'usr' is not a context feature of Features: it has \["
    ):
        wrong(usr="x")


def test_defaults_are_checked(ttl: Setting[int, ...], registry: Registry) -> None:
    client = StubHeksherClient(registry=registry)
    variable: Any = ContextVar("theme", default="dark")

    Provided.set_defaults(client, environment="e", theme=variable)

    assert ttl.get(user="x") == 60
    wrong: Any = Provided.set_defaults
    with pytest.raises(InvalidContext, match="'user' is not a context feature of Provided"):
        wrong(client, user="x")


def test_features_may_be_called_like_arguments(registry: Registry) -> None:
    setting = Setting[int].within(Odd, "odd", default_value=1, registry=registry)

    with Odd.bind(self="a", client="b", match=None):
        assert setting.explain(self="a", client="b", match=None).value == 1
    assert setting.get(self="a", client="b", match="c") == 1
    Odd.set_defaults(StubHeksherClient(registry=registry), self="a", client="b", match="c")
    assert vars(Odd(self="a", client="b", match="c")) == {"self": "a", "client": "b", "match": "c"}


def test_instance_holds_a_context() -> None:
    assert Features(user="x", theme="dark").theme == "dark"
    wrong: Any = Features
    with pytest.raises(InvalidContext, match="'usr'"):
        wrong(usr="x")


def test_name_may_be_left_out_in_a_class_body(registry: Registry) -> None:
    class Config:
        ttl = Setting[int].within(
            Features, default_value=60, registry=registry, description="seconds"
        )

    assert Config.ttl.name == "ttl"
    assert Config.ttl.metadata == {"description": "seconds"}
    with Features.bind(environment="e", theme="t", user="x"):
        assert Config().ttl == 60


def test_subclass_that_names_the_type_may_be_within(registry: Registry) -> None:
    class IntSetting(Setting[int]): ...

    setting = IntSetting.within(Features, "a", default_value=1, registry=registry)

    assert setting.get(environment="e", theme=None, user="x") == 1
    with pytest.raises(InvalidSetting, match="say the type first"):
        Setting.within(Features, "b", default_value=1)


@pytest.mark.parametrize(
    ("namespace", "error"),
    [
        ({}, "the class F has no context feature: name at least one"),
        ({"__annotations__": {"class": str}}, "'class' in F is a word of Python's"),
        ({"__annotations__": {"None": str}}, "'None' in F is a word of Python's"),
        ({"__annotations__": {"__debug__": str}}, "'__debug__' in F is a word of Python's"),
        ({"__annotations__": {"a": int}}, "'a' in F is annotated <class 'int'>: .* are str"),
        ({"__annotations__": {"a": "int"}}, "'a' in F is annotated 'int'"),
        ({"__annotations__": {"a": str}, "a": "x"}, "'a' in F has a value: write `a: str`"),
        ({"__annotations__": {"bind": str}}, "'bind' in F is a method of every such class"),
        ({"__annotations__": {"é": str}}, "'é' .* is not a feature name"),
    ],
)
def test_class_that_cannot_be_is_an_error_at_its_line(
    namespace: dict[str, Any], error: str
) -> None:
    with pytest.raises(InvalidContext, match=error):
        FeaturesType("F", (ContextFeatures,), namespace)


@pytest.mark.parametrize(
    "context", [ContextFeatures, int, dict, 5, "user", None, lambda *, user: None]
)
def test_context_that_is_no_class_of_features_is_an_error(context: Any, registry: Registry) -> None:
    within: Any = Setting[int].within

    with pytest.raises(InvalidSetting, match=r"context feature|ContextFeatures"):
        within(context, "a", default_value=1, registry=registry)


@pytest.mark.parametrize(
    "annotation", ["Union[str, None]", "typing.Optional[str]", "Optional[str]", "str | None"]
)
def test_annotation_that_is_text_may_be_spelled_in_any_way(annotation: str) -> None:
    make: Any = type(ContextFeatures)
    made = make(
        "Features",
        (ContextFeatures,),
        {"__annotations__": {"user": annotation}, "__module__": __name__},
    )

    assert list(made) == ["user"]
