"""Many processes of one program that start together, on a service that knows nothing of them."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from heksher import Setting, ThreadHeksherClient
from heksher.settings.registry import Registry
from heksher.settings.setting import declaration_of

if TYPE_CHECKING:
    from clients.conftest import Canned, Conversation, Embedded
    from heksher.clients.conversation.effects import Answer, Request

PROCESSES = 20
SETTINGS = 5


def program() -> tuple[Registry, list[Setting[int]]]:
    registry = Registry()
    settings = [
        Setting[int](
            f"s{place}", configurable_features=["user"], default_value=place, registry=registry
        )
        for place in range(SETTINGS)
    ]
    return registry, settings


async def test_twenty_processes_lose_no_setting(service: Embedded) -> None:
    programs = [program() for _ in range(PROCESSES)]
    clients = [service.client(registry=registry) for registry, _ in programs]

    await asyncio.gather(*[client.set_as_main() for client in clients])
    for place in range(SETTINGS):
        await service.rule(f"s{place}", 100 + place, user="x")
    await asyncio.gather(*[client.reload() for client in clients])

    for client, (_, settings) in zip(clients, programs, strict=True):
        assert [one.get(user="x") for one in settings] == [100, 101, 102, 103, 104]
        assert not client.status.refused_declarations
        await client.aclose()


class Overtaking(httpx.AsyncBaseTransport):
    """Lets another program declare setting `n` just before the first declaration arrives."""

    def __init__(self, service: Embedded, version: str) -> None:
        self.service = service
        self.version = version
        self.posts = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.posts += 1
            if self.posts == 1:
                for version in dict.fromkeys(["1.0", self.version]):
                    await self.service.declare("n", 7, version=version)
                await self.service.rule("n", 9, user="u")
        sent = self.service.http.build_request(
            request.method, request.url, content=await request.aread(), headers=request.headers
        )
        return await self.service.http.send(sent)


@pytest.mark.parametrize(
    ("ours", "theirs", "told", "read"),
    [
        ("1.0", "1.0", "mismatch", 7),
        ("2.0", "2.0", "mismatch", 7),
        ("1.0", "1.5", "outdated", 7),
        ("2.0", "1.5", None, 3),
    ],
)
async def test_setting_that_another_program_declares_first_is_told_of_and_read_at_the_start(
    service: Embedded, registry: Registry, ours: str, theirs: str, told: str | None, read: int
) -> None:
    setting = Setting[int](
        "n", configurable_features=["user"], default_value=3, version=ours, registry=registry
    )
    overtaking = Overtaking(service, theirs)

    async with (
        httpx.AsyncClient(transport=overtaking) as http,
        service.client(http_client=http) as client,
    ):
        status = client.status
        assert (setting.get(user="u"), setting.get(user="v")) == (9, read)

    assert [one.outcome for one in status.refused_declarations] == (
        ["mismatch"] if told == "mismatch" else []
    )
    assert bool(status.outdated_declarations) == (told == "outdated")
    assert overtaking.posts <= 2


def racing(canned: Canned, chance: random.Random) -> Any:
    """Answer as the real service does to racing declarations: some are 500, some done all the same."""

    def instead(request: Request) -> Answer | None:
        if not request.path.endswith("/declare") or chance.random() < 0.5:
            return None
        if chance.random() < 0.5:
            canned.usual(request)
        return httpx.Response(500, text="Internal Server Error")

    return instead


@pytest.mark.parametrize("seed", range(20))
def test_declarations_that_race_are_sent_again(
    canned: Canned, talk: Conversation, registry: Registry, seed: int
) -> None:
    settings = [
        Setting[int](
            f"s{place}", configurable_features=["user"], default_value=1, registry=registry
        )
        for place in range(SETTINGS)
    ]
    canned.instead = [racing(canned, random.Random(seed))]  # noqa: S311  # to be repeated
    refreshed = talk.refresh(first=True)

    refused = {one.setting_name for one in refreshed.standings.values() if one.refusal}
    assert {one.name for one in settings} <= canned.settings.keys() | refused
    canned.instead = []
    for setting in settings:
        canned.rule(setting.name, declaration_of(setting).index, 7, user="x")
    refreshed = talk.refresh(thorough=True)
    assert not [one for one in refreshed.standings.values() if one.refusal]
    assert [one.get(user="x") for one in settings] == [7] * SETTINGS


@pytest.mark.parametrize(
    "date", ["Thu, 01 Jan 1970 00:00:00 GMT", "Tue, 19 Jan 2099 03:14:08 GMT", "yesterday"]
)
def test_clock_of_the_service_is_of_no_account(
    canned: Canned, registry: Registry, date: str
) -> None:
    setting = Setting[int]("n", configurable_features=["user"], default_value=1, registry=registry)
    usual = canned.usual

    def dated(request: Request) -> Answer:
        answer = usual(request)
        headers = {"date": date, "expires": date, "last-modified": date, "age": "-1"}
        answer.headers.update(headers)
        return answer

    canned.instead = [dated]
    http = httpx.Client(transport=canned.transport())
    with ThreadHeksherClient(
        "http://x", 3600, ["user"], http_client=http, registry=registry
    ) as one:
        for value in (7, 8):
            canned.rules.clear()
            canned.rule("n", value, value, user="x")
            one.reload()

            assert setting.get(user="x") == value
            assert 0 <= (one.status.age or -1) < 20
