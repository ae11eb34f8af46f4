"""Every status from 300 to 599, in answer to every request there is: updates go on all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from heksher import ServiceError, Setting

if TYPE_CHECKING:
    from clients.conftest import Canned, Conversation
    from heksher.clients.conversation.effects import Answer, Request
    from heksher.settings.registry import Registry

STATUSES = range(300, 600)
BODIES: list[dict[str, Any]] = [
    {"text": ""},
    {"text": "Internal Server Error"},
    {"json": {"detail": "nothing"}},
    {"json": {"outcome": "mismatch", "differences": []}},
    {"content": b"\xff\x00", "headers": {"content-type": "text/plain; charset=nonsense"}},
    {"content": b'"', "headers": {"content-type": "application/json", "etag": '"1"'}},
]


def declare(registry: Registry, name: str) -> Setting[int]:
    return Setting[int](name, configurable_features=["user"], default_value=1, registry=registry)


def answering(path: str, status: int, body: dict[str, Any]) -> Any:
    def instead(request: Request) -> Answer | None:
        if request.path != f"/api/v1/{path}":
            return None
        return httpx.Response(status, request=httpx.Request("GET", "http://x"), **body)

    return instead


@pytest.mark.parametrize("path", ["context_features", "settings", "settings/declare", "query"])
def test_after_any_status_the_next_update_brings_all_values(
    canned: Canned, talk: Conversation, registry: Registry, path: str
) -> None:
    setting = declare(registry, "n")
    canned.rule("n", 1, 0, user="x")
    talk.refresh(first=True)
    living = [setting]

    for status in STATUSES:
        before = setting.get(user="x")
        if path.startswith("settings"):
            living = [setting, declare(registry, f"new{status}")]
        canned.rules.clear()
        canned.rule("n", 1, status, user="x")
        canned.instead = [answering(path, status, BODIES[status % len(BODIES)])]
        try:
            errors = talk.refresh().errors
        except ServiceError:
            assert setting.get(user="x") == before
        else:
            # A query that was answered before cannot know that a 304 lies.
            assert errors or setting.get(user="x") == status or status == 304
        canned.instead = []
        assert not talk.refresh(thorough=True).errors
        assert setting.get(user="x") == status, status
        assert not any(one.refusal for one in talk.session.standings.values()), status
    assert living


def test_etag_that_never_changes_is_believed_no_longer_than_it_is_sent(
    canned: Canned, talk: Conversation, registry: Registry
) -> None:
    setting = declare(registry, "n")
    talk.refresh(first=True)
    canned.rule("n", 1, 7, user="x")

    def lying(request: Request) -> Answer | None:
        if not request.path.endswith("/query"):
            return None
        if request.headers.get("If-None-Match"):
            return httpx.Response(304, headers={"etag": '"lie"'})
        return httpx.Response(
            200, json={"settings": {"n": canned.queried("n")}}, headers={"etag": '"lie"'}
        )

    canned.instead = [lying]
    talk.refresh()
    canned.instead = []
    talk.refresh()

    assert setting.get(user="x") == 7


def test_304_for_what_was_never_fetched_is_an_error_and_asked_for_again(
    canned: Canned, talk: Conversation, registry: Registry
) -> None:
    setting = declare(registry, "n")
    canned.instead = [answering("query", 304, {"headers": {"etag": '"1"'}})]
    with pytest.raises(ServiceError, match="the request was not conditional"):
        talk.refresh(first=True)
    canned.instead = []
    canned.rule("n", 1, 7, user="x")

    talk.refresh(first=True)

    assert setting.get(user="x") == 7
