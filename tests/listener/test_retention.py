from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from ledger_parts import Clock, instance, leased, record

from listener.ledger import Ledger
from listener.receipt import InstanceState, Outcome


def test_retention_deletes_old_files_but_not_under_unfinished_work(
    ledger: Ledger, clock: Clock, tmp_path: Path
) -> None:
    busy, idle = tmp_path / "busy.dcm", tmp_path / "idle.dcm"
    for uid, study, file in (("1.1", "1.10", busy), ("1.2", "1.20", idle)):
        file.touch()
        record(ledger, instance(uid, study=study, path=file))
    clock.move(31)
    ledger.close_due_arrivals()
    done = leased(ledger)
    while done.subject != "1.20":
        done = leased(ledger)
    ledger.finish(done)
    clock.move(86400 * 10)
    assert ledger.expire(timedelta(days=11)) == 0
    assert ledger.expire(timedelta(days=9)) == 1
    assert (busy.exists(), idle.exists()) == (True, False)
    (row,) = ledger.receipts([InstanceState.EXPIRED])
    assert row.sop_instance_uid == "1.2"
    # what expired and is sent again is new again
    assert record(ledger, instance("1.2", study="1.20")) is Outcome.NEW


def test_reports_and_key_objects_outlive_the_retention_time(ledger: Ledger, clock: Clock) -> None:
    report = replace(instance("1.2.3.5"), sop_class_uid="1.2.840.10008.5.1.4.1.1.88.11")
    record(ledger)
    record(ledger, report)
    clock.now += timedelta(days=30)
    ledger.close_due_arrivals()
    for job in (leased(ledger),):
        ledger.finish(job)
    assert ledger.expire(timedelta(days=9)) == 1
    states = {row.sop_instance_uid: row.state for row in ledger.receipts()}
    assert states == {"1.2.3.4": InstanceState.EXPIRED, "1.2.3.5": InstanceState.STORED}
