"""The storage of the embedded service: one SQLite database for each application."""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Depends, Request
from sqlalchemy import URL, StaticPool, create_engine, event, inspect
from sqlalchemy.exc import DBAPIError

from heksher.server.storage import tables

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection, Engine

_APPLICATION_ID: Final = 0x48656B73  # "Heks": marks a database file as ours
_SCHEMA_VERSION: Final = 1
BUSY_SECONDS: Final = 5.0
"""How long a request waits for another program that holds a lock on the database file."""


class Store:
    """One SQLite database behind one connection and one lock.

    Endpoints are plain functions, which run in the thread pool, so waiting for SQLite never blocks
    the event loop. They hold the lock for a whole transaction. An in-memory database lives in its
    connection, so all threads have to share one anyway. With transactions strictly in sequence, no
    request sees half of another one, and none deadlock. Nothing is awaited while the lock is held,
    so it is released within milliseconds.

    A store that is no longer referenced closes its connection.
    """

    def __init__(self, database: str | os.PathLike[str] | None = None) -> None:
        """Open the database file, creating it if necessary; without one, store everything in memory.

        Raises:
            OSError: The file cannot be used, or is not a database of this service.
        """
        path = None if database is None else os.fspath(database)
        if path == "":
            raise ValueError("expected a path as database, got an empty one")
        self._lock = threading.Lock()
        self._engine = _engine(path)
        self.close: Callable[[], object] = weakref.finalize(self, self._engine.dispose)
        try:
            with self.writing() as connection:
                _prepare(connection, path)
            self._keep_log()
        except DBAPIError as error:
            self.close()
            raise OSError(f"cannot use database {path}: {error.orig}") from error
        except OSError:
            self.close()
            raise

    def _keep_log(self) -> None:
        """Make commits not wait for the disk: a crash loses nothing, a power failure little.

        The file must have been recognised as a database of this service, since this modifies it.
        """
        # Bypasses SQLAlchemy, which would begin a transaction, where this cannot be set.
        connection = self._engine.raw_connection()
        try:
            connection.cursor().execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection that sees one state of the database."""
        with self._lock, self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield a connection whose changes are committed together, or rolled back on an error."""
        # Immediate, since other processes may have the same file open: a transaction that reads
        # first and writes later can fail, while one that takes the write lock at once waits.
        with self._lock, self._engine.execution_options(begin="BEGIN IMMEDIATE").begin() as writer:
            yield writer


def _store_of(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


# The functions of routes run in threads and take a few milliseconds. A dependency that opened a
# transaction would hold it while waiting for a free thread, so routes open their own.
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
        raise OSError(f"database {path} was written by another version of this service")
    if inspect(connection).get_table_names():
        raise OSError(f"{path} is not a database of the embedded service: give another file")
    tables.schema.create_all(connection)
    connection.exec_driver_sql(f"PRAGMA application_id = {_APPLICATION_ID}")
    connection.exec_driver_sql(f"PRAGMA user_version = {_SCHEMA_VERSION}")
