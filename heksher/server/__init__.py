"""A Heksher service inside this process: for tests, for trying things out, for small set-ups.

`create_app` mounts it in a test or another application; `python -m heksher.server` serves it.
Both need the extra `server`: `pip install 'heksher[server]'`.
"""

import typing

if typing.TYPE_CHECKING:
    from heksher.server.app import create_app

__all__ = ["MISSING_EXTRA", "create_app"]

MISSING_EXTRA: typing.Final = (
    "the embedded service needs the extra `server`: pip install 'heksher[server]'"
)
"""What is said where the packages of the extra are not installed."""

if not typing.TYPE_CHECKING:

    def __getattr__(name: str) -> typing.Any:
        """Import `create_app` when it is first asked for, and FastAPI with it."""
        if name != "create_app":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
        try:
            from heksher.server.app import create_app
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("heksher"):
                raise
            raise ModuleNotFoundError(MISSING_EXTRA, name=error.name) from error
        return create_app
