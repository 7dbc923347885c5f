"""What radiologists say of matches, on five points."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from test_answer_record import record

from pipeline.errors import FeedbackError
from pipeline.feedback import Feedback, Judgement

NOW = datetime(2026, 3, 14, 9, 30, tzinfo=UTC)


@pytest.fixture
def feedback(tmp_path: Path) -> Iterator[Feedback]:
    opened = Feedback(f"sqlite:///{tmp_path / 'feedback.sqlite3'}")
    yield opened
    opened.close()


def judgement(relevance: int = 4, rater: str = "reader") -> Judgement:
    kept = record()
    return Judgement.of(kept, kept.parts[0], kept.parts[0].matches[0], rater, relevance, NOW)


def test_a_judgement_comes_back_with_how_the_match_had_come_about(feedback: Feedback) -> None:
    feedback.give(judgement())
    (kept,) = feedback.all()
    assert kept == judgement()
    assert (kept.part, kept.relevance, kept.rank) == ("distal_radius", 4, 1)
    assert (kept.global_similarity, kept.region_similarity) == (0.9, 0.8)


def test_the_same_rater_changes_a_judgement_and_another_adds_one(feedback: Feedback) -> None:
    for one in (judgement(), judgement(2), judgement(5, "other")):
        feedback.give(one)
    said = {one.rater: one.relevance for one in feedback.all()}
    assert said == {"reader": 2, "other": 5}
    assert list(feedback.of("answer-1-1-A", "reader").values()) == [2]
    assert feedback.of("answer-9-1-A", "reader") == {}


def test_a_judgement_can_be_taken_back(feedback: Feedback) -> None:
    feedback.give(judgement())
    feedback.give(judgement(3, "other"))
    feedback.take_back(judgement())
    assert [one.rater for one in feedback.all()] == ["other"]


@pytest.mark.parametrize("relevance", [0, 6, -1])
def test_there_are_five_points_and_no_other(feedback: Feedback, relevance: int) -> None:
    with pytest.raises(FeedbackError):
        feedback.give(replace(judgement(), relevance=relevance))
    assert feedback.all() == ()
