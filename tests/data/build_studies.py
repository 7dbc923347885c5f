"""Make the real studies of tests/data/studies out of GRAZPEDWRI-DX images.

    python tests/data/build_studies.py SOURCE OUT

SOURCE holds ``graz_full/images`` and ``graz_tiles/images`` (PNG) and ``graz_meta/dataset.csv``; OUT
is emptied of what an earlier run wrote there. The same source gives the same bytes. Names, numbers
and dates are invented; images are of patients in training/held_out_patients.txt only.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.sequence import Sequence as Items

from pipeline.region import Laterality, View
from training.grazpedwri import STYLES, Row, report, rows

ORIGINALS = (
    "2830_1206360182_04_WRI-L1_M012",
    "3927_0565690706_04_WRI-L1_F014",
    "5791_0288377040_02_WRI-R1_F009",
    "3799_0949300875_03_WRI-L1_M010",
    "4010_0785096700_01_WRI-R1_M015",
    "0001_1297860395_01_WRI-L1_M014",
    "1068_1253423501_03_WRI-L2_F010",
)
QUERIES = ORIGINALS[:3]
TILES = (
    "0128_0606964197_03_WRI-L1_M016",
    "0128_0608171418_04_WRI-L1_M016",
    "0294_0427819878_01_WRI-R2_F006",
    "0441_0173552385_01_WRI-L1_M004",
    "0636_0910742074_01_WRI-R1_M011",
    "0818_0570613692_02_WRI-R1_M013",
    "1099_0275080999_03_WRI-L1_M013",
    "1192_0390246914_01_WRI-R1_F001",
    "1314_0947946209_02_WRI-L1_M013",
    "1740_1282645601_03_WRI-L1_M015",
    "1740_1283249186_04_WRI-L2_M015",
    "1857_0314900109_01_WRI-L1_M011",
    "2615_1192902697_03_WRI-R1_M011",
    "2665_0915390352_02_WRI-R1_M015",
    "2726_0819457495_02_WRI-L1_F016",
    "3225_0439451943_01_WRI-R1_M013",
    "3906_0260034379_01_WRI-R2_F002",
    "4008_0439011900_02_WRI-R1_M006",
    "4008_0439014321_03_WRI-R1_M006",
    "4276_0802686998_02_WRI-L1_M015",
    "4284_0645307995_01_WRI-L1_F001",
    "4284_0645308015_02_WRI-L1_F001",
    "4541_0451256165_02_WRI-L2_M016",
    "4541_0452628321_04_WRI-L1_M016",
    "5136_0920258540_01_WRI-R1_M005",
    "5136_0921732832_03_WRI-R1_M005",
    "5481_0836217158_01_WRI-L1_F010",
    "5481_0836217256_01_WRI-L2_F010",
    "5791_0291009531_04_WRI-R1_F009",
)
BOTH_WRISTS = ("1857_0314900109_01_WRI-L1_M011", "2615_1192902697_03_WRI-R1_M011")
"""Two patients of one age and sex, put together as one invented patient's two wrists."""

_GIVEN = {"F": ("Anna", "Berta", "Clara", "Dora"), "M": ("Adam", "Bruno", "Carl", "David")}
_ISSUER = "WRISTMIR-TEST"
_NAMESPACE = uuid.UUID("0b0f7a52-8d0e-5c1e-9a55-3f1f1d3a6c10")
_FIRST_DAY = date(2016, 3, 1)


@dataclass(frozen=True)
class Visit:
    """One invented study: its images, who they are said to be of, and how it is reported."""

    patient: int
    number: int
    images: tuple[Row, ...]
    style: str
    both: bool = False

    @property
    def patient_id(self) -> str:
        return f"TEST-{self.patient:04d}"

    @property
    def folder(self) -> str:
        return f"{self.patient_id}-{self.number}"

    @property
    def uid(self) -> str:
        return _uid("study", self.folder)

    @property
    def born(self) -> date:
        # the same day for every study of a patient, so that ages and dates agree
        return date(2005, 1, 1) + timedelta(days=self.patient * 37 % 365)

    @property
    def day(self) -> date:
        return self.born + timedelta(days=round(self.images[0].age_years * 365.25) + self.number)


def main() -> None:
    """Read the arguments and write the studies and their manifest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    for old in arguments.out.glob("TEST-*"):
        shutil.rmtree(old)
    lines: list[Mapping[str, str]] = []
    table = {row.filestem: row for row in rows(arguments.source / "graz_meta" / "dataset.csv")}
    for order, visit in enumerate(visits(table)):
        lines += write_visit(visit, order, arguments.source, arguments.out)
    with (arguments.out / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def visits(table: Mapping[str, Row]) -> Iterator[Visit]:
    """Yield the studies: a patient's images by the data set's own study number."""
    chosen = [table[stem] for stem in (*ORIGINALS, *TILES) if stem not in BOTH_WRISTS]
    chosen.sort(key=lambda row: (row.patient, row.study, row.view is not View.PA))
    styles = 0
    patient = 0
    for patient, (_, own) in enumerate(groupby(chosen, key=lambda row: row.patient), start=1):
        for number, (_, images) in enumerate(groupby(own, key=lambda row: row.study), start=1):
            yield Visit(patient, number, tuple(images), STYLES[styles % len(STYLES)])
            styles += 1
    left, right = (table[stem] for stem in BOTH_WRISTS)
    yield Visit(patient + 1, 1, (left, replace(right, age_years=left.age_years)), "both", both=True)


def write_visit(visit: Visit, order: int, source: Path, out: Path) -> Iterator[Mapping[str, str]]:
    """Write one study's images and report; yield their lines of the manifest."""
    folder = out / visit.folder
    folder.mkdir(parents=True, exist_ok=True)
    images = []
    for number, row in enumerate(visit.images, start=1):
        kind = "graz_full" if row.filestem in ORIGINALS else "graz_tiles"
        pixels = grey_pixels(source / kind / "images" / f"{row.filestem}.png")
        digest = hashlib.sha256(pixels.astype(pixels.dtype.newbyteorder("<")).tobytes())
        image = image_dataset(visit, row, number, order, pixels)
        save(image, folder / f"image-{number}.dcm")
        images.append(image)
        file = f"{visit.folder}/image-{number}.dcm"
        yield line(visit, row, image, file, _role(row), digest.hexdigest())
    document = report_dataset(visit, images, order)
    save(document, folder / "report.dcm")
    role = _role(visit.images[0])
    yield line(visit, visit.images[0], document, f"{visit.folder}/report.dcm", role)


def line(
    visit: Visit, row: Row, made: Dataset, file: str, role: str, digest: str = ""
) -> Mapping[str, str]:
    """Return one line of the manifest; ``digest`` is of the source's grey values, row by row."""
    is_image = "PixelData" in made
    return {
        "file": file,
        "kind": "image" if is_image else "report",
        "source": row.filestem if is_image else "",
        "graz_patient": str(row.patient) if is_image else "",
        "patient_id": visit.patient_id,
        "study_uid": visit.uid,
        "sop_uid": made.SOPInstanceUID,
        "sop_class": uid.UID(made.SOPClassUID).name,
        "projection": row.view.value if is_image else "",
        "laterality": row.laterality.value if is_image or not visit.both else "both",
        "age_years": str(row.age_years),
        "sex": row.sex,
        "transfer_syntax": uid.UID(made.file_meta.TransferSyntaxUID).name,
        "photometric": made.get("PhotometricInterpretation", ""),
        "bits_stored": str(made.get("BitsStored", "")),
        "ao": row.ao if is_image else "",
        "cast": "1" if is_image and row.cast else "",
        "osteopenia": "1" if is_image and row.osteopenia else "",
        "metal": "1" if is_image and row.metal else "",
        "role": role,
        "pixels_sha256": digest,
    }


def _role(row: Row) -> str:
    if row.view is not View.PA:
        return "lateral"
    return "query" if row.filestem in QUERIES else "prior"


def _uid(*parts: str) -> str:
    return f"2.25.{uuid.uuid5(_NAMESPACE, '/'.join(parts)).int}"


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = scheme
    item.CodeMeaning = meaning
    return item


def common(visit: Visit, sop_class: str, name: str) -> Dataset:
    """Return what every object of a study holds: patient, study, and its own identity."""
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID = sop_class
    made.SOPInstanceUID = _uid(visit.folder, name)
    sex = visit.images[0].sex
    given = _GIVEN[sex][visit.patient % 4]
    made.PatientName = f"Testkind^{given} {'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[visit.patient % 26]}"
    made.PatientID = visit.patient_id
    made.IssuerOfPatientID = _ISSUER
    made.PatientBirthDate = f"{visit.born:%Y%m%d}"
    made.PatientSex = sex
    made.PatientAge = _age(visit.images[0].age_years)
    made.StudyInstanceUID = visit.uid
    made.StudyDate = f"{visit.day:%Y%m%d}"
    made.StudyTime = "110000"
    made.StudyID = f"S{visit.patient:04d}{visit.number}"
    made.AccessionNumber = f"T{visit.patient:05d}{visit.number}"
    made.ReferringPhysicianName = "Beispiel^Zuweisung"
    made.StudyDescription = "XR wrist"
    made.Manufacturer = "WristMIR test data"
    made.InstitutionName = "Testklinik"
    return made


def _age(years: float) -> str:
    return f"{round(years * 12):03d}M" if years < 3 else f"{int(years):03d}Y"


def image_dataset(visit: Visit, row: Row, number: int, order: int, pixels: np.ndarray) -> Dataset:
    """Return one image as DX (originals, with their spacing) or CR (rescaled tiles, without)."""
    original = row.filestem in ORIGINALS
    sop_class = (
        uid.DigitalXRayImageStorageForPresentation
        if original
        else (uid.ComputedRadiographyImageStorage)
    )
    made = common(visit, sop_class, f"image {number}")
    made.SeriesInstanceUID = _uid(visit.folder, f"series {number}")
    made.SeriesNumber = number
    made.InstanceNumber = number
    made.AcquisitionNumber = 1
    made.SeriesDate = made.AcquisitionDate = made.ContentDate = made.StudyDate
    made.SeriesTime = made.AcquisitionTime = made.ContentTime = "110500"
    made.BodyPartExamined = "WRIST"
    made.ImageType = ["ORIGINAL", "PRIMARY"]
    made.PatientOrientation = []
    made.BurnedInAnnotation = "NO"
    _describe_view(made, row, order)
    (_make_dx if original else _make_cr)(made, row)
    _set_pixels(made, pixels, inverted=order % 3 == 1)
    _encode(made, pixels, _SYNTAXES[order % len(_SYNTAXES)], inverted=order % 3 == 1)
    return made


def grey_pixels(path: Path) -> np.ndarray:
    """Return a PNG as grey values, uint8 or uint16 (rows, columns)."""
    pixels = np.asarray(Image.open(path))
    if pixels.ndim == 3:
        # a grey image saved in colours
        if not (pixels == pixels[..., :1]).all():
            message = f"{path.name} is not grey"
            raise SystemExit(message)
        pixels = pixels[..., 0]
    return np.ascontiguousarray(pixels)


_VIEW_CODES = {
    View.PA: ("272479007", "SCT", "postero-anterior"),
    View.LATERAL: ("399067008", "SCT", "lateral projection"),
}
_VIEW_WORDS = {View.PA: "Handgelenk d.p.", View.LATERAL: "Handgelenk seitlich"}


def _describe_view(made: Dataset, row: Row, order: int) -> None:
    """Tell the view in one of the ways that archives do: keyword, code, or words only."""
    side = "L" if row.laterality is Laterality.LEFT else "R"
    keyword = {View.PA: "PA", View.LATERAL: f"{side}L"}[row.view]
    made.ViewPosition = keyword if order % 4 != 2 else ""
    made.SeriesDescription = "Wrist"
    if order % 4 == 1 or row.filestem in ORIGINALS:
        made.ViewCodeSequence = Items([_code(*_VIEW_CODES[row.view])])
        made.ViewCodeSequence[0].ViewModifierCodeSequence = Items([])
    if order % 4 == 2:
        made.SeriesDescription = _VIEW_WORDS[row.view]
    if order % 8 == 3 and row.view is View.PA:
        made.ViewPosition = "AP"  # a common mislabelling of wrists


def _make_cr(made: Dataset, row: Row) -> None:
    made.Modality = "CR"
    made.Laterality = "L" if row.laterality is Laterality.LEFT else "R"
    made.PlateType = ""
    made.KVP = None
    made.ProtocolName = "Wrist"


def _make_dx(made: Dataset, row: Row) -> None:
    made.Modality = "DX"
    made.PresentationIntentType = "FOR PRESENTATION"
    made.ImageType = ["ORIGINAL", "PRIMARY", ""]
    made.ImageLaterality = "L" if row.laterality is Laterality.LEFT else "R"
    made.PatientOrientation = ["L", "F"] if row.view is View.PA else ["A", "F"]
    made.AnatomicRegionSequence = Items([_code("74670003", "SCT", "Wrist")])
    made.AcquisitionContextSequence = Items([])
    made.DetectorType = ""
    made.PositionerType = ""
    made.KVP = None
    made.PixelIntensityRelationship = "LOG"
    made.RescaleIntercept = 0
    made.RescaleSlope = 1
    made.RescaleType = "US"
    made.LossyImageCompression = "00"
    made.ImagerPixelSpacing = [row.spacing_mm, row.spacing_mm]


def _set_pixels(made: Dataset, pixels: np.ndarray, *, inverted: bool) -> None:
    bits = pixels.dtype.itemsize * 8
    made.Rows, made.Columns = pixels.shape
    made.SamplesPerPixel = 1
    made.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = bits
    made.HighBit = bits - 1
    made.PixelRepresentation = 0
    if made.Modality == "DX":
        made.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
        made.PixelIntensityRelationshipSign = 1 if inverted else -1
        made.WindowCenter = 2 ** (bits - 1)
        made.WindowWidth = 2**bits
        made.WindowCenterWidthExplanation = "full range"


_SYNTAXES = (
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
    uid.ExplicitVRLittleEndian,
    uid.HTJ2KLossless,
    uid.ImplicitVRLittleEndian,
    uid.JPEGLosslessSV1,
    uid.RLELossless,
)


def _encode(made: Dataset, pixels: np.ndarray, syntax: uid.UID, *, inverted: bool) -> None:
    stored = np.iinfo(pixels.dtype).max - pixels if inverted else pixels
    bits = pixels.dtype.itemsize * 8
    made.file_meta = _file_meta(made, syntax)
    if syntax == uid.JPEGLSLossless:
        frame = imagecodecs.jpegls_encode(stored)
    elif syntax == uid.JPEG2000Lossless:
        frame = imagecodecs.jpeg2k_encode(stored, level=0, reversible=True, codecformat="j2k")
    elif syntax == uid.JPEGLosslessSV1:
        frame = imagecodecs.jpeg8_encode(stored, lossless=True, predictor=1, bitspersample=bits)
    elif syntax == uid.RLELossless:
        frame = _run_lengths(made, stored)
    elif syntax.is_compressed:
        frame = imagecodecs.htj2k_encode(stored, reversible=True)
    else:
        raw = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
        made.PixelData = raw + b"\0" * (len(raw) % 2)
        made["PixelData"].VR = "OW"
        return
    made.PixelData = encapsulate([bytes(frame)])
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True


def _run_lengths(made: Dataset, stored: np.ndarray) -> bytes:
    names = {
        "rows": made.Rows,
        "columns": made.Columns,
        "samples_per_pixel": 1,
        "number_of_frames": 1,
        "bits_allocated": made.BitsAllocated,
        "bits_stored": made.BitsStored,
        "pixel_representation": 0,
        "photometric_interpretation": made.PhotometricInterpretation,
    }
    return bytes(RLELosslessEncoder.encode(stored, **names))


def _file_meta(made: Dataset, syntax: uid.UID) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = made.SOPClassUID
    meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = _uid("implementation")
    return meta


def report_text(visit: Visit) -> str:
    """Return the words of a study's report, written from its AO classification."""
    if not visit.both:
        return report(visit.images[0], visit.patient, visit.style)
    left, right = (report(row, visit.patient, "prose") for row in visit.images)
    sides = {"LEFT": left.split(".", 1)[1], "RIGHT": right}
    body = "\n".join(f"{side} WRIST: {words.strip()}" for side, words in sides.items())
    return (
        "EXAMINATION: Radiographs of both wrists, PA views\n"
        f"INDICATION: Fall onto both hands, query fracture.\n\nFINDINGS:\n{body}\n"
    )


_SECTIONS = {
    "EXAMINATION": _code("55111-9", "LN", "Current Procedure Descriptions"),
    "INDICATION": _code("18785-6", "LN", "Indications for Procedure"),
    "COMPARISON": _code("18834-2", "LN", "Comparison"),
    "FINDINGS": _code("121070", "DCM", "Findings"),
    "IMPRESSION": _code("121072", "DCM", "Impressions"),
}


def report_dataset(visit: Visit, images: Sequence[Dataset], order: int) -> Dataset:
    """Return the report: Enhanced SR by sections where it has them, else Basic Text SR as one."""
    text = report_text(visit)
    sectioned = visit.style == "sectioned"
    made = common(visit, uid.EnhancedSRStorage if sectioned else uid.BasicTextSRStorage, "report")
    made.file_meta = _file_meta(
        made, uid.ImplicitVRLittleEndian if order % 2 else uid.ExplicitVRLittleEndian
    )
    made.Modality = "SR"
    made.SeriesInstanceUID = _uid(visit.folder, "series report")
    made.SeriesNumber = 90
    made.InstanceNumber = 1
    made.ContentDate = made.StudyDate
    made.ContentTime = "113000"
    made.SeriesDescription = "Report"
    made.ReferencedPerformedProcedureStepSequence = Items([])
    made.PerformedProcedureCodeSequence = Items([])
    made.CompletionFlag = "COMPLETE"
    made.VerificationFlag = "VERIFIED" if order % 5 else "UNVERIFIED"
    if made.VerificationFlag == "VERIFIED":
        made.VerifyingObserverSequence = Items([_observer(made)])
    made.ValueType = "CONTAINER"
    made.ContinuityOfContent = "SEPARATE"
    made.ConceptNameCodeSequence = Items([_code("18748-4", "LN", "Diagnostic imaging report")])
    made.CurrentRequestedProcedureEvidenceSequence = Items([_evidence(visit, images)])
    made.ContentSequence = Items([*_context(), *_content(text, sectioned=sectioned)])
    return made


def _observer(made: Dataset) -> Dataset:
    observer = Dataset()
    observer.VerifyingObserverName = "Beispiel^Befundung"
    observer.VerifyingObserverIdentificationCodeSequence = Items([])
    observer.VerifyingOrganization = "Testklinik"
    observer.VerificationDateTime = f"{made.ContentDate}{made.ContentTime}"
    return observer


def _evidence(visit: Visit, images: Sequence[Dataset]) -> Dataset:
    study = Dataset()
    study.StudyInstanceUID = visit.uid
    study.ReferencedSeriesSequence = Items([])
    for image in images:
        series = Dataset()
        series.SeriesInstanceUID = image.SeriesInstanceUID
        reference = Dataset()
        reference.ReferencedSOPClassUID = image.SOPClassUID
        reference.ReferencedSOPInstanceUID = image.SOPInstanceUID
        series.ReferencedSOPSequence = Items([reference])
        study.ReferencedSeriesSequence.append(series)
    return study


def _item(relationship: str, kind: str, name: Dataset) -> Dataset:
    item = Dataset()
    item.RelationshipType = relationship
    item.ValueType = kind
    item.ConceptNameCodeSequence = Items([name])
    return item


def _context() -> Iterator[Dataset]:
    language = _item(
        "HAS CONCEPT MOD",
        "CODE",
        _code("121049", "DCM", "Language of Content Item and Descendants"),
    )
    language.ConceptCodeSequence = Items([_code("en", "RFC5646", "English")])
    yield language
    kind = _item("HAS OBS CONTEXT", "CODE", _code("121005", "DCM", "Observer Type"))
    kind.ConceptCodeSequence = Items([_code("121006", "DCM", "Person")])
    yield kind
    person = _item("HAS OBS CONTEXT", "PNAME", _code("121008", "DCM", "Person Observer Name"))
    person.PersonName = "Beispiel^Befundung"
    yield person


def _content(text: str, *, sectioned: bool) -> Iterator[Dataset]:
    if not sectioned:
        yield _text(_code("121071", "DCM", "Finding"), text.strip())
        return
    for heading, name in _SECTIONS.items():
        body = text.split(f"{heading}:", 1)[1]
        for following in _SECTIONS:
            body = body.split(f"{following}:", 1)[0]
        container = _item("CONTAINS", "CONTAINER", name)
        container.ContinuityOfContent = "SEPARATE"
        container.ContentSequence = Items([_text(name, body.strip())])
        yield container


def _text(name: Dataset, words: str) -> Dataset:
    item = _item("CONTAINS", "TEXT", name)
    item.TextValue = words.replace("\n", "\r\n")
    return item


def save(made: Dataset, path: Path) -> None:
    """Write a dataset as a DICOM file (PS3.10)."""
    made.save_as(path, enforce_file_format=True)


if __name__ == "__main__":
    main()
