"""Settings as attributes of every kind of class, and what Python does with such classes then."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import asdict, dataclass, fields, replace
from enum import Enum
from typing import Any, ClassVar, NamedTuple
from unittest.mock import Mock, create_autospec

import attrs
import pytest
from pydantic import BaseModel, ConfigDict, PydanticUserError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from heksher import Setting, bind_context
from heksher.settings.registry import Registry

REGISTRY = Registry()


def ttl(name: str) -> Setting[int, ...]:
    return Setting[int](name, configurable_features=["user"], default_value=60, registry=REGISTRY)


class Plain:
    ttl = ttl("plain")


class Slotted:
    __slots__ = ("size",)
    ttl = ttl("slotted")


@dataclass
class Data:
    size: int = 3
    ttl: ClassVar[Setting[int, ...]] = ttl("data")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenData:
    size: int = 3
    ttl: ClassVar[Setting[int, ...]] = ttl("frozen_data")


@dataclass(slots=True)
class Unannotated:
    size: int = 3
    ttl = ttl("unannotated")


@attrs.define
class Attrs:
    size: int = 3
    ttl: ClassVar[Setting[int, ...]] = ttl("attrs")


@attrs.frozen(slots=False)
class FrozenAttrs:
    size: int = 3
    ttl: ClassVar[Setting[int, ...]] = ttl("frozen_attrs")


class Model(BaseModel):
    size: int = 3
    ttl: ClassVar[Setting[int, ...]] = ttl("model")


class IgnoringModel(BaseModel):
    model_config = ConfigDict(ignored_types=(Setting,))

    size: int = 3
    ttl = ttl("ignoring_model")


@pydantic_dataclass
class PydanticData:
    size: int = 3
    ttl: ClassVar[Setting[int, ...]] = ttl("pydantic_data")


OWNERS = [
    Plain,
    Slotted,
    Data,
    FrozenData,
    Unannotated,
    Attrs,
    FrozenAttrs,
    Model,
    IgnoringModel,
    PydanticData,
]
every_owner = pytest.mark.parametrize("owner", OWNERS, ids=lambda owner: owner.__name__)


@every_owner
def test_class_gives_the_setting_and_instance_its_value(owner: Any) -> None:
    assert isinstance(owner.ttl, Setting)
    with bind_context(user="x"):
        assert owner().ttl == 60
        with owner.ttl.override(5):
            assert owner().ttl == 5


@every_owner
def test_missing_context_hides_the_attribute(owner: Any) -> None:
    assert not hasattr(owner(), "ttl")
    assert getattr(owner(), "ttl", 3) == 3
    with bind_context(user="x"):
        assert hasattr(owner(), "ttl")


@every_owner
def test_attribute_cannot_be_assigned(owner: Any) -> None:
    # A frozen dataclass with slots says TypeError, whatever it is that is assigned.
    with pytest.raises((AttributeError, ValueError, TypeError)):
        owner().ttl = 5
    with bind_context(user="x"):
        assert owner().ttl == 60


@every_owner
def test_copy_and_pickle_share_the_setting(owner: Any) -> None:
    one = owner()

    for other in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):  # noqa: S301  # our own
        assert type(other).ttl is owner.ttl
        with bind_context(user="x"):
            assert other.ttl == 60
    assert copy.deepcopy({"a": owner.ttl})["a"] is owner.ttl


@every_owner
@pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecationWarning")  # of its own attributes
def test_mock_and_inspect_do_not_mind(owner: Any) -> None:
    assert Mock(spec=owner).ttl is not None
    assert Mock(spec=owner()) is not None
    assert create_autospec(owner) is not None
    assert "ttl" in dict(inspect.getmembers(owner))
    assert inspect.getattr_static(owner(), "ttl") is owner.ttl
    assert "ttl" in dir(owner())


@pytest.mark.parametrize("owner", [Data, FrozenData, Unannotated])
def test_setting_is_no_field_of_a_dataclass(owner: Any) -> None:
    assert [field.name for field in fields(owner)] == ["size"]
    assert asdict(replace(owner(), size=4)) == {"size": 4}
    assert repr(owner()).endswith("(size=3)")


def test_setting_is_no_field_of_attrs_and_pydantic() -> None:
    assert [field.name for field in attrs.fields(Attrs)] == ["size"]
    assert Model().model_dump() == IgnoringModel().model_dump() == {"size": 3}
    assert list(Model.model_fields) == list(IgnoringModel.model_fields) == ["size"]


def test_pydantic_says_what_to_do_about_an_unannotated_setting() -> None:
    with pytest.raises(PydanticUserError, match="ClassVar"):

        class Wrong(BaseModel):
            ttl = Setting[int](configurable_features=["user"], default_value=1, registry=REGISTRY)


def test_enums_and_named_tuples_have_settings_too() -> None:
    class Kind(Enum):
        A = 1
        ttl = ttl("kind")

    class Pair(NamedTuple):
        left: int = 1

    class WithTtl(Pair):
        ttl = ttl("pair")

    with bind_context(user="x"):
        member: Any = Kind.A
        assert list(Kind) == [member]
        assert member.ttl == 60
        assert WithTtl().ttl == 60
        assert WithTtl() == (1,)


def test_subclass_reads_the_setting_of_its_base() -> None:
    class Sub(Plain): ...

    with bind_context(user="x"):
        assert Sub().ttl == super(Sub, Sub()).ttl == 60
    assert Sub.ttl is Plain.ttl
