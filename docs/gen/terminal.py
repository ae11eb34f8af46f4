"""Draw what the demo really prints as a picture of a terminal: `docs/pictures/demo.svg`."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "pictures" / "demo.svg"
FONTS = "ui-monospace, 'Cascadia Mono', 'DejaVu Sans Mono', Menlo, monospace"
THEME = TerminalTheme(
    background=(16, 24, 28),
    foreground=(222, 230, 230),
    normal=[
        (16, 24, 28),
        (239, 107, 115),
        (126, 211, 133),
        (230, 192, 123),
        (97, 175, 239),
        (198, 146, 233),
        (94, 210, 200),
        (222, 230, 230),
    ],
)
FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
FONT_FAMILY = re.compile(r"font-family: [^;]*;")


def story() -> str:
    """Run the demo in colour, and return what it prints before its next steps."""
    done = subprocess.run(  # noqa: S603  # our own example
        [sys.executable, ROOT / "examples" / "quickstart.py"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "FORCE_COLOR": "1", "NO_COLOR": ""},
    )
    lines = done.stdout.splitlines()
    end = next(n for n, line in enumerate(lines) if "Next steps:" in line)
    return "\n".join(lines[:end]).strip("\n")


def svg(coloured: str) -> str:
    """Return text with ANSI colours as SVG. Nothing in it is loaded from elsewhere."""
    text = Text.assemble(("$ ", "dim"), "scripts/demo\n\n")
    text.append_text(Text.from_ansi(coloured))
    width = max(len(line) for line in text.plain.splitlines()) + 1
    console = Console(
        record=True,
        width=width,
        file=io.StringIO(),
        force_terminal=True,
        color_system="standard",
    )
    console.print(text, soft_wrap=True)
    drawn = console.export_svg(title="heksher", theme=THEME, unique_id="demo")
    drawn = FONT_FAMILY.sub(f"font-family: {FONTS};", FONT_FACE.sub("", drawn))
    label = '<svg role="img" aria-label="The demo in a terminal" class='
    return drawn.replace("<svg class=", label, 1).rstrip() + "\n"


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(svg(story()), encoding="utf-8", newline="\n")
