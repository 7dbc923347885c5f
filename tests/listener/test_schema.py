from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from ledger_parts import STUDY, instance, record

from listener import schema
from listener.database import Database, UtcDateTime
from listener.errors import LedgerError
from listener.ledger import Ledger
from listener.tables import JOB, TABLES
from listener.tables import STUDY as STUDIES

LATER = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = HEAD


def upgrade():
    with op.batch_alter_table("study") as study:
        study.add_column(sa.Column("colour", sa.String(8), nullable=False, server_default="blue"))
        study.alter_column("patient_key", type_=sa.String(128))
    BREAK
"""


@pytest.fixture
def database(ledger_url: str) -> Iterator[Database]:
    it = Database(ledger_url)
    yield it
    it.close()


Rows = dict[str, list[dict[str, Any]]]


def filled(connection: sa.Connection, tables: sa.MetaData = TABLES) -> Rows:
    """Put a row into every table, and return all rows."""
    for table in tables.sorted_tables:
        values = {column.name: _value(column) for column in table.columns}
        connection.execute(sa.insert(table).values(**values))
    return rows(connection, tables)


def rows(connection: sa.Connection, tables: sa.MetaData = TABLES) -> Rows:
    return {
        table.name: [dict(row._mapping) for row in connection.execute(sa.select(table))]
        for table in tables.sorted_tables
    }


def _value(column: sa.Column[Any]) -> Any:
    if isinstance(column.type, UtcDateTime | sa.DateTime):
        return datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    if isinstance(column.type, sa.Boolean):
        return True
    return 7 if isinstance(column.type, sa.Integer) else column.name[:8]


def made_before_there_were_revisions(folder: Path) -> str:
    url = f"sqlite:///{folder / 'ledger.sqlite3'}"
    database = Database(url)
    with database.writing() as connection:
        command.upgrade(schema._config(connection, ()), schema.BASELINE)
        connection.exec_driver_sql("DROP TABLE alembic_version")
    database.close()
    return url


def later(folder: Path, and_then: str = "") -> Path:
    """Write a revision that no release has, and return its folder."""
    text = LATER.replace("HEAD", repr(schema.HEAD)).replace("BREAK", and_then)
    (folder / "later").mkdir()
    (folder / "later" / "v9999_later.py").write_text(text, encoding="utf-8")
    return folder / "later"


def test_the_migrations_from_nothing_make_exactly_the_tables(database: Database) -> None:
    with database.writing() as connection:
        schema.upgrade(connection)
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        missing = compare_metadata(context, TABLES)
    assert missing == [], (
        "a migration has yet to do this, in the order of listener/tables.py: "
        + "; ".join(map(str, missing))
    )


def test_the_revision_that_the_program_works_with_is_the_last_one(database: Database) -> None:
    with database.writing() as connection:
        scripts = ScriptDirectory.from_config(schema._config(connection, ()))
    assert scripts.get_heads() == [schema.HEAD]
    assert scripts.get_bases() == [schema.BASELINE]


def test_a_number_of_a_job_is_never_given_again(database: Database) -> None:
    with database.writing() as connection:
        schema.upgrade(connection)
    numbers = []
    for _ in range(2):
        with database.writing() as connection:
            values = {c.name: _value(c) for c in JOB.columns if c.name != "id"}
            made = connection.execute(sa.insert(JOB).values(**values | {"state": "done"}))
            numbers.append(made.inserted_primary_key)
            connection.execute(sa.delete(JOB))
    assert numbers[0] != numbers[1]


def test_opening_says_how_the_schema_stands(ledger_url: str) -> None:
    with Ledger(ledger_url, upgrade=False) as ledger:
        standing = ledger.standing()
        assert (standing.revision, standing.is_up_to_date) == (None, False)
    with Ledger(ledger_url) as ledger:
        standing = ledger.standing()
    assert (standing.revision, standing.is_up_to_date) == (schema.HEAD, True)
    assert standing.kind.startswith(("SQLite", "PostgreSQL 1"))


def test_the_migrations_keep_every_row_of_the_first_release(
    database: Database, tmp_path: Path
) -> None:
    """Those that are released, and one more that makes a table anew."""
    with database.writing() as connection:
        command.upgrade(schema._config(connection, ()), schema.BASELINE)
        first = sa.MetaData()
        first.reflect(connection, only=lambda name, _: name != "alembic_version")
        before = filled(connection, first)
    assert all(before.values())
    with database.writing() as connection:
        schema.upgrade(connection, [later(tmp_path)])
    with database.reading() as connection:
        assert rows(connection, first) == before
        assert schema.revision(connection) == "9999"
        colours = connection.execute(sa.text("SELECT colour FROM study")).scalars().all()
    assert colours == ["blue"]


def test_a_migration_that_fails_half_way_leaves_everything_as_it_was(
    database: Database, tmp_path: Path
) -> None:
    with database.writing() as connection:
        schema.upgrade(connection)
        before = filled(connection)
    broken = later(tmp_path, 'raise ValueError("half way")')
    with pytest.raises(ValueError, match="half way"), database.writing() as connection:
        schema.upgrade(connection, [broken])
    with database.reading() as connection:
        assert rows(connection) == before
        assert schema.revision(connection) == schema.HEAD
        columns = {column["name"] for column in sa.inspect(connection).get_columns("study")}
    assert columns == {column.name for column in STUDIES.columns}


def test_a_ledger_of_a_newer_release_is_refused_with_the_way_out(
    database: Database, ledger_url: str, tmp_path: Path
) -> None:
    with database.writing() as connection:
        schema.upgrade(connection, [later(tmp_path)])
    with pytest.raises(LedgerError, match="newer release: install that one again, or restore"):
        Ledger(ledger_url)
    with Ledger(ledger_url, upgrade=False) as ledger:
        assert ledger.standing().revision == "9999"


def test_tables_of_the_first_release_without_a_revision_are_taken_over_with_their_rows(
    tmp_path: Path,
) -> None:
    url = made_before_there_were_revisions(tmp_path)
    database = Database(url)
    with database.writing() as connection:
        first = sa.MetaData()
        first.reflect(connection)
        before = filled(connection, first)
    database.close()
    with Ledger(url) as ledger:
        assert ledger.standing().is_up_to_date
        assert record(ledger, instance("1.2.3.77")).value == "new"
        number = ledger.enqueue("index", STUDY)
    assert number > before["job"][0]["id"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("DROP INDEX job_one_lease_per_subject", "index job_one_lease_per_subject"),
        ("ALTER TABLE job DROP COLUMN outcome", "column job.outcome"),
        ("DROP TABLE coverage", "table coverage"),
        ("ALTER TABLE study ADD COLUMN colour TEXT", "column study.colour"),
    ],
)
def test_tables_that_are_not_the_first_releases_are_refused_and_left_alone(
    tmp_path: Path, change: str, named: str
) -> None:
    url = made_before_there_were_revisions(tmp_path)
    database = Database(url)
    with database.writing() as connection:
        connection.exec_driver_sql(change)
    with pytest.raises(LedgerError, match=f"{named}.*begin with an empty state_dir"):
        Ledger(url)
    with database.reading() as connection:
        assert schema.revision(connection) is None
    database.close()


@pytest.mark.peers
def test_a_database_with_other_tables_in_it_is_refused(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    with database.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE job (id INTEGER)")
    with pytest.raises(LedgerError, match="name an empty one"):
        Ledger(postgresql_url)
    database.close()


@pytest.mark.slow
def test_processes_that_open_an_empty_database_at_once_make_its_schema_once(
    ledger_url: str,
) -> None:
    spawning = multiprocessing.get_context("spawn")
    barrier = spawning.Barrier(3)
    processes = [spawning.Process(target=opened, args=(ledger_url, barrier)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    with Ledger(ledger_url) as ledger:
        assert len(ledger.jobs()) == 1


def opened(url: str, barrier: Callable[[], int]) -> None:
    barrier.wait(30)  # type: ignore[attr-defined]
    with Ledger(url) as ledger:
        ledger.enqueue("index", STUDY)
