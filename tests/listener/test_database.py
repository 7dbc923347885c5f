from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from ledger_parts import STUDY

from listener.errors import LedgerError
from listener.ledger import Ledger


def test_the_file_and_its_log_are_nobody_elses_to_read(ledger: Ledger, tmp_path: Path) -> None:
    ledger.enqueue("index", STUDY)
    modes = {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "state").iterdir()}
    assert modes == {0o600}


def test_a_time_comes_back_as_it_went_in_aware_and_in_utc(tmp_path: Path) -> None:
    east = datetime(2024, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    with Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite3'}", lambda: east) as ledger:
        at = ledger.job(ledger.enqueue("index", STUDY)).created_at
    assert (at, at.tzinfo) == (east, UTC)


def test_a_ledger_in_memory_is_refused() -> None:
    with pytest.raises(LedgerError):
        Ledger("sqlite://")


def test_a_ledger_whose_folder_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(LedgerError, match="cannot be opened"):
        Ledger(f"sqlite:///{tmp_path / 'state' / 'ledger.sqlite3'}")
