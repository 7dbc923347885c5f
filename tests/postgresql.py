"""A PostgreSQL server of Debian's, in a temporary folder and on a socket in it."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from peers import peer

BOTH = ("sqlite", pytest.param("postgresql", marks=pytest.mark.peers))
"""The kinds of database that a ledger may lie in."""

_WHO_MAY = "local all wristmir trust\nlocal all all scram-sha-256\n"
_PORT = 5432  # no port: a part of the socket's name


class PostgreSQL:
    """One server; ``databases`` come and go while it runs.

    Parameters
    ----------
    folder
        Short, because the path of a socket has to be.
    durable
        Whether it survives what it would survive in a hospital; quick otherwise.
    """

    def __init__(self, folder: Path, *, durable: bool) -> None:
        self._folder = folder
        self._durable = durable
        self._account = _account(folder)
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        how = ["--auth=trust", "--username=wristmir", "--encoding=UTF8", "--locale=C"]
        how += [] if durable else ["--no-sync"]
        made = self._as_itself([peer("initdb"), "-D", self._data, *how]).wait()
        assert made == 0, (folder / "log").read_text()[-2000:]
        (folder / "data" / "pg_hba.conf").write_text(_WHO_MAY, encoding="ascii")

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = {"listen_addresses": "", "unix_socket_directories": str(self._folder)}
        options |= {"max_connections": "60", "shared_buffers": "16MB"}
        if not self._durable:
            options |= {"fsync": "off", "full_page_writes": "off"}
        given = [word for key, value in options.items() for word in ("-c", f"{key}={value}")]
        self._process = self._as_itself([peer("postgres"), "-D", self._data, *given])
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT cuts every connection, SIGQUIT does so without writing anything."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def database(self, owner: str = "wristmir") -> str:
        """Make an empty database and return its URL; any other owner needs a password."""
        name = f"ledger_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} OWNER {owner}")
        return f"postgresql://{owner}@/{name}?host={self._folder}&port={_PORT}"

    def drop(self, url: str) -> None:
        """Delete a database that `database` has made."""
        self.execute(f"DROP DATABASE {name_of(url)} WITH (FORCE)")

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as the server's owner, outside a transaction."""
        link = {"host": str(self._folder), "port": _PORT, "user": "wristmir", "dbname": database}
        with psycopg.connect(**link, autocommit=True) as connection:  # type: ignore[arg-type]
            done = connection.execute(statement.encode())
            return done.fetchall() if done.description else []

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _as_itself(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Start a program as the account that owns the folder: none of these runs as root."""
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self._folder,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
                **self._account,
            )


def name_of(url: str) -> str:
    """Return the name of the database behind a URL."""
    return url.partition("@/")[2].partition("?")[0]


@contextmanager
def server(*, durable: bool) -> Iterator[PostgreSQL]:
    """Run a server until the block ends; skip, or fail, where PostgreSQL is not installed."""
    peer("initdb")
    folder = Path(tempfile.mkdtemp(prefix="wristmir-postgresql-"))
    it = None
    try:
        it = PostgreSQL(folder, durable=durable)
        it.start()
        yield it
    finally:
        if it is not None:
            it.stop(signal.SIGINT if durable else signal.SIGQUIT)
        shutil.rmtree(folder)


def _account(folder: Path) -> dict[str, Any]:
    """Return which account to step down to, and make the folder its own; none unless root."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    account = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    os.chown(folder, account.pw_uid, account.pw_gid)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
