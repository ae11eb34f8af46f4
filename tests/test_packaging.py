"""What is said about the package: once each, and where people look for it."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
VERSION = PROJECT["project"]["version"]


def test_version_is_written_once() -> None:
    found = [path for path in sorted(ROOT.glob("heksher/**/*.py")) if spells_version(path)]

    assert importlib.metadata.version("heksher") == VERSION
    assert not found


def spells_version(path: Path) -> bool:
    """Return whether the file has the version in it, other than in a hint how to install it."""
    return re.search(rf"(?<!>=){re.escape(VERSION)}", path.read_text("utf-8")) is not None


@pytest.mark.parametrize("name", ["README.md", "docs/tutorial.md", "docs/index.md"])
def test_hints_how_to_install_do_not_get_the_predecessor(name: str) -> None:
    hints = re.findall(r"pip install [^\n]*heksher[^\n]*", (ROOT / name).read_text("utf-8"))

    assert all(f">={VERSION}'" in hint for hint in hints), hints


def test_lock_has_every_pinned_tool_at_its_version() -> None:
    lines = (ROOT / "dev.lock").read_text("utf-8").splitlines()
    locked = {one.name: str(one.specifier) for one in map(Requirement, lines)}
    groups = PROJECT["dependency-groups"].values()
    pinned = [Requirement(one) for group in groups for one in group if isinstance(one, str)]

    wrong = [str(one) for one in pinned if locked.get(one.name) != str(one.specifier)]

    assert not wrong, "run scripts/lock"


def test_lock_names_no_package_index() -> None:
    assert "://" not in (ROOT / "dev.lock").read_text("utf-8")


def test_workflows_have_no_permissions_and_pin_actions() -> None:
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml")):
        text = path.read_text("utf-8")

        assert "\npermissions: {}\n" in text
        assert all(re.fullmatch(r"\S+@[0-9a-f]{40} # v[\d.]+", use) for use in uses(text))


def uses(text: str) -> list[str]:
    """Return the actions of a workflow, as written."""
    return re.findall(r"uses: (.+)$", text, re.MULTILINE)
