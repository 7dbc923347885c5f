"""What results say of other patients is never read as a finding of this one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from io import BytesIO

import pytest
from pydicom import Dataset
from pypdf import PdfReader
from result_parts import NOW, UIDS, answer, exam, header, match, pictures
from test_match_report import BUNDLE, references
from test_medgemma import answer as said
from test_medgemma import mining

from pipeline.dictionary import dictionary
from pipeline.exam import RegionFindings
from pipeline.findings import Displacement, FractureType, Healing, WristReport
from pipeline.match_report import readable
from pipeline.mining import RulesMiner
from pipeline.own_words import without_own_words
from pipeline.region import Laterality, Region
from pipeline.remark import Remark
from pipeline.report import is_document, is_report, report_text
from pipeline.request import Answer, RegionAnswer
from pipeline.result_language import Language
from pipeline.result_set import build
from pipeline.settings import ResultSettings

SCARCE = (
    Remark("fallback.bone_missing_in_matches", lacking=1, matches=9, bone=Region.DISTAL_ULNA),
    Remark("fallback.any_side", side=Laterality.LEFT),
    Remark("fallback.any_age", count=3.0),
    Remark("fallback.scarce", count=2),
)


def told_everything() -> Answer:
    """Return an answer whose priors have every kind of fracture, state and other finding."""
    states = [*(one.value for one in Healing), None]
    priors = [
        exam(
            number,
            findings={
                bone: RegionFindings(
                    "possible" if number % 3 else "present",
                    kind.value,
                    states[number % 4],
                    list(Displacement)[number % 3].value,
                    12.5,
                )
                for bone in Region
            },
            other=("cast_or_splint", "scaphoid_fracture"),
        )
        for number, kind in enumerate(FractureType, 1)
    ]
    matches = tuple(
        match(rank, prior, reasons=(Remark("reason.same_side"),))
        for rank, prior in enumerate(priors, 1)
    )
    fallbacks = (Remark("fallback.bone_missing", bone=Region.ULNAR_STYLOID), *SCARCE)
    parts = [RegionAnswer(bone, matches, fallbacks) for bone in (*Region, None)]
    return answer(tuple(parts), warnings=(Remark("warning.adult"),))


@cache
def results(language: Language) -> tuple[Dataset, ...]:
    given = told_everything()
    shown = dict(pictures(given.query, *given.priors))
    return build(
        given,
        header(0),
        shown.pop(given.query.sop_instance_uid),
        references(given),
        shown,
        bundle=BUNDLE,
        uids=UIDS,
        result_id="result-1",
        created_at=NOW,
        board_width=1024,
        settings=ResultSettings(
            language=language,
            measurements="comprehensive_3d",
            presentation_state=True,
            key_objects=True,
            document=True,
        ),
    )


def texts(made: tuple[Dataset, ...]) -> Iterator[str]:
    """Yield the words of every result, however somebody came by them."""
    for result in made:
        if result.Modality == "SR":
            yield report_text(result).text
            yield readable(result)
        elif result.Modality == "DOC":
            pages = PdfReader(BytesIO(result.EncapsulatedDocument)).pages
            yield "\n".join(page.extract_text() for page in pages)


def nothing(report: WristReport) -> bool:
    return not any(side.regions or side.other for side in report.sides.values())


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.slow
def test_no_result_is_taken_for_a_report_wherever_it_was_made(language: Language) -> None:
    made = results(language)
    assert {one.Modality for one in made} == {"SR", "OT", "PR", "KO", "DOC"}
    assert not any(is_report(result) or is_document(result) for result in made)


@pytest.mark.slow
@pytest.mark.parametrize("language", list(Language))
def test_our_own_miner_finds_nothing_for_this_patient_in_our_own_words(language: Language) -> None:
    found = list(texts(results(language)))
    assert len(found) == 5
    for text in found:
        report = RulesMiner().mine(text)
        assert nothing(report), report


@pytest.mark.slow
def test_the_words_would_be_read_if_they_were_a_radiologist_s() -> None:
    text = "".join(texts(results(Language.ENGLISH))).replace("Findings of this other patient:", "")
    assert not nothing(RulesMiner().mine(text))


@pytest.mark.parametrize("language", list(Language))
def test_a_structured_report_says_nothing_of_other_subjects(language: Language) -> None:
    report, *_ = results(language)
    text = report_text(report).text
    assert dictionary(language).sentences["fracture.buckle"] not in text
    assert dictionary(language).sentences["demonstration"] in text


@pytest.mark.parametrize("language", list(Language))
def test_a_line_pasted_into_a_report_is_left_out_and_the_rest_is_read(language: Language) -> None:
    pasted = dictionary(language).say(
        "report.findings", findings="distal radius: Salter-Harris II fracture,\n healing, 12.5 x"
    )
    text = f"FINDINGS: Left wrist. {pasted} Buckle fracture of the distal ulna."
    found = RulesMiner().mine(text)
    (side,) = found.sides.values()
    assert set(side.regions) == {Region.DISTAL_ULNA}
    assert without_own_words(text).split() == [
        *["FINDINGS:", "Left", "wrist.", "Buckle", "fracture", "of", "the", "distal", "ulna."]
    ]


def test_a_language_model_is_not_shown_what_results_say_of_others() -> None:
    (text, *_) = (t for t in texts(results(Language.GERMAN)) if "Wulstfraktur" in t)
    with mining(said(sides=[])) as (miner, served):
        assert nothing(miner.mine(text))
    shown = json.dumps(served.asked[-1]["messages"][-1], ensure_ascii=False)
    assert "Ähnlichkeitsindex" in shown
    assert "Wulstfraktur" not in shown


def test_other_text_stays_as_it_is() -> None:
    text = "FINDINGS: another patient's film was compared. No fracture, 12.5 degrees."
    assert without_own_words(text) == text
