"""What an unchanged refresh leaves alone, and all that makes a refresh look at settings again."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest

from clients.test_flows import answering, declare, known, reply
from heksher.clients.refreshing import RULE_SETS_IN_ONE_GO, let_go
from heksher.settings.setting import declaration_of
from heksher.settings.state import Snapshot

if TYPE_CHECKING:
    from clients.conftest import Conversation
    from heksher.clients.effects import Request
    from heksher.settings.setting import Setting


@pytest.fixture
def settled(talk: Conversation) -> list[Setting[int]]:
    """Two settings after their start, with a rule each."""
    settings = known(talk, "a", "b")
    talk.service.rule("a", 1, 5, user="x")
    talk.service.rule("b", 2, 6, user="x")
    talk.refresh(first=True)
    assert is_settled(talk)
    return settings


def is_settled(talk: Conversation) -> bool:
    return talk.session.settled_at(talk.registry.revision) is not None


def forbid_looking(talk: Conversation, monkeypatch: pytest.MonkeyPatch) -> None:
    def looked(*_: object) -> Any:
        pytest.fail("it looked at all settings")

    monkeypatch.setattr(type(talk.registry), "readable", looked)
    monkeypatch.setattr(type(talk.registry), "declared", looked)


@pytest.mark.usefixtures("settled")
def test_an_unchanged_refresh_looks_at_no_setting(
    talk: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = talk.registry.snapshot
    forbid_looking(talk, monkeypatch)

    refreshed = talk.refresh()

    assert [request.path for request in talk.last_requests] == [
        "/api/v1/context_features",
        "/api/v1/query",
    ]
    assert refreshed.snapshot.rule_sets is before.rule_sets
    assert refreshed.snapshot.taken_at > before.taken_at
    assert refreshed.standings is talk.session.standings


def test_an_unchanged_refresh_keeps_fillers(
    talk: Conversation, settled: list[Setting[int]]
) -> None:
    talk.registry.set_defaults({})
    with pytest.raises(LookupError):
        settled[0].get()
    filler = talk.registry.current_state()[declaration_of(settled[0]).place + 1]

    talk.refresh()

    assert filler is not None
    assert talk.registry.current_state()[declaration_of(settled[0]).place + 1] is filler


def test_a_refresh_after_a_change_replaces_that_setting_alone(
    talk: Conversation, settled: list[Setting[int]]
) -> None:
    before = dict(talk.registry.snapshot.rule_sets)
    talk.service.rules["a"] = [(1, [["user", "x"]], 7)]
    talk.service.generation += 1

    talk.refresh()

    assert (settled[0].get(user="x"), settled[1].get(user="x")) == (7, 6)
    assert talk.rule_set(settled[1]) is before[declaration_of(settled[1]).index]
    assert is_settled(talk)


def test_a_refresh_after_a_change_is_itself_followed_by_one_that_looks_at_nothing(
    talk: Conversation, settled: list[Setting[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    talk.service.rule("a", 3, 8, user="y")
    talk.refresh()
    forbid_looking(talk, monkeypatch)

    talk.refresh()

    assert settled[0].get(user="y") == 8


def test_a_new_validator_asks_for_its_setting_again(
    talk: Conversation, settled: list[Setting[int]]
) -> None:
    settled[0].add_validator(lambda value, _rule, _setting: value + 1)

    talk.refresh()

    assert settled[0].get(user="x") == 6


@pytest.mark.usefixtures("settled")
def test_a_new_setting_is_declared_and_queried(talk: Conversation) -> None:
    new = declare(talk, "new", 3)

    talk.refresh()

    assert talk.session.standings["new"].canonical_name == "new"
    assert declaration_of(new).index in talk.registry.snapshot.rule_sets


def test_a_setting_that_died_is_queried_no_longer(
    talk: Conversation, settled: list[Setting[int]]
) -> None:
    index = declaration_of(settled[0]).index
    talk.kept.clear()
    del settled[0]
    gc.collect()

    talk.refresh()

    assert talk.last_requests[-1].query == "settings=b"
    assert index not in talk.registry.snapshot.rule_sets
    assert talk.registry.current_state()[index] is None


def test_what_another_published_is_fetched_anew(
    talk: Conversation, settled: list[Setting[int]]
) -> None:
    talk.registry.publish(Snapshot())
    assert settled[0].get(user="x") == 1

    talk.refresh()

    assert settled[0].get(user="x") == 5


def test_a_tracked_context_asks_again(talk: Conversation, settled: list[Setting[int]]) -> None:
    talk.session.track({"user": "y"})

    talk.refresh()

    assert settled[0].get(user="x") == 1


def test_an_order_that_changed_reorders_though_no_query_has_news(talk: Conversation) -> None:
    talk.service.add("n", 1, configurable_features=["environment", "user"])
    setting = declare(talk, "n", 1, configurable_features=["environment", "user"])
    talk.service.rule("n", 1, 2, user="x")
    talk.service.rule("n", 2, 3, environment="e")
    talk.refresh(first=True)
    assert setting.get(user="x", environment="e") == 2

    talk.service.features.reverse()
    talk.refresh()

    assert setting.get(user="x", environment="e") == 3


def test_a_failed_query_leaves_what_is_settled(
    talk: Conversation, settled: list[Setting[int]]
) -> None:
    talk.service.instead.append(answering("query", reply(500)))
    talk.service.rules["a"] = [(1, [["user", "x"]], 9)]
    talk.service.generation += 1
    assert talk.refresh().errors

    talk.service.instead.clear()
    talk.refresh()

    assert settled[0].get(user="x") == 9


@pytest.mark.usefixtures("settled")
def test_a_name_that_the_service_no_longer_knows_settles_nothing(talk: Conversation) -> None:
    talk.service.rename("a", "c")

    talk.refresh()
    assert not is_settled(talk)
    talk.refresh()

    assert is_settled(talk)
    assert talk.last_requests[-1].query == "settings=c,b"


def test_a_fork_settles_nothing(talk: Conversation, settled: list[Setting[int]]) -> None:
    talk.session.start_afresh()

    assert not is_settled(talk)
    talk.refresh()
    assert settled[0].get(user="x") == 5


def test_rule_sets_are_let_go_with_pauses() -> None:
    rule_sets: list[Any] = [object()] * (2 * RULE_SETS_IN_ONE_GO + 1)

    pauses = [len(rule_sets) for _ in let_go(rule_sets)]

    assert pauses == [2 * RULE_SETS_IN_ONE_GO + 1, RULE_SETS_IN_ONE_GO + 1, 1]
    assert rule_sets == []


@pytest.mark.usefixtures("settled")
def test_values_are_as_old_as_the_question_not_as_the_last_answer(
    talk: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("heksher.clients.flows.monotonic", lambda: now[0])

    def slow(request: Request) -> None:
        now[0] += 10.0 if request.path == "/api/v1/query" else 0.0

    talk.service.instead.append(slow)

    refreshed = talk.refresh()

    assert refreshed.snapshot.taken_at == 1000.0
    assert now[0] == 1010.0
