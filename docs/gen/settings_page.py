"""Make the page of the example shop's settings, by `examples/export_docs.py`, at each build."""

import runpy
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import mkdocs_gen_files

EXAMPLES = Path(__file__).parents[2] / "examples"

INTRODUCTION = """
!!! note "How this page is made"

    `python examples/export_docs.py` wrote it when this site was built, from the declarations in
    [`examples/shop_settings.py`](export.md#the-module-that-was-exported) and nothing else. It also
    wrote a [JSON Schema](settings-of-the-example.schema.json) of the same settings.
"""


def main() -> None:
    """Write the page and the schema into the site."""
    sys.path.insert(0, str(EXAMPLES))
    export = runpy.run_path(str(EXAMPLES / "export_docs.py"))["export"]
    with TemporaryDirectory() as directory:
        page, schema = [
            path.read_text("utf-8")
            for path in export("shop_settings", Path(directory))
        ]
    heading, _, rest = page.partition("\n")
    with mkdocs_gen_files.open("settings-of-the-example.md", "w") as file:
        file.write(f"{heading}\n{INTRODUCTION}{rest}")
    with mkdocs_gen_files.open(
        "settings-of-the-example.schema.json", "w"
    ) as file:
        file.write(schema)


main()
