"""Pictures with known truth: real wrists of GRAZPEDWRI-DX, phantoms, and images of other things.

The data folder, an argument of every training command, holds

- ``graz_tiles/metadata.csv`` and ``images/<filestem>.png``: wrists, one row each, with
  ``patient_id`` and ``projection`` (1 PA, 2 lateral, 3 oblique);
- ``graz_full/``: the same layout, originals;
- ``boxes/<filestem>.txt``: YOLO lines ``class x y width height`` (0 wrist, 1 distal radius,
  2 distal ulna, 3 ulnar styloid), shares of the image;
- ``dicom/`` (optional): DICOM files of other body parts and modalities.
"""

from __future__ import annotations

import csv
import hashlib
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray

from pipeline.anatomy import WRIST, Anatomy, Box, crops
from pipeline.bundle import Preprocessing
from pipeline.captions import captions
from pipeline.exam import RegionFindings
from pipeline.region import Region, View
from training.errors import DataError
from training.phantom import PhantomExam, phantom
from training.yolo_boxes import Corners, yolo_boxes

__all__ = [
    "BOX_NAMES",
    "Corners",
    "Pair",
    "Picture",
    "held_out_patients",
    "jittered",
    "other_pictures",
    "phantom_pair",
    "phantom_pairs",
    "phantom_picture",
    "phantom_pictures",
    "real_pictures",
]

BOX_NAMES: tuple[str, ...] = (WRIST, *(region.value for region in Region))
"""Box classes in the order of the YOLO files."""

_PROJECTIONS = {"1": View.PA, "2": View.LATERAL, "3": View.OBLIQUE}


@dataclass(frozen=True, eq=False)
class Picture:
    """One image with what is known of it.

    ``pixels`` is float32, shape (rows, columns), 0..1, bone bright; ``boxes`` are corners
    ``(x0, y0, x1, y1)`` in its pixels by `BOX_NAMES`, empty where none were drawn; ``patient``
    is GRAZPEDWRI-DX's number, or None for what is no patient's.
    """

    name: str
    pixels: NDArray[np.float32]
    view: View
    patient: int | None = None
    boxes: Mapping[str, Corners] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Pair:
    """One exam to learn from: crops, captions and findings.

    ``crops`` are uint8 (size, size) of `pipeline.anatomy.crops`; ``captions`` hold at least the
    same names.
    """

    crops: Mapping[str, NDArray[np.uint8]]
    captions: Mapping[str, str]
    findings: Mapping[Region, RegionFindings]


def held_out_patients() -> frozenset[int]:
    """Return the patients of GRAZPEDWRI-DX that no bundle is trained on."""
    text = Path(__file__).with_name("held_out_patients.txt").read_text(encoding="utf-8")
    lines = (line.strip() for line in text.splitlines())
    return frozenset(int(line) for line in lines if line and not line.startswith("#"))


def real_pictures(data: Path) -> tuple[Picture, ...]:
    """Return every real wrist of the data folder, in the order of its file names.

    Raises
    ------
    DataError
        Where a table, an image or a box file is missing or malformed; it names the file.
    """
    rows = [row for folder in ("graz_tiles", "graz_full") for row in _rows(data / folder)]
    return tuple(_real_picture(data, image, row) for image, row in sorted(rows, key=_stem))


def phantom_picture(exam: PhantomExam, name: str) -> Picture:
    """Return a phantom as a picture; its boxes are exact."""
    pixels = exam.pixels.astype(np.float32) / np.float32(2**exam.bits - 1)
    boxes = {name: exam.boxes[name] for name in BOX_NAMES if name in exam.boxes}
    return Picture(name, pixels, exam.view, None, boxes)


def phantom_pictures(seeds: Iterable[int], view: View, size: int = 800) -> tuple[Picture, ...]:
    """Render one phantom per seed, its longer side ``size`` pixels."""
    exams = (phantom(seed, view=view, size=size) for seed in seeds)
    return tuple(phantom_picture(exam, f"phantom-{exam.seed}") for exam in exams)


def phantom_pairs(
    seeds: Iterable[int], preprocessing: Preprocessing, *, jitter: bool
) -> tuple[Pair, ...]:
    """Render PA phantoms and cut them as serving would.

    With ``jitter`` the boxes are as imprecise as a detector's.
    """
    exams = (phantom(seed, view=View.PA) for seed in seeds)
    return tuple(phantom_pair(exam, preprocessing, jitter=jitter) for exam in exams)


def phantom_pair(exam: PhantomExam, preprocessing: Preprocessing, *, jitter: bool) -> Pair:
    """Cut a phantom as serving would; see `phantom_pairs`."""
    generator = np.random.default_rng(exam.seed)
    picture = phantom_picture(exam, "")
    boxes = {
        name: Box(name, *(jittered(corners, generator, 0.04) if jitter else corners))
        for name, corners in picture.boxes.items()
    }
    bones = {region: boxes[region.value] for region in Region if region.value in boxes}
    anatomy = Anatomy(boxes.get(WRIST), bones)
    words = captions(exam.laterality, exam.view, _repeatable(exam.findings), exam.other)
    return Pair(crops(picture.pixels, anatomy, preprocessing), words, exam.findings)


def jittered(box: Corners, generator: np.random.Generator, share: float = 0.06) -> Corners:
    """Return a box as a detector might have drawn it: each side off by a share of its length."""
    x0, y0, x1, y1 = box
    dx0, dx1 = generator.normal(0, share * (x1 - x0), 2)
    dy0, dy1 = generator.normal(0, share * (y1 - y0), 2)
    return (x0 + dx0, y0 + dy0, x1 + dx1, y1 + dy1)


def other_pictures(data: Path, *, held_out: bool) -> tuple[Picture, ...]:
    """Return images of other things than wrists from ``dicom/``; none where it is missing.

    Files of the same rows and columns are often one image in many encodings, so a size falls as
    a whole into the held-out part (about a third) or into the other.
    """
    found = []
    for path in sorted((data / "dicom").rglob("*.dcm")):
        pixels = _foreign_pixels(path)
        if pixels is not None and _is_held_out_size(pixels.shape) == held_out:
            found.append(Picture(path.stem, pixels, View.OTHER))
    return tuple(found)


def _repeatable(findings: Mapping[Region, RegionFindings]) -> dict[Region, RegionFindings]:
    """Return the findings with angles in tens of degrees, so that captions repeat."""
    return {
        region: found
        if found.angulation_deg is None
        else replace(found, angulation_deg=float(int(found.angulation_deg / 10 + 0.5) * 10))
        for region, found in findings.items()
    }


def _stem(item: tuple[Path, Mapping[str, str]]) -> str:
    return item[0].stem


def _rows(folder: Path) -> list[tuple[Path, Mapping[str, str]]]:
    table = folder / "metadata.csv"
    if not table.is_file():
        detail = f"{table} is missing."
        raise DataError(detail)
    with table.open(encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.DictReader(lines))
    found: list[tuple[Path, Mapping[str, str]]] = []
    for row in rows:
        name = f"{row['filestem']}.png"
        places = [folder / part / name for part in ("images", "with_overlays")]
        image = next((place for place in places if place.is_file()), None)
        if image is None:
            detail = f"{places[0]} is missing."
            raise DataError(detail)
        found.append((image, row))
    return found


def _real_picture(data: Path, image: Path, row: Mapping[str, str]) -> Picture:
    stored = cv2.imread(str(image), cv2.IMREAD_UNCHANGED)
    if stored is None or row["projection"] not in _PROJECTIONS:
        detail = f"{image} cannot be read, or its projection is not 1, 2 or 3."
        raise DataError(detail)
    full = np.float32(65535 if stored.dtype == np.uint16 else 255)
    grey = stored if stored.ndim == 2 else cv2.cvtColor(stored[..., :3], cv2.COLOR_BGR2GRAY)
    pixels = grey.astype(np.float32) / full
    boxes = _boxes(data / "boxes" / f"{image.stem}.txt", *pixels.shape)
    view = _PROJECTIONS[row["projection"]]
    return Picture(image.stem, pixels, view, int(row["patient_id"]), boxes)


def _boxes(path: Path, rows: int, columns: int) -> dict[str, Corners]:
    if not path.is_file():
        return {}
    found = yolo_boxes(path, rows, columns, len(BOX_NAMES))
    return {BOX_NAMES[number]: corners for number, corners in found}


def _foreign_pixels(path: Path) -> NDArray[np.float32] | None:
    """Return a DICOM file's first frame as grey values in 0..1, or None where it has none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frame = np.squeeze(pydicom.dcmread(path).pixel_array)
    except Exception:  # noqa: BLE001  test files are broken in every way; those are passed over
        return None
    while frame.ndim > 2 and frame.shape[-1] not in (3, 4):
        frame = frame[len(frame) // 2]
    if frame.ndim == 3:
        frame = frame[..., :3].mean(axis=-1)
    if frame.ndim != 2 or min(frame.shape) < 48 or max(frame.shape) > 4000:
        return None
    values = frame.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    return None if high <= low else (values - low) / (high - low)


def _is_held_out_size(shape: tuple[int, ...]) -> bool:
    return hashlib.sha256(repr(shape).encode()).digest()[0] < 85
