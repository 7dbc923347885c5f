from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.current_reports import MAX_REPORTS, current_reports
from pipeline.report import MAX_CHARACTERS, ReportText


def told(words: str, day: int, *orders: str, **said: bool) -> ReportText:
    flags = {"verified": False, "complete": True, "final": True, "addendum": False, **said}
    at = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day - 1)
    return ReportText(words, "basic_text", at=at, orders=orders, **flags)


def texts(*reports: ReportText) -> list[str]:
    return [one.text for one in current_reports(reports)]


def test_of_several_reports_the_verified_then_the_later_one_counts() -> None:
    first, second = told("first", 1), told("second", 2)
    verified = told("verified", 1, verified=True)
    preliminary = told("preliminary", 3, final=False)
    assert current_reports([second, first]) == (second,)
    assert current_reports([first, verified, second, preliminary]) == (verified,)
    assert current_reports([preliminary]) == (preliminary,)


def test_where_nothing_is_said_there_is_none() -> None:
    assert current_reports([]) == ()
    assert current_reports([told("", 1), told("", 2, "F1")]) == ()


def test_an_addendum_is_appended_to_what_it_adds_to() -> None:
    (both,) = current_reports([told("More.", 3, addendum=True), told("Normal.", 1)])
    assert both.text == "Normal.\n\nADDENDUM:\nMore."
    assert both.at == datetime(2024, 1, 3, tzinfo=UTC)


def test_each_order_has_its_report_in_its_newest_version() -> None:
    left, right = told("Left.", 1, "F1"), told("Right.", 2, "F2")
    later = told("Left after all.", 3, "F1")
    assert texts(left, right) == ["Left.", "Right."]
    assert texts(right, later, left) == ["Left after all.", "Right."]


def test_a_preliminary_report_counts_for_its_own_order_only() -> None:
    final = told("Left.", 1, "F1", verified=True)
    assert texts(final, told("Guess.", 2, "F1", final=False)) == ["Left."]
    assert texts(final, told("Guess.", 2, "F2", final=False)) == ["Left.", "Guess."]


def test_a_report_that_names_no_order_may_be_a_version_of_any() -> None:
    left, right = told("Left.", 1, "F1"), told("Right.", 3, "F2")
    assert texts(left, told("Which?", 2), right) == ["Which?", "Right."]
    assert texts(left, right, told("Which?", 4)) == ["Which?"]


def test_a_report_on_two_orders_is_read_once() -> None:
    assert texts(told("Both.", 1, "F1", "F2")) == ["Both."]
    assert texts(told("Both.", 1, "F1"), told("Both.", 2, "F2")) == ["Both."]
    later = told("Right.", 2, "F2")
    assert texts(told("Both.", 1, "F1", "F2"), later) == ["Both.", "Right."]


def test_an_addendum_adds_to_its_own_order() -> None:
    left, right = told("Left.", 1, "F1"), told("Right.", 2, "F2")
    more = told("More.", 3, "F1", addendum=True)
    assert texts(left, right, more) == ["Left.\n\nADDENDUM:\nMore.", "Right."]


def test_an_addendum_to_a_report_that_is_not_there_stands_by_itself() -> None:
    assert texts(told("Right.", 2, "F2"), told("More.", 3, "F1", addendum=True)) == [
        "Right.",
        "More.",
    ]


@pytest.mark.parametrize(("day", "place"), [(1, 0), (2, 0), (4, 1)])
def test_an_addendum_without_an_order_adds_to_what_was_written_last_before_it(
    day: int, place: int
) -> None:
    left, right = told("Left.", 2, "F1"), told("Right.", 3, "F2")
    found = texts(right, left, told("More.", day, addendum=True))
    assert ["ADDENDUM" in text for text in found] == [place == 0, place == 1]


def test_what_is_said_is_bounded() -> None:
    many = [told(f"Report {n}.", n, f"F{n}") for n in range(1, MAX_REPORTS + 3)]
    found = texts(*many)
    assert len(found) == MAX_REPORTS
    assert found[-1] == many[-1].text
    (long,) = texts(told("A" * MAX_CHARACTERS, 1), told("B", 2, addendum=True))
    assert len(long) == MAX_CHARACTERS
