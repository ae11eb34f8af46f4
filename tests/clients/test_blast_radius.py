"""What goes wrong with one setting, rule, query or declaration stays with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from heksher import ServiceError, Setting

if TYPE_CHECKING:
    from clients.conftest import Canned, Conversation, Embedded
    from heksher.clients.conversation.effects import Answer, Request
    from heksher.settings.registry import Registry


def declare(registry: Registry, name: str, default: int = 1, **options: Any) -> Setting[int]:
    arguments: dict[str, Any] = {"configurable_features": ["user"], **options}
    return Setting[int](name, default_value=default, registry=registry, **arguments)


class Neighbours:
    """Three settings on the embedded service: one that something happens to, and two others."""

    def __init__(self, service: Embedded, registry: Registry) -> None:
        self.service = service
        self.before = declare(registry, "a.before")
        self.one = declare(registry, "b.one", 5)
        self.after = declare(registry, "c.after")
        self.turn = 0

    async def others_are_updated(self, client: Any) -> None:
        """Check that an update brings news of the two others."""
        self.turn += 1
        for other in (self.before, self.after):
            await self.service.rule(other.name, self.turn, user=f"u{self.turn}")
        await client.reload()
        for other in (self.before, self.after):
            assert other.get(user=f"u{self.turn}") == self.turn


@pytest.fixture
def neighbours(service: Embedded, registry: Registry) -> Neighbours:
    return Neighbours(service, registry)


async def test_setting_deleted_while_running_is_declared_again(
    service: Embedded, neighbours: Neighbours
) -> None:
    async with service.client() as client:
        await service.rule("b.one", 7, user="x")
        await client.reload()
        await service.delete("settings/b.one")
        await neighbours.others_are_updated(client)

        assert (await service.setting("b.one"))["default_value"] == 5
        assert neighbours.one.get(user="x") == 5
        assert not client.status.refused_declarations


async def test_setting_renamed_while_running_is_followed(
    service: Embedded, neighbours: Neighbours
) -> None:
    async with service.client() as client:
        await service.rule("b.one", 7, user="x")
        await service.put("settings/b.one/name", {"name": "b.two", "version": "1.1"})
        await neighbours.others_are_updated(client)
        assert neighbours.one.get(user="x") == 7
        await service.rule("b.two", 8, user="y")
        await neighbours.others_are_updated(client)

        assert neighbours.one.get(user="y") == 8


@pytest.mark.parametrize(
    ("default", "told"),
    [(1, "differences: none"), (2, "differences: default_value (minor)")],
)
async def test_outdated_declaration_is_told_of_with_its_differences(
    service: Embedded,
    registry: Registry,
    caplog: pytest.LogCaptureFixture,
    default: int,
    told: str,
) -> None:
    await service.upgrade("n", default)
    setting = Setting("n", int, ["user"], 1, registry=registry)

    async with service.client():
        assert setting.get(user="x") == default

    (record,) = [one for one in caplog.records if one.levelname == "WARNING"]
    assert record.message == (f"setting 'n' is outdated: the service has a newer version; {told}")


async def test_service_restarted_with_an_empty_database_is_told_all_again(
    service: Embedded, neighbours: Neighbours
) -> None:
    async with service.client() as client:
        await service.rule("b.one", 7, user="x")
        await client.reload()
        for name in ("a.before", "b.one", "c.after"):
            await service.delete(f"settings/{name}")
        await client.reload()
        await neighbours.others_are_updated(client)

        assert neighbours.one.get(user="x") == 5
        assert not client.status.refused_declarations


async def test_another_program_s_new_version_and_type_leave_the_last_good_values(
    service: Embedded, neighbours: Neighbours
) -> None:
    async with service.client() as client:
        await service.declare("b.one", "text", type="str", version="2.0")
        await neighbours.others_are_updated(client)
        await service.rule("b.one", "a", user="x")
        await neighbours.others_are_updated(client)

        assert neighbours.one.get(user="x") == 5
        assert [one.setting_name for one in client.status.rejected_rules] == ["b.one"] * 2


def failing(path: str, name: str, answer: Answer) -> Any:
    def instead(request: Request) -> Answer | None:
        asked = f"{request.query} {request.json}"
        return answer if request.path.endswith(path) and name in asked else None

    return instead


REFUSALS: dict[str, Answer] = {
    "404": httpx.Response(404, text="{'user'} are not acceptable context features"),
    "409": httpx.Response(409, json={"outcome": "rejected", "differences": []}),
    "422": httpx.Response(422, json={"detail": []}),
    "500": httpx.Response(500, text="Internal Server Error"),
    "lost": httpx.ReadError("lost"),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_declaration_that_is_answered_so_costs_its_setting_only(
    canned: Canned, talk: Conversation, registry: Registry, kind: str
) -> None:
    other = declare(registry, "a")
    one = declare(registry, "one", 5, version="1.1")
    canned.add("a", 1)
    canned.add("one", 3)
    canned.rule("one", 1, 7, user="x")
    canned.rule("a", 2, 8, user="x")
    canned.instead = [failing("declare", "one", REFUSALS[kind])]

    talk.refresh(first=True)

    assert (one.get(user="x"), other.get(user="x")) == (7, 8)
    assert one.get(user=None) == (5 if kind in ("500", "lost") else 3)
    (standing,) = [each for each in talk.session.standings.values() if each.refusal]
    assert standing.setting_name == "one"
    canned.instead = []
    talk.refresh(thorough=True)
    assert one.get(user=None) == 5
    assert not [each for each in talk.session.standings.values() if each.refusal]


@pytest.mark.parametrize("value", [None, "7", 1.5, True, [7], {"a": 7}])
def test_rule_of_a_wrong_type_costs_itself_only(
    canned: Canned, talk: Conversation, registry: Registry, value: Any
) -> None:
    one, other = declare(registry, "one"), declare(registry, "other")
    canned.add("one", 1)
    canned.add("other", 1)
    canned.rule("one", 1, 7, user="x")
    talk.refresh(first=True)
    canned.rules["one"].clear()
    canned.rule("one", 1, value, user="x")
    canned.rule("one", 2, value, user="y")
    canned.rule("one", 3, 9, user="z")
    canned.rule("other", 4, 8, user="x")
    talk.refresh()

    assert [one.get(user=user) for user in "xyz"] == [7, 1, 9]
    assert other.get(user="x") == 8


def second_looks(canned: Canned, what_fails: str) -> Any:
    """Fail what is asked a second time, because another program changed a default."""
    asked: list[str] = []

    def instead(request: Request) -> Answer | None:
        asked.append(request.path)
        is_second = asked.count("/api/v1/query") > 1 or request.path.endswith("/settings")
        fails = request.path.endswith(what_fails) and is_second
        return httpx.Response(200, request=httpx.Request("GET", "http://x")) if fails else None

    return instead


@pytest.mark.parametrize("what_fails", ["/query", "/settings"])
def test_new_default_is_found_out_though_the_second_look_failed(
    canned: Canned, talk: Conversation, registry: Registry, what_fails: str
) -> None:
    falsy, other = declare(registry, "falsy", 0), declare(registry, "other")
    talk.refresh(first=True)
    canned.settings["falsy"].update(version="1.1", default_value=6)
    canned.rule("other", 1, 8, user="x")
    canned.instead = [second_looks(canned, what_fails)]

    assert [type(error) for error in talk.refresh().errors][:1] != []
    assert other.get(user="x") == 8
    canned.instead = []
    talk.refresh()

    assert falsy.get(user="x") == 6


def test_everything_may_fail_and_come_back_many_times(
    canned: Canned, talk: Conversation, registry: Registry
) -> None:
    settings = [declare(registry, f"s{place}") for place in range(3)]
    talk.refresh(first=True)
    for turn in range(2, 12):
        canned.settings.clear()
        canned.rules.clear()
        canned.instead = [lambda _: httpx.ReadError("lost")]
        with pytest.raises(ServiceError):
            talk.refresh()
        canned.instead = []
        talk.refresh()
        canned.rule("s1", 1, turn, user="x")
        talk.refresh()

        assert [one.get(user="x") for one in settings] == [1, turn, 1]
