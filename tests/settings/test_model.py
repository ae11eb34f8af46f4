"""`SettingsModel`: declaring one, whatever a pydantic user writes, and every mistake in it."""

# ruff: noqa: RUF012  # pydantic copies mutable defaults
from __future__ import annotations

import gc
import importlib.util
import inspect
import sys
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, TypeVar
from unittest.mock import Mock

import pytest
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    computed_field,
    model_validator,
)

from heksher import (
    ContextFeatures,
    InvalidSetting,
    InvalidSettingType,
    Setting,
    SettingsModel,
    UsageError,
)
from heksher.settings.setting import declaration_of

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Publish

    from heksher.settings.registry import Registry

T = TypeVar("T")

ModelType: Any = type(SettingsModel)


class Inner(SettingsModel):
    port: int = 80
    hosts: list[str] = ["a"]


class Outer(SettingsModel):
    inner: Inner = Inner(port=9)
    depth: int = 1


class Features(ContextFeatures):
    environment: str
    user: str


def names(model: type[SettingsModel]) -> list[str]:
    return [setting.name for setting in model.settings.values()]


def declare(name: str, registry: Registry, annotations: dict[str, Any], **body: Any) -> Any:
    """Make a model in a way that does not resolve its annotations."""
    namespace = {"__annotations__": annotations, "__module__": __name__, **body}
    keywords = {"prefix": "m", "configurable_features": ["user"], "registry": registry}
    return ModelType(name, (SettingsModel,), namespace, **keywords)


def test_each_field_is_a_setting_of_its_own(registry: Registry) -> None:
    class Cache(
        SettingsModel,
        prefix="cache",
        configurable_features=["environment", "user"],
        version="1.2",
        registry=registry,
    ):
        ttl: int = 60
        size: Annotated[int, Field(ge=1, description="entries")] = 100
        backend: Literal["memory", "redis"] = "memory"

    assert [setting.name for setting in registry.declared()] == [
        "cache.ttl",
        "cache.size",
        "cache.backend",
    ]
    assert Cache.settings["size"].metadata == {"description": "entries"}
    assert {setting.version for setting in Cache.settings.values()} == {"1.2"}
    assert Cache.settings["backend"].type_string == 'Enum["memory","redis"]'
    assert Cache.settings["ttl"].configurable_features == ("environment", "user")


def test_settings_are_declared_where_the_class_is_written(registry: Registry) -> None:
    line = inspect.currentframe().f_lineno + 2  # type: ignore[union-attr]  # CPython has one

    class Cache(SettingsModel, prefix="c", configurable_features=["user"], registry=registry):
        ttl: int = 60

    location = declaration_of(Cache.settings["ttl"]).location
    assert location.file == __file__
    assert location.line == line


def test_constraint_refuses_a_rule_value_alone(registry: Registry, publish: Publish) -> None:
    class Cache(SettingsModel, prefix="c", configurable_features=["user"], registry=registry):
        size: Annotated[int, Field(ge=1)] = 100
        other: int = Field(default=2, le=5)

    publish(Cache.settings["size"], [(1, [["user", "x"]], 0), (2, [["user", "y"]], 3)])
    publish(Cache.settings["other"], default=6)

    assert Cache.get(user="x") == Cache(size=100, other=2)
    assert Cache.get(user="y") == Cache(size=3, other=2)


def test_context_may_be_a_class_of_features(registry: Registry) -> None:
    class Cache(SettingsModel, prefix="c", context=Features, registry=registry):
        ttl: int = 60

    assert Cache.settings["ttl"].configurable_features == ("environment", "user")
    assert Cache.get(environment="e", user=None).ttl == 60


def test_alias_names_the_setting_and_the_field_the_attribute(
    registry: Registry, publish: Publish
) -> None:
    class Cache(SettingsModel, prefix="c", configurable_features=["user"], registry=registry):
        model_config = ConfigDict(validate_by_name=True)

        get_: int = Field(default=1, alias="get")
        size: int = Field(default=2, validation_alias="Size")

    publish(Cache.settings["get_"], default=5)

    assert names(Cache) == ["c.get", "c.Size"]
    assert Cache.get(user="x").get_ == 5


def test_alias_generator_names_the_settings(registry: Registry) -> None:
    class Cache(SettingsModel, prefix="c", configurable_features=["user"], registry=registry):
        model_config = ConfigDict(alias_generator=str.upper, extra="forbid")

        ttl: int = 1

    assert names(Cache) == ["c.TTL"]
    assert Cache.get(user="x").ttl == 1


def test_empty_prefix_adds_nothing(registry: Registry) -> None:
    class Cache(SettingsModel, prefix="", configurable_features=["user"], registry=registry):
        ttl: int = 1

    assert names(Cache) == ["ttl"]


def test_nested_models_nest_the_prefix(registry: Registry, publish: Publish) -> None:
    class App(SettingsModel, prefix="app", configurable_features=["user"], registry=registry):
        one: Inner
        deep: Outer = Outer(depth=3)
        two: Inner = Field(default_factory=lambda: Inner(port=7), alias="second")

    publish(App.settings["deep.inner.hosts"], default=["b"])
    app = App.get(user="x")

    assert names(App)[::2] == ["app.one.port", "app.deep.inner.port", "app.deep.depth", "app.second.hosts"]  # fmt: skip
    assert (app.one.port, app.deep.depth, app.deep.inner.port, app.two.port) == (80, 3, 9, 7)
    assert app.deep.inner.hosts == ["b"]
    assert type(app.deep.inner) is Inner


def test_nested_model_with_a_prefix_of_its_own_is_declared_by_both_names(
    registry: Registry,
) -> None:
    class Part(SettingsModel, prefix="part", configurable_features=["user"], registry=registry):
        a: int = 1

    class Whole(SettingsModel, prefix="whole", configurable_features=["user"], registry=registry):
        part: Part = Part(a=2)

    assert [one.name for one in registry.declared()] == ["part.a", "whole.part.a"]
    assert (Part.get(user="x").a, Whole.get(user="x").part.a) == (1, 2)


def test_class_variables_private_attributes_and_properties_are_no_settings(
    registry: Registry,
) -> None:
    class Cache(SettingsModel, prefix="c", configurable_features=["user"], registry=registry):
        limit: ClassVar[int] = 9
        other: ClassVar[Setting[int]] = Setting[int](
            "other", configurable_features=["user"], default_value=3, registry=registry
        )
        _private: int = PrivateAttr(default=4)
        ttl: int = 60

        @computed_field  # type: ignore[prop-decorator]  # pydantic's documented way
        @property
        def twice(self) -> int:
            return self.ttl * 2

    cache = Cache.get(user="x")

    assert names(Cache) == ["c.ttl"]
    assert (cache.twice, cache._private, cache.limit) == (120, 4, 9)
    assert Cache.other.get(user="x") == 3
    assert cache.model_dump() == {"ttl": 60, "twice": 120}


def test_class_keywords_are_inherited_and_settings_shared(registry: Registry) -> None:
    class Base(SettingsModel, configurable_features=["user"], version="2.1", registry=registry):
        ttl: int = 60

    class One(Base, prefix="one"):
        size: int = 1

    class More(One):
        more: int = 2

    class Two(Base, prefix="two", configurable_features=["theme", "user"]): ...

    assert names(More) == ["one.ttl", "one.size", "one.more"]
    assert More.settings["ttl"] is One.settings["ttl"]
    assert Two.settings["ttl"].configurable_features == ("theme", "user")
    assert len(registry.declared()) == 4
    assert Two.settings["ttl"].version == "2.1"


def test_features_in_another_order_are_those_of_the_class_above(
    registry: Registry, publish: Publish
) -> None:
    class One(SettingsModel, prefix="a", configurable_features=["x", "y"], registry=registry):
        ttl: int = 60

    class Two(One, configurable_features=["y", "x"]):
        size: int = 1

    publish(Two.settings["ttl"], [(1, [["x", "1"]], 5)])
    publish(Two.settings["size"], [(1, [["y", "2"]], 6)])

    assert Two.get(x="1", y="2") == Two(ttl=5, size=6)
    assert Two.get(x="2", y="1") == Two(ttl=60, size=1)


def test_bases_may_form_a_diamond_and_mix_plain_models_in(registry: Registry) -> None:
    class Mixin(BaseModel):
        mixed: int = 0

    class Base(SettingsModel, prefix="a", configurable_features=["user"], registry=registry):
        ttl: int = 60

    class Left(Base):
        left: int = 1

    class Right(Base):
        right: int = 2

    class Both(Mixin, Left, Right):
        both: int = 3

    assert len(registry.declared()) == 5
    assert Both.get(user="x") == Both(mixed=0, ttl=60, left=1, right=2, both=3)


@pytest.mark.parametrize(
    ("annotation", "default", "what"),
    [
        (str, "", "another type"),
        (Annotated[int, Field(ge=0)], 60, "another type"),
        (int, 61, "another default"),
        (int, Field(default=60, description="new"), "another description"),
    ],
    ids=["type", "constraint", "default", "description"],
)
def test_field_that_changes_an_inherited_setting_is_an_error(
    annotation: Any, default: Any, what: str, registry: Registry
) -> None:
    class Base(SettingsModel, prefix="a", configurable_features=["user"], registry=registry):
        ttl: int = 60

    with pytest.raises(InvalidSetting, match=rf"'ttl' of Sub .*'a.ttl'.*{what}.* prefix of its"):
        ModelType(
            "Sub",
            (Base,),
            {"__annotations__": {"ttl": annotation}, "ttl": default, "__module__": __name__},
        )


def test_other_features_under_the_same_prefix_are_an_error(registry: Registry) -> None:
    class Base(SettingsModel, prefix="a", configurable_features=["user"], registry=registry):
        ttl: int = 60

    with pytest.raises(InvalidSetting, match="other context features"):

        class Sub(Base, configurable_features=["theme"]):
            pass


def test_same_field_again_is_the_inherited_setting(registry: Registry) -> None:
    class Base(SettingsModel, prefix="a", configurable_features=["user"], registry=registry):
        ttl: int = 60

    class Sub(Base):
        ttl: int = 60

    assert Sub.settings["ttl"] is Base.settings["ttl"]


def test_base_without_a_prefix_is_abstract(registry: Registry) -> None:
    class Base(SettingsModel, configurable_features=["user"], registry=registry):
        ttl: int = 60

    assert not registry.declared()
    with pytest.raises(UsageError, match="Base is abstract: give it a prefix"):
        Base.get(user="x")
    assert not hasattr(Base, "settings")
    with pytest.raises(AttributeError, match="Base is abstract"):
        _ = Base.current
    assert Base(ttl=3).ttl == 3


@pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecationWarning")  # of its own attributes
def test_mock_inspect_and_hasattr_take_a_model_without_context(registry: Registry) -> None:
    class Cache(SettingsModel, prefix="a", configurable_features=["user"], registry=registry):
        ttl: int = 60

    assert not hasattr(Cache, "current")
    assert Mock(spec=Cache).settings is not None
    assert Mock(spec=Cache.get(user="x"), ttl=3).ttl == 3
    assert "get" in dict(inspect.getmembers(Cache))
    assert list(inspect.signature(Cache.get).parameters) == ["user"]
    assert Cache.get.__name__ == "get"
    assert Cache.get.__qualname__.endswith("Cache.get")


def test_generic_model_is_declared_when_it_is_parametrised(registry: Registry) -> None:
    class Listed(
        SettingsModel, Generic[T], prefix="g", configurable_features=["user"], registry=registry
    ):
        items: list[T] = []

    assert not registry.declared()
    with pytest.raises(UsageError, match="a type for each variable"):
        Listed.get(user="x")

    numbers = Listed[int]

    assert [one.type_string for one in registry.declared()] == ["Sequence<int>"]
    assert Listed[int] is numbers
    assert numbers.get(user="x").items == []


def test_parametrised_models_with_prefixes_of_their_own_live_together(registry: Registry) -> None:
    class Listed(SettingsModel, Generic[T], configurable_features=["user"], registry=registry):
        items: list[T] = []

    class Numbers(Listed[int], prefix="numbers"): ...

    class Words(Listed[str], prefix="words"): ...

    assert Numbers.settings["items"].type_string == "Sequence<int>"
    assert Words.settings["items"].type_string == "Sequence<str>"


def test_forward_reference_is_resolved_at_first_use(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = declare("Late", registry, {"a": "Later"}, a=3)
    assert not model.__pydantic_complete__

    monkeypatch.setitem(globals(), "Later", int)

    assert model.get(user="x").a == 3
    assert [one.name for one in registry.declared()] == ["m.a"]
    assert declaration_of(model.settings["a"]).location.file == __file__


def test_forward_reference_is_resolved_when_settings_are_listed(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = declare("Late", registry, {"a": "Later"}, a=3)
    kept = model.get
    monkeypatch.setitem(globals(), "Later", int)

    assert [one.name for one in registry.declared()] == ["m.a"]
    assert kept(user="x") is model.get(user="x")


def test_forward_reference_to_nothing_is_an_error_that_harms_no_other(registry: Registry) -> None:
    model = declare("Lost", registry, {"a": "Nowhere"}, a=3)
    found = declare("Found", registry, {"b": "Inner"})

    with pytest.raises(InvalidSetting, match=r"Lost, at .*test_model.py:\d+, .*\(Nowhere\)"):
        registry.declared()

    assert [one.name for one in registry.declared()] == ["m.b.port", "m.b.hosts"]
    assert found.get(user="x").b.port == 80
    with pytest.raises(InvalidSetting, match=r"Lost\.model_rebuild\(\)"):
        model.get(user="x")


def test_reference_to_a_local_type_is_resolved_by_rebuilding_there(registry: Registry) -> None:
    model = declare("Local", registry, {"a": "LocalType"}, a=3)

    LocalType = int  # noqa: N806, F841  # pydantic looks for it by this name
    model.model_rebuild()

    assert model.get(user="x").a == 3


def test_reloaded_module_declares_its_models_anew(tmp_path: Path) -> None:
    path = tmp_path / "reloaded_model.py"
    path.write_text(
        "from heksher import SettingsModel\n"
        "class Cache(SettingsModel, prefix='reloaded', configurable_features=['user']):\n"
        "    ttl: int = 60\n"
        "    later: 'Later' = 1\n"
        "Later = int\n"
    )
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
        former = module.Cache
        assert former.get(user="x").later == 1
        spec.loader.exec_module(module)

        assert module.Cache is not former
        assert module.Cache.get(user="x").ttl == former.get(user="x").ttl == 60
    finally:
        del sys.modules[path.stem]


def test_model_that_nobody_holds_frees_its_names(registry: Registry) -> None:
    def declare_one() -> None:
        class Cache(SettingsModel, prefix="c", configurable_features=["user"], registry=registry):
            ttl: int = 60

        assert Cache.get(user="x").ttl == 60

    declare_one()
    gc.collect()

    assert not registry.declared()


@pytest.mark.parametrize(
    ("annotations", "body", "error"),
    [
        ({"get": int}, {"get": 1}, r"field 'get' of M is called like .*Field\(\.\.\., alias='get'"),
        ({"current": int}, {"current": 1}, "field 'current'"),
        ({"settings": int}, {"settings": 1}, "field 'settings'"),
        ({"override": int}, {"override": 1}, "field 'override'"),
        ({"model_dump": int}, {"model_dump": 1}, "field 'model_dump'"),
        ({"json": int}, {"json": 1}, "field 'json'"),
        ({"a": int}, {"a": 1, "get": lambda: 1}, "M defines 'get'"),
        ({"a": int}, {}, "field 'a' of M has no default: give it the value"),
        ({"a": int}, {"a": "x"}, "field 'a' of M: .* is not an int: str is no int"),
        ({"é": int}, {"é": 1}, "field 'é' of M: 'm.é' is not a setting's name"),
        ({"a": Any}, {"a": 1}, "field 'a' of M: .*has no Heksher type"),
        ({"a": int | None}, {"a": None}, "field 'a' of M: .*no null"),
        ({"a": int | str}, {"a": 1}, "field 'a' of M: .*no unions"),
        ({"a": Inner}, {"a": {"port": 1}}, r"default of field 'a' of M is dict: .*Inner\(\.\.\.\)"),
        ({"a": "M"}, {"a": None}, "field 'a' of M holds M in itself"),
        ({}, {}, "M has no fields"),
        (
            {"a": int},
            {"a": Field(default=1, validation_alias=AliasChoices("b", "c"))},
            "field 'a' of M is read by more than one key",
        ),
        ({"a": int}, {"a": 1, "model_config": {"frozen": False}}, "M has frozen=False"),
    ],
)
def test_model_that_cannot_be_expressed_names_the_field_and_the_way_out(
    annotations: dict[str, Any], body: dict[str, Any], error: str, registry: Registry
) -> None:
    with pytest.raises(InvalidSetting, match=error):
        declare("M", registry, annotations, **body).get(user="x")


def test_type_without_a_heksher_type_is_also_a_type_error(registry: Registry) -> None:
    with pytest.raises(InvalidSettingType) as caught:
        declare("M", registry, {"a": object}, a=1)

    assert isinstance(caught.value, TypeError)


def test_field_of_a_mixin_is_checked_too(registry: Registry) -> None:
    class Mixin(BaseModel):
        current: int = 1

    with pytest.raises(InvalidSetting, match="field 'current' of Mixed"):

        class Mixed(  # type: ignore[misc]  # the checker sees it, too
            Mixin, SettingsModel, prefix="m", configurable_features=["user"], registry=registry
        ): ...


@pytest.mark.parametrize(
    ("keywords", "error"),
    [
        ({"prefix": "m"}, "M has no context features: give it configurable_features"),
        ({"prefix": "m", "configurable_features": []}, "has no context feature"),
        ({"prefix": "m", "configurable_features": "user"}, "context features .* are str"),
        ({"prefix": "m", "prfix": "x"}, "M has no class keyword 'prfix'"),
        ({"prefix": "m.", "configurable_features": ["user"]}, "leave the dot out"),
        ({"prefix": "ä", "configurable_features": ["user"]}, "field 'a' of M: 'ä.a' is not"),
        ({"prefix": "m", "context": ["user"], "configurable_features": ["user"]}, "both context"),
        ({"prefix": "m", "context": ["user"], "version": "1"}, "has the version '1'"),
    ],
)
def test_wrong_class_keywords_are_errors_where_they_stand(
    keywords: dict[str, Any], error: str, registry: Registry
) -> None:
    with pytest.raises(InvalidSetting, match=error):
        ModelType(
            "M",
            (SettingsModel,),
            {"__annotations__": {"a": int}, "a": 1, "__module__": __name__},
            registry=registry,
            **keywords,
        )


def test_defaults_that_the_model_refuses_are_an_error(registry: Registry) -> None:
    with pytest.raises(InvalidSetting, match="defaults of Range are refused by its own validators"):

        class Range(SettingsModel, prefix="r", configurable_features=["user"], registry=registry):
            low: int = 5
            high: int = 1

            @model_validator(mode="after")
            def in_order(self) -> Range:
                if self.low > self.high:
                    raise ValueError("low is above high")
                return self


def test_pydantics_own_class_keywords_pass(registry: Registry) -> None:
    class Cache(
        SettingsModel,
        prefix="c",
        configurable_features=["user"],
        registry=registry,
        extra="forbid",
        title="A cache",
    ):
        ttl: int = 1

    assert Cache.model_config.get("title") == "A cache"
    assert Cache.get(user="x").ttl == 1


def test_default_factory_is_given_the_defaults_of_the_fields_above(registry: Registry) -> None:
    class M(SettingsModel, prefix="m", configurable_features=["user"], registry=registry):
        a: int = 1
        b: int = Field(default_factory=lambda above: above["a"] + 1)

    assert M.get(user="x").b == 2


def test_default_factory_that_raises_is_an_error_that_names_the_field(registry: Registry) -> None:
    with pytest.raises(InvalidSetting, match="field 'a' of M raised KeyError"):

        class M(SettingsModel, prefix="m", configurable_features=["user"], registry=registry):
            a: int = Field(default_factory=lambda above: above["b"])
