"""Two services for the clients: a canned one that does what a test wants, and the embedded one."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

import httpx
import pytest

from heksher import AsyncHeksherClient, Setting
from heksher.clients.conversation.effects import Breathe, Request, Send, Wait
from heksher.clients.conversation.memory import Session
from heksher.clients.conversation.refresh import refresh
from heksher.server import create_app
from heksher.settings.setting import declaration_of
from heksher.wire import version_numbers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from heksher.clients.conversation.effects import Answer, Flow
    from heksher.clients.conversation.rule_compiler import Refreshed
    from heksher.settings.registry import Registry
    from heksher.settings.rules.rule_set import RuleSet

T = TypeVar("T")

URL = "http://service.example"


@dataclass
class Canned:
    """A service without I/O: it holds settings and rules, and answers as `answer` is told to.

    A test changes what it holds, or puts functions in front, each of which may answer instead.
    """

    features: list[str] = field(default_factory=lambda: ["environment", "user"])
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    rules: dict[str, list[tuple[int, list[list[str]], Any]]] = field(default_factory=dict)
    instead: list[Callable[[Request], Answer | None]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    generation: int = 1

    def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        for function in self.instead:
            answer = function(request)
            if answer is not None:
                return answer
        return self.usual(request)

    def usual(self, request: Request) -> httpx.Response:
        if request.path == "/api/health":
            return reply(200, {"version": "0.5.7"})
        if request.path == "/api/v1/context_features":
            return reply(200, {"context_features": self.features})
        if request.path == "/api/v1/settings":
            return reply(200, {"settings": [self.settings[name] for name in sorted(self.settings)]})
        if request.path == "/api/v1/settings/declare":
            return self._declare(request.json)
        return self._query(request)

    def add(self, name: str, default: Any, **fields: Any) -> None:
        self.settings[name] = {
            "name": name,
            "configurable_features": ["user"],
            "type": "int",
            "default_value": default,
            "metadata": {},
            "aliases": [],
            "version": "1.0",
            **fields,
        }

    def rule(self, name: str, rule_id: int, value: Any, **conditions: str) -> None:
        pairs = [list(pair) for pair in conditions.items()]
        self.rules.setdefault(name, []).append((rule_id, pairs, value))
        self.generation += 1

    def rename(self, old: str, new: str) -> None:
        moved = self.settings.pop(old)
        self.settings[new] = {**moved, "name": new, "aliases": [*moved["aliases"], old]}
        self.rules[new] = self.rules.pop(old, [])
        self.generation += 1

    def _declare(self, body: dict[str, Any]) -> httpx.Response:
        fields = {key: value for key, value in body.items() if key not in ("alias", "name")}
        former = self.settings.get(body["alias"] or body["name"])
        if former is None:
            self.add(body["name"], **{"default": fields.pop("default_value"), **fields})
            return reply(200, {"outcome": "created"})
        if version_numbers(body["version"]) <= version_numbers(former["version"]):
            return reply(200, {"outcome": "uptodate"})
        if body["alias"]:
            self.rename(body["alias"], body["name"])
        self.settings[body["name"]].update(fields)
        self.generation += 1
        return reply(200, {"outcome": "upgraded", "differences": []})

    def _query(self, request: Request) -> httpx.Response:
        names = names_of(request)
        found = {name: self._canonical(name) for name in names}
        unknown = [name for name, canonical in found.items() if canonical is None]
        if unknown:
            return reply(404, text=f"the following are not setting names: {unknown}")
        etag = f'"{self.generation}"'
        if request.headers.get("If-None-Match") == etag:
            return reply(304, headers={"etag": etag})
        body = {name: self.queried(name) for name in found.values() if name is not None}
        return reply(200, {"settings": body}, headers={"etag": etag})

    def queried(self, name: str) -> dict[str, Any]:
        rules = [
            {"value": value, "context_features": pairs, "rule_id": rule_id}
            for rule_id, pairs, value in self.rules.get(name, [])
        ]
        return {"default_value": self.settings[name]["default_value"], "rules": rules}

    def _canonical(self, name: str) -> str | None:
        if name in self.settings:
            return name
        return next((one for one in self.settings if name in self.settings[one]["aliases"]), None)

    def transport(self) -> httpx.MockTransport:
        """Return a transport that reaches this service."""
        return httpx.MockTransport(self._handle)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        answer = self.answer(
            Request(
                request.method,
                path[path.index("/api") :],
                unquote(request.url.query.decode()),
                json.loads(request.content) if request.content else None,
                dict(request.headers) | _conditional(request),
            )
        )
        if isinstance(answer, Exception):
            raise answer
        return answer

    def sent(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path == f"/api/v1/{path}"]

    @property
    def queries(self) -> list[list[str]]:
        """The names in each query."""
        return [names_of(request) for request in self.sent("query")]

    @property
    def declared(self) -> list[tuple[str, str, str | None]]:
        """Name, version and alias of each declaration."""
        bodies = [request.json for request in self.sent("settings/declare")]
        return [(body["name"], body["version"], body["alias"]) for body in bodies]


def _conditional(request: httpx.Request) -> dict[str, str]:
    etag = request.headers.get("If-None-Match")
    return {} if etag is None else {"If-None-Match": etag}


def names_of(request: Request) -> list[str]:
    names = request.query.partition("settings=")[2].partition("&")[0]
    return names.split(",") if names else []


def reply(
    status: int, body: Any = None, *, text: str = "", headers: dict[str, str] | None = None
) -> httpx.Response:
    request = httpx.Request("GET", URL)
    if body is None:
        return httpx.Response(status, text=text, headers=headers, request=request)
    return httpx.Response(status, json=body, headers=headers, request=request)


class Conversation:
    """Refreshes a session by hand against the canned service, without I/O and without waiting."""

    def __init__(self, service: Canned, registry: Registry, *, declares: bool = True) -> None:
        self.service = service
        self.registry = registry
        self.session = Session(registry, ("environment", "user"), declares=declares)
        self.session.randomness = random.Random(1)  # noqa: S311  # jitter, no secret
        self.kept: list[Setting[Any, ...]] = []
        self.sends: list[int] = []
        self.waits: list[float] = []
        self.breaths = 0

    def drive(self, flow: Flow[T]) -> T:
        answers: list[Answer] | None = None
        while True:
            try:
                effect = flow.send(answers)
            except StopIteration as stop:
                result: T = stop.value
                return result
            answers = None
            if isinstance(effect, Send):
                self.sends.append(len(effect.requests))
                answers = [self.service.answer(request) for request in effect.requests]
            elif isinstance(effect, Wait):
                self.waits.append(effect.seconds)
            else:
                assert isinstance(effect, Breathe)
                self.breaths += 1

    def refresh(self, *, first: bool = False, thorough: bool = False) -> Refreshed:
        """Refresh once, publish, commit."""
        refreshed = self.drive(refresh(self.session, first=first, thorough=thorough))
        self.registry.publish(refreshed.snapshot)
        self.session.commit(refreshed)
        self.last_requests, self.service.requests = self.service.requests, []
        return refreshed

    def rule_set(self, setting: Setting[Any, ...]) -> RuleSet[Any]:
        return self.registry.snapshot.rule_sets[declaration_of(setting).index]


@pytest.fixture
def canned() -> Canned:
    return Canned()


@pytest.fixture
def talk(canned: Canned, registry: Registry) -> Conversation:
    return Conversation(canned, registry)


class Embedded:
    """The embedded service, and what a console would do to it."""

    def __init__(self, http: httpx.AsyncClient, registry: Registry) -> None:
        self.http = http
        self.registry = registry

    def client(self, **options: Any) -> AsyncHeksherClient:
        arguments: dict[str, Any] = {"http_client": self.http, "registry": self.registry, **options}
        return AsyncHeksherClient(URL, 3600, ["environment", "user"], **arguments)

    async def declare(self, name: str, default: Any, **fields: Any) -> None:
        body = {"name": name, "configurable_features": ["user"], "type": "int", "version": "1.0"}
        await self._post("settings/declare", {**body, "default_value": default, **fields})

    async def upgrade(self, name: str, default: Any, **fields: Any) -> None:
        """Declare at 1.0, if need be, and then as *fields* say."""
        await self.declare(name, default, **fields)
        await self.declare(name, default, **{"version": "2.0", **fields})

    async def rule(self, setting: str, value: Any, **conditions: str) -> int:
        body = {"setting": setting, "value": value, "feature_values": conditions}
        rule_id: int = (await self._post("rules", body))["rule_id"]
        return rule_id

    async def _post(self, path: str, body: dict[str, Any]) -> Any:
        response = await self.http.post(f"{URL}/api/v1/{path}", json=body)
        assert response.is_success, response.text
        return response.json()

    async def put(self, path: str, body: dict[str, Any]) -> None:
        response = await self.http.put(f"{URL}/api/v1/{path}", json=body)
        assert response.is_success, response.text

    async def delete(self, path: str) -> None:
        response = await self.http.delete(f"{URL}/api/v1/{path}")
        assert response.is_success, response.text

    async def setting(self, name: str) -> dict[str, Any]:
        response = await self.http.get(f"{URL}/api/v1/settings/{name}")
        held: dict[str, Any] = response.json()
        return held


@pytest.fixture
async def service(registry: Registry) -> AsyncIterator[Embedded]:
    app = create_app(context_features=["environment", "user", "theme"])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as http:
        yield Embedded(http, registry)


class Gated(httpx.AsyncBaseTransport):
    """A transport to the canned service that suspends often, and can be held anywhere."""

    def __init__(self, service: Canned) -> None:
        self.service = service
        self.inner = service.transport()
        self.at_once = self.most_at_once = 0
        self.is_closed = False
        self.reached = asyncio.Event()
        self._held: dict[str, asyncio.Event] = {}

    def hold(self, path: str) -> asyncio.Event:
        """Let no request to *path* through until the event is set that this returns."""
        self.reached.clear()
        self._held[f"/api/v1/{path}"] = released = asyncio.Event()
        return released

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            held = self._held.get(request.url.path)
            if held is not None:
                self.reached.set()
                await held.wait()
            return await self.inner.handle_async_request(request)
        finally:
            self.at_once -= 1

    async def aclose(self) -> None:
        await asyncio.sleep(0)
        self.is_closed = True


@pytest.fixture
def transport(canned: Canned) -> Gated:
    return Gated(canned)


@pytest.fixture
def make_transport() -> Callable[[], Gated]:
    """Makes transports to services of their own."""
    return lambda: Gated(Canned())


class Server:
    """The canned service behind a real socket; it counts its connections."""

    def __init__(self, service: Canned) -> None:
        self.service = service
        self.connections: set[asyncio.StreamWriter] = set()
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.drips: bytes | None = None
        self.hangs = False
        self.url = ""
        self.closed = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.add(writer)
        try:
            while request := await self._read(reader):
                await self._answer(request, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            self.connections.discard(writer)
            writer.close()
            if not self.connections:
                self.closed.set()

    async def _read(self, reader: asyncio.StreamReader) -> Request | None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ")
        headers = {key.lower(): value for key, _, value in (one.partition(": ") for one in lines)}
        self.headers.append(headers)
        self.paths.append(target)
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        path, _, query = target.partition("?")
        etag = headers.get("if-none-match")
        conditional = {} if etag is None else {"If-None-Match": etag}
        content = json.loads(body) if body else None
        return Request(method, path[path.index("/api") :], unquote(query), content, conditional)

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        answer = self.service.answer(request)
        assert isinstance(answer, httpx.Response)
        if self.drips is not None:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")
            while True:
                writer.write(self.drips)
                await writer.drain()
                await asyncio.sleep(0.001)
        head = f"HTTP/1.1 {answer.status_code} X\r\ncontent-length: {len(answer.content)}\r\n"
        etag = answer.headers.get("etag")
        head += f"etag: {etag}\r\n\r\n" if etag else "\r\n"
        writer.write(head.encode() + answer.content)
        await writer.drain()


@pytest.fixture
async def server(canned: Canned) -> AsyncIterator[Server]:
    served = Server(canned)
    listening = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield served
    listening.close()
    for writer in list(served.connections):
        writer.close()
    await asyncio.sleep(0)
