"""The bones' boxes, drawn by the viewer on the query image itself."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence
from result_parts import CR, NOW, UIDS, as_bytes, dciodvfy_errors, exam, header, without

from pipeline.dictionary import dictionary
from pipeline.identity import assert_identity
from pipeline.presentation_state import presentation_state
from pipeline.result_language import Language


def state_of(query: Dataset, **changes: Any) -> Dataset:
    said = {"bundle_id": "bundle-1", "uids": UIDS, "result_id": "result-1", "created_at": NOW}
    state = presentation_state(exam(0), query, **{**said, **changes})
    assert state is not None
    return state


@pytest.mark.peers
def test_dciodvfy_finds_no_error_where_the_query_is_a_cr(tmp_path: Path) -> None:
    assert dciodvfy_errors(state_of(header(0, CR)), tmp_path) == []


@pytest.mark.peers
def test_dciodvfy_finds_no_error_where_the_query_is_bare(tmp_path: Path) -> None:
    bare = without(
        header(0, CR), "WindowCenter", "WindowWidth", "Laterality", "PatientBirthDate", "StudyID"
    )
    assert dciodvfy_errors(state_of(bare), tmp_path) == []


def test_each_bone_has_a_layer_with_its_box_and_its_name() -> None:
    state = state_of(header(0))
    radius, ulna = state.GraphicAnnotationSequence
    assert (radius.GraphicLayer, ulna.GraphicLayer) == ("DISTAL RADIUS", "DISTAL ULNA")
    assert {layer.GraphicLayer for layer in state.GraphicLayerSequence} == {
        "DISTAL RADIUS",
        "DISTAL ULNA",
    }
    (outline,), (label,) = radius.GraphicObjectSequence, radius.TextObjectSequence
    assert outline.GraphicAnnotationUnits == "PIXEL"
    assert list(outline.GraphicData) == [18, 20, 33, 20, 33, 50, 18, 50, 18, 20]
    assert label.UnformattedTextValue == "Distal radius"


def test_names_are_in_the_language() -> None:
    state = state_of(header(0), words=dictionary(Language.SPANISH))
    labels = [one.TextObjectSequence[0] for one in state.GraphicAnnotationSequence]
    assert [one.UnformattedTextValue for one in labels] == ["Radio distal", "Cúbito distal"]


def test_it_applies_to_the_query_image_alone() -> None:
    (series,) = state_of(header(0)).ReferencedSeriesSequence
    assert series.SeriesInstanceUID == "1.2.3.0.1"
    assert [one.ReferencedSOPInstanceUID for one in series.ReferencedImageSequence] == [
        "1.2.3.0.1.1"
    ]


def test_the_query_is_shown_as_it_would_be_without_it() -> None:
    query = header(0, RescaleSlope="2", RescaleIntercept="-1", RescaleType="US")
    state = state_of(query)
    assert (state.RescaleSlope, state.RescaleIntercept, state.RescaleType) == (2, -1, "US")
    (shown,) = state.SoftcopyVOILUTSequence
    assert (shown.WindowCenter, shown.WindowWidth) == (2000, 4000)
    assert state.PresentationLUTShape == "IDENTITY"
    assert state_of(header(0, PhotometricInterpretation="MONOCHROME1")).PresentationLUTShape == (
        "INVERSE"
    )
    assert state_of(header(0, PresentationLUTShape="INVERSE")).PresentationLUTShape == "INVERSE"


def table() -> Sequence:
    item = Dataset()
    item.LUTDescriptor = [4, 0, 12]
    item.add_new("LUTData", "US", [0, 1000, 3000, 4095])
    return Sequence([item])


def test_a_table_is_taken_over_where_there_is_no_window() -> None:
    query = without(header(0, VOILUTSequence=table()), "WindowCenter", "WindowWidth")
    (shown,) = state_of(query).SoftcopyVOILUTSequence
    assert list(shown.VOILUTSequence[0].LUTData) == [0, 1000, 3000, 4095]
    assert "WindowCenter" not in shown


@pytest.mark.parametrize(
    "changes",
    [
        {"WindowWidth": "0"},
        {"WindowWidth": ["4000", "300"]},
        {"WindowCenter": None},
        {"RescaleSlope": "0", "RescaleIntercept": "0", "WindowWidth": None},
    ],
)
def test_what_the_image_says_badly_of_its_display_is_left_out(changes: dict[str, Any]) -> None:
    state = state_of(header(0, **changes))
    assert "SoftcopyVOILUTSequence" not in state
    assert "RescaleSlope" not in state


def test_without_a_bone_there_is_none() -> None:
    none = presentation_state(
        exam(0, boxes={"wrist": (4.0, 4.0, 36.0, 56.0)}),
        header(0),
        bundle_id="bundle-1",
        uids=UIDS,
        result_id="result-1",
        created_at=NOW,
    )
    assert none is None


def test_the_same_result_built_again_is_the_same_object() -> None:
    state = as_bytes(state_of(header(0)))
    assert state == as_bytes(state_of(header(0)))
    assert_identity(dcmread(BytesIO(state)), header(0))
