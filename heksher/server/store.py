"""Where the embedded service keeps everything: one SQLite database for each application."""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Depends, Request
from sqlalchemy import URL, StaticPool, create_engine, event, inspect
from sqlalchemy.exc import DBAPIError

from heksher.server import tables

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection, Engine

_APPLICATION_ID: Final = 0x48656B73  # "Heks": marks a database file as ours
_SCHEMA_VERSION: Final = 1
BUSY_SECONDS: Final = 5.0
"""How long a request waits for another program that has the database file locked."""


class Store:
    """One SQLite database behind one connection and one lock.

    Endpoints are plain functions, which run in the thread pool, so waiting for SQLite never blocks
    the event loop. They take the lock for the whole of a transaction: an in-memory database lives
    in its connection, so all threads must share that one anyway, and with transactions strictly
    one after another, two requests can neither see half of each other nor deadlock. Nothing is
    awaited while the lock is held, so it is free again after some milliseconds.

    A store that is no longer used closes its connection by itself.
    """

    def __init__(self, database: str | os.PathLike[str] | None = None) -> None:
        """Open the database file, making it if there is none; without one, keep all in memory.

        Raises:
            OSError: The file cannot be used, or is something else than a database of this service.
        """
        path = None if database is None else os.fspath(database)
        if path == "":
            raise ValueError("the path of the database must not be empty")
        self._lock = threading.Lock()
        self._engine = _engine(path)
        self.close: Callable[[], object] = weakref.finalize(self, self._engine.dispose)
        try:
            with self.writing() as connection:
                _prepare(connection, path)
            self._keep_log()
        except DBAPIError as error:
            self.close()
            raise OSError(f"cannot use the database {path}: {error.orig}") from error
        except OSError:
            self.close()
            raise

    def _keep_log(self) -> None:
        """Let a commit wait for no disk: a crash of this program loses nothing, a power cut little.

        The file has to be known for one of ours by now, since this changes it.
        """
        # Past SQLAlchemy, which would begin a transaction, and in one this cannot be set.
        connection = self._engine.raw_connection()
        try:
            connection.cursor().execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the database."""
        with self._lock, self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection whose changes are kept together, or not at all if an error leaves."""
        # Immediate, since other processes may have the same file open: a transaction that reads
        # first and writes later can fail, one that takes the write lock at once just waits.
        with self._lock, self._engine.execution_options(begin="BEGIN IMMEDIATE").begin() as writer:
            yield writer


def _store_of(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


# The functions of the routes run in threads and are few milliseconds long; a dependency that held
# a transaction open would keep it while waiting for a free thread, so routes open theirs inside.
StoreOfApp = Annotated[Store, Depends(_store_of)]


def _engine(path: str | None) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=path),
        poolclass=StaticPool,
        connect_args={"check_same_thread": False, "timeout": BUSY_SECONDS},
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver begins no transactions of its own
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))

    return engine


def _prepare(connection: Connection, path: str | None) -> None:
    application_id = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
    version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if (application_id, version) == (_APPLICATION_ID, _SCHEMA_VERSION):
        return
    if application_id == _APPLICATION_ID:
        raise OSError(f"the database {path} was written by another version of this service")
    if inspect(connection).get_table_names():
        raise OSError(f"the database {path} is not one of Heksher's embedded service")
    tables.schema.create_all(connection)
    connection.exec_driver_sql(f"PRAGMA application_id = {_APPLICATION_ID}")
    connection.exec_driver_sql(f"PRAGMA user_version = {_SCHEMA_VERSION}")
