"""Phantom exams as DICOM studies: DX or CR images and their report."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID, ExplicitVRLittleEndian

from pipeline.region import Laterality, View
from training.phantom.exam import PhantomExam

__all__ = ["ReportKind", "dicom_study"]

ReportKind = Literal["basic", "enhanced"]

_DX = "1.2.840.10008.5.1.4.1.1.1.1"
_CR = "1.2.840.10008.5.1.4.1.1.1"
_SR = {"basic": "1.2.840.10008.5.1.4.1.1.88.11", "enhanced": "1.2.840.10008.5.1.4.1.1.88.22"}

_FAMILY = ("Ahornblatt", "Birkenau", "Distelfink", "Erlenbach", "Fichtner", "Ginster", "Haselmaus",
           "Iltis", "Kiefer", "Lindwurm", "Moosbeere", "Nussbaum")  # fmt: skip
_GIVEN = {"F": ("Ada", "Bella", "Clara", "Dora", "Emma", "Frida"),
          "M": ("Anton", "Bruno", "Carl", "David", "Emil", "Felix")}  # fmt: skip


def dicom_study(
    exams: Sequence[PhantomExam],
    *,
    modality: Literal["DX", "CR"] | None = None,
    monochrome1: bool | None = None,
    report: ReportKind | Literal["none"] | None = None,
) -> list[Dataset]:
    """Return the views of one visit as images, followed by their report.

    UIDs, names, dates and whatever is left None follow from the first exam's seed. Every
    dataset carries file meta information (explicit VR little endian): ``save_as(path,
    enforce_file_format=True)`` writes a file.

    Parameters
    ----------
    exams
        Views of one patient at one visit: the same ``patient`` and ``seed``.
    modality
        ``DX`` (For Presentation) or ``CR``.
    monochrome1
        Store the pixels inverted, as MONOCHROME1.
    report
        ``basic`` (Basic Text SR), ``enhanced`` (Enhanced SR) or ``none``.

    Raises
    ------
    ValueError
        Where ``exams`` is empty or its exams are not of one visit.
    """
    if not exams or len({(e.patient, e.seed) for e in exams}) != 1:
        message = "a study needs one or more views of one visit: the same patient and seed"
        raise ValueError(message)
    first = exams[0]
    rng = np.random.default_rng([first.seed, 16])
    drawn_modality = "DX" if rng.random() < 0.6 else "CR"
    drawn_inverted = bool(rng.random() < 0.35)
    drawn_report = "basic" if rng.random() < 0.6 else "enhanced"
    visit = _Visit.of(first, rng)
    inverted = drawn_inverted if monochrome1 is None else monochrome1
    images = [
        _image(exam, number, visit, modality or drawn_modality, inverted)
        for number, exam in enumerate(exams, start=1)
    ]
    kind = drawn_report if report is None else report
    text = next((e.report for e in exams if e.report), "")
    if kind == "none" or not text:
        return list(images)
    return [*images, _report(text, images, visit, kind)]


@dataclass(frozen=True)
class _Visit:
    """Invented identity and time."""

    seed: int
    patient: int
    name: str
    sex: str
    birth: date
    at: datetime
    age: str

    @classmethod
    def of(cls, exam: PhantomExam, rng: np.random.Generator) -> _Visit:
        person = np.random.default_rng([exam.patient, 17])
        family = _FAMILY[int(person.integers(len(_FAMILY)))]
        given = _GIVEN[exam.sex][int(person.integers(6))]
        birth = date(1998, 1, 1) + timedelta(days=int(person.integers(0, 2500)))
        minutes = int(rng.integers(7 * 60, 20 * 60))
        day = birth + timedelta(days=round(exam.age_years * 365.25))
        at = datetime(day.year, day.month, day.day, minutes // 60, minutes % 60)  # noqa: DTZ001 - DICOM's dates are local
        years = int(exam.age_years)
        age = f"{years:03d}Y" if years >= 2 else f"{int(exam.age_years * 12):03d}M"
        return cls(exam.seed, exam.patient, f"{family}^{given}", exam.sex, birth, at, age)

    def uid(self, *parts: object) -> str:
        """Return a UID under 2.25 that depends on the seed and ``parts`` alone."""
        text = "|".join(str(p) for p in ("phantom", self.seed, self.patient, *parts))
        digest = bytearray(hashlib.sha256(text.encode()).digest()[:16])
        digest[6] = (digest[6] & 0x0F) | 0x80  # UUID version 8, RFC 9562
        digest[8] = (digest[8] & 0x3F) | 0x80
        return f"2.25.{int.from_bytes(digest, 'big')}"


def _file(visit: _Visit, sop_class: str, sop_instance: str) -> Dataset:
    """Return a dataset with file meta, patient, study and equipment."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = UID(sop_instance)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SpecificCharacterSet = "ISO_IR 192"
    data.SOPClassUID = sop_class
    data.SOPInstanceUID = sop_instance
    data.PatientName = visit.name
    data.PatientID = f"PHANTOM{visit.patient:08d}"
    data.IssuerOfPatientID = "WRISTMIR-PHANTOM"
    data.PatientBirthDate = visit.birth.strftime("%Y%m%d")
    data.PatientSex = visit.sex
    data.PatientAge = visit.age
    data.StudyInstanceUID = visit.uid("study")
    data.StudyDate = visit.at.strftime("%Y%m%d")
    data.StudyTime = visit.at.strftime("%H%M%S")
    data.ReferringPhysicianName = ""
    data.StudyID = f"{visit.seed % 10**8}"
    data.AccessionNumber = f"PA{visit.seed % 10**8:08d}"
    data.Manufacturer = "WristMIR phantom"
    data.ManufacturerModelName = "Synthetic wrist"
    data.DeviceSerialNumber = "1"
    data.SoftwareVersions = "1"
    return data


_VIEW_TAGS = {
    View.PA: ("PA", ("272479007", "Postero-anterior")),
    View.LATERAL: ("LL", ("399067008", "lateral")),
    View.OBLIQUE: ("RLO", ("399182000", "Oblique")),
}

_PARTS = {
    "WRIST": ("74670003", "Wrist joint"),
    "HAND": ("85562004", "Hand"),
    "ELBOW": ("16953009", "Elbow joint"),
    "CHEST": ("51185008", "Chest"),
    "KNEE": ("72696002", "Knee"),
}


def _image(exam: PhantomExam, number: int, visit: _Visit, modality: str, inverted: bool) -> Dataset:
    digital = modality == "DX"
    instance = visit.uid("image", exam.view.value)
    data = _file(visit, _DX if digital else _CR, instance)
    data.StudyDescription = "Wrist" if exam.body_part == "WRIST" else exam.body_part.title()
    data.Modality = modality
    data.SeriesInstanceUID = visit.uid("series", modality if digital else exam.view.value)
    data.SeriesNumber = 1 if digital else number
    data.InstanceNumber = number
    data.ImageType = ["ORIGINAL", "PRIMARY"]
    taken = visit.at + timedelta(minutes=2 * number)
    data.ContentDate = data.AcquisitionDate = taken.strftime("%Y%m%d")
    data.ContentTime = data.AcquisitionTime = taken.strftime("%H%M%S")
    data.PatientOrientation = ["L", "F"] if digital else ""
    data.BurnedInAnnotation = "NO"
    data.LossyImageCompression = "00"
    data.BodyPartExamined = exam.body_part
    data.ImagerPixelSpacing = [f"{s:.4f}" for s in exam.spacing_mm]
    _pixels(data, exam, inverted)
    _position(data, exam, digital)
    if digital:
        _digital(data, exam, inverted)
    else:
        data.KVP = "52"
        data.PlateID = "1"
        data.AcquisitionDeviceProcessingDescription = "WRIST"
    return data


def _pixels(data: Dataset, exam: PhantomExam, inverted: bool) -> None:
    top = (1 << exam.bits) - 1
    stored = top - exam.pixels if inverted else exam.pixels
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    data.Rows, data.Columns = (int(n) for n in exam.pixels.shape)
    data.BitsAllocated = 16
    data.BitsStored = exam.bits
    data.HighBit = exam.bits - 1
    data.PixelRepresentation = 0
    data.WindowCenter = f"{(top + 1) / 2:g}"
    data.WindowWidth = f"{top + 1}"
    data.PixelData = np.ascontiguousarray(stored, dtype="<u2").tobytes()


def _position(data: Dataset, exam: PhantomExam, digital: bool) -> None:
    """Side and projection, where each IOD keeps them (PS3.3 C.7.3.1 and C.8.11.5)."""
    side = {Laterality.LEFT: "L", Laterality.RIGHT: "R"}.get(exam.laterality, "U")
    if digital:
        data.ImageLaterality = side
        data.AnatomicRegionSequence = Items(
            [_code(*_PARTS[exam.body_part])] if exam.body_part else []
        )
    elif side != "U":
        data.Laterality = side
    label, view = _VIEW_TAGS.get(exam.view, ("AP", ("399348003", "Antero-posterior")))
    data.ViewPosition = label
    if digital:
        item = _code(*view)
        item.ViewModifierCodeSequence = Items([])
        data.ViewCodeSequence = Items([item])


def _digital(data: Dataset, exam: PhantomExam, inverted: bool) -> None:
    """Type 1 and 2 attributes of the DX IOD (PS3.3 A.26, C.8.11)."""
    data.PresentationIntentType = "FOR PRESENTATION"
    data.PixelIntensityRelationship = "LOG"
    data.PixelIntensityRelationshipSign = 1 if inverted else -1
    data.RescaleIntercept = "0"
    data.RescaleSlope = "1"
    data.RescaleType = "US"
    data.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    data.DetectorType = "SCINTILLATOR"
    data.PositionerType = "NONE"
    data.AcquisitionContextSequence = Items([])
    data.KVP = "52"
    data.ExposureTime = "10"
    data.AcquisitionDeviceProcessingDescription = "WRIST"


def _code(value: str, meaning: str, scheme: str = "SCT") -> Dataset:
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = scheme
    item.CodeMeaning = meaning
    return item


def _report(text: str, images: Sequence[Dataset], visit: _Visit, kind: str) -> Dataset:
    """Return a verified, complete Basic Text or Enhanced SR (PS3.3 A.35.1, A.35.2)."""
    data = _file(visit, _SR[kind], visit.uid("report"))
    data.StudyDescription = images[0].StudyDescription
    data.Modality = "SR"
    data.SeriesInstanceUID = visit.uid("series", "SR")
    data.SeriesNumber = 90
    data.InstanceNumber = 1
    data.ReferencedPerformedProcedureStepSequence = Items([])
    data.PerformedProcedureCodeSequence = Items([])
    written = visit.at + timedelta(hours=1)
    data.ContentDate = written.strftime("%Y%m%d")
    data.ContentTime = written.strftime("%H%M%S")
    data.CompletionFlag = "COMPLETE"
    data.VerificationFlag = "VERIFIED"
    observer = Dataset()
    observer.VerifyingObserverName = "Erfunden^Rita^^Dr."
    observer.VerifyingObserverIdentificationCodeSequence = Items([])
    observer.VerifyingOrganization = "Phantom Hospital"
    observer.VerificationDateTime = written.strftime("%Y%m%d%H%M%S")
    data.VerifyingObserverSequence = Items([observer])
    data.CurrentRequestedProcedureEvidenceSequence = _evidence(images, visit)
    data.ValueType = "CONTAINER"
    data.ConceptNameCodeSequence = Items([_code("18748-4", "Diagnostic imaging report", "LN")])
    data.ContinuityOfContent = "SEPARATE"
    reader = _item("HAS OBS CONTEXT", "PNAME", ("121008", "Person Observer Name"))
    reader.PersonName = "Erfunden^Rita^^Dr."
    data.ContentSequence = Items([reader, *(_section(*part) for part in _sections(text))])
    return data


def _evidence(images: Sequence[Dataset], visit: _Visit) -> Items:
    study = Dataset()
    study.StudyInstanceUID = visit.uid("study")
    series: dict[str, list[Dataset]] = {}
    for image in images:
        reference = Dataset()
        reference.ReferencedSOPClassUID = image.SOPClassUID
        reference.ReferencedSOPInstanceUID = image.SOPInstanceUID
        series.setdefault(str(image.SeriesInstanceUID), []).append(reference)
    listed = []
    for uid, references in series.items():
        entry = Dataset()
        entry.SeriesInstanceUID = uid
        entry.ReferencedSOPSequence = Items(references)
        listed.append(entry)
    study.ReferencedSeriesSequence = Items(listed)
    return Items([study])


def _item(relationship: str, value_type: str, name: tuple[str, str]) -> Dataset:
    item = Dataset()
    item.RelationshipType = relationship
    item.ValueType = value_type
    item.ConceptNameCodeSequence = Items([_code(name[0], name[1], "DCM")])
    return item


_HEADINGS = {
    "INDICATION": (("121060", "History"), ("121060", "History")),
    "FINDINGS": (("121070", "Findings"), ("121071", "Finding")),
    "IMPRESSION": (("121072", "Impressions"), ("121073", "Impression")),
}


def _sections(text: str) -> list[tuple[tuple[str, str], tuple[str, str], str]]:
    """Split a dictation at its headings into (section, concept, words)."""
    parts = re.split(r"^(INDICATION|FINDINGS|IMPRESSION): ", text, flags=re.MULTILINE)
    sections = []
    if parts[0].strip():
        sections.append((*_HEADINGS["FINDINGS"], parts[0].strip()))
    for heading, words in zip(parts[1::2], parts[2::2], strict=True):
        sections.append((*_HEADINGS[heading], words.strip()))
    return sections


def _section(section: tuple[str, str], concept: tuple[str, str], words: str) -> Dataset:
    container = _item("CONTAINS", "CONTAINER", section)
    container.ContinuityOfContent = "SEPARATE"
    text = _item("CONTAINS", "TEXT", concept)
    text.TextValue = words
    container.ContentSequence = Items([text])
    return container
