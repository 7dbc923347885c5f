from __future__ import annotations

from pathlib import Path

import pytest
from ledger_parts import INDEX_TITLE, STUDY, instance, record

from listener.instance import Instance
from listener.ledger import Ledger
from listener.receipt import InstanceState, Outcome


def test_the_same_content_again_is_nothing_new(ledger: Ledger) -> None:
    assert record(ledger) is Outcome.NEW
    assert record(ledger) is Outcome.KNOWN
    assert ledger.study(STUDY).generation == 1
    assert len(ledger.instances(STUDY)) == 1


def test_changed_content_is_a_new_version_of_a_new_generation(ledger: Ledger) -> None:
    record(ledger)
    assert record(ledger, instance(digest="b")) is Outcome.CHANGED
    assert ledger.study(STUDY).generation == 2
    (current,) = ledger.instances(STUDY)
    assert (current.version, current.digest) == (2, "b")
    states = [row.state for row in ledger.receipt("1.2.3.4")]
    assert states == [InstanceState.SUPERSEDED, InstanceState.STORED]


def test_content_that_changes_back_is_a_third_version(ledger: Ledger) -> None:
    for digest in "aba":
        record(ledger, instance(digest=digest))
    assert [row.version for row in ledger.instances(STUDY)] == [3]


@pytest.mark.parametrize(
    "changed",
    [instance(digest="b", study="1.2.777"), instance(digest="b", patient="q")],
    ids=["another study", "another patient"],
)
def test_a_changed_identity_is_quarantined_and_never_merged(
    ledger: Ledger, changed: Instance
) -> None:
    record(ledger)
    assert record(ledger, changed) is Outcome.QUARANTINED
    assert [row.digest for row in ledger.instances(STUDY)] == ["a"]
    assert ledger.study(STUDY).generation == 1
    (row,) = ledger.receipts([InstanceState.QUARANTINED])
    assert "identity" in (row.reason or "")


def test_a_new_instance_of_another_patient_in_the_same_study_is_quarantined(ledger: Ledger) -> None:
    record(ledger)
    assert record(ledger, instance("1.2.3.5", patient="q")) is Outcome.QUARANTINED


def test_versions_are_counted_over_everything_that_became_of_an_instance(
    ledger: Ledger,
) -> None:
    record(ledger)
    record(ledger, instance(digest="b", patient="q"))
    record(ledger, instance(digest="c"))
    rows = [(row.version, row.state) for row in ledger.receipt("1.2.3.4")]
    assert rows == [
        (1, InstanceState.SUPERSEDED),
        (2, InstanceState.QUARANTINED),
        (3, InstanceState.STORED),
    ]


def test_a_report_that_lacks_the_issuer_is_the_same_patient(ledger: Ledger) -> None:
    record(ledger, instance(issuer="-hospital"))
    assert record(ledger, instance("1.2.3.5")) is Outcome.NEW
    assert record(ledger, instance("1.2.3.6", issuer="-other")) is Outcome.QUARANTINED


def test_a_filtered_instance_is_a_receipt_and_no_member_of_its_study(ledger: Ledger) -> None:
    for _ in range(2):
        ledger.record_filtered(instance(), "not used", calling_ae="PACS", title=INDEX_TITLE)
    (row,) = ledger.receipts([InstanceState.FILTERED])
    assert (row.reason, row.version) == ("not used", 1)
    assert ledger.instances(STUDY) == ()


def test_the_worker_can_filter_and_quarantine_what_was_stored(
    ledger: Ledger, tmp_path: Path
) -> None:
    files = [tmp_path / "one.dcm", tmp_path / "two.dcm"]
    for n, file in enumerate(files):
        file.touch()
        record(ledger, instance(f"1.2.3.{n}", path=file))
    assert ledger.filter_instance("1.2.3.0", "a lateral view")
    assert ledger.quarantine("1.2.3.1", "cannot be decoded")
    assert [file.exists() for file in files] == [False, True]
    assert ledger.instances(STUDY) == ()
    assert not ledger.filter_instance("1.2.3.0", "again")
    # and the same content, sent again, stays what it was found to be
    assert record(ledger, instance("1.2.3.0")) is Outcome.FILTERED
    assert record(ledger, instance("1.2.3.1")) is Outcome.QUARANTINED
