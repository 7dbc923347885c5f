from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage
from result_parts import (
    NOW,
    UIDS,
    answer,
    as_bytes,
    exam,
    header,
    pictures,
    planted,
    stored_pixels,
)

from pipeline.deidentify import library_copy
from pipeline.dictionary import dictionary
from pipeline.errors import IdentityError, ResultError
from pipeline.identity import adopt_identity
from pipeline.match_board import match_board
from pipeline.prior_result import PriorResult
from pipeline.reference import PriorReference
from pipeline.request import Answer
from pipeline.result_language import Language
from pipeline.result_set import assert_identity, assert_sendable, build, referenced_instances
from pipeline.settings import ResultSettings
from pipeline.wording import BundleWords

BUNDLE = BundleWords("wristmir-demonstration-4", "Finds similar prior wrist radiographs.", True)
EVERYTHING = ResultSettings(presentation_state=True, key_objects=True, document=True)
PLANTED = "Q7SECRETQ7"


def copies_of(given: Answer, plant: bool = False) -> dict[str, Dataset]:
    copies = {}
    for number, prior in enumerate(given.priors, 1):
        source = planted(header(number), PLANTED) if plant else header(number)
        copies[prior.sop_instance_uid] = library_copy(source, stored_pixels(), prior, UIDS)
    return copies


def results_of(
    given: Answer,
    copies: dict[str, Dataset],
    query: Dataset | None = None,
    settings: ResultSettings = EVERYTHING,
    predecessor: PriorResult | None = None,
) -> tuple[Dataset, ...]:
    shown = dict(pictures(given.query, *given.priors))
    references = {
        prior.sop_instance_uid: PriorReference.to_copy(prior, copies[prior.sop_instance_uid])
        for prior in given.priors
        if prior.sop_instance_uid in copies
    }
    return build(
        given,
        header(0) if query is None else query,
        shown.pop(given.query.sop_instance_uid),
        references,
        shown,
        bundle=BUNDLE,
        uids=UIDS,
        result_id="result-1",
        created_at=NOW,
        board_width=1024,
        settings=settings,
        predecessor=predecessor,
    )


def test_a_result_set_is_the_report_its_companion_and_the_board() -> None:
    results = results_of(answer(), copies_of(answer()), settings=ResultSettings())

    assert [one.Modality for one in results] == ["SR", "SR", "OT"]
    assert {one.StudyInstanceUID for one in results} == {"1.2.3.0"}
    assert len({one.SeriesInstanceUID for one in results}) == 3
    assert [str(one.ConceptNameCodeSequence[0].CodeValue) for one in results[:2]] == [
        "WM001",
        "126000",
    ]


def test_the_board_is_written_in_the_language_of_the_results() -> None:
    copies, german = copies_of(answer()), Language.GERMAN
    _, _, board, *_ = results_of(answer(), copies, settings=ResultSettings(language=german))
    shown = dict(pictures(answer().query, *answer().priors))
    query = shown.pop(answer().query.sop_instance_uid)

    drawn = match_board(answer(), query, shown, bundle=BUNDLE, width=1024, words=dictionary(german))
    assert np.array_equal(board.pixel_array, drawn)


@pytest.mark.parametrize(
    ("changes", "modalities"),
    [
        ({"measurements": "none"}, ["SR", "OT"]),
        ({"measurements": "comprehensive_3d"}, ["SR", "SR", "OT"]),
        ({"presentation_state": True}, ["SR", "SR", "OT", "PR"]),
        ({"key_objects": True}, ["SR", "SR", "OT", "KO", "KO", "KO"]),
        ({"document": True}, ["SR", "SR", "OT", "DOC"]),
    ],
)
def test_what_else_answers_is_chosen_by_settings(
    changes: dict[str, Any], modalities: list[str]
) -> None:
    settings = ResultSettings(**changes)
    results = results_of(answer(), copies_of(answer()), settings=settings)

    assert [one.Modality for one in results] == modalities
    solid = changes.get("measurements") == "comprehensive_3d"
    assert (Comprehensive3DSRStorage in {one.SOPClassUID for one in results}) is solid


def test_every_object_has_a_series_and_a_series_number_of_its_kind() -> None:
    results = results_of(answer(), copies_of(answer()))

    numbers = {(one.SeriesInstanceUID, one.SeriesNumber) for one in results}
    assert sorted(number for _, number in numbers) == [9001, 9002, 9003, 9004, 9005, 9006]
    assert len({one.SOPInstanceUID for one in results}) == len(results) == 8


@pytest.mark.slow
def test_the_same_result_set_built_again_is_the_same_in_every_byte() -> None:
    first, again = (results_of(answer(), copies_of(answer())) for _ in range(2))

    assert list(map(as_bytes, first)) == list(map(as_bytes, again))


def test_each_structured_report_names_the_one_of_its_own_kind_that_it_replaces() -> None:
    companion = PriorResult("1.2.3.0", "1.2.3.0.8", Comprehensive3DSRStorage, "1.2.3.0.8.1")
    earlier = PriorResult("1.2.3.0", "1.2.3.0.9", ComprehensiveSRStorage, "1.2.3.0.9.1", companion)
    results = results_of(answer(), copies_of(answer()), predecessor=earlier)

    named = [
        study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for one in results
        for study in one.get("PredecessorDocumentsSequence", ())
    ]
    assert named == ["1.2.3.0.9.1", "1.2.3.0.8.1"]


def test_a_companion_replaces_none_where_the_earlier_answer_had_none() -> None:
    earlier = PriorResult("1.2.3.0", "1.2.3.0.9", ComprehensiveSRStorage, "1.2.3.0.9.1")
    report, companion, *_ = results_of(answer(), copies_of(answer()), predecessor=earlier)

    assert "PredecessorDocumentsSequence" in report
    assert "PredecessorDocumentsSequence" not in companion


def test_key_objects_refer_to_nothing_in_the_query_s_study() -> None:
    results = results_of(answer(), copies_of(answer()))

    for one in results:
        if one.Modality == "KO":
            assert "1.2.3.0.1.1" not in referenced_instances(one)


def test_everything_referenced_is_the_query_or_a_copy_that_was_made() -> None:
    copies = copies_of(answer())
    there = {str(copy.SOPInstanceUID) for copy in copies.values()} | {"1.2.3.0.1.1"}

    referenced = frozenset[str]().union(
        *(referenced_instances(result) for result in results_of(answer(), copies))
    )

    assert referenced == there


@pytest.mark.slow
def test_nothing_of_any_patient_s_header_is_drawn_on_the_board() -> None:
    """Patients who differ in their headers only have boards that are alike, pixel by pixel."""
    _, _, board, *_ = results_of(answer(), copies_of(answer()))
    copies = copies_of(answer(), plant=True)
    _, _, other, *_ = results_of(answer(), copies, planted(header(0), PLANTED))

    assert other.PatientName != board.PatientName
    assert other.PixelData == board.PixelData


def test_no_identifier_of_a_prior_s_patient_stands_in_any_byte_sent() -> None:
    copies = copies_of(answer(), plant=True)
    sent = [*copies.values(), *results_of(answer(), copies)]

    for content in map(as_bytes, sent):
        assert PLANTED.encode() not in content
        for number in (1, 2, 3):
            for secret in (f"PID-{number:04d}", f"ACC{number:04d}", f"1.2.3.{number}", "19991231"):
                assert secret.encode() not in content
            assert f"key-{number}".encode() not in content


def test_a_prior_whose_copy_was_withheld_has_no_picture_and_no_reference() -> None:
    complete = results_of(answer(), copies_of(answer()))
    copies = copies_of(answer())
    copies.pop(exam(1).sop_instance_uid)

    report, _, board, *_ = results_of(answer(), copies)

    assert len(referenced_instances(report)) == 3
    assert not np.array_equal(board.pixel_array, complete[2].pixel_array)


def test_the_query_of_another_answer_is_refused() -> None:
    with pytest.raises(ResultError, match="not that of the answer's query"):
        results_of(answer(), copies_of(answer()), query=header(5))


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientID", "PID-0001"),
        ("IssuerOfPatientID", "OTHER HOSPITAL"),
        ("PatientName", "Invented^Other"),
        ("PatientBirthDate", "20140102"),
        ("StudyInstanceUID", "1.2.3.1"),
    ],
)
def test_a_result_of_another_patient_or_study_is_never_sent(keyword: str, value: str) -> None:
    for result in results_of(answer(), copies_of(answer())):
        setattr(result, keyword, value)
        with pytest.raises(IdentityError, match=keyword) as refusal:
            assert_sendable(result, header(0), set(referenced_instances(result)))
        assert value not in str(refusal.value)


def test_a_result_that_refers_to_what_nobody_has_is_never_sent() -> None:
    report, *_ = results_of(answer(), copies_of(answer()))

    with pytest.raises(ResultError, match="does not have"):
        assert_sendable(report, header(0), {"1.2.3.0.1.1"})


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        ("ISO_IR 100", "Ångström^Zoë"),
        ("ISO_IR 192", "Иванова^Анна"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (None, "Invented^Zoe"),
    ],
)
def test_the_identity_survives_the_way_through_a_file(
    character_set: str | list[str] | None, name: str, tmp_path: Path
) -> None:
    query = header(0, SpecificCharacterSet=character_set, PatientName=name)
    path = tmp_path / "query.dcm"
    path.write_bytes(as_bytes(query))
    received = dcmread(path)

    for result in results_of(answer(), copies_of(answer()), query=received):
        path.write_bytes(as_bytes(result))
        read = dcmread(path)
        assert_identity(read, received)
        assert str(read.PatientName) == str(received.PatientName)


def test_an_issuer_qualifier_belongs_to_the_identity() -> None:
    qualifier = Dataset()
    qualifier.UniversalEntityID = "1.2.3"
    qualifier.UniversalEntityIDType = "ISO"
    query = header(0, IssuerOfPatientIDQualifiersSequence=Sequence([qualifier]))
    report, *_ = results_of(answer(), copies_of(answer()), query=query)

    assert_identity(report, query)
    with pytest.raises(IdentityError, match="IssuerOfPatientIDQualifiersSequence"):
        assert_identity(report, header(0))


@given(st.sampled_from(["PatientID", "PatientBirthDate", "PatientName"]), st.text(max_size=20))
def test_a_malformed_identity_is_taken_over_without_a_word(keyword: str, text: str) -> None:
    query = header(0)
    query[keyword]._value = text
    result = Dataset()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        adopt_identity(result, query)
        assert_identity(result, query)


def test_a_query_without_study_is_refused() -> None:
    query = header(0, StudyInstanceUID="")
    result = Dataset()
    adopt_identity(result, query)

    with pytest.raises(IdentityError, match="StudyInstanceUID is missing"):
        assert_identity(result, query)
