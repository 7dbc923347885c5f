"""Key objects: one document for each study that is pointed at, none with a duplicate elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydicom import Dataset
from result_parts import (
    NOW,
    UIDS,
    answer,
    as_bytes,
    exam,
    header,
    match,
)
from test_match_report import BUNDLE, references

from pipeline.dictionary import dictionary
from pipeline.identity import assert_identity
from pipeline.key_objects import key_object_selections
from pipeline.reference import PriorReference
from pipeline.region import Region
from pipeline.request import Answer, RegionAnswer
from pipeline.result_language import Language
from pipeline.result_set import referenced_instances


def documents_of(given: Answer, **changes: Any) -> tuple[Dataset, ...]:
    said: dict[str, Any] = {
        "bundle": BUNDLE,
        "uids": UIDS,
        "result_id": "result-1",
        "created_at": NOW,
        **changes,
    }
    refers = said.pop("refers", references(given))
    return key_object_selections(given, header(0), refers, **said)


def test_each_document_stands_in_the_query_s_study_and_points_into_one_other() -> None:
    documents = documents_of(answer())
    pointed_at = []
    for document in documents:
        assert_identity(document, header(0))
        (study,) = document.CurrentRequestedProcedureEvidenceSequence
        assert study.StudyInstanceUID != document.StudyInstanceUID
        assert "IdenticalDocumentsSequence" not in document
        assert "PertinentOtherEvidenceSequence" not in document
        pointed_at.append(str(study.StudyInstanceUID))
    assert pointed_at == ["2.25.13", "2.25.23", "2.25.33"]


def test_all_are_numbered_in_one_series() -> None:
    documents = documents_of(answer())
    assert len({document.SeriesInstanceUID for document in documents}) == 1
    assert [document.InstanceNumber for document in documents] == [1, 2, 3]
    assert len({document.SOPInstanceUID for document in documents}) == 3


def test_every_image_of_the_content_is_in_the_evidence() -> None:
    for document in documents_of(answer()):
        (study,) = document.CurrentRequestedProcedureEvidenceSequence
        listed = {
            str(one.ReferencedSOPInstanceUID)
            for series in study.ReferencedSeriesSequence
            for one in series.ReferencedSOPSequence
        }
        images = {
            str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
            for item in document.ContentSequence
            if item.ValueType == "IMAGE"
        }
        assert images == listed == referenced_instances(document)


def test_two_priors_of_a_study_share_a_document() -> None:
    given = answer((RegionAnswer(Region.DISTAL_RADIUS, (match(1, exam(1)), match(2, exam(2)))),))
    refers = references(given)
    second = exam(2).sop_instance_uid
    refers[second] = replace(refers[second], study_instance_uid="2.25.13")
    (document,) = documents_of(given, refers=refers)
    assert referenced_instances(document) == {"2.25.11", "2.25.21"}


def test_what_it_points_at_is_said_to_be_of_another_patient() -> None:
    first, *_ = documents_of(answer())
    (told,) = (item for item in first.ContentSequence if code(item) == "113012")
    assert told.TextValue == (
        "Case 1, another patient: distal radius, rank 1; ulnar styloid, rank 1."
    )
    german, *_ = documents_of(answer(), words=dictionary(Language.GERMAN))
    (told,) = (item for item in german.ContentSequence if code(item) == "113012")
    assert told.TextValue.startswith("Fall 1, ein anderer Patient: distaler Radius, Rang 1;")


def code(item: Dataset) -> str:
    return (
        str(item.ConceptNameCodeSequence[0].CodeValue) if "ConceptNameCodeSequence" in item else ""
    )


def test_a_prior_that_cannot_be_fetched_or_is_of_the_same_study_is_not_pointed_at() -> None:
    own = exam(7, study_instance_uid="1.2.3.0", sop_instance_uid="1.2.3.0.1.2")
    given = answer((RegionAnswer(None, (match(1, own), match(2, exam(1)))),))
    assert documents_of(given, refers={own.sop_instance_uid: PriorReference.to_original(own)}) == ()
    assert documents_of(given, refers={}) == ()


def test_the_same_result_built_again_is_the_same_object() -> None:
    first, again = documents_of(answer()), documents_of(answer())
    assert list(map(as_bytes, first)) == list(map(as_bytes, again))
