"""A DICOM Part 10 file that nobody vouches for, read under limits.

Everything here runs in the decoder's child process.
"""

from __future__ import annotations

import mmap
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from pydicom import encaps, uid
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.tag import BaseTag, Tag

from pipeline.codec import SUPPORTED, PixelLayout, decode_frame, decoded_photometric
from pipeline.errors import DecodeError, DecodeReason
from pipeline.vetting import PARSE_ERRORS, vetted

__all__ = ["FileLimits", "read_document", "read_header", "read_pixels"]


@dataclass(frozen=True)
class FileLimits:
    """What one file may cost.

    Parameters
    ----------
    max_file_bytes, max_inflated_bytes
        Of the file, and of a deflated dataset once inflated.
    max_pixels
        Rows × columns; the bytes of a frame are bounded through it too.
    max_depth
        Nesting of sequences.
    max_binary_bytes, max_document_bytes, max_header_bytes
        Of one binary element in a header, of an encapsulated document, of a whole header.
    max_document_characters
        Of the text of an encapsulated document; what follows is not read.
    """

    max_file_bytes: int = 512 << 20
    max_inflated_bytes: int = 256 << 20
    max_pixels: int = 100_000_000
    max_depth: int = 16
    max_binary_bytes: int = 256 << 10
    max_document_bytes: int = 16 << 20
    max_document_characters: int = 200_000
    max_header_bytes: int = 32 << 20


def read_header(path: Path, limits: FileLimits) -> bytes:
    """Return everything but the pixels, vetted, as Explicit VR Little Endian.

    Raises
    ------
    DecodeError
        With the reason; never with a value.
    """
    with _source(path, limits) as source:
        dataset = vetted(
            source.read_until(_PIXEL_DATA),
            max_depth=limits.max_depth,
            # words of a big-endian file would be read in the wrong order from here on
            max_binary=0 if source.syntax == uid.ExplicitVRBigEndian else limits.max_binary_bytes,
            max_document=limits.max_document_bytes,
        )
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, dataset)
    encoded = buffer.getvalue()
    if len(encoded) > limits.max_header_bytes:
        raise DecodeError(DecodeReason.LIMITS)
    return encoded


def read_document(path: Path, limits: FileLimits) -> bytes:
    """Return the encapsulated document of a file (PS3.3 C.24.2).

    Raises
    ------
    DecodeError
        ``document`` where it holds none; ``limits`` where it is too large.
    """
    with _source(path, limits) as source:
        element: Any = source.read_until(_PIXEL_DATA).get_item("EncapsulatedDocument")
    if element is None or not isinstance(element.value, bytes):
        raise DecodeError(DecodeReason.DOCUMENT)
    if len(element.value) > limits.max_document_bytes:
        raise DecodeError(DecodeReason.LIMITS)
    return element.value


def read_pixels(path: Path, limits: FileLimits) -> tuple[NDArray[np.integer[Any]], str]:
    """Return the only frame of a file and the Photometric Interpretation that holds for it.

    The budget is checked against the header before any pixel is read.

    Raises
    ------
    DecodeError
        With the reason; never with a value.
    """
    with _source(path, limits) as source:
        layout = _layout(source.read_until(_PIXEL_DATA), source.syntax, limits)
        rest = source.read_until(_AFTER_PIXEL_DATA)
        element: Any = rest.get_item(_PIXEL_DATA) if _PIXEL_DATA in rest else None
        if not isinstance(element, RawDataElement) or not element.value:
            raise DecodeError(DecodeReason.NO_PIXELS)
        data = _frame(element, source.syntax)
        if source.syntax == uid.ExplicitVRBigEndian and layout.bits_allocated == 8:
            data = _byte_order(data, element.VR)
    return decode_frame(source.syntax, data, layout), decoded_photometric(source.syntax, layout)


_PIXEL_DATA = Tag("PixelData")
_AFTER_PIXEL_DATA = Tag(0x7FE00011)


class _Source:
    """An open file behind its meta information."""

    def __init__(self, stream: BinaryIO, syntax: str) -> None:
        self.syntax = syntax
        self._stream = stream
        self._implicit = syntax == uid.ImplicitVRLittleEndian
        self._begun = False

    def read_until(self, tag: BaseTag) -> Dataset:
        """Read elements before `tag`, from where the last reading ended."""
        dataset = _elements(
            self._stream,
            lambda found, vr, length: found >= tag,
            implicit=self._implicit,
            little=self.syntax != uid.ExplicitVRBigEndian,
            begun=self._begun,
        )
        self._implicit, self._begun = dataset.original_encoding[0] is True, True
        return dataset


@contextmanager
def _source(path: Path, limits: FileLimits) -> Iterator[_Source]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        raise DecodeError(DecodeReason.UNREADABLE) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise DecodeError(DecodeReason.UNREADABLE)
        if status.st_size > limits.max_file_bytes:
            raise DecodeError(DecodeReason.LIMITS)
        if status.st_size < 144:
            raise DecodeError(DecodeReason.NOT_DICOM)
        # a map reads no more than it is asked for, and never beyond the end
        with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as mapped:
            stream = cast(BinaryIO, mapped)
            syntax = _transfer_syntax(stream)
            if syntax == uid.DeflatedExplicitVRLittleEndian:
                stream = _inflated(stream, limits.max_inflated_bytes)
            yield _Source(stream, syntax)
    finally:
        os.close(descriptor)


def _transfer_syntax(stream: BinaryIO) -> str:
    if stream.read(132)[128:] != b"DICM":
        raise DecodeError(DecodeReason.NOT_DICOM)
    meta = _elements(stream, lambda tag, vr, length: tag >> 16 != 2, implicit=False, little=True)
    try:
        return str(meta.TransferSyntaxUID)
    except PARSE_ERRORS:
        raise DecodeError(DecodeReason.MALFORMED) from None


def _elements(
    stream: BinaryIO,
    stop: Callable[[BaseTag, str | None, int], bool],
    *,
    implicit: bool,
    little: bool,
    begun: bool = False,
) -> Dataset:
    try:
        # only a data set's start tells its encoding: further on, a length may look like a VR
        return read_dataset(stream, implicit, little, stop_when=stop, at_top_level=not begun)
    except RecursionError:
        raise DecodeError(DecodeReason.TOO_DEEP) from None
    except EOFError:
        raise DecodeError(DecodeReason.TRUNCATED) from None
    except PARSE_ERRORS:
        raise DecodeError(DecodeReason.MALFORMED) from None


def _inflated(stream: BinaryIO, most: int) -> BinaryIO:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflater.decompress(stream.read(), most)
    except zlib.error:
        raise DecodeError(DecodeReason.CODEC) from None
    if inflater.unconsumed_tail:
        raise DecodeError(DecodeReason.LIMITS)
    if not inflater.eof:
        raise DecodeError(DecodeReason.TRUNCATED)
    return BytesIO(data)


def _layout(header: Dataset, syntax: str, limits: FileLimits) -> PixelLayout:
    if syntax not in SUPPORTED:
        raise DecodeError(DecodeReason.UNSUPPORTED)
    if _integer(header, "NumberOfFrames", 1) > 1:
        raise DecodeError(DecodeReason.MULTI_FRAME)
    stored = _integer(header, "BitsStored")
    layout = PixelLayout(
        rows=_integer(header, "Rows"),
        columns=_integer(header, "Columns"),
        samples=_integer(header, "SamplesPerPixel", 1),
        bits_allocated=_integer(header, "BitsAllocated"),
        bits_stored=stored,
        high_bit=_integer(header, "HighBit", stored - 1),
        signed=_integer(header, "PixelRepresentation", 0) == 1,
        planar=_integer(header, "PlanarConfiguration", 0) == 1,
        photometric=_photometric(header),
    )
    if layout.rows < 1 or layout.columns < 1:
        raise DecodeError(DecodeReason.NO_PIXELS)
    if layout.rows * layout.columns > limits.max_pixels:
        raise DecodeError(DecodeReason.LIMITS)
    if layout.bits_allocated not in (8, 16) or (layout.samples, layout.photometric) not in _FORMATS:
        raise DecodeError(DecodeReason.UNSUPPORTED)
    if not 1 <= stored <= layout.high_bit + 1 <= layout.bits_allocated:
        raise DecodeError(DecodeReason.MALFORMED)
    return layout


_FORMATS = frozenset(
    {(1, "MONOCHROME1"), (1, "MONOCHROME2")}
    | {(3, name) for name in ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")}
)


def _integer(header: Dataset, name: str, default: int | None = None) -> int:
    try:
        value = header.get(name)
        if value is None or value == "":
            value = default
        if value is None:
            raise DecodeError(DecodeReason.NO_PIXELS)
        return int(value)
    except PARSE_ERRORS:
        raise DecodeError(DecodeReason.MALFORMED) from None


def _photometric(header: Dataset) -> str:
    try:
        return str(header.get("PhotometricInterpretation", "")).strip()
    except PARSE_ERRORS:
        raise DecodeError(DecodeReason.MALFORMED) from None


def _frame(element: RawDataElement, syntax: str) -> bytes:
    data = element.value or b""
    encapsulated = element.length == 0xFFFFFFFF
    if encapsulated != uid.UID(syntax).is_encapsulated:
        raise DecodeError(DecodeReason.MALFORMED)
    if not encapsulated:
        if len(data) < element.length:
            raise DecodeError(DecodeReason.TRUNCATED)
        return data
    try:
        return encaps.get_frame(data, 0, number_of_frames=1)
    except PARSE_ERRORS:
        raise DecodeError(DecodeReason.TRUNCATED) from None


def _byte_order(data: bytes, vr: str | None) -> bytes:
    """Undo the swapping of 8-bit pixels that were written as 16-bit words (PS3.5 annex A.3)."""
    if vr != "OW" or len(data) % 2:
        return data
    return np.frombuffer(data, "<u2").byteswap().tobytes()
