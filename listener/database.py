"""The database behind the ledger: SQLite in one file, or PostgreSQL, chosen by a URL."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError

from listener.errors import LedgerError
from listener.group_commit import GroupCommit

__all__ = ["Database", "UtcDateTime", "ledger_target", "repeated", "utc_now"]

_log = logging.getLogger("wristmir.listener")

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


def utc_now() -> datetime:
    """Return the time of this process, aware, in UTC."""
    return datetime.now(UTC)


class Database:
    """Transactions that are durable when they end; safe to use from many threads and processes.

    SQLite runs in WAL mode with ``synchronous=FULL``, in a file of mode 0600; one transaction
    writes at a time. On PostgreSQL many do, at READ COMMITTED with row locks; where two get in each
    other's way one of them fails, and whoever began it does it again: see `repeated`.

    Nothing connects before the first transaction. A connection that the server has closed
    meanwhile is replaced when it is next taken up.

    Parameters
    ----------
    url
        SQLAlchemy URL of SQLite or PostgreSQL.
    clock
        Gives the time, timezone-aware; None for the database's own, so that the clocks of the
        hosts that share it may differ (SQLite has none but the process's).

    Raises
    ------
    LedgerError
        If the URL is of another kind, or names a database in memory.
    OSError
        If SQLite's file cannot be made.
    """

    def __init__(self, url: str, clock: Callable[[], datetime] | None = None) -> None:
        target = ledger_target(url)
        self.is_postgresql = target.get_backend_name() == "postgresql"
        self._clock = clock
        self._engine = _postgresql(target) if self.is_postgresql else _sqlite(target)
        self._group = GroupCommit(self._leading)
        self._leader: Connection | None = None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that only reads; it sees the database as it stood at one moment."""
        with self._engine.connect() as connection:
            looking = connection
            if self.is_postgresql:
                looking = connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            with looking.begin():
                yield looking

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that may write; on SQLite the only one until it ends."""
        with self._engine.connect() as connection:
            writing = connection.execution_options(**{_WRITES: True})
            with writing.begin():
                yield writing

    def together(self, step: Callable[[Connection], _Result]) -> _Result:
        """Do a step in a transaction that may write, on SQLite with those of other threads.

        PostgreSQL makes what comes at the same time durable together by itself.
        """
        if not self.is_postgresql:
            return self._group.run(step)
        with self.writing() as connection:
            return step(connection)

    @contextmanager
    def _leading(self) -> Iterator[Connection]:
        """Open a transaction as `writing` does, for the group alone: one at a time.

        It keeps its connection, and so SQLite's pages in memory, from one to the next.
        """
        if self._leader is None:
            leads = {_WRITES: True, _LEADS: True}
            self._leader = self._engine.connect().execution_options(**leads)
            driver: Any = self._leader.connection.driver_connection
            driver.execute(_IMPATIENT)  # for good: it only ever waits to begin
        leader = self._leader
        try:
            with leader.begin():
                yield leader
        except BaseException:
            self._leader = None
            leader.invalidate()  # whoever gets it next would not wait for a busy file
            leader.close()
            raise

    def now(self, connection: Connection) -> datetime:
        """Return the time that counts, aware, in UTC: it runs on within a transaction."""
        if self._clock is not None:
            return self._clock()
        if not self.is_postgresql:
            return utc_now()
        told: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
        return told.astimezone(UTC)

    @contextmanager
    def held_alone(self, number: int, seconds: float) -> Iterator[bool]:
        """Hold a lock of PostgreSQL's as long as the block; say whether it could be had in time.

        The server lets it go when this process ends, however it ends. SQLite needs none: whoever
        shares its file shares the host, and its folders' locks.
        """
        if not self.is_postgresql:
            yield True
            return
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            yield _is_locked(connection, number, seconds)
        finally:
            connection.invalidate()  # it ends the session, and the lock with it
            connection.close()

    def close(self) -> None:
        """Close every connection."""
        if self._leader is not None:
            self._leader.close()
            self._leader = None
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


def ledger_target(url: str) -> sa.URL:
    """Take a ledger's URL apart.

    Raises
    ------
    LedgerError
        If it is neither SQLite's nor PostgreSQL's, or names a database in memory.
    """
    target = None
    with contextlib.suppress(ArgumentError):  # its message would quote the URL, password and all
        target = sa.make_url(url)
    kind = None if target is None else target.get_backend_name()
    if target is None or kind not in ("sqlite", "postgresql"):
        msg = "Its URL has to begin with sqlite:/// or postgresql://."
        raise LedgerError(msg)
    if kind == "sqlite" and target.database in (None, "", ":memory:"):
        msg = "A ledger in memory would not be durable; name a file."
        raise LedgerError(msg)
    return target


def repeated(transaction: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
    """Do a transaction again where another one got in its way.

    Two processes may insert the same row at once, lock rows in another order, or change what the
    other has read. One of them fails with nothing done, and finds at the next try what the other
    has left. A lost connection is not tried again: whether its transaction was committed is not
    known.

    Parameters
    ----------
    transaction
        One transaction and nothing else, so that it can be done again.
    """

    @functools.wraps(transaction)
    def done(*given: _Given.args, **named: _Given.kwargs) -> _Result:
        for tried in range(_MOST_TRIES - 1):
            try:
                return transaction(*given, **named)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in _COLLISIONS:
                    raise
                _log.debug("%s is done again: %s", transaction.__name__, type(error).__name__)
            time.sleep(_random.uniform(0, min(0.002 * 2**tried, 0.5)))
        return transaction(*given, **named)

    return done


_WRITES = "ledger_writes"
_LEADS = "ledger_leads"
_MOST_TRIES = 20
_BUSY_SECONDS = 30
_IMPATIENT = "PRAGMA busy_timeout=0"
_PATIENT = f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000}"
_FIRST_PAUSE_SECONDS = 0.0003
_LONGEST_PAUSE_SECONDS = 0.004
_random = random.SystemRandom()

# PostgreSQL appendix A: serialization_failure, deadlock_detected, unique_violation
_COLLISIONS = frozenset({"40001", "40P01", "23505"})
_LOCK_NOT_AVAILABLE = "55P03"

# a host that vanishes is noticed within a minute, on either side; nobody waits for ever
_SESSION = {
    "timezone": "UTC",
    "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": "60s",
    "tcp_keepalives_idle": "20",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
_CONNECTION: Mapping[str, Any] = {
    "application_name": "wristmir",
    "connect_timeout": 10,
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}


def _sqlite(target: sa.URL) -> Engine:
    path = Path(target.database or "")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    # the write-ahead log and its index take over the file's mode
    path.chmod(0o600)
    # an error must not print the values of its statement
    engine = sa.create_engine(
        target, max_overflow=-1, connect_args={"timeout": _BUSY_SECONDS}, hide_parameters=True
    )
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver
    # of several processes that find a new file, one turns it over to the write-ahead log; the
    # others are not kept waiting meanwhile, but told at once that it is busy
    connection.execute(_IMPATIENT)
    is_done = _is_done(connection, "PRAGMA journal_mode=WAL")
    connection.execute(_PATIENT)
    if not is_done:
        connection.execute("PRAGMA journal_mode=WAL")
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if not options.get(_WRITES, False):
        connection.exec_driver_sql("BEGIN")
        return
    # a read lock that grows into a write lock would fail at once when another process writes
    driver: Any = connection.connection.driver_connection
    if options.get(_LEADS, False):
        is_done = _is_done(driver, "BEGIN IMMEDIATE")
    else:
        driver.execute(_IMPATIENT)
        is_done = _is_done(driver, "BEGIN IMMEDIATE")
        driver.execute(_PATIENT)
    if not is_done:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _is_done(driver: Any, statement: str) -> bool:
    """Do what needs the file alone as soon as nobody else has it; False where somebody always has.

    SQLite's own waiting, which has to be off, sleeps up to 100 ms at a time, where a transaction
    takes one: several processes that receive would mostly sleep, and now and then one of them for
    very long.
    """
    until = time.monotonic() + _BUSY_SECONDS
    pause = _FIRST_PAUSE_SECONDS
    while time.monotonic() < until:
        try:
            driver.execute(statement)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                return False
        else:
            return True
        time.sleep(_random.uniform(pause / 2, pause))
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
    return False


def _postgresql(target: sa.URL) -> Engine:
    given = target.query
    wanted = {key: value for key, value in _CONNECTION.items() if key not in given}
    ours = " ".join(f"-c {key}={value}" for key, value in _SESSION.items())
    theirs = given.get("options", "")
    theirs = theirs if isinstance(theirs, str) else " ".join(theirs)
    engine = sa.create_engine(
        target.set(drivername="postgresql+psycopg"),
        connect_args={**wanted, "options": f"{ours} {theirs}".strip()},
        isolation_level="READ COMMITTED",
        hide_parameters=True,
        pool_pre_ping=True,
    )
    sa.event.listen(engine, "connect", _prepare_postgresql)
    return engine


def _prepare_postgresql(connection: Any, _record: object) -> None:
    """See to it that what is committed is on the server's disk, whatever its default is."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('synchronous_commit', 'on', false) "
            "WHERE current_setting('synchronous_commit') = 'off'"
        )
    connection.commit()


def _is_locked(connection: Connection, number: int, seconds: float) -> bool:
    connection.exec_driver_sql(f"SET lock_timeout = {int(seconds * 1000)}")
    try:
        connection.execute(sa.select(sa.func.pg_advisory_lock(number)))
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        return False
    return True
