"""Canaries in everything that is secret, through every failure: nothing that is said has them."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import traceback
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from heksher import AsyncHeksherClient, HeksherError, Setting, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from clients.conftest import Canned, Server
    from heksher.settings.registry import Registry

CANARY = "canary7f3a"


class Ears(logging.Handler):
    """Keeps everything that a log record holds."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage())
        self.heard += [repr(value) for value in vars(record).values()]
        if record.exc_info and record.exc_info[1]:
            self.heard += everything_of(record.exc_info[1])


def everything_of(error: BaseException) -> list[str]:
    """Return what an exception says, with those behind it."""
    lines = traceback.format_exception(type(error), error, None)
    return [str(error), repr(error), repr(error.args), *lines]


@pytest.fixture
def ears() -> Any:
    """Hears every logger of the process at the default level."""
    handler, root = Ears(), logging.getLogger()
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)


def secret_setting(registry: Registry, **options: Any) -> Setting[str]:
    return Setting[str](
        "n",
        configurable_features=["user"],
        default_value=f"{CANARY} default",
        metadata={"note": f"{CANARY} metadata"},
        registry=registry,
        **options,
    )


def client_of(
    registry: Registry, url: str, transport: httpx.AsyncBaseTransport | None = None
) -> AsyncHeksherClient:
    arguments: dict[str, Any] = {"headers": {"x-token": CANARY}, "auth": ("me", CANARY)}
    if transport is not None:
        arguments["transport"] = transport
    return AsyncHeksherClient(
        url, 3600, ["environment", "user"], http_client_args=arguments, registry=registry
    )


def said_by(client: AsyncHeksherClient) -> list[str]:
    status = client.status
    fields = [repr(getattr(status, field.name)) for field in dataclasses.fields(status)]
    texts = [str(one) for one in (*status.refused_declarations, *status.rejected_rules)]
    return [repr(client), str(client), repr(status), str(status), *fields, *texts]


def assert_silent(*said: str) -> None:
    assert [text for text in said if CANARY in text] == []


SECRET_URL = f"http://user:{CANARY}@service.example/{CANARY}/base"


def answer(status: int, **content: Any) -> Callable[[Any], Any]:
    return lambda _request: httpx.Response(
        status, request=httpx.Request("GET", SECRET_URL), **content
    )


def quoting(error: type[Exception]) -> Callable[[Any], Any]:
    def raise_quoting(_request: Any) -> Any:
        return error(f"Illegal header value b'{CANARY}'")

    return raise_quoting


FAILURES = {
    "500": answer(500, text=CANARY),
    "401": answer(401, text=CANARY),
    "404": answer(404, text=CANARY),
    "422": answer(422, json={"detail": [{"msg": CANARY}]}),
    "redirect": answer(302, headers={"location": SECRET_URL}),
    "html": answer(200, html=f"<html>{CANARY}"),
    "json": answer(200, json={"settings": CANARY, "context_features": CANARY}),
    "no-json": answer(200, text=f'{{"settings": {CANARY}'),
    "protocol": quoting(httpx.LocalProtocolError),
    "remote": quoting(httpx.RemoteProtocolError),
    "url": quoting(httpx.InvalidURL),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
async def test_failing_start_gives_nothing_away(
    canned: Canned, registry: Registry, ears: Ears, failure: Callable[[Any], Any]
) -> None:
    canned.instead.append(failure)
    setting = secret_setting(registry)
    client = client_of(registry, SECRET_URL, canned.transport())

    with pytest.raises(HeksherError) as caught:
        await client.set_as_main()

    assert_silent(*ears.heard, *everything_of(caught.value), *said_by(client), repr(setting))


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
async def test_failing_update_gives_nothing_away(
    canned: Canned, registry: Registry, ears: Ears, failure: Callable[[Any], Any]
) -> None:
    setting = secret_setting(registry)
    async with client_of(registry, SECRET_URL, canned.transport()) as client:
        canned.instead.append(failure)
        for _ in range(6):
            with pytest.raises(HeksherError) as caught:
                await client.reload()

        assert_silent(*ears.heard, *everything_of(caught.value), *said_by(client), repr(setting))


@pytest.mark.parametrize("status", [400, 404, 409, 422, 500])
@pytest.mark.parametrize("kind", ["json", "validation"])
async def test_refused_declaration_gives_nothing_away(
    canned: Canned,
    registry: Registry,
    ears: Ears,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    kind: str,
) -> None:
    monkeypatch.setattr("heksher.clients.conversation.declaring.declare.RETRIES", 0)
    body: Any = {"detail": [{"msg": CANARY, "ctx": CANARY}]}
    if kind == "json":
        difference = {"level": "minor", "attribute": "default_value", "latest_value": CANARY}
        body = {"outcome": "mismatch", "differences": [difference]}
    refusal = answer(status, json=body)
    canned.instead.append(lambda request: refusal(request) if request.json else None)
    setting = secret_setting(registry)

    async with client_of(registry, SECRET_URL, canned.transport()) as client:
        assert client.status.refused_declarations
        assert_silent(*ears.heard, *said_by(client), repr(setting))


async def test_values_that_differ_or_do_not_fit_give_nothing_away(
    canned: Canned, registry: Registry, ears: Ears
) -> None:
    canned.add("n", f"{CANARY} theirs", type="str", metadata={"note": CANARY})
    canned.add("m", CANARY)
    canned.rule("m", 1, CANARY, user="john")
    canned.rule("m", 2, [CANARY], user="jane")
    canned.add("s", [1, CANARY], type="Sequence<int>")
    settings = [
        secret_setting(registry),
        Setting[int]("m", configurable_features=["user"], default_value=1, registry=registry),
        Setting[list[int]](
            "s", configurable_features=["user"], default_value=[], registry=registry
        ),
    ]

    async with client_of(registry, SECRET_URL, canned.transport()) as client:
        assert client.status.rejected_rules
        assert_silent(*ears.heard, *said_by(client), *map(repr, settings))
    assert any("coerced" in text for text in ears.heard)


async def test_validator_that_quotes_the_value_gives_nothing_away(
    canned: Canned, registry: Registry, ears: Ears
) -> None:
    setting = secret_setting(registry)

    @setting.add_validator
    def refuse(value: str, rule: Any, _setting: Any) -> str:
        raise ValueError(f"{value} in {rule!r}")

    async with client_of(registry, SECRET_URL, canned.transport()) as client:
        assert client.status.rejected_rules
        assert_silent(*ears.heard, *said_by(client))


def quote_the_value(setting: Any) -> None:
    try:
        raise KeyError(setting.get(user="u"))
    except KeyError as error:
        error.add_note(CANARY)
        raise ValueError(CANARY) from error


async def test_listener_that_quotes_the_value_gives_nothing_away_but_where_it_raised(
    canned: Canned, registry: Registry, ears: Ears
) -> None:
    setting = secret_setting(registry)
    setting.on_change(quote_the_value)

    async with client_of(registry, SECRET_URL, canned.transport()) as client:
        client.on_change(lambda changed: quote_the_value(*changed))
        canned.rule("n", 1, CANARY, user="u")
        await client.reload()

    assert_silent(*ears.heard)
    told = [text for text in ears.heard if "listener" in text and "raised ValueError" in text]
    assert len(told) >= 2
    assert all(f'{__file__}", line' in text and "in quote_the_value" in text for text in told)
    assert all("caused by KeyError" in text for text in told)


async def test_errors_that_stand_behind_each_other_in_a_circle_are_told_of_once(
    canned: Canned, registry: Registry, ears: Ears
) -> None:
    setting = secret_setting(registry)
    first, second = ValueError(CANARY), KeyError(CANARY)
    first.__cause__, second.__cause__ = second, first

    def fail(_: Any) -> None:
        raise first

    setting.on_change(fail)
    async with client_of(registry, SECRET_URL, canned.transport()) as client:
        canned.rule("n", 1, CANARY, user="u")
        await client.reload()

    assert_silent(*ears.heard)
    assert any(text.count("caused by") == 1 for text in ears.heard)


async def test_get_settings_shows_no_value_in_its_log(
    canned: Canned, registry: Registry, ears: Ears
) -> None:
    canned.add("n", CANARY, type={"secret": CANARY})

    await client_of(registry, SECRET_URL, canned.transport()).get_settings()

    assert ears.heard
    assert_silent(*ears.heard)


@pytest.mark.parametrize(
    "url", [f"ftp://{CANARY}@x", f"http://x?token={CANARY}", f"http://x:{CANARY}", f"//{CANARY}"]
)
def test_service_url_that_is_refused_is_not_shown(registry: Registry, url: str) -> None:
    with pytest.raises(UsageError) as caught:
        AsyncHeksherClient(url, 60, ["user"], registry=registry)

    assert_silent(*everything_of(caught.value))


async def test_header_that_cannot_be_sent_is_not_shown(server: Server, registry: Registry) -> None:
    client = AsyncHeksherClient(
        server.url,
        60,
        ["user"],
        http_client_args={"headers": {"x-token": f"{CANARY}\n"}},
        registry=registry,
    )

    with pytest.raises(HeksherError) as caught:
        await client.ping()

    assert_silent(*everything_of(caught.value))
    await client.aclose()


async def test_password_of_the_url_is_sent_and_stays_out_of_requests_and_logs(
    server: Server, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = server.url.replace("://", f"://user:{CANARY}@")
    client = AsyncHeksherClient(url, 60, ["user"], registry=registry)
    server.service.instead.append(answer(500))

    with pytest.raises(HeksherError) as caught:
        await client.ping()

    error = caught.value
    assert isinstance(error, httpx.HTTPError)
    assert_silent(repr(error.request), str(error.request.url), caplog.text)
    assert httpx.BasicAuth("user", CANARY)._auth_header == server.headers[0]["authorization"]
    await client.aclose()


async def test_debug_mode_of_asyncio_logs_no_secret_of_a_slow_request(
    canned: Canned, registry: Registry, ears: Ears
) -> None:
    canned.instead += [FAILURES["remote"], FAILURES["remote"]]
    asyncio.get_running_loop().slow_callback_duration = 0.0
    secret_setting(registry)
    client = client_of(registry, SECRET_URL, canned.transport())

    with pytest.raises(HeksherError):
        await client.set_as_main()

    assert any("Executing" in text for text in ears.heard)
    assert_silent(*ears.heard)
