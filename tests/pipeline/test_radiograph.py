from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import hand, image, store
from PIL import Image
from pydicom.dataset import Dataset

from pipeline.decoder import Decoder
from pipeline.errors import DecodeError, DecodeReason
from pipeline.radiograph import Radiograph, from_picture, radiograph
from pipeline.region import Laterality


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder() as running:
        yield running


@pytest.fixture
def seen(decoder: Decoder, tmp_path: Path) -> Any:
    def look(pixels: Any = None, bits: int = 12, **attributes: Any) -> Radiograph:
        dataset = image(hand(bits) if pixels is None else pixels, bits, **attributes)
        return radiograph(decoder, store(dataset, tmp_path / "a.dcm"))

    return look


def test_grey_values_are_floats_between_black_and_white(seen: Any) -> None:
    found = seen()
    assert found.pixels.dtype == np.float32
    assert found.pixels.shape == (found.rows, found.columns) == (61, 40)
    assert found.pixels.min() == 0
    assert found.pixels.max() == 1


def test_bone_is_bright_in_either_monochrome(seen: Any) -> None:
    plain = seen(PhotometricInterpretation="MONOCHROME2").pixels
    inverse = seen(4095 - hand(12), PhotometricInterpretation="MONOCHROME1").pixels
    np.testing.assert_allclose(plain, inverse, atol=1e-6)


def test_an_inverse_presentation_lut_shape_does_not_invert_twice(seen: Any) -> None:
    once = seen(PhotometricInterpretation="MONOCHROME1").pixels
    both = seen(PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE").pixels
    np.testing.assert_array_equal(once, both)


def test_what_is_for_processing_turns_by_its_intensity_relationship(seen: Any) -> None:
    raw = {"PresentationIntentType": "FOR PROCESSING"}
    dense_high = seen(PixelIntensityRelationshipSign=-1, **raw).pixels
    dense_low = seen(PixelIntensityRelationshipSign=1, **raw).pixels
    np.testing.assert_allclose(dense_high, 1 - dense_low, atol=1e-6)
    np.testing.assert_array_equal(dense_high, seen().pixels)


@pytest.mark.parametrize(
    ("function", "value", "shown"),
    [
        # PS3.3 C.11.2.1.2.1: c = 2048, w = 1000
        ("LINEAR", 2047.5, 0.5),
        ("LINEAR", 1548, 0.0),
        ("LINEAR", 2547, 1.0),
        ("LINEAR_EXACT", 2048, 0.5),
        ("LINEAR_EXACT", 2298, 0.75),
        ("SIGMOID", 2048, 0.5),
        ("SIGMOID", 2298, 1 / (1 + np.exp(-1))),
    ],
)
def test_the_window_follows_the_standard(
    seen: Any, function: str, value: float, shown: float
) -> None:
    ramp = np.linspace(0, 4095, 4096).astype(np.uint16).reshape(64, 64)
    found = seen(ramp, WindowCenter=2048, WindowWidth=1000, VOILUTFunction=function)
    near = found.pixels.ravel()[[int(np.floor(value)), int(np.ceil(value))]]
    assert near.mean() == pytest.approx(shown, abs=1e-3)


def test_the_first_of_several_windows_is_used(seen: Any) -> None:
    one = seen(WindowCenter=1000, WindowWidth=500).pixels
    several = seen(WindowCenter=[1000, 2000], WindowWidth=[500, 4000]).pixels
    np.testing.assert_array_equal(one, several)


def test_a_window_that_shows_nothing_is_ignored_and_said_so(seen: Any) -> None:
    found = seen(WindowCenter=60000, WindowWidth=10)
    assert "window_ignored" in found.flags
    np.testing.assert_array_equal(found.pixels, seen().pixels)


def test_rescaling_comes_before_the_window(seen: Any) -> None:
    scaled = seen(RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=3000, WindowWidth=2000)
    plain = seen(WindowCenter=2000, WindowWidth=1000)
    np.testing.assert_allclose(scaled.pixels, plain.pixels, atol=2e-3)


def test_a_voi_lut_is_looked_up(seen: Any) -> None:
    lut = Dataset()
    lut.LUTDescriptor = [4096, 0, 12]
    lut["LUTDescriptor"].VR = "US"
    lut.LUTData = (4095 - np.arange(4096)).astype("<u2").tobytes()
    lut["LUTData"].VR = "OW"
    found = seen(VOILUTSequence=[lut], WindowCenter=1, WindowWidth=2)
    np.testing.assert_allclose(found.pixels, 1 - hand(12) / 4095, atol=1e-6)


def test_without_a_window_the_range_ignores_a_few_extremes(seen: Any) -> None:
    pixels = np.tile(np.arange(1000, 2000, dtype=np.uint16), (60, 1))
    pixels[0, 0], pixels[0, 1] = 0, 4095
    found = seen(pixels).pixels
    assert found[30, 500] == pytest.approx(0.5, abs=0.01)


def test_padding_is_black_and_does_not_count(seen: Any) -> None:
    pixels = np.tile(np.arange(1000, 2000, dtype=np.uint16), (60, 1))
    padded = pixels.copy()
    padded[:20] = 4095
    found = seen(padded, PixelPaddingValue=4095).pixels
    assert (found[:20] == 0).all()
    np.testing.assert_allclose(found[20:], seen(pixels).pixels[20:], atol=1e-6)


def test_signed_pixels_keep_their_order(seen: Any) -> None:
    signed = seen(hand(16, signed=True), 16).pixels
    unsigned = seen(hand(16), 16).pixels
    np.testing.assert_allclose(signed, unsigned, atol=1e-6)


def test_an_image_of_one_value_is_no_accident(seen: Any) -> None:
    assert np.isfinite(seen(np.full((50, 50), 7, np.uint16)).pixels).all()


def test_colour_becomes_luma(seen: Any) -> None:
    colour = np.zeros((50, 50, 3), np.uint8)
    colour[..., 1] = 255
    np.testing.assert_allclose(seen(colour, 8).pixels, 0.587, atol=1e-3)


@pytest.mark.parametrize(
    ("said", "spacing"),
    [
        ({"PixelSpacing": [0.14, 0.15], "ImagerPixelSpacing": [0.2, 0.2]}, (0.14, 0.15)),
        ({"ImagerPixelSpacing": [0.2, 0.2]}, (0.2, 0.2)),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.2, 0.2]}, (0.2, 0.2)),
        ({"PixelSpacing": 0.14, "NominalScannedPixelSpacing": 0.2}, None),
        ({}, None),
    ],
)
def test_calibrated_spacing_outranks_that_of_the_detector(
    seen: Any, said: dict[str, Any], spacing: tuple[float, float] | None
) -> None:
    assert seen(**said).spacing_mm == spacing


def _modifier(scheme: str, value: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, "side"
    region = Dataset()
    region.CodeValue, region.CodingSchemeDesignator = "74670003", "SCT"
    region.CodeMeaning = "Wrist joint"
    region.AnatomicRegionModifierSequence = [code]
    return region


@pytest.mark.parametrize(
    ("said", "side"),
    [
        ({"ImageLaterality": "L"}, Laterality.LEFT),
        ({"Laterality": "R"}, Laterality.RIGHT),
        ({"ImageLaterality": "B"}, Laterality.UNKNOWN),
        ({"ImageLaterality": "U", "Laterality": "R"}, Laterality.RIGHT),
        ({"AnatomicRegionSequence": [_modifier("SCT", "7771000")]}, Laterality.LEFT),
        ({"AnatomicRegionSequence": [_modifier("SRT", "G-A100")]}, Laterality.RIGHT),
        ({"SeriesDescription": "Handgelenk li. d.p."}, Laterality.LEFT),
        ({"ProtocolName": "WRIST RT PA"}, Laterality.RIGHT),
        ({"StudyDescription": "XR wrist left"}, Laterality.LEFT),
        ({"StudyDescription": "XR wrists left and right"}, Laterality.UNKNOWN),
        ({"SeriesDescription": "Wrist R", "StudyDescription": "left"}, Laterality.RIGHT),
        ({}, Laterality.UNKNOWN),
    ],
)
def test_the_side_is_read_from_tags_then_words(
    seen: Any, said: dict[str, Any], side: Laterality
) -> None:
    found = seen(**said)
    assert found.laterality is side
    assert "laterality_conflict" not in found.flags


@pytest.mark.parametrize(
    "said",
    [
        {"ImageLaterality": "L", "Laterality": "R"},
        {"ImageLaterality": "L", "SeriesDescription": "Wrist right"},
        {"ImageLaterality": "B", "Laterality": "R"},
    ],
)
def test_statements_that_contradict_make_the_side_unknown(seen: Any, said: dict[str, str]) -> None:
    found = seen(**said)
    assert found.laterality is Laterality.UNKNOWN
    assert "laterality_conflict" in found.flags


@pytest.mark.parametrize(
    ("said", "age"),
    [
        ({"PatientAge": "009Y"}, 9.0),
        ({"PatientAge": "018M"}, 1.5),
        ({"PatientAge": "052W"}, pytest.approx(1, abs=0.01)),
        ({"PatientAge": "010D"}, pytest.approx(0.03, abs=0.01)),
        ({"PatientBirthDate": "20100701", "StudyDate": "20200101"}, pytest.approx(9.5, abs=0.01)),
        ({"PatientBirthDate": "20210101", "StudyDate": "20200101"}, None),
        ({"PatientBirthDate": ""}, None),
    ],
)
def test_the_age_is_stated_or_counted_from_birth(
    seen: Any, said: dict[str, str], age: float | None
) -> None:
    found = seen(**said)
    assert found.age_years == age
    assert ("age_unknown" in found.flags) == (age is None)


def test_an_adult_and_annotations_in_the_pixels_are_flagged(seen: Any) -> None:
    flags = seen(PatientAge="045Y", BurnedInAnnotation="YES").flags
    assert {"adult", "burned_in_annotation"} <= set(flags)


@pytest.mark.parametrize(("said", "sex"), [("F", "F"), ("M", "M"), ("O", "O"), ("", None)])
def test_the_sex_is_kept_where_it_is_stated(seen: Any, said: str, sex: str | None) -> None:
    assert seen(PatientSex=said).sex == sex


@pytest.mark.parametrize(
    ("stored", "suffix"),
    [
        (np.linspace(0, 65535, 4000).astype(np.uint16).reshape(80, 50), "png"),
        (np.linspace(0, 255, 4000).astype(np.uint8).reshape(80, 50), "png"),
        (np.linspace(0, 255, 4000).astype(np.uint8).reshape(80, 50), "jpg"),
        (np.repeat(np.linspace(0, 255, 4000).astype(np.uint8), 3).reshape(80, 50, 3), "png"),
    ],
)
def test_pictures_of_any_depth_use_the_full_range(tmp_path: Path, stored: Any, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(stored).save(path)
    found = from_picture(path)
    assert found.pixels.dtype == np.float32
    np.testing.assert_allclose(
        found.pixels.ravel(), np.linspace(0, 1, 4000), atol=0.03 if suffix == "jpg" else 0.005
    )
    assert found.header is None


def test_pictures_that_are_none_end_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "words.png").write_text("no picture")
    whole = tmp_path / "whole.png"
    Image.fromarray(hand(8)).save(whole)
    (tmp_path / "half.png").write_bytes(whole.read_bytes()[:300])
    reasons = []
    for path in (tmp_path / "words.png", tmp_path / "half.png", tmp_path / "none.png"):
        with pytest.raises(DecodeError) as refused:
            from_picture(path)
        reasons.append(refused.value.reason)
    with pytest.raises(DecodeError) as refused:
        from_picture(whole, max_pixels=100)
    reasons.append(refused.value.reason)
    assert reasons == [
        DecodeReason.UNSUPPORTED,
        DecodeReason.CODEC,
        DecodeReason.UNREADABLE,
        DecodeReason.LIMITS,
    ]
