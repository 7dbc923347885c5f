from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from listener.database import Database
from listener.named_lock import hold_names


@pytest.fixture
def database(postgresql_url: str) -> Iterator[Database]:
    it = Database(postgresql_url)
    yield it
    it.close()


def holding(database: Database, *names: str) -> threading.Thread:
    """Start a transaction that holds names and ends at once."""

    def hold() -> None:
        with database.writing() as connection:
            hold_names(connection, names)

    thread = threading.Thread(target=hold)
    thread.start()
    return thread


@pytest.mark.peers
def test_whoever_holds_one_of_the_names_is_waited_for_until_its_transaction_ends(
    database: Database,
) -> None:
    with database.writing() as connection:
        hold_names(connection, ("a", "b"))
        same, other = holding(database, "b", "c"), holding(database, "d")
        other.join(10)
        assert not other.is_alive()
        same.join(0.2)
        assert same.is_alive()
    same.join(10)
    assert not same.is_alive()


@pytest.mark.peers
def test_more_names_may_be_held_than_a_server_has_room_for_locks(database: Database) -> None:
    with database.writing() as connection:
        hold_names(connection, (str(n) for n in range(20_000)))


def test_none_are_needed_on_sqlite_and_none_may_be_named(ledger_url: str) -> None:
    database = Database(ledger_url)
    with database.writing() as connection:
        hold_names(connection, ())
        hold_names(connection, ("a",))
    database.close()
