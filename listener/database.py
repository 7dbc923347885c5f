"""The database behind the ledger: SQLite in one file, or PostgreSQL, chosen by a URL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from listener.errors import LedgerError

__all__ = ["Database", "UtcDateTime"]


class Database:
    """Transactions that are durable when they end; safe to use from many threads and processes.

    SQLite runs in WAL mode with ``synchronous=FULL``, in a file of mode 0600.

    Parameters
    ----------
    url
        SQLAlchemy URL.
    tables
        What belongs in it; what is missing is made.

    Raises
    ------
    LedgerError
        If the URL names a database in memory.
    OSError, sqlalchemy.exc.SQLAlchemyError
        If it cannot be opened.
    """

    def __init__(self, url: str, tables: sa.MetaData) -> None:
        self._engine = _engine(url)
        with self.writing() as connection:
            tables.create_all(connection)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that only reads."""
        with self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that may write; on SQLite the only one until it ends."""
        with self._engine.connect() as connection:
            writing = connection.execution_options(**{_WRITES: True})
            with writing.begin():
                yield writing

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


class UtcDateTime(sa.TypeDecorator[datetime]):
    """A time in UTC, also on databases that forget the zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Return what is written: the same time in UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Return what is read: timezone-aware, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


_WRITES = "ledger_writes"


def _engine(url: str) -> Engine:
    target = sa.make_url(url)
    if target.get_backend_name() != "sqlite":
        return sa.create_engine(target, hide_parameters=True)
    if not target.database or target.database == ":memory:":
        msg = "A ledger in memory would not be durable; name a file."
        raise LedgerError(msg)
    path = Path(target.database)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    # the write-ahead log and its index take over the file's mode
    path.chmod(0o600)
    # an error must not print the values of its statement
    engine = sa.create_engine(
        target, max_overflow=-1, connect_args={"timeout": 30}, hide_parameters=True
    )
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    # a read lock that grows into a write lock would fail at once when another process writes
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
