"""Frames of an image, as WADO-RS sends them (DICOM PS3.18 section 10.4.1.1.4)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydicom import dcmread
from pydicom.pixels.utils import get_expected_length

__all__ = ["NoFramesError", "frames"]


class NoFramesError(Exception):
    """These frames are not to be had; the message says why."""


def frames(path: Path, numbers: Sequence[int]) -> tuple[str, list[bytes]]:
    """Return the transfer syntax of an image, and of each wanted frame the bytes as they are kept.

    Parameters
    ----------
    path
        The image, a DICOM file. Whatever is made here is written without compression.
    numbers
        Which frames, from 1.

    Raises
    ------
    NoFramesError
        Where it has no pixels, fewer frames, or compressed ones.
    """
    image = dcmread(path)
    syntax = image.file_meta.TransferSyntaxUID
    count = int(image.get("NumberOfFrames", 1) or 1)
    if "PixelData" not in image or not 1 <= min(numbers) <= max(numbers) <= count:
        detail = "there is no such frame"
        raise NoFramesError(detail)
    if syntax.is_encapsulated or image.BitsAllocated % 8:
        detail = "frames that are compressed or packed are sent with their object alone"
        raise NoFramesError(detail)
    size = get_expected_length(image) // count
    pixels = image.PixelData
    return str(syntax), [pixels[size * (n - 1) : size * n] for n in numbers]
