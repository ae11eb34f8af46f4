"""A service behind real sockets that fails in whatever way a test wants, and recovers."""

from __future__ import annotations

import json
import socket
import struct
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote

import httpx

from heksher.clients.conversation.effects import Request

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from clients.conftest import Canned

    Fault = Callable[["FaultyServer", socket.socket, bytes], None]

GREATEST = 100_000
"""The `max_response_bytes` that fits the fault `too large`."""


class FaultyServer:
    """Serves a canned service; while `fault` is set, that is done instead of sending an answer."""

    def __init__(self, service: Canned, context: ssl.SSLContext | None = None) -> None:
        self.service = service
        self.context = context
        self.fault: Fault | None = None
        self.recovered = Event()
        self.connections: set[socket.socket] = set()
        self.threads: list[Thread] = []
        self.listener: socket.socket | None = None
        self.port = 0
        self.listen()

    @property
    def url(self) -> str:
        return f"{'https' if self.context else 'http'}://localhost:{self.port}"

    def listen(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", self.port), reuse_port=True)
        self.port = self.listener.getsockname()[1]
        self._spawn(self._accept, self.listener)

    def _spawn(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = Thread(target=target, args=arguments, daemon=True)
        self.threads.append(thread)
        thread.start()

    def fail(self, name: str) -> None:
        self.recovered.clear()
        self.fault = FAULTS[name]
        if name == "connection refused":
            self.hang_up()

    def recover(self) -> None:
        self.fault = None
        self.recovered.set()
        if self.listener is None:
            self.listen()

    def hang_up(self) -> None:
        listener, self.listener = self.listener, None
        if listener is not None:
            # A thread is waiting in accept: closing alone would not end that.
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.recovered.set()
        self.hang_up()
        for thread in self.threads:
            thread.join(5)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections.add(connection)
            self._spawn(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        plain = connection
        try:
            if self.fault in (reset, garbage):
                self.fault(self, connection, b"")
                return
            if self.context is not None:
                connection = self.context.wrap_socket(connection, server_side=True)
                self.connections.add(connection)
            while (request := _read(connection)) is not None:
                answer = _bytes_of(self.service.answer(request))
                fault = self.fault
                if fault is None:
                    connection.sendall(answer)
                else:
                    fault(self, connection, answer)
        except OSError:
            return
        finally:
            connection.close()
            self.connections -= {connection, plain}


def _read(connection: socket.socket) -> Request | None:
    raw = b""
    while b"\r\n\r\n" not in raw:
        received = connection.recv(65536)
        if not received:
            return None
        raw += received
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += connection.recv(65536)
    method, target, _ = first.split(" ")
    path, _, query = target.partition("?")
    etag = headers.get("if-none-match")
    conditional = {} if etag is None else {"If-None-Match": etag}
    return Request(method, path, unquote(query), json.loads(body) if body else None, conditional)


def _bytes_of(answer: httpx.Response | Exception) -> bytes:
    assert isinstance(answer, httpx.Response)
    return raw_answer(answer.status_code, answer.content, dict(answer.headers))


def raw_answer(status: int, body: bytes, headers: dict[str, str] | None = None) -> bytes:
    fields = {**(headers or {}), "content-length": str(len(body))}
    lines = "".join(f"{key}: {value}\r\n" for key, value in fields.items())
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body


def reset(_: FaultyServer, connection: socket.socket, answer: bytes) -> None:
    """Send a part, if there is anything to send, and reset the connection."""
    connection.sendall(answer[:-5])
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def garbage(_: FaultyServer, connection: socket.socket, answer: bytes) -> None:
    connection.sendall(b"\x00\xff no protocol that anybody knows\r\n\r\n" + answer[:0])
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def refuse(_: FaultyServer, connection: socket.socket, __: bytes) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def reset_mid_body(server: FaultyServer, connection: socket.socket, answer: bytes) -> None:
    has_body = not answer.endswith(b"\r\n\r\n")
    reset(server, connection, answer if has_body else raw_answer(200, b" " * 20))


def hang(server: FaultyServer, _: socket.socket, __: bytes) -> None:
    server.recovered.wait(30)


def hang_mid_body(server: FaultyServer, connection: socket.socket, answer: bytes) -> None:
    connection.sendall(answer[:-1])
    server.recovered.wait(30)


def drip(server: FaultyServer, connection: socket.socket, text: bytes) -> None:
    """Send a byte again and again, each within any timeout of a single step."""
    for byte in text:
        if server.recovered.wait(0.02):
            return
        connection.sendall(bytes([byte]))


def drip_headers(server: FaultyServer, connection: socket.socket, _: bytes) -> None:
    drip(server, connection, b"HTTP/1.1 200 X\r\n" + b"x: y\r\n" * 1000)


def drip_body(server: FaultyServer, connection: socket.socket, _: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 X\r\ncontent-length: 100000\r\n\r\n")
    drip(server, connection, b" " * 100_000)


def too_large(_: FaultyServer, connection: socket.socket, __: bytes) -> None:
    """Begin to send 200 MB."""
    connection.sendall(b"HTTP/1.1 200 X\r\ncontent-length: 200000000\r\n\r\n")
    with suppress(OSError):
        for _megabyte in range(200):
            connection.sendall(b" " * 1_000_000)


def answering(status: int, body: bytes, **headers: str) -> Fault:
    def fault(_: FaultyServer, connection: socket.socket, __: bytes) -> None:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.sendall(raw_answer(status, body, fields))

    return fault


def truncated(_: FaultyServer, connection: socket.socket, answer: bytes) -> None:
    """Send less JSON than there is, as a whole answer."""
    body = answer.partition(b"\r\n\r\n")[2]
    connection.sendall(raw_answer(200, body[: len(body) // 2]))


FAULTS: dict[str, Fault] = {
    "connection refused": refuse,
    "reset at connect": reset,
    "reset mid-body": reset_mid_body,
    "garbage instead of a protocol": garbage,
    "timeout before headers": hang,
    "headers that drip": drip_headers,
    "timeout mid-body": hang_mid_body,
    "a body that drips": drip_body,
    "truncated JSON": truncated,
    "wrong JSON": answering(200, b'{"settings": 3, "context_features": {}}'),
    "HTML with 200": answering(200, b"<html>Welcome</html>", content_type="text/html"),
    "an empty body": answering(200, b""),
    "no UTF-8": answering(200, b'{"settings": {"\xff": 1}}'),
    "too large": too_large,
    "304 for what was never fetched": answering(304, b"", etag='"x"'),
    "204": answering(204, b""),
    "redirect": answering(302, b"", location="http://localhost:1/"),
    "401": answering(401, b"", www_authenticate="Basic"),
    "403": answering(403, b""),
    "404": answering(404, b"{}"),
    "409": answering(409, b'{"outcome": "mismatch"}', content_type="application/json"),
    "429 with Retry-After": answering(429, b"", retry_after="86400"),
    "500": answering(500, b"Internal Server Error"),
    "503 with Retry-After": answering(503, b"", retry_after="Tue, 24 Nov 2099 00:00:00 GMT"),
    "a compressed body that is none": answering(200, b"no gzip", content_encoding="gzip"),
}
