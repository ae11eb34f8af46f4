"""`ThreadHeksherClient`: declares settings and keeps their values fresh, in a thread."""

from __future__ import annotations

from concurrent.futures import Future
from math import inf
from threading import Condition, Lock, Thread, current_thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self

from heksher.clients import flows, forking
from heksher.clients.client import ClientState, HeksherClient
from heksher.clients.listing import fetch_listing
from heksher.clients.notifying import settings_of
from heksher.clients.refreshing import let_go
from heksher.clients.reporting import report_callback, report_forked, report_malformed
from heksher.clients.thread_changes import ThreadChanges
from heksher.clients.thread_driver import Overdue, ThreadDriver
from heksher.clients.transport import MAX_RESPONSE_BYTES
from heksher.exceptions import ClientClosed, ClientStateError, ServiceError
from heksher.settings import registry as registries

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType

    import httpx

    from heksher.clients.setting_data import SettingData
    from heksher.settings.registry import Registry
    from heksher.settings.setting import Setting

CLOSE_TIMEOUT: Final = 5.0
"""Seconds that closing takes at most. What hangs beyond, a name being resolved, ends by itself."""


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
        http_client_args: Arguments of the httpx client, such as `headers` or `verify`.
        start_timeout: Seconds that starting may take.
        request_timeout: Seconds that a request may take. (The service can hang for 30.)
        max_response_bytes: Bytes that an answer may have.
        snapshot_path: A file to keep the last good state in, and to start from while the service
            is away.
        max_snapshot_age: Seconds after which that state is too old to start from.
        declare: Whether settings are declared; `False` for jobs and networks that only read.
        http_client: An httpx client to use, and to leave open, instead of an own one.
        registry: Whose settings it keeps, if not those of the process.

    Raises:
        InvalidClient: An argument cannot be right.
        InvalidContext: The context features are misnamed, or there are none.

    Attributes:
        modification_lock: Held while values change.
    """

    def __init__(
        self,
        service_url: str,
        update_interval: float,
        context_features: Iterable[str],
        *,
        http_client_args: Mapping[str, Any] | None = None,
        start_timeout: float = 30.0,
        request_timeout: float = 35.0,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        snapshot_path: str | os.PathLike[str] | None = None,
        max_snapshot_age: float | None = None,
        declare: bool = True,
        http_client: httpx.Client | None = None,
        registry: Registry = registries.DEFAULT,
    ) -> None:
        super().__init__(
            service_url,
            update_interval,
            context_features,
            http_client_args=http_client_args,
            start_timeout=start_timeout,
            request_timeout=request_timeout,
            max_response_bytes=max_response_bytes,
            snapshot_path=snapshot_path,
            max_snapshot_age=max_snapshot_age,
            declare=declare,
            registry=registry,
        )
        self._driver = ThreadDriver(self._endpoint, http_client)
        self._changes = ThreadChanges()
        self._make_locks()

    def _make_locks(self) -> None:
        self.modification_lock = Lock()
        # Guards all that follows, and the state of the client.
        self._news = Condition()
        self._is_woken = False
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
            self._upkeep.take_over(self)
            self._state = ClientState.STARTING
        forking.watch(self)
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
        while self._sleep(self._upkeep.delay()):
            try:
                error = self._refresh(thorough=bool(self._served))
            except BaseException as raised:  # noqa: BLE001  # such as SystemExit from a listener
                error = self._ended_by(raised)
            self._settle(error)

    def _settle(self, error: Exception | None) -> None:
        """Tell those whose calls of `reload` are over."""
        with self._news:
            served, self._served = self._served, []
        for future in served:
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

    def _sleep(self, seconds: float) -> bool:
        """Wait until a refresh is due or asked for; tell whether the client is still open."""
        with self._news:
            self._news.wait_for(lambda: self._is_woken, seconds)
            self._is_woken = False
            # Added, since those that close() is about to tell stand there already.
            self._served += self._waiting
            self._waiting = []
            return self._state is ClientState.STARTED

    def _wake(self) -> None:
        with self._news:
            self._is_woken = True
            self._news.notify_all()

    def _refresh(self, *, thorough: bool) -> Exception | None:
        """Refresh once; return what went wrong, after reporting it."""
        self._upkeep.begin()
        try:
            self._drive_refresh(first=False, thorough=thorough)
        except ClientClosed as error:
            return error
        except Exception as error:  # noqa: BLE001  # nothing may end the updates
            return self._failed(error)
        self._call("on_update_ok", self.on_update_ok)
        return None

    def _drive_refresh(self, *, first: bool, thorough: bool, due: float = inf) -> None:
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
        if refreshed.errors:
            raise refreshed.errors[0]
        self._upkeep.succeeded()

    def reload(self) -> None:
        """Update all settings now, and reset the timer.

        Whatever was on the service when this was called is there when it returns. Calls during an
        update share the next one.

        Raises:
            ServiceError: What went wrong; the values stay as they were.
            ClientStateError: The client is not started, or closed; or this was called where the
                update itself would have to wait for it, such as in a listener.
        """
        forking.wake(self)
        done: Future[None] = Future()
        with self._news:
            self._check_started()
            if self._thread is current_thread():
                raise ClientStateError(
                    "reload() was called by the update that it would have to wait for, in a"
                    " listener or a hook: call it in another thread"
                )
            self._waiting.append(done)
            self._is_woken = True
            self._news.notify_all()
        done.result()

    def close(self) -> None:
        """Stop the updates and close the connections that this client opened.

        Takes a few seconds at most, even while the service hangs. Again, or before the start, it
        does nothing. The settings keep their last values and defaults, and another client may
        become the main one.
        """
        due = monotonic() + CLOSE_TIMEOUT
        with self._news:
            self._state = ClientState.CLOSED
            self._is_woken = True
            self._served += self._waiting
            self._waiting = []
            self._news.notify_all()
            thread = self._thread
        self.registry.release(self)
        forking.unwatch(self)
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
        # Few programs list settings, and this builds a model.
        from heksher.clients.setting_data import settings_data

        self._check_open()
        listing, malformed = self._driver.drive(fetch_listing())
        report_malformed(malformed)
        return settings_data(listing.all(), self.registry.declared())

    def changes(self) -> Iterator[frozenset[Setting[Any, ...]]]:
        """Return an iterator over the sets of changed settings, from now until the client closes.

        Each step waits for the next one. Who is slow gets several updates as one set.
        """
        forking.wake(self)
        return self._changes.subscribe()

    def setting_declared(self) -> None:
        """Have a new setting declared and fetched soon; the registry calls it, from any thread."""
        self._wake()

    def forked(self) -> None:
        """Leave all to the parent process that belongs to it; runs in the child, right after fork.

        The connections and the thread are the parent's, and a lock may be held by a thread that
        is not here.
        """
        self._make_locks()
        self._driver.forget()
        self._changes.forked()
        if self._state is ClientState.STARTING:
            # The thread that was starting it is not here; the first update starts it anew.
            self._state = ClientState.STARTED

    def restart(self) -> None:
        """Go on in a forked child, beginning with an update."""
        report_forked("ThreadHeksherClient", self.status.age, "are updated again from now on")
        self._upkeep.session.start_afresh()
        self._is_woken = True
        try:
            self._start_thread()
        except RuntimeError as error:
            # Whoever read a setting must not be harmed; `reload` tries this again.
            self._thread = None
            report_callback("starting the updates in a forked child", error)
            forking.put_to_sleep(self)
