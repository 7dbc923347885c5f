"""Relevance by a returned report: what a reader fills in is kept, what is wrong is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from peers import peer
from pydicom import Dataset
from result_parts import NOW, UIDS, answer, dciodvfy_errors, exam, header, pixelmed_complaints
from test_answer_record import WORDS
from test_feedback import judgement

from pipeline import terms
from pipeline.answer_record import AnswerRecord, AnswerRecords
from pipeline.dictionary import dictionary
from pipeline.errors import RelevanceReportError
from pipeline.feedback import Feedback
from pipeline.outbox import Outbox
from pipeline.prior_result import PriorResult
from pipeline.relevance_report import relevance_report
from pipeline.result_language import Language
from pipeline.returned_relevance import RelevanceDesk, is_relevance, read_relevance

NAME = "answer-1-1-A"
REPORT = PriorResult("1.2.3.0", "1.2.3.0.8", "1.2.840.10008.5.1.4.1.1.88.33", "1.2.3.0.8.1")
RADIUS = ("distal_radius", 1)


def record(name: str = NAME) -> AnswerRecord:
    return AnswerRecord.of(name, answer(), {}, WORDS, "same side")


def returned(
    scores: dict[tuple[str, int], int] | None = None,
    observer: str = "Reader^Rita",
    at: datetime = NOW,
) -> Dataset:
    given = {RADIUS: 5} if scores is None else scores
    return relevance_report(record(), REPORT, header(), observer=observer, at=at, scores=given)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[RelevanceDesk]:
    """A desk that knows one result, whose report is `REPORT`."""
    outbox = Outbox(tmp_path / "outbox", f"sqlite:///{tmp_path / 'outbox.sqlite3'}")
    answers = AnswerRecords(f"sqlite:///{tmp_path / 'answers.sqlite3'}")
    feedback = Feedback(f"sqlite:///{tmp_path / 'feedback.sqlite3'}")
    made = header(SOPClassUID=REPORT.sop_class_uid, SOPInstanceUID=REPORT.sop_instance_uid)
    outbox.put(NAME, "1.2.3.0.1.1", [], [made], NOW)
    answers.keep(record(NAME))
    yield RelevanceDesk(outbox, answers, feedback, UIDS)
    for part in (outbox, answers, feedback):
        part.close()


def said(desk: RelevanceDesk) -> dict[tuple[str, str, int], int]:
    return {(one.rater, one.part, one.rank): one.relevance for one in desk.feedback.all()}


def test_what_is_filled_in_is_what_is_read(desk: RelevanceDesk) -> None:
    document = returned()
    assert is_relevance(document)
    read = read_relevance(document)
    assert read.result_uid == REPORT.sop_instance_uid
    assert read.scores == {RADIUS: 5}
    assert read.at == NOW.replace(microsecond=0)
    assert desk.take(document)
    (kept,) = desk.feedback.all()
    assert (kept.result_id, kept.part, kept.rank, kept.relevance) == (NAME, *RADIUS, 5)
    assert kept.prior_uid == exam(1).sop_instance_uid
    assert desk.feedback.document_of(NAME, kept.rater) == document.SOPInstanceUID


def test_an_observer_is_kept_under_a_keyed_name(desk: RelevanceDesk) -> None:
    desk.take(returned())
    (kept,) = desk.feedback.all()
    assert "rita" not in kept.rater.lower()
    assert kept.rater == desk.rater("reader^rita")


def test_a_second_report_of_the_same_observer_replaces_the_first(desk: RelevanceDesk) -> None:
    both = {RADIUS: 5, ("ulnar_styloid", 1): 1}
    first, later = returned(both), returned({RADIUS: 2}, "READER^RITA^", NOW + timedelta(hours=1))
    desk.take(first)
    desk.take(returned({RADIUS: 3}, "Other^Otto"))
    assert desk.take(later)
    me, other = desk.rater("reader^rita"), desk.rater("other^otto")
    assert said(desk) == {(me, *RADIUS): 2, (other, *RADIUS): 3}
    assert not desk.take(first)  # the study is indexed again
    assert desk.take(later)
    assert said(desk) == {(me, *RADIUS): 2, (other, *RADIUS): 3}


def test_what_was_given_on_the_page_stays_beside_it(desk: RelevanceDesk) -> None:
    desk.feedback.give(judgement(4, "reader"))
    desk.take(returned())
    assert sorted(one.relevance for one in desk.feedback.all()) == [4, 5]


def unnamed(ds: Dataset) -> None:
    ds.ContentSequence = [
        i for i in ds.ContentSequence if i.get("RelationshipType") != "HAS OBS CONTEXT"
    ]


def about_nothing(ds: Dataset) -> None:
    ds.ContentSequence = [i for i in ds.ContentSequence if i.ValueType != "COMPOSITE"]


def about_another(ds: Dataset) -> None:
    (named,) = (i for i in ds.ContentSequence if i.ValueType == "COMPOSITE")
    named.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "1.2.3.99"


def first_match(ds: Dataset) -> Dataset:
    part = next(i for i in ds.ContentSequence if i.ValueType == "CONTAINER")
    return next(iter(part.ContentSequence))


def six_points(ds: Dataset) -> None:
    (_, relevance) = first_match(ds).ContentSequence
    relevance.ConceptCodeSequence[0].CodeValue = "WM086"


def no_rank(ds: Dataset) -> None:
    match = first_match(ds)
    match.ContentSequence = [i for i in match.ContentSequence if i.ValueType != "NUM"]


def far_rank(ds: Dataset) -> None:
    (rank, _) = first_match(ds).ContentSequence
    rank.MeasuredValueSequence[0].NumericValue = "77"


def twice(ds: Dataset) -> None:
    part = next(i for i in ds.ContentSequence if i.ValueType == "CONTAINER")
    part.ContentSequence.append(part.ContentSequence[0])


def another_study(ds: Dataset) -> None:
    ds.StudyInstanceUID = "1.2.3.98"


def no_time(ds: Dataset) -> None:
    ds.ContentDate = ""


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (unnamed, "who has judged"),
        (about_nothing, "does not name one result"),
        (about_another, "names no result"),
        (six_points, "none of the five points"),
        (no_rank, "no rank"),
        (far_rank, "does not have"),
        (twice, "twice"),
        (another_study, "another study"),
        (no_time, "content date"),
    ],
)
def test_what_is_wrong_is_refused_as_a_whole_with_the_reason(
    desk: RelevanceDesk, spoil: Callable[[Dataset], None], words: str
) -> None:
    document = returned()
    spoil(document)
    with pytest.raises(RelevanceReportError, match=words) as refused:
        desk.take(document)
    assert "Rita" not in str(refused.value)
    assert desk.feedback.all() == ()


def test_a_template_that_nobody_has_filled_in_judges_nothing(desk: RelevanceDesk) -> None:
    with pytest.raises(RelevanceReportError, match="judges no match"):
        desk.take(returned({}))


def test_a_result_that_is_no_longer_known_is_said_to_be(desk: RelevanceDesk) -> None:
    desk.outbox.put(
        "answer-2", "1.2.3.0.1.1", [], [header(SOPInstanceUID="1.2.3.0.8.2")], datetime.now(UTC)
    )
    document = relevance_report(
        record(),
        replace(REPORT, sop_instance_uid="1.2.3.0.8.2"),
        header(),
        observer="Reader^Rita",
        at=NOW,
        scores={RADIUS: 5},
    )
    with pytest.raises(RelevanceReportError, match="no longer known"):
        desk.take(document)


@pytest.mark.peers
def test_the_validators_find_nothing_wrong(tmp_path: Path) -> None:
    peer("dciodvfy")
    document = returned()
    assert dciodvfy_errors(document, tmp_path) == []
    assert pixelmed_complaints(document, tmp_path) == []


@pytest.mark.parametrize("language", Language)
def test_it_is_read_alike_in_every_language(desk: RelevanceDesk, language: Language) -> None:
    document = relevance_report(
        record(),
        REPORT,
        header(),
        observer="Reader^Rita",
        at=NOW,
        scores={RADIUS: 4},
        words=dictionary(language),
    )
    desk.take(document)
    assert [one.relevance for one in desk.feedback.all()] == [4]


def test_its_codes_are_of_one_scheme_and_five_points() -> None:
    assert list(terms.POINTS) == [1, 2, 3, 4, 5]
    assert len({code.value for code in [*terms.POINTS.values(), terms.NOT_JUDGED]}) == 6
