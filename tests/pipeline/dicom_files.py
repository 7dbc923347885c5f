"""Invented DICOM files of every kind, made on the fly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

PLANTED = "Secret^Name"


def hand(
    bits: int = 12, *, signed: bool = False, shape: tuple[int, int] = (61, 40)
) -> NDArray[Any]:
    """A smooth, grainy image that uses every bit."""
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]]
    wave = (np.sin(columns / 9) + np.cos(rows / 7) + 2) / 4
    grain = np.random.default_rng(7).normal(0, 0.01, shape)
    values = np.clip((wave + grain) * (2**bits - 1), 0, 2**bits - 1).astype(np.int64)
    values[0, 0], values[0, 1] = 0, 2**bits - 1
    if signed:
        return (values - 2 ** (bits - 1)).astype(np.int8 if bits <= 8 else np.int16)
    return values.astype(np.uint8 if bits <= 8 else np.uint16)


def image(pixels: NDArray[Any], bits_stored: int | None = None, **attributes: Any) -> Dataset:
    """A DX image of an invented patient, Explicit VR Little Endian."""
    dataset = document(uid.DigitalXRayImageStorageForPresentation, "DX")
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""]
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    dataset.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = 8 * pixels.dtype.itemsize
    dataset.BitsStored = bits_stored or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    data = pixels.tobytes()
    if pixels.dtype.kind == "i":
        wide = pixels.astype(f"<i{pixels.dtype.itemsize}").view(f"<u{pixels.dtype.itemsize}")
        data = (wide & (2**dataset.BitsStored - 1)).astype(wide.dtype).tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OW"
    for name, value in attributes.items():
        setattr(dataset, name, value)
    return dataset


def document(sop_class: str, modality: str, **attributes: Any) -> Dataset:
    """A data set with identities and without content."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = uid.generate_uid()
    dataset.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    dataset.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.1.1"
    dataset.Modality = modality
    dataset.PatientName = "Invented^Patient"
    dataset.PatientID = "INVENTED-1"
    dataset.PatientBirthDate = "20100101"
    dataset.StudyDate = "20200101"
    for name, value in attributes.items():
        setattr(dataset, name, value)
    return dataset


def text_report(words: str, **attributes: Any) -> Dataset:
    """A Basic Text SR of one text item."""
    dataset = document(uid.BasicTextSRStorage, "SR", ValueType="CONTAINER", **attributes)
    item = Dataset()
    item.RelationshipType, item.ValueType, item.TextValue = "CONTAINS", "TEXT", words
    dataset.ContentSequence = [item]
    return dataset


def note(title: str, *listed: Dataset) -> Dataset:
    """A Key Object Selection with a document title of DCM, on instances of one series."""
    dataset = document(uid.KeyObjectSelectionDocumentStorage, "KO", ValueType="CONTAINER")
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = title, "DCM", "Title"
    dataset.ConceptNameCodeSequence = [code]
    series, study = Dataset(), Dataset()
    series.ReferencedSOPSequence = []
    for one in listed:
        reference = Dataset()
        reference.ReferencedSOPClassUID = one.SOPClassUID
        reference.ReferencedSOPInstanceUID = one.SOPInstanceUID
        series.ReferencedSOPSequence.append(reference)
    series.SeriesInstanceUID = listed[0].SeriesInstanceUID
    study.StudyInstanceUID = listed[0].StudyInstanceUID
    study.ReferencedSeriesSequence = [series]
    dataset.CurrentRequestedProcedureEvidenceSequence = [study]
    return dataset


def store(dataset: Dataset, path: Path) -> Path:
    """Write a Part 10 file."""
    dataset.save_as(path, enforce_file_format=True)
    return path


def compress(dataset: Dataset, pixels: NDArray[Any], syntax: str) -> Dataset:
    """Replace native pixels by those of a compressed transfer syntax."""
    if syntax == uid.RLELossless:
        dataset.compress(syntax, pixels, encoding_plugin="pydicom", generate_instance_uid=False)
        return dataset
    dataset.PixelData = encapsulate([_ENCODERS[syntax](pixels, dataset.BitsStored)])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def _jpeg_2000(pixels: NDArray[Any], bits: int) -> bytes:
    return bytes(
        imagecodecs.jpeg2k_encode(
            pixels, level=0, codecformat="j2k", reversible=True, bitspersample=bits
        )
    )


def _high_throughput(pixels: NDArray[Any], bits: int) -> bytes:
    return bytes(imagecodecs.htj2k_encode(pixels, reversible=True))


_ENCODERS = {
    uid.JPEGBaseline8Bit: lambda a, bits: imagecodecs.jpeg8_encode(a, 95),
    uid.JPEGExtended12Bit: lambda a, bits: imagecodecs.jpeg8_encode(a, 97, bitspersample=12),
    uid.JPEGLossless: lambda a, bits: imagecodecs.jpeg8_encode(
        a, lossless=True, predictor=6, bitspersample=bits
    ),
    uid.JPEGLosslessSV1: lambda a, bits: imagecodecs.jpeg8_encode(
        a, lossless=True, predictor=1, bitspersample=bits
    ),
    uid.JPEGLSLossless: lambda a, bits: imagecodecs.jpegls_encode(a),
    uid.JPEGLSNearLossless: lambda a, bits: imagecodecs.jpegls_encode(a, level=2),
    uid.JPEG2000Lossless: _jpeg_2000,
    uid.JPEG2000: _jpeg_2000,
    uid.HTJ2KLossless: _high_throughput,
    uid.HTJ2KLosslessRPCL: _high_throughput,
    uid.HTJ2K: _high_throughput,
}
