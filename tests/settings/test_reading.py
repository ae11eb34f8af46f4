"""The generated `get`: its source as documented, and no name of it that a feature could take."""

from __future__ import annotations

import gc
import re
from weakref import ref

import pytest

from heksher import Setting
from heksher.settings import reading
from heksher.settings.reading import reader_factory, reader_source
from heksher.settings.registry import Registry

IDENTIFIER = re.compile(r"[^\W\d]\w*")
PYTHON = {
    "def",
    "return",
    "try",
    "except",
    "if",
    "or",
    "is",
    "else",
    "not",
    "nonlocal",
    "raise",
    "None",
    "IndexError",
    "pop",
}

ATTRIBUTES = {"state", "viewed", "_fill_in", "_read_late", "__kwdefaults__"}


def test_source_is_as_documented() -> None:
    documented = str(reading.__doc__).partition("::\n\n")[2].partition("\n\nWhat is")[0]

    source = reader_source(("environment", "user"))

    assert source == "\n".join(line.removeprefix("    ") for line in documented.splitlines())


def test_feature_that_is_no_parameter_name_is_taken_from_the_others() -> None:
    lines = [line.strip() for line in reader_source(("user", "class")).splitlines()]

    assert lines[4] == "def øget(*, user=øABSENT, **øothers):"
    assert lines[5] == "øf1 = øothers.pop('class', øABSENT)"
    assert lines[6:8] == ["if øothers:", "raise øunexpected(øget, øothers)"]
    assert lines[-4] == "return øresolve(user, øf1)"


@pytest.mark.parametrize(
    "features", [("user",), ("a", "b", "c"), ("class", "1a"), ("x", "None")], ids=str
)
def test_every_generated_name_starts_with_a_character_no_feature_has(
    features: tuple[str, ...],
) -> None:
    source = re.sub(r"'\w+'", "", reader_source(features))

    names = set(IDENTIFIER.findall(source)) - PYTHON - set(features) - ATTRIBUTES

    assert all(name.startswith("ø") for name in names)


def test_one_factory_serves_all_settings_of_the_same_features() -> None:
    assert reader_factory(("a", "b")) is reader_factory(("a", "b"))
    assert reader_factory(("a", "b")) is not reader_factory(("b", "a"))


def declared(registry: Registry, count: int) -> list[Setting[int, ...]]:
    return [
        Setting(f"s{place}", int, ["a", "b"], place, registry=registry) for place in range(count)
    ]


def test_setting_adds_few_objects_for_the_collector_to_walk_through() -> None:
    registry = Registry()
    kept = declared(registry, 1)
    gc.collect()
    before = len(gc.get_objects())

    kept += declared(registry, 100)

    gc.collect()
    assert len(gc.get_objects()) - before <= 100 * 7


def test_gets_of_the_same_features_share_what_says_that_a_value_is_not_given() -> None:
    one, two = declared(Registry(), 2)

    assert one.get.__kwdefaults__ is two.get.__kwdefaults__


def test_registry_dies_with_its_last_setting() -> None:
    registry = Registry()
    settings = declared(registry, 2)
    dead: list[ref[object]] = [ref(registry), ref(settings[0])]

    del registry, settings
    gc.collect()

    assert [reference() for reference in dead] == [None, None]
