"""`AsyncHeksherClient`: declares settings and keeps their values fresh, in asyncio tasks."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from heksher.clients import flows, forking
from heksher.clients.async_driver import CLOSE_TIMEOUT, AsyncDriver, breathe
from heksher.clients.changes import Changes
from heksher.clients.client import ClientState, HeksherClient
from heksher.clients.listing import fetch_listing
from heksher.clients.notifying import settings_of
from heksher.clients.refreshing import let_go
from heksher.clients.reporting import report_forked, report_malformed
from heksher.clients.transport import MAX_RESPONSE_BYTES
from heksher.exceptions import ClientClosed, ClientStateError, ServiceError
from heksher.settings import registry as registries

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Iterable, Mapping
    from types import TracebackType

    import httpx

    from heksher.clients.refreshing import Refreshed
    from heksher.clients.setting_data import SettingData
    from heksher.settings.registry import Registry
    from heksher.settings.setting import Setting


class AsyncHeksherClient(HeksherClient):
    """Declares all settings to a Heksher service and keeps their values fresh.

    Use it as an async context manager around the life of the program::

        async with AsyncHeksherClient("http://heksher:8000", 60, ["environment", "user"]):
            ...

    Entering waits until all settings are declared and their values are there. From then on an
    asyncio task updates them; reading them needs no await. No answer of the service and no failure
    of transport ends that: it goes on trying, and `status` tells how old the values are.

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
        http_client: httpx.AsyncClient | None = None,
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
        self._driver = AsyncDriver(self._endpoint, http_client)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._updates: asyncio.Task[None] | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._served: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._changes = Changes()
        self.modification_lock = asyncio.Lock()

    async def set_as_main(self) -> None:
        """Declare every setting declared so far, and wait for their values.

        From then on this is the client that keeps the settings; only one can be at a time.

        Raises:
            ClientStateError: It was started before, or another client is the main one.
            InvalidContext: The service lacks one of the context features.
            ServiceError: The service cannot be reached within `start_timeout`, or does not answer
                as Heksher does. The client is closed then, unless there is a snapshot.
        """
        self._check_new()
        self._upkeep.take_over(self)
        self._state, self._loop = ClientState.STARTING, asyncio.get_running_loop()
        forking.watch(self)
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
        refreshing = self._spawn(self._drive_refresh(first=True, thorough=True))
        # Not awaited itself: whatever it does with a cancellation, this one ends in time.
        await asyncio.wait([refreshing], timeout=self._start_timeout)
        if self._state is ClientState.CLOSED:
            raise ClientClosed("the client was closed while it was starting")
        if not refreshing.done():
            refreshing.cancel()
            self._start_from_snapshot(self._late())
        elif isinstance(error := refreshing.exception(), ServiceError):
            self._start_from_snapshot(error)
        else:
            refreshing.result()

    def _spawn(self, coroutine: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Whoever waits for it is told; nobody may, while the client is being closed.
            task.exception()

    async def _keep_fresh(self) -> None:
        while self._state is ClientState.STARTED:
            await self._sleep(self._upkeep.delay())
            self._wake.clear()
            self._served, self._waiting = self._waiting, []
            try:
                error = await self._refresh(thorough=bool(self._served))
            except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
                raise
            except BaseException as raised:  # noqa: BLE001  # such as pytest.fail() in a callback
                error = self._ended_by(raised)
            self._settle(error)

    def _settle(self, error: Exception | None) -> None:
        served, self._served = self._served, []
        for future in served:
            _settle(future, error)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _refresh(self, *, thorough: bool) -> Exception | None:
        """Refresh once; return what went wrong, after reporting it."""
        self._upkeep.begin()
        try:
            await self._drive_refresh(first=False, thorough=thorough)
        except Exception as error:  # noqa: BLE001  # nothing may end the updates
            return self._failed(error)
        self._call("on_update_ok", self.on_update_ok)
        return None

    async def _drive_refresh(self, *, first: bool, thorough: bool) -> None:
        flow = flows.refresh(self._upkeep.session, first=first, thorough=thorough)
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
        if refreshed.errors:
            raise refreshed.errors[0]
        self._upkeep.succeeded()

    def _notify(self, refreshed: Refreshed) -> None:
        self._upkeep.listeners.notify(refreshed.changed)
        self._changes.put(settings_of(refreshed.changed))

    async def reload(self) -> None:
        """Update all settings now, and reset the timer.

        Whatever was on the service when this was called is there when it returns. Calls during an
        update share the next one.

        Raises:
            ServiceError: What went wrong; the values stay as they were.
            ClientStateError: The client is not started, or closed.
        """
        self._check_started()
        if not self._is_updating() or not self._is_in_its_loop():
            raise ClientStateError(
                "the client's updates ended with the event loop that they ran in, or were cancelled"
                " there: close the client and start a new one in this loop"
            )
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._wake.set()
        await done

    async def aclose(self) -> None:
        """Stop the updates and close the connections that this client opened.

        Takes a few seconds at most. Again, or before the start, it does nothing. The settings keep
        their last values and defaults, and another client may become the main one.
        """
        self._state = ClientState.CLOSED
        self.registry.release(self)
        forking.unwatch(self)
        try:
            if self._is_in_its_loop():
                ending = self._end()
                if ending:
                    await asyncio.wait(ending, timeout=CLOSE_TIMEOUT)
            elif self._loop is not None:
                # RuntimeError: the loop is closed, and what ran there gone.
                with suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._end)
        finally:
            await self._driver.aclose()

    def _is_updating(self) -> bool:
        return super()._is_updating() and self._updates is not None and not self._updates.done()

    def _is_in_its_loop(self) -> bool:
        return self._loop in (None, asyncio.get_running_loop())

    def _end(self) -> set[asyncio.Task[Any]]:
        """Tell all who wait, cancel the tasks, and return those, in the loop that has them."""
        self._changes.close()
        self._served += self._waiting
        self._waiting = []
        self._settle(ClientClosed("the client was closed"))
        tasks = self._tasks - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        return tasks

    async def close(self) -> None:
        """Do as `aclose` does."""
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
        """Ask the service whether it is healthy; works before the start, too.

        Raises:
            ServiceError: It is not, or cannot be reached.
            ClientClosed: The client is closed.
        """
        self._check_open()
        await self._driver.drive(flows.ping())

    async def get_settings(self) -> dict[str, SettingData]:
        """Return all settings of the service by name, whoever declared them.

        Works before the start, too. An entry that is malformed is left out, and logged.

        Raises:
            ServiceError: The service cannot be reached, or does not answer as Heksher does.
            ClientClosed: The client is closed.
        """
        # Few programs list settings, and this builds a model.
        from heksher.clients.setting_data import settings_data

        self._check_open()
        listing, malformed = await self._driver.drive(fetch_listing())
        report_malformed(malformed)
        return settings_data(listing.all(), self.registry.declared())

    def changes(self) -> AsyncIterator[frozenset[Setting[Any, ...]]]:
        """Return an iterator over the sets of changed settings, from now until the client closes.

        Who is slow gets several updates as one set.
        """
        return self._changes.subscribe()

    def setting_declared(self) -> None:
        """Have a new setting declared and fetched soon; the registry calls it, from any thread."""
        if self._state is not ClientState.CLOSED and self._loop is not None:
            # RuntimeError: the loop is closed, and with it all that this client can do.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake.set)

    def forked(self) -> None:
        """Leave all to the parent process that belongs to it; runs in the child, right after fork.

        The event loop is not here, so this client is closed here, and another may start.
        """
        self._state, self._loop = ClientState.CLOSED, None
        self._tasks, self._waiting, self._served = set(), [], []
        self._driver.forget()
        self._changes = Changes()
        self._changes.close()
        self.registry.release(self)

    def restart(self) -> None:
        """Say, in a forked child, that nothing is updated there."""
        report_forked(
            "AsyncHeksherClient",
            self.status.age,
            "are not updated here, since its event loop is not: start a client in this process",
        )


def _settle(future: asyncio.Future[None], error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
        # Whoever waits is told; who gave up waiting must not cause a warning later.
        future.exception()
