"""A hospital's export, a folder of DICOM files with their reports, as exams of a table.

Everything goes through the code that serves: `pipeline.study` sorts a study's files, reads its
reports (structured, encapsulated PDF or CDA) and says what is left out; `pipeline.examination`
decodes, decides the view and finds the bones; `pipeline.mining` and `pipeline.indexing` read the
findings and give them to the image of their side. So a model learns from what it will be shown.

The table holds pseudonyms in place of patient, study and instance, and ages in place of dates. The
words of the reports are kept, without the names that the files' headers know
(`training.redaction`): a table is patient data and stays in the hospital.
"""

from __future__ import annotations

import atexit
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.anatomy import crops
from pipeline.bundle import Bundle, Preprocessing
from pipeline.decoder import Decoder
from pipeline.errors import DecodeError
from pipeline.examination import Examination, Examiner
from pipeline.findings import WristReport
from pipeline.indexing import JoinedFindings, joined_findings
from pipeline.joint_report import joint_report
from pipeline.mining import RulesMiner
from pipeline.study import Study, StudyImage, read_study
from pipeline.uid import KeyedUids
from training.exam_import import PICTURES, CutExam, Imported
from training.exam_table import ExamRow
from training.private_file import make_private_folder, open_private
from training.pseudonym import Pseudonyms
from training.redaction import redacted
from training.skipped import Skipped
from training.split import PatientSplit

__all__ = ["HospitalStudies", "StoredStudy", "studies", "study_of"]

_READABLE = ("en",)


@dataclass(frozen=True)
class StoredStudy:
    """A study of the export: its Study Instance UID and its files."""

    uid: str
    files: tuple[Path, ...]


def study_of(path: Path) -> tuple[Path, str, str]:
    """Return a file, the Study Instance UID it bears, and why it cannot be read: one is empty."""
    try:
        return path, str(_decoder().header(path).StudyInstanceUID), ""
    except DecodeError as error:
        return path, "", f"it cannot be read: {error.reason.words}"


def studies(
    folder: Path, read: Iterable[tuple[Path, str, str]]
) -> tuple[tuple[StoredStudy, ...], tuple[Skipped, ...]]:
    """Put the files of an export together by study, whatever folders they lie in.

    Parameters
    ----------
    folder
        Of the export.
    read
        What `study_of` says of each of its files.
    """
    files: defaultdict[str, list[Path]] = defaultdict(list)
    skipped = []
    for path, uid, reason in read:
        if reason:
            skipped.append(Skipped(str(path.relative_to(folder)), reason))
        else:
            files[uid].append(path)
    found = tuple(StoredStudy(uid, tuple(sorted(paths))) for uid, paths in files.items())
    return found, tuple(skipped)


@dataclass(frozen=True)
class HospitalStudies:
    """Makes the exams of a study: its PA wrists, each with what the report says of its side.

    Parameters
    ----------
    folder
        Of the export.
    table
        The table's folder; pictures are written into it (PNG, 16 bits), without a header.
    bundle
        Folder of the bundle that decides views and finds bones.
    key
        For `training.pseudonym.Pseudonyms`.
    split
        Of patients, by pseudonym.
    site_key
        The service's own key, so that what it made (library copies of priors) is left out, should
        the export hold it.
    """

    folder: Path
    table: Path
    bundle: Path
    key: bytes
    split: PatientSplit
    site_key: bytes | None = None

    def __call__(self, stored: StoredStudy) -> Imported:
        """Return the exams of a study, and what of it is left out."""
        study = read_study(stored.uid, stored.files, _decoder(), self._is_own)
        skipped = [self._skipped(item.path, item.reason) for item in study.left_out]
        seen: list[tuple[StudyImage, Examination]] = []
        for image in study.images:
            try:
                examination = _examiner(self.bundle).examine(image.path, image.header)
            except DecodeError as error:
                reason = f"it cannot be read: {error.reason.words}"
                skipped.append(self._skipped(image.path, reason))
                continue
            if examination.accepted:
                seen.append((image, examination))
            else:
                skipped.append(self._skipped(image.path, examination.reason))
        exams = tuple(self._exams(study, seen, skipped))
        return Imported(exams, tuple(skipped))

    @cached_property
    def _pseudonyms(self) -> Pseudonyms:
        return Pseudonyms(self.key)

    def _is_own(self, uid: str) -> bool:
        return self.site_key is not None and KeyedUids(self.site_key).is_own(uid)

    def _skipped(self, path: Path, reason: str) -> Skipped:
        return Skipped(str(path.relative_to(self.folder)), reason)

    def _exams(
        self,
        study: Study,
        seen: Sequence[tuple[StudyImage, Examination]],
        skipped: list[Skipped],
    ) -> Iterable[CutExam]:
        ages = [one.radiograph.age_years for _, one in seen]
        mined, silence = _mined(study, ages)
        images = [(one.radiograph.laterality, one.view.view) for _, one in seen]
        for (image, one), joined in zip(seen, joined_findings(images, mined), strict=True):
            told = mined is not None and _tells(joined)
            if not told:
                reason = silence or "its report says nothing of this wrist"
                skipped.append(self._skipped(image.path, f"kept without findings: {reason}"))
            yield self._exam(study, image, one, joined if told else None)

    def _exam(
        self,
        study: Study,
        image: StudyImage,
        seen: Examination,
        joined: JoinedFindings | None,
    ) -> CutExam:
        names, pixels = self._pseudonyms, seen.radiograph.pixels
        exam, patient = names.exam(image.sop_instance_uid), names.patient(image.header)
        picture = f"{PICTURES}/{exam}.png"
        _write_picture(pixels, self.table / picture)
        row = ExamRow(
            exam=exam,
            source="hospital",
            patient=patient,
            study=names.study(study.uid),
            split=self.split.of(patient),
            view=seen.view.view,
            laterality=seen.laterality,
            image=picture,
            age_years=seen.radiograph.age_years,
            sex=seen.radiograph.sex,
            report=self._report(study),
            other=() if joined is None else joined.other,
            findings={} if joined is None else joined.findings,
            captions={} if joined is None else joined.captions,
            boxes=seen.anatomy.boxes,
        )
        return CutExam(row, crops(pixels, seen.anatomy, _preprocessing(self.bundle)))

    def _report(self, study: Study) -> str | None:
        if not study.current:
            return None
        text = "\n\n".join(report.text for report in study.current)
        headers = [_decoder().header(stored.path) for stored in study.reports]
        return redacted(text, [*headers, *(image.header for image in study.images)])


def _mined(study: Study, ages: Sequence[float | None]) -> tuple[WristReport | None, str]:
    """Return what the study's reports say, or why nothing is known of it."""
    youngest = min((age for age in ages if age is not None), default=None)
    mined = joint_report([RulesMiner().mine(one.text, youngest) for one in study.current])
    if mined is None:
        return None, "the study holds no report"
    if mined.language not in _READABLE:
        return None, "its report is in a language that the miner does not read"
    return mined, ""


def _tells(joined: JoinedFindings) -> bool:
    stated = any(found.fracture != "not_mentioned" for found in joined.findings.values())
    return stated or bool(joined.other)


def _write_picture(pixels: NDArray[np.float32], path: Path) -> None:
    make_private_folder(path.parent)
    grey = np.round(np.clip(pixels, 0, 1) * 65535).astype(np.uint16)
    _, encoded = cv2.imencode(".png", grey)
    with open_private(path) as file:
        file.write(encoded.tobytes())


# one of each a process: they are costly to make, and cannot be sent from one to another


@cache
def _decoder() -> Decoder:
    decoder = Decoder()
    atexit.register(decoder.close)
    return decoder


@cache
def _bundle(folder: Path) -> Bundle:
    return Bundle.load(folder)


@cache
def _examiner(bundle: Path) -> Examiner:
    return Examiner(_bundle(bundle), _decoder())


def _preprocessing(bundle: Path) -> Preprocessing:
    return _bundle(bundle).manifest.preprocessing
