"""The options of clients: what each is called, means, and is without being given."""

import inspect
import os
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, Final, TypeVar

import httpx
from typing_extensions import TypedDict

from heksher.settings import registry as registries
from heksher.settings.registry import Registry

Init = TypeVar("Init", bound=Callable[..., None])


class ClientOptions(TypedDict, total=False):
    """Options of every client, stubs included, all given by keyword."""

    http_client_args: Mapping[str, Any] | None
    """Arguments of the httpx client, such as `headers` or `verify`."""

    start_timeout: float
    """Seconds that a start may take without progress, such as a setting that the service took; 60 by
    default, since the real service can hang for 30. In all, it may take ten times as long."""

    request_timeout: float
    """Seconds that a request may take; 35 by default, since the service can hang for 30."""

    max_response_bytes: int
    """Bytes that the body of a response may have; 64 MiB by default."""

    snapshot_path: str | os.PathLike[str] | None
    """A file that keeps the last good state, to start from while the service is unavailable."""

    max_snapshot_age: float | None
    """Seconds after which that state is too old to start from; never, by default."""

    declare: bool
    """Whether settings are declared; `False` for jobs and networks that only read."""

    registry: Registry
    """The registry whose settings the client updates; that of the process by default."""


class AsyncClientOptions(ClientOptions, total=False):
    """Options of `AsyncHeksherClient`: those of every client, and these."""

    http_client: httpx.AsyncClient | None
    """An httpx client to use instead of one of the client's own. It is never closed."""


class ThreadClientOptions(ClientOptions, total=False):
    """Options of `ThreadHeksherClient`: those of every client, and these."""

    http_client: httpx.Client | None
    """An httpx client to use instead of one of the client's own. It is never closed.

    A client that was given one does not start again in a forked child: parent and child would share
    its connections.
    """


class StubOptions(ClientOptions, total=False):
    """Options of `StubHeksherClient`, which stands for either client."""

    http_client: object
    """Ignored."""


DEFAULTS: Final[ClientOptions] = {
    "http_client_args": None,
    "start_timeout": 60.0,
    "request_timeout": 35.0,
    "max_response_bytes": 64 * 2**20,
    "snapshot_path": None,
    "max_snapshot_age": None,
    "declare": True,
    "registry": registries.DEFAULT,
}
"""What the options of every client are without being given. `http_client` is `None`."""


def with_defaults(options: ClientOptions, kind: type[ClientOptions], client: str) -> ClientOptions:
    """Return *options* with the defaults of those that were not given.

    Args:
        options: The options, as given.
        kind: Those that there are.
        client: Who was given them, for the error.

    Raises:
        TypeError: There is no such option.
    """
    known = kind.__annotations__
    for name in options:
        if name not in known:
            similar = get_close_matches(name, known, n=1)
            hint = f"did you mean {similar[0]!r}?" if similar else f"there are {sorted(known)}"
            raise TypeError(f"{client}() got an unexpected keyword argument {name!r}: {hint}")
    return {**DEFAULTS, **options}


def shows_options(kind: type[ClientOptions]) -> Callable[[Init], Init]:
    """Return a decorator that lets `inspect.signature` show the options instead of `**options`."""
    defaults: dict[str, Any] = {"http_client": None, **DEFAULTS}

    def show(init: Init) -> Init:
        plain = inspect.signature(init)
        kept = [one for one in plain.parameters.values() if one.kind is not one.VAR_KEYWORD]
        options = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=defaults[name],
                annotation=annotation,
            )
            for name, annotation in kind.__annotations__.items()
        ]
        shown: Any = init
        shown.__signature__ = plain.replace(parameters=[*kept, *options])
        return init

    return show
