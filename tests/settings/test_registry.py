"""The registry: its main client, its published state, settings that come and go."""

from __future__ import annotations

import gc
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heksher import Setting
from heksher.exceptions import ClientStateError
from heksher.settings.context import default_source
from heksher.settings.reading.state import Snapshot
from heksher.settings.registry import Registry
from heksher.settings.rules.rule_set import Origin, RuleSet
from heksher.settings.setting import declaration_of

if TYPE_CHECKING:
    from contextvars import Context

    from conftest import Publish


class Client:
    """A client that is told of settings, and does nothing about it."""

    def setting_declared(self) -> None: ...

    def setting_outdated(self, setting: Any) -> None: ...


def test_second_main_client_is_an_error_until_the_first_is_released(registry: Registry) -> None:
    first, second = Client(), Client()
    registry.claim(first)
    registry.claim(first)

    with pytest.raises(ClientStateError, match="close it before"):
        registry.claim(second)
    registry.release(second)
    assert registry.main is first

    registry.release(first)
    registry.claim(second)
    assert registry.main is second


def test_client_that_nobody_holds_is_main_no_more(registry: Registry) -> None:
    registry.claim(Client())
    gc.collect()

    assert registry.main is None
    registry.claim(Client())


def test_values_and_defaults_outlive_their_client(registry: Registry, publish: Publish) -> None:
    setting = Setting("a", int, ["user"], 1, registry=registry)
    client = Client()
    registry.claim(client)
    publish(setting, [(1, [["user", "x"]], 2)])

    registry.release(client)

    assert setting.get(user="x") == 2


def test_state_of_dropped_settings_does_not_hold_them(registry: Registry, publish: Publish) -> None:
    kept = Setting("kept", int, ["user"], 1, registry=registry)
    dropped = Setting("dropped", int, ["user"], 1, registry=registry)
    publish(dropped, [(1, [["user", "x"]], 2)])
    del dropped

    publish(kept, default=3)

    assert [one.setting for one in registry.declared()] == [kept]
    assert kept.get(user="x") == 3


def test_revision_is_another_after_all_that_concerns_a_client(registry: Registry) -> None:
    revisions = [registry.revision]
    setting = Setting("a", int, ["user"], 1, registry=registry)
    revisions.append(registry.revision)
    setting.add_validator(lambda value, _rule, _setting: value)
    revisions.append(registry.revision)
    del setting
    revisions.append(registry.revision)

    assert len(set(revisions)) == len(revisions)


def test_publishing_one_rule_set_leaves_all_else_in_place(registry: Registry) -> None:
    changed = Setting("changed", int, ["user"], 1, registry=registry)
    other = Setting("other", int, ["user"], 2, registry=registry)
    settings = (changed, other)
    registry.publish(
        Snapshot(
            rule_sets={
                declaration_of(one).index: declaration_of(one).declared_rules for one in settings
            }
        )
    )
    registry.set_defaults({"user": default_source("user", "john")})
    assert (changed.get(), other.get()) == (1, 2)
    pinned = registry.current_state()
    filler = pinned[declaration_of(other).place + 1]

    rule_sets = dict(registry.snapshot.rule_sets)
    rule_sets[declaration_of(changed).index] = RuleSet(("user",), (), 7, Origin.SERVICE_DEFAULT)
    registry.publish(Snapshot(rule_sets=rule_sets))

    assert (changed.get(), other.get()) == (7, 2)
    assert registry.current_state()[declaration_of(other).place + 1] is filler
    assert pinned[declaration_of(changed).place + 2] == 1


def test_publishing_without_a_rule_set_reads_the_declared_default_again(
    registry: Registry,
) -> None:
    setting = Setting("a", int, ["user"], 1, registry=registry)
    rule_set = RuleSet(("user",), (), 7, Origin.SERVICE_DEFAULT)
    registry.publish(Snapshot(rule_sets={declaration_of(setting).index: rule_set}))
    assert setting.get(user="x") == 7

    registry.publish(Snapshot())

    assert setting.get(user="x") == 1


def test_short_lived_settings_leave_no_room_behind(registry: Registry, publish: Publish) -> None:
    kept = Setting("kept", int, ["user"], 1, registry=registry)
    for number in range(1_000):
        setting = Setting(f"a{number}", int, ["user"], number, registry=registry)
        assert setting.get(user="x") == number
    many = [Setting(f"b{number}", int, ["user"], 1, registry=registry) for number in range(1_000)]
    longest = len(registry.current_state())
    del many, setting

    publish(kept, default=2)

    assert longest <= 3_100
    assert len(registry.current_state()) <= 10


def test_setting_in_the_place_of_a_dropped_one_reads_its_own_values(
    registry: Registry, publish: Publish
) -> None:
    dropped = Setting("dropped", int, ["user"], 1, registry=registry)
    publish(dropped, [(1, [["user", "x"]], 10)], default=11)
    with registry.pinned(), dropped.override(12):
        publish(dropped, default=13)
        del dropped
        late = Setting("late", int, ["user"], 2, registry=registry)

        assert (late.get(user="x"), late.explain(user="x").value) == (2, 2)
        publish(late, default=3)
        assert late.get(user="x") == 2

    new = Setting("new", int, ["user"], 4, registry=registry)
    assert (late.get(user="x"), new.get(user="x")) == (3, 4)


@given(st.lists(st.sampled_from(["declare", "drop", "publish", "pin", "unpin"]), max_size=60))
def test_settings_that_come_and_go_never_read_each_others_values(steps: list[str]) -> None:
    registry = Registry()
    living: dict[int, Setting[int, ...]] = {}
    pins: list[tuple[Context, frozenset[int]]] = []
    for number, step in enumerate(steps):
        if step == "declare":
            living[number] = Setting(f"a{number}", int, ["user"], number, registry=registry)
        elif step == "drop" and living:
            del living[min(living)]
        elif step == "publish":
            registry.publish(
                Snapshot(
                    rule_sets={
                        declaration_of(one).index: RuleSet(
                            ("user",), (), key + 1_000, Origin.SERVICE_DEFAULT
                        )
                        for key, one in living.items()
                    }
                )
            )
        elif step == "pin":
            context = copy_context()
            context.run(registry.pinned().__enter__)
            pins.append((context, frozenset(living)))
        elif pins:
            pins.pop(0)
        for key, setting in living.items():
            assert setting.get(user="x") % 1_000 == key
            for context, known in pins:
                found = context.run(setting.get, user="x")
                assert found % 1_000 == key
                assert key in known or found == key
