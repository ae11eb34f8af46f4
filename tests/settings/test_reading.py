"""The generated `get`: it has no name that a feature could take, and holds nothing alive."""

from __future__ import annotations

import gc
import re
from weakref import ref

import pytest

from heksher import Setting
from heksher.settings.reading.generated_get import reader_source
from heksher.settings.registry import Registry

IDENTIFIER = re.compile(r"[^\W\d]\w*")
PYTHON = {"def", "return", "try", "except", "if", "or", "is", "else", "raise", "None", "IndexError"}
ATTRIBUTES = {"state", "viewed", "look", "pop"}


@pytest.mark.parametrize(
    "features", [("user",), ("a", "b", "c"), ("class", "1a"), ("x", "None")], ids=str
)
def test_every_generated_name_starts_with_a_character_no_feature_has(
    features: tuple[str, ...],
) -> None:
    source = re.sub(r"'\w+'", "", reader_source(features))

    names = set(IDENTIFIER.findall(source)) - PYTHON - set(features) - ATTRIBUTES

    assert all(name.startswith("ø") for name in names)


def test_registry_dies_with_its_last_setting() -> None:
    registry = Registry()
    setting = Setting("a", int, ["a", "b"], 1, registry=registry)
    dead: list[ref[object]] = [ref(registry), ref(setting)]

    del registry, setting
    gc.collect()

    assert [reference() for reference in dead] == [None, None]
