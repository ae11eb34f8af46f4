"""What both clients have in common: everything that neither waits nor sends."""

from abc import ABC, abstractmethod
from asyncio import CancelledError
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from enum import Enum
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from heksher.clients import forking
from heksher.clients.effects import without_frames
from heksher.clients.last_good import last_good
from heksher.clients.notifying import refuse_coroutine
from heksher.clients.options import ClientOptions
from heksher.clients.reporting import report_callback, report_forked
from heksher.clients.status import ClientStatus
from heksher.clients.tracking import Tracked
from heksher.clients.transport import Endpoint, check_positive
from heksher.clients.upkeep import Upkeep
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
    """Where a client is in its life; it never goes back."""

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
        options: All options, none left out.

    Raises:
        InvalidClient: An argument cannot be right.
        InvalidContext: The context features are misnamed, or there are none.
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
        self._why_closed = "the client is closed"
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
        self._upkeep.set_defaults(self._events, dict(features))

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

    @abstractmethod
    def _wake(self) -> None:
        """Refresh soon; any thread may call this."""

    @abstractmethod
    def _forked(self) -> None:
        """Leave all to the parent process that belongs to it; runs in the child, right after fork."""

    @abstractmethod
    def _restart(self) -> None:
        """Go on in a forked child, or say that it does not."""

    def _is_updating(self) -> bool:
        """Tell whether the client is started, and what it runs in is still there."""
        return self._state is ClientState.STARTED

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
            raise ClientClosed(f"{self._why_closed}: make a new one")

    def _end_in_child(self, why: str) -> None:
        """Close a copy of the client in a forked child, where it cannot go on because of *why*."""
        self._state = ClientState.CLOSED
        self._why_closed = f"the client was started before this process was forked, and {why}"
        self._upkeep.stopped(self._why_closed)
        self._registry.release(self._events)

    def _report_ended_in_child(self, why: str) -> None:
        forking.unwatch(self._events)
        report_forked(
            type(self).__name__,
            self.status.age,
            f"are not updated here, since {why}: start a client in this process",
        )

    def _check_new(self) -> None:
        self._check_open()
        if self._state is not ClientState.NEW:
            raise ClientStateError("the client is started already")

    def _check_started(self) -> None:
        self._check_open()
        if self._state is not ClientState.STARTED:
            raise ClientStateError("start the client first: set_as_main()")


class ClientEvents:
    """What the registry, and the hook that runs after a fork, tell a client.

    It is no part of the client's surface, and does not keep the client alive.

    Args:
        client: The client, which has to keep this.

    Attributes:
        registry: The client's registry.
    """

    def __init__(self, client: HeksherClient) -> None:
        self._client = ref(client)
        self.registry: Registry = client._registry

    def setting_declared(self) -> None:
        """Have a new setting declared and fetched soon."""
        client = self._client()
        if client is not None:
            client._wake()

    def setting_outdated(self, setting: Any) -> None:
        """Have a setting queried afresh soon."""
        self.setting_declared()

    def forked(self) -> None:
        """Run in a forked child, right after the fork."""
        client = self._client()
        if client is not None:
            client._forked()

    def restart(self) -> None:
        """Run in a forked child, before a setting is read there for the first time."""
        client = self._client()
        if client is not None:
            client._restart()
