"""A small database that only its owner may read, and that survives a power cut."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import sqlalchemy as sa

__all__ = ["open_database"]


def open_database(url: str, tables: sa.MetaData) -> sa.Engine:
    """Open a database, making its tables where they are missing.

    A SQLite file gets mode 0600, a write-ahead log that is flushed at every commit, and zeros
    where something was deleted.

    Parameters
    ----------
    url
        SQLAlchemy URL, for example ``sqlite:////var/lib/wristmir/records.sqlite3``.
    tables
        What belongs in it.
    """
    parsed = sa.make_url(url)
    sqlite = parsed.get_backend_name() == "sqlite"
    if sqlite and parsed.database not in (None, "", ":memory:"):
        _keep_private(Path(str(parsed.database)))
    # an error must not print the values of its statement
    engine = sa.create_engine(parsed, hide_parameters=True)
    if sqlite:
        sa.event.listen(engine, "connect", _make_durable)
    tables.create_all(engine)
    return engine


def _keep_private(path: Path) -> None:
    """Make the file before SQLite does: its journal files take over the mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def _make_durable(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in (
        "busy_timeout=10000",  # first: the next one may have to wait already
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "secure_delete=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
