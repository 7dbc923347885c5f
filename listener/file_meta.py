"""The file meta information of a received file (DICOM PS3.10 section 7.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from listener.elements import EXPLICIT_LITTLE, read_values, uid_value
from listener.errors import CannotUnderstandError

__all__ = [
    "IMPLEMENTATION_CLASS_UID",
    "IMPLEMENTATION_VERSION_NAME",
    "FileMeta",
    "read_file_meta",
    "write_file_meta",
]

IMPLEMENTATION_CLASS_UID = "2.25.194783042216117843109563874915205114267"
"""Says in files and associations which program this is (DICOM PS3.7 annex D.3.3.2)."""

IMPLEMENTATION_VERSION_NAME = "WRISTMIR_0_1"


@dataclass(frozen=True)
class FileMeta:
    """The file meta information that is used: UIDs, and who sent the object to which title."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    calling_ae: str
    called_ae: str


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
    values = read_values(stream, EXPLICIT_LITTLE, _META, end)
    stream.seek(end)
    return FileMeta(
        sop_class_uid=uid_value(values, 0x00020002),
        sop_instance_uid=uid_value(values, 0x00020003),
        transfer_syntax=uid_value(values, 0x00020010),
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


_META = (0x00020002, 0x00020003, 0x00020010, 0x00020017, 0x00020018)
_GROUP_LENGTH = b"\x02\x00\x00\x00UL\x04\x00"
_LONGEST_META = 65536


def _meta_element(number: int, vr: bytes, value: bytes) -> bytes:
    value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    if vr == b"OB":
        return struct.pack("<HH2sHI", 0x0002, number, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", 0x0002, number, vr, len(value)) + value
