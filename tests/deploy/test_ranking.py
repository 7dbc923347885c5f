"""The matches in the order and choice that a reader wants."""

from __future__ import annotations

import pytest
from invented_exams import invented_exam

from deploy.web.ranking import Ranked, Wish, ranked
from pipeline.answer_record import AnswerRecord, CaseRecord, MatchRecord, PartRecord, Shown
from pipeline.exam import RegionFindings
from pipeline.region import Laterality, Region
from pipeline.request import Mode

RADIUS = Region.DISTAL_RADIUS


def case(number: int, fracture: str | None, *, pictured: bool = True) -> CaseRecord:
    exam = invented_exam(
        number,
        laterality=Laterality.LEFT,
        findings={RADIUS: RegionFindings(fracture)} if fracture else {},
        findings_known=fracture is not None,
    )
    return CaseRecord.of(number, exam, Shown(1, pictured))


def match(number: int, whole: float, bone: float | None, *, mirrored: bool = False) -> MatchRecord:
    return MatchRecord(
        case=number,
        rank=number,
        global_similarity=0.5,
        region_similarity=None if bone is None else 0.5,
        global_index=whole,
        region_index=bone,
        mirrored=mirrored,
        reasons=(),
    )


MATCHES = (match(1, 20, 90), match(2, 60, 70, mirrored=True), match(3, 95, 10), match(4, 50, None))
PART = PartRecord(region=RADIUS, matches=MATCHES, fallbacks=(), nothing_similar=False)
CASES = (case(1, "present"), case(2, "absent"), case(3, None, pictured=False), case(4, "possible"))


@pytest.fixture
def record() -> AnswerRecord:
    from datetime import UTC, datetime

    return AnswerRecord(
        result_id="answer-1-1-A",
        study_uid="1.2.3",
        query=case(0, None),
        cases=CASES,
        parts=(PART,),
        mode=Mode.TWO_STAGE,
        wanted="",
        pool=4,
        warnings=(),
        bundle_id="b",
        intended_use="",
        demonstration=False,
        asked_at=datetime.now(UTC),
    )


def order(record: AnswerRecord, **asked: str) -> list[int]:
    return cases(ranked(record, PART, Wish.of(asked), is_pictured))


def cases(found: tuple[Ranked, ...]) -> list[int]:
    assert [one.place for one in found] == list(range(1, len(found) + 1))
    return [one.match.case for one in found]


def is_pictured(case: CaseRecord) -> bool:
    return case.pictured


def test_without_a_wish_the_answers_own_order_stands(record: AnswerRecord) -> None:
    assert order(record) == [1, 2, 3, 4]


def test_the_weight_of_the_bone_goes_from_the_wrist_alone_to_the_bone_alone(
    record: AnswerRecord,
) -> None:
    assert order(record, weight="0") == [3, 2, 4, 1]
    assert order(record, weight="50") == [2, 1, 3, 4]
    assert order(record, weight="100") == [1, 2, 3, 4]  # a bone not compared comes last


def test_what_a_report_says_chooses(record: AnswerRecord) -> None:
    assert order(record, finding="fracture") == [1, 4]
    assert order(record, finding="none") == [2]
    assert order(record, finding="unknown") == [3]


def test_side_and_picture_choose_and_choices_add_up(record: AnswerRecord) -> None:
    assert order(record, same_side="on") == [1, 3, 4]
    assert order(record, pictured="on") == [1, 2, 4]
    assert order(record, same_side="on", pictured="on", finding="fracture", weight="0") == [4, 1]


def test_candidates_behind_the_matches_come_in_by_weight_and_by_choice(
    record: AnswerRecord,
) -> None:
    part = PART.model_copy(update={"matches": MATCHES[:2], "further": MATCHES[2:]})

    def shown(**asked: str) -> list[int]:
        return cases(ranked(record, part, Wish.of(asked), is_pictured))

    assert shown() == [1, 2]
    assert shown(weight="0") == [3, 2]
    assert shown(finding="fracture") == [1, 4]
    assert shown(weight="0", pictured="on") == [2, 4]
    assert shown(finding="none") == [2]


@pytest.mark.parametrize("weight", ["", "-1", "x", "1e3", "0050"])
def test_what_is_no_weight_is_none(weight: str) -> None:
    assert Wish.of({"weight": weight, "finding": "nonsense"}) == Wish(weight=None)


def test_a_weight_has_an_end() -> None:
    assert Wish.of({"weight": "900"}).weight == 100
