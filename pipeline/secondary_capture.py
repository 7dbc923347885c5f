"""The picture board as a DICOM object: a Secondary Capture image of the query's study."""

from __future__ import annotations

from datetime import datetime
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from pipeline.character_set import fit_character_set
from pipeline.deidentify import withheld_reason
from pipeline.dictionary import ENGLISH, Dictionary
from pipeline.file_meta import made_file_meta
from pipeline.identity import adopt_identity, content_time
from pipeline.uid import KeyedUids

__all__ = ["secondary_capture"]


def secondary_capture(
    board: NDArray[np.uint8],
    query_header: Dataset,
    *,
    uids: KeyedUids,
    result_id: str,
    created_at: datetime,
    words: Dictionary = ENGLISH,
) -> Dataset:
    """Put a board into a Secondary Capture Image (PS3.3 A.8.1) of the query's study.

    Parameters
    ----------
    board
        uint8, shape (rows, columns, 3), RGB.
    query_header
        The query image: patient and study are taken from it.
    uids, result_id
        Together they give the UIDs: the same result again is the same object.
    created_at
        Timezone-aware time of the answer.
    words
        The language of the series' description.
    """
    image = Dataset()
    image.SOPClassUID = SecondaryCaptureImageStorage
    image.SOPInstanceUID = uids.make("board", result_id)
    image.SeriesInstanceUID = uids.make("board series", result_id)
    local = content_time(created_at, query_header)
    for moment in ("ContentDate", "InstanceCreationDate", "DateOfSecondaryCapture"):
        setattr(image, moment, f"{local:%Y%m%d}")
    for moment in ("ContentTime", "InstanceCreationTime", "TimeOfSecondaryCapture"):
        setattr(image, moment, f"{local:%H%M%S}")
    image.Modality = "OT"
    image.ConversionType = "WSD"
    image.SeriesNumber, image.InstanceNumber = 9002, 1
    image.SeriesDescription = words.say("pictures.series")
    image.Manufacturer = "WristMIR project"
    image.ManufacturerModelName = "WristMIR"
    image.SoftwareVersions = version("wristmir")
    image.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    image.PatientOrientation = ""
    side = str(query_header.get("ImageLaterality") or query_header.get("Laterality") or "")
    image.Laterality = side if side in ("L", "R") else ""
    if withheld_reason(query_header):  # what the query's picture carries, the board carries too
        image.BurnedInAnnotation = "YES"
    elif query_header.get("BurnedInAnnotation") == "NO":
        image.BurnedInAnnotation = "NO"
    image.LossyImageCompression = "00"
    image.SamplesPerPixel, image.PlanarConfiguration = 3, 0
    image.PhotometricInterpretation = "RGB"
    image.Rows, image.Columns = board.shape[:2]
    image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
    image.PixelRepresentation = 0
    data = np.ascontiguousarray(board).tobytes()
    image.add_new("PixelData", "OB", data + b"\0" * (len(data) % 2))
    image.file_meta = made_file_meta(image)
    adopt_identity(image, query_header)
    fit_character_set(image, words)
    return image
