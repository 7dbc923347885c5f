"""The TID 1500 companion: boxes first, then matches, whose subject is another patient."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peers import peer
from pydicom import Dataset
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage
from result_parts import (
    NOW,
    UIDS,
    answer,
    as_bytes,
    exam,
    header,
    match,
)
from test_match_report import BUNDLE, EARLIER, references

from pipeline.dictionary import dictionary
from pipeline.measurement_report import measurement_report
from pipeline.region import Region
from pipeline.request import Answer, RegionAnswer
from pipeline.result_language import Language
from pipeline.result_set import referenced_instances


def companion_of(given: Answer, **changes: Any) -> Dataset:
    said: dict[str, Any] = {
        "bundle": BUNDLE,
        "uids": UIDS,
        "result_id": "result-1",
        "created_at": NOW,
        **changes,
    }
    query, refers = said.pop("query", header(0)), said.pop("refers", references(given))
    companion = measurement_report(given, query, refers, **said)
    assert companion is not None
    return companion


def groups(companion: Dataset) -> list[Dataset]:
    """Return the measurement groups in their order."""
    container = next(item for item in companion.ContentSequence if name(item) == "126010")
    return list(container.ContentSequence)


def name(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue)


def named(group: Dataset, code: str) -> Iterator[Dataset]:
    return (item for item in group.ContentSequence if name(item) == code)


def is_box(group: Dataset) -> bool:
    return any(item.ValueType == "SCOORD" for item in group.ContentSequence)


@pytest.mark.peers
def test_dsr2html_shows_scores_as_percentages(tmp_path: Path) -> None:
    path = tmp_path / "companion.dcm"
    path.write_bytes(as_bytes(companion_of(answer())))
    done = subprocess.run([peer("dsr2html"), str(path)], capture_output=True, check=True)
    page = done.stdout.decode("latin-1")
    assert "88.0 %" in page
    assert "Distal radius, rank 1, Case 1: another patient" in page


def test_it_is_a_comprehensive_sr_and_by_setting_a_three_dimensional_one() -> None:
    plain, solid = companion_of(answer()), companion_of(answer(), three_dimensional=True)
    assert plain.SOPClassUID == ComprehensiveSRStorage
    assert solid.SOPClassUID == Comprehensive3DSRStorage
    for companion in (plain, solid):
        assert name(companion) == "126000"
        assert companion.ContentTemplateSequence[0].TemplateIdentifier == "1500"
        assert (companion.CompletionFlag, companion.VerificationFlag) == ("COMPLETE", "UNVERIFIED")


def test_all_boxes_stand_before_all_matches() -> None:
    kinds = [is_box(group) for group in groups(companion_of(answer()))]
    assert kinds == [True] * 3 + [False] * 4


def test_a_box_is_a_closed_line_on_the_query_image() -> None:
    radius = groups(companion_of(answer()))[1]
    (outline,) = (item for item in radius.ContentSequence if item.ValueType == "SCOORD")
    assert outline.GraphicType == "POLYLINE"
    assert list(outline.GraphicData) == [18, 20, 33, 20, 33, 50, 18, 50, 18, 20]
    source = outline.ContentSequence[0].ReferencedSOPSequence[0]
    assert source.ReferencedSOPInstanceUID == "1.2.3.0.1.1"
    (found,) = named(radius, "121071")
    assert found.ConceptCodeSequence[0].CodeValue == "75129005"


def test_a_box_beyond_the_edge_ends_at_the_edge() -> None:
    wide = answer(query=exam(0, boxes={"wrist": (-3.0, 2.0, 44.0, 99.0)}))
    (box, *_) = groups(companion_of(wide))
    (outline,) = (item for item in box.ContentSequence if item.ValueType == "SCOORD")
    assert list(outline.GraphicData) == [0, 2, 40, 2, 40, 60, 0, 60, 0, 2]


def test_a_match_has_rank_and_scores_and_the_image_of_the_prior() -> None:
    first = groups(companion_of(answer()))[3]
    values = {
        name(item): (item.MeasuredValueSequence[0].NumericValue, unit(item))
        for item in first.ContentSequence
        if item.ValueType == "NUM"
    }
    assert values == {"WM051": (1, "{rank}"), "WM052": (88, "%"), "WM053": (94, "%")}
    (image,) = (item for item in first.ContentSequence if item.ValueType == "IMAGE")
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "2.25.11"


def test_a_score_names_the_box_that_was_compared() -> None:
    first = groups(companion_of(answer()))[3]
    rank, bone, wrist = (item for item in first.ContentSequence if item.ValueType == "NUM")
    assert "ContentSequence" not in rank
    assert box_of(bone) == ("2.25.11", [18, 20, 33, 20, 33, 50, 18, 50, 18, 20])
    assert box_of(wrist) == ("2.25.11", [4, 4, 36, 4, 36, 56, 4, 56, 4, 4])


def test_a_score_of_a_bone_that_was_not_located_names_the_wrist() -> None:
    boxes = {"wrist": (4.0, 4.0, 36.0, 56.0)}
    given = answer((RegionAnswer(Region.ULNAR_STYLOID, (match(1, exam(1, boxes=boxes)),)),))
    scores = [item for item in groups(companion_of(given))[3].ContentSequence if is_score(item)]
    assert [box_of(score)[1][:2] for score in scores] == [[4, 4], [4, 4]]


def test_every_group_has_coordinates_or_ohif_goes_blank() -> None:
    """So a match that cannot be pointed at, or whose boxes are unknown, has none."""
    bare = answer((RegionAnswer(None, (match(1, exam(1, boxes={})), match(2, exam(2)))),))
    assert len(groups(companion_of(bare))) == 3 + 1
    for group in groups(companion_of(answer())):
        scores = [item for item in group.ContentSequence if is_score(item)]
        assert is_box(group) or all(map(box_of, scores))


def is_score(item: Dataset) -> bool:
    return item.ValueType == "NUM" and name(item) != "WM051"


def box_of(score: Dataset) -> tuple[str, list[float]]:
    """Return the image and the outline that a score was inferred from."""
    (outline,) = score.ContentSequence
    assert (outline.ValueType, outline.RelationshipType) == ("SCOORD", "INFERRED FROM")
    (image,) = outline.ContentSequence
    return image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID, list(outline.GraphicData)


def unit(item: Dataset) -> str:
    return str(item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue)


def test_a_bone_that_could_not_be_compared_has_no_score() -> None:
    third = groups(companion_of(answer()))[5]
    numbers = [name(item) for item in third.ContentSequence if item.ValueType == "NUM"]
    assert numbers == ["WM051", "WM053"]


def test_the_subject_of_each_match_is_another_patient_and_no_finding_is_coded_in_it() -> None:
    companion = companion_of(answer())
    for group in groups(companion):
        about = [item.TextValue for item in named(group, "121030")]
        findings = list(named(group, "121071"))
        if is_box(group):
            assert (about, len(findings)) == ([], 1)
        else:
            assert about == ["another patient, not the patient of this report"]
            assert findings == []


def test_its_text_is_in_the_language_and_says_so() -> None:
    companion = companion_of(answer(), words=dictionary(Language.SPANISH))
    told = [item.TextValue for group in groups(companion) for item in named(group, "112039")]
    assert told[1] == "Radio distal, consulta"
    assert told[3] == "Radio distal, puesto 1, Caso 1: otro paciente"
    language = companion.ContentSequence[0].ConceptCodeSequence[0]
    assert (language.CodeValue, language.CodingSchemeDesignator) == ("es", "RFC5646")


def test_a_match_whose_image_is_not_shared_stands_in_the_readable_report_alone() -> None:
    companion = companion_of(answer(), refers={})
    assert referenced_instances(companion) == {"1.2.3.0.1.1"}
    assert all(map(is_box, groups(companion)))


def test_where_nothing_was_found_there_are_the_boxes_alone_and_without_these_no_companion() -> None:
    nothing = (RegionAnswer(Region.DISTAL_RADIUS, (), nothing_similar=True),)
    assert len(groups(companion_of(answer(nothing)))) == 3
    given = answer(nothing, query=exam(0, boxes={}))
    told = {"bundle": BUNDLE, "uids": UIDS, "result_id": "result-1", "created_at": NOW}
    assert measurement_report(given, header(0), {}, **told) is None  # type: ignore[arg-type]


def test_the_wrist_as_a_whole_can_be_asked_about() -> None:
    whole = answer((RegionAnswer(None, (match(1, exam(1), region_index=None),)),))
    last = groups(companion_of(whole))[-1]
    (site,) = named(last, "363698007")
    assert site.ConceptCodeSequence[0].CodeValue == "74670003"


def test_a_newer_companion_names_the_one_it_replaces() -> None:
    (study,) = companion_of(answer(), predecessor=EARLIER).PredecessorDocumentsSequence
    named_there = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert named_there.ReferencedSOPInstanceUID == EARLIER.sop_instance_uid


def test_the_same_result_built_again_is_the_same_object() -> None:
    assert as_bytes(companion_of(answer())) == as_bytes(companion_of(answer()))


def test_tracking_uids_differ_between_groups_and_are_the_plugins_own() -> None:
    found = [
        item.UID for group in groups(companion_of(answer())) for item in named(group, "112040")
    ]
    assert len(set(found)) == 7
    assert all(map(UIDS.is_own, found))
