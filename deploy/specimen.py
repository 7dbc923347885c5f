"""A specimen of everything that the plugin writes, of an invented patient.

The conformance statement tells from it which attributes stand in a result.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from pipeline.deidentify import library_copy
from pipeline.exam import Exam, RegionFindings
from pipeline.prior_result import PriorResult
from pipeline.reference import PriorReference
from pipeline.region import Laterality, Region, View
from pipeline.request import Answer, Match, RegionAnswer, Request
from pipeline.result_set import build
from pipeline.settings import ResultSettings
from pipeline.uid import KeyedUids
from pipeline.wording import BundleWords

__all__ = ["Specimen", "specimen"]


@dataclass(frozen=True, eq=False)
class Specimen:
    """A result set that replaces an earlier one, a library copy that it refers to, both sources."""

    query: Dataset
    prior: Dataset
    report: Dataset
    measurements: Dataset
    board: Dataset
    state: Dataset
    key_objects: Dataset
    document: Dataset
    copy: Dataset


def specimen(variant: int = 0) -> Specimen:
    """Build a result set and a library copy as the service does.

    Parameters
    ----------
    variant
        0 or 1: another patient, side, size, time and bundle.
    """
    query, prior = _header(variant, 0), _header(variant, 1)
    exams = _exam(variant, 0), _exam(variant, 1)
    copy = library_copy(prior, _pixels(variant), exams[1], _UIDS)
    found = Match(1, exams[1], 0.94, 0.92, 94.0, 88.0, reasons=("among the most similar wrists",))
    regions = (RegionAnswer(Region.DISTAL_RADIUS, (found,), fallbacks=("any age",)),)
    bundle = BundleWords(f"specimen-{variant}", "A specimen.", demonstration=True)
    now = datetime(2025, 3, 14 + variant, 9 + variant, 26, 53, tzinfo=UTC)
    picture = _pixels(variant).astype(np.float32)
    report, measurements, board, state, key_objects, document = build(
        Answer(exams[0], Request(), regions, 2, bundle.id, now, warnings=("A specimen.",)),
        query,
        picture,
        {exams[1].sop_instance_uid: PriorReference.to_copy(exams[1], copy)},
        {exams[1].sop_instance_uid: picture},
        bundle=bundle,
        uids=_UIDS,
        result_id=bundle.id,
        created_at=now,
        predecessor=PriorResult(
            "1.2.3.0",
            "1.2.3.0.9",
            _REPORT_CLASS,
            "1.2.3.0.9.1",
            PriorResult("1.2.3.0", "1.2.3.0.8", _REPORT_CLASS, "1.2.3.0.8.1"),
        ),
        board_width=2048 + 256 * variant,
        settings=ResultSettings(presentation_state=True, key_objects=True, document=True),
    )
    return Specimen(query, prior, report, measurements, board, state, key_objects, document, copy)


_UIDS = KeyedUids(b"the key of a site that is not there")
_REPORT_CLASS = "1.2.840.10008.5.1.4.1.1.88.33"
_SIDES = (Laterality.LEFT, Laterality.RIGHT)
_BOXES = {"wrist": (8.0, 8.0, 72.0, 112.0), "distal_radius": (36.0, 40.0, 66.0, 100.0)}


def _exam(variant: int, number: int) -> Exam:
    header = _header(variant, number)
    return Exam(
        sop_instance_uid=header.SOPInstanceUID,
        series_instance_uid=header.SeriesInstanceUID,
        study_instance_uid=header.StudyInstanceUID,
        sop_class_uid=str(DigitalXRayImageStorageForPresentation),
        patient_key=header.PatientID,
        laterality=_SIDES[variant],
        view=View.PA,
        age_years=7.9 + 3 * variant,
        sex=header.PatientSex,
        vectors={},
        boxes=_BOXES,
        bundle_id="specimen",
        runtime="specimen",
        received_at=datetime(2025, 3, 14, tzinfo=UTC),
        indexed_at=datetime(2025, 3, 14, tzinfo=UTC),
        spacing_mm=(0.144, 0.144),
        findings={Region.DISTAL_RADIUS: RegionFindings("present", "buckle", "acute", "mild")},
        findings_known=True,
    )


def _header(variant: int, number: int) -> Dataset:
    study = f"1.2.3.{10 * variant + number}"
    said: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 100",
        "SOPClassUID": DigitalXRayImageStorageForPresentation,
        "SOPInstanceUID": f"{study}.1.1",
        "SeriesInstanceUID": f"{study}.1",
        "StudyInstanceUID": study,
        "PatientName": "Invented^Zoe",
        "PatientID": f"INVENTED-{variant}{number}",
        "PatientBirthDate": "20170401",
        "PatientSex": "FM"[variant],
        "StudyDate": f"2025030{1 + variant}",
        "StudyTime": f"08150{variant}",
        "StudyID": f"{1 + variant}",
        "AccessionNumber": f"INVENTED-{variant}",
        "ReferringPhysicianName": "Invented^Ida",
        "Modality": "DX",
        "BodyPartExamined": "WRIST",
        "ViewPosition": "PA",
        "ImageLaterality": "LR"[variant],
        "PatientOrientation": ["L", "F"],
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "BurnedInAnnotation": "NO",
        "ImagerPixelSpacing": ["0.144", "0.144"],
        "WindowCenter": f"{2000 + variant}",
        "WindowWidth": f"{4000 + variant}",
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "DetectorType": "SCINTILLATOR",
        "PixelIntensityRelationship": "LOG",
        "PixelIntensityRelationshipSign": -1,
    }
    header = Dataset()
    header.Rows, header.Columns = _pixels(variant).shape
    for keyword, value in said.items():
        setattr(header, keyword, value)
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return header


def _pixels(variant: int) -> NDArray[np.uint16]:
    rows, columns = 120 + variant, 80 + variant
    return np.linspace(0, 4095, rows * columns).reshape(rows, columns).astype(np.uint16)
