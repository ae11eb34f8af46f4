"""The codemod, on programs in the style of heksher-py 0.2."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("libcst")

from heksher.moving.__main__ import main
from heksher.moving.rewriting import rewrite

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = '''\
"""A worker, as it was written for heksher-py 0.2."""

import asyncio
from collections.abc import Mapping
from enum import Enum

import heksher.setting
from heksher import AsyncHeksherClient, Setting
from heksher.clients.stub import Rule
from heksher.clients.subclasses import TRACK_ALL
from heksher.setting_type import HeksherEnum


class Colour(Enum):
    RED = "red"


FEATURES = ["environment", "country", "user"]

ttl = Setting('worker.ttl', int, ['environment', 'user'], 60)
limits = Setting(
    'worker.limits',
    Mapping[str, int],  # by queue
    ('user',),
    {'mail': 3},
    metadata={'description': 'how many at once'},
)
colour = Setting('worker.colour', HeksherEnum(Colour), ['user'], Colour.RED, version='1.1')
shade = heksher.setting.Setting('worker.shade', type=Colour, configurable_features=['user'],
                                default_value=Colour.RED)


async def main():
    client = AsyncHeksherClient('http://localhost:9999', 60, FEATURES)
    client.track_contexts(environment='*', user=TRACK_ALL)
    client.set_defaults(environment='production')
    print(ttl.get(user='john'), limits.get(user='john')['mail'], colour.version_str)
    await client.close()


asyncio.run(main())
'''

HEAD = (
    "from heksher import *\nfrom heksher import Setting, AsyncHeksherClient, ThreadHeksherClient\n"
)


def moved(line: str) -> str:
    """Return the last line of a program, in the new spelling."""
    return rewrite(f"{HEAD}{line}\n").source.removeprefix(HEAD).removesuffix("\n")


def notes(program: str) -> list[str]:
    return [f"{note.line}: {note.text}" for note in rewrite(dedent(program)).notes]


def test_old_program_runs_with_this_library_once_it_is_moved(tmp_path: Path) -> None:
    path = tmp_path / "worker.py"
    path.write_text(PROGRAM, "utf-8")
    before = subprocess.run([sys.executable, path], check=False, capture_output=True)  # noqa: S603

    assert main([str(path)]) == 0
    after = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, path], check=False, capture_output=True, text=True
    )

    assert before.returncode != 0
    assert (after.stdout, after.stderr) == ("60 3 1.1\n", "")


def test_moving_twice_changes_nothing_more() -> None:
    once = rewrite(PROGRAM)

    assert rewrite(once.source).source == once.source
    assert "  # by queue" in once.source


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            "a = Setting('a', int, F, 1)",
            "a = Setting[int]('a', configurable_features=F, default_value=1)",
        ),
        (
            "a = Setting('a', type=int, configurable_features=F, default_value=1)",
            "a = Setting[int]('a', configurable_features=F, default_value=1)",
        ),
        (
            "a: Setting = Setting('a', my.Colour, F, x, {}, 'b', '1.1', None)",
            "a: Setting = Setting[my.Colour]('a', configurable_features=F, default_value=x,"
            " metadata={}, alias='b', version='1.1', on_coerce=None)",
        ),
        ("a = Setting('a', the_type, F, 1)", "a = Setting('a', the_type, F, 1)"),
        ("a = Setting(*everything)", "a = Setting(*everything)"),
        (
            "a = Setting('a', int, 'abc', 1)",
            'a = Setting[int](\'a\', configurable_features=["a", "b", "c"], default_value=1)',
        ),
        (
            "c = ThreadHeksherClient(url, 60, 'ab')",
            'c = ThreadHeksherClient(url, 60, ["a", "b"])',
        ),
        ("print(any.setting.version_str)", "print(any.setting.version)"),
        ("Unrelated('a', int, F, 1)", "Unrelated('a', int, F, 1)"),
    ],
)
def test_spelling(old: str, new: str) -> None:
    assert moved(old) == new


def test_settings_speak_for_themselves() -> None:
    program = HEAD + "a = Setting[int]('a')\nprint(a.type.heksher_string())\n"

    assert rewrite(program).source.endswith("print(a.type_string)\n")


@pytest.mark.parametrize("line", ["c = {}", "async with {} as c: pass"])
def test_asynchronous_clients_are_closed_by_their_present_name(line: str) -> None:
    program = f"""
        from heksher import AsyncHeksherClient as Client
        async def main():
            {line.format("Client('http://x', 60, ['a'])")}
            await c.close()
            await other.close()
    """

    source = rewrite(dedent(program)).source

    assert "await c.aclose()" in source
    assert "await other.close()" in source


def test_stars_that_are_tracked_become_the_name() -> None:
    program = "from heksher import Setting\nclient.track_contexts(user='*', theme='dark')\n"

    assert rewrite(program).source == (
        "from heksher import TRACK_ALL, Setting\n"
        "client.track_contexts(user=TRACK_ALL, theme='dark')\n"
    )


def test_conditions_of_stubs_that_say_nothing_are_dropped() -> None:
    program = "from heksher.clients.stub import Rule\nRule({'theme': None, 'user': 'x'}, 5)\n"

    assert rewrite(program).source.endswith("\nRule({'user': 'x'}, 5)\n")


def test_imports_are_split_by_where_names_are_now() -> None:
    program = "from heksher.clients.stub import Rule\nfrom heksher.setting import QueriedRule, Setting as S\n"

    result = rewrite(program)

    assert (
        "from heksher import Setting as S\nfrom heksher.setting import QueriedRule\n"
        in result.source
    )
    assert [note.line for note in result.notes] == [2]


def test_what_needs_a_person_is_told_with_its_line() -> None:
    told = notes("""\
        import heksher.main_client
        from heksher import Setting

        a = Setting("a", int, ["user"], 1)
        print(a.version, a.last_ruleset)
        try:
            a.get()
        except RuntimeError:
            heksher.main_client.Main = None
    """)

    assert [line.partition(":")[0] for line in told] == ["1", "5", "5", "8", "9"]
    assert "MissingContextFeature" in told[3]


def test_modules_without_heksher_are_left_alone() -> None:
    program = "class Setting: ...\nSetting('a', int, ['b'], 1).version_str\n"

    assert rewrite(program).source == program


def test_diff_is_shown_and_nothing_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "worker.py"
    path.write_text(PROGRAM, "utf-8")

    assert main(["--diff", str(path)]) == 0
    assert "+ttl = Setting[int]('worker.ttl'," in capsys.readouterr().out
    assert path.read_text("utf-8") == PROGRAM


def test_line_ends_and_what_is_no_python_stay_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    windows, broken = tmp_path / "windows.py", tmp_path / "broken.py"
    windows.write_bytes(b"from heksher import Setting\r\nprint(a.version_str)\r\n")
    broken.write_bytes(b"def (:\n")

    assert main([str(broken), str(windows)]) == 1
    assert windows.read_bytes() == b"from heksher import Setting\r\nprint(a.version)\r\n"
    assert "broken.py: not changed" in capsys.readouterr().err


def test_without_libcst_one_line_says_how_to_get_it() -> None:
    program = (
        "import runpy, sys; sys.modules['libcst'] = None; sys.argv = ['heksher.moving', 'x.py'];"
        " runpy.run_module('heksher.moving', run_name='__main__')"
    )

    done = subprocess.run(  # noqa: S603  # our own interpreter
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )

    assert done.returncode == 2
    assert done.stderr == (
        "the codemod needs LibCST: run pip install 'heksher[moving]>=1.0.0.dev0'\n"
    )
