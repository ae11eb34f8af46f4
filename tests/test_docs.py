"""Every Python block of the docs and the README runs, and prints what it says that it prints.

The blocks of a page run in order, in one namespace, as a reader would type them. Lines `# > text`
hold what a block prints. Requests go to an embedded service of the page's own, in this process.
A fence that has to be left out is written as `.python .no-run`, after a comment that says why.
"""

import ast
import asyncio
import contextlib
import gc
import inspect
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from jsonschema import Draft202012Validator

from heksher.server import create_app
from heksher.settings.reading.state import Snapshot
from heksher.settings.registry import DEFAULT

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FEATURES = ["environment", "country", "user"]

FENCE = re.compile(
    r"^```(?:python(?: [^\n]*)?|\{\.python (?!\.no-run)[^\n]*\})\n(.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
NOT_RUN = re.compile(r"([^\n]*)\n+```\{[^\n}]*\.no-run")
INCLUDED = re.compile(r'^--8<-- "([^"]+)"$', re.MULTILINE)


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module that the blocks of one page are run in, with a service behind all requests."""
    module = ModuleType("page_of_the_docs")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    service = httpx.ASGITransport(create_app(context_features=FEATURES))

    async def answer(_: object, request: httpx.Request) -> httpx.Response:
        return await service.handle_async_request(request)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", answer)
    yield module
    module.__dict__.clear()
    gc.collect()
    DEFAULT.publish(Snapshot())
    DEFAULT.set_defaults({}, replace=True)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_python_block_runs_and_prints_what_it_says(path: Path, page: ModuleType) -> None:
    text = path.read_text("utf-8")

    with asyncio.Runner() as runner:
        for line, source in blocks(text):
            printed = run(runner, page, source, path.name, line)

            assert printed == said(source), f"{path.name}, block at line {line}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_block_that_is_not_run_has_a_reason(path: Path) -> None:
    before = NOT_RUN.findall(path.read_text("utf-8"))

    assert all(re.fullmatch(r"<!-- Not run: .+ -->", line) for line in before), before


def test_the_export_writes_both_documents(tmp_path: Path) -> None:
    script = ROOT / "examples" / "export_docs.py"

    done = subprocess.run(  # noqa: S603  # our own example
        [sys.executable, script, "--output", tmp_path], check=True, capture_output=True, text=True
    )

    page, schema = [Path(line) for line in done.stdout.splitlines()]
    assert page.read_text("utf-8").startswith("# Settings of shop")
    Draft202012Validator.check_schema(json.loads(schema.read_text("utf-8")))


def blocks(text: str) -> Iterator[tuple[int, str]]:
    """Yield each block's line and its source, with included files in their place."""
    for found in FENCE.finditer(text):
        line = text.count("\n", 0, found.start(1)) + 1
        yield line, INCLUDED.sub(lambda name: (ROOT / name[1]).read_text("utf-8"), found[1])


def run(runner: asyncio.Runner, page: ModuleType, source: str, file: str, line: int) -> str:
    """Run one block, and return what it printed."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile("\n" * (line - 1) + source, f"docs/{file}", "exec", flags)
    with contextlib.redirect_stdout(io.StringIO()) as output:
        if code.co_flags & inspect.CO_COROUTINE:
            runner.run(eval(code, page.__dict__))  # noqa: S307  # our own pages
        else:
            exec(code, page.__dict__)  # noqa: S102  # our own pages
    return output.getvalue()


def said(source: str) -> str:
    """Return what a block says that it prints."""
    return "".join(f"{line}\n" for line in re.findall(r"^# > ?(.*)$", source, re.MULTILINE))
