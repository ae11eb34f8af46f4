"""`ThreadHeksherClient`: declares settings and keeps their values fresh, in a thread."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from math import inf
from threading import Condition, Lock, Thread, current_thread
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self, Unpack

from heksher.clients import flows, forking
from heksher.clients.client import ClientState, HeksherClient
from heksher.clients.listing import fetch_listing
from heksher.clients.notifying import settings_of
from heksher.clients.options import ThreadClientOptions, shows_options, with_defaults
from heksher.clients.refreshing import let_go
from heksher.clients.reporting import report_callback, report_forked, report_malformed
from heksher.clients.setting_data import SettingData, settings_data
from heksher.clients.thread_changes import ThreadChanges
from heksher.clients.thread_driver import Overdue, ThreadDriver
from heksher.exceptions import ClientClosed, ClientStateError, ServiceError
from heksher.settings.setting import Setting

CLOSE_TIMEOUT: Final = 5.0
"""Seconds that closing takes at most. What hangs beyond, a name being resolved, ends by itself."""

_NOT_IN_CHILD: Final = (
    "the connections of its http_client or transport belong to the parent process"
)
"""Why a client that was given its connections does not go on in a forked child."""


class ThreadHeksherClient(HeksherClient):
    """Declares all settings to a Heksher service and keeps their values fresh.

    Use it as a context manager around the life of the program::

        with ThreadHeksherClient("http://heksher:8000", 60, ["environment", "user"]):
            ...

    Entering waits until all settings are declared and their values are there. From then on a
    daemon thread updates them. It does all that `AsyncHeksherClient` does, in the same words
    without `await`; all methods may be called from any thread. In a forked child it starts again
    by itself, at the first read of a setting.

    Args:
        service_url: The service's URL; it may have a path.
        update_interval: Seconds between updates, give or take a tenth.
        context_features: The context features that settings may use, all of which the service has
            to have. Its order is the one that counts.
        **options: See `ThreadClientOptions`.

    Raises:
        InvalidClient: An argument cannot be right.
        InvalidContext: The context features are misnamed, or there are none.
        TypeError: There is no such option.

    Attributes:
        modification_lock: Held while values change.
    """

    @shows_options(ThreadClientOptions)
    def __init__(
        self,
        service_url: str,
        update_interval: float,
        context_features: Iterable[str],
        **options: Unpack[ThreadClientOptions],
    ) -> None:
        known = with_defaults(options, ThreadClientOptions, type(self).__name__)
        super().__init__(service_url, update_interval, context_features, known)
        self._driver = ThreadDriver(self._endpoint, options.get("http_client"))
        self._changes = ThreadChanges()
        self._make_locks()

    def _make_locks(self) -> None:
        self.modification_lock: Lock = Lock()
        # Guards all that follows, and the state of the client.
        self._news = Condition()
        self._waiting: list[Future[None]] = []
        self._served: list[Future[None]] = []
        self._thread: Thread | None = None

    def set_as_main(self) -> None:
        """Declare every setting declared so far, and wait for their values.

        From then on this is the client that keeps the settings; only one can be at a time.

        Raises:
            ClientStateError: It was started before, or another client is the main one.
            InvalidContext: The service lacks one of the context features.
            ServiceError: The service cannot be reached within `start_timeout`, or does not answer
                as Heksher does. The client is closed then, unless there is a snapshot.
        """
        with self._news:
            self._check_new()
            self._upkeep.take_over(self._events)
            self._state = ClientState.STARTING
        forking.watch(self._events)
        try:
            self._first_refresh()
            with self._news:
                self._check_open()
                self._state = ClientState.STARTED
            self._start_thread()
        except BaseException as error:
            if isinstance(error, Exception):
                self._upkeep.note(error)
            self.close()
            raise
        self._tell_start()

    def _first_refresh(self) -> None:
        self._upkeep.begin()
        try:
            due = monotonic() + self._start_timeout
            self._drive_refresh(first=True, thorough=True, due=due)
        except Overdue:
            self._start_from_snapshot(self._late())
        except ServiceError as error:
            self._start_from_snapshot(error)

    def _start_thread(self) -> None:
        thread = Thread(target=self._keep_fresh, name="heksher", daemon=True)
        self._thread = thread
        thread.start()

    def _keep_fresh(self) -> None:
        while self._until_due():
            try:
                error = self._refresh(thorough=bool(self._served))
            except BaseException as raised:  # noqa: BLE001  # such as SystemExit from a listener
                error = self._ended_by(raised)
            self._settle(error)
            del error  # its traceback leads to whoever called reload()

    def _settle(self, error: Exception | None) -> None:
        """Tell those whose calls of `reload` are over."""
        with self._news:
            served, self._served = self._served, []
        for future in served:
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

    def _until_due(self) -> bool:
        """Wait until a refresh is due, or `reload` was called; return whether to go on."""
        with self._news:
            while self._state is ClientState.STARTED and not self._waiting:
                left = self._upkeep.seconds_left()
                if left <= 0:
                    break
                self._news.wait(left)
            # Added, since those that close() is about to tell stand there already.
            self._served += self._waiting
            self._waiting = []
            return self._state is ClientState.STARTED

    def _refresh(self, *, thorough: bool) -> Exception | None:
        """Refresh once; return what went wrong, after reporting it."""
        self._upkeep.begin()
        try:
            error = self._drive_refresh(first=False, thorough=thorough)
        except ClientClosed as closed:
            return closed
        except Exception as raised:  # noqa: BLE001  # nothing may end the updates
            return self._failed(raised)
        if error is not None:
            return self._failed(error)
        self._call("on_update_ok", self.on_update_ok)
        return None

    def _drive_refresh(self, *, first: bool, thorough: bool, due: float = inf) -> Exception | None:
        flow = flows.refresh(self._upkeep.session, first=first, thorough=thorough)
        refreshed = self._driver.drive(flow, due=due)
        with self.modification_lock:
            if self._driver.is_closed:
                raise ClientClosed("the client was closed")
            former = self._upkeep.publish(refreshed)
        self._upkeep.listeners.notify(refreshed.changed)
        self._changes.put(settings_of(refreshed.changed))
        for _ in let_go(former):
            # Other threads may run between the parts; within one, Python lets none.
            continue
        save = self._upkeep.snapshot_to_save(refreshed)
        if save is not None:
            save()
        if not refreshed.errors:
            self._upkeep.succeeded()
        return next(iter(refreshed.errors), None)

    def reload(self) -> None:
        """Update all settings now, and reset the timer.

        Whatever was on the service when this was called is there when it returns. Calls during an
        update share the next one.

        Raises:
            ServiceError: What went wrong; the values stay as they were.
            ClientStateError: The client is not started, or closed; or this was called where the
                update itself would have to wait for it, such as in a listener.
        """
        forking.wake(self._events)
        done: Future[None] = Future()
        with self._news:
            self._check_started()
            if self._thread is current_thread():
                raise ClientStateError(
                    "reload() was called by the update that it would have to wait for, in a"
                    " listener or a hook: call it in another thread"
                )
            self._waiting.append(done)
            self._news.notify_all()
        try:
            done.result()
        finally:
            del done  # it holds what it raises, whose traceback leads here

    def close(self) -> None:
        """Stop the updates and close the connections that this client opened.

        Takes a few seconds at most, even while the service hangs. Again, or before the start, it
        does nothing. The settings keep their last values and defaults, and another client may
        become the main one.
        """
        due = monotonic() + CLOSE_TIMEOUT
        with self._news:
            self._state = ClientState.CLOSED
            self._served += self._waiting
            self._waiting = []
            self._news.notify_all()
            thread = self._thread
        self._registry.release(self._events)
        forking.unwatch(self._events)
        self._changes.close()
        self._driver.abort()
        self._settle(ClientClosed("the client was closed"))
        if thread is not None and thread is not current_thread():
            thread.join(max(0.0, due - monotonic()))
        self._driver.close(max(0.0, due - monotonic()))

    def aclose(self) -> None:
        """Do as `close` does."""
        self.close()

    def __enter__(self) -> Self:
        self.set_as_main()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def ping(self) -> None:
        """Ask the service whether it is healthy; works before the start, too.

        Raises:
            ServiceError: It is not, or cannot be reached.
            ClientClosed: The client is closed.
        """
        self._check_open()
        self._driver.drive(flows.ping())

    def get_settings(self) -> dict[str, SettingData]:
        """Return all settings of the service by name, whoever declared them.

        Works before the start, too. An entry that is malformed is left out, and logged.

        Raises:
            ServiceError: The service cannot be reached, or does not answer as Heksher does.
            ClientClosed: The client is closed.
        """
        self._check_open()
        listing, malformed = self._driver.drive(fetch_listing())
        report_malformed(malformed)
        return settings_data(listing.all(), self._registry.declared())

    def changes(self) -> Iterator[frozenset[Setting[Any, ...]]]:
        """Return an iterator over the sets of changed settings, from now until the client closes.

        Each step waits for the next one. Who is slow gets several updates as one set.
        """
        forking.wake(self._events)
        return self._changes.subscribe()

    def _wake(self) -> None:
        if self._upkeep.wake():
            with self._news:
                self._news.notify_all()

    def _forked(self) -> None:
        """Leave all to the parent process that belongs to it; runs in the child, right after fork.

        The connections and the thread are the parent's, and a lock may be held by a thread that
        is not here.
        """
        self._make_locks()
        self._upkeep.session.forked()
        self._driver.forget()
        self._changes.forked()
        if self._driver.uses_callers_connections:
            self._changes.close()
            self._end_in_child(_NOT_IN_CHILD)
        elif self._state is ClientState.STARTING:
            # The thread that was starting it is not here; the first update starts it anew.
            self._state = ClientState.STARTED

    def _restart(self) -> None:
        """Go on in a forked child, beginning with an update, if it has connections of its own."""
        if self._state is ClientState.CLOSED:
            self._report_ended_in_child(_NOT_IN_CHILD)
            return
        report_forked("ThreadHeksherClient", self.status.age, "are updated again from now on")
        self._upkeep.start_afresh()
        try:
            self._start_thread()
        except RuntimeError as error:
            # Whoever read a setting must not be harmed; `reload` tries this again.
            self._thread = None
            report_callback("starting the updates in a forked child", error)
            forking.put_to_sleep(self._events)
