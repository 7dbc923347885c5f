from __future__ import annotations

import pytest
from invented_reports import BOTH_WRISTS, BUCKLE, TUNING

from deploy.web.review_form import ReviewForm
from deploy.worklist import WorklistEntry, reading_as_gold
from pipeline.gold import GoldReport, gold_reports
from pipeline.mining import RulesMiner


def entry_of(text: str) -> WorklistEntry:
    report = RulesMiner().mine(text)
    return WorklistEntry("an-id", "a.txt", text, report, reading_as_gold(text, report), ())


def form_with(text: str, **values: str) -> tuple[ReviewForm, WorklistEntry]:
    entry = entry_of(text)
    said = {name.replace("__", "-"): value for name, value in values.items()}
    return ReviewForm.posted({**ReviewForm.of(entry.read).values, **said}), entry


@pytest.mark.parametrize("gold", gold_reports(TUNING), ids=lambda gold: gold.id)
def test_gold_goes_through_the_form_unchanged(gold: GoldReport) -> None:
    entry = entry_of(gold.text)
    back = ReviewForm.posted(ReviewForm.of(gold).values).report(entry)
    assert isinstance(back, GoldReport)
    assert (back.gold.laterality, back.gold.regions) == (gold.gold.laterality, gold.gold.regions)
    assert set(back.gold.other) == set(gold.gold.other)
    assert (back.id, back.text) == ("an-id", gold.text)


def test_a_fracture_that_is_absent_has_no_details_and_the_field_says_so() -> None:
    form, entry = form_with(BUCKLE, one__distal_radius__fracture="absent")
    wrong = form.report(entry)
    assert isinstance(wrong, ReviewForm)
    assert wrong.wrong == {"one-distal_radius-type": "A fracture that is absent has no type."}
    assert wrong.values == form.values  # nothing is lost


@pytest.mark.parametrize("angle", ["200", "-3", "steep", "nan"])
def test_an_angle_is_a_number_up_to_180(angle: str) -> None:
    form, entry = form_with(BUCKLE, one__distal_radius__angulation_deg=angle)
    wrong = form.report(entry)
    assert isinstance(wrong, ReviewForm)
    assert list(wrong.wrong) == ["one-distal_radius-angulation_deg"]
    assert wrong.values["one-distal_radius-angulation_deg"] == angle


def test_a_decimal_comma_is_as_good_as_a_point() -> None:
    form, entry = form_with(BUCKLE, one__distal_radius__angulation_deg="12,5")
    report = form.report(entry)
    assert isinstance(report, GoldReport)
    assert (
        report.model_dump(mode="json")["gold"]["regions"]["distal_radius"]["angulation_deg"] == 12.5
    )


def test_a_report_on_both_wrists_has_the_fields_of_each_side() -> None:
    form, entry = form_with(BOTH_WRISTS, right__ulnar_styloid__fracture="possible")
    report = form.report(entry)
    assert isinstance(report, GoldReport)
    sides = report.model_dump(mode="json")["gold"]["regions"]
    assert sides["left"]["distal_radius"]["angulation_deg"] == 12
    assert sides["right"]["ulnar_styloid"]["fracture"] == "possible"
    assert form.differing(ReviewForm.of(entry.read)) == {"right-ulnar_styloid-fracture"}


def test_where_the_other_wrist_turns_out_to_be_there_nothing_has_to_be_entered_twice() -> None:
    form, entry = form_with(BUCKLE, laterality="both")
    report = form.report(entry)
    assert isinstance(report, GoldReport)
    sides = report.model_dump(mode="json")["gold"]["regions"]
    assert sides["left"]["distal_radius"]["type"] == "buckle"
    assert sides["right"]["distal_radius"]["fracture"] == "not_mentioned"


def test_what_no_browser_sends_is_said_or_left_out() -> None:
    form, entry = form_with(
        BUCKLE, laterality="up", one__distal_radius__type="<script>", nonsense="1"
    )
    wrong = form.report(entry)
    assert isinstance(wrong, ReviewForm)
    assert "nonsense" not in wrong.values
    assert wrong.wrong["one-distal_radius-type"] == "Choose one of these."
    form, entry = form_with(BUCKLE, laterality="up")
    wrong = form.report(entry)
    assert isinstance(wrong, ReviewForm)
    assert list(wrong.wrong) == ["laterality"]
