"""Observers: who is told of each read of a setting, such as a tracing or a feature-flag library.

Nobody pays for them until there is one. While there is, readers are given `ASIDE` instead of a state.
It is too short for all settings, so they take the way that is there for settings which a state is too
short for, and that tells the observers. Nothing else of the hot path knows of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, TypeAlias

from heksher.exceptions import UsageError
from heksher.settings import registry as registries
from heksher.settings.declaration import Declaration
from heksher.settings.explaining import Read
from heksher.settings.registry import Registry

logger: Final = logging.getLogger("heksher")

Observer: TypeAlias = Callable[[Read[Any]], object]
"""What `observe_reads` calls."""

_is_telling: Final = ContextVar("heksher.is_telling", default=False)


def observe_reads(
    observer: Observer, *, registry: Registry = registries.DEFAULT
) -> Callable[[], None]:
    """Call *observer* with a `Read` after each read of a setting, wherever in the process.

    A read is a call of `get` or `explain`, a setting read as an attribute, and each setting of a
    `SettingsModel`. The observer runs in the thread and context of the read, before that returns.
    It may read settings itself; no observer is told of those reads. One that raises harms no read,
    and is logged once. There may be several; they are called in the order in which they came.

    Reads are slower while there is an observer; nothing is paid before and after.

    Args:
        observer: Called with each `Read`: the setting, the value, and why it is that value.
        registry: Where the settings are declared, if not in the registry of the process.

    Returns:
        A function that removes the observer; more than once is fine.

    Raises:
        UsageError: It cannot be called.
    """
    if not callable(observer):
        raise UsageError(f"an observer of reads must be a function, not {type(observer).__name__}")
    return registry.observe(_Guarded(observer))


class _Guarded:
    """An observer that raises nothing, and is logged once if it would."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._has_failed = False

    def __call__(self, read: Read[Any]) -> None:
        try:
            self._observer(read)
        except Exception as error:  # noqa: BLE001  # a user's function may raise anything
            if not self._has_failed:
                self._has_failed = True
                # Neither its text nor the traceback: they may quote the value.
                logger.error(
                    "an observer of reads raised %s; it stays registered, and further errors of it"
                    " are not logged",
                    type(error).__name__,
                )


def read_observed(declaration: Declaration, given: dict[str, Any]) -> Read[Any]:
    """Read a setting as its `get` does, and tell the observers.

    Args:
        declaration: The setting.
        given: The call's own arguments, all of them its features.
    """
    read: Read[Any] = Read(declaration, given)
    observers = declaration.registry.observers
    if observers and not _is_telling.get():
        token = _is_telling.set(True)
        try:
            for observer in observers:
                observer(read)
        finally:
            _is_telling.reset(token)
    return read
