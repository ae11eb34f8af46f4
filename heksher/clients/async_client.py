"""`AsyncHeksherClient`: declares settings and updates their values in an asyncio task."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self, Unpack

from heksher.clients.changes import Changes
from heksher.clients.client import ClientState, HeksherClient
from heksher.clients.conversation.declaring.progress import Progress
from heksher.clients.conversation.refresh import ping, refresh
from heksher.clients.conversation.rule_compiler import Refreshed, let_go
from heksher.clients.conversation.service_settings import fetch_listing
from heksher.clients.listeners import settings_of
from heksher.clients.log_messages import report_malformed
from heksher.clients.options import AsyncClientOptions, shows_options, with_defaults
from heksher.clients.setting_data import SettingData, settings_data
from heksher.clients.transport import fork
from heksher.clients.transport.async_driver import CLOSE_TIMEOUT, AsyncDriver, breathe
from heksher.exceptions import ClientClosed, ClientStateError, ServiceError
from heksher.settings.setting import Setting

_NOT_IN_CHILD: Final = "its event loop belongs to the parent process"
"""Why the client does not continue in a forked child."""


class AsyncHeksherClient(HeksherClient):
    """Declares all settings to a Heksher service and keeps their values up to date.

    Use it as an async context manager around the lifetime of the program::

        async with AsyncHeksherClient("http://heksher:8000", 60, ["environment", "user"]):
            ...

    Entering declares all settings and waits for their values. From then on an
    asyncio task updates them; reading them needs no `await`. No response of the service and no
    transport failure ends the updates: further attempts are made, and `status` says how old the
    values are.

    Args:
        service_url: The service's URL; it may have a path.
        update_interval: Seconds between updates, with a jitter of a tenth.
        context_features: The context features that settings may use. The service must have all of
            them; its order determines precedence.
        **options: See `AsyncClientOptions`.

    Raises:
        InvalidClient: An argument is invalid.
        InvalidContext: The context features are invalid, or there are none.
        TypeError: An option is unknown.

    Attributes:
        modification_lock: Held while values change.
    """

    @shows_options(AsyncClientOptions)
    def __init__(
        self,
        service_url: str,
        update_interval: float,
        context_features: Iterable[str],
        **options: Unpack[AsyncClientOptions],
    ) -> None:
        known = with_defaults(options, AsyncClientOptions, type(self).__name__)
        super().__init__(service_url, update_interval, context_features, known)
        self._driver = AsyncDriver(self._endpoint, options.get("http_client"))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._updates: asyncio.Task[None] | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._served: list[asyncio.Future[None]] = []
        # Set when there is a new reason to refresh.
        self._news = asyncio.Event()
        self._changes = Changes()
        self.modification_lock: asyncio.Lock = asyncio.Lock()

    async def set_as_main(self) -> None:
        """Declare all settings made so far, and wait for their values.

        The client becomes the main one of its registry; there is one at a time.

        Raises:
            ClientStateError: The client was started before, or another one is the main client.
            InvalidContext: The service lacks one of the context features.
            ServiceError: The service is unavailable within `start_timeout`, or its response is
                unexpected. The client is closed then, unless there is a snapshot to start from.
        """
        self._check_new()
        self._upkeep.take_over(self._events)
        self._state, self._loop = ClientState.STARTING, asyncio.get_running_loop()
        fork.watch(self._events)
        try:
            await self._first_refresh()
        except BaseException as error:
            if isinstance(error, Exception):
                self._upkeep.note(error)
            await self.aclose()
            raise
        self._state = ClientState.STARTED
        self._updates = self._spawn(self._keep_fresh())
        self._tell_start()

    async def _first_refresh(self) -> None:
        self._upkeep.begin()
        progress = Progress(self._start_timeout)
        refreshing = self._spawn(self._drive_refresh(first=True, thorough=True, progress=progress))
        # Not awaited directly: however it handles a cancellation, this method ends in time.
        while not refreshing.done() and (left := progress.seconds_left()) > 0:
            await asyncio.wait([refreshing], timeout=left)
            if self._state is ClientState.CLOSED:
                break
        if self._state is ClientState.CLOSED:
            raise ClientClosed("client was closed while it was starting")
        if not refreshing.done():
            refreshing.cancel()
            self._start_from_snapshot(self._late(progress))
        else:
            try:
                refreshing.result()
            except ServiceError as error:
                self._start_from_snapshot(error)
            finally:
                del refreshing  # it holds what it raises, whose traceback leads here

    def _spawn(self, coroutine: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Marks it as retrieved: while the client is being closed, nobody may await the task.
            task.exception()

    async def _keep_fresh(self) -> None:
        while self._state is ClientState.STARTED:
            await self._until_due()
            self._served, self._waiting = self._waiting, []
            try:
                error = await self._refresh(thorough=bool(self._served))
            except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
                raise
            except BaseException as raised:  # noqa: BLE001  # such as pytest.fail() in a callback
                error = self._ended_by(raised)
            self._settle(error)
            del error  # its traceback leads to whoever called reload()

    def _settle(self, error: Exception | None) -> None:
        served, self._served = self._served, []
        for future in served:
            _settle(future, error)

    async def _until_due(self) -> None:
        """Wait until a refresh is due, or `reload` was called."""
        while not self._waiting and (left := self._upkeep.seconds_left()) > 0:
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._news.wait()

    async def _refresh(self, *, thorough: bool) -> Exception | None:
        """Refresh once; return the error, if any, after reporting it."""
        self._upkeep.begin()
        try:
            error = await self._drive_refresh(first=False, thorough=thorough)
        except Exception as raised:  # noqa: BLE001  # nothing may end the updates
            return self._failed(raised)
        if error is not None:
            return self._failed(error)
        self._call("on_update_ok", self.on_update_ok)
        return None

    async def _drive_refresh(
        self, *, first: bool, thorough: bool, progress: Progress | None = None
    ) -> Exception | None:
        flow = refresh(self._upkeep.session, first=first, thorough=thorough, progress=progress)
        refreshed = await self._driver.drive(flow)
        async with self.modification_lock:
            former = self._upkeep.publish(refreshed)
        await breathe()
        self._notify(refreshed)
        for _ in let_go(former):
            await breathe()
        save = self._upkeep.snapshot_to_save(refreshed)
        if save is not None:
            await asyncio.to_thread(save)
        if not refreshed.errors:
            self._upkeep.succeeded()
        return next(iter(refreshed.errors), None)

    def _notify(self, refreshed: Refreshed) -> None:
        self._upkeep.listeners.notify(refreshed.changed)
        self._changes.put(settings_of(refreshed.changed))

    async def reload(self) -> None:
        """Update all settings now, and restart the interval.

        When this returns, settings read what the service held when it was called, or something
        newer. Calls during an update share the next one.

        Raises:
            ServiceError: The update failed; settings keep their values.
            ClientStateError: The client is not started, or is closed.
        """
        self._check_started()
        if not self._is_updating() or not self._is_in_its_loop():
            raise ClientStateError(
                "the client's update task ended with its event loop, or was cancelled: close the"
                " client and start a new one in this loop"
            )
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._news.set()
        try:
            await done
        finally:
            del done  # it holds what it raises, whose traceback leads here

    async def aclose(self) -> None:
        """Stop the updates and close the connections that this client opened.

        Takes a few seconds at most. Before the start, and when called again, it does nothing.
        Settings keep their last values and defaults, and another client may become the main one.
        """
        self._state = ClientState.CLOSED
        self._registry.release(self._events)
        fork.unwatch(self._events)
        try:
            if self._is_in_its_loop():
                ending = self._end()
                if ending:
                    await asyncio.wait(ending, timeout=CLOSE_TIMEOUT)
            elif self._loop is not None:
                # RuntimeError: the loop is closed, and its tasks are gone.
                with suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._end)
        finally:
            await self._driver.aclose()

    def _is_updating(self) -> bool:
        return super()._is_updating() and self._updates is not None and not self._updates.done()

    def _is_in_its_loop(self) -> bool:
        return self._loop in (None, asyncio.get_running_loop())

    def _end(self) -> set[asyncio.Task[Any]]:
        """Fail pending calls of `reload`, cancel the tasks and return them, in their own loop."""
        self._changes.close()
        self._served += self._waiting
        self._waiting = []
        self._settle(ClientClosed("client was closed"))
        tasks = self._tasks - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        return tasks

    async def close(self) -> None:
        """Close the client; the same as `aclose`."""
        await self.aclose()

    async def __aenter__(self) -> Self:
        await self.set_as_main()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def ping(self) -> None:
        """Check that the service is healthy; works before the start, too.

        Raises:
            ServiceError: The service is unhealthy or unavailable.
            ClientClosed: The client is closed.
        """
        self._check_open()
        await self._driver.drive(ping())

    async def get_settings(self) -> dict[str, SettingData]:
        """Return all settings of the service by name, whichever program declared them.

        Works before the start, too. Malformed entries are left out and logged.

        Raises:
            ServiceError: The service is unavailable, or its response is unexpected.
            ClientClosed: The client is closed.
        """
        self._check_open()
        listing, malformed = await self._driver.drive(fetch_listing())
        report_malformed(malformed)
        return settings_data(listing.all(), self._registry.declared())

    def changes(self) -> AsyncIterator[frozenset[Setting[Any, ...]]]:
        """Return an asynchronous iterator over sets of changed settings, until the client closes.

        It yields changes made from now on. Slow consumers receive several updates merged into one
        set.
        """
        return self._changes.subscribe()

    def _wake(self) -> None:
        loop = self._loop
        if self._upkeep.wake() and self._state is not ClientState.CLOSED and loop is not None:
            # RuntimeError: the loop is closed, and so is all that this client could do.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._news.set)

    def _forked(self) -> None:
        """Release what belongs to the parent process; called in the child right after a fork.

        Without its event loop, this client is closed in the child, and another one may start.
        """
        self._loop = None
        self._tasks, self._waiting, self._served = set(), [], []
        self._upkeep.session.forked()
        self._driver.forget()
        self._changes = Changes()
        self._changes.close()
        self._end_in_child(_NOT_IN_CHILD)

    def _restart(self) -> None:
        """Log, in a forked child, that settings are not updated there."""
        self._report_ended_in_child(_NOT_IN_CHILD)


def _settle(future: asyncio.Future[None], error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
        # Marks it as retrieved: a caller that was cancelled must not cause a warning later.
        future.exception()
