"""A decoded image as grey values, with what its header says of patient and geometry."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi

from pipeline.decoder import DecodedPixels, Decoder
from pipeline.errors import DecodeError, DecodeReason
from pipeline.region import Laterality
from pipeline.vetting import PARSE_ERRORS

__all__ = ["BOTH_SIDES", "LATERALITY_CONFLICT", "Radiograph", "from_picture", "radiograph"]

LATERALITY_CONFLICT = "laterality_conflict"
"""Flag of an image whose header says two sides."""

BOTH_SIDES = "both_sides"
"""Flag of an image that its header says to show both sides."""


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One image, ready to be looked at.

    Parameters
    ----------
    pixels
        float32, (rows, columns), 0..1, bone bright: after modality LUT, VOI LUT and the inversion
        that MONOCHROME1 asks for (PS3.3 C.11.1, C.11.2, C.7.6.3.1.2).
    spacing_mm
        Row and column spacing in mm: calibrated where the object says so, else at the detector
        (PS3.3 10.7.1.3). None where it is not known.
    laterality
        Side; ``UNKNOWN`` also for both sides or contradicting statements.
    age_years, sex
        At the study; ``F``, ``M``, ``O``. None where the object does not say.
    flags
        ``adult`` (19 or more), ``age_unknown``, ``laterality_conflict``, ``both_sides``,
        ``window_ignored``, ``burned_in_annotation``.
    header
        The vetted header, or None for a picture.
    """

    pixels: NDArray[np.float32]
    spacing_mm: tuple[float, float] | None = None
    laterality: Laterality = Laterality.UNKNOWN
    age_years: float | None = None
    sex: str | None = None
    flags: tuple[str, ...] = ()
    header: Dataset | None = None

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.pixels.shape[0])

    @property
    def columns(self) -> int:
        """Number of columns."""
        return int(self.pixels.shape[1])


def radiograph(
    decoder: Decoder,
    path: Path,
    header: Dataset | None = None,
    decoded: DecodedPixels | None = None,
) -> Radiograph:
    """Read a DICOM file.

    Parameters
    ----------
    decoder
        The child process that reads it.
    path
        A DICOM Part 10 file.
    header, decoded
        Its header and its stored values, where the caller has read them already.

    Raises
    ------
    DecodeError
        Where it cannot be read; see `pipeline.decoder.Decoder`.
    """
    header = decoder.header(path) if header is None else header
    pixels, window_ignored = _grey(decoded or decoder.pixels(path), header)
    sides = _sides(header)
    age = _age_years(header)
    flags = {
        "adult": age is not None and age >= 19,
        "age_unknown": age is None,
        LATERALITY_CONFLICT: len(sides) > 1,
        BOTH_SIDES: sides == {Laterality.UNKNOWN},
        "window_ignored": window_ignored,
        "burned_in_annotation": header.get("BurnedInAnnotation") == "YES",
    }
    return Radiograph(
        pixels=pixels,
        spacing_mm=_spacing(header),
        laterality=next(iter(sides)) if len(sides) == 1 else Laterality.UNKNOWN,
        age_years=age,
        sex=header.get("PatientSex") if header.get("PatientSex") in ("F", "M", "O") else None,
        flags=tuple(name for name, holds in flags.items() if holds),
        header=header,
    )


def from_picture(path: Path, max_pixels: int = 100_000_000) -> Radiograph:
    """Read a PNG or JPEG file of 8 or 16 bits, grey or colour, taken to be bone bright.

    Raises
    ------
    DecodeError
        ``unreadable``, ``unsupported``, ``limits`` or ``codec``.
    """
    try:
        picture = Image.open(path, formats=("PNG", "JPEG"))
    except Image.DecompressionBombError:
        raise DecodeError(DecodeReason.LIMITS) from None
    except UnidentifiedImageError:
        raise DecodeError(DecodeReason.UNSUPPORTED) from None
    except (OSError, ValueError):
        raise DecodeError(DecodeReason.UNREADABLE) from None
    with picture:
        if picture.width * picture.height > max_pixels:
            raise DecodeError(DecodeReason.LIMITS)
        try:
            wide = picture.mode.startswith("I")
            grey = np.asarray(picture if wide else picture.convert("L"))
        except (OSError, ValueError, SyntaxError):
            raise DecodeError(DecodeReason.CODEC) from None
    scale = np.float32(1 / (65535 if wide else 255))
    return Radiograph(pixels=np.clip(grey.astype(np.float32) * scale, 0, 1), flags=("age_unknown",))


def _grey(decoded: DecodedPixels, header: Dataset) -> tuple[NDArray[np.float32], bool]:
    """Return pixels in 0..1, bone bright, and whether an unusable window was ignored."""
    if decoded.array.ndim == 3:
        return _luma(decoded), False
    array = decoded.array
    low = int(array.min())
    # every stored value there is, once: LUTs and windows are computed on these, not on pixels
    values = np.arange(low, int(array.max()) + 1)
    at = array.astype(np.int32) - low
    shown = np.bincount(at.ravel(), minlength=values.size)
    padded = _padding(values, header)
    shown[padded] = 0
    modality = _modality(values, header)
    table = _voi(modality, header)
    ignored = table is not None and not _shows_something(table, shown)
    if table is None or ignored:
        table = _full_range(modality, shown)
    if _bone_is_dark(header):
        table = 1 - table
    table[padded] = 0
    return table.astype(np.float32)[at], ignored


def _luma(decoded: DecodedPixels) -> NDArray[np.float32]:
    scale = 1 / np.iinfo(decoded.array.dtype).max
    if decoded.photometric.startswith("YBR"):
        return (decoded.array[..., 0] * scale).astype(np.float32)
    weights = np.array([0.299, 0.587, 0.114]) * scale  # ITU-R BT.601
    return np.clip(decoded.array @ weights, 0, 1).astype(np.float32)


def _padding(values: NDArray[Any], header: Dataset) -> NDArray[np.bool_]:
    """Which stored values mean that nothing was measured there (PS3.3 C.7.5.1.1.2)."""
    first = header.get("PixelPaddingValue")
    if not isinstance(first, int):
        return np.zeros(values.shape, np.bool_)
    last = header.get("PixelPaddingRangeLimit", first)
    last = last if isinstance(last, int) else first
    padding: NDArray[np.bool_] = (values >= min(first, last)) & (values <= max(first, last))
    # a value that pads the whole image would leave nothing: then it is no padding
    return padding if not padding.all() else np.zeros(values.shape, np.bool_)


def _modality(values: NDArray[Any], header: Dataset) -> NDArray[np.float64]:
    try:
        return np.asarray(apply_modality_lut(values, header), np.float64)
    except PARSE_ERRORS:
        return values.astype(np.float64)


def _voi(values: NDArray[np.float64], header: Dataset) -> NDArray[np.float64] | None:
    """Apply the first VOI LUT, else the first window (PS3.3 C.11.2.1); None without either."""
    try:
        if header.get("VOILUTSequence"):
            bits = int(header.VOILUTSequence[0].LUTDescriptor[2])
            looked_up = apply_voi(np.rint(values).astype(np.int64), header, 0)
            top = float(2**bits - 1)
            return np.clip(np.asarray(looked_up, np.float64) / top, 0, 1)
        centre, width = _first(header.get("WindowCenter")), _first(header.get("WindowWidth"))
    except PARSE_ERRORS:
        return None
    if centre is None or width is None or width <= 0:
        return None
    return _windowed(values, centre, width, str(header.get("VOILUTFunction", "LINEAR")))


def _windowed(
    values: NDArray[np.float64], centre: float, width: float, function: str
) -> NDArray[np.float64]:
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))
    if function == "LINEAR_EXACT" or width <= 1:
        return np.clip((values - centre) / width + 0.5, 0, 1)
    return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)


def _shows_something(table: NDArray[np.float64], shown: NDArray[np.intp]) -> bool:
    low, high = _percentiles(table, shown, 1, 99)
    return high - low > 0.02


def _full_range(values: NDArray[np.float64], shown: NDArray[np.intp]) -> NDArray[np.float64]:
    low, high = _percentiles(values, shown, 0.5, 99.5)
    return np.clip((values - low) / max(high - low, 1e-9), 0, 1)


def _percentiles(
    values: NDArray[np.float64], counts: NDArray[np.intp], low: float, high: float
) -> tuple[float, float]:
    order = np.argsort(values, kind="stable")
    below = np.cumsum(counts[order])
    at = np.searchsorted(below, np.array([low, high]) / 100 * below[-1])
    first, last = values[order][np.minimum(at, values.size - 1)]
    return float(first), float(last)


def _bone_is_dark(header: Dataset) -> bool:
    """Whether low values are to be shown bright.

    For presentation, Photometric Interpretation says it, and INVERSE says the same in DX
    (PS3.3 C.8.11.1.1.2): never invert twice. What is meant for processing is only measured
    values, and Pixel Intensity Relationship Sign tells which end is dense (C.8.11.3.1.2).
    """
    sign = header.get("PixelIntensityRelationshipSign")
    if header.get("PresentationIntentType") == "FOR PROCESSING" and sign in (1, -1):
        return bool(sign == 1)
    return (
        str(header.get("PresentationLUTShape")) == "INVERSE"
        or str(header.get("PhotometricInterpretation")) == "MONOCHROME1"
    )


def _first(value: Any) -> float | None:
    if value is None or value == "":
        return None
    number = float(value if isinstance(value, int | float | str) else value[0])
    return number if math.isfinite(number) else None


def _spacing(header: Dataset) -> tuple[float, float] | None:
    """Row and column spacing (PS3.3 10.7.1.3).

    Pixel Spacing wins: where it was calibrated it is the better one, where it was not it equals
    Imager Pixel Spacing.
    """
    for name in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        value = header.get(name)
        if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
            continue  # a single number, as a malformed object has, tells of no pair
        row, column = float(value[0]), float(value[1])
        if 0.01 <= row <= 5 and 0.01 <= column <= 5:
            return row, column
    return None


def _sides(header: Dataset) -> set[Laterality]:
    """Return the sides that the header states; ``UNKNOWN`` stands for both in one image."""
    stated = [side for side in _stated_sides(header) if side is not None]
    written = [side for name in _SERIES_TEXTS if (side := _side_in(str(header.get(name, ""))))]
    if not stated and not written:
        study = _side_in(str(header.get("StudyDescription", "")))
        written = [study] if study else []
    return set(stated + written)


_SERIES_TEXTS = ("SeriesDescription", "ProtocolName")
_LETTERS = {"L": Laterality.LEFT, "R": Laterality.RIGHT, "B": Laterality.UNKNOWN}
_MODIFIERS = {
    ("SCT", "7771000"): Laterality.LEFT,
    ("SCT", "24028007"): Laterality.RIGHT,
    ("SCT", "51440002"): Laterality.UNKNOWN,
    ("SRT", "G-A101"): Laterality.LEFT,
    ("SRT", "G-A100"): Laterality.RIGHT,
    ("SRT", "G-A102"): Laterality.UNKNOWN,
}


def _stated_sides(header: Dataset) -> Iterator[Laterality | None]:
    """Image Laterality, Laterality, Anatomic Region Modifier; None where silent (``U`` too)."""
    yield _LETTERS.get(str(header.get("ImageLaterality", "")))
    yield _LETTERS.get(str(header.get("Laterality", "")))
    for region in header.get("AnatomicRegionSequence") or ():
        for modifier in region.get("AnatomicRegionModifierSequence") or ():
            scheme = str(modifier.get("CodingSchemeDesignator", "")).replace("SNM3", "SRT")
            yield _MODIFIERS.get((scheme, str(modifier.get("CodeValue", ""))))


_LEFT = frozenset({"left", "links", "li", "lt", "l", "gauche", "izquierda", "izquierdo"})
_RIGHT = frozenset({"right", "rechts", "re", "rt", "r", "droite", "droit", "derecha", "derecho"})


def _side_in(text: str) -> Laterality | None:
    words = set(re.findall(r"[a-zà-ÿ]+", text.lower()))
    left, right = bool(words & _LEFT), bool(words & _RIGHT)
    if left == right:
        return None
    return Laterality.LEFT if left else Laterality.RIGHT


_DAYS_PER_UNIT = {"Y": 365.25, "M": 30.4375, "W": 7.0, "D": 1.0}


def _age_years(header: Dataset) -> float | None:
    """Patient's Age, else the time from birth to the study."""
    stated = re.fullmatch(r"(\d{3})([DWMY])", str(header.get("PatientAge", "")))
    if stated:
        return round(int(stated[1]) * _DAYS_PER_UNIT[stated[2]] / 365.25, 2)
    born = _date(header.get("PatientBirthDate"))
    taken = next(
        (day for name in _DATES if (day := _date(header.get(name))) is not None),
        None,
    )
    if born is None or taken is None or not 0 <= (taken - born).days < 130 * 366:
        return None
    return round((taken - born).days / 365.25, 2)


_DATES = ("StudyDate", "AcquisitionDate", "SeriesDate", "ContentDate")


def _date(value: Any) -> date | None:
    text = str(value or "")
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None
