"""One frame of pixel data, native or compressed, to the integers that were stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
import rle.utils
from numpy.typing import NDArray
from pydicom import uid

from pipeline.errors import DecodeError, DecodeReason

__all__ = ["NATIVE", "SUPPORTED", "PixelLayout", "decode_frame", "decoded_photometric"]

NATIVE = frozenset(
    {
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
    }
)
"""Transfer syntaxes whose pixels are not compressed."""


@dataclass(frozen=True)
class PixelLayout:
    """How the pixels of one frame are stored (PS3.3 C.7.6.3, Image Pixel Module)."""

    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    planar: bool
    photometric: str

    @property
    def frame_bytes(self) -> int:
        """Length of the frame when it is not compressed, without padding."""
        return self.rows * self.columns * self.samples * (self.bits_allocated // 8)


def decode_frame(syntax: str, data: bytes, layout: PixelLayout) -> NDArray[np.integer[Any]]:
    """Return one frame as it was stored.

    Parameters
    ----------
    syntax
        Transfer Syntax UID (PS3.5 chapter 10), one of `SUPPORTED`.
    data
        The frame: native bytes, or the codestream of all its fragments together.
    layout
        What the header declares; the codestream must agree.

    Returns
    -------
    array of uint8, uint16, int8 or int16, (rows, columns) or (rows, columns, 3)
        Bits above BitsStored are gone, signed values are sign-extended. Colour that the codec
        itself transforms (JPEG, JPEG 2000) comes back as RGB.

    Raises
    ------
    DecodeError
        ``unsupported``, ``truncated``, ``malformed``, ``codec``.
    """
    if syntax in NATIVE:
        array = _native(data, layout, ">" if syntax == uid.ExplicitVRBigEndian else "<")
    elif syntax == uid.RLELossless:
        array = _run_length(data, layout)
    elif syntax in _CODESTREAMS:
        return _within_range(_codestream(syntax, data, layout), layout)
    else:
        raise DecodeError(DecodeReason.UNSUPPORTED)
    return _stored_values(array, layout)


def decoded_photometric(syntax: str, layout: PixelLayout) -> str:
    """Return the Photometric Interpretation that holds for what `decode_frame` returns."""
    transformed = layout.samples == 3 and syntax in _CODESTREAMS
    return "RGB" if transformed and syntax not in _JPEG_LS else layout.photometric


def _native(data: bytes, layout: PixelLayout, order: str) -> NDArray[np.integer[Any]]:
    if len(data) < layout.frame_bytes:
        raise DecodeError(DecodeReason.TRUNCATED)
    if len(data) > layout.frame_bytes + layout.frame_bytes % 2:
        raise DecodeError(DecodeReason.MALFORMED)
    dtype = np.dtype(f"{order}u{layout.bits_allocated // 8}")
    flat = np.frombuffer(data, dtype, layout.frame_bytes // dtype.itemsize)
    return _arranged(flat, layout, planar=layout.planar)


def _run_length(data: bytes, layout: PixelLayout) -> NDArray[np.integer[Any]]:
    # PackBits turns two bytes into 128 at most (PS3.5 G.3.1): a shorter stream cannot fill
    # the frame, and must not make the decoder allocate it
    if len(data) < 64 or (len(data) - 64) * 64 < layout.frame_bytes:
        raise DecodeError(DecodeReason.TRUNCATED)
    try:
        planes = rle.utils.decode_pixel_data(
            bytes(data),
            version=2,
            rows=layout.rows,
            columns=layout.columns,
            samples_per_pixel=layout.samples,
            bits_allocated=layout.bits_allocated,
            byteorder="<",
        )
    except (ValueError, RuntimeError, OverflowError):
        raise DecodeError(DecodeReason.CODEC) from None
    if len(planes) != layout.frame_bytes:
        raise DecodeError(DecodeReason.CODEC)
    flat = np.frombuffer(planes, np.dtype(f"<u{layout.bits_allocated // 8}"))
    return _arranged(flat, layout, planar=True)


def _arranged(
    flat: NDArray[np.integer[Any]], layout: PixelLayout, *, planar: bool
) -> NDArray[np.integer[Any]]:
    if layout.samples == 1:
        return flat.reshape(layout.rows, layout.columns)
    if planar:
        return np.moveaxis(flat.reshape(layout.samples, layout.rows, layout.columns), 0, -1)
    return flat.reshape(layout.rows, layout.columns, layout.samples)


def _codestream(syntax: str, data: bytes, layout: PixelLayout) -> NDArray[np.integer[Any]]:
    declared, decode = _CODESTREAMS[syntax]
    # the codecs below fill up what is missing and say nothing: a lost tail is found here
    if b"\xff\xd9" not in data[-64:]:
        raise DecodeError(DecodeReason.TRUNCATED)
    # compare before decoding: the codec allocates what the codestream claims
    if declared(data) != (layout.rows, layout.columns, layout.samples):
        raise DecodeError(DecodeReason.MALFORMED)
    try:
        array = np.asarray(decode(data, layout))
    except (ValueError, RuntimeError, TypeError, OSError):
        raise DecodeError(DecodeReason.CODEC) from None
    shape = (layout.rows, layout.columns, layout.samples)[: 2 if layout.samples == 1 else 3]
    if array.shape != shape or array.dtype.kind not in "ui" or array.dtype.itemsize > 2:
        raise DecodeError(DecodeReason.MALFORMED)
    return array


def _jpeg(data: bytes, layout: PixelLayout) -> NDArray[Any]:
    if layout.samples == 1:
        return np.asarray(imagecodecs.jpeg8_decode(data))
    space = "RGB" if layout.photometric == "RGB" else "YCBCR"
    return np.asarray(imagecodecs.jpeg8_decode(data, colorspace=space, outcolorspace="RGB"))


def _jpeg_ls(data: bytes, layout: PixelLayout) -> NDArray[Any]:
    return np.asarray(imagecodecs.jpegls_decode(data))


def _jpeg_2000(data: bytes, layout: PixelLayout) -> NDArray[Any]:
    return np.asarray(imagecodecs.jpeg2k_decode(data, planar=False))


def _high_throughput(data: bytes, layout: PixelLayout) -> NDArray[Any]:
    return np.asarray(imagecodecs.htj2k_decode(data, planar=False))


def _jpeg_claim(data: bytes) -> tuple[int, int, int]:
    """Rows, columns and components of a JPEG or JPEG-LS stream (ISO 10918-1 B.2.2)."""
    at = 2
    while data[:2] == b"\xff\xd8" and at + 10 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            rows, columns = _big(data, at + 5), _big(data, at + 7)
            return rows, columns, data[at + 9]
        else:
            at += 2 + _big(data, at + 2)
    raise DecodeError(DecodeReason.CODEC)


def _jpeg_2000_claim(data: bytes) -> tuple[int, int, int]:
    """Rows, columns and components by the SIZ marker (ISO 15444-1 A.5.1)."""
    at = data.find(b"\xff\x4f\xff\x51", 0, 4096)
    if at < 0 or len(data) < at + 46:
        raise DecodeError(DecodeReason.CODEC)
    right, bottom, left, top = np.frombuffer(data, ">u4", 4, at + 8).tolist()
    return bottom - top, right - left, _big(data, at + 40)


def _big(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


_Claim = Callable[[bytes], tuple[int, int, int]]
_Decode = Callable[[bytes, PixelLayout], NDArray[Any]]

_CODESTREAMS: dict[str, tuple[_Claim, _Decode]] = {
    uid.JPEGBaseline8Bit: (_jpeg_claim, _jpeg),
    uid.JPEGExtended12Bit: (_jpeg_claim, _jpeg),
    uid.JPEGLossless: (_jpeg_claim, _jpeg),
    uid.JPEGLosslessSV1: (_jpeg_claim, _jpeg),
    uid.JPEGLSLossless: (_jpeg_claim, _jpeg_ls),
    uid.JPEGLSNearLossless: (_jpeg_claim, _jpeg_ls),
    uid.JPEG2000Lossless: (_jpeg_2000_claim, _jpeg_2000),
    uid.JPEG2000: (_jpeg_2000_claim, _jpeg_2000),
    uid.HTJ2KLossless: (_jpeg_2000_claim, _high_throughput),
    uid.HTJ2KLosslessRPCL: (_jpeg_2000_claim, _high_throughput),
    uid.HTJ2K: (_jpeg_2000_claim, _high_throughput),
}

_JPEG_LS = (uid.JPEGLSLossless, uid.JPEGLSNearLossless)

SUPPORTED = NATIVE | {uid.RLELossless} | frozenset(_CODESTREAMS)
"""Every transfer syntax that `decode_frame` reads."""


def _within_range(array: NDArray[np.integer[Any]], layout: PixelLayout) -> NDArray[np.integer[Any]]:
    """Clip what a lossy codec lets overshoot BitsStored, which a mask would wrap around."""
    if layout.signed and array.dtype.kind == "u":
        return _stored_values(array, layout)
    top = 2 ** (layout.bits_stored - layout.signed) - 1
    bottom = -top - 1 if layout.signed else 0
    if array.min() >= bottom and array.max() <= top:
        kind = "i" if layout.signed else "u"
        return array.astype(f"<{kind}{array.dtype.itemsize}", copy=False)
    if array.dtype.kind == "i" and not layout.signed:
        return _stored_values(array, layout)
    clipped: NDArray[np.integer[Any]] = np.clip(array, bottom, top)
    return clipped


def _stored_values(
    array: NDArray[np.integer[Any]], layout: PixelLayout
) -> NDArray[np.integer[Any]]:
    """Keep BitsStored bits below HighBit and extend the sign (PS3.5 8.1.1)."""
    width = 8 * array.dtype.itemsize
    stored = min(layout.bits_stored, width)
    drop = max(layout.high_bit + 1 - stored, 0) if width == layout.bits_allocated else 0
    unsigned = np.ascontiguousarray(array).astype(f"<u{width // 8}", copy=False)
    if drop == 0 and stored == width:
        return unsigned.view(f"<i{width // 8}") if layout.signed else unsigned
    if not layout.signed:
        return (unsigned >> drop) & ((1 << stored) - 1)
    # to the top of the word and arithmetically back: the sign comes along
    lifted = (unsigned << (width - stored - drop)).view(f"<i{width // 8}")
    return lifted >> (width - stored)
