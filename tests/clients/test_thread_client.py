"""`ThreadHeksherClient`: starting, closing, reloading, and the threads that it keeps."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from heksher import (
    ClientClosed,
    ClientStateError,
    InvalidContext,
    ServiceError,
    ServiceUnavailable,
    Setting,
    ThreadHeksherClient,
)
from heksher.settings.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from clients.conftest import Canned
    from heksher.clients.conversation.effects import Answer, Request

URL = "http://service.example"
BOUND = 20.0


def declare(registry: Registry, name: str = "n", default: int = 1) -> Setting[int]:
    return Setting[int](
        name, configurable_features=["user"], default_value=default, registry=registry
    )


class Hooked(ThreadHeksherClient):
    """A client that runs functions of a test's in its hooks."""

    ok: Callable[[], object] = staticmethod(lambda: None)
    errors: list[Exception]

    def on_update_ok(self) -> None:
        self.ok()

    def on_update_error(self, exc: Exception) -> None:
        self.errors.append(exc)


@pytest.fixture
def make(canned: Canned, registry: Registry) -> Callable[..., Hooked]:
    def make_client(features: tuple[str, ...] = ("user",), **options: Any) -> Hooked:
        http = httpx.Client(transport=canned.transport())
        arguments = {"http_client": http, "registry": registry, **options}
        client = Hooked(URL, 3600, features, **arguments)
        client.errors = []
        return client

    return make_client


class Gate:
    """Holds requests to a path until it is opened."""

    def __init__(self, canned: Canned, path: str) -> None:
        self.path = path
        self.reached, self.opened = Event(), Event()
        canned.instead.append(self)

    def __call__(self, request: Request) -> Answer | None:
        if request.path.endswith(self.path):
            self.reached.set()
            assert self.opened.wait(BOUND)
        return None


def in_thread(function: Callable[[], object]) -> tuple[Thread, list[BaseException]]:
    raised: list[BaseException] = []

    def run() -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001  # the test looks at it
            raised.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    return thread, raised


def test_entering_declares_and_fetches(
    canned: Canned, registry: Registry, make: Callable[..., Hooked]
) -> None:
    setting = declare(registry)
    canned.add("n", 1)
    canned.rule("n", 1, 7, user="x")

    with make() as client:
        assert setting.get(user="x") == 7
        assert client.status.started
    assert setting.get(user="x") == 7
    assert not client.status.started


def test_updates_come_by_themselves(canned: Canned, registry: Registry) -> None:
    setting = declare(registry)
    changed = Event()
    setting.on_change(lambda _: changed.set())
    http = httpx.Client(transport=canned.transport())

    with ThreadHeksherClient(URL, 0.01, ["user"], http_client=http, registry=registry):
        canned.rule("n", 1, 7, user="x")

        assert changed.wait(BOUND)
        assert setting.get(user="x") == 7


def test_setting_declared_later_is_fetched_without_waiting(
    canned: Canned, registry: Registry, make: Callable[..., Hooked]
) -> None:
    canned.add("n", 1)
    canned.rule("n", 1, 7, user="x")
    with make() as client:
        changes = client.changes()
        setting = declare(registry)

        assert next(changes) == {setting}
        assert setting.get(user="x") == 7


def test_changes_give_all_that_changed_as_one_and_end_with_the_client(
    canned: Canned, registry: Registry, make: Callable[..., Hooked]
) -> None:
    settings = declare(registry), declare(registry, "other")
    client = make()
    client.set_as_main()
    changes = client.changes()
    for number, setting in enumerate(settings):
        canned.rule(setting.name, number, 7, user="x")
        client.reload()
    client.close()

    assert list(changes) == [set(settings)]
    assert list(client.changes()) == []


def test_failed_start_raises_and_closes_everything(
    canned: Canned, registry: Registry, make: Callable[..., Hooked]
) -> None:
    canned.instead = [lambda _: httpx.ConnectError("nobody there")]
    client = make()

    with pytest.raises(ServiceUnavailable):
        client.set_as_main()

    assert registry.main is None
    assert client.status.consecutive_failures == 1
    with pytest.raises(ClientClosed):
        client.set_as_main()


def test_start_is_bounded(canned: Canned, make: Callable[..., Hooked]) -> None:
    gate = Gate(canned, "/context_features")

    with pytest.raises(ServiceUnavailable, match=r"within start_timeout \(0\.05 s\)"):
        make(start_timeout=0.05).set_as_main()

    gate.opened.set()


def test_start_without_a_feature_lists_those_of_the_service(make: Callable[..., Hooked]) -> None:
    with pytest.raises(InvalidContext, match=r"\['theme'\].*\['environment', 'user'\]"):
        make(("user", "theme")).set_as_main()


def test_closing_during_the_start_ends_it(
    canned: Canned, registry: Registry, make: Callable[..., Hooked]
) -> None:
    setting = declare(registry)
    gate, client = Gate(canned, "/settings"), make()
    thread, raised = in_thread(client.set_as_main)
    assert gate.reached.wait(BOUND)

    client.close()
    gate.opened.set()
    thread.join(BOUND)

    assert [type(one) for one in raised] == [ClientClosed]
    assert registry.main is None
    assert setting.get(user="x") == 1


def test_what_an_abandoned_start_brings_is_never_published(
    canned: Canned, registry: Registry, make: Callable[..., Hooked]
) -> None:
    setting = declare(registry)
    gate = Gate(canned, "/query")
    with pytest.raises(ServiceUnavailable):
        make(start_timeout=0.05).set_as_main()
    canned.rule("n", 1, 7, user="x")

    gate.opened.set()

    assert setting.get(user="x") == 1
    canned.instead.clear()
    with make():
        assert setting.get(user="x") == 7


def test_starting_twice_is_an_error(make: Callable[..., Hooked]) -> None:
    with make() as client, pytest.raises(ClientStateError, match="already started"):
        client.set_as_main()


def test_second_main_client_is_an_error_until_the_first_is_closed(
    make: Callable[..., Hooked],
) -> None:
    second = make()
    with make(), pytest.raises(ClientStateError, match="another client"):
        second.set_as_main()

    with second:
        assert second.status.started


def test_closing_before_the_start_and_twice_is_fine(make: Callable[..., Hooked]) -> None:
    unstarted, client = make(), make()
    unstarted.close()
    unstarted.aclose()
    client.set_as_main()

    client.close()
    client.close()

    for operation in (client.set_as_main, client.reload, client.ping, client.get_settings):
        with pytest.raises(ClientClosed):
            operation()


def test_closing_is_bounded_while_the_service_hangs(
    canned: Canned,
    registry: Registry,
    make: Callable[..., Hooked],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("heksher.clients.thread_client.CLOSE_TIMEOUT", 0.1)
    client, setting = make(), declare(registry)
    client.set_as_main()
    gate = Gate(canned, "/query")
    reloading, raised = in_thread(client.reload)
    assert gate.reached.wait(BOUND)

    client.close()
    reloading.join(BOUND)

    assert not gate.opened.is_set()
    assert setting.get(user="x") == 1
    assert [type(one) for one in raised] == [ClientClosed]
    gate.opened.set()


def test_closing_is_bounded_while_the_lock_is_held(
    make: Callable[..., Hooked], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heksher.clients.thread_client.CLOSE_TIMEOUT", 0.1)
    client = make()
    client.set_as_main()

    with client.modification_lock:
        reloading, raised = in_thread(client.reload)
        client.close()
        reloading.join(BOUND)

    assert [type(one) for one in raised] == [ClientClosed]


def test_calls_of_reload_during_an_update_share_the_next_one(
    canned: Canned, registry: Registry, make: Callable[..., Hooked]
) -> None:
    setting = declare(registry)
    with make() as client:
        gate = Gate(canned, "/query")
        first, _ = in_thread(client.reload)
        assert gate.reached.wait(BOUND)
        canned.instead.clear()
        canned.requests.clear()
        canned.rule("n", 1, 7, user="x")
        others = [in_thread(client.reload) for _ in range(5)]
        while len(client._waiting) < 5:
            os.sched_yield()
        gate.opened.set()
        for thread, raised in others:
            thread.join(BOUND)
            assert not raised

        first.join(BOUND)
        assert setting.get(user="x") == 7
        assert len(canned.sent("query")) == 1


def test_reload_raises_what_went_wrong_and_goes_on(
    canned: Canned, make: Callable[..., Hooked]
) -> None:
    with make() as client:
        canned.instead = [lambda _: httpx.ReadError("lost")]
        for _ in range(2):
            with pytest.raises(ServiceError, match="ReadError"):
                client.reload()
        canned.instead = []
        client.reload()

        assert len(client.errors) == 2
        assert client.status.consecutive_failures == 0


@pytest.mark.parametrize("where", ["hook", "listener"])
def test_reload_where_it_would_wait_for_itself_is_an_error(
    canned: Canned, registry: Registry, make: Callable[..., Hooked], where: str
) -> None:
    setting = declare(registry)
    with make() as client:
        raised: list[BaseException] = []

        def reload(*_: object) -> None:
            try:
                client.reload()
            except ClientStateError as error:
                raised.append(error)

        if where == "hook":
            client.ok = reload
        else:
            client.on_change(reload)
        canned.rule("n", 1, 7, user="x")
        client.reload()
        client.close()

        assert len(raised) == 1
        assert "call it in another thread" in str(raised[0])
        assert setting.get(user="x") == 7


def test_hook_may_close_the_client(make: Callable[..., Hooked]) -> None:
    client = make()
    client.set_as_main()
    client.ok = client.close

    with suppress(ClientClosed):
        client.reload()

    with pytest.raises(ClientClosed):
        client.reload()


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("where", ["hook", "listener"])
def test_what_a_callback_raises_ends_nothing(
    canned: Canned,
    registry: Registry,
    make: Callable[..., Hooked],
    where: str,
    error: type[BaseException],
) -> None:
    setting = declare(registry)

    def fail(*_: object) -> None:
        raise error

    with make() as client:
        if where == "hook":
            client.ok = fail
        else:
            client.on_change(fail)
        for value in (7, 8):
            canned.rules.clear()
            canned.rule("n", 1, value, user="x")
            with suppress(ServiceError):
                client.reload()

            assert setting.get(user="x") == value
        assert client.status.started


def test_validator_that_ends_threads_ends_no_updates(
    canned: Canned, registry: Registry, make: Callable[..., Hooked]
) -> None:
    setting, raises = declare(registry), [True]

    @setting.add_validator
    def exit_sometimes(value: int, *_: object) -> int:
        if raises:
            raise SystemExit
        return value

    canned.add("n", 1)
    with pytest.raises(SystemExit):
        make().set_as_main()
    raises.clear()
    with make() as client:
        raises.append(True)
        canned.rule("n", 1, 7, user="x")
        with pytest.raises(ServiceError, match="ended by SystemExit"):
            client.reload()
        assert client.status.consecutive_failures == 1
        raises.clear()
        client.reload()

        assert setting.get(user="x") == 7


def test_threads_may_declare_read_reload_and_ask_at_once(
    canned: Canned, registry: Registry, make: Callable[..., Hooked]
) -> None:
    with make() as client:
        declared: list[Setting[int]] = []

        def work(worker: int) -> None:
            for turn in range(5):
                declared.append(declare(registry, f"s{worker}_{turn}"))
                client.ping()
                client.get_settings()
                client.reload()
                assert client.status.started

        workers = [in_thread(lambda worker=worker: work(worker)) for worker in range(8)]  # type: ignore[misc]
        for thread, raised in workers:
            thread.join(BOUND)
            assert not raised

        assert {one.name for one in declared} <= canned.settings.keys()


def test_life_of_a_client_leaves_no_thread_and_no_file(
    canned: Canned, registry: Registry, make: Callable[..., Hooked]
) -> None:
    before = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))

    for turn in range(3):
        declare(registry, f"s{turn}")
        with make() as client:
            client.reload()
            client.ping()
        canned.instead = [lambda _: httpx.ReadError("lost")]
        with pytest.raises(ServiceError), make():
            pass
        canned.instead = []

    assert (set(threading.enumerate()), len(os.listdir("/proc/self/fd"))) == before


def test_client_and_settings_are_collected_when_dropped(
    canned: Canned, make: Callable[..., Hooked]
) -> None:
    registry = Registry()
    setting = declare(registry)
    with make(registry=registry) as client:
        client.on_change(lambda _: None)
        client.reload()
    dead = [weakref.ref(one) for one in (setting, client, make())]

    del setting, client
    gc.collect()

    assert [one() for one in dead] == [None, None, None]


def test_setting_that_is_dropped_is_neither_declared_nor_queried_again(
    canned: Canned, registry: Registry, make: Callable[..., Hooked]
) -> None:
    kept, dropped = declare(registry), declare(registry, "dropped")
    with make() as client:
        del dropped
        gc.collect()
        canned.requests.clear()
        client.reload()

        assert canned.queries == [[kept.name]]
