"""Invented patients, exams and answers for the tests of results."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peers import peer
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from pipeline.exam import Exam, RegionFindings
from pipeline.region import Laterality, Region, View
from pipeline.request import Answer, Match, RegionAnswer, Request
from pipeline.uid import KeyedUids

DX = "1.2.840.10008.5.1.4.1.1.1.1"
CR = "1.2.840.10008.5.1.4.1.1.1"
NOW = datetime(2025, 3, 14, 9, 26, 53, tzinfo=UTC)
UIDS = KeyedUids(b"a secret for tests, and only that")


def header(number: int = 0, sop_class: str = DX, **changes: Any) -> Dataset:
    """Return an invented DX or CR header; number 0 is the query's."""
    source = Dataset()
    source.SpecificCharacterSet = "ISO_IR 100"
    source.SOPClassUID = sop_class
    source.SOPInstanceUID = f"1.2.3.{number}.1.1"
    source.SeriesInstanceUID = f"1.2.3.{number}.1"
    source.StudyInstanceUID = f"1.2.3.{number}"
    source.PatientName = f"Invented^Zoë{number}"
    source.PatientID = f"PID-{number:04d}"
    source.IssuerOfPatientID = "INVENTED HOSPITAL"
    source.PatientBirthDate = "20150102"
    source.PatientSex = "F"
    source.StudyDate = "20250301"
    source.StudyTime = "081500"
    source.StudyID = "S1"
    source.AccessionNumber = f"ACC{number:04d}"
    source.ReferringPhysicianName = "Referrer^Rita"
    source.Modality = "DX" if sop_class == DX else "CR"
    source.BodyPartExamined = "WRIST"
    source.ViewPosition = "PA"
    source.PatientOrientation = ["L", "F"]
    source.ImageType = ["ORIGINAL", "PRIMARY"]
    source.BurnedInAnnotation = "NO"
    source.ImagerPixelSpacing = ["0.144", "0.144"]
    source.WindowCenter, source.WindowWidth = "2000", "4000"
    source.PhotometricInterpretation = "MONOCHROME2"
    source.SamplesPerPixel = 1
    source.BitsAllocated, source.BitsStored, source.HighBit = 16, 12, 11
    source.PixelRepresentation = 0
    source.Rows, source.Columns = 60, 40
    if sop_class == DX:
        source.ImageLaterality = "L"
        source.DetectorType = "SCINTILLATOR"
        source.PixelIntensityRelationship = "LOG"
        source.PixelIntensityRelationshipSign = -1
    else:
        source.Laterality = "L"
    for keyword, value in changes.items():
        setattr(source, keyword, value)
    source.file_meta = FileMetaDataset()
    source.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return source


def stored_pixels(rows: int = 60, columns: int = 40) -> NDArray[np.uint16]:
    """Return a grey ramp of 12-bit values."""
    ramp = np.linspace(0, 4095, rows * columns).reshape(rows, columns)
    return ramp.astype(np.uint16)


def exam(number: int = 0, **changes: Any) -> Exam:
    """Return the exam of `header(number)`."""
    first = Exam(
        sop_instance_uid=f"1.2.3.{number}.1.1",
        series_instance_uid=f"1.2.3.{number}.1",
        study_instance_uid=f"1.2.3.{number}",
        sop_class_uid=DX,
        patient_key=f"key-{number}",
        laterality=Laterality.LEFT,
        view=View.PA,
        age_years=7.9,
        sex="F",
        vectors={},
        boxes={
            "wrist": (4.0, 4.0, 36.0, 56.0),
            "distal_radius": (18.0, 20.0, 33.0, 50.0),
            "distal_ulna": (8.0, 22.0, 17.0, 48.0),
        },
        bundle_id="wristmir-demonstration-4",
        runtime="test",
        received_at=NOW,
        indexed_at=NOW,
        spacing_mm=(0.144, 0.144),
        findings={
            Region.DISTAL_RADIUS: RegionFindings("present", "buckle", "acute", "mild"),
            Region.DISTAL_ULNA: RegionFindings("absent"),
        },
        findings_known=True,
    )
    return replace(first, **changes)


def match(rank: int, prior: Exam, **changes: Any) -> Match:
    """Return a match whose similarities fall with its rank."""
    first = Match(
        rank=rank,
        exam=prior,
        global_similarity=0.95 - rank / 100,
        region_similarity=0.93 - rank / 100,
        global_index=95.0 - rank,
        region_index=90.0 - 2 * rank,
        reasons=("among the 100 most similar wrists",),
    )
    return replace(first, **changes)


def answer(regions: tuple[RegionAnswer, ...] | None = None, **changes: Any) -> Answer:
    """Return an answer: two bones, three priors, the first of which matches for both."""
    if regions is None:
        regions = (
            RegionAnswer(
                Region.DISTAL_RADIUS,
                (match(1, exam(1)), match(2, exam(2, laterality=Laterality.RIGHT), mirrored=True)),
                fallbacks=("too few left wrists: right wrists were added",),
            ),
            RegionAnswer(
                Region.ULNAR_STYLOID,
                (
                    match(1, exam(1), region_index=None, region_similarity=None),
                    match(2, exam(3, findings={}, findings_known=False, age_years=None)),
                ),
            ),
            RegionAnswer(Region.DISTAL_ULNA, (), nothing_similar=True),
        )
    first = Answer(
        query=exam(0),
        request=Request(),
        regions=regions,
        pool_size=132,
        bundle_id="wristmir-demonstration-4",
        answered_at=NOW,
        warnings=("The patient may not be a child.",),
    )
    return replace(first, **changes)


def as_bytes(dataset: Dataset) -> bytes:
    """Return the file that would be sent."""
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def dciodvfy_errors(dataset: Dataset, folder: Path) -> list[str]:
    """Return the lines in which dciodvfy complains, known harmless warnings aside."""
    path = folder / "object.dcm"
    path.write_bytes(as_bytes(dataset))
    done = subprocess.run(
        [peer("dciodvfy"), "-new", str(path)], capture_output=True, text=True, check=False
    )
    lines = (done.stdout + done.stderr).splitlines()
    return [line for line in lines if line.startswith("Error")]


def pixelmed_complaints(dataset: Dataset, folder: Path) -> list[str]:
    """Return what PixelMed's validator of structured reports finds wrong; it must get to the end.

    Its warnings are left out: it knows no template of the plugin's own.
    """
    path = folder / "object.dcm"
    path.write_bytes(as_bytes(dataset))
    jar = Path("/usr/share/java/pixelmed.jar")
    peer("DicomSRValidator")
    done = subprocess.run(
        [peer("java"), *_XPATH, "-cp", str(jar), "com.pixelmed.validate.DicomSRValidator", path],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = (done.stdout + done.stderr).splitlines()
    assert "IOD validation complete" in lines, lines[-3:]
    return [line for line in lines if line.startswith("Error")]


# its rules are longer than Java allows of itself
_XPATH = tuple(
    f"-Djdk.xml.xpath{name}=0" for name in ("ExprOpLimit", "TotalOpLimit", "ExprGrpLimit")
)


def planted(source: Dataset, secret: str) -> Dataset:
    """Return the header with a secret in every text attribute, in sequences and private tags."""
    for number, element in enumerate(list(source)):
        if element.VR in _TEXT_VRS and element.keyword not in _KEPT:
            source[element.tag].value = _secret(element.VR, secret, number)
    for keyword in _MORE_TEXT:
        setattr(source, keyword, secret[:16])
    for keyword in ("AnatomicRegionSequence", "ViewCodeSequence", "RequestAttributesSequence"):
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator = "74670003", "SCT"
        item.CodeMeaning = secret
        item.PatientID = secret
        setattr(source, keyword, Sequence([item]))
    block = source.private_block(0x0019, "INVENTED VENDOR", create=True)
    block.add_new(0x01, "LO", secret)
    block.add_new(0x02, "OB", secret.encode())
    source.add_new(0x60003000, "OW", secret.encode() + b" " * (len(secret) % 2))
    return source


def _secret(vr: str, secret: str, number: int) -> str:
    return {"DA": "19991231", "TM": "235959", "AS": "093Y"}.get(vr, secret[:16])


_TEXT_VRS = frozenset(["LO", "SH", "PN", "ST", "LT", "UT", "CS", "DA", "TM", "AS", "UC"])
_KEPT = frozenset(
    ["SpecificCharacterSet", "PhotometricInterpretation", "BurnedInAnnotation", "Modality"]
)
_MORE_TEXT: tuple[str, ...] = (
    "AcquisitionDeviceProcessingDescription",
    "AdditionalPatientHistory",
    "AdmittingDiagnosesDescription",
    "DerivationDescription",
    "ImageComments",
    "InstitutionAddress",
    "InstitutionName",
    "InstitutionalDepartmentName",
    "ManufacturerModelName",
    "OperatorsName",
    "OtherPatientIDs",
    "OtherPatientNames",
    "PatientAddress",
    "PatientComments",
    "PatientTelephoneNumbers",
    "PerformedProcedureStepDescription",
    "PhysiciansOfRecord",
    "ProtocolName",
    "RequestedProcedureDescription",
    "SeriesDescription",
    "StationName",
    "StudyDescription",
)


def without(source: Dataset, *keywords: str) -> Dataset:
    """Return the header without some attributes."""
    for keyword in keywords:
        delattr(source, keyword)
    return source


def pictures(*exams: Exam) -> Mapping[str, NDArray[np.float32]]:
    """Return a small picture per exam, by SOP Instance UID."""
    ramp = (stored_pixels() / 4095).astype(np.float32)
    return {one.sop_instance_uid: ramp for one in exams}
