"""The generated `get`: its source as documented, and no name of it that a feature could take."""

from __future__ import annotations

import re

import pytest

from heksher.settings import reading
from heksher.settings.reading import reader_factory, reader_source

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
    "raise",
    "None",
    "IndexError",
    "pop",
}


def test_source_is_as_documented() -> None:
    documented = str(reading.__doc__).partition("::\n\n")[2].partition("\n\n(`")[0]

    source = reader_source(("environment", "user"))

    assert [line.strip() for line in source.splitlines()[1:]] == [
        line.strip().replace("øindex + 1", "øpartial").replace("øindex", "øcomplete")
        for line in documented.splitlines()[1:]
    ]


def test_feature_that_is_no_parameter_name_is_taken_from_the_others() -> None:
    lines = [line.strip() for line in reader_source(("user", "class")).splitlines()]

    assert lines[1] == "def øget(*, user=øABSENT, **øothers):"
    assert lines[2] == "øf1 = øothers.pop('class', øABSENT)"
    assert lines[3:5] == ["if øothers:", "raise øunexpected(øget, øothers)"]
    assert lines[-2] == "return øresolve(user, øf1)"


@pytest.mark.parametrize(
    "features", [("user",), ("a", "b", "c"), ("class", "1a"), ("x", "None")], ids=str
)
def test_every_generated_name_starts_with_a_character_no_feature_has(
    features: tuple[str, ...],
) -> None:
    source = re.sub(r"'\w+'", "", reader_source(features))

    names = set(IDENTIFIER.findall(source)) - PYTHON - set(features) - {"state", "viewed"}

    assert all(name.startswith("ø") for name in names)


def test_one_factory_serves_all_settings_of_the_same_features() -> None:
    assert reader_factory(("a", "b")) is reader_factory(("a", "b"))
    assert reader_factory(("a", "b")) is not reader_factory(("b", "a"))
