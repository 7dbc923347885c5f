"""Looking at one image: what is accepted, what becomes of it, and who it is said to be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from dicom_files import PLANTED, hand, image, store
from pydicom import Dataset
from simple_bundle import LATERAL, NO_WRIST, simple_bundle

from pipeline.anatomy import Anatomy, Box
from pipeline.bundle import Bundle
from pipeline.decoder import Decoder
from pipeline.errors import DecodeError, RequestError
from pipeline.exam import SIDE_FROM_IMAGE, Exam
from pipeline.examination import Examiner
from pipeline.region import GLOBAL, Laterality, Region, View
from pipeline.witness import Witness

KEY = b"a key of an invented site, 32 b."
NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder() as running:
        yield running


def wrist(**attributes: Any) -> Dataset:
    given = {"BodyPartExamined": "WRIST", "ViewPosition": "PA", "ImageLaterality": "L"}
    return image(hand(shape=(400, 300)), 12, **(given | attributes))


def exam_of(decoder: Decoder, folder: Path, source: Dataset, key: bytes | None = KEY) -> Exam:
    examiner = Examiner(simple_bundle(), decoder, key)
    seen = examiner.examine(store(source, folder / "image.dcm"))
    return examiner.exam(seen, str(source.SOPInstanceUID), NOW, NOW)[0]


def test_an_accepted_image_becomes_an_exam_with_a_vector_per_bone(
    decoder: Decoder, tmp_path: Path
) -> None:
    source = wrist(PatientAge="007Y", PatientSex="F", PixelSpacing=[0.2, 0.2])
    exam = exam_of(decoder, tmp_path, source)
    assert set(exam.vectors) == {GLOBAL, *(region.value for region in Region)}
    assert all(np.isclose(np.linalg.norm(vector), 1) for vector in exam.vectors.values())
    assert (exam.study_instance_uid, exam.view) == (source.StudyInstanceUID, View.PA)
    assert (exam.age_years, exam.sex, exam.spacing_mm) == (7.0, "F", (0.2, 0.2))
    assert exam.bundle_id == "simple-1"
    x0, y0, x1, y1 = exam.boxes["wrist"]
    assert 0 <= x0 < x1 <= 300
    assert 0 <= y0 < y1 <= 400


def test_a_bone_that_was_not_found_has_neither_vector_nor_box(
    decoder: Decoder, tmp_path: Path
) -> None:
    examiner = Examiner(simple_bundle(bones=1), decoder, KEY)
    seen = examiner.examine(store(wrist(), tmp_path / "image.dcm"))
    exam, _ = examiner.exam(seen, "1.2.3", NOW, NOW)
    assert set(exam.vectors) == {GLOBAL, "distal_radius"}
    assert set(exam.boxes) == {"wrist", "distal_radius"}


@pytest.mark.parametrize(
    ("stated", "side", "by_its_bones"),
    [("L", Laterality.LEFT, False), ("", Laterality.RIGHT, True), ("B", Laterality.UNKNOWN, False)],
)
def test_the_bones_tell_the_side_only_where_nothing_states_one(
    decoder: Decoder, tmp_path: Path, stated: str, side: Laterality, by_its_bones: bool
) -> None:
    boxes = ((30, 100, 70, 160), (80, 110, 100, 150), (82, 100, 98, 116))
    bones = {r: Box(r.value, *corners) for r, corners in zip(Region, boxes, strict=True)}
    examiner = Examiner(simple_bundle(), decoder, KEY)
    seen = examiner.examine(store(wrist(ImageLaterality=stated), tmp_path / "image.dcm"))
    seen = replace(seen, anatomy=Anatomy(seen.anatomy.wrist, bones))
    exam, _ = examiner.exam(seen, "1.2.3", NOW, NOW)
    assert exam.laterality is side
    assert (SIDE_FROM_IMAGE in exam.flags) is by_its_bones
    assert exam.stated_side is (Laterality.UNKNOWN if by_its_bones else side)


def test_the_time_of_every_stage_is_told(decoder: Decoder, tmp_path: Path) -> None:
    examiner = Examiner(simple_bundle(), decoder, KEY)
    seen = examiner.examine(store(wrist(), tmp_path / "image.dcm"))
    _, spent = examiner.exam(seen, "1.2.3", NOW, NOW)
    assert set(seen.seconds) | set(spent) == {"decode", "view", "anatomy", "crops", "encode"}


@pytest.mark.parametrize(
    ("bundle", "attributes", "words"),
    [
        (simple_bundle(), {"BodyPartExamined": "CHEST"}, "another part of the body"),
        (simple_bundle(), {"ViewPosition": "LL"}, "lateral"),
        (simple_bundle(view=LATERAL), {"ViewPosition": ""}, "lateral"),
        (simple_bundle(view=(0.4, 0.2, 0.2, 0.2)), {"ViewPosition": ""}, "not sure"),
        (simple_bundle(wrist=NO_WRIST), {}, "no wrist was found"),
    ],
    ids=["chest", "labelled lateral", "looks lateral", "not sure", "no wrist"],
)
def test_what_is_not_accepted_has_a_reason_and_becomes_no_exam(
    decoder: Decoder, tmp_path: Path, bundle: Bundle, attributes: dict[str, str], words: str
) -> None:
    examiner = Examiner(bundle, decoder, KEY)
    seen = examiner.examine(store(wrist(**attributes), tmp_path / "image.dcm"))
    assert not seen.accepted
    assert words in seen.reason
    with pytest.raises(RequestError, match=words):
        examiner.exam(seen, "1.2.3", NOW, NOW)


def test_the_same_patient_has_the_same_key_whether_or_not_the_issuer_is_named(
    decoder: Decoder, tmp_path: Path
) -> None:
    def key(**attributes: Any) -> str:
        return exam_of(decoder, tmp_path, wrist(**attributes)).patient_key

    mine = key(PatientID="P-1", IssuerOfPatientID="HERE")
    assert mine == key(PatientID="P-1", IssuerOfPatientID="HERE", StudyInstanceUID="1.2.77")
    assert mine == key(PatientID="P-1", IssuerOfPatientID="")
    assert mine != key(PatientID="P-2", IssuerOfPatientID="HERE")


def test_nobody_without_a_patient_id_is_taken_for_another(decoder: Decoder, tmp_path: Path) -> None:
    first = exam_of(decoder, tmp_path, wrist(PatientID="", StudyInstanceUID="1.2.1"))
    other = exam_of(decoder, tmp_path, wrist(PatientID="", StudyInstanceUID="1.2.2"))
    assert first.patient_key != other.patient_key


def test_another_sites_key_gives_other_patient_keys(decoder: Decoder, tmp_path: Path) -> None:
    source = wrist()
    here = exam_of(decoder, tmp_path, source)
    there = exam_of(decoder, tmp_path, source, b"a key of another site, 32 bytes.")
    nowhere = exam_of(decoder, tmp_path, source, None)
    assert len({here.patient_key, there.patient_key, nowhere.patient_key}) == 3
    assert nowhere.patient_key == ""


def test_an_exam_holds_no_identifier_of_the_patient(decoder: Decoder, tmp_path: Path) -> None:
    source = wrist(PatientName=PLANTED, PatientID=PLANTED, AccessionNumber="Secret^Name")
    assert PLANTED not in repr(exam_of(decoder, tmp_path, source))


def test_a_picture_can_be_asked_about_like_a_dicom_file(decoder: Decoder, tmp_path: Path) -> None:
    path = tmp_path / "wrist.png"
    cv2.imwrite(str(path), hand(8, shape=(400, 300)))
    examiner = Examiner(simple_bundle(), decoder, KEY)
    exam, _ = examiner.exam(examiner.examine(path), "", NOW, NOW)
    assert GLOBAL in exam.vectors
    assert exam.study_instance_uid == ""
    assert exam.age_years is None


def test_a_file_that_cannot_be_read_says_why(decoder: Decoder, tmp_path: Path) -> None:
    path = tmp_path / "noise.dcm"
    path.write_bytes(b"\x93" * 400)
    with pytest.raises(DecodeError, match="no DICOM"):
        Examiner(simple_bundle(), decoder, KEY).examine(path)


@pytest.mark.parametrize(("side", "mirrored"), [("R", True), ("L", False)])
def test_a_bundle_may_see_right_wrists_mirrored(
    decoder: Decoder, tmp_path: Path, side: str, mirrored: bool
) -> None:
    source, bundle = wrist(ImageLaterality=side), simple_bundle()
    preprocessing = bundle.manifest.preprocessing.model_copy(update={"mirror_right": True})
    manifest = bundle.manifest.model_copy(update={"preprocessing": preprocessing})
    examiner = Examiner(replace(bundle, manifest=manifest), decoder, KEY)
    seen = examiner.examine(store(source, tmp_path / "image.dcm"))
    exam = examiner.exam(seen, "1.2", NOW, NOW)[0]
    plain = exam_of(decoder, tmp_path, source)
    assert np.allclose(exam.vectors[GLOBAL], plain.vectors[GLOBAL]) is not mirrored


@pytest.mark.parametrize(
    ("label", "bones", "accepted"),
    [("", 3, True), ("", 1, False), ("PA", 1, True)],
    ids=["bones in their place", "bones missing", "bones missing, but a label"],
)
def test_where_no_label_tells_the_view_the_bones_are_heard(
    decoder: Decoder, tmp_path: Path, label: str, bones: int, accepted: bool
) -> None:
    bundle = simple_bundle(bones=bones)
    heard = bundle.manifest.model_copy(update={"witness": Witness(image=1, bones=3, bias=2)})
    examiner = Examiner(replace(bundle, manifest=heard), decoder, KEY)
    seen = examiner.examine(store(wrist(ViewPosition=label), tmp_path / "image.dcm"))
    assert seen.accepted is accepted
    assert seen.view.evidence == ("view_position" if label else "image")
