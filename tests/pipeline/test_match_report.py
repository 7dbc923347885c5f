from __future__ import annotations

import re
import subprocess
import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from peers import peer
from pydicom import Dataset, dcmread
from result_parts import (
    DX,
    NOW,
    UIDS,
    answer,
    as_bytes,
    dciodvfy_errors,
    exam,
    header,
    match,
    without,
)

from pipeline.dictionary import ENGLISH, Dictionary, dictionary
from pipeline.exam import RegionFindings
from pipeline.match_report import match_report, readable
from pipeline.prior_result import PriorResult
from pipeline.reference import PriorReference
from pipeline.region import Region
from pipeline.remark import Remark
from pipeline.request import Answer, RegionAnswer
from pipeline.result_language import Language
from pipeline.result_set import referenced_instances
from pipeline.wording import BundleWords

BUNDLE = BundleWords("wristmir-demonstration-4", "Finds similar prior wrist radiographs.", True)
MANIFEST = (
    Path(__file__).parents[2] / "deploy" / "bundle" / "wristmir-demonstration-4" / "manifest.toml"
)
EARLIER = PriorResult("1.2.3.0", "1.2.3.0.9", "1.2.840.10008.5.1.4.1.1.88.33", "1.2.3.0.9.1")


def references(given: Answer) -> dict[str, PriorReference]:
    return {
        prior.sop_instance_uid: PriorReference(
            prior, DX, f"2.25.{number}1", f"2.25.{number}2", f"2.25.{number}3"
        )
        for number, prior in enumerate(given.priors, 1)
    }


def report_of(
    given: Answer,
    *,
    query: Dataset | None = None,
    bundle: BundleWords = BUNDLE,
    refers: dict[str, PriorReference] | None = None,
    predecessor: PriorResult | None = None,
    words: Dictionary = ENGLISH,
) -> Dataset:
    return match_report(
        given,
        query if query is not None else header(0),
        references(given) if refers is None else refers,
        bundle=bundle,
        uids=UIDS,
        result_id="result-1",
        created_at=NOW,
        predecessor=predecessor,
        words=words,
    )


def text_of(given: Answer) -> str:
    return readable(report_of(given))


@pytest.mark.peers
@pytest.mark.parametrize("predecessor", [None, EARLIER])
def test_dciodvfy_finds_no_error(predecessor: PriorResult | None, tmp_path: Path) -> None:
    assert dciodvfy_errors(report_of(answer(), predecessor=predecessor), tmp_path) == []


@pytest.mark.peers
def test_dciodvfy_finds_no_error_where_nothing_was_found(tmp_path: Path) -> None:
    nothing = answer((RegionAnswer(None, (), nothing_similar=True),), warnings=())

    assert dciodvfy_errors(report_of(nothing), tmp_path) == []


@pytest.mark.peers
def test_dciodvfy_finds_no_error_where_the_query_lacks_type_2_attributes(tmp_path: Path) -> None:
    bare = without(header(0), "PatientBirthDate", "StudyID", "AccessionNumber", "StudyTime")

    assert dciodvfy_errors(report_of(answer(), query=bare), tmp_path) == []


@pytest.mark.peers
def test_dsr2html_shows_every_match_and_the_notice(tmp_path: Path) -> None:
    path = tmp_path / "report.dcm"
    path.write_bytes(as_bytes(report_of(answer())))

    done = subprocess.run([peer("dsr2html"), str(path)], capture_output=True, check=True)
    page = done.stdout.decode("latin-1")

    assert "Similar prior wrist radiographs" in page
    assert "Demonstration only, not for clinical use" in page
    for case in ("Case 1", "Case 2", "Case 3"):
        assert case in page
    assert "buckle fracture" in page


def test_a_match_is_one_line_with_scores_findings_and_reason() -> None:
    line = next(line for line in text_of(answer()).splitlines() if "#1  Case 1: distal" in line)

    assert "distal radius similarity 88 of 100, whole wrist similarity 94 of 100" in line
    assert "Left wrist, PA view, 6-8 years" in line
    assert "distal radius: buckle fracture, acute, mildly displaced" in line
    assert "Why: among the 100 most similar wrists." in line


def test_its_lines_are_broken_where_that_is_asked_and_no_word_is_lost() -> None:
    report = report_of(answer())
    broken = readable(report, 80)

    assert max(map(len, broken.splitlines())) <= 80
    assert broken.split() == readable(report).split()


def test_the_report_says_what_it_is_and_what_it_is_not() -> None:
    text = text_of(answer())

    for words in (
        "Demonstration only, not for clinical use.",
        "Finds similar prior wrist radiographs.",
        "no diagnosis, no finding of this patient",
        "It is no probability",
        "132 prior radiographs were compared",
        "up to 10 each; wanted: same side.",
        "wristmir-demonstration-4",
        "2025-03-14 09:26:53 UTC",
        "Too few left wrists: right wrists were added.",
        "The patient may not be a child.",
        "Not found: ulnar styloid",
        "the other side",
        "no report yet",
        "ulnar styloid similarity not comparable",
    ):
        assert words in text, words


def test_a_clinical_bundle_has_no_demonstration_notice() -> None:
    clinical = replace(BUNDLE, demonstration=False)

    assert "Demonstration" not in readable(report_of(answer(), bundle=clinical))


def test_where_nothing_is_similar_it_says_so_and_lists_nothing() -> None:
    text = text_of(answer((RegionAnswer(Region.DISTAL_RADIUS, (), nothing_similar=True),)))

    assert "No sufficiently similar case." in text
    assert "Case 1" not in text


def test_it_is_complete_unverified_and_preliminary_comprehensive_sr() -> None:
    report = report_of(answer())

    assert report.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.33"
    assert (report.CompletionFlag, report.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert report.PreliminaryFlag == "PRELIMINARY"
    assert report.ConceptNameCodeSequence[0].CodeValue != "126000"
    assert report.ConceptNameCodeSequence[0].CodingSchemeDesignator == "99WRISTMIR"


def test_findings_stand_only_where_the_subject_is_another_patient() -> None:
    report = report_of(answer())

    def check(item: Dataset, another: bool) -> int:
        children = item.get("ContentSequence", [])
        subject = any(
            child.ConceptNameCodeSequence[0].CodeValue == "121030"
            and "another patient" in child.TextValue
            for child in children
        )
        here = "fracture" in str(item.get("TextValue", ""))
        assert not here or another
        return here + sum(check(child, another or subject) for child in children)

    assert check(report, False) == 3


def test_nothing_is_coded_as_a_finding_measured_or_summed_up() -> None:
    items = list(report_of(answer()).iterall())
    names = [str(e.value) for e in items if e.keyword == "CodeValue"]
    kinds = {e.value for e in items if e.keyword == "ValueType"}

    assert "121071" not in names
    assert kinds == {"CONTAINER", "TEXT", "CODE", "IMAGE", "UIDREF"}


def test_the_query_s_study_is_current_evidence_and_all_others_are_pertinent() -> None:
    own_other = exam(7, study_instance_uid="1.2.3.0", sop_instance_uid="1.2.3.0.1.2")
    given = answer((RegionAnswer(None, (match(1, own_other), match(2, exam(1)))),))
    refers = {
        own_other.sop_instance_uid: PriorReference.to_original(own_other),
        exam(1).sop_instance_uid: PriorReference.to_original(exam(1)),
    }

    report = report_of(given, refers=refers)

    current = report.CurrentRequestedProcedureEvidenceSequence
    pertinent = report.PertinentOtherEvidenceSequence
    assert [study.StudyInstanceUID for study in current] == ["1.2.3.0"]
    assert [study.StudyInstanceUID for study in pertinent] == ["1.2.3.1"]
    assert uids_in(current) == {"1.2.3.0.1.1", "1.2.3.0.1.2"}
    assert uids_in(pertinent) == {"1.2.3.1.1.1"}


def uids_in(sequence: object) -> set[str]:
    wrapper = Dataset()
    wrapper.PertinentOtherEvidenceSequence = sequence
    return set(referenced_instances(wrapper))


def test_a_prior_without_reference_is_listed_without_its_image() -> None:
    report = report_of(answer(), refers={})

    assert referenced_instances(report) == {"1.2.3.0.1.1"}
    assert "Its image is not shared." in readable(report)


def test_a_newer_report_names_the_one_it_replaces() -> None:
    report = report_of(answer(), predecessor=EARLIER)
    series = report.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]

    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.3.0.9.1"


def test_the_same_result_built_again_is_the_same_object() -> None:
    assert as_bytes(report_of(answer())) == as_bytes(report_of(answer()))


def test_its_own_uids_are_recognised() -> None:
    report = report_of(answer())

    assert UIDS.is_own(report.SOPInstanceUID)
    assert UIDS.is_own(report.SeriesInstanceUID)


@pytest.mark.parametrize("words", ["the bone was not located", "The bone was not located."])
def test_a_fallback_is_one_sentence_however_it_was_put(words: str) -> None:
    given = answer((RegionAnswer(None, (match(1, exam(1)),), fallbacks=(words,)),))

    assert "relaxed: The bone was not located.\n" in text_of(given)


def test_a_bone_begins_with_the_outcome_and_says_in_one_line_how_the_search_was_relaxed() -> None:
    matches, relaxed = (match(1, exam(1)),), ("any side", "any age")
    part = RegionAnswer(Region.DISTAL_RADIUS, matches, fallbacks=relaxed, nothing_similar=True)
    lines = text_of(answer((part,))).splitlines()
    (place,) = (n for n, line in enumerate(lines) if line.startswith("Distal radius: similar"))

    assert lines[place + 1 : place + 3] == [
        "  Outcome: No sufficiently similar case. The nearest are listed all the same.",
        "  How the search was relaxed: Any side. Any age.",
    ]


def test_four_lines_at_the_most_stand_before_the_first_that_a_radiologist_reads() -> None:
    names = [
        item.ConceptNameCodeSequence[0].CodeMeaning for item in report_of(answer()).ContentSequence
    ]

    assert names.index("Intended use") == 4  # language; type, UID and name of the observer


@pytest.mark.parametrize(("offset", "hour"), [("+0100", "10"), ("-0530", "03")])
def test_the_content_time_is_in_the_zone_of_the_query(offset: str, hour: str) -> None:
    report = report_of(answer(), query=header(0, TimezoneOffsetFromUTC=offset))

    assert report.TimezoneOffsetFromUTC == offset
    assert str(report.ContentTime)[:2] == hour


@pytest.mark.parametrize("language", list(Language))
def test_it_says_its_language_and_all_its_words_are_of_it(language: Language) -> None:
    words = dictionary(language)
    part = RegionAnswer(
        Region.ULNAR_STYLOID,
        (match(1, exam(1, other=("cast_or_splint",)), reasons=(Remark("reason.same_side"),)),),
        fallbacks=(Remark("fallback.any_age", count=3.0),),
    )
    given = answer((part,), warnings=(Remark("warning.adult"),))
    text = readable(report_of(given, words=words))
    code = report_of(given, words=words).ContentSequence[0].ConceptCodeSequence[0]

    assert (code.CodeValue, code.CodingSchemeDesignator) == (language.value, "RFC5646")
    for key in (
        "bone.ulnar_styloid",
        "fracture.buckle",
        "displacement.mild",
        "other.cast_or_splint",
        "reason.same_side",
        "warning.adult",
        "report.subject",
        "index.meaning",
        "mode.two_stage",
        *(f"code.WM0{number}" for number in ("01", "02", "03", "10", "12", "23", "32", "33", "40")),
    ):
        assert words.sentences[key].lower() in text.lower(), key
    assert words.say("fallback.any_age", count=3.0) in text


@pytest.mark.parametrize("language", [one for one in Language if one is not Language.ENGLISH])
def test_no_word_of_english_is_left_in_another_language(language: Language) -> None:
    given = answer((RegionAnswer(Region.DISTAL_RADIUS, (match(1, exam(1), reasons=()),)),))
    text = readable(report_of(replace(given, warnings=()), words=dictionary(language)))
    words = set(re.findall(r"[a-z]+", text.replace(BUNDLE.intended_use, "").lower()))

    # what stays: names of the plugin and of what other languages have taken over
    assert not words & {"the", "of", "and", "whole", "this", "other", "prior", "not"}


def test_the_shipped_bundle_is_said_to_be_a_demonstration_in_every_language() -> None:
    shipped = tomllib.loads(MANIFEST.read_text(encoding="utf-8"))["intended_use"]
    german = dictionary(Language.GERMAN)
    bundle = replace(BUNDLE, intended_use=shipped)

    assert german.say("report.demonstration_use") in readable(
        report_of(answer(), bundle=bundle, words=german)
    )


def test_words_that_are_not_ascii_survive_any_character_set(tmp_path: Path) -> None:
    given = answer(warnings=("Alter ≥ 19 Jahre – Möglichkeit",))
    bare = without(header(0, PatientName="Invented^Zoe"), "SpecificCharacterSet")
    path = tmp_path / "report.dcm"
    path.write_bytes(as_bytes(report_of(given, query=bare)))

    assert "Alter >= 19 Jahre - Moglichkeit" in readable(dcmread(path))


@pytest.mark.parametrize(
    ("findings", "words"),
    [
        (RegionFindings("absent"), "no fracture"),
        (RegionFindings("possible", "unspecified"), "possible fracture"),
        (
            RegionFindings("present", "salter_harris_2", "healing", "none", 12.0),
            "Salter-Harris II fracture, healing, not displaced, angulated 12 degrees",
        ),
        (RegionFindings("present", "plastic_bowing"), "plastic bowing"),
        (RegionFindings("present", "greenstick"), "greenstick fracture"),
        (RegionFindings(), "not described"),
    ],
)
def test_findings_are_said_in_words(findings: RegionFindings, words: str) -> None:
    prior = exam(1, findings={Region.DISTAL_RADIUS: findings})
    given = answer((RegionAnswer(Region.DISTAL_RADIUS, (match(1, prior),)),))

    assert f"Findings of this other patient: distal radius: {words}." in text_of(given)


def test_a_time_without_zone_is_that_of_this_machine() -> None:
    local = datetime(2025, 3, 14, 9, 26, 53, tzinfo=UTC).astimezone()

    assert str(report_of(answer()).ContentTime)[:6] == f"{local:%H%M%S}"
