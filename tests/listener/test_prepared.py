"""A prepared statement does what SQLAlchemy does with the same one, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, OperationalError

from listener.database import Database, UtcDateTime
from listener.prepared import Prepared

TABLES = sa.MetaData()
THING = sa.Table(
    "thing",
    TABLES,
    sa.Column("name", sa.String(16), primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("fresh", sa.Boolean, nullable=False),
    sa.Column("size", sa.Integer),
)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NEW = Prepared(sa.insert(THING))
CHANGED = Prepared(sa.update(THING).where(THING.c.name == sa.bindparam("which")))
NAMED = Prepared(sa.select(THING).where(THING.c.name == sa.bindparam("which")))
FRESH = Prepared(sa.select(THING).where(THING.c.fresh == sa.true()).order_by(THING.c.name))
LARGE = Prepared(sa.select(THING.c.name).where(THING.c.size > 10, THING.c.name != "none"))


@pytest.fixture
def database(ledger_url: str) -> Iterator[Database]:
    database = Database(ledger_url)
    with database.writing() as connection:
        TABLES.create_all(connection)
    yield database
    database.close()


def thing(name: str, *, size: int | None = None, fresh: bool = True) -> dict[str, object]:
    return {"name": name, "at": NOON, "fresh": fresh, "size": size}


def test_what_is_written_is_read_as_sqlalchemy_reads_it(database: Database) -> None:
    with database.writing() as connection:
        NEW.run(connection, thing("a", size=3))
        NEW.run(connection, {**thing("b"), "at": NOON.astimezone(timezone(timedelta(hours=3)))})
        rows = FRESH.rows(connection, {})
        assert [(row.name, row.at, row.fresh, row.size) for row in rows] == [
            ("a", NOON, True, 3),
            ("b", NOON, True, None),
        ]
        assert [tuple(row) for row in rows] == [
            tuple(row) for row in connection.execute(sa.select(THING).order_by(THING.c.name))
        ]


def test_the_first_row_or_none(database: Database) -> None:
    with database.writing() as connection:
        NEW.run(connection, thing("a"))
        found = NAMED.first(connection, {"which": "a"})
        assert found is not None
        assert found.at == NOON
        assert NAMED.first(connection, {"which": "z"}) is None


def test_the_columns_are_those_that_are_named_when_it_is_run(database: Database) -> None:
    with database.writing() as connection:
        NEW.run(connection, thing("a", size=1))
        NEW.run(connection, {"name": "b", "at": NOON, "fresh": False})
        CHANGED.run(connection, {"which": "a", "size": 12})
        CHANGED.run(connection, {"which": "b", "fresh": True})
        assert [(row.name, row.size) for row in FRESH.rows(connection, {})] == [
            ("a", 12),
            ("b", None),
        ]


def test_values_in_the_statement_itself_count(database: Database) -> None:
    with database.writing() as connection:
        for name, size in (("a", 10), ("b", 11), ("none", 12)):
            NEW.run(connection, thing(name, size=size))
        assert [row.name for row in LARGE.rows(connection, {})] == ["b"]


def test_it_takes_part_in_the_transaction(database: Database) -> None:
    with database.writing() as connection:
        NEW.run(connection, thing("a"))
        connection.get_transaction().rollback()  # type: ignore[union-attr]
    with database.reading() as connection:
        assert NAMED.first(connection, {"which": "a"}) is None


def test_errors_are_sqlalchemys_and_hold_no_value(database: Database) -> None:
    with database.writing() as connection:
        NEW.run(connection, thing("Invented"))
    with database.writing() as connection, pytest.raises(IntegrityError) as caught:
        NEW.run(connection, thing("Invented"))
    assert caught.value.orig is not None
    if not database.is_postgresql:  # its driver quotes the key itself, and nobody prints it
        assert "Invented" not in str(caught.value)


def test_a_locked_file_is_an_operational_error(tmp_path: Path) -> None:
    path = tmp_path / "things.sqlite3"
    database = Database(f"sqlite:///{path}")
    with database.writing() as connection:
        TABLES.create_all(connection)
    other = Database(f"sqlite:///{path}")
    with other.writing(), database.reading() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=0")
        with pytest.raises(OperationalError) as caught:
            NEW.run(connection, thing("a"))
    assert getattr(caught.value.orig, "sqlite_errorname", "") == "SQLITE_BUSY"
    database.close()
    other.close()
