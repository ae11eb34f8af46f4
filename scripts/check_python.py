"""End a build on a Python that is too old at once, where pip would search for ten minutes.

Hatchling loads this before it writes the project's metadata, the first thing that pip asks for.
`requires-python` says the same, but pip looks at it only after it has collected dependencies.
"""

import sys

from hatchling.metadata.plugin.interface import MetadataHookInterface

if sys.version_info < (3, 11):  # noqa: UP036  # whoever builds it has any Python
    version = ".".join(str(part) for part in sys.version_info[:3])
    raise SystemExit(f"heksher needs Python 3.11 or later, this is Python {version}")


class PythonCheck(MetadataHookInterface):
    """Changes nothing in the metadata; hatchling wants a hook in the file that it loads."""

    def update(self, metadata: dict) -> None:
        """Leave the metadata as they are."""
