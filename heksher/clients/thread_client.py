"""`ThreadHeksherClient`: declares settings and updates their values in a thread."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from threading import Condition, Lock, Thread, current_thread
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self, Unpack

from heksher.clients.client import ClientState, HeksherClient
from heksher.clients.conversation.declaring.progress import Progress
from heksher.clients.conversation.refresh import ping, refresh
from heksher.clients.conversation.rule_compiler import let_go
from heksher.clients.conversation.service_settings import fetch_listing
from heksher.clients.listeners import settings_of
from heksher.clients.log_messages import report_callback, report_forked, report_malformed
from heksher.clients.options import ThreadClientOptions, shows_options, with_defaults
from heksher.clients.setting_data import SettingData, settings_data
from heksher.clients.thread_changes import ThreadChanges
from heksher.clients.transport import fork
from heksher.clients.transport.thread_driver import Overdue, ThreadDriver
from heksher.exceptions import ClientClosed, ClientStateError, ServiceError
from heksher.settings.setting import Setting

CLOSE_TIMEOUT: Final = 5.0
"""Seconds that closing may take. What hangs longer, such as DNS resolution, ends by itself."""

_NOT_IN_CHILD: Final = (
    "the connections of its http_client or transport belong to the parent process"
)
"""Why a client that was given its connections does not continue in a forked child."""


class ThreadHeksherClient(HeksherClient):
    """Declares all settings to a Heksher service and keeps their values up to date.

    Use it as a context manager around the lifetime of the program::

        with ThreadHeksherClient("http://heksher:8000", 60, ["environment", "user"]):
            ...

    Entering declares all settings and waits for their values. From then on a
    daemon thread updates them. It has the methods of `AsyncHeksherClient`, without `await`; all of
    them may be called from any thread. In a forked child, the first read of a setting restarts the
    updates, unless the client was given its connections.

    Args:
        service_url: The service's URL; it may have a path.
        update_interval: Seconds between updates, with a jitter of a tenth.
        context_features: The context features that settings may use. The service must have all of
            them; its order determines precedence.
        **options: See `ThreadClientOptions`.

    Raises:
        InvalidClient: An argument is invalid.
        InvalidContext: The context features are invalid, or there are none.
        TypeError: An option is unknown.

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
        # Guards the attributes below, and the client's state.
        self._news = Condition()
        self._waiting: list[Future[None]] = []
        self._served: list[Future[None]] = []
        self._thread: Thread | None = None

    def set_as_main(self) -> None:
        """Declare all settings made so far, and wait for their values.

        The client becomes the main one of its registry; there is one at a time.

        Raises:
            ClientStateError: The client was started before, or another one is the main client.
            InvalidContext: The service lacks one of the context features.
            ServiceError: The service is unavailable within `start_timeout`, or its response is
                unexpected. The client is closed then, unless there is a snapshot to start from.
        """
        with self._news:
            self._check_new()
            self._upkeep.take_over(self._events)
            self._state = ClientState.STARTING
        fork.watch(self._events)
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
        progress = Progress(self._start_timeout)
        try:
            self._drive_refresh(first=True, thorough=True, progress=progress)
        except Overdue:
            self._start_from_snapshot(self._late(progress))
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
        """Finish the calls of `reload` that the last update served."""
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
            # Appended: close() may have put calls there that it is about to finish.
            self._served += self._waiting
            self._waiting = []
            return self._state is ClientState.STARTED

    def _refresh(self, *, thorough: bool) -> Exception | None:
        """Refresh once; return the error, if any, after reporting it."""
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

    def _drive_refresh(
        self, *, first: bool, thorough: bool, progress: Progress | None = None
    ) -> Exception | None:
        progress = progress or Progress()
        flow = refresh(self._upkeep.session, first=first, thorough=thorough, progress=progress)
        refreshed = self._driver.drive(flow, due=lambda: progress.due)
        with self.modification_lock:
            if self._driver.is_closed:
                raise ClientClosed("client was closed")
            former = self._upkeep.publish(refreshed)
        self._upkeep.listeners.notify(refreshed.changed)
        self._changes.put(settings_of(refreshed.changed))
        for _ in let_go(former):
            # Other threads may run between the steps; within one, the interpreter lets none.
            continue
        save = self._upkeep.snapshot_to_save(refreshed)
        if save is not None:
            save()
        if not refreshed.errors:
            self._upkeep.succeeded()
        return next(iter(refreshed.errors), None)

    def reload(self) -> None:
        """Update all settings now, and restart the interval.

        When this returns, settings read what the service held when it was called, or something
        newer. Calls during an update share the next one.

        Raises:
            ServiceError: The update failed; settings keep their values.
            ClientStateError: The client is not started, or is closed; or this was called by the
                update itself, such as in a listener.
        """
        fork.wake(self._events)
        done: Future[None] = Future()
        with self._news:
            self._check_started()
            if self._thread is current_thread():
                raise ClientStateError(
                    "reload() was called by the update that it would wait for, in a listener or a"
                    " hook: call it in another thread"
                )
            self._waiting.append(done)
            self._news.notify_all()
        try:
            done.result()
        finally:
            del done  # it holds what it raises, whose traceback leads here

    def close(self) -> None:
        """Stop the updates and close the connections that this client opened.

        Takes a few seconds at most, even while the service hangs. Before the start, and when called
        again, it does nothing. Settings keep their last values and defaults, and another client may
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
        fork.unwatch(self._events)
        self._changes.close()
        self._driver.abort()
        self._settle(ClientClosed("client was closed"))
        if thread is not None and thread is not current_thread():
            thread.join(max(0.0, due - monotonic()))
        self._driver.close(max(0.0, due - monotonic()))

    def aclose(self) -> None:
        """Close the client; the same as `close`."""
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
        """Check that the service is healthy; works before the start, too.

        Raises:
            ServiceError: The service is unhealthy or unavailable.
            ClientClosed: The client is closed.
        """
        self._check_open()
        self._driver.drive(ping())

    def get_settings(self) -> dict[str, SettingData]:
        """Return all settings of the service by name, whichever program declared them.

        Works before the start, too. Malformed entries are left out and logged.

        Raises:
            ServiceError: The service is unavailable, or its response is unexpected.
            ClientClosed: The client is closed.
        """
        self._check_open()
        listing, malformed = self._driver.drive(fetch_listing())
        report_malformed(malformed)
        return settings_data(listing.all(), self._registry.declared())

    def changes(self) -> Iterator[frozenset[Setting[Any, ...]]]:
        """Return an iterator over sets of changed settings, until the client closes.

        It yields changes made from now on, and blocks until there is one. Slow consumers receive
        several updates merged into one set.
        """
        fork.wake(self._events)
        return self._changes.subscribe()

    def _wake(self) -> None:
        if self._upkeep.wake():
            with self._news:
                self._news.notify_all()

    def _forked(self) -> None:
        """Release what belongs to the parent process; called in the child right after a fork.

        The connections and the thread are the parent's, and a lock may be held by a thread that
        does not exist here.
        """
        self._make_locks()
        self._upkeep.session.forked()
        self._driver.forget()
        self._changes.forked()
        if self._driver.uses_callers_connections:
            self._changes.close()
            self._end_in_child(_NOT_IN_CHILD)
        elif self._state is ClientState.STARTING:
            # The thread that was starting it does not exist here; the first update replaces it.
            self._state = ClientState.STARTED

    def _restart(self) -> None:
        """Continue in a forked child, beginning with an update, unless its connections are shared."""
        if self._state is ClientState.CLOSED:
            self._report_ended_in_child(_NOT_IN_CHILD)
            return
        report_forked("ThreadHeksherClient", self.status.age, "They are updated again from now on")
        self._upkeep.start_afresh()
        try:
            self._start_thread()
        except RuntimeError as error:
            # The read that caused this must not fail; `reload` tries again.
            self._thread = None
            report_callback("restarting the updates in a forked child", error)
            fork.put_to_sleep(self._events)
