"""What a received object is: validated UIDs, SOP class, identity and a safe name.

The header is read by a small reader of its own rather than a DICOM library: it walks over the
top-level elements without recursion, within bounds, and looks at seven values only.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from listener.errors import CannotUnderstandError, MismatchError

__all__ = [
    "IMPLEMENTATION_CLASS_UID",
    "IMPLEMENTATION_VERSION_NAME",
    "FileMeta",
    "Header",
    "Instance",
    "data_set_digest",
    "file_name",
    "is_uid",
    "keyed_hash",
    "patient_keys",
    "read_file_meta",
    "read_header",
    "same_patient",
    "unused_reason",
    "write_file_meta",
]


IMPLEMENTATION_CLASS_UID = "2.25.194783042216117843109563874915205114267"
"""Says in files and associations which program this is (DICOM PS3.7 annex D.3.3.2)."""

IMPLEMENTATION_VERSION_NAME = "WRISTMIR_0_1"


@dataclass(frozen=True)
class Header:
    """What the listener reads of a data set: identities, nothing else.

    ``patient_id`` and ``issuer`` are the raw bytes without padding; they are hashed, never kept.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_uid: str
    series_uid: str
    patient_id: bytes
    issuer: bytes

    def agrees_with(self, sop_class_uid: str, sop_instance_uid: str) -> None:
        """Check the data set against the C-STORE command (DICOM PS3.4 section B.2.3).

        Raises
        ------
        MismatchError
            If the SOP Class or SOP Instance UID differs.
        """
        if self.sop_class_uid != sop_class_uid:
            msg = "Its SOP Class UID is not the command's."
            raise MismatchError(msg)
        if self.sop_instance_uid != sop_instance_uid:
            msg = "Its SOP Instance UID is not the command's."
            raise MismatchError(msg)


@dataclass(frozen=True)
class FileMeta:
    """The file meta information that is used: UIDs, and who sent the object to which title."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    calling_ae: str
    called_ae: str


@dataclass(frozen=True)
class Instance:
    """A received object as the ledger records it.

    Parameters
    ----------
    digest
        SHA-256 over the transfer syntax and the data set as it was received, in hexadecimal.
    size
        Bytes of the data set.
    path
        Where it lies; None where its bytes are not kept.
    patient_key, patient_id_key
        Keyed hashes of PatientID with its issuer, and of PatientID alone; equal where no issuer
        is given.
    """

    sop_instance_uid: str
    sop_class_uid: str
    study_uid: str
    series_uid: str
    transfer_syntax: str
    digest: str
    size: int
    path: Path | None
    patient_key: str
    patient_id_key: str


def is_uid(value: str) -> bool:
    """Tell whether a value is a UID by characters and length (DICOM PS3.5 section 9).

    Components with leading zeros break the standard and are in real archives: they are harmless
    here and pass.
    """
    return len(value) <= 64 and _UID.fullmatch(value) is not None


def file_name(sop_instance_uid: str, digest: str) -> str:
    """Return a fresh file name: a hash, so that nothing a peer sent becomes a path.

    Something random takes part: no two receptions ever share a file, so that deleting the file of
    one can never take away another's.
    """
    nonce = secrets.token_hex(16)
    return hashlib.sha256(f"{sop_instance_uid}\0{digest}\0{nonce}".encode()).hexdigest() + ".dcm"


def data_set_digest(transfer_syntax: str) -> hashlib._Hash:
    """Return the SHA-256 that a data set's bytes are to be added to."""
    return hashlib.sha256(f"{transfer_syntax}\0".encode())


def unused_reason(sop_class_uid: str) -> str | None:
    """Say why the plugin has no use for a SOP class, or None where it has."""
    if sop_class_uid in _KEPT:
        return None
    return "not a radiograph (CR, DX), a report (SR, PDF, CDA) or a key object selection"


def keyed_hash(key: bytes, *parts: bytes | str) -> str:
    """Return the HMAC-SHA-256 of the parts in hexadecimal, unlinkable without the site's key."""
    raw = [p.encode() if isinstance(p, str) else p for p in parts]
    message = b"".join(struct.pack(">I", len(p)) + p for p in raw)
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def patient_keys(key: bytes, header: Header) -> tuple[str, str]:
    """Return the keyed hashes of PatientID with its issuer, and of PatientID alone."""
    alone = keyed_hash(key, b"patient", header.patient_id, b"")
    return keyed_hash(key, b"patient", header.patient_id, header.issuer), alone


def same_patient(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Tell whether two pairs of `patient_keys` can be one patient.

    An issuer that only one of the two objects names is no contradiction: reports often lack it.
    """
    if one[1] != other[1]:
        return False
    both_name_issuers = one[0] != one[1] and other[0] != other[1]
    return one[0] == other[0] or not both_name_issuers


def read_header(stream: BinaryIO, transfer_syntax: str) -> Header:
    """Read the identities from a data set that starts where the stream stands.

    Raises
    ------
    CannotUnderstandError
        If the elements cannot be walked up to Series Instance UID, or a UID is none.
    """
    values = _values(_source(stream, transfer_syntax), _encoding(transfer_syntax), _WANTED)
    return Header(
        sop_class_uid=_uid(values, _SOP_CLASS),
        sop_instance_uid=_uid(values, _SOP_INSTANCE),
        study_uid=_uid(values, _STUDY),
        series_uid=_uid(values, _SERIES),
        patient_id=values.get(_PATIENT, b"").strip(b" \0"),
        issuer=values.get(_ISSUER, b"").strip(b" \0"),
    )


def read_file_meta(stream: BinaryIO) -> FileMeta:
    """Read the file meta information and leave the stream at the data set.

    Raises
    ------
    CannotUnderstandError
        If the stream is no DICOM file (DICOM PS3.10 section 7.1), or lacks a UID.
    """
    start = stream.read(144)
    if len(start) != 144 or start[128:132] != b"DICM" or start[132:140] != _GROUP_LENGTH:
        msg = "It is no DICOM file."
        raise CannotUnderstandError(msg)
    end = 144 + int(struct.unpack("<I", start[140:])[0])
    if end > _LONGEST_META:
        msg = "Its file meta information is too long."
        raise CannotUnderstandError(msg)
    values = _values(_FileSource(stream), _EXPLICIT_LITTLE, _META, end)
    stream.seek(end)
    return FileMeta(
        sop_class_uid=_uid(values, 0x00020002),
        sop_instance_uid=_uid(values, 0x00020003),
        transfer_syntax=_uid(values, 0x00020010),
        calling_ae=values.get(0x00020017, b"").strip(b" \0").decode("ascii", "replace"),
        called_ae=values.get(0x00020018, b"").strip(b" \0").decode("ascii", "replace"),
    )


def write_file_meta(meta: FileMeta) -> bytes:
    """Return a zeroed preamble, ``DICM`` and the file meta information (DICOM PS3.10 section 7.1).

    Sending and receiving AE title let an orphaned file find its way back into the ledger.
    """
    elements = (
        (0x0001, b"OB", b"\0\1"),
        (0x0002, b"UI", meta.sop_class_uid.encode()),
        (0x0003, b"UI", meta.sop_instance_uid.encode()),
        (0x0010, b"UI", meta.transfer_syntax.encode()),
        (0x0012, b"UI", IMPLEMENTATION_CLASS_UID.encode()),
        (0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode()),
        (0x0016, b"AE", meta.calling_ae.encode()),
        (0x0017, b"AE", meta.calling_ae.encode()),
        (0x0018, b"AE", meta.called_ae.encode()),
    )
    body = b"".join(_meta_element(*element) for element in elements)
    return bytes(128) + b"DICM" + _GROUP_LENGTH + struct.pack("<I", len(body)) + body


_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_PATIENT, _ISSUER = 0x00100020, 0x00100021
_STUDY, _SERIES = 0x0020000D, 0x0020000E
_WANTED = (_SOP_CLASS, _SOP_INSTANCE, _PATIENT, _ISSUER, _STUDY, _SERIES)
_META = (0x00020002, 0x00020003, 0x00020010, 0x00020017, 0x00020018)
_GROUP_LENGTH = b"\x02\x00\x00\x00UL\x04\x00"

_LONGEST_META = 65536
_LONGEST = 1024  # bytes of a value that is looked at
_MOST_ELEMENTS = 200_000  # walked over before the wanted ones
_DEEPEST = 1_000  # of nested sequences of undefined length
_MOST_INFLATED = 64 * 1024 * 1024  # bytes; a header behind more than that is none

_KEPT = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.1",  # Computed Radiography Image Storage
        "1.2.840.10008.5.1.4.1.1.1.1",  # Digital X-Ray Image Storage - For Presentation
        "1.2.840.10008.5.1.4.1.1.1.1.1",  # Digital X-Ray Image Storage - For Processing
        "1.2.840.10008.5.1.4.1.1.88.11",  # Basic Text SR Storage
        "1.2.840.10008.5.1.4.1.1.88.22",  # Enhanced SR Storage
        "1.2.840.10008.5.1.4.1.1.88.33",  # Comprehensive SR Storage
        "1.2.840.10008.5.1.4.1.1.88.34",  # Comprehensive 3D SR Storage
        "1.2.840.10008.5.1.4.1.1.88.35",  # Extensible SR Storage
        "1.2.840.10008.5.1.4.1.1.88.59",  # Key Object Selection Document Storage
        "1.2.840.10008.5.1.4.1.1.104.1",  # Encapsulated PDF Storage
        "1.2.840.10008.5.1.4.1.1.104.2",  # Encapsulated CDA Storage
    }
)
_IMPLICIT = "1.2.840.10008.1.2"
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_DEFLATED = frozenset(
    {
        "1.2.840.10008.1.2.1.99",  # Deflated Explicit VR Little Endian
        "1.2.840.10008.1.2.4.95",  # JPIP Referenced Deflate
        "1.2.840.10008.1.2.4.205",  # JPIP HTJ2K Referenced Deflate
    }
)
# a reserved half and a length of four bytes follow these VRs (DICOM PS3.5 table 7.1-1)
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


def _meta_element(number: int, vr: bytes, value: bytes) -> bytes:
    value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    if vr == b"OB":
        return struct.pack("<HH2sHI", 0x0002, number, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", 0x0002, number, vr, len(value)) + value


class _Source(Protocol):
    def read(self, size: int) -> bytes: ...
    def skip(self, size: int) -> None: ...
    def tell(self) -> int: ...


class _FileSource:
    """Bytes of a seekable stream; skipping costs nothing."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        return self._stream.read(size)

    def skip(self, size: int) -> None:
        self._stream.seek(size, 1)

    def tell(self) -> int:
        return self._stream.tell()


class _InflatedSource:
    """Bytes of a deflated stream, inflated a little at a time and never beyond a bound."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._given = 0

    def read(self, size: int) -> bytes:
        out = b""
        while len(out) < size and not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._stream.read(4096)
            try:
                piece = self._inflate.decompress(packed, size - len(out))
            except zlib.error:
                msg = "It is not deflated as its transfer syntax says."
                raise CannotUnderstandError(msg) from None
            if not packed and not piece:
                break
            out += piece
        self._given += len(out)
        if self._given > _MOST_INFLATED:
            msg = "Its header inflates beyond any header's size."
            raise CannotUnderstandError(msg)
        return out

    def skip(self, size: int) -> None:
        while size > 0:
            piece = self.read(min(size, 65536))
            if not piece:
                return
            size -= len(piece)

    def tell(self) -> int:
        return self._given


@dataclass(frozen=True)
class _Encoding:
    implicit: bool
    order: str


_EXPLICIT_LITTLE = _Encoding(implicit=False, order="<")
_IMPLICIT_LITTLE = _Encoding(implicit=True, order="<")


def _encoding(transfer_syntax: str) -> _Encoding:
    if transfer_syntax == _IMPLICIT:
        return _IMPLICIT_LITTLE
    if transfer_syntax == _BIG_ENDIAN:
        return _Encoding(implicit=False, order=">")
    return _EXPLICIT_LITTLE


def _source(stream: BinaryIO, transfer_syntax: str) -> _Source:
    return _InflatedSource(stream) if transfer_syntax in _DEFLATED else _FileSource(stream)


def _values(
    source: _Source, encoding: _Encoding, wanted: tuple[int, ...], end: int | None = None
) -> dict[int, bytes]:
    """Walk the top-level elements and return the wanted values, up to the last wanted tag."""
    values: dict[int, bytes] = {}
    walk = _Walk(source)
    while end is None or source.tell() < end:
        element = walk.next(encoding)
        if element is None or element.tag > wanted[-1]:
            break
        if element.length == _UNDEFINED:
            walk.pass_over(element, encoding)
        elif element.tag in wanted:
            if element.length > _LONGEST:
                msg = "An identifier in it is too long."
                raise CannotUnderstandError(msg)
            values[element.tag] = walk.exactly(element.length)
        else:
            source.skip(element.length)
    return values


@dataclass(frozen=True)
class _Element:
    tag: int
    vr: bytes
    length: int


class _Walk:
    """Steps from element to element, counting them, without recursion."""

    def __init__(self, source: _Source) -> None:
        self._source = source
        self._count = 0

    def next(self, encoding: _Encoding) -> _Element | None:
        """Read one element's tag, VR and length (DICOM PS3.5 section 7.1); None at the end."""
        self._count += 1
        if self._count > _MOST_ELEMENTS:
            msg = "It has too many elements before its identifiers."
            raise CannotUnderstandError(msg)
        start = self._source.read(8)
        if not start:
            return None
        if len(start) < 8:
            msg = "It ends within an element."
            raise CannotUnderstandError(msg)
        group, number = struct.unpack(encoding.order + "HH", start[:4])
        tag = group << 16 | number
        if encoding.implicit or group == 0xFFFE:
            return _Element(tag, b"", struct.unpack(encoding.order + "I", start[4:])[0])
        vr = start[4:6]
        if vr in _LONG_VRS:
            length = struct.unpack(encoding.order + "I", self.exactly(4))[0]
        elif vr.isalpha() and vr.isupper():
            length = struct.unpack(encoding.order + "H", start[6:])[0]
        else:
            msg = "An element in it has no value representation."
            raise CannotUnderstandError(msg)
        return _Element(tag, vr, length)

    def exactly(self, size: int) -> bytes:
        """Read so many bytes or refuse."""
        value = self._source.read(size)
        if len(value) != size:
            msg = "It ends within an element."
            raise CannotUnderstandError(msg)
        return value

    def pass_over(self, opened: _Element, encoding: _Encoding) -> None:
        """Skip a sequence, or encapsulated fragments, of undefined length.

        The stack holds what is open: for each level its encoding, and whether it holds items
        (a sequence) or elements (an item).
        """
        stack: list[tuple[_Encoding, bool]] = [(_inside(opened, encoding), True)]
        while stack:
            if len(stack) > _DEEPEST:
                msg = "It nests too deeply before its identifiers."
                raise CannotUnderstandError(msg)
            level, holds_items = stack[-1]
            element = self.next(level)
            if element is None:
                msg = "It ends within a sequence."
                raise CannotUnderstandError(msg)
            if element.tag == (_SEQUENCE_END if holds_items else _ITEM_END):
                stack.pop()
            elif holds_items and element.tag != _ITEM:
                msg = "A sequence in it holds something else than items."
                raise CannotUnderstandError(msg)
            elif element.length != _UNDEFINED:
                self._source.skip(element.length)
            elif holds_items:
                stack.append((level, False))
            else:
                stack.append((_inside(element, level), True))


def _inside(element: _Element, encoding: _Encoding) -> _Encoding:
    """Return how the content of a sequence is encoded: UN of undefined length is implicit."""
    return _IMPLICIT_LITTLE if element.vr == b"UN" else encoding


def _uid(values: Mapping[int, bytes], tag: int) -> str:
    value = values.get(tag, b"").rstrip(b" \0").decode("ascii", "replace")
    if not is_uid(value):
        msg = f"Its element ({tag >> 16:04X},{tag & 0xFFFF:04X}) is missing or no UID."
        raise CannotUnderstandError(msg)
    return value
