from __future__ import annotations

import pytest
from ledger_parts import (
    ACCESSION,
    REQUEST_TITLE,
    STUDY,
    Clock,
    arrived,
    kinds,
    record,
    report,
)

from listener.ledger import Ledger
from listener.linkage import LinkState


def states(ledger: Ledger) -> list[str]:
    return [row.state.value for row in reversed(ledger.reports.latest())]


@pytest.mark.parametrize("link", [{"study_uid": STUDY}, {"accession_keys": ACCESSION}])
def test_a_report_re_opens_the_study_that_is_there(
    complete: Ledger, link: dict[str, object]
) -> None:
    assert complete.reports.record([report(**link)]) == [LinkState.LINKED]
    study = complete.study(STUDY)
    assert (study.generation, study.indexed_generation) == (2, 1)
    assert kinds(complete) == ["index"]
    assert complete.reports.latest()[0].study_uid == STUDY


@pytest.mark.parametrize("link", [{"study_uid": STUDY}, {"accession_keys": ACCESSION}])
def test_a_report_that_comes_first_waits_for_its_study(
    ledger: Ledger, clock: Clock, link: dict[str, object]
) -> None:
    assert ledger.reports.record([report(**link)]) == [LinkState.WAITING]
    assert kinds(ledger) == []
    record(ledger, arrived(accession=ACCESSION))
    assert states(ledger) == ["linked"]
    assert kinds(ledger) == []  # the study has yet to go quiet
    clock.move(60)
    ledger.close_due_arrivals()
    assert kinds(ledger) == ["index"]


def test_a_report_of_a_study_that_still_comes_in_does_not_cut_it_short(ledger: Ledger) -> None:
    record(ledger, arrived())
    assert ledger.reports.record([report(study_uid=STUDY)]) == [LinkState.LINKED]
    assert kinds(ledger) == []
    assert ledger.study(STUDY).generation == 2


def test_a_report_whose_study_is_another_patients_is_kept_apart(complete: Ledger) -> None:
    other = report(study_uid=STUDY, patient_keys=("q", "q"))
    assert complete.reports.record([other]) == [LinkState.QUARANTINED]
    assert complete.reports.of_study(STUDY) == ()
    assert complete.study(STUDY).generation == 1
    (row,) = complete.reports.latest([LinkState.QUARANTINED])
    assert (row.reason or "").startswith("the study that it names is another patient's")


def test_that_shows_too_when_the_study_comes_later(ledger: Ledger) -> None:
    ledger.reports.record([report(study_uid=STUDY, patient_keys=("q", "q"))])
    record(ledger, arrived())
    assert states(ledger) == ["quarantined"]


@pytest.mark.slow
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
    complete.reports.record([report(accession_keys=ACCESSION, patient_keys=patient)])
    assert states(complete) == ["linked" if linked else "waiting"]
    assert bool(complete.reports.of_study(STUDY)) is linked


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
    ledger.reports.record([report(accession_keys=reported)])
    assert states(ledger) == ["linked" if linked else "waiting"]


def test_an_issuer_that_contradicts_the_studys_keeps_a_report_waiting(ledger: Ledger) -> None:
    record(ledger, arrived(accession=ACCESSION, issuer="HERE"))
    ledger.reports.record([report(accession_keys=ACCESSION, patient_keys=("pTHERE", "p"))])
    assert states(ledger) == ["waiting"]


def test_a_study_that_is_named_outranks_an_accession_number(complete: Ledger) -> None:
    complete.reports.record([report(study_uid="1.9", accession_keys=ACCESSION)])
    assert states(complete) == ["waiting"]


def test_an_accession_number_of_two_studies_decides_nothing(complete: Ledger) -> None:
    record(complete, arrived("1.9.1", study="1.9", accession=ACCESSION))
    complete.reports.record([report(accession_keys=ACCESSION)])
    (row,) = complete.reports.latest([LinkState.WAITING])
    assert "several studies" in (row.reason or "")


def test_a_quarantined_instance_lends_its_study_to_no_report(complete: Ledger) -> None:
    complete.reports.record([report(accession_keys=("b", "b"), patient_keys=("q", "q"))])
    record(complete, arrived("1.2.3.5", accession=("b", "b"), patient="q"))  # quarantined
    assert states(complete) == ["waiting"]


def test_a_study_that_was_only_asked_for_links_nothing(ledger: Ledger) -> None:
    record(ledger, arrived())
    record(ledger, arrived("1.2.3.5", patient="q"), REQUEST_TITLE)  # quarantined
    ledger.reports.record([report(study_uid="1.2.9")])
    assert states(ledger) == ["waiting"]


def test_reports_that_missed_their_studies_are_found_by_a_later_look(ledger: Ledger) -> None:
    ledger.reports.record([report(study_uid=STUDY)])
    assert ledger.reports.link_waiting() == 0
    record(ledger, arrived())
    assert ledger.reports.link_waiting() == 0  # linked already
