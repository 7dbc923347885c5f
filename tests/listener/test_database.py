from __future__ import annotations

import logging
import stat
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from ledger_parts import STUDY, Clock, leased
from postgresql import PostgreSQL, name_of
from sqlalchemy.exc import DBAPIError

from listener.coverage import Indices
from listener.database import Database, repeated
from listener.errors import LedgerError, LedgerUnavailableError
from listener.ledger import Ledger
from listener.recorded_report import RecordedReports
from listener.transaction import Transactions

SECRET = "s3cret-of-the-ledger"  # noqa: S105 - invented
NOWHERE = f"postgresql://wristmir:{SECRET}@127.0.0.1:1/wristmir"
A_YEAR_AHEAD = timedelta(days=365)


def sqlite(folder: Path) -> str:
    return f"sqlite:///{folder / 'state' / 'ledger.sqlite3'}"


def test_the_file_and_its_log_are_nobody_elses_to_read(tmp_path: Path) -> None:
    with Ledger(sqlite(tmp_path)) as ledger:
        ledger.enqueue("index", STUDY)
        modes = {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "state").iterdir()}
    assert modes == {0o600}


def test_a_time_comes_back_as_it_went_in_aware_and_in_utc(ledger_url: str) -> None:
    east = datetime(2024, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    with Ledger(ledger_url, lambda: east) as ledger:
        at = ledger.job(ledger.enqueue("index", STUDY)).created_at
    assert (at, at.tzinfo) == (east, UTC)


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "mysql://host/name", f"wristmir:{SECRET}", "", "postgresql+psycopg2"],
)
def test_what_is_no_durable_ledger_is_refused(url: str) -> None:
    with pytest.raises(LedgerError) as caught:
        Ledger(url)
    assert SECRET not in str(caught.value)


def test_a_ledger_whose_folder_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(LedgerError, match="cannot be opened"):
        Ledger(sqlite(tmp_path))


def test_a_server_that_cannot_be_reached_is_said_to_be_so_without_its_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(LedgerUnavailableError, match="see that its server runs") as caught,
    ):
        Ledger(NOWHERE)
    assert SECRET not in str(caught.value) + caplog.text
    assert caught.value.__cause__ is None


@pytest.mark.peers
def test_a_password_may_stand_in_a_file_of_libpqs(postgresql: PostgreSQL, tmp_path: Path) -> None:
    file = tmp_path / "pgpass"
    file.write_text(f"*:*:*:keeper:{SECRET}\n", encoding="ascii")
    file.chmod(0o600)
    postgresql.execute(f"CREATE ROLE keeper LOGIN PASSWORD '{SECRET}'")
    url = postgresql.database(owner="keeper")
    with pytest.raises(LedgerUnavailableError):
        Ledger(url)
    with Ledger(f"{url}&passfile={file}") as ledger:
        assert ledger.enqueue("index", STUDY)
    postgresql.drop(url)
    postgresql.execute("DROP ROLE keeper")


@pytest.mark.peers
def test_on_a_server_its_clock_counts_and_not_the_hosts(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = datetime.now(UTC) + A_YEAR_AHEAD
    monkeypatch.setattr("listener.database.utc_now", lambda: ahead)
    with Ledger(postgresql_url) as ledger:
        job = ledger.job(ledger.enqueue("index", STUDY))
        assert job.created_at < ahead - timedelta(days=364)
        lease = leased(ledger, seconds=60).lease_until
    assert lease is not None
    assert timedelta(seconds=50) < lease - job.created_at < timedelta(seconds=120)


def test_sqlite_goes_by_the_clock_of_its_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = datetime.now(UTC) + A_YEAR_AHEAD
    monkeypatch.setattr("listener.database.utc_now", lambda: ahead)
    with Ledger(sqlite(tmp_path)) as ledger:
        assert ledger.job(ledger.enqueue("index", STUDY)).created_at == ahead


def test_a_clock_that_is_given_counts_on_both(ledger_url: str, clock: Clock) -> None:
    with Ledger(ledger_url, clock) as ledger:
        assert ledger.job(ledger.enqueue("index", STUDY)).created_at == clock.now


@pytest.mark.peers
def test_what_is_committed_is_on_disk_whatever_the_server_is_set_to(
    postgresql: PostgreSQL, postgresql_url: str
) -> None:
    name = name_of(postgresql_url)
    postgresql.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    assert postgresql.execute("SHOW synchronous_commit", name) == [("off",)]
    database = Database(postgresql_url)
    with database.writing() as connection:
        shown = connection.exec_driver_sql("SHOW synchronous_commit").scalar()
    database.close()
    assert shown == "on"


@pytest.mark.peers
def test_a_transaction_that_reads_cannot_write(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    with pytest.raises(DBAPIError), database.reading() as connection:
        connection.exec_driver_sql("CREATE TABLE anything (it INTEGER)")
    with database.writing() as connection:  # the same connection, taken up again
        connection.exec_driver_sql("CREATE TABLE anything (it INTEGER)")
    database.close()


@pytest.mark.peers
def test_two_that_lock_each_other_out_both_come_through(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    with database.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE row (id INTEGER PRIMARY KEY, n INTEGER)")
        connection.exec_driver_sql("INSERT INTO row VALUES (1, 0), (2, 0)")
    both = threading.Barrier(2)
    tries: list[int] = []
    one_more = sa.text("UPDATE row SET n = n + 1 WHERE id = :number")

    @repeated
    def add(first: int, second: int) -> None:
        tries.append(first)
        with database.writing() as connection:
            connection.execute(one_more, {"number": first})
            if len(tries) <= 2:
                both.wait(5)
            connection.execute(one_more, {"number": second})

    threads = [threading.Thread(target=add, args=order) for order in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as connection:
        rows = connection.exec_driver_sql("SELECT n FROM row ORDER BY id").scalars().all()
    database.close()
    assert rows == [2, 2]
    assert len(tries) >= 3


def test_what_can_never_succeed_is_not_tried_for_ever(ledger_url: str) -> None:
    database = Database(ledger_url)
    tries: list[int] = []
    with database.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE row (id INTEGER PRIMARY KEY)")

    @repeated
    def twice() -> None:
        tries.append(1)
        with database.writing() as connection:
            connection.exec_driver_sql("INSERT INTO row VALUES (1)")
            connection.exec_driver_sql("INSERT INTO row VALUES (1)")

    with pytest.raises(DBAPIError):
        twice()
    database.close()
    assert len(tries) == (20 if "postgresql" in ledger_url else 1)


@pytest.mark.peers
def test_one_process_at_a_time_may_claim_the_ledger(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listener.ledger._CLAIM_SECONDS", 0.2)
    with Ledger(postgresql_url) as first, Ledger(postgresql_url) as second:
        first.claim()
        first.claim()
        with pytest.raises(LedgerError, match="Another process works on it"):
            second.claim()
        first.close()
        second.claim()


def test_every_transaction_of_the_ledger_that_writes_is_done_again_after_a_collision() -> None:
    import inspect

    written = {
        f"{part.__name__}.{name}": method
        for part in (Ledger, RecordedReports, Indices, Transactions)
        for name, method in vars(part).items()
        if inspect.isfunction(method) and "_database.writing()" in inspect.getsource(method)
    }
    assert len(written) > 35
    once = {name for name, method in written.items() if not hasattr(method, "__wrapped__")}
    assert once == {"Ledger._upgrade"}  # it takes a lock for itself
