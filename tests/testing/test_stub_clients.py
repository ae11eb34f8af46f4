"""Stub clients: what a test says is what settings read, until it is put back."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal

import pytest

from heksher import (
    ClientStateError,
    InvalidClient,
    InvalidContext,
    InvalidValue,
    Setting,
    UnknownSetting,
    bind_context,
)
from heksher.clients.stub import AsyncStubHeksherClient, Rule, SyncStubHeksherClient
from heksher.settings.reading.state import Snapshot, Source
from heksher.settings.rules.rule_set import Origin
from heksher.settings.types.read_only import FrozenList
from heksher.testing import StubHeksherClient

if TYPE_CHECKING:
    from conftest import Publish

    from heksher.settings.registry import Registry


@pytest.fixture
def ttl(registry: Registry) -> Setting[int, ...]:
    return Setting("ttl", int, ["environment", "user"], 60, registry=registry)


@pytest.fixture
def hosts(registry: Registry) -> Setting[list[str], ...]:
    return Setting[list[str]](
        "hosts", configurable_features=["user"], default_value=["a"], registry=registry
    )


@pytest.fixture
def stub(registry: Registry) -> StubHeksherClient:
    return StubHeksherClient(registry=registry)


def read(setting: Setting[Any, ...], user: str | None = "x") -> Any:
    features = dict.fromkeys(setting.configurable_features)
    return setting.get(**{**features, "user": user})


def main_of(registry: Registry) -> object:
    return registry.main


def test_one_value_is_read_in_every_context(
    stub: StubHeksherClient, ttl: Setting[int, ...]
) -> None:
    stub[ttl].rules = 5

    assert read(ttl) == read(ttl, None) == 5
    with bind_context(environment="e", user="u"):
        assert ttl.get() == 5


def test_rules_apply_by_precedence_and_else_the_declared_default(
    stub: StubHeksherClient, ttl: Setting[int, ...]
) -> None:
    stub[ttl].rules = [
        Rule({"environment": "prod"}, 1),
        Rule({"user": "john"}, 2),
        Rule({"environment": "prod", "user": "john"}, 3),
    ]

    assert ttl.get(environment="prod", user="mary") == 1
    assert ttl.get(environment="test", user="john") == 2
    assert ttl.get(environment="prod", user="john") == 3
    assert ttl.get(environment="test", user="mary") == 60


def test_order_of_features_is_that_of_the_service_where_there_was_one(
    registry: Registry, stub: StubHeksherClient, ttl: Setting[int, ...]
) -> None:
    registry.publish(Snapshot(feature_order=("user", "environment")))

    stub[ttl].rules = [Rule({"environment": "prod"}, 1), Rule({"user": "john"}, 2)]

    assert ttl.get(environment="prod", user="john") == 1


def test_setting_may_be_given_by_name(stub: StubHeksherClient, ttl: Setting[int, ...]) -> None:
    stub["ttl"].rules = 5

    assert read(ttl) == 5
    assert stub["ttl"].setting is ttl
    with pytest.raises(UnknownSetting, match="import the module that declares it"):
        stub["tll"]


def test_setting_of_another_registry_is_an_error(ttl: Setting[int, ...]) -> None:
    with pytest.raises(UnknownSetting, match="belongs to another registry"):
        StubHeksherClient()[ttl]


def test_stubbed_value_is_read_only_as_real_ones(
    stub: StubHeksherClient, hosts: Setting[list[str], ...]
) -> None:
    given = ["b"]
    stub[hosts].rules = given
    given.append("c")

    assert read(hosts) == ["b"]
    assert type(read(hosts)) is FrozenList
    stub[hosts].rules = [Rule({"user": "x"}, ["d"])]
    assert (read(hosts), read(hosts, "y")) == (["d"], ["a"])
    stub[hosts].rules = []
    assert read(hosts) == []


@pytest.mark.parametrize(
    ("rules", "error"),
    [
        ("off", r"stub value of setting 'ttl' must be an int, not str: give what its"),
        (True, "must be an int"),
        (None, "must be an int"),
        ([], "must be an int, not list: .*list"),
        ([Rule({"user": "x"}, "5")], "must be an int"),
        ([Rule({"user": "x"}, 5), 6], r"hold an int: give either instances of Rule, or one value"),
        ([Rule({"usr": "x"}, 5)], r"condition on 'usr': it is configurable by"),
        (
            [Rule({"user": 5}, 5)],  # type: ignore[dict-item]  # the checker sees it, too
            "condition on 'user' with a int: give a str",
        ),
        (
            [Rule("user", 5)],  # type: ignore[arg-type]  # the checker sees it, too
            "conditions of a rule of setting 'ttl' are str: give a dict",
        ),
        ([Rule({"user": "x"}, 5), Rule({"user": "x"}, 6)], "two rules .* have the conditions"),
    ],
)
def test_wrong_stub_raises_where_it_is_set_and_changes_nothing(
    rules: Any, error: str, stub: StubHeksherClient, ttl: Setting[int, ...], registry: Registry
) -> None:
    stub[ttl].rules = 5
    before = registry.snapshot

    with pytest.raises(InvalidValue, match=error):
        stub[ttl].rules = rules

    assert registry.snapshot is before
    assert read(ttl) == 5


def test_validators_see_stub_values(stub: StubHeksherClient, ttl: Setting[int, ...]) -> None:
    @ttl.add_validator
    def even(value: int, rule: Any, setting: Any) -> int:
        if value % 2:
            raise ValueError
        return value + 2

    stub[ttl].rules = 4
    assert read(ttl) == 6
    with pytest.raises(InvalidValue, match=r"'ttl' is rejected: validator even raised ValueError"):
        stub[ttl].rules = 5


def test_explanation_says_that_the_value_is_a_stub(
    stub: StubHeksherClient, ttl: Setting[int, ...]
) -> None:
    stub[ttl].rules = [Rule({"user": "x"}, 5)]

    why = ttl.explain(environment=None, user="x")

    assert (why.value, why.origin, why.source) == (5, Origin.RULE, Source.STUB)
    assert why.conditions == (("user", "x"),)


def test_monkeypatch_sets_and_restores(
    stub: StubHeksherClient, ttl: Setting[int, ...], registry: Registry, publish: Publish
) -> None:
    publish(ttl, [(7, [["user", "x"]], 10)])
    before = dict(registry.snapshot.rule_sets)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stub[ttl], "rules", 5)
        assert read(ttl) == 5
        patch.setattr(stub[ttl], "rules", [Rule({"user": "x"}, 6)])
        assert read(ttl) == 6

    assert read(ttl) == 10
    assert registry.snapshot.rule_sets == before
    assert registry.snapshot.source is Source.SERVICE


def test_patch_nests_and_ends_with_its_block(
    stub: StubHeksherClient, ttl: Setting[int, ...], registry: Registry
) -> None:
    with stub.patch(ttl, 5):
        with suppress(ZeroDivisionError), stub.patch(ttl, [Rule({"user": "x"}, 6)]):
            assert (read(ttl), read(ttl, "y")) == (6, 60)
            raise ZeroDivisionError
        assert read(ttl) == 5

    assert read(ttl) == 60
    assert not registry.snapshot.rule_sets
    assert registry.snapshot.source is Source.DECLARED_DEFAULTS


def test_patches_may_end_in_any_order(
    stub: StubHeksherClient,
    ttl: Setting[int, ...],
    hosts: Setting[list[str], ...],
    registry: Registry,
) -> None:
    first, second = stub.patch(ttl, 5), stub.patch(hosts, ["b"])

    first.__exit__(None, None, None)
    assert (read(ttl), read(hosts)) == (60, ["b"])
    assert registry.snapshot.source == "stub"
    second.__exit__(None, None, None)

    assert not registry.snapshot.rule_sets
    assert registry.snapshot.source == "declared defaults"


def test_restoring_leaves_nothing_behind(
    stub: StubHeksherClient,
    ttl: Setting[int, ...],
    hosts: Setting[list[str], ...],
    registry: Registry,
    publish: Publish,
) -> None:
    publish(ttl, [(7, [["user", "x"]], 10)])
    before, defaults = registry.snapshot, dict(registry.defaults)
    stub[ttl].rules = 5
    stub[hosts].rules = ["b"]
    stub.set_defaults(environment="e", user=ContextVar("user"))
    stub.set_defaults(user=lambda: "x")
    assert hosts.get() == ["b"]

    stub.restore()
    stub.restore()

    assert registry.snapshot == before
    assert registry.defaults == defaults
    assert (read(ttl), read(hosts)) == (10, ["a"])


def test_restoring_keeps_what_a_client_has_published_since(
    stub: StubHeksherClient, ttl: Setting[int, ...], publish: Publish
) -> None:
    stub[ttl].rules = 5
    publish(ttl, default=7)

    stub.restore()

    assert read(ttl) == 7


def test_other_threads_read_stubs_too(stub: StubHeksherClient, ttl: Setting[int, ...]) -> None:
    stub[ttl].rules = 5
    seen: list[int] = []

    thread = threading.Thread(target=lambda: seen.append(read(ttl)))
    thread.start()
    thread.join()

    assert seen == [5]


def test_listeners_hear_of_stubs_that_change_something(
    stub: StubHeksherClient, ttl: Setting[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Any] = []
    ttl.on_change(lambda setting: heard.append(setting.get(environment=None, user="x")))
    ttl.on_change(lambda setting: 1 / 0)
    remove = stub.on_change(lambda changed: heard.append(changed))

    stub[ttl].rules = [Rule({"user": "x"}, 5)]
    stub[ttl].rules = [Rule({"user": "x"}, 5)]
    remove()
    stub.restore()

    assert heard == [5, frozenset({ttl})]
    assert [one.levelno for one in caplog.records] == [logging.ERROR]
    with pytest.raises(InvalidClient, match="expected a callable as listener, got int"):
        stub.on_change(5)  # type: ignore[arg-type]  # the checker sees it, too


def test_wrong_default_is_an_error(stub: StubHeksherClient) -> None:
    with pytest.raises(InvalidContext, match="'user' is int"):
        stub.set_defaults(user=5)  # type: ignore[arg-type]  # the checker sees it, too


def test_synchronous_stub_stands_for_a_client(registry: Registry, ttl: Setting[int, ...]) -> None:
    other = SyncStubHeksherClient(registry=registry)
    with SyncStubHeksherClient(
        "http://heksher", 60, ["user"], declare=False, registry=registry
    ) as client:
        client[ttl].rules = 5
        client.track_contexts(user="x")
        client.reload()
        client.ping()
        client.add_settings([ttl])
        assert main_of(registry) is not None
        with pytest.raises(ClientStateError):
            other.set_as_main()
        assert read(ttl) == 5

    assert main_of(registry) is None
    assert read(ttl) == 60
    client.reload.assert_called_once_with()
    other.set_as_main()
    other.close()
    assert registry.main is None


async def test_asynchronous_stub_stands_for_a_client(
    registry: Registry, ttl: Setting[int, ...]
) -> None:
    async with AsyncStubHeksherClient(registry=registry) as client:
        client[ttl].rules = 5
        await client.reload()
        await client.ping()
        assert main_of(registry) is not None
        late = Setting[Literal["a"]](
            "late", configurable_features=["user"], default_value="a", registry=registry
        )
        late.add_validator(lambda value, rule, setting: value)
        assert (read(ttl), read(late)) == (5, "a")

    assert main_of(registry) is None
    assert read(ttl) == 60
    client.reload.assert_awaited_once_with()
    await client.aclose()
    client.aclose.assert_awaited_once_with()


def test_stub_shows_what_it_is(stub: StubHeksherClient, ttl: Setting[int, ...]) -> None:
    assert repr(stub[ttl]) == "<stub of <Setting 'ttl': int>>"
    assert "60" not in repr(stub[ttl].rules)
    assert repr(Rule({"user": "x"}, "secret")) == "Rule(match_conditions={'user': 'x'})"
