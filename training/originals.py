"""The pictures that a table's crops were cut from."""

from __future__ import annotations

from pathlib import Path

from pipeline.decoder import Decoder
from pipeline.errors import DecodeError
from pipeline.radiograph import from_picture, radiograph
from training.dataset import Picture, phantom_picture
from training.errors import DataError
from training.exam_table import ExamRow
from training.phantom import phantom

__all__ = ["original"]

_PHANTOM = "phantom:"


def original(row: ExamRow, folder: Path) -> Picture:
    """Return the picture of an exam with its boxes.

    Parameters
    ----------
    row
        The exam: a phantom is drawn again, a PNG, JPEG or DICOM file is read.
    folder
        The table's folder.

    Raises
    ------
    DataError
        Where it cannot be read.
    """
    if row.image.startswith(_PHANTOM):
        exam = phantom(int(row.image.removeprefix(_PHANTOM)), view=row.view)
        pixels = phantom_picture(exam, "").pixels
    else:
        path = folder / row.image
        try:
            if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
                pixels = from_picture(path).pixels
            else:
                with Decoder() as decoder:
                    pixels = radiograph(decoder, path).pixels
        except (DecodeError, OSError) as error:
            detail = f"The picture of an exam of the source {row.source} cannot be read."
            raise DataError(detail) from error
    return Picture(row.exam, pixels, row.view, None, row.boxes)
