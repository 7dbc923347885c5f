from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ledger_parts import Clock, instance, kinds, record

from listener.instance import Instance
from listener.ledger import Ledger
from listener.linkage import LinkState, NewReport
from listener.report import ReportStatus

STUDY = "1.2.3"
HERE = ("p", "p")
ACCESSION = ("a", "a")


def report(number: int = 1, **changes: object) -> NewReport:
    new = NewReport(
        message_key=f"message {number}",
        position=0,
        path=Path(f"/nowhere/{number}.hl7"),
        status=ReportStatus.FINAL,
        addendum=False,
        at=datetime(2024, 1, 1, 12, number, tzinfo=UTC),
        study_uid=None,
        patient_keys=HERE,
        accession_keys=None,
        order_key="order",
    )
    return replace(new, **changes)  # type: ignore[arg-type]


def arrived(uid: str = "1.2.3.4", accession: tuple[str, str] | None = None, **who: str) -> Instance:
    return replace(instance(uid, **who), accession_keys=accession)


def states(ledger: Ledger) -> list[str]:
    return [row.state.value for row in reversed(ledger.reports())]


def told(ledger: Ledger) -> list[int]:
    """Return the numbers of the messages that count."""
    return [int(row.message_key.split()[1]) for row in ledger.reports_of(STUDY)]


@pytest.fixture
def complete(ledger: Ledger, clock: Clock) -> Ledger:
    """A ledger with a study that is complete and indexed."""
    record(ledger, arrived(accession=ACCESSION))
    clock.move(60)
    ledger.close_due_arrivals()
    job = ledger.lease(["index"], 60)
    assert job is not None
    ledger.mark_indexed(STUDY, 1)
    ledger.finish(job)
    return ledger


@pytest.mark.parametrize("link", [{"study_uid": STUDY}, {"accession_keys": ACCESSION}])
def test_a_report_re_opens_the_study_that_is_there(
    complete: Ledger, link: dict[str, object]
) -> None:
    assert complete.record_reports([report(**link)]) == [LinkState.LINKED]
    study = complete.study(STUDY)
    assert (study.generation, study.indexed_generation) == (2, 1)
    assert kinds(complete) == ["index"]
    assert complete.reports()[0].study_uid == STUDY


@pytest.mark.parametrize("link", [{"study_uid": STUDY}, {"accession_keys": ACCESSION}])
def test_a_report_that_comes_first_waits_for_its_study(
    ledger: Ledger, clock: Clock, link: dict[str, object]
) -> None:
    assert ledger.record_reports([report(**link)]) == [LinkState.WAITING]
    assert kinds(ledger) == []
    record(ledger, arrived(accession=ACCESSION))
    assert states(ledger) == ["linked"]
    assert kinds(ledger) == []  # the study has yet to go quiet
    clock.move(60)
    ledger.close_due_arrivals()
    assert kinds(ledger) == ["index"]


def test_a_report_of_a_study_that_still_comes_in_does_not_cut_it_short(ledger: Ledger) -> None:
    record(ledger, arrived())
    assert ledger.record_reports([report(study_uid=STUDY)]) == [LinkState.LINKED]
    assert kinds(ledger) == []
    assert ledger.study(STUDY).generation == 2


def test_the_same_message_again_is_nothing_new(complete: Ledger) -> None:
    complete.record_reports([report(study_uid=STUDY)])
    assert complete.record_reports([report(study_uid=STUDY)]) == []
    assert complete.study(STUDY).generation == 2
    assert len(complete.reports()) == 1


def test_a_report_whose_study_is_another_patients_is_kept_apart(complete: Ledger) -> None:
    other = report(study_uid=STUDY, patient_keys=("q", "q"))
    assert complete.record_reports([other]) == [LinkState.QUARANTINED]
    assert complete.reports_of(STUDY) == ()
    assert complete.study(STUDY).generation == 1
    (row,) = complete.reports([LinkState.QUARANTINED])
    assert (row.reason or "").startswith("the study that it names is another patient's")


def test_that_shows_too_when_the_study_comes_later(ledger: Ledger) -> None:
    ledger.record_reports([report(study_uid=STUDY, patient_keys=("q", "q"))])
    record(ledger, arrived())
    assert states(ledger) == ["quarantined"]


@pytest.mark.parametrize(
    ("patient", "linked"),
    [
        (("p", "p"), True),
        (("pISSUER", "p"), True),  # the study names no issuer
        (("q", "q"), False),
        (None, False),
    ],
)
def test_an_accession_number_alone_never_links(
    complete: Ledger, patient: tuple[str, str] | None, *, linked: bool
) -> None:
    complete.record_reports([report(accession_keys=ACCESSION, patient_keys=patient)])
    assert states(complete) == ["linked" if linked else "waiting"]
    assert bool(complete.reports_of(STUDY)) is linked


@pytest.mark.parametrize(
    ("stored", "reported", "linked"),
    [
        (("a", "a"), ("aRIS", "a"), True),
        (("aRIS", "a"), ("aRIS", "a"), True),
        (("aRIS", "a"), ("a", "a"), True),
        (("aRIS", "a"), ("aOTHER", "a"), False),
        (("b", "b"), ("a", "a"), False),
    ],
)
def test_the_issuer_of_an_accession_number_counts_where_both_name_one(
    ledger: Ledger, stored: tuple[str, str], reported: tuple[str, str], *, linked: bool
) -> None:
    record(ledger, arrived(accession=stored))
    ledger.record_reports([report(accession_keys=reported)])
    assert states(ledger) == ["linked" if linked else "waiting"]


def test_an_issuer_that_contradicts_the_studys_keeps_a_report_waiting(ledger: Ledger) -> None:
    record(ledger, arrived(accession=ACCESSION, issuer="HERE"))
    ledger.record_reports([report(accession_keys=ACCESSION, patient_keys=("pTHERE", "p"))])
    assert states(ledger) == ["waiting"]


def test_a_study_that_is_named_outranks_an_accession_number(complete: Ledger) -> None:
    complete.record_reports([report(study_uid="1.9", accession_keys=ACCESSION)])
    assert states(complete) == ["waiting"]


def test_an_accession_number_of_two_studies_decides_nothing(complete: Ledger) -> None:
    record(complete, arrived("1.9.1", study="1.9", accession=ACCESSION))
    complete.record_reports([report(accession_keys=ACCESSION)])
    (row,) = complete.reports([LinkState.WAITING])
    assert "several studies" in (row.reason or "")


def test_a_quarantined_instance_lends_its_study_to_no_report(complete: Ledger) -> None:
    complete.record_reports([report(accession_keys=("b", "b"), patient_keys=("q", "q"))])
    record(complete, arrived("1.2.3.5", accession=("b", "b"), patient="q"))  # quarantined
    assert states(complete) == ["waiting"]


def test_a_study_that_was_only_asked_for_links_nothing(ledger: Ledger) -> None:
    from ledger_parts import REQUEST_TITLE

    record(ledger, arrived())
    record(ledger, arrived("1.2.3.5", patient="q"), REQUEST_TITLE)  # quarantined
    ledger.record_reports([report(study_uid="1.2.9")])
    assert states(ledger) == ["waiting"]


def test_reports_that_missed_their_studies_are_found_by_a_later_look(ledger: Ledger) -> None:
    ledger.record_reports([report(study_uid=STUDY)])
    assert ledger.link_reports() == 0
    record(ledger, arrived())
    assert ledger.link_reports() == 0  # linked already


F, C, P, X = (
    ReportStatus.FINAL,
    ReportStatus.CORRECTED,
    ReportStatus.PRELIMINARY,
    ReportStatus.WITHDRAWN,
)


@pytest.mark.parametrize(
    ("came", "counts"),
    [
        ([F], [1]),
        ([P], [1]),
        ([P, P], [2]),
        ([P, F], [2]),
        ([F, P], [1]),
        ([F, C], [2]),
        ([F, C, C], [3]),
        ([F, X], [2]),
        ([F, X, F], [3]),
        ([X], [1]),
        ([P, F, X, P], [4]),
    ],
)
def test_the_version_in_force_counts(
    complete: Ledger, came: list[ReportStatus], counts: list[int]
) -> None:
    for number, status in enumerate(came, start=1):
        complete.record_reports([report(number, study_uid=STUDY, status=status)])
    assert told(complete) == counts


def test_what_was_written_later_counts_though_it_came_first(complete: Ledger) -> None:
    complete.record_reports([report(2, study_uid=STUDY, status=C)])
    complete.record_reports([report(1, study_uid=STUDY)])
    assert told(complete) == [2]


def test_of_two_of_the_same_minute_the_one_that_came_later_counts(complete: Ledger) -> None:
    at = datetime(2024, 1, 1, tzinfo=UTC)
    complete.record_reports([report(1, study_uid=STUDY, at=at)])
    complete.record_reports([report(2, study_uid=STUDY, at=at, status=X)])
    assert told(complete) == [2]


def test_a_withdrawal_takes_back_its_own_order_only(complete: Ledger) -> None:
    complete.record_reports([report(1, study_uid=STUDY)])
    complete.record_reports([report(2, study_uid=STUDY, order_key="other", status=X)])
    assert sorted(told(complete)) == [1, 2]


def test_addenda_stand_beside_the_report(complete: Ledger) -> None:
    complete.record_reports([report(1, study_uid=STUDY)])
    complete.record_reports([report(2, study_uid=STUDY, addendum=True)])
    complete.record_reports([report(3, study_uid=STUDY, addendum=True)])
    assert told(complete) == [1, 2, 3]
    complete.record_reports([report(4, study_uid=STUDY, addendum=True, status=C)])
    assert told(complete) == [1, 4]
    complete.record_reports([report(5, study_uid=STUDY, status=C)])
    assert told(complete) == [4, 5]
    complete.record_reports([report(6, study_uid=STUDY, status=X)])
    assert told(complete) == [6]


def test_reports_are_counted_by_how_they_stand(complete: Ledger) -> None:
    complete.record_reports([report(1, study_uid=STUDY)])
    complete.record_reports([report(2, study_uid="1.9")])
    assert complete.report_counts() == {LinkState.LINKED: 1, LinkState.WAITING: 1}


def test_an_expired_study_keeps_its_reports(complete: Ledger, clock: Clock) -> None:
    from datetime import timedelta

    complete.record_reports([report(1, study_uid=STUDY)])
    job = complete.lease(["index"], 60)
    assert job is not None
    complete.finish(job)
    clock.move(10 * 86400)
    assert complete.expire(timedelta(days=1)) == 1
    assert told(complete) == [1]
