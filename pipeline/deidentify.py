"""Library copies: a prior's picture, without the patient."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, config
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.sr.coding import Code
from pydicom.uid import (
    PYDICOM_IMPLEMENTATION_UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRLittleEndian,
)
from pydicom.valuerep import DSfloat

from pipeline.errors import PictureWithheldError
from pipeline.exam import Exam
from pipeline.region import Laterality
from pipeline.terms import AP_VIEW, PA_VIEW, WRIST
from pipeline.uid import KeyedUids

__all__ = [
    "LIBRARY_ISSUER",
    "library_copy",
    "library_copy_uid",
    "library_patient",
    "library_series_uid",
    "library_study_uid",
    "withheld_reason",
]

LIBRARY_ISSUER: Final = "WRISTMIR"
"""Who gives the synthetic PatientIDs."""

_DX: Final = frozenset(
    {str(DigitalXRayImageStorageForPresentation), str(DigitalXRayImageStorageForProcessing)}
)
_CR: Final = str(ComputedRadiographyImageStorage)
_LOSSY_SYNTAXES: Final = frozenset(
    {
        "1.2.840.10008.1.2.4.50",
        "1.2.840.10008.1.2.4.51",
        "1.2.840.10008.1.2.4.81",
        "1.2.840.10008.1.2.4.91",
        "1.2.840.10008.1.2.4.203",
    }
)
_LOSSY_METHODS: Final = frozenset({"ISO_10918_1", "ISO_14495_1", "ISO_15444_1", "ISO_15444_15"})
_T = TypeVar("_T")
_ORIENTATION: Final = re.compile("[ALPRHF]{1,3}")
_SIDES: Final = {Laterality.LEFT: "L", Laterality.RIGHT: "R", Laterality.UNKNOWN: ""}


def library_copy(
    header: Dataset, pixels: NDArray[Any], exam: Exam, uids: KeyedUids, version: int = 1
) -> Dataset:
    """Build the de-identified copy of a prior's radiograph.

    The copy is built up, not scrubbed (PS3.15 Annex E, Basic Profile): it holds only attributes
    written here, and of the source only values of a known list or numbers within a plausible
    range. No text of the source is taken over, whatever attribute it stands in. Pixels are the
    source's stored values, with the bits above BitsStored (where old objects keep overlays)
    cleared. Whether text stands in them the caller has looked (`pipeline.burned_in_text`).

    The new UIDs are keyed and stable for the same source and version. The synthetic PatientID
    belongs to the source *study*, not to its patient, so that the library cannot be read as
    anybody's history. PatientAge is left out, for its lower edge would read as an exact age: the
    band stands in StudyDescription. The sex stays (option 113108).

    Parameters
    ----------
    header
        The source without its pixels, DX or CR.
    pixels
        Its stored values, native integers of shape (rows, columns).
    exam
        What is indexed of it: laterality and age band.
    uids
        The site's keyed UIDs.
    version
        Which version of the source's content (another content needs another UID).

    Raises
    ------
    PictureWithheldError
        Where the picture says that it may carry text, or is not a grey DX or CR radiograph.
    """
    with config.disable_value_validation():  # its warnings would print values of the source
        reason = withheld_reason(header) or _unfit(header, pixels)
        if reason:
            raise PictureWithheldError(reason)
        copy = Dataset()
        _add_identity(copy, header, exam, uids, version)
        _add_method(copy)
        _add_series(copy, header, exam)
        _add_image(copy, header)
        _add_pixels(copy, header, pixels)
        _add_display(copy, header, pixels)
        if copy.SOPClassUID in _DX:
            _add_dx(copy, header)
    return copy


def library_copy_uid(uids: KeyedUids, source_uid: str, version: int) -> str:
    """Return the SOP Instance UID of the copy of a source's version."""
    return uids.make("library instance", source_uid, str(version))


def library_study_uid(uids: KeyedUids, study_uid: str) -> str:
    """Return the Study Instance UID of the copies that are made of a study."""
    return uids.make("library study", study_uid)


def library_series_uid(uids: KeyedUids, study_uid: str, series_uid: str) -> str:
    """Return the Series Instance UID of the copies that are made of a series."""
    return uids.make("library series", study_uid, series_uid)


def library_patient(uids: KeyedUids, study_uid: str) -> str:
    """Return the synthetic PatientID of the copies that are made of a study."""
    return f"WMIR-{uids.name('library patient', study_uid)}"


def withheld_reason(header: Dataset) -> str:
    """Say why a source's picture must not be shown to others, or return an empty string.

    True of library copies and of thumbnails alike: a picture with burned-in annotation may name
    its patient. A DX image has to say whether it has one (PS3.3 C.8.11.3, type 1); a CR image need
    not, and one that says nothing is taken as clean.
    """
    burned_in = _text(header, "BurnedInAnnotation")
    if burned_in == "YES":
        return "It has burned-in annotation."
    if _text(header, "SOPClassUID") in _DX and burned_in != "NO":
        return "It does not say whether it has burned-in annotation, as a DX image must."
    return ""


def _unfit(header: Dataset, pixels: NDArray[Any]) -> str:
    if _text(header, "SOPClassUID") not in _DX | {_CR}:
        return "It is no DX or CR image."
    grey = _choice(header, "PhotometricInterpretation", ("MONOCHROME1", "MONOCHROME2"))
    if pixels.ndim != 2 or pixels.dtype.kind not in "ui" or not grey:
        return "It is no single grey image."
    if pixels.itemsize > 2 or not 1 <= _bits_stored(header, pixels) <= 8 * pixels.itemsize:
        return "Its bit depth is not that of a radiograph."
    return ""


def _add_identity(
    copy: Dataset, header: Dataset, exam: Exam, uids: KeyedUids, version: int
) -> None:
    """UIDs, synthetic patient and empty study (type 2 attributes stay, without a value)."""
    study = exam.study_instance_uid
    pseudonym = library_patient(uids, study)
    copy.SOPClassUID = _text(header, "SOPClassUID")
    copy.SOPInstanceUID = library_copy_uid(uids, exam.sop_instance_uid, version)
    copy.SeriesInstanceUID = library_series_uid(uids, study, exam.series_instance_uid)
    copy.StudyInstanceUID = library_study_uid(uids, study)
    copy.PatientName = pseudonym
    copy.PatientID = pseudonym
    copy.IssuerOfPatientID = LIBRARY_ISSUER
    copy.PatientSex = _choice(header, "PatientSex", ("F", "M", "O"))
    copy.StudyDescription = f"WristMIR library case, {exam.age_band}"
    empty = "PatientBirthDate StudyDate StudyTime ReferringPhysicianName StudyID AccessionNumber"
    for keyword in empty.split():
        setattr(copy, keyword, "")
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = copy.SOPClassUID
    meta.MediaStorageSOPInstanceUID = copy.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    copy.file_meta = meta


def _add_method(copy: Dataset) -> None:
    """Say that and how the identity was removed (PS3.15 E.1.1, CID 7050)."""
    copy.PatientIdentityRemoved = "YES"
    copy.DeidentificationMethod = "WristMIR library copy, built from an allow-list"
    copy.DeidentificationMethodCodeSequence = _codes(
        Code("113100", "DCM", "Basic Application Confidentiality Profile"),
        Code("113108", "DCM", "Retain Patient Characteristics Option"),
    )
    copy.LongitudinalTemporalInformationModified = "REMOVED"


def _add_series(copy: Dataset, header: Dataset, exam: Exam) -> None:
    side = _SIDES[exam.laterality]
    copy.Modality = "DX" if copy.SOPClassUID in _DX else "CR"
    copy.SeriesNumber = 1
    copy.SeriesDescription = f"{exam.laterality.value} wrist" if side else "wrist, side unknown"
    copy.Manufacturer = ""
    copy.BodyPartExamined = "WRIST"
    copy.ViewPosition = _choice(header, "ViewPosition", ("AP", "PA")) or "PA"
    if copy.Modality == "CR":
        copy.Laterality = side
        copy.PatientOrientation = _orientation(header)
    else:
        copy.ImageLaterality = side or "U"
        if _orientation(header):
            copy.PatientOrientation = _orientation(header)


def _add_image(copy: Dataset, header: Dataset) -> None:
    """Instance number, kind, spacing and compression history."""
    copy.InstanceNumber = 1
    copy.ImageType = [_first_choice(header, "ImageType", ("ORIGINAL", "DERIVED")), "PRIMARY", ""]
    burned_in = _choice(header, "BurnedInAnnotation", ("NO",))
    if burned_in:
        copy.BurnedInAnnotation = burned_in
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        spacing = _numbers(header, keyword, 0.001, 10.0)
        if len(spacing) == 2:
            setattr(copy, keyword, [DSfloat(value, auto_format=True) for value in spacing])
    calibration = _choice(header, "PixelSpacingCalibrationType", ("GEOMETRY", "FIDUCIAL"))
    if calibration and "PixelSpacing" in copy:
        copy.PixelSpacingCalibrationType = calibration
    copy.LossyImageCompression = "01" if _was_lossy(header) else "00"
    ratios = _numbers(header, "LossyImageCompressionRatio", 1.0, 1000.0)
    methods = _values(header, "LossyImageCompressionMethod")
    if copy.LossyImageCompression == "01" and ratios:
        copy.LossyImageCompressionRatio = [DSfloat(value, auto_format=True) for value in ratios]
        if len(methods) == len(ratios) and set(methods) <= _LOSSY_METHODS:
            copy.LossyImageCompressionMethod = methods


def _add_pixels(copy: Dataset, header: Dataset, pixels: NDArray[Any]) -> None:
    stored = _bits_stored(header, pixels)
    copy.SamplesPerPixel = 1
    copy.PhotometricInterpretation = _text(header, "PhotometricInterpretation")
    copy.Rows, copy.Columns = pixels.shape
    copy.BitsAllocated = 8 * pixels.itemsize
    copy.BitsStored = stored
    copy.HighBit = stored - 1
    copy.PixelRepresentation = int(pixels.dtype.kind == "i")
    clean = _without_spare_bits(pixels, stored)
    data = clean.astype(clean.dtype.newbyteorder("<")).tobytes()
    copy.add_new(
        "PixelData", "OW" if pixels.itemsize == 2 else "OB", data + b"\0" * (len(data) % 2)
    )


def _without_spare_bits(pixels: NDArray[Any], stored: int) -> NDArray[Any]:
    """Clear the bits above `stored`, keeping the sign of signed values."""
    spare = 8 * pixels.itemsize - stored
    shifted: NDArray[Any] = (pixels << spare).astype(pixels.dtype)
    return shifted >> spare


def _add_display(copy: Dataset, header: Dataset, pixels: NDArray[Any]) -> None:
    """Modality and VOI transformation, so that the copy looks like its source."""
    slope = _numbers(header, "RescaleSlope", -1e5, 1e5)
    intercept = _numbers(header, "RescaleIntercept", -1e5, 1e5)
    if slope and intercept and slope[0]:
        copy.RescaleSlope = DSfloat(slope[0], auto_format=True)
        copy.RescaleIntercept = DSfloat(intercept[0], auto_format=True)
        copy.RescaleType = _choice(header, "RescaleType", ("US", "OD", "HU")) or "US"
    elif table := _look_up_table(header, "ModalityLUTSequence"):
        table.ModalityLUTType = "US"
        copy.ModalityLUTSequence = Sequence([table])
    centre = _numbers(header, "WindowCenter", -1e6, 1e6)
    width = _numbers(header, "WindowWidth", 1.0, 1e6)
    if centre and width:
        copy.WindowCenter = DSfloat(centre[0], auto_format=True)
        copy.WindowWidth = DSfloat(width[0], auto_format=True)
        function = _choice(header, "VOILUTFunction", ("LINEAR", "LINEAR_EXACT", "SIGMOID"))
        if function:
            copy.VOILUTFunction = function
    elif table := _look_up_table(header, "VOILUTSequence"):
        copy.VOILUTSequence = Sequence([table])
    elif copy.SOPClassUID in _DX:
        _add_full_window(copy, pixels)


def _add_full_window(copy: Dataset, pixels: NDArray[Any]) -> None:
    """Add a window over all values, for a DX image must have one (PS3.3 C.8.11.5)."""
    slope, intercept = float(copy.get("RescaleSlope", 1)), float(copy.get("RescaleIntercept", 0))
    low, high = sorted(slope * float(value) + intercept for value in (pixels.min(), pixels.max()))
    copy.WindowCenter = DSfloat((low + high + 1) / 2, auto_format=True)
    copy.WindowWidth = DSfloat(max(1.0, high - low + 1), auto_format=True)


def _add_dx(copy: Dataset, header: Dataset) -> None:
    """Add what a DX image needs beyond a CR image (PS3.3 A.26, C.8.11)."""
    presentation = copy.SOPClassUID == DigitalXRayImageStorageForPresentation
    inverse = copy.PhotometricInterpretation == "MONOCHROME1"
    copy.PresentationIntentType = "FOR PRESENTATION" if presentation else "FOR PROCESSING"
    copy.PresentationLUTShape = "INVERSE" if inverse else "IDENTITY"
    relation = _choice(header, "PixelIntensityRelationship", ("LIN", "LOG"))
    copy.PixelIntensityRelationship = relation or "LOG"
    sign = _numbers(header, "PixelIntensityRelationshipSign", -1, 1)
    copy.PixelIntensityRelationshipSign = (
        int(sign[0]) if sign and sign[0] else (1 if inverse else -1)
    )
    if "RescaleSlope" not in copy:
        copy.RescaleSlope, copy.RescaleIntercept, copy.RescaleType = "1", "0", "US"
    copy.pop("ModalityLUTSequence", None)
    types = ("DIRECT", "SCINTILLATOR", "STORAGE", "FILM")
    copy.DetectorType = _choice(header, "DetectorType", types)
    copy.AnatomicRegionSequence = _codes(WRIST)
    copy.ViewCodeSequence = _codes(AP_VIEW if copy.ViewPosition == "AP" else PA_VIEW)
    copy.PositionerType = ""
    copy.AcquisitionContextSequence = Sequence([])


def _was_lossy(header: Dataset) -> bool:
    meta = getattr(header, "file_meta", None)
    syntax = str(meta.get("TransferSyntaxUID", "")) if meta is not None else ""
    return syntax in _LOSSY_SYNTAXES or _text(header, "LossyImageCompression") == "01"


def _look_up_table(header: Dataset, keyword: str) -> Dataset | None:
    """Rebuild the first table of a sequence: three numbers and the entries, no explanation."""
    items = header.get(keyword)
    descriptor = _numbers(items[0], "LUTDescriptor", -65536, 65536) if items else []
    data = items[0].get("LUTData") if items else None
    if len(descriptor) != 3 or data is None:
        return None
    entries = np.frombuffer(data, "<u2") if isinstance(data, bytes) else np.asarray(data)
    count = int(descriptor[0]) or 65536
    if len(entries) != count or entries.min() < 0 or entries.max() > 65535:
        return None
    table = Dataset()
    first_vr = "SS" if descriptor[1] < 0 else "US"
    table.add_new("LUTDescriptor", first_vr, [int(value) for value in descriptor])
    table.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
    return table


def _bits_stored(header: Dataset, pixels: NDArray[Any]) -> int:
    stored = _numbers(header, "BitsStored", 1, 16)
    return int(stored[0]) if stored else 8 * pixels.itemsize


def _orientation(header: Dataset) -> list[str]:
    values = _values(header, "PatientOrientation")
    return values if len(values) == 2 and all(map(_ORIENTATION.fullmatch, values)) else []


def _codes(*codes: Code) -> Sequence:
    items = []
    for code in codes:
        item = Dataset()
        item.CodeValue = code.value
        item.CodingSchemeDesignator = code.scheme_designator
        item.CodeMeaning = code.meaning
        items.append(item)
    return Sequence(items)


def _choice(header: Dataset, keyword: str, allowed: Iterable[str]) -> str:
    """Return the value where it is one of the allowed words, else an empty string."""
    value = _text(header, keyword)
    return value if value in tuple(allowed) else ""


def _first_choice(header: Dataset, keyword: str, allowed: tuple[str, ...]) -> str:
    values = _values(header, keyword)
    return values[0] if values and values[0] in allowed else allowed[0]


def _text(header: Dataset, keyword: str) -> str:
    values = _values(header, keyword)
    return values[0] if len(values) == 1 else ""


def _values(header: Dataset, keyword: str) -> list[str]:
    return _converted(header, keyword, lambda value: str(value).strip())


def _numbers(header: Dataset, keyword: str, low: float, high: float) -> list[float]:
    """Return the values where every one is a number within the range, else nothing."""
    numbers = _converted(header, keyword, float)
    return numbers if all(low <= number <= high for number in numbers) else []


def _converted(header: Dataset, keyword: str, convert: Callable[[Any], _T]) -> list[_T]:
    try:
        value = header.get(keyword)
        if value is None or value == "":
            return []
        several = isinstance(value, (list, tuple)) or hasattr(value, "append")
        return [convert(part) for part in (value if several else [value])]
    except (ValueError, TypeError, OverflowError, ArithmeticError):
        return []  # a malformed value is no value
