"""Every example runs, alone, as a reader would run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
PROGRAMS = sorted(
    path.name
    for path in EXAMPLES.glob("*.py")
    if "__main__" in path.read_text("utf-8") and path.name != "export_docs.py"
)
SAYS = {
    "model.py": ["The same object again: True", "Jane:  ttl=5 ", "from rule 2 (user=john)"],
    "fastapi_app.py": ["'items': 50", "user='john' (bound context)"],
    "quickstart.py": ["get(user='john')  5", "get(user='john')  7"],
}


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # our own examples
        [sys.executable, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        timeout=50,
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_runs_and_says_what_it_shows(program: str, tmp_path: Path) -> None:
    done = run(str(EXAMPLES / program), folder=tmp_path)

    assert done.returncode == 0, done.stderr
    for text in SAYS.get(program, []):
        assert text in done.stdout
    assert not done.stderr or program == "model.py"


def test_example_of_tests_passes(tmp_path: Path) -> None:
    options = ("-p", "no:cacheprovider", "-p", "pytest_heksher", f"--rootdir={tmp_path}")
    path = EXAMPLES / "test_with_plugin.py"

    done = subprocess.run(  # noqa: S603  # our own example
        [sys.executable, "-m", "pytest", "-q", *options, "-c", os.devnull, str(path)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        timeout=50,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout


def test_every_example_is_tried_or_exported() -> None:
    helpers = {"local_service.py", "narration.py", "shop_settings.py"}
    others = {*helpers, "export_docs.py", "test_with_plugin.py"}

    assert {path.name for path in EXAMPLES.glob("*.py")} == {*PROGRAMS, *others}
