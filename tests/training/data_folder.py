"""A data folder laid out like the real one, with phantoms in the place of patients."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from pipeline.region import View
from training.dataset import BOX_NAMES, Picture, phantom_pictures


def write_data_folder(
    folder: Path, tiles: Sequence[int], full: Sequence[int], laterals: Sequence[int] = ()
) -> None:
    """Write a PA picture with boxes for each patient, some as tiles, some as originals.

    ``laterals`` are patients of the tiles who have a lateral view as well.
    """
    (folder / "boxes").mkdir()
    for number, (part, patients) in enumerate({"graz_tiles": tiles, "graz_full": full}.items()):
        (folder / part / "images").mkdir(parents=True)
        seeds = range(number * 1000, number * 1000 + len(patients))
        pictures = phantom_pictures(seeds, View.PA, 300)
        with (folder / part / "metadata.csv").open("w", newline="", encoding="utf-8") as stream:
            table = csv.writer(stream)
            table.writerow(["filestem", "patient_id", "projection"])
            for patient, picture in zip(patients, pictures, strict=True):
                table.writerow([str(patient), patient, 1])
                _write(folder, part, str(patient), picture)
    beside = phantom_pictures(range(5000, 5000 + len(laterals)), View.LATERAL, 300)
    with (folder / "graz_tiles" / "metadata.csv").open("a", newline="", encoding="utf-8") as stream:
        for patient, picture in zip(laterals, beside, strict=True):
            csv.writer(stream).writerow([f"{patient}-lateral", patient, 2])
            _write_image(folder, "graz_tiles", f"{patient}-lateral", picture)


def _write(folder: Path, part: str, name: str, picture: Picture) -> None:
    rows, columns = picture.pixels.shape
    _write_image(folder, part, name, picture)
    lines = []
    for label, box in enumerate(picture.boxes[box_name] for box_name in BOX_NAMES):
        x0, y0, x1, y1 = np.array(box) / (columns, rows, columns, rows)
        lines.append(f"{label} {(x0 + x1) / 2} {(y0 + y1) / 2} {x1 - x0} {y1 - y0}")
    (folder / "boxes" / f"{name}.txt").write_text("\n".join(lines), encoding="utf-8")


def _write_image(folder: Path, part: str, name: str, picture: Picture) -> None:
    grey = (picture.pixels * 65535).astype(np.uint16)
    cv2.imwrite(str(folder / part / "images" / f"{name}.png"), grey)
