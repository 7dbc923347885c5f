"""The picture that an exam's crops were cut from."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DecodeError
from pipeline.radiograph import from_picture
from training.dataset import phantom_picture
from training.errors import DataError
from training.exam_table import ExamRow
from training.phantom.prevalence import PREVALENCES
from training.phantom.visit import look

__all__ = ["exam_picture"]


def exam_picture(folder: Path, row: ExamRow) -> NDArray[np.float32]:
    """Return the pixels that a row's boxes count: float32 (rows, columns), 0..1, bone bright.

    A phantom is drawn again.

    Raises
    ------
    DataError
        Where the picture is missing or cannot be read; it names the file below the table's folder.
    """
    drawn = re.fullmatch(r"phantom:(\w+):(\d+)", row.image)
    if drawn and drawn[1] in PREVALENCES:
        exam = look(int(drawn[2]), PREVALENCES[drawn[1]], view=row.view)
        return phantom_picture(exam, row.exam).pixels
    try:
        return from_picture(folder / row.image).pixels
    except (DecodeError, OSError) as error:
        detail = f"The picture {row.image} of the table cannot be read ({type(error).__name__})."
        raise DataError(detail) from error
