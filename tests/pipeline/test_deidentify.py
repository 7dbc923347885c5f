from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence
from pydicom.uid import JPEGExtended12Bit
from result_parts import (
    CR,
    DX,
    UIDS,
    as_bytes,
    dciodvfy_errors,
    exam,
    header,
    planted,
    stored_pixels,
    without,
)

from pipeline.deidentify import library_copy, withheld_reason
from pipeline.errors import PictureWithheldError
from pipeline.region import Laterality

PLANTED = "Q7SECRETQ7"


def copy_of(source: Dataset, **changes: object) -> Dataset:
    prior = replace(exam(0), **changes)  # type: ignore[arg-type]
    return library_copy(source, stored_pixels(), prior, UIDS)


@pytest.mark.peers
@pytest.mark.parametrize("sop_class", [DX, CR])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("side", list(Laterality))
def test_dciodvfy_finds_no_error_in_a_copy(
    sop_class: str, photometric: str, side: Laterality, tmp_path: Path
) -> None:
    source = header(sop_class=sop_class, PhotometricInterpretation=photometric)

    assert dciodvfy_errors(copy_of(source, laterality=side), tmp_path) == []


@pytest.mark.peers
@pytest.mark.parametrize("sop_class", [DX, CR])
def test_dciodvfy_finds_no_error_in_the_copy_of_a_bare_source(
    sop_class: str, tmp_path: Path
) -> None:
    source = without(header(sop_class=sop_class), "WindowCenter", "WindowWidth", "PatientSex")

    assert dciodvfy_errors(copy_of(source), tmp_path) == []


@pytest.mark.parametrize("sop_class", [DX, CR])
def test_no_text_of_the_source_stands_in_any_byte_of_the_copy(sop_class: str) -> None:
    content = as_bytes(copy_of(planted(header(sop_class=sop_class), PLANTED)))

    assert PLANTED.encode() not in content
    assert b"19991231" not in content
    assert b"235959" not in content
    for uid in ("1.2.3.0", "1.2.3.0.1", "1.2.3.0.1.1"):
        assert uid.encode() not in content


@pytest.mark.slow
@given(st.sampled_from(sorted(header().dir())), st.text(min_size=3, max_size=16))
def test_a_malformed_value_is_left_out_or_refused_in_general_words(keyword: str, text: str) -> None:
    source = header()
    source[keyword]._value = f"{PLANTED}{text}"

    assert PLANTED.encode() not in copied_or_refused(source)


def copied_or_refused(source: Dataset) -> bytes:
    try:
        return as_bytes(copy_of(source))
    except PictureWithheldError as refusal:
        return str(refusal).encode()


def test_identity_is_removed_and_the_copy_says_how() -> None:
    copy = copy_of(header())

    assert copy.PatientIdentityRemoved == "YES"
    assert copy.DeidentificationMethod
    assert [c.CodeValue for c in copy.DeidentificationMethodCodeSequence] == ["113100", "113108"]
    assert copy.LongitudinalTemporalInformationModified == "REMOVED"
    for keyword in ("StudyDate", "StudyTime", "PatientBirthDate", "AccessionNumber", "StudyID"):
        assert copy[keyword].value in (None, "")
    for keyword in ("InstitutionName", "SeriesDate", "ContentDate", "PatientAge"):
        assert keyword not in copy


def test_the_age_stands_as_a_band_only() -> None:
    assert copy_of(header()).StudyDescription == "WristMIR library case, 6-8 years"


def test_the_same_source_gives_the_same_copy_and_another_version_another_uid() -> None:
    first, again = copy_of(header()), copy_of(header())
    changed = library_copy(header(), stored_pixels(), exam(0), UIDS, version=2)

    assert as_bytes(first) == as_bytes(again)
    assert changed.SOPInstanceUID != first.SOPInstanceUID
    assert changed.StudyInstanceUID == first.StudyInstanceUID


def test_all_uids_are_the_plugin_s_own() -> None:
    copy = copy_of(header())

    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        assert UIDS.is_own(copy[keyword].value)


def test_one_study_is_one_synthetic_patient_and_two_studies_are_two() -> None:
    left = copy_of(header(), sop_instance_uid="1.2.3.0.1.1")
    right = copy_of(header(), sop_instance_uid="1.2.3.0.1.2")
    later = copy_of(header(), study_instance_uid="1.2.3.77")

    assert left.PatientID == right.PatientID
    assert left.SOPInstanceUID != right.SOPInstanceUID
    assert left.PatientID != later.PatientID
    assert left.PatientID.startswith("WMIR-")


def test_what_a_reader_needs_is_kept() -> None:
    copy = copy_of(header(ViewPosition="AP"))

    assert (copy.Modality, copy.BodyPartExamined, copy.ViewPosition) == ("DX", "WRIST", "AP")
    assert copy.ImageLaterality == "L"
    assert [float(value) for value in copy.ImagerPixelSpacing] == [0.144, 0.144]
    assert (float(copy.WindowCenter), float(copy.WindowWidth)) == (2000, 4000)
    assert copy.PatientSex == "F"


@pytest.mark.parametrize(
    ("dtype", "bits"), [(np.uint8, 8), (np.uint16, 12), (np.uint16, 16), (np.int16, 12)]
)
def test_the_stored_values_come_back_as_they_were(
    dtype: type[np.generic], bits: int, tmp_path: Path
) -> None:
    low = -(2 ** (bits - 1)) if dtype is np.int16 else 0
    high = low + 2**bits - 1
    pixels = np.linspace(low, high, 33 * 41).reshape(33, 41).astype(dtype)
    source = header(sop_class=CR, BitsStored=bits)
    path = tmp_path / "copy.dcm"
    path.write_bytes(as_bytes(library_copy(source, pixels, exam(0), UIDS)))

    read = dcmread(path)

    assert np.array_equal(read.pixel_array, pixels)
    assert read.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"


def test_an_overlay_in_the_spare_bits_of_the_pixels_is_cleared() -> None:
    clean = stored_pixels()
    with_overlay = clean | np.uint16(0x8000)

    copy = library_copy(header(), with_overlay, exam(0), UIDS)

    assert copy.PixelData == clean.tobytes()


def test_look_up_tables_are_kept_without_their_explanation() -> None:
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [4, 0, 12])
    table.add_new("LUTData", "US", [0, 5, 10, 4095])
    table.LUTExplanation = PLANTED
    source = without(header(), "WindowCenter", "WindowWidth")
    source.VOILUTSequence = Sequence([table])

    copy = copy_of(source)

    assert list(np.frombuffer(copy.VOILUTSequence[0].LUTData, "<u2")) == [0, 5, 10, 4095]
    assert PLANTED.encode() not in as_bytes(copy)


def test_a_picture_with_burned_in_annotation_is_withheld() -> None:
    with pytest.raises(PictureWithheldError, match="burned-in annotation"):
        copy_of(header(BurnedInAnnotation="YES"))


def test_a_dx_that_does_not_say_is_withheld_and_a_cr_need_not_say() -> None:
    silent = without(header(), "BurnedInAnnotation")
    silent_cr = without(header(sop_class=CR), "BurnedInAnnotation")

    assert "does not say" in withheld_reason(silent)
    assert withheld_reason(silent_cr) == ""
    assert "BurnedInAnnotation" not in copy_of(silent_cr)


def test_colour_pictures_and_other_classes_are_refused() -> None:
    with pytest.raises(PictureWithheldError, match="no DX or CR"):
        copy_of(header(SOPClassUID="1.2.840.10008.5.1.4.1.1.7"))
    with pytest.raises(PictureWithheldError, match="no single grey image"):
        library_copy(header(), np.zeros((4, 4, 3), np.uint8), exam(0), UIDS)


def test_a_lossy_source_stays_marked_as_lossy() -> None:
    source = header(LossyImageCompression="01", LossyImageCompressionRatio="12.5")
    by_syntax = header()
    by_syntax.file_meta.TransferSyntaxUID = JPEGExtended12Bit

    assert copy_of(source).LossyImageCompression == "01"
    assert copy_of(source).LossyImageCompressionRatio == 12.5
    assert copy_of(by_syntax).LossyImageCompression == "01"
    assert copy_of(header()).LossyImageCompression == "00"
