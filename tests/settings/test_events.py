"""Change events and pinned views, with real clients against the embedded service."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

from heksher import AsyncHeksherClient, InvalidClient, InvalidSetting, Setting, ThreadHeksherClient
from heksher.settings.reading.state import Snapshot
from heksher.settings.rules.compiling import CompileOptions, compile_rule_set
from heksher.settings.rules.rule_set import Origin, RuleSet
from heksher.settings.setting import declaration_of
from heksher.testing import LocalService

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from heksher.settings.registry import Registry

who: ContextVar[str] = ContextVar("who", default="nobody")


@pytest.fixture
def service() -> Iterator[LocalService]:
    with LocalService(["user"]) as local:
        yield local


@pytest.fixture
def one(registry: Registry) -> Setting[int, ...]:
    return Setting("one", int, ["user"], 1, registry=registry)


@pytest.fixture
def two(registry: Registry) -> Setting[int, ...]:
    return Setting("two", int, ["user"], 2, registry=registry)


@pytest.fixture
async def client(
    service: LocalService,
    registry: Registry,
    one: Setting[int, ...],
    two: Setting[int, ...],
) -> AsyncIterator[AsyncHeksherClient]:
    async with AsyncHeksherClient(
        "http://heksher.local",
        3600,
        ["user"],
        http_client=service.async_http_client(),
        registry=registry,
    ) as started:
        yield started


async def test_listener_is_called_after_publishing_and_outside_the_lock(
    client: AsyncHeksherClient, service: LocalService, one: Setting[int, ...]
) -> None:
    heard: list[Any] = []
    one.on_change(lambda setting: heard.append((setting is one, setting.get(user="x"))))
    one.on_change(lambda setting: heard.append(client.modification_lock.locked()))
    client.on_change(lambda changed: heard.append((changed, one.get(user="x"))))
    client.on_change(lambda changed: heard.append(client.modification_lock.locked()))

    service.add_rule(one, 5, user="x")
    await client.reload()

    assert heard == [(True, 5), False, (frozenset({one}), 5), False]


async def test_listeners_are_called_in_order_settings_first(
    client: AsyncHeksherClient,
    service: LocalService,
    one: Setting[int, ...],
    two: Setting[int, ...],
) -> None:
    heard: list[str] = []
    client.on_change(lambda changed: heard.append("client"))
    two.on_change(lambda setting: heard.append("two"))
    one.on_change(lambda setting: heard.append("one, first"))
    one.on_change(lambda setting: heard.append("one, second"))

    for value in (5, 6):
        service.add_rule(two, value, user=f"x{value}")
        service.add_rule(one, value, user=f"x{value}")
        await client.reload()

    assert heard == ["one, first", "one, second", "two", "client"] * 2


async def test_listener_runs_with_the_context_of_whoever_registered_it(
    client: AsyncHeksherClient, service: LocalService, one: Setting[int, ...]
) -> None:
    heard: list[str] = []

    def register() -> None:
        one.on_change(lambda setting: heard.append(who.get()))
        client.on_change(lambda changed: heard.append(who.get()))

    token = who.set("john")
    register()
    who.reset(token)
    register()

    service.add_rule(one, 5, user="x")
    await client.reload()

    assert heard == ["john", "nobody", "john", "nobody"]


async def test_listener_that_raises_is_logged_and_harms_nobody(
    client: AsyncHeksherClient,
    service: LocalService,
    one: Setting[int, ...],
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[object] = []
    for register in (one.on_change, client.on_change):
        register(lambda changed: 1 / 0)
        register(heard.append)

    service.add_rule(one, 5, user="x")
    await client.reload()

    assert heard == [one, frozenset({one})]
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 2
    assert client.status.consecutive_failures == 0


async def test_nothing_is_heard_when_nothing_changed(
    client: AsyncHeksherClient, service: LocalService, one: Setting[int, ...]
) -> None:
    rule_id = service.add_rule(one, 5, user="x")
    await client.reload()
    heard: list[object] = []
    one.on_change(heard.append)
    client.on_change(heard.append)

    await client.reload()
    service.delete_rule(rule_id)
    service.add_rule(one, 5, user="x")
    await client.reload()
    service.add_rule("two", 2, user="x")
    two_changed = list(heard)
    await client.reload()

    assert not two_changed
    assert [len(changed) for changed in heard if isinstance(changed, frozenset)] == [1]
    assert one not in heard


@pytest.mark.parametrize(("left", "right"), [(1, True), (1, 1.0), (0, False), ([1], [True])])
def test_values_of_other_types_are_a_change(left: object, right: object) -> None:
    rule_sets = [RuleSet(("user",), (), value, Origin.SERVICE_DEFAULT) for value in (left, right)]

    assert not rule_sets[0].reads_as(rule_sets[1])
    assert rule_sets[0].reads_as(RuleSet(("user",), (), left, Origin.LOCAL_DEFAULT))


async def test_removed_listener_hears_no_more_and_may_remove_itself(
    client: AsyncHeksherClient, service: LocalService, one: Setting[int, ...]
) -> None:
    heard: list[object] = []
    remove_one = one.on_change(heard.append)

    def once(changed: object) -> None:
        heard.append("once")
        remove()

    remove = client.on_change(once)
    remove_one()
    remove_one()

    for value in (5, 6):
        service.add_rule(one, value, user=f"x{value}")
        await client.reload()

    assert heard == ["once"]


@pytest.mark.parametrize("listener", [None, 5, "print"])
def test_listener_that_is_no_callable_is_an_error(
    listener: Any, one: Setting[int, ...], registry: Registry
) -> None:
    client = AsyncHeksherClient("http://heksher", 60, ["user"], registry=registry)

    with pytest.raises(InvalidSetting, match=r"a listener of setting 'one' is .*: give a function"):
        one.on_change(listener)
    with pytest.raises(InvalidClient, match="expected a callable as listener"):
        client.on_change(listener)


async def test_changes_are_given_to_every_iterator_until_the_client_closes(
    client: AsyncHeksherClient,
    service: LocalService,
    one: Setting[int, ...],
    two: Setting[int, ...],
) -> None:
    async def collect() -> list[frozenset[Any]]:
        return [changed async for changed in client.changes()]

    tasks = [asyncio.create_task(collect()) for _ in range(2)]
    await asyncio.sleep(0)
    for setting in (one, two):
        service.add_rule(setting, 5, user="x")
        await client.reload()
        await asyncio.sleep(0)

    await client.aclose()

    expected = [frozenset({one}), frozenset({two})]
    assert await asyncio.gather(*tasks) == [expected, expected]


def test_client_in_a_thread_tells_its_listeners_too(
    service: LocalService, registry: Registry, one: Setting[int, ...]
) -> None:
    heard: list[Any] = []
    token = who.set("john")
    one.on_change(lambda setting: heard.append((setting.get(user="x"), who.get())))
    who.reset(token)

    with ThreadHeksherClient(service.url, 3600, ["user"], registry=registry) as client:
        client.on_change(lambda changed: heard.append((changed, client.modification_lock.locked())))
        service.add_rule(one, 5, user="x")
        client.reload()
        client.reload()

    assert heard == [(5, "john"), (frozenset({one}), False)]


async def test_task_started_inside_stays_pinned_and_others_go_on(
    client: AsyncHeksherClient,
    service: LocalService,
    registry: Registry,
    one: Setting[int, ...],
) -> None:
    changed = asyncio.Event()

    async def read_later() -> int:
        await changed.wait()
        return one.get(user="x")

    with registry.pinned():
        inside = asyncio.create_task(read_later())
    outside = asyncio.create_task(read_later())
    service.add_rule(one, 5, user="x")
    await client.reload()
    changed.set()

    assert [await inside, await outside] == [1, 5]


def publish_number(registry: Registry, settings: list[Setting[int, ...]], number: int) -> None:
    options = CompileOptions(feature_order=("user",))
    registry.publish(
        Snapshot(
            rule_sets={
                declaration_of(setting).index: compile_rule_set(
                    declaration_of(setting),
                    number,
                    [(1, [["user", "x"]], number)],
                    previous=None,
                    options=options,
                )
                for setting in settings
            }
        )
    )


@pytest.fixture
def fast_switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_no_mixed_reads_inside_and_none_that_go_back_outside(
    fast_switching: None, registry: Registry
) -> None:
    settings = [Setting(f"s{place}", int, ["user"], 0, registry=registry) for place in range(8)]
    failures: list[object] = []
    done = threading.Event()

    def inside() -> None:
        while not done.is_set():
            with registry.pinned():
                seen = [setting.get(user="x") for setting in settings for _ in range(2)]
            if len(set(seen)) != 1:
                failures.append(seen)

    def outside() -> None:
        while not done.is_set():
            seen = [setting.get(user="x") for setting in settings * 2]
            if seen != sorted(seen):
                failures.append(seen)

    threads = [threading.Thread(target=function) for function in (inside, inside, outside, outside)]
    for thread in threads:
        thread.start()
    for number in range(1, 1_500):
        publish_number(registry, settings, number)
    done.set()
    for thread in threads:
        thread.join()

    assert not failures
