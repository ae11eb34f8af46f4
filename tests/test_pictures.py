"""The committed pictures show what the programs print today, and load nothing from elsewhere."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PICTURES = sorted((ROOT / "docs" / "pictures").glob("*.svg"))
NAMESPACE = "http://www.w3.org/2000/svg"


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_picture_loads_nothing(path: Path) -> None:
    text = path.read_text("utf-8")

    assert not re.search(r"url\(\s*['\"]?(?!#)|@import|@font-face|<image|<script|href=", text)
    assert text.count(NAMESPACE) == 1


@pytest.mark.parametrize("name", ["overview", "refresh", "precedence", "states"])
def test_diagram_is_what_its_script_draws(name: str) -> None:
    draw = runpy.run_path(str(ROOT / "docs" / "gen" / "diagrams.py"))[name]

    assert (ROOT / "docs" / "pictures" / f"{name}.svg").read_text("utf-8") == draw()


def test_picture_of_the_demo_has_what_the_demo_prints() -> None:
    picture = (ROOT / "docs" / "pictures" / "demo.svg").read_text("utf-8")
    drawn = "".join(re.findall(r"<text [^>]*>([^<]*)</text>", picture))
    environment = {**os.environ, "NO_COLOR": "1"}

    printed = subprocess.run(  # noqa: S603  # our own example
        [sys.executable, ROOT / "examples" / "quickstart.py"],
        check=True, capture_output=True, text=True, env=environment, timeout=30,
    ).stdout  # fmt: skip

    story = printed.partition("Next steps:")[0].rstrip().rpartition("\n")[0]
    assert plain(unescape(drawn)).endswith(plain(story))


def plain(text: str) -> str:
    """Return *text* without blanks, and without what differs from run to run: times and ports."""
    return re.sub(r"\d+\.\d+s|:\d{4,5}|\s", "", re.sub(r"[\s\xa0]+", "", text))
