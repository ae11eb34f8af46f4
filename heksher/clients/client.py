"""What both clients share: everything that neither waits nor does I/O."""

from abc import ABC, abstractmethod
from asyncio import CancelledError
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from enum import Enum
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from heksher.clients.bookkeeping import Upkeep
from heksher.clients.conversation.declaring.progress import Progress
from heksher.clients.conversation.responses import without_frames
from heksher.clients.conversation.tracking import Tracked
from heksher.clients.listeners import refuse_coroutine
from heksher.clients.log_messages import report_callback, report_forked
from heksher.clients.options import ClientOptions
from heksher.clients.snapshots.last_good import last_good
from heksher.clients.status import ClientStatus
from heksher.clients.transport import fork
from heksher.clients.transport.endpoint import Endpoint, check_positive
from heksher.exceptions import (
    ClientClosed,
    ClientStateError,
    ServiceError,
    ServiceUnavailable,
)
from heksher.settings.context import check_features
from heksher.settings.setting import Setting

if TYPE_CHECKING:
    from heksher.settings.registry import Registry


class ClientState(Enum):
    """The states of a client, in order; it never returns to an earlier one."""

    NEW = "new"
    STARTING = "starting"
    STARTED = "started"
    CLOSED = "closed"


class HeksherClient(ABC):
    """A client without its I/O; see `AsyncHeksherClient` and `ThreadHeksherClient`.

    Args:
        service_url: The service's URL.
        update_interval: Seconds between updates.
        context_features: The context features that settings may use.
        options: All options, including defaults.

    Raises:
        InvalidClient: An argument is invalid.
        InvalidContext: The context features are invalid, or there are none.
    """

    def __init__(
        self,
        service_url: str,
        update_interval: float,
        context_features: Iterable[str],
        options: ClientOptions,
    ) -> None:
        self._endpoint = Endpoint(
            service_url,
            request_timeout=options["request_timeout"],
            max_response_bytes=options["max_response_bytes"],
            http_client_args=options["http_client_args"],
        )
        self._start_timeout = check_positive("start_timeout", options["start_timeout"])
        self._registry = options["registry"]
        self._upkeep = Upkeep(
            self._registry,
            check_features(context_features, whose="the client"),
            update_interval=check_positive("update_interval", update_interval),
            declares=options["declare"],
            last_good=last_good(options["snapshot_path"], options["max_snapshot_age"]),
        )
        self._events: Final = ClientEvents(self)
        self._state = ClientState.NEW
        self._why_closed = "client is closed"
        self._start_error: ServiceError | None = None

    def _late(self, progress: Progress) -> ServiceUnavailable:
        reached = str(progress)
        return ServiceUnavailable(
            f"no progress with the service within start_timeout ({self._start_timeout} s)"
            + (f": {reached}; the next start continues from there" if reached else "")
        )

    def _start_from_snapshot(self, error: ServiceError) -> None:
        """Publish the snapshot, since *error* made the first refresh fail.

        Raises:
            ServiceError: There is no usable snapshot; this is *error*.
        """
        if self._upkeep.start_from_snapshot(error):
            self._start_error = without_frames(error)
            return
        try:
            raise error
        finally:
            del error  # its traceback leads here

    def _tell_start(self) -> None:
        """Call the hook for the first update once the client is started."""
        error, self._start_error = self._start_error, None
        if error is None:
            self._call("on_update_ok", self.on_update_ok)
        else:
            self._call("on_update_error", self.on_update_error, error)

    def set_defaults(self, /, **features: str | ContextVar[str] | Callable[[], str | None]) -> None:
        """Set the values of context features for calls that neither give nor bind one.

        Repeated calls are merged; the last one for a feature wins. Defaults take effect at once, or
        when this client starts if another one is the main client now.

        Args:
            **features: By context feature: a string, a `ContextVar` to read it from (one without a
                value counts as not given), or a function without parameters that returns it.

        Raises:
            InvalidContext: A default is none of these.
        """
        self._upkeep.set_defaults(self._events, dict(features))

    def track_contexts(self, /, **context_values: Tracked) -> None:
        """Use only rules whose conditions are all tracked, and avoid fetching others.

        Until this is called, all rules are used. Repeated calls are merged; after the start they
        take effect with the next update.

        Args:
            **context_values: By context feature: a string, a collection of strings, or
                `TRACK_ALL`. Features that are not mentioned are not tracked.

        Raises:
            InvalidContext: A value is none of these.
        """
        self._upkeep.session.track(context_values)

    def on_update_ok(self) -> None:  # noqa: B027  # a hook: nothing has to be done
        """Called after each successful update; override it."""

    def on_update_error(self, exc: Exception) -> None:  # noqa: B027  # a hook: nothing has to be done
        """Called after each failed update, with the reason; override it."""

    def on_change(
        self, listener: Callable[[frozenset[Setting[Any, ...]]], object]
    ) -> Callable[[], None]:
        """Register *listener*, called with the set of changed settings after each change.

        It is called after publishing, with the context variables of the code that registered it.
        An exception that it raises is logged.

        Returns:
            A function that unregisters it; calling that again does nothing.

        Raises:
            InvalidClient: *listener* is not callable.
        """
        return self._upkeep.listeners.on_change(listener)

    @property
    def status(self) -> ClientStatus:
        """The client's state: the age of the values, failures, refused declarations."""
        return self._upkeep.status(started=self._is_updating())

    @abstractmethod
    def _wake(self) -> None:
        """Refresh soon; may be called from any thread."""

    @abstractmethod
    def _forked(self) -> None:
        """Release what belongs to the parent process; called in the child right after a fork."""

    @abstractmethod
    def _restart(self) -> None:
        """Continue in a forked child, or log that the client does not."""

    def _is_updating(self) -> bool:
        """Return whether the client is started and its thread or event loop still exists."""
        return self._state is ClientState.STARTED

    def _failed(self, error: Exception) -> Exception:
        """Report a failed update to the log and the hook; return *error*."""
        with suppress(Exception):  # such as a log filter of the program's
            self._upkeep.failed(error)
        self._call("on_update_error", self.on_update_error, error)
        return error

    def _ended_by(self, raised: BaseException) -> Exception:
        """Report an update that a callback ended by raising a `BaseException`."""
        return self._failed(
            ServiceError(f"update ended by {type(raised).__name__}, raised in a callback")
        )

    def _call(self, what: str, callback: Callable[..., object], *arguments: Any) -> None:
        try:
            refuse_coroutine(callback(*arguments))
        except (Exception, CancelledError) as error:  # noqa: BLE001  # a user's override may raise anything
            report_callback(f"{what}() of the client", error)

    def _check_open(self) -> None:
        if self._state is ClientState.CLOSED:
            raise ClientClosed(f"{self._why_closed}: make a new one")

    def _end_in_child(self, why: str) -> None:
        """Close this copy of the client in a forked child, where it cannot continue."""
        self._state = ClientState.CLOSED
        self._why_closed = f"client was started before this process was forked, and {why}"
        self._upkeep.stopped(self._why_closed)
        self._registry.release(self._events)

    def _report_ended_in_child(self, why: str) -> None:
        fork.unwatch(self._events)
        report_forked(
            type(self).__name__,
            self.status.age,
            f"They are not updated here, since {why}: start a client in this process",
        )

    def _check_new(self) -> None:
        self._check_open()
        if self._state is not ClientState.NEW:
            raise ClientStateError("client is already started")

    def _check_started(self) -> None:
        self._check_open()
        if self._state is not ClientState.STARTED:
            raise ClientStateError("client is not started: call set_as_main() first")


class ClientEvents:
    """Receives what the registry and the fork hook tell a client, from any thread.

    It is not part of the client's public interface, and does not keep the client alive.

    Args:
        client: The client, which keeps this object.

    Attributes:
        registry: The client's registry.
    """

    def __init__(self, client: HeksherClient) -> None:
        self._client = ref(client)
        self.registry: Registry = client._registry

    def setting_declared(self) -> None:
        """Declare and fetch a new setting soon."""
        client = self._client()
        if client is not None:
            client._wake()

    def setting_outdated(self, setting: Any) -> None:
        """Query a setting again soon."""
        self.setting_declared()

    def forked(self) -> None:
        """Release what belongs to the parent process; called right after a fork."""
        client = self._client()
        if client is not None:
            client._forked()

    def restart(self) -> None:
        """Continue, if possible; called when a forked child first reads a setting."""
        client = self._client()
        if client is not None:
            client._restart()
