"""The command line of the codemod: `python -m heksher.moving [--diff] FILE...`."""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heksher.moving.rewriting import Moved

_PROGRAM: Final = "python -m heksher.moving"
_MISSING: Final = "the codemod needs LibCST: run pip install 'heksher[moving]>=1.0.0.dev0'"


def main(arguments: Sequence[str] | None = None) -> int:
    """Rewrite files; return 0, or 1 where one could not be, or 2 where LibCST is missing."""
    options = _parser().parse_args(arguments)
    try:
        from libcst import ParserSyntaxError

        from heksher.moving.rewriting import rewrite
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "libcst":
            raise
        _say(_MISSING)
        return 2
    failed = False
    for path in options.files:
        try:
            # Line ends stay as they are: Python would make all of them "\n".
            source = path.read_bytes().decode("utf-8")
            moved = rewrite(source)
        except (OSError, UnicodeDecodeError, ParserSyntaxError) as error:
            _say(f"{path}: not changed: {error}")
            failed = True
            continue
        _report(path, source, moved, shows_diff=options.diff)
    return int(failed)


def _report(path: Path, source: str, moved: Moved, *, shows_diff: bool) -> None:
    if shows_diff:
        before, after = source.splitlines(keepends=True), moved.source.splitlines(keepends=True)
        sys.stdout.writelines(difflib.unified_diff(before, after, str(path), str(path)))
    elif moved.source != source:
        path.write_bytes(moved.source.encode("utf-8"))
        sys.stdout.write(f"{path}: changed\n")
    for note in moved.notes:
        _say(f"{path}:{note.line}: {note.text}")


def _say(message: str) -> None:
    sys.stderr.write(f"{message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Rewrite programs of heksher-py 0.2 in place, and say what is left to do.",
    )
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="a Python file")
    parser.add_argument("--diff", action="store_true", help="show what would change; write nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
