"""The conversation with the service, driven by hand: no I/O, no waiting, every answer chosen."""

from __future__ import annotations

import copy
import gc
from time import perf_counter
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from heksher import InvalidContext, ServiceStatusError, ServiceUnavailable, UnexpectedResponse
from heksher.clients.conversation.effects import AT_ONCE, Request, Send
from heksher.clients.conversation.query import COMPILED_IN_ONE_GO, MAX_HALVINGS
from heksher.clients.conversation.refresh import ping, refresh
from heksher.clients.listeners import settings_of
from heksher.settings.setting import Setting

if TYPE_CHECKING:
    from collections.abc import Callable

    from clients.conftest import Canned, Conversation
    from heksher.clients.conversation.effects import Answer


def declare(talk: Conversation, name: str = "n", default: int = 1, **options: Any) -> Setting[int]:
    """Declare a setting that lives as long as the conversation."""
    arguments = {"configurable_features": ["user"], "registry": talk.registry, **options}
    setting = Setting[int](name, default_value=default, **arguments)
    talk.kept.append(setting)
    return setting


def known(talk: Conversation, *names: str, default: int = 1) -> list[Setting[int]]:
    """Declare settings that the service has already."""
    for name in names:
        talk.service.add(name, default)
    return [declare(talk, name, default) for name in names]


def many(count: int) -> list[str]:
    return [f"setting.number_{place:04}" for place in range(count)]


def answering(path: str, answer: Answer) -> Callable[[Request], Answer | None]:
    return lambda request: answer if request.path == f"/api/v1/{path}" else None


def reply(status: int, **content: Any) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("GET", "http://x"), **content)


def test_start_takes_two_requests_and_the_batches(talk: Conversation) -> None:
    settings = known(talk, *many(250))

    talk.refresh(first=True)

    assert len(talk.last_requests) == 2 + 3
    assert settings[0].get(user="x") == 1


def test_start_without_settings_asks_for_the_features_only(talk: Conversation) -> None:
    talk.refresh(first=True)

    assert [request.path for request in talk.last_requests] == ["/api/v1/context_features"]


def test_refresh_after_the_start_does_not_list_again(talk: Conversation) -> None:
    known(talk, "a")
    talk.refresh(first=True)

    talk.refresh()

    paths = [request.path for request in talk.last_requests]
    assert paths == ["/api/v1/context_features", "/api/v1/query"]


def test_at_most_four_requests_are_sent_at_once(talk: Conversation) -> None:
    settings = [declare(talk, name) for name in many(300)]

    talk.refresh(first=True)

    assert max(talk.sends) == AT_ONCE == 4
    assert len(talk.service.settings) == len(settings)


def test_url_of_a_batch_stays_below_6_kb(talk: Conversation) -> None:
    settings = known(talk, *[f"{name}.{'x' * 100}" for name in many(120)])
    talk.session.track({"user": [f"value{place}" for place in range(1000)]})

    talk.refresh(first=True)

    queries = [one.query for one in talk.last_requests if one.path == "/api/v1/query"]
    assert max(map(len, queries)) < 6_000
    assert sum(query.count("setting.number_") for query in queries) == len(settings)


def test_name_of_6_kb_has_a_query_of_its_own(talk: Conversation) -> None:
    name = "x" * 6_000
    talk.service.rule(name, 1, 9, user="u")
    (*_, long) = known(talk, "a", name)

    talk.refresh(first=True)

    assert long.get(user="u") == 9
    assert len(talk.last_requests) == 4


def test_second_refresh_sends_the_etag_of_each_batch(talk: Conversation) -> None:
    known(talk, *many(150))
    talk.refresh(first=True)

    talk.refresh()

    queries = [one for one in talk.last_requests if one.path == "/api/v1/query"]
    assert [one.headers for one in queries] == [{"If-None-Match": '"1"'}] * 2


def test_304_leaves_the_rule_sets_as_they_are(talk: Conversation) -> None:
    (setting,) = known(talk, "a")
    talk.refresh(first=True)
    before = talk.rule_set(setting)

    refreshed = talk.refresh()

    assert talk.rule_set(setting) is before
    assert refreshed.changed == frozenset()
    assert list(refreshed.etags.values()) == ['"1"']


def test_others_run_while_a_batch_is_compiled(talk: Conversation) -> None:
    def slow(value: int, *_: object) -> int:
        until = perf_counter() + 2 * COMPILED_IN_ONE_GO
        while perf_counter() < until:
            pass
        return value

    settings = known(talk, *many(10))
    talk.refresh(first=True)
    before = talk.breaths
    for setting in settings:
        setting.add_validator(slow)

    talk.refresh()

    assert talk.breaths - before >= len(settings) - 1


def test_changed_batch_alone_is_compiled_again(talk: Conversation) -> None:
    settings = known(talk, *many(150))
    talk.refresh(first=True)
    before = talk.rule_set(settings[-1])
    talk.service.rule(settings[0].name, 1, 9, user="u")
    talk.service.instead.append(
        lambda request: reply(304) if settings[-1].name in request.query else None
    )

    refreshed = talk.refresh()

    assert settings_of(refreshed.changed) == {settings[0]}
    assert talk.rule_set(settings[-1]) is before


def test_304_that_was_never_asked_for_is_an_error(talk: Conversation) -> None:
    known(talk, "a")
    talk.service.instead.append(answering("query", reply(304)))

    with pytest.raises(UnexpectedResponse, match="not conditional"):
        talk.refresh(first=True)
    assert talk.session.etags == {}


@pytest.mark.parametrize("etag", ["", "\u00e9", '"' + "x" * 5_000 + '"', '"a b"'])
def test_etag_that_cannot_be_sent_back_is_not_kept(talk: Conversation, etag: str) -> None:
    (setting,) = known(talk, "a")
    body = {"settings": {"a": {"default_value": 1, "rules": []}}}
    headers = {b"etag": etag.encode()}
    talk.service.instead.append(answering("query", reply(200, json=body, headers=headers)))

    talk.refresh(first=True)

    assert talk.session.etags == {}
    assert setting.get(user="u") == 1


def test_one_unknown_name_harms_no_other_and_is_declared_again(talk: Conversation) -> None:
    first, second = known(talk, "a", "b")
    talk.refresh(first=True)
    del talk.service.settings["a"]
    talk.service.rule("b", 1, 9, user="u")

    refreshed = talk.refresh()

    assert refreshed.errors == ()
    assert (first.get(user="u"), second.get(user="u")) == (1, 9)
    assert "a" in talk.service.settings


def test_only_setting_is_declared_again_without_an_error(talk: Conversation) -> None:
    (setting,) = known(talk, "a")
    talk.refresh(first=True)
    talk.service.settings.clear()

    refreshed = talk.refresh()

    assert refreshed.errors == ()
    assert talk.service.settings.keys() == {"a"}
    assert setting.get(user="u") == 1


def test_empty_service_gets_all_settings_again(talk: Conversation) -> None:
    settings = known(talk, *many(120))
    talk.refresh(first=True)
    talk.service.settings.clear()

    assert talk.refresh().errors == ()
    assert len(talk.service.settings) == len(settings)


def test_deleted_setting_that_is_refused_now_keeps_its_last_values(talk: Conversation) -> None:
    talk.service.rule("a", 1, 9, user="u")
    first, second = known(talk, "a", "b")
    talk.refresh(first=True)
    del talk.service.settings["a"]
    talk.service.instead.append(answering("settings/declare", reply(422)))

    refreshed = talk.refresh()

    assert (first.get(user="u"), second.get(user="u")) == (9, 1)
    assert refreshed.standings["a"].refusal is not None


@pytest.mark.parametrize("lying", [1, 3])
def test_names_that_only_the_query_does_not_know_are_isolated(
    talk: Conversation, lying: int
) -> None:
    settings = known(talk, *many(100))
    talk.refresh(first=True)
    hidden = {one.name for one in settings[:lying]}
    talk.service.rule(settings[-1].name, 1, 9, user="u")
    talk.service.instead.append(
        lambda request: reply(404) if any(name in request.query for name in hidden) else None
    )

    refreshed = talk.refresh()

    assert len(refreshed.errors) == lying
    assert settings[-1].get(user="u") == 9
    assert settings[0].get(user="u") == 1


def test_service_that_knows_no_name_is_not_asked_for_each(talk: Conversation) -> None:
    settings = known(talk, *many(1_000))
    talk.refresh(first=True)
    talk.service.instead.append(answering("query", reply(404, text="<html>")))

    refreshed = talk.refresh()

    assert len(talk.last_requests) < 10 + 2 * MAX_HALVINGS + 8
    assert all(isinstance(error, UnexpectedResponse) for error in refreshed.errors)
    assert settings[0].get(user="u") == 1


def test_service_that_forgets_what_it_was_told_is_not_told_for_ever(talk: Conversation) -> None:
    (setting,) = known(talk, "a")
    talk.refresh(first=True)
    talk.service.settings.clear()
    created = reply(200, json={"outcome": "created"})
    talk.service.instead.append(answering("settings/declare", created))

    refreshed = talk.refresh()

    assert len(refreshed.errors) == 1
    assert len([one for one in talk.last_requests if one.json]) <= 3
    assert setting.get(user="u") == 1


def test_setting_renamed_while_running_is_followed(talk: Conversation) -> None:
    first, second = known(talk, "a", "b")
    talk.refresh(first=True)
    talk.service.rename("a", "renamed")
    talk.service.rule("renamed", 1, 9, user="u")

    refreshed = talk.refresh()

    assert (refreshed.errors, first.get(user="u"), second.get(user="u")) == ((), 9, 1)
    assert refreshed.standings["a"].canonical_name == "renamed"


def test_renamed_setting_costs_one_query_from_then_on(talk: Conversation) -> None:
    known(talk, "a", "b")
    talk.refresh(first=True)
    talk.service.rename("a", "renamed")
    talk.refresh()

    talk.refresh()
    talk.refresh()

    assert [one.query for one in talk.last_requests][1:] == ["settings=renamed,b"]
    assert talk.last_requests[1].headers


def test_answer_that_lacks_a_name_keeps_its_values_and_no_etag(talk: Conversation) -> None:
    talk.service.rule("a", 1, 9, user="u")
    first, second = known(talk, "a", "b")
    talk.refresh(first=True)
    talk.service.generation += 1
    talk.service.rule("b", 2, 8, user="u")
    body = {"settings": {"b": talk.service.queried("b")}}
    talk.service.instead.append(answering("query", reply(200, json=body, headers={"etag": '"z"'})))

    refreshed = talk.refresh()

    assert "lacks setting 'a'" in str(refreshed.errors[0])
    assert (first.get(user="u"), second.get(user="u")) == (9, 8)
    assert refreshed.etags == {}


def test_query_string_that_was_cut_to_nothing_is_noticed(talk: Conversation) -> None:
    known(talk, "a", "b")
    empty = reply(200, json={"settings": {}}, headers={"etag": '"z"'})
    talk.service.instead.append(answering("query", empty))

    with pytest.raises(UnexpectedResponse, match="lacks setting"):
        talk.refresh(first=True)


def test_one_malformed_setting_in_an_answer_harms_no_other(talk: Conversation) -> None:
    talk.service.rule("a", 1, 9, user="u")
    first, second = known(talk, "a", "b")
    talk.refresh(first=True)
    talk.service.rule("b", 2, 8, user="u")
    bodies = {
        "a": {"default_value": 1, "rules": [{"rule_id": "x"}]},
        "b": talk.service.queried("b"),
    }
    broken = reply(200, json={"settings": bodies}, headers={"etag": '"z"'})
    talk.service.instead.append(answering("query", broken))

    refreshed = talk.refresh()

    assert "setting 'a'" in str(refreshed.errors[0])
    assert (first.get(user="u"), second.get(user="u")) == (9, 8)
    assert refreshed.etags == {}


def test_order_of_features_counts_even_with_304_everywhere(talk: Conversation) -> None:
    both = ["environment", "user"]
    talk.service.add("a", 1, configurable_features=both)
    talk.service.rule("a", 1, 10, user="u")
    talk.service.rule("a", 2, 20, environment="e")
    setting = declare(talk, "a", configurable_features=both)
    talk.refresh(first=True)
    before = setting.get(user="u", environment="e")
    talk.service.features.reverse()

    refreshed = talk.refresh()

    assert (before, setting.get(user="u", environment="e")) == (10, 20)
    assert settings_of(refreshed.changed) == {setting}
    assert talk.last_requests[1].headers == {"If-None-Match": '"3"'}


@pytest.mark.parametrize("path", ["context_features", "settings", "query"])
@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        (reply(500), ServiceStatusError),
        (reply(503), ServiceStatusError),
        (httpx.ConnectError("refused"), ServiceUnavailable),
    ],
    ids=["500", "503", "refused"],
)
def test_first_failure_ends_the_start_whatever_was_asked_for(
    talk: Conversation, path: str, answer: Answer, raised: type[Exception]
) -> None:
    known(talk, "a")
    talk.service.instead.append(answering(path, answer))

    with pytest.raises(raised, match=f"GET /api/v1/{path} "):
        talk.refresh(first=True)

    assert len(talk.service.sent(path)) == 1
    assert talk.waits == []


def test_feature_that_the_service_lacks_stops_the_start(talk: Conversation) -> None:
    talk.service.features = ["user", "theme"]

    with pytest.raises(InvalidContext, match=r"\['environment'\].*\['user', 'theme'\]"):
        talk.refresh(first=True)


def test_feature_that_disappears_later_keeps_its_rules(talk: Conversation) -> None:
    talk.service.rule("a", 1, 9, user="u")
    (setting,) = known(talk, "a")
    talk.refresh(first=True)
    talk.service.features = ["environment", "renamed"]
    talk.service.rule("a", 2, 8, user="v")

    refreshed = talk.refresh()

    assert refreshed.missing_features == ("user",)
    assert (setting.get(user="u"), setting.get(user="v")) == (9, 8)


def test_features_that_cannot_be_had_stop_no_values(talk: Conversation) -> None:
    (setting,) = known(talk, "a")
    talk.refresh(first=True)
    talk.service.instead.append(answering("context_features", reply(500)))
    for place in range(3):
        talk.service.rules.clear()
        talk.service.rule("a", 1, place, user="u")

        refreshed = talk.refresh()

        assert isinstance(refreshed.errors[0], ServiceStatusError)
        assert setting.get(user="u") == place


def test_list_that_cannot_be_had_stops_no_known_setting(talk: Conversation) -> None:
    (setting,) = known(talk, "a")
    talk.refresh(first=True)
    new = declare(talk, "new")
    talk.service.rule("a", 1, 9, user="u")
    talk.service.instead.append(answering("settings", reply(500)))

    refreshed = talk.refresh()

    assert len(refreshed.errors) == 1
    assert (setting.get(user="u"), new.get(user="u")) == (9, 1)


def test_new_setting_is_declared_once_the_list_comes_again(talk: Conversation) -> None:
    talk.refresh(first=True)
    new = declare(talk, "new", 5)
    talk.service.instead.append(answering("settings", reply(500)))
    talk.refresh()
    talk.service.instead.clear()

    assert talk.refresh().errors == ()
    assert talk.service.settings["new"]["default_value"] == new.get(user="u")


def test_unknown_name_without_a_list_harms_no_other(talk: Conversation) -> None:
    first, second = known(talk, "a", "b")
    talk.refresh(first=True)
    del talk.service.settings["a"]
    talk.service.rule("b", 1, 9, user="u")
    talk.service.instead.append(answering("settings", reply(500)))

    refreshed = talk.refresh()

    assert len(refreshed.errors) == 2
    assert (first.get(user="u"), second.get(user="u")) == (1, 9)


def test_client_that_declares_nothing_sends_no_declaration(
    canned: Canned, talk: Conversation
) -> None:
    talk.session.declares = False
    first, second = declare(talk, "a"), declare(talk, "b")
    canned.add("a", 7)

    refreshed = talk.refresh(first=True)

    assert canned.declared == []
    assert [name for name, one in refreshed.standings.items() if one.refusal] == ["a", "b"]
    assert (first.get(user="u"), second.get(user="u")) == (7, 1)


def test_unknown_setting_of_a_client_that_declares_nothing_keeps_its_values(
    talk: Conversation,
) -> None:
    talk.session.declares = False
    talk.service.rule("a", 1, 9, user="u")
    first, second = known(talk, "a", "b")
    talk.refresh(first=True)
    del talk.service.settings["a"]

    refreshed = talk.refresh()

    assert (refreshed.errors, first.get(user="u"), second.get(user="u")) == ((), 9, 1)


def failing(times: int, answer: Answer, name: str = "") -> Callable[[Request], Answer | None]:
    """Answer so many declarations, of *name* or of all, with *answer*."""
    left = [times]

    def instead(request: Request) -> Answer | None:
        if request.json is None or not left[0] or name not in request.json["name"]:
            return None
        left[0] -= 1
        return answer

    return instead


@pytest.mark.parametrize(
    "answer", [reply(500), reply(503), httpx.ReadTimeout("lost")], ids=["500", "503", "lost"]
)
@pytest.mark.parametrize("times", [1, 3])
def test_failing_declaration_is_sent_again(talk: Conversation, answer: Answer, times: int) -> None:
    setting = declare(talk)
    talk.service.instead.append(failing(times, answer))

    refreshed = talk.refresh(first=True)

    sent = [one for one in talk.last_requests if one.json]
    assert (refreshed.standings["n"].outcome, len(sent)) == ("created", times + 1)
    assert setting.get(user="u") == 1


def test_waits_between_declarations_grow_and_are_jittered(talk: Conversation) -> None:
    declare(talk)
    talk.service.instead.append(failing(3, reply(500)))

    talk.refresh(first=True)

    _, *waits = talk.waits
    assert all(0.2 * n <= wait <= n for n, wait in enumerate(waits, start=1))
    assert len(set(waits)) == 3


def test_declaration_that_keeps_failing_is_no_reason_not_to_start(talk: Conversation) -> None:
    known(talk, "other")
    setting = declare(talk)
    talk.service.instead.append(failing(99, reply(500)))

    refreshed = talk.refresh(first=True)

    assert refreshed.standings["n"].outcome == "degraded"
    assert (refreshed.errors, setting.get(user="u")) == ((), 1)


def test_service_that_fails_on_all_declarations_is_not_waited_for_by_each(
    talk: Conversation,
) -> None:
    [declare(talk, name) for name in many(100)]
    talk.service.instead.append(failing(9_999, reply(500)))

    refreshed = talk.refresh(first=True)

    assert sum(talk.waits) < 10
    assert {one.outcome.value for one in refreshed.standings.values()} == {"degraded"}


def test_service_that_loses_all_declarations_is_asked_no_further(talk: Conversation) -> None:
    [declare(talk, name) for name in many(100)]
    talk.service.instead.append(failing(9_999, httpx.ReadTimeout("lost")))

    talk.refresh(first=True)

    assert len([one for one in talk.last_requests if one.json]) <= AT_ONCE


def test_one_declaration_that_is_always_lost_keeps_no_later_one_from_being_sent(
    talk: Conversation,
) -> None:
    for name in ["poison", *many(8)]:
        declare(talk, name)
    talk.service.instead.append(failing(999, httpx.ReadTimeout("lost"), "poison"))

    refreshed = talk.refresh(first=True)

    assert [name for name, one in refreshed.standings.items() if one.refusal] == ["poison"]


def test_declaration_that_the_service_failed_at_is_tried_again_soon(talk: Conversation) -> None:
    declare(talk)
    talk.service.instead.append(failing(999, reply(500)))
    posts = []

    for _ in range(11):
        talk.refresh()
        posts.append(sum(one.json is not None for one in talk.last_requests))

    assert [count for count in posts if count] == [4, 1, 1, 1, 1]
    assert [place for place, count in enumerate(posts, start=1) if count] == [1, 2, 3, 5, 10]


def test_service_that_lost_all_declarations_is_asked_for_few_of_them_again(
    talk: Conversation,
) -> None:
    for name in many(100):
        declare(talk, name)
    talk.service.instead.append(failing(9_999, httpx.ReadTimeout("lost")))
    talk.refresh(first=True)

    talk.refresh()

    assert len([one for one in talk.last_requests if one.json]) == AT_ONCE


def test_settings_are_declared_soon_after_the_service_failed_at_all(talk: Conversation) -> None:
    settings = [declare(talk, name) for name in many(10)]
    talk.service.instead.append(failing(9_999, reply(500)))
    talk.refresh(first=True)
    talk.service.instead.clear()
    for setting in settings:
        talk.service.rule(setting.name, 1, 9, user="u")

    assert talk.refresh().errors == ()
    assert {one.get(user="u") for one in settings} == {9}


@pytest.mark.parametrize("name", ["new\n", "a b", "a&context_filters=x", "caf\u00e9", "a,b"])
def test_odd_name_of_the_service_s_harms_no_other(talk: Conversation, name: str) -> None:
    first, second = known(talk, "a", "b")
    talk.refresh(first=True)
    talk.service.rename("a", name)
    talk.service.rule("b", 1, 9, user="u")
    talk.service.instead.append(
        lambda request: reply(422) if "%" in request.query or "b,a" in request.query else None
    )

    refreshed = talk.refresh()

    assert [type(one) for one in refreshed.errors] == [ServiceStatusError]
    assert (first.get(user="u"), second.get(user="u")) == (1, 9)


def test_one_setting_that_always_fails_keeps_no_other_from_its_retries(talk: Conversation) -> None:
    [declare(talk, name) for name in ["poison", *many(8)]]
    talk.service.instead += [failing(99, reply(500), "poison"), failing(1, reply(500), "0007")]

    refreshed = talk.refresh(first=True)

    assert [name for name, one in refreshed.standings.items() if one.refusal] == ["poison"]


def test_many_settings_that_always_fail_wait_together(talk: Conversation) -> None:
    for name in [*many(10), *[f"good.{place}" for place in range(20)]]:
        declare(talk, name)
    talk.service.instead.append(failing(999, reply(500), "setting."))

    refreshed = talk.refresh(first=True)

    assert sum(talk.waits) <= 15
    assert max(talk.sends) <= AT_ONCE
    posts = [one.json["name"] for one in talk.last_requests if one.json]
    assert {posts.count(name) for name in many(10)} <= {1, 2, 3, 4}
    assert posts.count("good.0") == 1
    assert {name for name, one in refreshed.standings.items() if one.refusal} == set(many(10))


def test_first_attempts_of_all_come_before_the_second_of_any(talk: Conversation) -> None:
    for name in many(10):
        declare(talk, name)
    talk.service.instead.append(failing(1, reply(500), "0000"))

    talk.refresh(first=True)

    posts = [one.json["name"] for one in talk.last_requests if one.json]
    assert sorted(posts[:10]) == many(10)
    assert posts[10:] == ["setting.number_0000"]


def test_declarations_that_are_always_lost_keep_no_later_one_from_being_sent(
    talk: Conversation,
) -> None:
    for name in [*[f"poison{place}" for place in range(4)], *many(8)]:
        declare(talk, name)
    talk.service.instead.append(failing(999, httpx.ReadTimeout("lost"), "poison"))

    refreshed = talk.refresh(first=True)

    refused = [name for name, one in refreshed.standings.items() if one.refusal]
    assert sorted(refused) == [f"poison{place}" for place in range(4)]


def test_refused_declaration_is_tried_again_at_every_tenth_refresh(talk: Conversation) -> None:
    setting = declare(talk)
    talk.service.instead.append(failing(999, reply(422)))
    posts = []

    for _ in range(21):
        talk.refresh(first=False)
        posts.append(sum(one.json is not None for one in talk.last_requests))

    assert [place for place, count in enumerate(posts, start=1) if count] == [1, 10, 20]
    assert setting.get(user="u") == 1


def test_refused_declaration_is_tried_again_by_reload(talk: Conversation) -> None:
    declare(talk)
    talk.service.instead.append(failing(1, reply(422)))
    talk.refresh(first=True)

    refreshed = talk.refresh(thorough=True)

    assert refreshed.standings["n"].refusal is None


def test_refused_declaration_is_tried_again_when_its_setting_changed(talk: Conversation) -> None:
    talk.service.add("n", 1)
    declare(talk, version="1.1")
    talk.service.instead.append(failing(1, reply(409, json={"outcome": "rejected"})))
    talk.refresh(first=True)
    talk.service.settings["n"]["metadata"] = {"new": 1}
    declare(talk, "another")

    refreshed = talk.refresh()

    assert refreshed.standings["n"].outcome == "upgraded"


def lacking_feature(request: Request) -> Answer | None:
    """Refuse declarations as a service does that lacks one of their context features."""
    refused = reply(404, text="{'user'} are not acceptable context features")
    return refused if request.json else None


def test_setting_is_declared_as_soon_as_the_feature_is_there_that_it_waits_for(
    talk: Conversation,
) -> None:
    talk.service.features = ["environment"]
    setting = declare(talk, default=3)
    talk.service.rule("n", 1, 9, user="u")
    lists = []
    for _ in range(3):
        assert talk.refresh().standings["n"].is_unusable
        lists.append([one.path for one in talk.last_requests].count("/api/v1/settings"))
    talk.service.features.append("user")

    refreshed = talk.refresh()

    assert (refreshed.standings["n"].outcome, setting.get(user="u")) == ("created", 9)
    assert lists == [1, 0, 0]
    talk.refresh()
    assert len(talk.last_requests) == 2


def test_setting_of_an_emptied_service_is_declared_as_soon_as_its_feature_is_back(
    talk: Conversation,
) -> None:
    talk.service.rule("n", 1, 9, user="u")
    (setting,) = known(talk, "n")
    talk.refresh(first=True)
    talk.service.settings.clear()
    talk.service.features = ["environment"]
    talk.service.instead.append(lacking_feature)
    for _ in range(2):
        assert talk.refresh().standings["n"].outcome == "refused"
        assert setting.get(user="u") == 9
    talk.service.features = ["user", "environment"]
    talk.service.instead.clear()

    refreshed = talk.refresh()

    assert (refreshed.standings["n"].outcome, refreshed.errors) == ("created", ())


def test_setting_goes_on_waiting_while_the_list_cannot_be_had(talk: Conversation) -> None:
    talk.service.features = ["environment"]
    declare(talk)
    talk.refresh()
    talk.service.features.append("user")
    talk.service.instead.append(answering("settings", reply(500)))
    assert len(talk.refresh().errors) == 1
    talk.service.instead.clear()

    assert talk.refresh().standings["n"].outcome == "created"


def test_feature_that_the_client_lacks_is_not_waited_for(talk: Conversation) -> None:
    declare(talk, configurable_features=["theme"])
    talk.refresh()
    talk.service.features.append("theme")

    talk.refresh()

    assert len(talk.last_requests) == 1


def test_answer_to_a_declaration_that_is_not_heksher_s_stops_the_start(
    talk: Conversation,
) -> None:
    declare(talk)
    talk.service.instead.append(failing(1, reply(200, html="<html>")))

    with pytest.raises(UnexpectedResponse, match="POST /api/v1/settings/declare"):
        talk.refresh(first=True)


def test_answer_to_a_declaration_that_is_not_heksher_s_stops_no_other_setting(
    talk: Conversation,
) -> None:
    (other,) = known(talk, "a")
    talk.refresh(first=True)
    setting = declare(talk)
    talk.service.rule("a", 1, 9, user="u")
    talk.service.instead.append(failing(99, reply(302)))

    refreshed = talk.refresh()

    assert isinstance(refreshed.errors[0], UnexpectedResponse)
    assert (other.get(user="u"), setting.get(user="u")) == (9, 1)


def test_later_step_follows_a_first_one_that_another_program_beat(talk: Conversation) -> None:
    setting = declare(talk, version="2.0", default=5)

    def race(request: Request) -> Answer | None:
        if request.json is None or request.json["version"] != "1.0":
            return None
        talk.service.add("n", 3)
        return reply(409, json={"outcome": "mismatch", "differences": []})

    talk.service.instead.append(race)

    refreshed = talk.refresh(first=True)

    assert refreshed.standings["n"].outcome == "upgraded"
    assert setting.get(user="u") == 5


def overtaking(
    talk: Conversation, name: str = "n", default: int = 7, **fields: Any
) -> Callable[[Request], Answer | None]:
    """Let another program make *name* just before it is declared; the service finds a mismatch."""

    def instead(request: Request) -> Answer | None:
        if request.json is None or request.json["name"] != name:
            return None
        talk.service.add(name, default, **fields)
        return reply(409, json={"outcome": "mismatch", "differences": []})

    return instead


@pytest.mark.parametrize(("ours", "read"), [(3, 7), (0, 0)])
def test_setting_that_another_program_made_meanwhile_is_queried_at_once(
    talk: Conversation, ours: int, read: int
) -> None:
    setting = declare(talk, default=ours)
    talk.service.rule("n", 1, 9, user="u")
    talk.service.instead.append(overtaking(talk))

    refreshed = talk.refresh(first=True)

    refusal = refreshed.standings["n"].refusal
    assert refusal is not None
    assert (refusal.outcome, [one.attribute for one in refusal.differences]) == (
        "mismatch",
        ["default_value"],
    )
    assert (setting.get(user="u"), setting.get(user="v")) == (9, read)
    assert refreshed.errors == ()


def test_all_settings_that_were_made_meanwhile_cost_one_more_list(talk: Conversation) -> None:
    settings = [declare(talk, name) for name in many(10)]
    talk.service.instead += [overtaking(talk, name) for name in many(10)]

    talk.refresh(first=True)

    assert [one.get(user="u") for one in settings] == [7] * 10
    paths = [one.path for one in talk.last_requests]
    assert paths.count("/api/v1/settings") <= 3
    assert paths.count("/api/v1/settings/declare") <= 10


def test_setting_that_was_made_meanwhile_in_another_version_is_decided_anew(
    talk: Conversation,
) -> None:
    setting = declare(talk, default=3)
    talk.service.instead.append(overtaking(talk, version="2.0", aliases=["old"]))

    refreshed = talk.refresh(first=True)

    standing = refreshed.standings["n"]
    assert (standing.outcome, standing.latest_version, standing.refusal) == (
        "outdated",
        "2.0",
        None,
    )
    assert setting.get(user="u") == 7


def test_setting_that_was_made_meanwhile_in_an_older_version_is_upgraded(
    talk: Conversation,
) -> None:
    setting = declare(talk, default=3)
    overtake = overtaking(talk, version="0.9")
    talk.service.instead.append(
        lambda request: None if talk.service.settings else overtake(request)
    )

    refreshed = talk.refresh(first=True)

    assert refreshed.standings["n"].outcome == "upgraded"
    assert setting.get(user="u") == 3


def test_mismatch_that_the_list_does_not_show_is_believed(talk: Conversation) -> None:
    setting = declare(talk)
    (other,) = known(talk, "other")
    talk.service.instead.append(
        answering("settings/declare", reply(409, json={"outcome": "mismatch"}))
    )

    refreshed = talk.refresh(first=True)

    assert refreshed.standings["n"].outcome == "mismatch"
    assert (refreshed.errors, setting.get(user="u"), other.get(user="u")) == ((), 1, 1)
    assert [one.path for one in talk.last_requests].count("/api/v1/settings/declare") == 1


def test_rename_that_another_program_made_meanwhile_reads_its_rules(talk: Conversation) -> None:
    talk.service.add("old", 1)
    talk.service.rule("old", 1, 9, user="u")
    setting = declare(talk, "n", 3, alias="old", version="1.1")

    def rename(request: Request) -> Answer | None:
        if request.json is None:
            return None
        talk.service.rename("old", "n")
        talk.service.settings["n"].update(version="1.1", default_value=7)
        return reply(409, json={"outcome": "mismatch", "differences": []})

    talk.service.instead.append(rename)

    refreshed = talk.refresh(first=True)

    assert refreshed.standings["n"].outcome == "mismatch"
    assert (setting.get(user="u"), setting.get(user="v"), refreshed.errors) == (9, 7, ())


def test_setting_that_was_made_meanwhile_waits_for_the_list_if_that_fails(
    talk: Conversation,
) -> None:
    talk.refresh(first=True)
    setting = declare(talk, default=3)
    lists = iter([None])
    talk.service.instead += [
        overtaking(talk),
        lambda request: next(lists, reply(500)) if request.path == "/api/v1/settings" else None,
    ]
    assert len(talk.refresh().errors) == 1
    talk.service.instead.clear()

    refreshed = talk.refresh()

    assert (refreshed.standings["n"].outcome, setting.get(user="u")) == ("mismatch", 7)


def test_later_step_is_not_sent_to_what_was_renamed_meanwhile(talk: Conversation) -> None:
    setting = declare(talk, version="5.0", default=3)

    def outdated(request: Request) -> Answer | None:
        if request.json is None:
            return None
        talk.service.add("new", 7, aliases=["n"], version="4.0")
        renamed = {"level": "minor", "attribute": "name", "latest_value": "new"}
        body = {"outcome": "outdated", "latest_version": "4.0", "differences": [renamed]}
        return reply(200, json=body)

    talk.service.instead.append(outdated)

    refreshed = talk.refresh(first=True)

    assert talk.service.settings.keys() == {"new"}
    assert (refreshed.standings["n"].outcome, setting.get(user="u")) == ("refused", 3)
    assert [one.path for one in talk.last_requests].count("/api/v1/settings/declare") == 1


@pytest.mark.parametrize(
    "answer",
    [reply(500), httpx.ReadTimeout("lost"), reply(422), reply(409, json={"outcome": "rejected"})],
    ids=["500", "lost", "422", "rejected"],
)
def test_setting_whose_second_step_fails_is_queried_at_once(
    talk: Conversation, answer: Answer
) -> None:
    setting = declare(talk, version="2.0", default=5)
    talk.service.rule("n", 1, 9, user="u")
    talk.service.instead.append(
        lambda request: answer if request.json and request.json["version"] == "2.0" else None
    )

    refreshed = talk.refresh(first=True)

    assert (setting.get(user="u"), setting.get(user="v")) == (9, 5)
    assert refreshed.standings["n"].refusal is not None
    assert refreshed.errors == ()


def test_outdated_answer_to_a_declaration_gives_version_and_new_name(talk: Conversation) -> None:
    setting = declare(talk)
    talk.service.add("new", 7, aliases=["n"], version="3.1")
    differences = [{"level": "minor", "attribute": "name", "latest_value": "new"}]
    body = {"outcome": "outdated", "latest_version": "3.1", "differences": differences}
    talk.service.instead += [
        answering("settings/declare", reply(200, json=body)),
        answering("settings", reply(200, json={"settings": []})),
    ]

    outdated = talk.refresh(first=True).standings["n"].outdated

    assert outdated is not None
    assert (outdated.canonical_name, outdated.latest_version) == ("new", "3.1")
    assert setting.get(user="u") == 7


def test_falsy_default_gives_way_to_a_newer_version_of_another_program(talk: Conversation) -> None:
    (setting,) = known(talk, "a", default=0)
    talk.refresh(first=True)
    talk.service.settings["a"].update(default_value=5, version="1.1")
    talk.service.generation += 1

    refreshed = talk.refresh()

    assert refreshed.standings["a"].outcome == "outdated"
    assert setting.get(user="u") == 5


def test_falsy_default_gives_way_even_between_list_and_query(talk: Conversation) -> None:
    (setting,) = known(talk, "a", default=0)

    def upgrade(request: Request) -> None:
        if request.path == "/api/v1/query":
            talk.service.settings["a"].update(default_value=5, version="1.1")

    talk.service.instead.append(upgrade)

    talk.refresh(first=True)

    assert setting.get(user="u") == 5


def test_falsy_default_stays_where_only_the_service_lost_it(talk: Conversation) -> None:
    talk.service.add("a", 5)
    setting = declare(talk, "a", 0)
    for _ in range(3):
        talk.refresh()
        talk.service.generation += 1

    assert setting.get(user="u") == 0


def upgrade_elsewhere(talk: Conversation, name: str, default: int) -> None:
    talk.service.settings[name].update(default_value=default, version="1.1")
    talk.service.generation += 1


def test_newer_version_of_another_program_is_told_of_when_its_default_is_seen(
    talk: Conversation,
) -> None:
    first, second = known(talk, "a", "b")
    talk.refresh(first=True)
    upgrade_elsewhere(talk, "a", 5)

    outdated = talk.refresh().standings["a"].outdated

    assert outdated is not None
    assert outdated.latest_version == "1.1"
    assert (first.get(user="u"), second.get(user="u")) == (5, 1)
    assert [one.path for one in talk.last_requests].count("/api/v1/settings") == 1
    upgrade_elsewhere(talk, "a", 6)
    talk.service.settings["a"]["version"] = "1.2"
    outdated = talk.refresh().standings["a"].outdated
    assert outdated is not None
    assert outdated.latest_version == "1.2"
    talk.refresh()
    assert [one.path for one in talk.last_requests].count("/api/v1/settings") == 0


def test_default_is_read_although_the_list_that_tells_its_version_fails(talk: Conversation) -> None:
    (setting,) = known(talk, "a")
    talk.refresh(first=True)
    upgrade_elsewhere(talk, "a", 5)
    talk.service.instead.append(answering("settings", reply(500)))

    assert talk.refresh().errors == ()

    assert setting.get(user="u") == 5


def test_setting_that_is_renamed_after_its_new_default_was_seen_is_followed(
    talk: Conversation,
) -> None:
    (setting,) = known(talk, "a")
    talk.refresh(first=True)
    upgrade_elsewhere(talk, "a", 5)

    def rename(request: Request) -> None:
        if request.path == "/api/v1/settings":
            talk.service.rename("a", "new")

    talk.service.instead.append(rename)
    talk.refresh()
    talk.service.instead.clear()
    talk.service.rule("new", 1, 9, user="u")

    talk.refresh()

    assert setting.get(user="u") == 9


def test_falsy_default_gives_way_once_the_list_can_be_had(talk: Conversation) -> None:
    (setting,) = known(talk, "a", default=0)
    talk.refresh(first=True)
    upgrade_elsewhere(talk, "a", 5)
    talk.service.instead.append(answering("settings", reply(500)))
    talk.refresh()
    talk.service.instead.clear()

    talk.refresh()

    assert setting.get(user="u") == 5


def test_falsy_default_gives_way_even_if_the_second_query_failed(talk: Conversation) -> None:
    (setting,) = known(talk, "a", default=0)
    talk.refresh(first=True)
    upgrade_elsewhere(talk, "a", 5)
    seen: list[Request] = []

    def second_fails(request: Request) -> Answer | None:
        seen.extend([request] if request.path == "/api/v1/query" else [])
        return reply(500) if len(seen) == 2 else None

    talk.service.instead.append(second_fails)
    talk.refresh()

    talk.refresh()

    assert setting.get(user="u") == 5


def test_falsy_default_of_a_created_setting_gives_way_too(talk: Conversation) -> None:
    setting = declare(talk, "a", 0)
    known(talk, "b")
    talk.refresh()
    talk.service.settings.pop("a")
    talk.service.instead.append(answering("query", reply(500)))
    talk.session.standings, talk.session.plan = {}, None
    talk.session.readings.clear()
    talk.refresh()
    upgrade_elsewhere(talk, "a", 5)
    talk.service.instead.clear()

    talk.refresh()

    assert setting.get(user="u") == 5


def test_falsy_default_of_a_mismatch_gives_way_too(talk: Conversation) -> None:
    talk.service.add("a", 7)
    setting = declare(talk, "a", 0)
    talk.refresh(first=True)
    before = setting.get(user="u")
    upgrade_elsewhere(talk, "a", 5)

    refreshed = talk.refresh()

    assert (before, setting.get(user="u")) == (0, 5)
    assert refreshed.standings["a"].outcome == "outdated"


def test_alias_and_canonical_name_in_one_process_both_read_the_rules(talk: Conversation) -> None:
    talk.service.add("new", 7, aliases=["old"])
    talk.service.rule("new", 1, 9, user="u")
    old, new = declare(talk, "old", 7), declare(talk, "new", 7)

    refreshed = talk.refresh(first=True)

    assert (old.get(user="u"), new.get(user="u"), refreshed.errors) == (9, 9, ())
    assert [one.query for one in talk.last_requests][-1] == "settings=new"


def test_rename_by_one_setting_of_a_process_is_followed_by_the_other(talk: Conversation) -> None:
    talk.service.add("old", 7)
    talk.service.rule("old", 1, 9, user="u")
    old = declare(talk, "old", 7)
    new = declare(talk, "new", 7, alias="old", version="1.1")

    refreshed = talk.refresh(first=True)

    assert (old.get(user="u"), new.get(user="u"), refreshed.errors) == (9, 9, ())
    assert refreshed.standings["old"].canonical_name == "new"


def test_setting_declared_anew_reads_the_rules_with_the_one_it_replaced(
    talk: Conversation,
) -> None:
    talk.service.add("a", 1)
    talk.service.rule("a", 1, 9, user="u")
    settings: list[Setting[int]] = []
    for _ in range(2):
        # As by a reload: code that is compiled anew.
        reloaded = compile('settings.append(declare(talk, "a"))', __file__, "exec")
        exec(reloaded, {**globals(), "settings": settings, "talk": talk})  # noqa: S102  # our own
        talk.refresh()

    assert [one.get(user="u") for one in settings] == [9, 9]


def test_partial_failure_keeps_the_rest(talk: Conversation) -> None:
    settings = known(talk, *many(250))
    talk.refresh(first=True)
    taken_at = talk.registry.snapshot.taken_at
    for place in (0, 150):
        talk.service.rule(settings[place].name, place, 9, user="u")
    talk.service.instead.append(
        lambda request: reply(500) if settings[0].name in request.query else None
    )

    refreshed = talk.refresh()

    assert [one.get(user="u") for one in (settings[0], settings[150])] == [1, 9]
    assert len(refreshed.errors) == 1
    assert len(refreshed.etags) == 2
    assert talk.registry.snapshot.taken_at == taken_at


def test_failed_batch_is_asked_for_in_full(talk: Conversation) -> None:
    (_setting,) = known(talk, "a")
    talk.refresh(first=True)
    talk.service.instead.append(answering("query", reply(500)))
    talk.refresh()
    talk.service.instead.clear()

    talk.refresh()

    assert talk.last_requests[1].headers == {}


def test_batch_that_never_comes_keeps_no_later_one_from_coming(talk: Conversation) -> None:
    settings = known(talk, *many(1_000))
    talk.refresh(first=True)
    talk.service.rule(settings[-1].name, 1, 9, user="u")
    lost = httpx.ReadTimeout("lost")
    talk.service.instead.append(lambda request: lost if settings[0].name in request.query else None)

    talk.refresh()

    assert settings[-1].get(user="u") == 9


def test_service_that_goes_away_is_asked_no_further(talk: Conversation) -> None:
    known(talk, *many(1_000))
    talk.refresh(first=True)
    talk.service.instead.append(answering("query", httpx.ConnectError("refused")))

    refreshed = talk.refresh()

    assert len(talk.last_requests) == 1 + AT_ONCE
    assert isinstance(refreshed.errors[0], ServiceUnavailable)
    assert len(refreshed.etags) == 10 - AT_ONCE


def test_unreachable_service_raises_and_changes_nothing(talk: Conversation) -> None:
    known(talk, "a")
    talk.refresh(first=True)
    talk.service.instead.append(lambda _request: httpx.ConnectError("refused"))
    before = copy.copy(vars(talk.session))

    with pytest.raises(ServiceUnavailable) as caught:
        talk.refresh()

    assert isinstance(caught.value.__cause__, httpx.ConnectError)
    assert vars(talk.session) == before


def steps_of(talk: Conversation, *, first: bool, until: int) -> bool:
    """Drive a refresh so many steps, close it there, and tell whether it went that far."""
    flow = refresh(talk.session, first=first)
    answers: Any = None
    for _ in range(until):
        try:
            effect = flow.send(answers)
        except StopIteration:
            return False
        answers = None
        if isinstance(effect, Send):
            answers = [talk.service.answer(request) for request in effect.requests]
    flow.close()
    return True


def memory_of(talk: Conversation) -> dict[str, Any]:
    tools = ("registry", "randomness", "_tracking_lock")
    return {name: value for name, value in vars(talk.session).items() if name not in tools}


def test_closing_a_flow_anywhere_leaves_the_session_as_it_was(talk: Conversation) -> None:
    known(talk, *many(120))
    declare(talk, "new", version="2.0")
    talk.service.instead.append(failing(1, reply(500)))
    before, state = copy.deepcopy(memory_of(talk)), talk.registry.state
    step = 0

    while steps_of(talk, first=True, until=step):
        assert memory_of(talk) == before
        assert talk.registry.state is state
        step += 1

    assert step >= 8


def test_etag_counts_only_after_the_commit(talk: Conversation) -> None:
    known(talk, "a")
    refreshed = talk.drive(refresh(talk.session, first=True))

    assert refreshed.etags
    assert talk.session.etags == {}


def test_validator_added_during_a_refresh_sees_all_values_at_the_next(talk: Conversation) -> None:
    talk.service.rule("a", 1, 9, user="u")
    (setting,) = known(talk, "a")
    setting.add_validator(lambda value, _rule, _setting: value + 1)
    refreshed = talk.drive(refresh(talk.session, first=True))
    setting.add_validator(lambda value, _rule, _setting: value * 10)
    talk.registry.publish(refreshed.snapshot)
    talk.session.commit(refreshed)

    talk.refresh()

    assert setting.get(user="u") == 100


def test_validators_cost_no_query_once_they_have_been_called(talk: Conversation) -> None:
    (setting,) = known(talk, "a")
    setting.add_validator(lambda value, _rule, _setting: value)
    talk.refresh(first=True)

    talk.refresh()

    assert talk.last_requests[1].headers == {"If-None-Match": '"1"'}


def test_dead_settings_are_forgotten(talk: Conversation) -> None:
    (setting,) = known(talk, "a")
    talk.refresh(first=True)
    assert talk.session.standings.keys() == {"a"}
    talk.kept.clear()
    del setting

    gc.collect()
    refreshed = talk.refresh()

    assert (refreshed.snapshot.rule_sets, talk.session.standings) == ({}, {})
    assert talk.session.readings == {}
    assert len(talk.last_requests) == 1


def test_setting_with_a_version_of_a_thousand_digits_stops_nobody(talk: Conversation) -> None:
    first, second = known(talk, "a", "b")
    talk.service.settings["a"]["version"] = "1." + "9" * 5_000
    talk.service.instead.append(failing(1, reply(409)))
    talk.service.rule("b", 1, 9, user="u")

    refreshed = talk.refresh(first=True)

    assert len(refreshed.malformed) == 1
    assert (first.get(user="u"), second.get(user="u")) == (1, 9)


@pytest.mark.parametrize("entry", [None, 3, {}, {"name": "x"}, [], "a"])
def test_malformed_entry_of_the_list_is_left_out(talk: Conversation, entry: Any) -> None:
    (setting,) = known(talk, "b")
    listed = [entry, talk.service.settings["b"]]
    talk.service.instead.append(answering("settings", reply(200, json={"settings": listed})))

    refreshed = talk.refresh(first=True)

    assert len(refreshed.malformed) == 1
    assert setting.get(user="u") == 1


def test_ping_wants_heksher_s_answer(talk: Conversation) -> None:
    talk.drive(ping())
    talk.service.instead.append(lambda _request: reply(200, html="<html>"))

    with pytest.raises(UnexpectedResponse):
        talk.drive(ping())
