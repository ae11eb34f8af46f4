"""What the package exports: sorted, complete, and all of it documented."""

from __future__ import annotations

import inspect
import pkgutil
import types
import typing
from typing import Any

import pytest
from pydantic import TypeAdapter

import heksher
from heksher import exceptions, testing
from heksher.clients import stub
from heksher.settings.registry import Registry


def exported() -> list[str]:
    """Return every public name that the package's root really has."""
    return [
        name
        for name in dir(heksher)
        if not name.startswith("_") and not isinstance(getattr(heksher, name), types.ModuleType)
    ]


def public_members(cls: type) -> list[tuple[str, object]]:
    """Return what *cls* itself defines under public names and can have a docstring."""
    documentable = (types.FunctionType, classmethod, staticmethod, property)
    return [
        (name, value)
        for name, value in vars(cls).items()
        if not name.startswith("_") and isinstance(value, documentable)
    ]


def in_order(name: str) -> tuple[int, str]:
    """Return the place of *name*: constants first, then classes, then functions."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def test_all_is_sorted() -> None:
    assert heksher.__all__ == sorted(heksher.__all__, key=in_order)


def test_all_is_what_is_exported() -> None:
    assert set(heksher.__all__) == set(exported())


@pytest.mark.parametrize("name", heksher.__all__)
def test_public_name_is_documented(name: str) -> None:
    value = getattr(heksher, name)

    if isinstance(value, type) or callable(value):
        assert inspect.getdoc(value)


@pytest.mark.parametrize("name", heksher.__all__)
def test_public_members_are_documented(name: str) -> None:
    value = getattr(heksher, name)
    if not isinstance(value, type):
        return

    silent = [member for member, found in public_members(value) if not inspect.getdoc(found)]

    assert not silent


def test_every_exception_is_exported_from_the_root() -> None:
    assert set(exceptions.__all__) <= set(heksher.__all__)


@pytest.mark.parametrize("name", exceptions.__all__)
def test_every_exception_is_one_of_the_tree(name: str) -> None:
    assert issubclass(getattr(heksher, name), heksher.HeksherError)
    assert f" {name} " in f"{exceptions.__doc__} ".replace("\n", " ")


def public_names() -> list[str]:
    """Return all public names, with the module to import each from."""
    return [
        f"{module.__name__}.{name}"
        for module in (heksher, exceptions, testing, stub)
        for name in module.__all__
    ]


def hinted(value: Any) -> list[Any]:
    """Return *value* and its public methods, or nothing if it has no type hints of its own."""
    if not isinstance(value, type):
        return [value] if isinstance(value, types.FunctionType) else []
    found: list[Any] = [value]
    for cls in value.__mro__:
        if not cls.__module__.startswith("heksher"):
            continue
        for name, member in vars(cls).items():
            if name == "__init__" or not name.startswith("_"):
                member = getattr(member, "fget", getattr(member, "__func__", member))
                found += [member] if isinstance(member, types.FunctionType) else []
    return found


@pytest.mark.parametrize("name", public_names())
def test_type_hints_resolve_at_run_time(name: str) -> None:
    unresolved = {}
    for one in hinted(pkgutil.resolve_name(name)):
        try:
            typing.get_type_hints(one, include_extras=True)
        except NameError as error:
            unresolved[one.__qualname__] = str(error)

    assert not unresolved


def test_resolution_may_be_a_field_of_pydantic() -> None:
    setting = heksher.Setting("a", int, ["user"], 1, registry=Registry())
    adapter = TypeAdapter(heksher.Resolution[int])

    dumped = adapter.dump_python(setting.explain(user="x"), mode="json")

    assert (dumped["value"], dumped["origin"]) == (1, "local default")
    assert adapter.json_schema()["properties"]["value"] == {"title": "Value", "type": "integer"}
