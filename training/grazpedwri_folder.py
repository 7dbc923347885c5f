"""GRAZPEDWRI-DX as it is published, as exams of a table.

The folder holds ``dataset.csv``; the images, PNG of 16 bits, in ``images`` or in the published
``images_part1`` to ``images_part4``; and the annotators' boxes, YOLO files, in ``labels`` or in
the published ``folder_structure/yolov5/labels``. The data set (figshare 14825193, CC BY 4.0) is
cited in `training.grazpedwri`. It has no reports: findings are its AO codes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.anatomy import WRIST, Anatomy, AnatomyDetector, Box, crops
from pipeline.bundle import Bundle, Preprocessing
from pipeline.captions import captions
from pipeline.errors import DecodeError
from pipeline.exam import RegionFindings
from pipeline.findings import Fracture, Other
from pipeline.radiograph import from_picture
from pipeline.region import Region, View
from training.dataset import BOX_NAMES
from training.errors import DataError
from training.exam_import import CutExam, Imported
from training.exam_table import ExamRow
from training.grazpedwri import Row, findings, lines, reading
from training.skipped import Skipped
from training.split import PatientSplit
from training.yolo_boxes import Corners, yolo_boxes

__all__ = ["GrazpedwriExams", "pa_rows"]


def pa_rows(folder: Path) -> tuple[tuple[Row, ...], tuple[Skipped, ...]]:
    """Return the PA rows of a published folder's dataset.csv, and what is left out of it.

    Raises
    ------
    DataError
        Where there is no such table.
    """
    rows, skipped = [], []
    for number, row in lines(folder / "dataset.csv"):
        name = f"line {number}"
        if isinstance(row, DataError):
            skipped.append(Skipped(name, row.detail))
        elif row.view is not View.PA:
            skipped.append(Skipped(name, f"its view is {row.view.value}"))
        else:
            rows.append(row)
    return tuple(rows), tuple(skipped)


@dataclass(frozen=True)
class GrazpedwriExams:
    """Makes the exam of a row.

    Parameters
    ----------
    folder
        The published folder.
    table
        The table's folder: images stay where they are, and are named from there.
    preprocessing
        How crops are cut.
    split
        By the data set's number of the patient.
    bundle
        Folder of a bundle whose detector finds wrist and bones where nobody has drawn them.
    boxes
        Folder of boxes of wrist and bones that somebody has drawn (`training.dataset`).
    """

    folder: Path
    table: Path
    preprocessing: Preprocessing
    split: PatientSplit
    bundle: Path | None = None
    boxes: Path | None = None

    def __call__(self, row: Row) -> Imported:
        """Return the exam of a row, or why there is none."""
        try:
            return Imported((self._exam(row),))
        except DecodeError as error:
            reason = f"its image cannot be read: {error.reason.words}"
        except DataError as error:
            reason = error.detail
        return Imported(skipped=(Skipped(row.filestem, reason),))

    def _exam(self, row: Row) -> CutExam:
        image = self._file(row, _IMAGES, ".png")
        if image is None:
            detail = "its image is missing"
            raise DataError(detail)
        pixels = from_picture(image).pixels
        marks = self._marks(row, pixels)
        known = findings(row)
        anatomy = self._anatomy(row, pixels)
        other = _others(row, marks)
        if _FRACTURE in dict(marks) and not (_is_broken(known) or _OTHER_FRACTURES & set(other)):
            detail = "a fracture is boxed in it that its AO code does not name"
            raise DataError(detail)
        patient = str(row.patient)
        exam = ExamRow(
            exam=row.filestem,
            source="grazpedwri",
            patient=patient,
            study=f"{row.patient}-{row.study}",
            split=self.split.of(patient),
            view=row.view,
            laterality=row.laterality,
            image=os.path.relpath(image, self.table),
            age_years=row.age_years,
            sex=row.sex,
            other=other,
            findings=known,
            captions=captions(row.laterality, row.view, known, other),
            boxes=anatomy.boxes,
            fractures=tuple(corners for mark, corners in marks if mark == _FRACTURE),
        )
        return CutExam(exam, crops(pixels, anatomy, self.preprocessing))

    def _file(self, row: Row, folders: Sequence[str], suffix: str) -> Path | None:
        places = (self.folder / folder / f"{row.filestem}{suffix}" for folder in folders)
        return next((place for place in places if place.is_file()), None)

    def _marks(self, row: Row, pixels: NDArray[np.float32]) -> tuple[tuple[int, Corners], ...]:
        path = self._file(row, _LABELS, ".txt")
        try:
            rows, columns = pixels.shape
            return () if path is None else yolo_boxes(path, rows, columns, len(_CLASSES))
        except DataError as error:
            detail = "its file of annotations cannot be read, or has a line that is no YOLO box"
            raise DataError(detail) from error

    def _anatomy(self, row: Row, pixels: NDArray[np.float32]) -> Anatomy:
        path = None if self.boxes is None else self.boxes / f"{row.filestem}.txt"
        if path is not None and path.is_file():
            try:
                rows, columns = pixels.shape
                anatomy = _drawn(yolo_boxes(path, rows, columns, len(BOX_NAMES)))
            except DataError as error:
                detail = "its file of boxes cannot be read, or has a line that is no YOLO box"
                raise DataError(detail) from error
        elif self.bundle is not None:
            anatomy = _detector(self.bundle).locate(pixels)
        else:
            detail = "nobody has drawn boxes of its wrist and bones, and no bundle was given"
            raise DataError(detail)
        if anatomy.wrist is None:
            detail = "no wrist was found in the image"
            raise DataError(detail)
        return anatomy


_IMAGES = ("images", *(f"images_part{number}" for number in range(1, 5)))
_LABELS = ("labels", "yolov5/labels", "folder_structure/yolov5/labels")
_CLASSES = (
    "boneanomaly",
    "bonelesion",
    "foreignbody",
    "fracture",
    "metal",
    "periostealreaction",
    "pronatorsign",
    "softtissue",
    "text",
)
"""Classes of the annotators' boxes, in the order of the data set's meta.yaml."""

_FRACTURE = _CLASSES.index("fracture")
_MARKED_OTHERS: Mapping[int, Other] = {
    _CLASSES.index("bonelesion"): Other.BONE_LESION,
    _CLASSES.index("foreignbody"): Other.FOREIGN_BODY,
    _CLASSES.index("metal"): Other.HARDWARE,
    _CLASSES.index("softtissue"): Other.SOFT_TISSUE_SWELLING,
}
_OTHER_FRACTURES = {Other.OTHER_FRACTURE.value, Other.SCAPHOID_FRACTURE.value}


def _others(row: Row, marks: Sequence[tuple[int, Corners]]) -> tuple[str, ...]:
    boxed = {_MARKED_OTHERS[mark] for mark, _ in marks if mark in _MARKED_OTHERS}
    named = reading(row).other | boxed
    return tuple(name.value for name in Other if name in named)


def _is_broken(known: Mapping[Region, RegionFindings]) -> bool:
    return any(found.fracture == Fracture.PRESENT for found in known.values())


def _drawn(found: Sequence[tuple[int, Corners]]) -> Anatomy:
    boxes = {BOX_NAMES[number]: Box(BOX_NAMES[number], *corners) for number, corners in found}
    bones = {region: boxes[region.value] for region in Region if region.value in boxes}
    return Anatomy(boxes.get(WRIST), bones)


@cache
def _detector(bundle: Path) -> AnatomyDetector:
    return AnatomyDetector(Bundle.load(bundle))
