from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from ledger_parts import STUDY, Clock, report

from listener.ledger import Ledger
from listener.linkage import LinkState
from listener.report import ReportStatus


def told(ledger: Ledger) -> list[int]:
    """Return the numbers of the messages that count."""
    return [int(row.message_key.split()[1]) for row in ledger.reports.of_study(STUDY)]


def test_the_same_message_again_is_nothing_new(complete: Ledger) -> None:
    complete.reports.record([report(study_uid=STUDY)])
    assert complete.reports.record([report(study_uid=STUDY)]) == []
    assert complete.study(STUDY).generation == 2
    assert len(complete.reports.latest()) == 1


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
        complete.reports.record([report(number, study_uid=STUDY, status=status)])
    assert told(complete) == counts


def test_what_was_written_later_counts_though_it_came_first(complete: Ledger) -> None:
    complete.reports.record([report(2, study_uid=STUDY, status=C)])
    complete.reports.record([report(1, study_uid=STUDY)])
    assert told(complete) == [2]


def test_of_two_of_the_same_minute_the_one_that_came_later_counts(complete: Ledger) -> None:
    at = datetime(2024, 1, 1, tzinfo=UTC)
    complete.reports.record([report(1, study_uid=STUDY, at=at)])
    complete.reports.record([report(2, study_uid=STUDY, at=at, status=X)])
    assert told(complete) == [2]


def test_a_withdrawal_takes_back_its_own_order_only(complete: Ledger) -> None:
    complete.reports.record([report(1, study_uid=STUDY)])
    complete.reports.record([report(2, study_uid=STUDY, order_key="other", status=X)])
    assert sorted(told(complete)) == [1, 2]


def test_addenda_stand_beside_the_report(complete: Ledger) -> None:
    complete.reports.record([report(1, study_uid=STUDY)])
    complete.reports.record([report(2, study_uid=STUDY, addendum=True)])
    complete.reports.record([report(3, study_uid=STUDY, addendum=True)])
    assert told(complete) == [1, 2, 3]
    complete.reports.record([report(4, study_uid=STUDY, addendum=True, status=C)])
    assert told(complete) == [1, 4]
    complete.reports.record([report(5, study_uid=STUDY, status=C)])
    assert told(complete) == [4, 5]
    complete.reports.record([report(6, study_uid=STUDY, status=X)])
    assert told(complete) == [6]


def test_reports_are_counted_by_how_they_stand(complete: Ledger) -> None:
    complete.reports.record([report(1, study_uid=STUDY)])
    complete.reports.record([report(2, study_uid="1.9")])
    assert complete.reports.counts() == {LinkState.LINKED: 1, LinkState.WAITING: 1}


def test_an_expired_study_keeps_its_reports(complete: Ledger, clock: Clock) -> None:
    complete.reports.record([report(1, study_uid=STUDY)])
    job = complete.lease(["index"], 60)
    assert job is not None
    complete.finish(job)
    clock.move(10 * 86400)
    assert complete.expire(timedelta(days=1)) == 1
    assert told(complete) == [1]
