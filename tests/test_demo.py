"""What the demo shows: plain text where it is piped, colours and a live value on a terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pty = pytest.importorskip("pty", reason="needs pseudo-terminals")

DEMO = Path(__file__).parents[1] / "examples" / "quickstart.py"
COLOUR = re.compile(r"\x1b\[\d+m")
LIVE = re.compile(r"\r\x1b\[K *cache_ttl\.get\(user='john'\)  (\d) ")


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment, with a colourful terminal unless *variables* differ."""
    kept = {key: value for key, value in os.environ.items() if "COLOR" not in key}
    return {**kept, "TERM": "xterm-256color", **variables}


def on_terminal(**variables: str) -> str:
    """Run the demo on a terminal, press Enter when it says so, and return what was written."""
    controller, terminal = pty.openpty()
    command = [sys.executable, str(DEMO)]
    options = {"stdin": terminal, "stdout": terminal, "env": environment(**variables)}
    shown = b""
    prompts = [b"Enter changes the rule", b"  7 ", b"Enter goes on"]
    if "NO_COLOR" not in variables:
        prompts[1] = b"7\x1b[0m "
    with subprocess.Popen(command, **options) as process:  # noqa: S603  # our own example
        os.close(terminal)
        for prompt in prompts:
            seen = len(shown)
            while prompt not in shown[seen:]:
                shown += os.read(controller, 1)
            if b"Enter" in prompt:
                os.write(controller, b"\n")
        shown += rest(controller)
    os.close(controller)
    assert process.returncode == 0
    return shown.decode()


def rest(controller: int) -> bytes:
    """Return everything that is written until the terminal is closed."""
    read = b""
    while True:
        try:
            piece = os.read(controller, 65_536)
        except OSError:  # how Linux says that nobody writes any more
            return read
        if not piece:
            return read
        read += piece


def test_piped_demo_is_plain_and_waits_for_nobody() -> None:
    done = subprocess.run(  # noqa: S603  # our own example
        [sys.executable, DEMO],
        check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment(),
        timeout=30,
    )  # fmt: skip

    assert "\x1b" not in done.stdout
    assert re.search(r"get\(user='john'\)  5\n.*get\(user='john'\)  7\n", done.stdout)
    assert "Next steps:" in done.stdout
    assert re.search(r"^ \d\.\d\d s  The new value was there \d\.\d\d s after", done.stdout, re.M)


def test_colours_can_be_forced_where_it_is_piped() -> None:
    done = subprocess.run(  # noqa: S603  # our own example
        [sys.executable, DEMO],
        check=True, capture_output=True, text=True, env=environment(FORCE_COLOR="1"), timeout=30,
    )  # fmt: skip

    assert COLOUR.search(done.stdout)


def test_terminal_shows_the_value_live_before_and_after_the_change() -> None:
    shown = on_terminal()

    values = LIVE.findall(COLOUR.sub("", shown))
    assert COLOUR.search(shown)
    assert values == sorted(values)
    assert {"5", "7"} <= set(values)


def test_no_color_is_heeded_on_a_terminal() -> None:
    shown = on_terminal(NO_COLOR="1")

    assert not COLOUR.search(shown)
    assert "Next steps:" in shown
