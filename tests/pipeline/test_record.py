from __future__ import annotations

import hashlib
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from pipeline.findings import WristReport
from pipeline.mining import RulesMiner
from pipeline.record import Records

TEXT = "Left wrist: Buckle fracture of the distal radius. A cast is in place."
REPORT = RulesMiner().mine(TEXT)
NOON = datetime(2026, 5, 4, 14, tzinfo=timezone(timedelta(hours=2)))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "records.db"


@pytest.fixture
def records(path):
    kept = Records(f"sqlite:///{path}", clock=lambda: NOON)
    yield kept
    kept.close()


def test_what_is_kept_comes_back_whole(records):
    kept = records.keep("1.2", REPORT, "rules 1", TEXT)
    assert records.of("1.2") == kept
    assert kept.report == REPORT
    assert (kept.study_uid, kept.miner) == ("1.2", "rules 1")
    assert kept.text_digest == hashlib.sha256(TEXT.encode()).hexdigest()
    assert kept.mined_at == NOON
    assert kept.mined_at.tzinfo is UTC


def test_a_study_without_a_report_has_no_record(records):
    assert records.of("1.2") is None


def test_a_later_report_takes_the_place_of_the_earlier(records):
    records.keep("1.2", REPORT, "rules 1", TEXT)
    records.keep("1.2", WristReport(), "rules 2", "amended")
    assert records.of("1.2").report == WristReport()
    assert records.of("1.2").miner == "rules 2"


def test_a_forgotten_study_leaves_no_words_behind(records, path):
    records.keep("1.2", REPORT, "rules 1", TEXT)
    records.forget("1.2")
    records.forget("1.2")
    assert records.of("1.2") is None
    records.close()
    assert b"Buckle" not in path.read_bytes()


def test_the_file_is_its_owners_alone(records, path):
    records.keep("1.2", REPORT, "rules 1", TEXT)
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_file_that_others_could_read_is_closed_to_them(path):
    path.touch(mode=0o644)
    path.chmod(0o644)
    Records(f"sqlite:///{path}").close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_writing_is_durable(path):
    kept = Records(f"sqlite:///{path}")
    with kept._engine.connect() as connection:
        assert connection.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(sa.text("PRAGMA synchronous")).scalar() == 2
    kept.close()


@pytest.mark.slow
def test_what_was_kept_outlives_a_killed_process(path):
    program = (
        "import os, signal, sys\n"
        "from pipeline.findings import WristReport\n"
        "from pipeline.record import Records\n"
        f"records = Records('sqlite:///{path}')\n"
        "records.keep('1.2', WristReport(), 'rules 1', '')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    kept = Records(f"sqlite:///{path}")
    assert kept.of("1.2").miner == "rules 1"
    kept.close()


def test_a_failing_database_does_not_tell_a_reports_words(records):
    with records._engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE record"))
    with pytest.raises(sa.exc.OperationalError) as failed:
        records.keep("1.2", REPORT, "rules 1", TEXT)
    assert "Buckle" not in str(failed.value)


def test_what_another_miner_or_version_has_read_can_be_found(records: Records) -> None:
    records.keep("1.2.3", REPORT, "rules 1", TEXT)
    records.keep("1.2.4", REPORT, "rules 2", TEXT)
    assert records.not_read_by("rules 2") == ("1.2.3",)
