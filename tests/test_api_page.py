"""The reference: every public name is on it, and guides link to each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import heksher

DOCS = Path(__file__).parents[1] / "docs"
REFERENCE = {
    name: page
    for page in ("api.md", "errors.md")
    for name in re.findall(r"^::: heksher\.(\w+)$", (DOCS / page).read_text("utf-8"), re.MULTILINE)
}
GUIDES = "\n".join(
    path.read_text("utf-8") for path in DOCS.glob("*.md") if path.name not in REFERENCE.values()
)


@pytest.mark.parametrize("name", heksher.__all__)
def test_public_name_is_in_the_reference_and_linked(name: str) -> None:
    assert name in REFERENCE
    assert f"({REFERENCE[name]}#heksher.{name})" in GUIDES


def test_reference_opens_with_prose_and_an_example() -> None:
    opening = (DOCS / "api.md").read_text("utf-8").partition(":::")[0]

    assert "```python" in opening
