"""Write what a module declares as Markdown and as JSON Schema.

    python examples/export_docs.py [MODULE] [--output DIR] [--all]

MODULE is imported by its name, from the current directory or from where it is installed; without
one, the settings of the example shop are written. With --all, so are the settings of all modules
that it imports. Nothing is asked of a service.
"""

import argparse
import importlib
import json
import sys
from pathlib import Path

from heksher.settings.documents import json_schema, markdown


def export(module: str, output: Path, *, everything: bool = False) -> list[Path]:
    """Write both documents into *output*, and return their paths."""
    importlib.import_module(module)
    which = None if everything else module
    title = f"Settings of {module}"
    documents = {
        output / "settings.md": markdown(which, title=title),
        output / "settings.schema.json": json.dumps(
            json_schema(which, title=title), ensure_ascii=False, indent=2
        )
        + "\n",
    }
    output.mkdir(parents=True, exist_ok=True)
    for path, text in documents.items():
        path.write_text(text, encoding="utf-8", newline="\n")
    return list(documents)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write settings as Markdown and JSON Schema.")
    parser.add_argument("module", nargs="?", default="shop_settings")
    parser.add_argument("--output", type=Path, default=Path())
    parser.add_argument("--all", action="store_true", help="also settings of what it imports")
    arguments = parser.parse_args()
    sys.path.append(str(Path.cwd()))
    for path in export(arguments.module, arguments.output, everything=arguments.all):
        print(path)


if __name__ == "__main__":
    main()
