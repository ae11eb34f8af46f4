"""The command line of the embedded service, as a process of its own."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from heksher.server.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECONDS_TO_END = 10


class Service:
    """A running service."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        line = process.stdout.readline()
        found = re.fullmatch(r"Heksher is listening on (http://127\.0\.0\.1:(\d+))\n", line)
        assert found, line
        self.url, self.port = found[1], int(found[2])

    def end(self, number: signal.Signals) -> tuple[int, str, str]:
        self.process.send_signal(number)
        output, errors = self.process.communicate(timeout=SECONDS_TO_END)
        return self.process.returncode, output, errors


@contextmanager
def running(*arguments: str) -> Iterator[Service]:
    with subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "heksher.server", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Service(process)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running("--context-features", "account,user") as service:
        yield service


def declaration(**fields: Any) -> dict[str, Any]:
    common = {"name": "x", "configurable_features": ["user"], "type": "int", "default_value": 1}
    return {**common, **fields}


def test_it_answers_once_it_says_where(service: Service) -> None:
    answer = httpx.get(f"{service.url}/api/v1/context_features")

    assert answer.json() == {"context_features": ["account", "user"]}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_although_connections_are_open(number: signal.Signals) -> None:
    with running() as service, httpx.Client(base_url=service.url) as client:
        assert client.get("/api/health").json() == {"version": "0.5.7"}
        with socket.create_connection(("127.0.0.1", service.port)) as silent:
            silent.sendall(b"GET /api/health HTTP/1.1\r\n")

            assert service.end(number) == (0, "", "")


def test_database_outlives_it(tmp_path: Path) -> None:
    arguments = ["--database", str(tmp_path / "heksher.db"), "--context-features", "user"]
    with running(*arguments) as service:
        httpx.post(f"{service.url}/api/v1/settings/declare", json=declaration())
        before = httpx.get(f"{service.url}/api/v1/query")
        service.end(signal.SIGTERM)
    assert [path.name for path in tmp_path.iterdir()] == ["heksher.db"]

    with running(*arguments[:2]) as service:
        etag = {"if-none-match": before.headers["etag"]}
        after = httpx.get(f"{service.url}/api/v1/query", headers=etag)

    assert after.status_code == 304


def test_killed_process_leaves_a_usable_database(tmp_path: Path) -> None:
    arguments = ["--database", str(tmp_path / "heksher.db"), "--context-features", "user"]
    with running(*arguments) as service:
        httpx.post(f"{service.url}/api/v1/settings/declare", json=declaration())
        service.end(signal.SIGKILL)

    with running(*arguments) as service:
        again = httpx.post(f"{service.url}/api/v1/settings/declare", json=declaration())

    assert again.json() == {"outcome": "uptodate"}


def test_clients_declaring_at_once_over_the_wire(service: Service) -> None:
    url = f"{service.url}/api/v1/settings/declare"
    with ThreadPoolExecutor(20) as pool:
        bodies = [declaration(name="same")] * 20
        answers = list(pool.map(lambda body: httpx.post(url, json=body), bodies))

    outcomes = sorted(answer.json()["outcome"] for answer in answers)
    assert outcomes == ["created", *["uptodate"] * 19]


@pytest.mark.parametrize("length", [65_535, 65_536, 65_537, 1_000_000])
def test_long_query_is_read_whole(service: Service, length: int) -> None:
    httpx.post(f"{service.url}/api/v1/settings/declare", json=declaration(name="long"))
    query = "settings=long," + "x" * (length - len("settings=long,"))
    connection = http.client.HTTPConnection("127.0.0.1", service.port)

    connection.request("GET", f"/api/v1/query?{query}")
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()

    assert (answer.status, text) == (
        404,
        f"the following are not setting names: ['{query.rpartition(',')[2]}']",
    )


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /%FF%00?%FF HTTP/1.1",
        b"GET /api/v1/settings/%ED%A0%80/?\xff HTTP/1.1",
        b"GET /api/v1/rules/" + b"9" * 10_000 + b" HTTP/1.1",
        b"GET http://elsewhere/api/health HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"\xff\xfe",
        b"GET",
    ],
    ids=lambda line: repr(line[:30]),
)
def test_strange_requests_over_the_wire(service: Service, request_line: bytes) -> None:
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(request_line + b"\r\nhost: h\r\nconnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))

    assert re.match(rb"HTTP/1.1 [234]\d\d ", answer)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "70000"], "expected a port from 0 to 65535, got '70000'"),
        (["--port", "http"], "got 'http'"),
        (["--port", "-1"], "got '-1'"),
        (["--port", "9" * 5000], "expected a port from 0 to 65535"),
        (["--prot", "1"], "unrecognized arguments"),
        (["--context-features", "a,b-c"], "invalid context feature 'b-c'"),
        (["--context-features", "a,,b"], "invalid context feature ''"),
        (["--context-features", "a,a"], "repeated context feature in a, a"),
        (["--database", "/absent/heksher.db"], "cannot use database /absent/heksher.db"),
        (["--database", ""], "expected a path as database, got an empty one"),
        (["--host", "no such host"], "cannot listen on no such host"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_arguments_are_said_in_words(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code: Any = main(arguments)
    except SystemExit as exit_:
        code = exit_.code

    printed = capsys.readouterr()
    assert code in {1, 2}
    assert printed.out == ""
    assert message in printed.err
    assert "Traceback" not in printed.err


def test_port_in_use_is_said_in_words(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--port", str(service.port)])

    assert code == 1
    assert capsys.readouterr().err == (
        f"python -m heksher.server: cannot listen on 127.0.0.1, port {service.port}:"
        f" Address already in use\n"
    )


def test_features_that_the_database_has_otherwise_are_said_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = str(tmp_path / "heksher.db")
    with running("--database", database, "--context-features", "a,b") as service:
        service.end(signal.SIGTERM)

    code = main(["--database", database, "--context-features", "b,a"])

    assert code == 1
    assert "has the context features a, b, got b, a: give all of them" in capsys.readouterr().err


def test_database_of_another_program_is_said_in_words(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE t (c)")
    other.close()

    ended = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "heksher.server", "--database", str(tmp_path / "other.db")],
        capture_output=True,
        text=True,
        timeout=SECONDS_TO_END,
        check=False,
    )

    assert ended.returncode == 1
    assert "is not a database of the embedded service" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("package", ["fastapi", "sqlalchemy", "uvicorn"])
def test_missing_extra_is_said_in_words(package: str) -> None:
    program = (
        f"import runpy, sys; sys.modules[{package!r}] = None;"
        " sys.argv = ['heksher.server', '--port', '0'];"
        " runpy.run_module('heksher.server', run_name='__main__')"
    )

    ended = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=SECONDS_TO_END,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )

    assert ended.returncode == 1
    assert "pip install 'heksher[server]'" in ended.stderr
    assert "Traceback" not in ended.stderr
