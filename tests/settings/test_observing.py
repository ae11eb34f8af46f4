"""`observe_reads`: who reads what, told without being in the way of a read."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

from heksher import (
    MissingContextFeature,
    Read,
    Setting,
    SettingsModel,
    UsageError,
    bind_context,
    observe_reads,
)
from heksher.settings.context import default_source
from heksher.settings.rules.rule_set import Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Publish

    from heksher.settings.registry import Registry


@pytest.fixture
def setting(registry: Registry) -> Setting[int, ...]:
    return Setting("a", int, ["user"], 1, registry=registry)


@pytest.fixture
def seen(registry: Registry) -> Iterator[list[Read[Any]]]:
    seen: list[Read[Any]] = []
    stop = observe_reads(seen.append, registry=registry)
    yield seen
    stop()


def test_observer_is_told_setting_value_and_reasons(
    seen: list[Read[Any]], setting: Setting[int, ...], publish: Publish
) -> None:
    publish(setting, [(7, [["user", "john"]], 10)])

    assert setting.get(user="john") == 10

    (read,) = seen
    assert (read.setting, read.value) == (setting, 10)
    assert (read.resolution.setting_name, read.resolution.rule_id) == ("a", 7)
    assert "10" not in repr(read)


def test_resolution_is_of_the_state_that_was_read(
    seen: list[Read[Any]], setting: Setting[int, ...], publish: Publish
) -> None:
    publish(setting, [(7, [["user", "john"]], 10)])
    setting.get(user="john")

    publish(setting, [(8, [["user", "john"]], 20)])

    assert (seen[0].resolution.value, seen[0].resolution.rule_id) == (10, 7)


def test_every_way_of_reading_is_observed(
    seen: list[Read[Any]], setting: Setting[int, ...], registry: Registry
) -> None:
    class Config:
        a = setting

    class Model(SettingsModel, prefix="m", context=["user"], registry=registry):
        b: int = 1
        c: int = 1

    read = setting.get
    registry.set_defaults({"user": default_source("user", "x")})
    with registry.pinned():
        late = Setting("late", int, ["user"], 1, registry=registry)
        assert (read(user="x"), setting.get(), Config().a, late.get()) == (1, 1, 1, 1)
    with setting.override(5):
        assert (setting.get(), setting.explain().origin) == (5, Origin.OVERRIDE)
    thread = threading.Thread(target=setting.get)
    thread.start()
    thread.join()
    assert Model.get(user="x") is Model.current

    names = [one.setting.name for one in seen]
    assert names == ["a", "a", "a", "late", "a", "a", "a", "m.b", "m.c", "m.b", "m.c"]


def test_read_that_fails_is_not_observed(seen: list[Read[Any]], setting: Setting[int, ...]) -> None:
    with pytest.raises(MissingContextFeature) as caught:
        setting.get()
    with pytest.raises(TypeError):
        setting.get(usr="x")

    assert (seen, caught.value.__context__) == ([], None)


def test_default_functions_are_called_once_for_a_read(
    seen: list[Read[Any]], setting: Setting[int, ...], registry: Registry
) -> None:
    calls: list[int] = []

    def user() -> str:
        calls.append(1)
        return "x"

    registry.set_defaults({"user": default_source("user", user)})

    setting.get()
    assert seen[0].resolution.value == 1

    assert calls == [1]


def test_observers_nest_and_are_removed_in_any_order(
    setting: Setting[int, ...], registry: Registry
) -> None:
    told: list[str] = []
    first = observe_reads(lambda _read: told.append("first"), registry=registry)
    second = observe_reads(lambda _read: told.append("second"), registry=registry)

    setting.get(user="x")
    first()
    first()
    setting.get(user="x")
    second()
    setting.get(user="x")

    assert told == ["first", "second", "second"]


def test_reads_of_an_observer_are_not_observed(
    setting: Setting[int, ...], registry: Registry
) -> None:
    told: list[int] = []

    def observe(read: Read[Any]) -> None:
        told.append(setting.get(user="y") + read.value)

    stop = observe_reads(observe, registry=registry)
    setting.get(user="x")
    stop()

    assert told == [2]


def test_observer_that_raises_harms_no_read_and_is_logged_once(
    setting: Setting[int, ...], registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(read: Read[Any]) -> None:
        raise ValueError(read.value)

    told: list[Read[Any]] = []
    stops = [observe_reads(one, registry=registry) for one in (fail, told.append)]

    with caplog.at_level(logging.ERROR, "heksher"):
        assert [setting.get(user="x") for _ in range(3)] == [1, 1, 1]
    for stop in stops:
        stop()

    assert len(told) == 3
    (record,) = caplog.records
    assert "observer of reads raised ValueError" in record.getMessage()
    assert record.exc_info is None


@pytest.mark.parametrize(
    "inside", [lambda setting: bind_context(), lambda setting: setting.override(2)]
)
def test_observing_leaves_values_as_they_are(
    inside: Callable[[Any], Any], setting: Setting[int, ...], registry: Registry
) -> None:
    with inside(setting):
        before = setting.get(user="x")
        stop = observe_reads(lambda _read: None, registry=registry)
        during = setting.get(user="x")
        stop()
        assert before == during == setting.get(user="x")


def test_observer_has_to_be_callable() -> None:
    wrong: Any = 5
    with pytest.raises(UsageError, match="must be a function, not int"):
        observe_reads(wrong)
