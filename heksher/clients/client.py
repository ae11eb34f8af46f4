"""What both clients have in common: everything that neither waits nor sends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from asyncio import CancelledError
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, Any

from heksher.clients.effects import without_frames
from heksher.clients.last_good import last_good
from heksher.clients.notifying import refuse_coroutine
from heksher.clients.reporting import report_callback
from heksher.clients.transport import Endpoint, check_positive
from heksher.clients.upkeep import Upkeep
from heksher.exceptions import (
    ClientClosed,
    ClientStateError,
    ServiceError,
    ServiceUnavailable,
)
from heksher.settings.context import check_features

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping
    from contextvars import ContextVar

    from heksher.clients.status import ClientStatus
    from heksher.clients.tracking import Tracked
    from heksher.settings.registry import Registry
    from heksher.settings.setting import Setting


class ClientState(Enum):
    """Where a client is in its life; it never goes back."""

    NEW = "new"
    STARTING = "starting"
    STARTED = "started"
    CLOSED = "closed"


class HeksherClient(ABC):
    """A client without its I/O; see `AsyncHeksherClient` and `ThreadHeksherClient`.

    Raises:
        InvalidClient: An argument cannot be right.
        InvalidContext: The context features are misnamed, or there are none.
    """

    def __init__(
        self,
        service_url: str,
        update_interval: float,
        context_features: Iterable[str],
        *,
        http_client_args: Mapping[str, Any] | None,
        start_timeout: float,
        request_timeout: float,
        max_response_bytes: int,
        snapshot_path: str | os.PathLike[str] | None,
        max_snapshot_age: float | None,
        declare: bool,
        registry: Registry,
    ) -> None:
        self._endpoint = Endpoint(
            service_url,
            request_timeout=request_timeout,
            max_response_bytes=max_response_bytes,
            http_client_args=http_client_args,
        )
        self._start_timeout = check_positive("start_timeout", start_timeout)
        self._upkeep = Upkeep(
            registry,
            check_features(context_features, whose="the client"),
            update_interval=check_positive("update_interval", update_interval),
            declares=declare,
            last_good=last_good(snapshot_path, max_snapshot_age),
        )
        self.registry = registry
        self._state = ClientState.NEW
        self._start_error: ServiceError | None = None

    def _late(self) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"the service did not answer within start_timeout, {self._start_timeout} s"
        )

    def _start_from_snapshot(self, error: ServiceError) -> None:
        """Publish the last good state instead of what *error* kept away.

        Raises:
            ServiceError: There is none.
        """
        if self._upkeep.start_from_snapshot(error):
            self._start_error = without_frames(error)
            return
        try:
            raise error
        finally:
            del error  # its traceback leads here

    def _tell_start(self) -> None:
        """Call the hook for the first update, now that the client is started."""
        error, self._start_error = self._start_error, None
        if error is None:
            self._call("on_update_ok", self.on_update_ok)
        else:
            self._call("on_update_error", self.on_update_error, error)

    def set_defaults(self, /, **features: str | ContextVar[str] | Callable[[], str | None]) -> None:
        """Give context features the values that they have where a call gives none.

        Calls add up; the last one for a feature wins. Takes effect at once, unless another client
        is the main one: then when this one starts.

        Args:
            **features: A string, a `ContextVar` to read one from (without a value it counts as not
                given), or a function of no argument that returns one.

        Raises:
            InvalidContext: One is none of these.
        """
        self._upkeep.set_defaults(self, dict(features))

    def track_contexts(self, /, **context_values: Tracked) -> None:
        """Use only rules of which every condition is tracked, and fetch no others if possible.

        Until something is tracked, all rules are used. Calls add up; after the start they take
        effect at the next update.

        Args:
            **context_values: By context feature: a string, a collection of strings, or
                `TRACK_ALL`. A feature that is not mentioned is not tracked.

        Raises:
            InvalidContext: One is none of these.
        """
        self._upkeep.session.track(context_values)

    def on_update_ok(self) -> None:  # noqa: B027  # a hook: nothing has to be done
        """Do nothing; override it to be told of each update that worked."""

    def on_update_error(self, exc: Exception) -> None:  # noqa: B027  # a hook: nothing has to be done
        """Do nothing; override it to be told of each update that failed, and why."""

    def on_change(
        self, listener: Callable[[frozenset[Setting[Any, ...]]], object]
    ) -> Callable[[], None]:
        """Call *listener* with the set of changed settings after each update that changed any.

        It runs after publishing, with the context variables of whoever registered it. One that
        raises is logged.

        Returns:
            A function that removes it; more than once is fine.

        Raises:
            InvalidClient: It cannot be called.
        """
        return self._upkeep.listeners.on_change(listener)

    @property
    def status(self) -> ClientStatus:
        """How things stand: how old the values are, what failed, what was refused."""
        return self._upkeep.status(started=self._is_updating())

    def _is_updating(self) -> bool:
        """Tell whether the client is started, and what it runs in is still there."""
        return self._state is ClientState.STARTED

    @abstractmethod
    def setting_declared(self) -> None:
        """Have a new setting declared and fetched soon; the registry calls it, from any thread."""

    def setting_outdated(self, setting: Any) -> None:
        """Have a setting queried afresh soon; the registry calls it, from any thread."""
        self.setting_declared()

    def _failed(self, error: Exception) -> Exception:
        """Report an update that failed, to the log and to the hook; return *error*."""
        with suppress(Exception):  # such as a log filter of the program's
            self._upkeep.failed(error)
        self._call("on_update_error", self.on_update_error, error)
        return error

    def _ended_by(self, raised: BaseException) -> Exception:
        """Report an update that a callback ended, by raising what is no `Exception`."""
        return self._failed(
            ServiceError(f"the update was ended by {type(raised).__name__}, from a callback")
        )

    def _call(self, what: str, callback: Callable[..., object], *arguments: Any) -> None:
        try:
            refuse_coroutine(callback(*arguments))
        except (Exception, CancelledError) as error:  # noqa: BLE001  # a user's override may raise anything
            report_callback(f"{what}() of the client", error)

    def _check_open(self) -> None:
        if self._state is ClientState.CLOSED:
            raise ClientClosed("the client is closed: make a new one")

    def _check_new(self) -> None:
        self._check_open()
        if self._state is not ClientState.NEW:
            raise ClientStateError("the client is started already")

    def _check_started(self) -> None:
        self._check_open()
        if self._state is not ClientState.STARTED:
            raise ClientStateError("start the client first: set_as_main()")
