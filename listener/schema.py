"""The schema of the ledger's database: which revision it is, brought up to date by Alembic.

A revision is a file in ``listener/migrations/versions``. There is no way down: going back to an
earlier release means going back to the backup that was made before.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from listener.errors import LedgerError

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["BASELINE", "HEAD", "revision", "upgrade"]

BASELINE = "0001"
"""The schema of the first release."""

HEAD = "0002"
"""The schema that this program works with; the same as `listener.tables`."""


def revision(connection: Connection) -> str | None:
    """Return the revision that a database says it has, or None where it says nothing."""
    if not sa.inspect(connection).has_table(_STAMP.name):
        return None
    found: str | None = connection.execute(sa.select(_STAMP.c.version_num)).scalar()
    return found


def upgrade(connection: Connection, folders: Sequence[Path] = ()) -> None:
    """Make or bring up to date the schema, in the caller's transaction: all of it, or nothing.

    Other processes that do the same wait. Tables that were made before there were revisions are
    recognised where they are those of the first release.

    Parameters
    ----------
    folders
        Where further revisions lie beside those of this package.

    Raises
    ------
    LedgerError
        If the database is that of a newer release, or holds tables of another kind.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    # on SQLite the transaction itself is the only one that writes
    with _ALEMBIC:
        config = _config(connection, folders)
        found = revision(connection)
        if found is None:
            _recognise(connection, config)
        else:
            _refuse_newer(config, found)
        _run(config, "heads")


_STAMP = sa.table("alembic_version", sa.column("version_num"))
_LOCK = 0x57524953_00000001  # advisory: the same number for every process, and for nothing else
_ALEMBIC = threading.Lock()  # it works with names of a module's
_FOLDER = Path(__file__).parent / "migrations"


def _config(connection: Connection, folders: Sequence[Path]) -> Config:
    from alembic.config import Config  # noqa: PLC0415  a fifth of a second, for a rare event

    config = Config()
    places = [_FOLDER / "versions", *folders]
    config.set_main_option("script_location", _plain(_FOLDER))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(map(_plain, places)))
    config.attributes["connection"] = connection
    return config


def _plain(path: Path) -> str:
    return str(path).replace("%", "%%")  # the configuration's own sign


def _run(config: Config, target: str) -> None:
    from alembic import command  # noqa: PLC0415  see above

    command.upgrade(config, target)


def _refuse_newer(config: Config, found: str) -> None:
    from alembic.script import ScriptDirectory  # noqa: PLC0415  see above

    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found not in known:
        msg = (
            "It was brought up to date by a newer release: install that one again, or restore "
            "the backup that was made before."
        )
        raise LedgerError(msg)


def _recognise(connection: Connection, config: Config) -> None:
    """Stamp tables from before there were revisions, where they are the first release's."""
    there = _shape(connection)
    if not there:
        return
    if connection.dialect.name == "postgresql":
        msg = "The database holds tables that this program did not make; name an empty one."
        raise LedgerError(msg)
    wanted = _shape_of_baseline()
    differing = sorted(
        name for name in there.keys() | wanted.keys() if there.get(name) != wanted.get(name)
    )
    if differing:
        msg = (
            f"It is not the first release's ({', '.join(differing[:5])}): go back to the version "
            "that made it, or begin with an empty state_dir."
        )
        raise LedgerError(msg)
    from alembic import command  # noqa: PLC0415  see above

    command.stamp(config, BASELINE)


def _shape_of_baseline() -> dict[str, Any]:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        _run(_config(connection, ()), BASELINE)
        shape = _shape(connection)
    engine.dispose()
    return shape


def _shape(connection: Connection) -> dict[str, Any]:
    """Describe every table of a database, name by name."""
    looked = sa.inspect(connection)
    shape: dict[str, Any] = {}
    for table in sorted(set(looked.get_table_names()) - {_STAMP.name}):
        key = looked.get_pk_constraint(table)["constrained_columns"]
        shape[f"table {table}"] = key, _counts_on(connection, table)
        for column in looked.get_columns(table):
            kind = column["type"].compile(connection.dialect)
            shape[f"column {table}.{column['name']}"] = kind, column["nullable"]
        for index in looked.get_indexes(table):
            where = str(index.get("dialect_options", {}).get("sqlite_where"))
            shape[f"index {index['name']}"] = index["column_names"], index["unique"], where
    return shape


def _counts_on(connection: Connection, table: str) -> bool:
    """Whether SQLite never gives a number again that a row of this table had."""
    if connection.dialect.name != "sqlite":
        return False
    made = sa.text("SELECT sql FROM sqlite_master WHERE name = :name")
    return "AUTOINCREMENT" in connection.execute(made, {"name": table}).scalar_one()
