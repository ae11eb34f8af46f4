"""A service that answers like Heksher from prepared bytes, so that only the client is measured.

`Canned` makes the answers, `python canned.py` serves them over loopback. Needs nothing but Python:
the worker of heksher-py uses it, too.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from dataclasses import dataclass, field
from hashlib import md5
from itertools import combinations
from typing import Any
from urllib.parse import parse_qs, unquote

FEATURES = ("environment", "user", "theme", "region", "tier")

TYPES = (
    "int",
    "str",
    'Enum["blue","green","red"]',
    "Sequence<int>",
    "Mapping<str>",
)
"""The type of each setting, in turns; `clients.py` declares them in the same order."""


DEFAULTS: tuple[Any, ...] = (5, "text", "red", [1, 2], {"a": "b"})
"""The default of each type."""


def value_of(kind: int, number: int) -> Any:
    """Return a value that the type takes whole."""
    return (
        number,
        f"text{number}",
        ("blue", "green", "red")[number % 3],
        [number, number % 7, 3],
        {"a": f"b{number}", "c": "d"},
    )[kind]


def _conditions(generator: random.Random | None, number: int) -> list[list[str]]:
    if generator is None:
        return [["user", f"user{number}"]]
    width = generator.randint(1, len(FEATURES))
    masks = list(combinations(FEATURES, width))
    mask = masks[generator.randrange(len(masks))]
    return [[feature, f"{feature}{number}"] for feature in mask]


@dataclass
class Plan:
    """What the service holds.

    Attributes:
        settings: How many settings there are, called `s0`, `s1` and so on after *prefix*.
        rules: How many rules each has.
        known: How many of them the service lists from the beginning; the others are new to it.
        random_masks: Whether rules have conditions on features chosen at random, instead of `user`.
        prefix: What names begin with; real ones are some 27 characters long.
        small: Whether all settings are of type `int`, with values that Python holds anyway.
    """

    settings: int
    rules: int
    known: int | None = None
    random_masks: bool = False
    prefix: str = "s"
    small: bool = False

    def name(self, place: int) -> str:
        return f"{self.prefix}{place}"

    def kind(self, place: int) -> int:
        """Return the place in `TYPES` of a setting's type."""
        return 0 if self.small else place % len(TYPES)


@dataclass
class Canned:
    """The answers, and a count of what was asked.

    Attributes:
        plan: What the service holds.
        requests: How many requests came, by method and path.
        statuses: How many answers had each status.
        most_at_once: How many declarations were open at once, at most.
    """

    plan: Plan
    requests: dict[str, int] = field(default_factory=dict)
    statuses: dict[int, int] = field(default_factory=dict)
    bytes_sent: int = 0
    open_declarations: int = 0
    most_at_once: int = 0

    def __post_init__(self) -> None:
        plan = self.plan
        self._chunks = [
            {plan.name(place): self._chunk(place, revision) for place in range(plan.settings)}
            for revision in range(2)
        ]
        self._bare = {
            plan.name(place): self._chunk(place, 0, rules=0) for place in range(plan.settings)
        }
        self._now = self._chunks[0]
        known = plan.settings if plan.known is None else plan.known
        self._listed = {plan.name(place) for place in range(known)}
        entries = [self._entry(place) for place in range(known)]
        self._list = json.dumps({"settings": entries}).encode()
        self._features = json.dumps({"context_features": FEATURES}).encode()

    def _entry(self, place: int) -> dict[str, Any]:
        return {
            "name": self.plan.name(place),
            "configurable_features": list(FEATURES),
            "type": TYPES[self.plan.kind(place)],
            "default_value": DEFAULTS[self.plan.kind(place)],
            "metadata": {},
            "aliases": [],
            "version": "1.0",
        }

    def _chunk(self, place: int, revision: int, rules: int | None = None) -> bytes:
        generator = random.Random(place) if self.plan.random_masks else None  # noqa: S311  # no secret
        number = self.plan.rules if rules is None else rules
        kind, values = self.plan.kind(place), 250 if self.plan.small else 1000
        answer = {
            "default_value": DEFAULTS[kind],
            "rules": [
                {
                    "value": value_of(kind, (place + one + revision) % values),
                    "context_features": _conditions(generator, (place * 7 + one) % 1000),
                    "rule_id": place * number + one,
                }
                for one in range(number)
            ],
        }
        return f'"{self.plan.name(place)}":{json.dumps(answer, separators=(",", ":"))}'.encode()

    def change(self, what: str) -> None:
        """Change the rules: of `all` settings, of `one`, or take them all away (`none`)."""
        if what == "all":
            self._now = self._chunks[1] if self._now is self._chunks[0] else self._chunks[0]
        elif what == "none":
            self._now = self._bare
        else:
            name = self.plan.name(0)
            other = self._chunks[1] if self._now is self._chunks[0] else self._chunks[0]
            self._now = {**self._now, name: other[name]}

    def answer(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of an answer."""
        path, _, query = target.partition("?")
        path = path.rstrip("/")
        if path.startswith("/bench/"):
            return self._control(path)
        key = f"{method} {path}"
        self.requests[key] = self.requests.get(key, 0) + 1
        status, answer_headers, content = self._answer(key, query, headers, body)
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.bytes_sent += len(content)
        return status, answer_headers, content

    def _control(self, path: str) -> tuple[int, dict[str, str], bytes]:
        what = path.removeprefix("/bench/")
        if what == "counts":
            counts = {
                "requests": self.requests,
                "statuses": self.statuses,
                "bytes": self.bytes_sent,
                "most_at_once": self.most_at_once,
            }
            answer = json.dumps(counts).encode()
            self.requests, self.statuses, self.bytes_sent, self.most_at_once = {}, {}, 0, 0
            return 200, {}, answer
        if what == "whole":
            return 200, {}, b'{"settings":{' + b",".join(self._now.values()) + b"}}"
        self.change(what)
        return 200, {}, b"{}"

    def _answer(
        self, key: str, query: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        if key == "GET /api/v1/context_features":
            return 200, {}, self._features
        if key == "GET /api/v1/settings":
            return 200, {}, self._list
        if key == "POST /api/v1/settings/declare":
            known = json.loads(body)["name"] in self._listed
            self._listed.add(json.loads(body)["name"])
            outcome = {"outcome": "uptodate" if known else "created", "latest_version": "1.0"}
            return 200, {}, json.dumps(outcome).encode()
        if key == "GET /api/v1/query":
            names = unquote(parse_qs(query)["settings"][0]).split(",")
            content = b'{"settings":{' + b",".join([self._now[name] for name in names]) + b"}}"
            etag = f'"{md5(content, usedforsecurity=False).hexdigest()}"'
            if headers.get("if-none-match") == etag:
                return 304, {"etag": etag}, b""
            return 200, {"etag": etag}, content
        return 404, {}, b""


class Server:
    """Serves a `Canned` over HTTP/1.1, each answer after a delay."""

    def __init__(self, canned: Canned, delay: float) -> None:
        self._canned = canned
        self._delay = delay

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await self._one(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ")
        headers = {
            name.lower(): value
            for name, _, value in (line.partition(": ") for line in lines if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        declares = method == "POST"
        self._canned.open_declarations += declares
        self._canned.most_at_once = max(self._canned.most_at_once, self._canned.open_declarations)
        if self._delay and not target.startswith("/bench/"):
            await asyncio.sleep(self._delay)
        status, answer_headers, content = self._canned.answer(method, target, headers, body)
        self._canned.open_declarations -= declares
        fields = {
            "content-type": "application/json",
            "content-length": str(len(content)),
            **answer_headers,
        }
        lines = [f"HTTP/1.1 {status} X", *[f"{name}: {value}" for name, value in fields.items()]]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        await writer.drain()


async def serve(plan: Plan, delay: float) -> None:
    handler = Server(Canned(plan), delay).handle
    server = await asyncio.start_server(handler, "127.0.0.1", 0, limit=1 << 22)
    port = server.sockets[0].getsockname()[1]
    # The harness reads the port, and ends this process by closing its standard input.
    print(json.dumps({"url": f"http://127.0.0.1:{port}"}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    asyncio.run(serve(Plan(**arguments["plan"]), arguments["delay"]))
