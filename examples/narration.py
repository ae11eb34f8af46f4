"""How the demo speaks: sentences with the time that has passed, and colour on a terminal."""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress

BOLD, DIM, GREEN, CYAN = "1", "2", "32", "36"


class Narrator:
    """Prints a story. Heeds NO_COLOR and FORCE_COLOR, and waits for nobody but on a terminal."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._is_watched = sys.stdin.isatty() and sys.stdout.isatty()
        self._has_colour = not os.environ.get("NO_COLOR") and (
            bool(os.environ.get("FORCE_COLOR"))
            or (sys.stdout.isatty() and os.environ.get("TERM") != "dumb")
        )
        self._live_line = ""

    def say(self, sentence: str) -> None:
        """Print what happens, with the seconds since the start."""
        if self._live_line:
            print(f"\r\033[K{self._live_line}")
            self._live_line = ""
        passed = self._coloured(f"{time.monotonic() - self._began:5.2f} s", DIM)
        print(f"\n{passed}  {self._coloured(sentence, BOLD)}")

    def show(self, what: str, value: object = "") -> None:
        """Print something, and what it is."""
        print(self._line(what, value))

    def text(self, lines: str) -> None:
        """Print lines as they are, below the last sentence."""
        for line in lines.splitlines():
            print(f"         {line}")

    async def watch(self, code: str, read: Callable[[], object], hint: str) -> None:
        """Show what *read* returns; on a terminal, as it changes, until Enter is pressed."""
        if not self._is_watched:
            self.show(code, read())
            return
        entered = asyncio.ensure_future(_enter())
        while not entered.done():
            self._live_line = self._line(code, read())
            print(f"\r\033[K{self._live_line}   {self._coloured(hint, DIM)} ", end="", flush=True)
            await asyncio.wait([entered], timeout=0.1)
        if entered.result():
            print("\033[A", end="")  # back up to the line that Enter left

    def _line(self, what: str, value: object) -> str:
        return f"         {self._coloured(what, CYAN)}{self._coloured(str(value), GREEN)}"

    def _coloured(self, text: str, colour: str) -> str:
        return f"\033[{colour}m{text}\033[0m" if self._has_colour and text else text


async def _enter() -> bool:
    """Wait for Enter, and return whether it was pressed; the input may also end."""
    loop = asyncio.get_running_loop()
    pressed = asyncio.Event()
    try:
        loop.add_reader(sys.stdin, pressed.set)
    except NotImplementedError:  # on Windows, where nothing waits for a key: go on after a while
        await asyncio.sleep(3)
        return False
    try:
        await pressed.wait()
        return bool(sys.stdin.readline())
    finally:
        with suppress(OSError):
            loop.remove_reader(sys.stdin)
