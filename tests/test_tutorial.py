"""The tutorial's steps, as its page has them: a service, a program that runs on, and a shell."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"
FENCE = re.compile(r'^```\{\.(\w+)[^\n]*title="([^"]+)"\}\n(.*?)^```$', re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="the tutorial uses curl")


class Block(NamedTuple):
    """A titled block of the page."""

    language: str
    title: str
    text: str

    @property
    def commands(self) -> list[str]:
        return re.findall(r"^\$ (.*)$", self.text, re.MULTILINE)

    @property
    def output(self) -> list[str]:
        return [line for line in self.text.splitlines() if not line.startswith("$ ")]


def test_tutorial_works_as_printed_and_works_again(tmp_path: Path) -> None:
    blocks = blocks_of(PAGE, port=free_port())
    environment = prepared(tmp_path, blocks)
    service, program, *rest = [block for block in blocks if block.language != "python"]

    with running(service, environment, tmp_path) as said:
        assert said.readline().startswith("Heksher is listening on ")
        with running(program, environment, tmp_path) as printed:
            assert printed.readline().splitlines() == program.output
            for _ in range(2):
                follow(rest, printed, environment, tmp_path)


def follow(
    blocks: list[Block], printed: IO[str], environment: dict[str, str], folder: Path
) -> None:
    """Do what is said for terminal 3, and wait for what terminal 2 has to print."""
    shell = ""
    for block in blocks:
        if block.title == "Terminal 2":
            wait_for(printed, block.text)
        else:
            shell += "".join(f"{command}\n" for command in block.commands)
            done = in_shell(shell, environment, folder)
            assert alike(done)[-len(block.output) :] == alike("\n".join(block.output))
            shell = "".join(f"{line}\n" for line in shell.splitlines() if line.startswith("rule="))


def in_shell(commands: str, environment: dict[str, str], folder: Path) -> str:
    return subprocess.run(  # noqa: S603  # the page's own commands
        ["/bin/sh", "-e", "-c", commands],
        check=True, capture_output=True, text=True, env=environment, cwd=folder, timeout=30,
    ).stdout  # fmt: skip


def alike(output: str) -> list[str]:
    """Return the lines of *output* without the numbers that differ from run to run."""
    return [
        re.sub(r"\d+\.\d+ s old", "N s old", re.sub(r"(rule_id\":|rule )\d+", r"\1N", line))
        for line in output.splitlines()
    ]


def wait_for(printed: IO[str], line: str) -> None:
    """Read what the program prints, up to *line*: a line a second, and an update a second."""
    lines = [printed.readline()]
    while lines[-1] != line:
        assert len(lines) < 8, lines
        lines.append(printed.readline())


def blocks_of(page: Path, *, port: int) -> list[Block]:
    text = page.read_text("utf-8").replace("9999", str(port))
    return [Block(*found) for found in FENCE.findall(text)]


def prepared(folder: Path, blocks: list[Block]) -> dict[str, str]:
    """Write the page's files, and return an environment in which `python` is this one."""
    for block in blocks:
        if block.language == "python":
            (folder / block.title).write_text(block.text, "utf-8")
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "NO_PROXY": "*",
    }


@contextmanager
def running(block: Block, environment: dict[str, str], folder: Path) -> Iterator[IO[str]]:
    """Run a block's command until the end of the `with` block, and give its output."""
    (command,) = block.commands
    process = subprocess.Popen(  # noqa: S603  # the page's own command
        ["/bin/sh", "-c", f"exec {command}"],
        stdout=subprocess.PIPE, text=True, env=environment, cwd=folder,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.terminate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
