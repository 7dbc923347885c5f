"""A small database: private, durable, the same when opened again, silent about its values."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from pipeline.database import open_database

PLANTED = "Secret^Name"
TABLES = sa.MetaData()
NOTE = sa.Table(
    "note",
    TABLES,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("words", sa.Text, nullable=False),
)


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'deep' / 'notes.sqlite3'}"


def write(engine: sa.Engine, number: int, words: str = "kept") -> None:
    with engine.begin() as connection:
        connection.execute(sa.insert(NOTE).values(id=number, words=words))


def count(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(NOTE)).scalar_one())


def test_the_file_and_its_log_are_only_the_owners(tmp_path: Path) -> None:
    engine = open_database(url(tmp_path), TABLES)
    write(engine, 1)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "deep").iterdir()}
    assert modes.pop("notes.sqlite3") == 0o600
    assert modes  # the write-ahead log beside it
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE((tmp_path / "deep").stat().st_mode) == 0o700
    engine.dispose()


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "notes.sqlite3").touch(mode=0o644)
    open_database(url(tmp_path), TABLES).dispose()
    mode = (tmp_path / "deep" / "notes.sqlite3").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_every_commit_is_flushed(tmp_path: Path) -> None:
    engine = open_database(url(tmp_path), TABLES)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
    engine.dispose()


def test_what_was_written_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    engine = open_database(url(tmp_path), TABLES)
    write(engine, 1)
    engine.dispose()
    again = open_database(url(tmp_path), TABLES)
    assert count(again) == 1
    again.dispose()


def test_two_openers_write_at_the_same_time(tmp_path: Path) -> None:
    engines = [open_database(url(tmp_path), TABLES) for _ in range(2)]

    def fill(which: int) -> None:
        for number in range(40):
            write(engines[which], 1000 * which + number)

    threads = [threading.Thread(target=fill, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(engines[0]) == 80
    for engine in engines:
        engine.dispose()


def test_an_error_does_not_say_what_was_to_be_written(tmp_path: Path) -> None:
    engine = open_database(url(tmp_path), TABLES)
    write(engine, 1)
    with pytest.raises(sa.exc.IntegrityError) as refused:
        write(engine, 1, PLANTED)
    assert PLANTED not in str(refused.value)
    engine.dispose()


def test_what_was_deleted_is_gone_from_the_file(tmp_path: Path) -> None:
    engine = open_database(url(tmp_path), TABLES)
    write(engine, 1, PLANTED)
    with engine.begin() as connection:
        connection.execute(sa.delete(NOTE))
    engine.dispose()
    for path in (tmp_path / "deep").iterdir():
        assert PLANTED.encode() not in path.read_bytes(), path.name


def test_a_database_in_memory_needs_no_file(tmp_path: Path) -> None:
    engine = open_database("sqlite://", TABLES)
    write(engine, 1)
    assert count(engine) == 1
    engine.dispose()
