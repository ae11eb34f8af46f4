"""`AsyncHeksherClient` as its users see it: on canned answers, and on the embedded service."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from ids import shown

from heksher import (
    TRACK_ALL,
    AsyncHeksherClient,
    ClientClosed,
    ClientStateError,
    InvalidClient,
    InvalidContext,
    ServiceError,
    ServiceStatusError,
    ServiceUnavailable,
    Setting,
    UnexpectedResponse,
)
from heksher.server import create_app
from heksher.settings.reading.state import Source
from heksher.settings.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clients.conftest import Canned, Embedded, Gated, Server

URL = "http://service.example"
FEATURES = ["environment", "user"]


def declare(registry: Registry, name: str = "n", default: int = 1, **options: Any) -> Setting[int]:
    arguments: dict[str, Any] = {"configurable_features": ["user"], "registry": registry, **options}
    return Setting[int](name, default_value=default, **arguments)


class Hooked(AsyncHeksherClient):
    """A client that tells what its hooks were told, and may raise in them."""

    def __init__(
        self, *arguments: Any, raises: BaseException | None = None, **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self.told: list[str] = []
        self.news = asyncio.Event()
        self.raises = raises

    def on_update_ok(self) -> None:
        self._tell("ok")

    def on_update_error(self, exc: Exception) -> None:
        self._tell(type(exc).__name__)

    def _tell(self, what: str) -> None:
        self.told.append(what)
        self.news.set()
        if self.raises is not None:
            raise self.raises

    async def next(self) -> str:
        """Wait for the next update to end."""
        self.news.clear()
        await asyncio.wait_for(self.news.wait(), 10)
        return self.told[-1]


def client_of(
    transport: httpx.AsyncBaseTransport, registry: Registry, interval: float = 3600, **options: Any
) -> Hooked:
    arguments = {"http_client_args": {"transport": transport}, "registry": registry, **options}
    return Hooked(URL, interval, FEATURES, **arguments)


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await turns(1)


def fail_with(answer: httpx.Response | Exception) -> Callable[[Any], Any]:
    return lambda _request: answer


def error(status: int) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("GET", URL))


# What a user does


async def test_entering_declares_and_fetches(service: Embedded) -> None:
    setting = declare(service.registry)
    await service.declare("n", 1)
    await service.rule("n", 9, user="john")

    async with service.client() as client:
        assert (setting.get(user="john"), setting.get(user="jane")) == (9, 1)
        assert client.status.started

    assert setting.get(user="john") == 9


async def test_set_as_main_and_close_do_as_the_block_does(service: Embedded) -> None:
    setting, client = declare(service.registry), service.client()

    await client.set_as_main()
    await client.close()

    assert (await service.setting("n"))["default_value"] == setting.get(user="x")
    assert not client.status.started


async def test_reload_brings_what_is_on_the_service(service: Embedded) -> None:
    setting = declare(service.registry)
    async with service.client() as client:
        rule_id = await service.rule("n", 9, user="john")
        await client.reload()
        after_rule = setting.get(user="john")
        await service.delete(f"rules/{rule_id}")
        await client.reload()

    assert (after_rule, setting.get(user="john")) == (9, 1)


async def test_updates_come_by_themselves(service: Embedded) -> None:
    setting = declare(service.registry)
    client = Hooked(URL, 0.01, FEATURES, http_client=service.http, registry=service.registry)
    async with client:
        await service.rule("n", 9, user="john")
        await client.next()
        await client.next()

        assert setting.get(user="john") == 9


async def test_deleted_setting_is_declared_again_and_renamed_one_followed(
    service: Embedded,
) -> None:
    first, second = declare(service.registry, "a"), declare(service.registry, "b")
    async with service.client() as client:
        await service.delete("settings/a")
        await service.put("settings/b/name", {"name": "c", "version": "1.0"})
        await service.rule("c", 9, user="john")

        await client.reload()

        assert (first.get(user="john"), second.get(user="john")) == (1, 9)
        assert client.status.consecutive_failures == 0
    assert (await service.setting("a"))["version"] == "1.0"


async def test_ping_works_before_the_start_and_not_after_the_end(service: Embedded) -> None:
    client = service.client()

    await client.ping()
    await client.aclose()

    with pytest.raises(ClientClosed):
        await client.ping()


@pytest.mark.parametrize("status", [500, 503, 404, 401, 302, 204])
async def test_ping_raises_if_the_service_is_not_healthy(
    canned: Canned, transport: Gated, registry: Registry, status: int
) -> None:
    canned.instead.append(fail_with(error(status)))
    client = client_of(transport, registry)

    with pytest.raises(ServiceError) as caught:
        await client.ping()

    assert isinstance(caught.value, httpx.HTTPError)
    await client.aclose()


async def test_status_error_has_request_and_response(
    canned: Canned, transport: Gated, registry: Registry
) -> None:
    canned.instead.append(fail_with(error(503)))

    with pytest.raises(ServiceStatusError) as caught:
        await client_of(transport, registry).ping()

    assert isinstance(caught.value, httpx.HTTPStatusError)
    assert caught.value.response.status_code == 503
    assert caught.value.request.url.path == "/api/health"


async def test_get_settings_tells_of_all_settings(service: Embedded) -> None:
    await service.declare("other", 5, metadata={"owner": "x"}, configurable_features=["theme"])
    setting = declare(service.registry, "new", 0)
    await service.declare("old", 7.0)
    await service.put("settings/old/name", {"name": "newest", "version": "1.0"})

    found = await service.client().get_settings()

    assert {name: one.default for name, one in found.items()} == {"other": 5, "newest": 7.0}
    other = found["other"]
    assert (other.configurable_features, other.metadata, other.version) == (
        ["theme"],
        {"owner": "x"},
        "1.0",
    )
    assert setting


async def test_get_settings_finds_the_setting_of_this_process(service: Embedded) -> None:
    await service.declare("old", 7.0)
    await service.put("settings/old/name", {"name": "new", "version": "1.0"})
    setting = declare(service.registry, "old")

    data = (await service.client().get_settings())["new"]

    assert data.setting is setting
    assert (data.aliases, data.default) == (["old"], 7)
    assert type(data.default) is int
    assert data.model_dump().keys() >= {"name", "type", "default_value"}


async def test_get_settings_gives_the_raw_default_where_it_does_not_fit(service: Embedded) -> None:
    await service.declare("n", "text", type="str")
    setting = declare(service.registry)

    data = (await service.client().get_settings())["n"]

    assert (data.setting, data.default) == (setting, "text")


async def test_get_settings_leaves_out_and_reports_one_malformed_entry(
    canned: Canned, transport: Gated, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    canned.add("a", 1)
    canned.add("b", 1, version=7)

    found = await client_of(transport, registry).get_settings()

    assert found.keys() == {"a"}
    assert "entry 1" in caplog.text


# Life cycle


async def test_starting_twice_is_an_error(transport: Gated, registry: Registry) -> None:
    async with client_of(transport, registry) as client:
        with pytest.raises(ClientStateError, match="already started"):
            await client.set_as_main()

        assert client.status.started


async def test_closing_before_the_start_and_twice_is_fine(
    transport: Gated, registry: Registry
) -> None:
    client = client_of(transport, registry)

    await client.aclose()
    await client.close()

    with pytest.raises(ClientClosed):
        await client.set_as_main()
    with pytest.raises(ClientClosed):
        await client.reload()


async def test_reload_before_the_start_is_an_error(transport: Gated, registry: Registry) -> None:
    with pytest.raises(ClientStateError, match="set_as_main"):
        await client_of(transport, registry).reload()


async def test_second_main_client_is_an_error_until_the_first_is_closed(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    setting, second = declare(registry), client_of(transport, registry)
    async with client_of(transport, registry):
        with pytest.raises(ClientStateError, match="another client"):
            await second.set_as_main()
    canned.rule("n", 1, 9, user="john")

    async with second:
        assert setting.get(user="john") == 9


async def test_second_client_may_have_other_features(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    setting = declare(registry, configurable_features=["theme"])
    async with client_of(transport, registry) as first:
        refused = first.status.refused_declarations
    canned.features.append("theme")

    second = AsyncHeksherClient(
        URL, 3600, ["theme"], http_client_args={"transport": transport}, registry=registry
    )
    async with second:
        assert second.status.refused_declarations == ()

    assert "unknown to this client" in refused[0].reason
    assert setting.get(theme="x") == 1


async def test_setting_that_a_second_client_cannot_serve_reads_its_declared_default(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    canned.rule("n", 1, 9, user="john")
    setting = declare(registry)
    async with client_of(transport, registry):
        before = setting.get(user="john")

    second = AsyncHeksherClient(
        URL, 3600, ["environment"], http_client_args={"transport": transport}, registry=registry
    )
    async with second:
        assert (before, setting.get(user="john")) == (9, 1)


async def test_closing_during_the_start_ends_it(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    transport.hold("context_features")
    client = client_of(transport, registry)
    starting = asyncio.create_task(client.set_as_main())
    await transport.reached.wait()

    await client.aclose()

    with pytest.raises(ClientClosed):
        await starting
    assert registry.main is None


def tasks() -> int:
    return len(asyncio.all_tasks())


@pytest.mark.parametrize("again", [False, True], ids=["once", "twice"])
async def test_cancelling_the_start_anywhere_leaves_nothing_behind(
    make_transport: Callable[[], Gated], *, again: bool
) -> None:
    """Cancel at every turn of the loop that a start takes; once more while it cleans up."""
    before, cancelled = tasks(), 0
    for turn in range(1_000):
        registry, transport = Registry(), make_transport()
        setting, client = declare(registry), client_of(transport, registry)
        starting = asyncio.create_task(client.set_as_main())
        await turns(turn)
        if starting.done():
            await client.aclose()
            break
        starting.cancel()
        await turns(1)
        if again:
            starting.cancel()
        cancelled += isinstance(
            (await asyncio.gather(starting, return_exceptions=True))[0], asyncio.CancelledError
        )
        await until(lambda: tasks() == before)
        assert registry.main is None
        assert setting.get(user="x") == 1

    assert cancelled > 10


async def test_start_that_is_too_slow_is_ended(transport: Gated, registry: Registry) -> None:
    before = tasks()
    transport.hold("context_features")
    client = client_of(transport, registry, start_timeout=0.01)

    with pytest.raises(ServiceUnavailable, match="start_timeout"):
        await client.set_as_main()

    assert (tasks(), transport.is_closed, registry.main) == (before, True, None)
    assert (client.status.started, client.status.consecutive_failures) == (False, 1)


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        (httpx.ConnectError("refused"), ServiceUnavailable),
        (error(500), ServiceStatusError),
        (error(302), UnexpectedResponse),
    ],
    ids=["refused", "500", "302"],
)
async def test_failed_start_is_raised_and_closes_everything(
    transport: Gated,
    canned: Canned,
    registry: Registry,
    answer: httpx.Response | Exception,
    raised: type[Exception],
) -> None:
    canned.instead.append(fail_with(answer))
    before, setting, client = tasks(), declare(registry), client_of(transport, registry)

    with pytest.raises(raised):
        await client.set_as_main()

    assert (tasks(), transport.is_closed, registry.main) == (before, True, None)
    assert (setting.get(user="x"), client.told) == (1, [])
    assert client.status.last_error


async def test_start_without_a_feature_lists_those_of_the_service(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    canned.features = ["theme"]

    with pytest.raises(InvalidContext, match=r"\['environment', 'user'\].*\['theme'\]"):
        await client_of(transport, registry).set_as_main()

    assert registry.main is None


@pytest.mark.parametrize("features", [["theme", "user", "environment"], ["user", "environment"]])
async def test_more_features_or_another_order_on_the_service_are_normal(
    transport: Gated, canned: Canned, registry: Registry, features: list[str]
) -> None:
    canned.features = features

    async with client_of(transport, registry) as client:
        assert client.status.missing_features == ()


async def test_argument_that_httpx_does_not_know_is_told_at_the_start(registry: Registry) -> None:
    client = AsyncHeksherClient(
        URL, 60, FEATURES, http_client_args={"no_such": 1}, registry=registry
    )

    with pytest.raises(TypeError, match="no_such"):
        await client.set_as_main()
    assert registry.main is None


def test_two_loops_in_turn_have_a_client_each(canned: Canned, registry: Registry) -> None:
    setting = declare(registry)

    async def run() -> int:
        transport = canned.transport()
        async with client_of(transport, registry):
            return setting.get(user="john")

    first = asyncio.run(run())
    canned.rule("n", 1, 9, user="john")

    assert (first, asyncio.run(run())) == (1, 9)


def test_client_made_before_any_loop_works_in_one(canned: Canned, registry: Registry) -> None:
    client, setting = client_of(canned.transport(), registry), declare(registry)

    async def run() -> int:
        async with client:
            await client.reload()
            return setting.get(user="john")

    assert asyncio.run(run()) == 1


def test_client_of_a_loop_that_ended_says_so_and_can_be_closed(
    canned: Canned, registry: Registry
) -> None:
    client = client_of(canned.transport(), registry)
    asyncio.run(client.set_as_main())

    async def run() -> None:
        with pytest.raises(ClientStateError, match="event loop"):
            await client.reload()
        await client.aclose()

    assert not client.status.started
    asyncio.run(run())
    assert registry.main is None


async def test_client_of_another_thread_s_loop_is_closed_there(
    canned: Canned, registry: Registry
) -> None:
    client = client_of(canned.transport(), registry)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    started = asyncio.run_coroutine_threadsafe(client.set_as_main(), loop)
    await asyncio.wrap_future(started)

    await client.aclose()

    async def others() -> int:
        await turns(5)
        return tasks() - 1

    assert await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(others(), loop)) == 0
    loop.call_soon_threadsafe(loop.stop)
    await asyncio.to_thread(thread.join)
    loop.close()


async def test_updates_that_were_cancelled_with_all_tasks_are_no_secret(
    transport: Gated, registry: Registry
) -> None:
    async with client_of(transport, registry) as client:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await turns(3)

        with pytest.raises(ClientStateError, match="cancelled"):
            await client.reload()
        assert not client.status.started


# Updates


async def test_calls_of_reload_during_an_update_share_the_next_one(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    setting = declare(registry)
    async with client_of(transport, registry) as client:
        released = transport.hold("query")
        first = asyncio.create_task(client.reload())
        await transport.reached.wait()
        others = [asyncio.create_task(client.reload()) for _ in range(5)]
        await turns(2)
        released.set()
        await first
        canned.rule("n", 1, 9, user="john")
        await asyncio.gather(*others)

        assert setting.get(user="john") == 9
        assert client.told == ["ok", "ok", "ok"]


async def test_reload_raises_what_went_wrong_and_goes_on(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    setting = declare(registry)
    async with client_of(transport, registry) as client:
        canned.instead.append(fail_with(error(500)))
        for _ in range(3):
            with pytest.raises(ServiceStatusError):
                await client.reload()
        canned.instead.clear()
        canned.rule("n", 1, 9, user="john")
        await client.reload()

        assert client.told == ["ok", *["ServiceStatusError"] * 3, "ok"]
        assert setting.get(user="john") == 9


async def test_all_who_wait_for_one_update_are_told_what_went_wrong(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    async with client_of(transport, registry) as client:
        canned.instead.append(fail_with(error(500)))

        outcomes = await asyncio.gather(
            *[client.reload() for _ in range(20)], return_exceptions=True
        )

    assert {type(one) for one in outcomes} == {ServiceStatusError}
    assert client.told == ["ok", "ServiceStatusError"]


async def test_cancelled_reload_harms_neither_update_nor_others(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    async with client_of(transport, registry) as client:
        released = transport.hold("context_features")
        cancelled, other = [asyncio.create_task(client.reload()) for _ in range(2)]
        await transport.reached.wait()
        cancelled.cancel()
        await turns(2)
        released.set()
        await other
        await client.reload()

        assert cancelled.cancelled()
        assert client.told == ["ok", "ok", "ok"]


@pytest.mark.parametrize("when", ["in_flight", "waiting"])
async def test_closing_ends_every_reload(transport: Gated, registry: Registry, when: str) -> None:
    async with client_of(transport, registry) as client:
        transport.hold("context_features")
        reloads = [asyncio.create_task(client.reload())]
        await transport.reached.wait()
        if when == "waiting":
            reloads.append(asyncio.create_task(client.reload()))
            await turns(2)

    outcomes = await asyncio.wait_for(asyncio.gather(*reloads, return_exceptions=True), 5)
    assert {type(one) for one in outcomes} == {ClientClosed}


async def test_setting_declared_after_the_start_is_declared_soon(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    canned.add("late", 7)
    async with client_of(transport, registry) as client:
        setting = declare(registry, "late", 7)
        canned.rule("late", 1, 9, user="john")
        await client.next()

        assert setting.get(user="john") == 9


async def test_setting_declared_during_the_start_is_declared_soon(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    canned.rule("late", 1, 9, user="john")
    released = transport.hold("context_features")
    client = client_of(transport, registry)
    starting = asyncio.create_task(client.set_as_main())
    await transport.reached.wait()
    setting = declare(registry, "late")
    released.set()
    await starting
    await client.next()

    assert setting.get(user="john") == 9
    await client.aclose()


async def test_settings_declared_by_threads_meanwhile_are_all_declared(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    made: list[Setting[int]] = []

    def declare_some(thread: int) -> None:
        made.extend(declare(registry, f"t{thread}.n{place}") for place in range(40))

    async with client_of(transport, registry) as client:
        await asyncio.gather(*[asyncio.to_thread(declare_some, one) for one in range(4)])
        await client.reload()

        assert len(canned.settings) == len(made) == 160
        assert set(client.told) == {"ok"}


async def test_validator_added_after_the_start_sees_the_values_soon(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    canned.rule("n", 1, 9, user="john")
    setting = declare(registry)
    async with client_of(transport, registry) as client:
        setting.add_validator(lambda value, _rule, _setting: value * 2)
        await client.next()

        assert setting.get(user="john") == 18


async def test_hooks_are_told_of_every_update(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    async with client_of(transport, registry, interval=0.001) as client:
        canned.instead.append(fail_with(error(500)))
        await until(lambda: client.told.count("ServiceStatusError") >= 3)
        canned.instead.clear()
        assert await client.next() == "ok"


@pytest.mark.parametrize(
    "raised", [RuntimeError("mine"), asyncio.CancelledError(), RecursionError()], ids=shown
)
async def test_hook_that_raises_ends_nothing(
    transport: Gated, canned: Canned, registry: Registry, raised: BaseException
) -> None:
    async with client_of(transport, registry, raises=raised) as client:
        await client.reload()
        canned.instead.append(fail_with(error(500)))
        with pytest.raises(ServiceStatusError):
            await client.reload()
        canned.instead.clear()
        await client.reload()

        assert client.told == ["ok", "ok", "ServiceStatusError", "ok"]


@pytest.mark.parametrize("raised", [RuntimeError("mine"), asyncio.CancelledError()], ids=shown)
async def test_listener_that_raises_ends_nothing(
    transport: Gated, canned: Canned, registry: Registry, raised: BaseException
) -> None:
    def listen(_changed: Any) -> None:
        raise raised

    setting = declare(registry)
    async with client_of(transport, registry) as client:
        for place, add in enumerate([setting.on_change, client.on_change]):
            add(listen)
            canned.rule("n", place, place + 5, user=f"user{place}")
            await client.reload()

        assert [setting.get(user=f"user{place}") for place in range(2)] == [5, 6]


@pytest.mark.parametrize("raised", [RuntimeError("mine"), asyncio.CancelledError()], ids=shown)
async def test_validator_that_raises_harms_its_setting_only(
    transport: Gated, canned: Canned, registry: Registry, raised: BaseException
) -> None:
    first, second = declare(registry, "a"), declare(registry, "b")
    async with client_of(transport, registry) as client:
        canned.rule("a", 1, 8, user="john")
        canned.rule("b", 2, 9, user="john")

        @first.add_validator
        def validate(_value: int, _rule: Any, _setting: Any) -> int:
            raise raised

        await client.reload()

        assert (first.get(user="john"), second.get(user="john")) == (1, 9)
        assert {one.setting_name for one in client.status.rejected_rules} == {"a"}


async def test_callback_that_would_have_to_be_awaited_is_reported(
    transport: Gated, canned: Canned, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    async def listen(_changed: Any) -> None:
        raise AssertionError

    class Asynchronous(AsyncHeksherClient):
        async def on_update_ok(self) -> None:  # type: ignore[override]
            raise AssertionError

    setting = declare(registry)
    client = Asynchronous(
        URL, 3600, FEATURES, http_client_args={"transport": transport}, registry=registry
    )
    async with client:
        client.on_change(listen)
        setting.on_change(listen)
        canned.rule("n", 1, 9, user="u")
        await client.reload()

    assert caplog.text.count("raised TypeError: callbacks are called, not awaited") == 4


async def test_failing_log_ends_nothing(
    transport: Gated, canned: Canned, registry: Registry
) -> None:

    def refuse(_record: Any) -> bool:
        raise OSError("no space left")

    setting, logger = declare(registry), logging.getLogger("heksher")
    logger.addFilter(refuse)
    try:
        async with client_of(transport, registry) as client:
            canned.instead.append(fail_with(error(500)))
            with pytest.raises(ServiceStatusError):
                await client.reload()
            canned.instead.clear()
            canned.rule("n", 1, 9, user="john")
            await client.reload()
    finally:
        logger.removeFilter(refuse)

    assert setting.get(user="john") == 9


async def test_listeners_are_told_of_changes_after_publishing(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    setting, other, seen = declare(registry), declare(registry, "other"), list[Any]()
    async with client_of(transport, registry) as client:
        remove = client.on_change(lambda changed: seen.append((changed, setting.get(user="u"))))
        setting.on_change(lambda one: seen.append(one))
        canned.rule("n", 1, 9, user="u")
        await client.reload()
        await client.reload()
        remove()
        remove()
        canned.rule("n", 2, 8, user="v")
        await client.reload()

    assert seen == [setting, ({setting}, 9), setting]
    assert other


async def test_on_change_wants_a_function(transport: Gated, registry: Registry) -> None:
    with pytest.raises(InvalidClient, match="str"):
        client_of(transport, registry).on_change("x")  # type: ignore[arg-type]


async def test_changes_gives_what_changed_and_ends_with_the_client(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    setting, seen = declare(registry), []
    client = client_of(transport, registry)
    changes = client.changes()

    async def consume() -> None:
        seen.extend([changed async for changed in changes])

    async with client:
        consuming = asyncio.create_task(consume())
        canned.rule("n", 1, 9, user="u")
        await client.reload()
        await turns(2)
        canned.rule("n", 1, 8, user="v")
        await client.reload()
    await asyncio.wait_for(consuming, 5)

    assert seen == [{setting}, {setting}]


async def test_slow_consumer_gets_several_updates_as_one(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    settings = [declare(registry, name) for name in "ab"]
    async with client_of(transport, registry) as client:
        changes = client.changes()
        for place, setting in enumerate(settings):
            canned.rule(setting.name, place, 9, user="u")
            await client.reload()

        assert await anext(changes) == set(settings)


async def test_changes_that_nobody_reads_are_forgotten(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    client = client_of(transport, registry)
    kept = weakref.ref(client.changes().ag_frame.f_locals["self"])  # type: ignore[attr-defined]
    gc.collect()

    assert kept() is None
    await client.aclose()
    assert [one async for one in client.changes()] == []


async def test_listener_may_do_anything(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    setting, made, later = declare(registry), list[Any](), list[asyncio.Task[None]]()
    async with client_of(transport, registry) as client:

        def listen(_changed: Any) -> None:
            if not made:
                made.append(declare(registry, "late"))
                client.track_contexts(user=TRACK_ALL)
                client.set_defaults(user="john")
                client.on_change(lambda _changed: None)
                later.append(asyncio.create_task(client.reload()))

        client.on_change(listen)
        canned.rule("n", 1, 9, user="john")
        await client.reload()
        await later[0]

        assert (setting.get(), set(canned.settings)) == (9, {"n", "late"})


async def test_hook_may_close_the_client(transport: Gated, registry: Registry) -> None:
    closing: list[asyncio.Task[None]] = []

    class Closing(Hooked):
        def on_update_ok(self) -> None:
            if not closing:
                closing.append(asyncio.create_task(self.aclose()))

    client = Closing(
        URL, 3600, FEATURES, http_client_args={"transport": transport}, registry=registry
    )
    before = tasks()
    await client.set_as_main()
    await asyncio.wait_for(closing[0], 5)
    await turns(2)

    assert (tasks(), registry.main, transport.is_closed) == (before, None, True)


async def test_values_change_under_the_modification_lock(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    setting = declare(registry)
    async with client_of(transport, registry) as client:
        canned.rule("n", 1, 9, user="u")
        async with client.modification_lock:
            reloading = asyncio.create_task(client.reload())
            await until(lambda: len(canned.sent("query")) == 2)
            await turns(20)
            held = setting.get(user="u")
        await reloading

        assert (held, setting.get(user="u")) == (1, 9)


async def test_closing_while_the_lock_is_held_is_bounded(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    setting = declare(registry)
    async with client_of(transport, registry) as client:
        canned.rule("n", 1, 9, user="u")
        async with client.modification_lock:
            reloading = asyncio.create_task(client.reload())
            await until(lambda: len(canned.sent("query")) == 2)
            await turns(20)
            await client.aclose()

    assert isinstance((await asyncio.gather(reloading, return_exceptions=True))[0], ClientClosed)
    assert setting.get(user="u") == 1


async def test_all_settings_may_be_gone(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    setting: Setting[int] | None = declare(registry)
    async with client_of(transport, registry) as client:
        del setting
        gc.collect()
        await client.reload()

        assert client.told == ["ok", "ok"]
        assert len(canned.sent("query")) == 1


async def test_no_more_than_four_requests_are_under_way(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    settings = [declare(registry, f"n{place}") for place in range(500)]

    async with client_of(transport, registry):
        assert transport.most_at_once == 4

    assert len(canned.settings) == len(settings)


# Status


async def test_status_before_the_start(transport: Gated, registry: Registry) -> None:
    status = client_of(transport, registry).status

    assert (status.started, status.last_attempt, status.last_success) == (False, None, None)
    assert (status.age, status.source, status.last_error) == (None, Source.DECLARED_DEFAULTS, None)


async def test_status_while_all_is_well(transport: Gated, registry: Registry) -> None:
    async with client_of(transport, registry) as client:
        status = client.status

    assert status.started
    assert status.last_attempt is not None
    assert status.last_success is not None
    assert status.last_attempt <= status.last_success
    assert status.age is not None
    assert (status.source, status.consecutive_failures) == (Source.SERVICE, 0)


async def test_status_while_the_service_fails_and_after(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    async with client_of(transport, registry) as client:
        good = client.status
        canned.instead.append(fail_with(error(500)))
        for _ in range(2):
            with pytest.raises(ServiceStatusError):
                await client.reload()
        bad = client.status
        canned.instead.clear()
        await client.reload()

        assert (bad.consecutive_failures, bad.last_success) == (2, good.last_success)
        assert bad.age is not None
        assert good.age is not None
        assert bad.age > good.age
        assert "returned 500" in str(bad.last_error)
        assert (client.status.consecutive_failures, client.status.last_error) == (0, None)


async def test_status_lists_what_was_rejected_refused_and_left_out(service: Embedded) -> None:
    for name in ("a", "b", "c"):
        await service.declare(name, 1, configurable_features=["user", "theme"])
    await service.upgrade("d", "text", type="str")
    await service.rule("a", 5, theme="dark")
    kept = [
        declare(service.registry, "a", configurable_features=["user"], version="0.5"),
        declare(service.registry, "b", 2, configurable_features=["user", "theme"]),
        declare(service.registry, "d"),
    ]

    async with service.client() as client:
        status = client.status

    assert status.foreign_rules == 1
    assert [one.setting_name for one in status.refused_declarations] == ["b"]
    assert [(one.setting_name, one.rule_id) for one in status.rejected_rules] == [("d", None)]
    assert [one.setting_name for one in status.outdated_declarations] == ["a", "d"]
    assert kept[2].get(user="u") == 1


async def test_feature_that_disappears_later_stands_in_the_status(
    transport: Gated, canned: Canned, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    async with client_of(transport, registry) as client:
        canned.features = ["user"]
        await client.reload()
        await client.reload()

        assert client.status.missing_features == ("environment",)
        assert client.status.consecutive_failures == 0
    assert caplog.text.count("context features are missing from the service") == 1


# Tracking


async def fetched(service: Embedded, **tracked: Any) -> set[tuple[str, ...]]:
    """Return which of eight users' rules are used, when *tracked* is."""
    users = ["u", "U", "u_1", "9"]
    setting = declare(service.registry, "n", 0, configurable_features=["user", "environment"])
    await service.declare("n", 0, configurable_features=["user", "environment"])
    for place, user in enumerate(users, start=1):
        await service.rule("n", place, user=user)
        await service.rule("n", place * 10, user=user, environment="e")
    client = service.client()
    client.track_contexts(**tracked)
    async with client:
        return {
            (user, environment)
            for user in users
            for environment in ("e", "-")
            if setting.get(user=user, environment=environment)
            == users.index(user) * (10 if environment == "e" else 1)
            + (10 if environment == "e" else 1)
        }


@pytest.mark.parametrize(
    ("tracked", "used"),
    [
        ({}, {(user, one) for user in ("u", "U", "u_1", "9") for one in ("e", "-")}),
        ({"user": "u"}, {("u", "-")}),
        ({"user": ["u", "9"]}, {("u", "-"), ("9", "-")}),
        ({"user": ("u", "no such", "a-b", "\u00e9", "", "x,y")}, {("u", "-")}),
        ({"user": []}, set()),
        ({"user": TRACK_ALL}, {(user, "-") for user in ("u", "U", "u_1", "9")}),
        ({"user": "u", "environment": "e"}, {("u", "e"), ("u", "-")}),
        ({"user": TRACK_ALL, "environment": "x"}, {(one, "-") for one in ("u", "U", "u_1", "9")}),
        ({"environment": TRACK_ALL}, set()),
        ({"user": [f"{'v' * 100}{n}" for n in range(50)] + ["u"]}, {("u", "-")}),
    ],
    ids=["nothing", "one", "two", "odd", "empty", "all", "both", "all-x", "other", "long"],
)
async def test_rules_are_used_if_all_their_conditions_are_tracked(
    service: Embedded, tracked: dict[str, Any], used: set[tuple[str, str]]
) -> None:
    assert await fetched(service, **tracked) == used


@pytest.mark.parametrize("feature", ["account_id", "userV2", "Theme", "a1"])
async def test_odd_feature_name_loses_no_rule(
    transport: Gated, canned: Canned, registry: Registry, feature: str
) -> None:
    canned.features.append(feature)
    canned.add("n", 1, configurable_features=[feature])
    canned.rule("n", 1, 9, **{feature: "x"})
    canned.rule("n", 2, 8, **{feature: "y"})
    setting = declare(registry, configurable_features=[feature])
    client = AsyncHeksherClient(
        URL, 3600, [feature], http_client_args={"transport": transport}, registry=registry
    )
    client.track_contexts(**{feature: "x"})

    async with client:
        assert (setting.get(**{feature: "x"}), setting.get(**{feature: "y"})) == (9, 1)

    assert "context_filters" not in canned.sent("query")[0].query


@pytest.mark.parametrize(
    ("tracked", "query_filter"),
    [
        ({"user": "u"}, "user:(u)"),
        ({"user": ["b", "a"]}, "user:(a,b)"),
        ({"user": TRACK_ALL, "environment": "e"}, "environment:(e),user:*"),
        ({"user": []}, ""),
        ({"user": ["-"]}, ""),
        ({"user": [f"{'v' * 100}{n}" for n in range(50)]}, "user:*"),
        ({"user": "john\n"}, "user:*"),
    ],
    ids=["one", "sorted", "all", "empty", "impossible", "long", "newline"],
)
async def test_filter_of_a_query(
    transport: Gated,
    canned: Canned,
    registry: Registry,
    tracked: dict[str, Any],
    query_filter: str,
) -> None:
    setting, client = declare(registry), client_of(transport, registry)
    client.track_contexts(**tracked)

    async with client:
        assert canned.sent("query")[0].query == f"settings=n&context_filters={query_filter}"

    assert setting


async def test_tracking_is_enforced_on_whatever_came_back(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    canned.rule("n", 1, 9, user="tracked")
    canned.rule("n", 2, 8, user="other")
    setting, client = declare(registry), client_of(transport, registry)
    client.track_contexts(user="tracked")

    async with client:
        assert (setting.get(user="tracked"), setting.get(user="other")) == (9, 1)


async def test_tracking_adds_up_and_takes_effect_at_the_next_update(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    for place, user in enumerate("abc"):
        canned.rule("n", place, place + 7, user=user)
    setting, client, read = declare(registry), client_of(transport, registry), list[list[int]]()
    client.track_contexts(user="a")
    async with client:
        for more in ({"user": "b"}, {"user": ["b"], "environment": "x"}, {"user": TRACK_ALL}):
            read.append([setting.get(user=user) for user in "abc"])
            client.track_contexts(**more)
            await client.reload()
        read.append([setting.get(user=user) for user in "abc"])

    assert read == [[7, 1, 1], [7, 8, 1], [7, 8, 1], [7, 8, 9]]


async def test_tracking_for_the_first_time_after_the_start_leaves_rules_out(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    canned.rule("n", 1, 9, user="a")
    setting = declare(registry)
    async with client_of(transport, registry) as client:
        before = setting.get(user="a")
        client.track_contexts(user="b")
        during = setting.get(user="a")
        await client.reload()

        assert (before, during, setting.get(user="a")) == (9, 9, 1)


@pytest.mark.parametrize("values", [5, None, b"x", ["a", 5], object()], ids=shown)
async def test_tracking_anything_but_strings_is_an_error(
    transport: Gated, registry: Registry, values: Any
) -> None:
    with pytest.raises(InvalidContext, match="TRACK_ALL"):
        client_of(transport, registry).track_contexts(user=values)


# Defaults of context features


async def test_defaults_are_strings_variables_and_functions(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    canned.rule("n", 1, 9, user="john")
    setting, variable = declare(registry), ContextVar[str]("variable")
    async with client_of(transport, registry) as client:
        read = []
        for default in ("john", variable, lambda: "john", lambda: None):
            client.set_defaults(user=default)
            variable.set("john")
            read.append(setting.get())
            read.append(setting.get(user="jane"))

    assert read == [9, 1, 9, 1, 9, 1, 1, 1]


async def test_defaults_add_up_and_work_before_the_start(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    both = ["environment", "user"]
    canned.add("n", 1, configurable_features=both)
    canned.rule("n", 1, 9, user="john", environment="e")
    setting = declare(registry, configurable_features=both)
    client = client_of(transport, registry)
    client.set_defaults(user="john")
    client.set_defaults(environment="e")

    async with client:
        assert setting.get() == 9
    assert setting.get() == 9


async def test_defaults_of_a_second_client_count_when_it_starts(
    transport: Gated, canned: Canned, registry: Registry
) -> None:
    canned.rule("n", 1, 9, user="john")
    setting = declare(registry)
    first, second = client_of(transport, registry), client_of(transport, registry)
    async with first:
        first.set_defaults(user="jane")
        second.set_defaults(user="john")
        before = setting.get()
    async with second:
        assert (before, setting.get()) == (1, 9)


@pytest.mark.parametrize("default", [5, None, ["john"], object()], ids=shown)
async def test_default_of_another_kind_is_an_error(
    transport: Gated, registry: Registry, default: Any
) -> None:
    with pytest.raises(InvalidContext):
        client_of(transport, registry).set_defaults(user=default)


# Arguments


@pytest.mark.parametrize(
    "url",
    ["", "service", "ftp://x", "http://", "http://x?a=b", "http://x#f", "http://x\n", 5, None],
    ids=shown,
)
def test_service_url_that_cannot_be_right_is_an_error(registry: Registry, url: Any) -> None:
    with pytest.raises(InvalidClient, match="service_url"):
        AsyncHeksherClient(url, 60, FEATURES, registry=registry)


@pytest.mark.parametrize(
    "argument", ["update_interval", "start_timeout", "request_timeout", "max_response_bytes"]
)
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "5", None, True], ids=shown)
def test_number_that_cannot_be_right_is_an_error(
    registry: Registry, argument: str, value: Any
) -> None:
    arguments: dict[str, Any] = {"update_interval": 60, argument: value}

    with pytest.raises(InvalidClient, match=argument):
        AsyncHeksherClient(URL, context_features=FEATURES, registry=registry, **arguments)


@pytest.mark.parametrize("features", [[], ["a b"], ["a", "a"], "user", [5], [""]], ids=shown)
def test_features_that_cannot_be_right_are_an_error(registry: Registry, features: Any) -> None:
    with pytest.raises(InvalidContext):
        AsyncHeksherClient(URL, 60, features, registry=registry)


@pytest.mark.parametrize("url", ["", "/", "/base", "/base/", "/a/b//", "/?"])
async def test_service_url_may_have_a_path_and_slashes(server: Server, url: str) -> None:
    client = AsyncHeksherClient(server.url + url, 60, FEATURES, registry=Registry())

    await client.ping()
    await client.aclose()

    assert server.paths == [url.rstrip("/?") + "/api/health"]


async def test_headers_and_timeout_of_http_client_args_are_used(server: Server) -> None:
    client = AsyncHeksherClient(
        server.url,
        60,
        FEATURES,
        http_client_args={"headers": {"x-token": "abc"}, "timeout": 0.5},
        registry=Registry(),
    )
    await client.ping()
    server.hangs = True

    with pytest.raises(ServiceUnavailable):
        await client.ping()

    assert server.headers[0]["x-token"] == "abc"
    await client.aclose()


async def test_request_is_bounded_even_if_its_body_drips(server: Server) -> None:
    server.drips = b" "
    client = AsyncHeksherClient(server.url, 60, FEATURES, request_timeout=0.05, registry=Registry())

    with pytest.raises(ServiceUnavailable, match="ReadTimeout"):
        await client.ping()

    await client.aclose()


async def test_answer_is_bounded(server: Server) -> None:
    server.drips = b"x" * 1000
    client = AsyncHeksherClient(
        server.url, 60, FEATURES, max_response_bytes=5_000, registry=Registry()
    )

    with pytest.raises(UnexpectedResponse, match="5000 bytes"):
        await client.ping()

    await client.aclose()


async def test_client_of_the_caller_stays_open(canned: Canned, registry: Registry) -> None:
    async with httpx.AsyncClient(transport=canned.transport()) as http:
        async with AsyncHeksherClient(URL, 60, FEATURES, http_client=http, registry=registry):
            pass

        assert not http.is_closed


def test_synchronous_http_client_is_an_error(registry: Registry) -> None:
    with httpx.Client() as http, pytest.raises(InvalidClient, match=r"httpx\.AsyncClient"):
        AsyncHeksherClient(URL, 60, FEATURES, http_client=http, registry=registry)  # type: ignore[arg-type]


async def test_client_that_its_owner_closed_is_a_failure_like_others(
    canned: Canned, registry: Registry
) -> None:
    setting = declare(registry)
    http = httpx.AsyncClient(transport=canned.transport())
    async with AsyncHeksherClient(URL, 60, FEATURES, http_client=http, registry=registry) as client:
        await http.aclose()
        for _ in range(2):
            with pytest.raises(ServiceUnavailable):
                await client.reload()

        assert (client.status.consecutive_failures, setting.get(user="x")) == (2, 1)


async def test_transport_that_raises_anything_is_a_failure_like_others(
    canned: Canned, transport: Gated, registry: Registry
) -> None:
    async with client_of(transport, registry) as client:
        for raised in (OSError(), RuntimeError(), asyncio.CancelledError(), RecursionError()):
            canned.instead = [fail_with(raised)]  # type: ignore[arg-type]
            with pytest.raises(ServiceUnavailable):
                await client.reload()
        canned.instead = []
        await client.reload()

        assert client.told[-2:] == ["ServiceUnavailable", "ok"]


# Nothing left behind


async def start_and_close(client: AsyncHeksherClient) -> None:
    async with client:
        await client.reload()


async def start_in_vain(client: AsyncHeksherClient) -> None:
    with pytest.raises(ServiceError):
        await client.set_as_main()


async def cancel_start(client: AsyncHeksherClient) -> None:
    starting = asyncio.create_task(client.set_as_main())
    await turns(8)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting


@pytest.mark.parametrize("life", [start_and_close, start_in_vain, cancel_start])
async def test_life_of_a_client_leaves_no_task_and_no_socket(
    server: Server, life: Callable[[AsyncHeksherClient], Awaitable[None]]
) -> None:
    registry, before = Registry(), tasks()
    settings = [declare(registry, f"n{place}") for place in range(10)]
    if life is start_in_vain:
        server.service.instead.append(lambda one: error(500) if "settings" in one.path else None)

    await life(AsyncHeksherClient(server.url, 60, FEATURES, registry=registry))

    await asyncio.wait_for(server.closed.wait(), 5)
    await turns(3)
    assert (tasks(), server.connections) == (before, set())
    assert settings


@pytest.mark.parametrize("life", [start_and_close, start_in_vain, cancel_start])
async def test_client_and_settings_are_collected_when_dropped(
    canned: Canned,
    transport: Gated,
    registry: Registry,
    life: Callable[[AsyncHeksherClient], Awaitable[None]],
) -> None:
    if life is start_in_vain:
        canned.instead.append(fail_with(error(500)))
    setting, client = declare(registry), client_of(transport, registry)
    dropped: list[weakref.ref[Any]] = [weakref.ref(setting), weakref.ref(client)]
    await life(client)

    del setting, client
    await turns(1)
    gc.collect()

    assert [one() for one in dropped] == [None, None]


async def test_failure_keeps_no_answer_alive(
    canned: Canned, transport: Gated, registry: Registry
) -> None:
    async with client_of(transport, registry) as client:
        answer = error(500)
        dropped = weakref.ref(answer)
        canned.instead.append(fail_with(answer))
        with pytest.raises(ServiceStatusError):
            await client.reload()
        del answer
        canned.instead.clear()
        gc.collect()

        assert dropped() is None
        assert "500" in str(client.status.last_error)


class Outcome(BaseException):
    """As pytest's own outcomes are: no `Exception`."""


async def test_callback_that_raises_what_is_no_exception_ends_no_updates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = Registry()
    setting = Setting[int]("w", configurable_features=["user"], default_value=1, registry=registry)
    app = create_app(context_features=["user"])
    transport = httpx.ASGITransport(app)
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://h") as api,
        httpx.AsyncClient(transport=transport) as http_client,
        AsyncHeksherClient(
            "http://h", 60, ["user"], http_client=http_client, registry=registry
        ) as client,
    ):

        def fail(_changed: object) -> None:
            raise Outcome

        errors: list[Exception] = []
        monkeypatch.setattr(client, "on_update_error", errors.append)
        remove = client.on_change(fail)
        body = {"setting": "w", "feature_values": {"user": "u"}, "value": 5}
        rule = (await api.post("/api/v1/rules", json=body)).json()["rule_id"]
        with pytest.raises(ServiceError, match="Outcome"):
            await client.reload()
        remove()
        await api.put(f"/api/v1/rules/{rule}/value", json={"value": 6})
        await client.reload()

    assert setting.get(user="u") == 6
    assert len(errors) == 1


async def test_feature_called_self_has_a_default_and_is_tracked() -> None:
    registry = Registry()
    client = AsyncHeksherClient("http://h", 60, ["self"], registry=registry)

    client.set_defaults(self="x")
    client.track_contexts(self="x")

    setting = Setting[int]("s", configurable_features=["self"], default_value=1, registry=registry)
    assert setting.get() == 1
