"""The HTTP reference: each of its commands is run, and every endpoint of the service is in it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from heksher.server import create_app
from heksher.testing import LocalService

PAGE = Path(__file__).parents[1] / "docs" / "http-api.md"
FENCE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
METHOD = re.compile(r"-X (\w+)")
PATH = re.compile(r"(?:\$api|http://localhost:9999/api)(/[^\s\"?]*)")
START, *BLOCKS = FENCE.findall(PAGE.read_text("utf-8"))


@pytest.mark.skipif(not shutil.which("curl"), reason="the page uses curl")
def test_every_command_answers_what_the_page_says() -> None:
    commands = "\n".join(commands_of("\n".join(BLOCKS)))
    printed = [line for block in BLOCKS for line in block.splitlines() if line[:2] != "$ "]

    with LocalService(["environment", "country", "user"]) as service:
        done = subprocess.run(  # noqa: S603  # the page's own commands
            ["/bin/sh", "-e", "-c", commands.replace("http://localhost:9999", service.url)],
            check=True, capture_output=True, text=True, timeout=50,
        )  # fmt: skip

    assert done.stdout.splitlines() == printed


def test_page_starts_the_service_that_it_is_about() -> None:
    assert "--context-features environment,country,user" in START


@pytest.mark.parametrize("endpoint", sorted(create_app().openapi()["paths"].items()))
def test_every_endpoint_is_in_the_reference(endpoint: tuple[str, dict[str, object]]) -> None:
    template, operations = endpoint
    pattern = re.compile(re.sub(r"\{\w+\}", "[^/]+", template))
    called = {method for method, path in requests() if pattern.fullmatch(path)}

    assert {method.upper() for method in operations} <= called


def requests() -> list[tuple[str, str]]:
    """Return the method and the path of each command of the page."""
    found = []
    for command in commands_of("\n".join(BLOCKS)):
        path = PATH.search(command)
        if path is None:
            continue
        method = METHOD.search(command)
        default = "POST" if "--json" in command else "GET"
        prefix = "/api/v1" if "$api" in path[0] else "/api"
        found.append((method[1] if method else default, prefix + path[1]))
    return found


def commands_of(text: str) -> list[str]:
    return re.findall(r"^\$ (.*)$", text, re.MULTILINE)
