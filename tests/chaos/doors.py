"""What the histories use of heksher's insides: all of it is here, to be adapted in one place.

Everything else in `chaos` uses what `heksher` exports. Nothing here names a module of the clients:
whatever they import of `threading`, `queue`, `time` and `concurrent.futures`, in whichever module,
is found by identity, so that modules may be moved and renamed.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import queue
import random
import sys
import threading
import time
from concurrent import futures
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import heksher
from heksher.settings.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["PACKAGE", "Registry", "pinned", "replaced", "seed"]

PACKAGE: Final = str(Path(heksher.__file__).parent)
"""Where the code is that traces look at."""

LISTS_ARE_SPARED: Final = False
"""Whether `Retry-After` counts in answer to a list that only the status needed (after a default changed); it
is swallowed with the error today. To be set when that is mended."""

_PARTS: Final = ("clients", "settings")
_FROM: Final = (threading, queue, time, futures)
_LEFT_ALONE: Final = frozenset({"local", "TYPE_CHECKING", "Empty", "Full", "TimeoutError"})


class _Site(NamedTuple):
    """A place where something of the standard library is kept: a namespace, and its name there."""

    namespace: Any
    name: str
    original: Any


@cache
def _modules() -> list[ModuleType]:
    for part in _PARTS:
        package = importlib.import_module(f"heksher.{part}")
        for found in pkgutil.walk_packages(package.__path__, f"heksher.{part}."):
            importlib.import_module(found.name)
    prefixes = tuple([f"heksher.{part}" for part in _PARTS])
    return [module for name, module in sys.modules.items() if name.startswith(prefixes)]


@cache
def _sites(wanted: frozenset[Any]) -> list[_Site]:
    """Return where any of *wanted* is kept: in modules, and as default of an argument."""
    sites = []
    for module in _modules():
        for name, value in list(vars(module).items()):
            if _is_one_of(value, wanted) or (isinstance(value, ModuleType) and value in _FROM):
                sites.append(_Site(vars(module), name, value))
        for function in _functions(module):
            defaults = function.__kwdefaults__ or {}
            sites += [
                _Site(defaults, name, value)
                for name, value in defaults.items()
                if _is_one_of(value, wanted)
            ]
    return sites


def _is_one_of(value: Any, wanted: frozenset[Any]) -> bool:
    return callable(value) and getattr(value, "__hash__", None) is not None and value in wanted


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    for value in list(vars(module).values()):
        if inspect.isfunction(value) and value.__module__ == module.__name__:
            yield value
        elif inspect.isclass(value) and value.__module__ == module.__name__:
            yield from (one for one in vars(value).values() if inspect.isfunction(one))


class _Shim(ModuleType):
    """A module of which some names are others; for `import threading` and the like."""

    def __init__(self, module: ModuleType, replacements: Mapping[Any, Any]) -> None:
        super().__init__(module.__name__)
        for name, value in vars(module).items():
            stands_in = (
                replacements.get(value) if _is_one_of(value, frozenset(replacements)) else None
            )
            setattr(self, name, value if stands_in is None else stands_in)


@contextmanager
def replaced(replacements: Mapping[Any, Any]) -> Iterator[None]:
    """Have heksher's clients and settings use what stands in for parts of the standard library."""
    sites = _sites(frozenset(replacements))
    try:
        for site in sites:
            if isinstance(site.original, ModuleType):
                site.namespace[site.name] = _Shim(site.original, replacements)
            else:
                site.namespace[site.name] = replacements[site.original]
        yield
    finally:
        for site in sites:
            site.namespace[site.name] = site.original


def seed(client: Any, number: float) -> None:
    """Make the jitter of *client* repeatable, wherever it keeps its randomness."""
    found = [one for one in _reachable(client, 4) if isinstance(one, random.Random)]
    if not found:
        raise AssertionError("the client's randomness is nowhere: adapt chaos.doors.seed")
    for one in found:
        one.seed(number)


def own_way(client: Any, transport: Any) -> None:
    """Have the connections that *client* makes itself go by *transport*.

    Not as an argument: with connections of the caller's, no forked child goes on.
    """
    for held in _reachable(client, 4):
        arguments = getattr(held, "http_client_args", None)
        if isinstance(arguments, dict):
            arguments["transport"] = transport
            return
    raise AssertionError("the arguments of httpx clients are nowhere: adapt chaos.doors.own_way")


def _reachable(thing: Any, depth: int) -> Iterator[Any]:
    """Yield *thing*, and the objects of heksher's, and randomness, that it holds."""
    yield thing
    if depth == 0 or isinstance(thing, random.Random):
        return
    names = {*getattr(thing, "__dict__", {})}
    for kind in type(thing).__mro__:
        names.update(getattr(kind, "__slots__", ()))
    for name in names:
        held = getattr(thing, name, None)
        if isinstance(held, random.Random) or type(held).__module__.startswith("heksher.clients"):
            yield from _reachable(held, depth - 1)


def says_failure(message: str) -> bool:
    """Tell whether a log record says that an update failed."""
    return "update failed" in message or "updates failed" in message


def says_recovery(message: str) -> bool:
    """Tell whether a log record says that updates work again."""
    return "updated again" in message


def says_forked(message: str) -> bool:
    """Tell whether a log record says that this process is a forked child of a client's."""
    return "process was forked after" in message


def says_snapshot(message: str) -> bool:
    """Tell whether a log record says that a client started from a snapshot."""
    return "using a snapshot" in message


def says_other_tracking(message: str) -> bool:
    """Return whether a log record says that a snapshot was saved for other tracked contexts."""
    return "while other contexts were tracked" in message


def pinned(registry: Registry) -> Any:
    """Read all settings of *registry* from one published state, in a `with` block."""
    return registry.pinned()


def has_main(registry: Registry) -> bool:
    """Tell whether a client is the main one of *registry*."""
    return registry.main is not None
