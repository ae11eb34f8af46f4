"""The embedded service in a program of one's own: its stores, and what it is started with."""

from __future__ import annotations

import asyncio
import gc
import json
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import Engine, event, insert

from heksher.server import create_app
from heksher.server.storage import tables

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDED = Path(__file__).parents[1] / "exchanges"


def client_of(app: FastAPI) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://heksher.test")


async def get(app: FastAPI, path: str) -> Any:
    async with client_of(app) as client:
        return (await client.get(path)).json()


async def declare(app: FastAPI, name: str) -> Any:
    body = {"name": name, "configurable_features": ["a"], "type": "int", "default_value": 1}
    async with client_of(app) as client:
        return (await client.post("/api/v1/settings/declare", json=body)).json()


async def features(app: FastAPI) -> list[str]:
    names: list[str] = (await get(app, "/api/v1/context_features"))["context_features"]
    return names


async def test_applications_share_nothing() -> None:
    first, second = create_app(context_features=["a"]), create_app(context_features=["a"])

    await declare(first, "x")

    assert await declare(first, "x") == {"outcome": "uptodate"}
    assert await declare(second, "x") == {"outcome": "created"}


def test_one_application_serves_many_threads_and_event_loops() -> None:
    app = create_app(context_features=["a"])
    threads = [
        threading.Thread(target=lambda name=f"s{i}": asyncio.run(declare(app, name)))
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    listed = asyncio.run(get(app, "/api/v1/settings"))

    assert [setting["name"] for setting in listed["settings"]] == [f"s{i}" for i in range(8)]


async def test_application_can_be_mounted_in_another() -> None:
    outer = FastAPI()
    outer.mount("/heksher", create_app(context_features=["a"]))

    assert await get(outer, "/heksher/api/v1/context_features") == {"context_features": ["a"]}


async def test_file_keeps_everything(tmp_path: Path) -> None:
    database = tmp_path / "heksher.db"
    await declare(create_app(context_features=["a"], database=database), "x")

    again = create_app(database=str(database))

    assert await declare(again, "x") == {"outcome": "uptodate"}
    assert await features(again) == ["a"]


async def test_two_applications_on_one_file_see_each_other(tmp_path: Path) -> None:
    first = create_app(context_features=["a"], database=tmp_path / "heksher.db")
    second = create_app(database=tmp_path / "heksher.db")

    await declare(first, "x")

    assert await declare(second, "x") == {"outcome": "uptodate"}


def test_application_that_nobody_has_closes_its_database(tmp_path: Path) -> None:
    app = create_app(context_features=["a"], database=tmp_path / "heksher.db")
    asyncio.run(declare(app, "x"))
    close = app.state.store.close

    del app
    gc.collect()

    assert not close.alive
    assert [path.name for path in tmp_path.iterdir()] == ["heksher.db"]


def recorded_starts() -> Iterator[tuple[str, list[str] | None]]:
    """Yield the features that the real service was started with, and those it had then."""
    recorded = json.loads((RECORDED / "startup_features.json").read_text(encoding="utf-8"))
    for exchange in recorded["exchanges"][1:]:
        note = exchange["note"]
        if note.startswith("restarted with features"):
            names = note.split("'")[1] if "FEATURES_UNSET" not in note else ""
            answered = exchange["response"]["json"]
            yield names, answered and answered["context_features"]
        else:
            yield "+runtime", None


async def test_starts_are_the_recorded_ones(tmp_path: Path) -> None:
    """As the documentation says, a feature can also be put before all others."""
    create_app(context_features=["account", "user"], database=tmp_path / "heksher.db")
    stored = ["account", "user"]
    for names, expected in recorded_starts():
        if names == "+runtime":
            stored = [*stored, "runtime"]
            async with client_of(create_app(database=tmp_path / "heksher.db")) as client:
                await client.post("/api/v1/context_features", json={"context_feature": "runtime"})
            continue
        wanted = names.split(";") if names else []
        if expected is None and wanted[0] == "first":
            continue
        if expected is None:
            with pytest.raises(ValueError, match=f"features {', '.join(stored)}, got"):
                create_app(context_features=wanted, database=tmp_path / "heksher.db")
            continue
        app = create_app(context_features=wanted, database=tmp_path / "heksher.db")
        stored = await features(app)
        assert stored == expected


async def test_start_puts_new_features_anywhere(tmp_path: Path) -> None:
    create_app(context_features=["a", "b"], database=tmp_path / "heksher.db")

    app = create_app(context_features=["x", "a", "y", "b", "z"], database=tmp_path / "heksher.db")

    assert await features(app) == ["x", "a", "y", "b", "z"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a-b"], "invalid context feature 'a-b'"),
        ([""], "invalid context feature ''"),
        (["a\n\n", "é"], "invalid context feature 'é'"),
        (["a", "b", "a"], "repeated context feature in a, b, a"),
        ("abc", "list of context features, got a str: 'abc'"),
    ],
)
def test_features_that_cannot_be(names: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create_app(context_features=names)


def test_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing of a database" * 1000)

    for path in (tmp_path / "notes.txt", tmp_path, tmp_path / "absent" / "heksher.db"):
        with pytest.raises(OSError, match=f"cannot use database {path}"):
            create_app(database=path)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("CREATE TABLE t (c)", "is not a database of the embedded service"),
        ("PRAGMA user_version = 99", "was written by another version"),
    ],
)
def test_database_of_something_else(tmp_path: Path, statement: str, message: str) -> None:
    if "PRAGMA" in statement:
        create_app(database=tmp_path / "other.db")
        gc.collect()
    connection = sqlite3.connect(tmp_path / "other.db")
    connection.execute(statement)
    connection.close()

    with pytest.raises(OSError, match=message):
        create_app(database=tmp_path / "other.db")


def test_empty_path_is_no_database() -> None:
    with pytest.raises(ValueError, match="got an empty one"):
        create_app(database="")


def fill(app: FastAPI, *, settings: int, rules: int) -> None:
    """Store many settings, and many rules on each, faster than by requests."""
    setting = {"type": "int", "default_value": "1", "version": "1.0", "metadata": "{}"}
    with app.state.store.writing() as connection:
        connection.execute(
            insert(tables.settings),
            [{"id": i, "name": f"s{i}", **setting} for i in range(settings)],
        )
        ids = [(i * rules + j + 1, i, j) for i in range(settings) for j in range(rules)]
        if not ids:
            return
        connection.execute(
            insert(tables.rules),
            [
                {"id": k, "setting_id": i, "value": "2", "metadata": "{}", "conditions_key": str(j)}
                for k, i, j in ids
            ],
        )
        connection.execute(
            insert(tables.conditions),
            [{"rule_id": k, "feature": "user", "value": f"u{j}"} for k, _, j in ids],
        )


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """Collect the SQL statements of all engines."""
    seen: list[str] = []

    def collect(_c: object, _cur: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", collect)
    yield seen
    event.remove(Engine, "before_cursor_execute", collect)


async def test_query_takes_few_statements_however_much_it_answers(statements: list[str]) -> None:
    app = create_app(context_features=["user"])
    fill(app, settings=300, rules=10)
    statements.clear()

    by_name = await get(app, f"/api/v1/query?settings={','.join(f's{i}' for i in range(300))}")

    assert len(by_name["settings"]) == 300
    assert all(len(setting["rules"]) == 10 for setting in by_name["settings"].values())
    assert len([statement for statement in statements if "SELECT" in statement]) == 5


async def test_query_of_more_than_the_real_service_can_answer() -> None:
    many = 33_000
    settings, rules = create_app(context_features=["user"]), create_app(context_features=["user"])
    fill(settings, settings=many, rules=0)
    fill(rules, settings=1, rules=many)

    everything = await get(settings, "/api/v1/query")
    one = await get(rules, "/api/v1/query?settings=s0")
    filtered = await get(rules, "/api/v1/query?settings=s0&context_filters=user:(u7)")

    assert len(everything["settings"]) == many
    assert len(one["settings"]["s0"]["rules"]) == many
    assert [rule["rule_id"] for rule in filtered["settings"]["s0"]["rules"]] == [8]


async def outcome(app: FastAPI, type_string: str, default: object, version: str) -> str:
    body = {
        "name": "z",
        "configurable_features": ["a"],
        "type": type_string,
        "default_value": default,
        "version": version,
    }
    async with client_of(app) as client:
        answer = await client.post("/api/v1/settings/declare", json=body)
    return str(answer.json()["outcome"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (("int", 0), ("bool", False)),
        (("bool", True), ("int", 1)),
        (("Sequence<int>", [0]), ("Sequence<bool>", [False])),
        (("Enum[1,true]", 1), ("Enum[true]", True)),
    ],
    ids=["int to bool", "bool to int", "in a sequence", "in an enum"],
)
async def test_upgrade_of_the_type_takes_a_default_that_python_calls_equal(
    old: tuple[str, object], new: tuple[str, object]
) -> None:
    app = create_app(context_features=["a"])
    await outcome(app, *old, "1.0")

    assert await outcome(app, *new, "2.0") == "upgraded"

    stored = (await get(app, "/api/v1/settings/z"))["default_value"]
    assert json.dumps(stored) == json.dumps(new[1])


def test_database_of_another_program_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.db"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()
    before = foreign.read_bytes()

    with pytest.raises(OSError, match="not a database of the embedded service"):
        create_app(database=foreign)

    assert foreign.read_bytes() == before


async def test_database_that_another_program_keeps_locked_is_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heksher.server.storage.store.BUSY_SECONDS", 0.05)
    app = create_app(context_features=["a"], database=tmp_path / "shared.db")
    other = sqlite3.connect(tmp_path / "shared.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async with client_of(app) as client:
        answer = await client.post("/api/v1/context_features", json={"context_feature": "z"})
    other.close()

    assert (answer.status_code, "another program" in answer.text) == (423, True)
    app.state.store.close()
