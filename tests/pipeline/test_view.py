from __future__ import annotations

from typing import Any

import pytest
from dicom_files import document, hand, image
from pydicom import uid
from pydicom.dataset import Dataset

from pipeline.region import View
from pipeline.view import decide_view, exclusion

SURE_PA = {View.PA: 0.97, View.LATERAL: 0.01, View.OBLIQUE: 0.01, View.OTHER: 0.01}
SURE_LATERAL = {View.PA: 0.02, View.LATERAL: 0.96, View.OBLIQUE: 0.01, View.OTHER: 0.01}
SURE_NO_WRIST = {View.PA: 0.02, View.LATERAL: 0.01, View.OBLIQUE: 0.01, View.OTHER: 0.96}
UNSURE = {View.PA: 0.4, View.LATERAL: 0.3, View.OBLIQUE: 0.2, View.OTHER: 0.1}


def header(**said: Any) -> Dataset:
    return image(hand(), 12, **{"BodyPartExamined": "WRIST", **said})


def code(scheme: str, value: str) -> Dataset:
    item = Dataset()
    item.CodingSchemeDesignator, item.CodeValue, item.CodeMeaning = scheme, value, "meaning"
    return item


@pytest.mark.parametrize(
    ("said", "view", "evidence"),
    [
        ({"ViewCodeSequence": [code("SCT", "272479007")]}, View.PA, "view_code"),
        ({"ViewCodeSequence": [code("SRT", "R-10214")]}, View.PA, "view_code"),
        ({"ViewCodeSequence": [code("SCT", "399067008")]}, View.LATERAL, "view_code"),
        ({"ViewCodeSequence": [code("SNM3", "R-10236")]}, View.LATERAL, "view_code"),
        ({"ViewCodeSequence": [code("SCT", "399182000")]}, View.OBLIQUE, "view_code"),
        ({"ViewPosition": "PA"}, View.PA, "view_position"),
        ({"ViewPosition": "LL"}, View.LATERAL, "view_position"),
        ({"ViewPosition": "RL"}, View.LATERAL, "view_position"),
        ({"ViewPosition": "LLO"}, View.OBLIQUE, "view_position"),
        ({"ViewPosition": "RLO"}, View.OBLIQUE, "view_position"),
        ({"SeriesDescription": "Handgelenk d.p. links"}, View.PA, "words"),
        ({"SeriesDescription": "Wrist P.A."}, View.PA, "words"),
        ({"ProtocolName": "HAND DORSOPALMAR"}, View.PA, "words"),
        ({"SeriesDescription": "Handgelenk seitlich"}, View.LATERAL, "words"),
        ({"SeriesDescription": "WRIST LAT"}, View.LATERAL, "words"),
        ({"SeriesDescription": "Wrist oblique"}, View.OBLIQUE, "words"),
    ],
)
def test_labels_decide_and_say_which_of_them_won(
    said: dict[str, Any], view: View, evidence: str
) -> None:
    decision = decide_view(header(**said), UNSURE)
    assert (decision.view, decision.evidence) == (view, evidence)
    assert decision.accepted == (view is View.PA)
    assert decision.score == UNSURE[view]
    assert decision.reason


def test_a_code_outranks_the_position_and_this_the_words() -> None:
    said = header(
        ViewCodeSequence=[code("SCT", "272479007")], ViewPosition="LL", SeriesDescription="oblique"
    )
    assert decide_view(said, {}).evidence == "view_code"
    del said.ViewCodeSequence
    assert decide_view(said, {}).view is View.LATERAL


def test_a_code_that_is_not_known_is_passed_over() -> None:
    said = header(ViewCodeSequence=[code("99LOCAL", "7")], ViewPosition="PA")
    assert decide_view(said, {}).evidence == "view_position"


@pytest.mark.parametrize(
    "said",
    [
        {"ViewPosition": "AP"},
        {"ViewCodeSequence": [code("SCT", "399348003")]},
        {"SeriesDescription": "Wrist AP"},
    ],
)
def test_ap_is_taken_for_pa_and_flagged(said: dict[str, Any]) -> None:
    decision = decide_view(header(**said), SURE_PA)
    assert decision.accepted
    assert "ap_label" in decision.flags


@pytest.mark.parametrize("text", ["Wrist PA and lateral", "Handgelenk 2 Ebenen", "XR", ""])
def test_words_that_name_several_views_or_none_leave_it_to_the_image(text: str) -> None:
    decision = decide_view(header(SeriesDescription=text), SURE_PA)
    assert (decision.accepted, decision.evidence, decision.score) == (True, "image", 0.97)


def test_an_image_labelled_pa_that_is_surely_lateral_is_rejected() -> None:
    decision = decide_view(header(ViewPosition="PA"), SURE_LATERAL)
    assert not decision.accepted
    assert (decision.view, decision.evidence) == (View.LATERAL, "image")
    assert "labelled PA" in decision.reason
    assert "lateral" in decision.reason


def test_an_image_labelled_pa_that_is_surely_no_wrist_is_rejected() -> None:
    decision = decide_view(header(ViewPosition="PA"), SURE_NO_WRIST)
    assert (decision.accepted, decision.view) == (False, View.OTHER)


def test_how_sure_the_image_must_be_to_object_can_be_set() -> None:
    said = header(ViewPosition="PA")
    assert decide_view(said, SURE_LATERAL, contradict_at=0.99).accepted
    assert not decide_view(said, SURE_LATERAL, contradict_at=0.5).accepted


def test_a_lateral_label_stands_but_a_sure_pa_image_is_noted() -> None:
    decision = decide_view(header(ViewPosition="LL"), SURE_PA)
    assert not decision.accepted
    assert "image_disagrees" in decision.flags


def test_without_labels_an_unsure_image_is_rejected() -> None:
    assert not decide_view(header(), UNSURE).accepted
    assert decide_view(header(), UNSURE, accept_at=0.3).accepted
    assert not decide_view(header(), SURE_LATERAL).accepted


def test_without_labels_and_model_nothing_is_accepted() -> None:
    decision = decide_view(header(), {})
    assert (decision.accepted, decision.view) == (False, View.OTHER)


def test_a_picture_is_decided_by_its_image_alone() -> None:
    assert decide_view(None, SURE_PA).accepted
    assert decide_view(None, SURE_LATERAL).view is View.LATERAL
    assert decide_view(None, SURE_PA).flags == ()


@pytest.mark.parametrize(
    ("said", "evidence"),
    [
        ({"SOPClassUID": uid.SecondaryCaptureImageStorage}, "sop_class"),
        ({"SOPClassUID": uid.CTImageStorage}, "sop_class"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "image_type"),
        ({"ImageType": ["DERIVED", "SECONDARY", "CROPPED"]}, "image_type"),
        ({"BodyPartExamined": "CHEST"}, "body_part"),
        ({"AnatomicRegionSequence": [code("SCT", "51185008")]}, "body_part"),
        ({"BodyPartExamined": "", "StudyDescription": "XR Thorax"}, "body_part"),
    ],
)
def test_what_is_never_a_wrist_is_rejected_however_it_looks(
    said: dict[str, Any], evidence: str
) -> None:
    decision = decide_view(header(ViewPosition="PA", **said), SURE_PA)
    assert (decision.accepted, decision.evidence) == (False, evidence)
    assert decision.reason


@pytest.mark.parametrize(
    "said",
    [
        {"ImageType": ["DERIVED", "PRIMARY"]},
        {"SOPClassUID": uid.ComputedRadiographyImageStorage},
        {"SOPClassUID": uid.DigitalXRayImageStorageForProcessing},
        *(
            {"BodyPartExamined": part}
            for part in ("WRIST", "FOREARM", "HAND", "RADIUS", "ULNA", "RADIUSULNA", "EXTREMITY")
        ),
        {"BodyPartExamined": "L WRIST JOINT"},
        {"BodyPartExamined": "CHEST", "AnatomicRegionSequence": [code("SRT", "T-15460")]},
        {"BodyPartExamined": "", "StudyDescription": "Handgelenk"},
        {"BodyPartExamined": ""},
    ],
)
def test_what_may_be_a_wrist_is_not_excluded(said: dict[str, Any]) -> None:
    assert exclusion(header(**said)) is None


def test_a_body_part_that_nobody_states_is_flagged() -> None:
    assert "body_part_unstated" in decide_view(header(BodyPartExamined=""), SURE_PA).flags


def test_no_reason_repeats_a_value_of_the_object() -> None:
    said = header(
        SeriesDescription="Secret^Name", StudyDescription="Secret^Name", BodyPartExamined="SECRET"
    )
    assert "secret" not in decide_view(said, SURE_PA).reason.lower()
    empty = document(uid.BasicTextSRStorage, "SR", PatientName="Secret^Name")
    assert "secret" not in decide_view(empty, SURE_PA).reason.lower()
