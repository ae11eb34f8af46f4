"""A history on real sockets and in real time, short: a program forks, and both go on."""

from __future__ import annotations

import json
import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from chaos import doors
from chaos.model import Service
from chaos.specs import FEATURES, SPECS
from chaos.violation import Violation
from heksher import ThreadHeksherClient

if TYPE_CHECKING:
    from random import Random

_CHILD_MAY_TAKE: Final = 20
"""Seconds; it takes some milliseconds."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, service: Service) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.service = service
        self.lock = threading.Lock()
        self.connections: list[Any] = []
        """Where each request came from: one for each connection."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))

    def _answer(self, body: Any) -> None:
        path, _, query = self.path.partition("?")
        with self.server.lock:
            self.server.connections.append(self.client_address)
            etag = self.headers.get("If-None-Match")
            status, content, headers = self.server.service.answer(
                self.command, path, query, body, etag
            )
        raw = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: Any) -> None:
        pass


def play(random: Random) -> None:
    """Fork once, and let child and parent update.

    Raises:
        Violation: One disturbs the other, or the child is not updated.
    """
    server = _Server(Service(list(FEATURES)))
    serving = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    serving.start()
    try:
        _Forking(server, random).run()
    finally:
        server.shutdown()
        server.server_close()
        serving.join()


class _Forking:
    def __init__(self, server: _Server, random: Random) -> None:
        self.server = server
        self.random = random
        registry = doors.Registry()
        self.spec = random.choice(SPECS)
        self.setting = self.spec.declare(registry)
        self.client = ThreadHeksherClient(server.url, 3600, FEATURES, registry=registry)

    def run(self) -> None:
        with self.client:
            self._change()
            self.client.reload()
            self._check("before the fork")
            before = set(self.server.connections)
            self._change()
            seen = len(self.server.connections)
            pid = os.fork()
            if not pid:
                self._live_as_child()
            if os.waitpid(pid, 0)[1]:
                raise Violation("freeze", "a forked child is not updated by its own connections")
            if before & set(self.server.connections[seen:]):
                raise Violation("wrong", "a forked child used its parent's connection")
            seen = len(self.server.connections)
            self._change()
            self.client.reload()
            self._check("in the parent, after the fork")
            if not set(self.server.connections[seen:]) <= before:
                raise Violation("wrong", "a forked child closed its parent's connection")

    def _live_as_child(self) -> None:
        try:
            signal.alarm(_CHILD_MAY_TAKE)
            self.setting.get(**dict.fromkeys(self.spec.features))
            self.client.reload()
            self._check("in the child")
            os._exit(0)
        finally:
            os._exit(1)

    def _change(self) -> None:
        kind, number = self.spec.type, self.random.randint(100, 9999)
        self.value = number if kind == "int" else str(number)
        with self.server.lock:
            name = self.spec.name
            self.server.service.add_rule(name, self.value, {self.spec.features[0]: "here"})

    def _check(self, where: str) -> None:
        context = {**dict.fromkeys(self.spec.features), self.spec.features[0]: "here"}
        if (value := self.setting.get(**context)) != self.value:
            raise Violation("freeze", f"{value!r} is read {where}, not {self.value!r}")
