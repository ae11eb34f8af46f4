"""What an unchanged refresh leaves alone, and all that makes a refresh ask for values again."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest

from clients.test_flows import answering, declare, known, reply
from heksher.clients.conversation.rule_compiler import RULE_SETS_IN_ONE_GO, let_go
from heksher.settings.reading.state import Snapshot
from heksher.settings.setting import declaration_of

if TYPE_CHECKING:
    from clients.conftest import Conversation
    from heksher.clients.conversation.effects import Request
    from heksher.settings.setting import Setting


@pytest.fixture
def fetched(talk: Conversation) -> list[Setting[int]]:
    """Two settings after their start, with a rule each."""
    settings = known(talk, "a", "b")
    talk.service.rule("a", 1, 5, user="x")
    talk.service.rule("b", 2, 6, user="x")
    talk.refresh(first=True)
    return settings


@pytest.mark.usefixtures("fetched")
def test_an_unchanged_refresh_asks_for_changes_alone_and_keeps_all_rules(
    talk: Conversation,
) -> None:
    before = talk.registry.snapshot

    refreshed = talk.refresh()

    assert [request.path for request in talk.last_requests] == [
        "/api/v1/context_features",
        "/api/v1/query",
    ]
    assert refreshed.snapshot.rule_sets is before.rule_sets
    assert refreshed.snapshot.taken_at > before.taken_at
    assert refreshed.standings is talk.session.standings


def test_an_unchanged_refresh_keeps_fillers(
    talk: Conversation, fetched: list[Setting[int]]
) -> None:
    talk.registry.set_defaults({})
    with pytest.raises(LookupError):
        fetched[0].get()
    filler = talk.registry.current_state()[declaration_of(fetched[0]).place + 1]

    talk.refresh()

    assert filler is not None
    assert talk.registry.current_state()[declaration_of(fetched[0]).place + 1] is filler


def test_a_refresh_after_a_change_replaces_that_setting_alone(
    talk: Conversation, fetched: list[Setting[int]]
) -> None:
    before = dict(talk.registry.snapshot.rule_sets)
    talk.service.rules["a"] = [(1, [["user", "x"]], 7)]
    talk.service.generation += 1

    talk.refresh()

    assert (fetched[0].get(user="x"), fetched[1].get(user="x")) == (7, 6)
    assert talk.rule_set(fetched[1]) is before[declaration_of(fetched[1]).index]


def test_a_new_validator_asks_for_its_setting_again(
    talk: Conversation, fetched: list[Setting[int]]
) -> None:
    fetched[0].add_validator(lambda value, _rule, _setting: value + 1)

    talk.refresh()

    assert fetched[0].get(user="x") == 6


@pytest.mark.usefixtures("fetched")
def test_a_new_setting_is_declared_and_queried(talk: Conversation) -> None:
    new = declare(talk, "new", 3)

    talk.refresh()

    assert talk.session.standings["new"].canonical_name == "new"
    assert declaration_of(new).index in talk.registry.snapshot.rule_sets


def test_a_setting_that_died_is_queried_no_longer(
    talk: Conversation, fetched: list[Setting[int]]
) -> None:
    index = declaration_of(fetched[0]).index
    talk.kept.clear()
    del fetched[0]
    gc.collect()

    talk.refresh()

    assert talk.last_requests[-1].query == "settings=b"
    assert index not in talk.registry.snapshot.rule_sets
    assert talk.registry.current_state()[index] is None


def test_what_another_published_is_fetched_anew(
    talk: Conversation, fetched: list[Setting[int]]
) -> None:
    talk.registry.publish(Snapshot())
    assert fetched[0].get(user="x") == 1

    talk.refresh()

    assert fetched[0].get(user="x") == 5


def test_a_tracked_context_asks_again(talk: Conversation, fetched: list[Setting[int]]) -> None:
    talk.session.track({"user": "y"})

    talk.refresh()

    assert fetched[0].get(user="x") == 1


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


def test_a_failed_query_is_made_up_for_by_the_next(
    talk: Conversation, fetched: list[Setting[int]]
) -> None:
    talk.service.instead.append(answering("query", reply(500)))
    talk.service.rules["a"] = [(1, [["user", "x"]], 9)]
    talk.service.generation += 1
    assert talk.refresh().errors

    talk.service.instead.clear()
    talk.refresh()

    assert fetched[0].get(user="x") == 9


@pytest.mark.usefixtures("fetched")
def test_a_setting_that_was_renamed_is_queried_by_its_new_name(talk: Conversation) -> None:
    talk.service.rename("a", "c")

    talk.refresh()
    talk.refresh()

    assert talk.last_requests[-1].query == "settings=c,b"


def test_a_forked_child_asks_for_all_values(
    talk: Conversation, fetched: list[Setting[int]]
) -> None:
    talk.session.start_afresh()

    talk.refresh()

    assert "If-None-Match" not in talk.last_requests[-1].headers
    assert fetched[0].get(user="x") == 5


def test_rule_sets_are_let_go_with_pauses() -> None:
    rule_sets: list[Any] = [object()] * (2 * RULE_SETS_IN_ONE_GO + 1)

    pauses = [len(rule_sets) for _ in let_go(rule_sets)]

    assert pauses == [2 * RULE_SETS_IN_ONE_GO + 1, RULE_SETS_IN_ONE_GO + 1, 1]
    assert rule_sets == []


@pytest.mark.usefixtures("fetched")
def test_values_are_as_old_as_the_question_not_as_the_last_answer(
    talk: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("heksher.clients.conversation.refresh.monotonic", lambda: now[0])

    def slow(request: Request) -> None:
        now[0] += 10.0 if request.path == "/api/v1/query" else 0.0

    talk.service.instead.append(slow)

    refreshed = talk.refresh()

    assert refreshed.snapshot.taken_at == 1000.0
    assert now[0] == 1010.0
