"""A dataset of unknown origin made bounded and conformant, element by element.

What a broken value would do later (warn and print itself, fail at some far place) is settled
here once: it is repaired where its meaning is plain, left out where it is not, and the object
is refused where patient, study or instance could no longer be told.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterable
from typing import Any, cast

from pydicom import config
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import MAX_VALUE_LEN, format_number_as_ds, validate_value

from pipeline.errors import DecodeError, DecodeReason

__all__ = ["PARSE_ERRORS", "vetted"]

PARSE_ERRORS = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    NotImplementedError,
    EOFError,
    OSError,
    struct.error,
)
"""What pydicom raises on malformed elements (besides RecursionError and MemoryError)."""


def vetted(dataset: Dataset, *, max_depth: int, max_binary: int, max_document: int) -> Dataset:
    """Return a copy of `dataset` that cannot surprise.

    Parameters
    ----------
    dataset
        As parsed, without pixel data.
    max_depth
        Nesting of sequences that is accepted.
    max_binary, max_document
        Bytes of a binary element that are kept (lookup tables), and of an encapsulated document.

    Returns
    -------
    Dataset
        Public, known elements with values that PS3.5 section 6.2 allows, in Unicode. Without
        private elements, overlays, curves, icons and bulk data.

    Raises
    ------
    DecodeError
        ``truncated``, ``too_deep``, ``limits`` (the document), ``identity``.
    """
    copy = _Vetting(max_depth, max_binary, max_document).copy(dataset, 0)
    if not all(copy.get(tag) for tag in _REQUIRED):
        raise DecodeError(DecodeReason.IDENTITY)
    copy.SpecificCharacterSet = "ISO_IR 192"
    return copy


_REQUIRED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
_IDENTITY = frozenset(
    Tag(name) for name in (*_REQUIRED, "PatientID", "IssuerOfPatientID", "PatientName")
)
# an identifier is itself or nothing: repairing it would make another patient or order of it
_EXACT = _IDENTITY | {Tag("AccessionNumber"), Tag("StudyID"), Tag("OtherPatientIDs")}
_DOCUMENT = Tag("EncapsulatedDocument")
_DROPPED = frozenset(
    Tag(name)
    for name in (
        "SpecificCharacterSet",
        "IconImageSequence",
        "WaveformSequence",
        "PixelData",
        "FloatPixelData",
        "DoubleFloatPixelData",
        "DataSetTrailingPadding",
    )
)


class _Vetting:
    def __init__(self, max_depth: int, max_binary: int, max_document: int) -> None:
        self._max_depth = max_depth
        self._max_binary = max_binary
        self._max_document = max_document

    def copy(self, dataset: Dataset, depth: int) -> Dataset:
        if depth > self._max_depth:
            raise DecodeError(DecodeReason.TOO_DEEP)
        kept = Dataset()
        for tag in sorted(dataset.keys()):
            if tag.is_private or tag in _DROPPED or tag.group in _STRAY_GROUPS:
                continue
            element = self._element(dataset, tag, depth)
            if element is not None:
                kept[tag] = element
            elif tag in _IDENTITY and depth == 0:
                raise DecodeError(DecodeReason.IDENTITY)
        return kept

    def _element(self, dataset: Dataset, tag: BaseTag, depth: int) -> DataElement | None:
        raw: Any = dataset.get_item(tag)
        if isinstance(raw, RawDataElement) and _cut_short(raw):
            raise DecodeError(DecodeReason.TRUNCATED)
        try:
            vr = dictionary_VR(tag)
            element = dataset[tag]
        except PARSE_ERRORS:
            return None
        if element.VR == "SQ" and vr == "SQ":
            items = [self.copy(item, depth + 1) for item in element.value]
            return DataElement(tag, "SQ", items)
        value = self._value(tag, vr if vr in _REPAIRS else element.VR, element.value)
        if value is None:
            return None
        return DataElement(tag, vr if vr in _REPAIRS else element.VR, value)

    def _value(self, tag: BaseTag, vr: str, value: Any) -> Any:
        """Return a value that is fit for `vr`, or None where there is none."""
        if isinstance(value, bytes | bytearray):
            if vr not in _BINARY:
                return None
            if tag == _DOCUMENT and len(value) > self._max_document:
                raise DecodeError(DecodeReason.LIMITS)
            return bytes(value) if tag == _DOCUMENT or len(value) <= self._max_binary else None
        if vr in _BINARY or vr == "SQ":
            return None
        many = isinstance(value, MultiValue | list | tuple)
        fit = [_fit(tag, vr, one) for one in (cast(Iterable[Any], value) if many else [value])]
        if any(one is None for one in fit) or (len(fit) > 1 and tag in _EXACT):
            return None
        return fit if len(fit) > 1 else (fit[0] if fit else "")


_STRAY_GROUPS = frozenset({0x0000, 0x0002, 0xFFFE, *range(0x5000, 0x5100), *range(0x6000, 0x6100)})
_BINARY = frozenset({"OB", "OW", "OD", "OF", "OL", "OV", "UN"})
_INTEGERS = frozenset({"US", "SS", "UL", "SL", "UV", "SV", "AT"})


def _cut_short(raw: RawDataElement) -> bool:
    return raw.length != 0xFFFFFFFF and raw.value is not None and len(raw.value) < raw.length


def _fit(tag: BaseTag, vr: str, value: Any) -> Any:
    if vr in _INTEGERS:
        return int(value) if isinstance(value, int) else ("" if value in ("", None) else None)
    if vr in ("FL", "FD"):
        return value if isinstance(value, float) and math.isfinite(value) else None
    text = "" if value is None else str(value).strip(" \0")
    if _CONTROL.search(text):
        # an escape sequence that is left over would be taken for a change of character set
        if tag in _EXACT and vr != "PN":
            return None
        text = _CONTROL.sub(" ", text).strip()
    repaired = text if tag in _EXACT or not text else _REPAIRS.get(vr, _as_is)(text)
    if vr == "PN" and not _one_person(repaired):
        return None
    if vr == "UI":
        # leading zeros break the standard and stand in real archives: such a UID is still itself
        return repaired if len(repaired) <= 64 and _UID.fullmatch(repaired) else None
    try:
        validate_value(vr, repaired, config.RAISE)
    except ValueError:
        return None
    return repaired


_UID = re.compile(r"([0-9]+(\.[0-9]+)*)?")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")


def _as_is(text: str) -> str:
    return text


def _code(text: str) -> str:
    return re.sub(r"[^A-Z0-9 _]+", " ", text.upper())[:16].strip()


def _date(text: str) -> str:
    return re.sub(r"^(\d{4})[.\-/](\d\d)[.\-/](\d\d)$", r"\1\2\3", text)


def _time(text: str) -> str:
    return re.sub(r"^(\d\d):(\d\d)(?::(\d\d(?:\.\d{1,6})?))?$", r"\1\2\3", text)


def _age(text: str) -> str:
    return re.sub(r"^(\d{1,3})([DWMY])$", lambda m: m[1].zfill(3) + m[2], text.upper())


def _decimal(text: str) -> str:
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        return text
    if not math.isfinite(number):
        return "not finite"
    return text if len(text) <= 16 and "," not in text else format_number_as_ds(number)


def _whole(text: str) -> str:
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if math.isfinite(number) and number == int(number) else text


def _short(vr: str) -> Callable[[str], str]:
    longest = MAX_VALUE_LEN.get(vr)
    # a backslash would be read back as two values
    return lambda text: (text if vr in _ONE_TEXT else text.replace("\\", " "))[:longest]


_ONE_TEXT = frozenset({"ST", "LT", "UT", "UR"})


def _one_person(text: str) -> bool:
    groups = text.split("=")
    return len(groups) <= 3 and all(len(group) <= 64 for group in groups) and "\\" not in text


_REPAIRS: dict[str, Callable[[str], str]] = {
    "AE": _as_is,
    "AS": _age,
    "CS": _code,
    "DA": _date,
    "DS": _decimal,
    "DT": _as_is,
    "IS": _whole,
    "LO": _short("LO"),
    "LT": _short("LT"),
    "PN": _as_is,
    "SH": _short("SH"),
    "ST": _short("ST"),
    "TM": _time,
    "UC": _short("UC"),
    "UI": _as_is,
    "UR": _as_is,
    "UT": _short("UT"),
}
