"""Storage commitment: what is asked and what is answered (DICOM PS3.4 annex J, Push Model).

Whoever has stored objects asks, under a Transaction UID, whether they are kept for good
(N-ACTION); the other answers later, by an N-EVENT-REPORT, for each of them.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from pydicom.uid import generate_uid

from listener.elements import EXPLICIT_LITTLE, IMPLICIT_LITTLE, read_items, uid_value
from listener.errors import CannotUnderstandError, InvalidArgumentError, NoSuchEventError

__all__ = [
    "CLASS_CONFLICT",
    "INSTANCE",
    "MOST_BYTES",
    "MOST_REFERENCES",
    "NO_SUCH_INSTANCE",
    "PROCESSING_FAILURE",
    "REQUEST",
    "SOP_CLASS",
    "TRANSFER_SYNTAXES",
    "Reference",
    "Request",
    "Verdict",
    "encode_request",
    "encode_verdict",
    "new_request",
    "read_request",
    "read_verdict",
]

SOP_CLASS = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model SOP Class."""

INSTANCE = "1.2.840.10008.1.20.1.1"
"""Its well-known SOP instance."""

REQUEST = 1
"""Action type: Request Storage Commitment (PS3.4 table J.3.2-1)."""

TRANSFER_SYNTAXES = (EXPLICIT_LITTLE, IMPLICIT_LITTLE)
"""How its data sets are encoded; there is nothing to compress in them."""

MOST_BYTES = 4 * 1024 * 1024
"""Of one data set; longer ones are not read."""

MOST_REFERENCES = 10_000
"""Of one transaction: a whole study of any modality, and no more."""

# failure reasons: DICOM PS3.3 section C.14.1.1
PROCESSING_FAILURE = 0x0110
NO_SUCH_INSTANCE = 0x0112
CLASS_CONFLICT = 0x0119

_SUCCESSFUL, _FAILURES_EXIST = 1, 2  # event types: PS3.4 table J.3.3-1


@dataclass(frozen=True, order=True)
class Reference:
    """An object as a transaction names it."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class Request:
    """A request for commitment: the Action Information of an N-ACTION (PS3.4 table J.3.2-1)."""

    transaction_uid: str
    references: tuple[Reference, ...]

    @property
    def digest(self) -> str:
        """SHA-256 that tells whether another request is about the same objects."""
        lines = (f"{r.sop_class_uid} {r.sop_instance_uid}\n" for r in sorted(self.references))
        return hashlib.sha256("".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class Verdict:
    """An answer: the Event Information of an N-EVENT-REPORT (PS3.4 table J.3.3-1).

    ``failed`` gives a failure reason for each object that is not committed to.
    """

    transaction_uid: str
    committed: tuple[Reference, ...]
    failed: Mapping[Reference, int]

    @property
    def event_type(self) -> int:
        """1 where everything is committed to, 2 where failures exist."""
        return _FAILURES_EXIST if self.failed else _SUCCESSFUL


def new_request(references: Iterable[Reference]) -> Request:
    """Return a request under a Transaction UID that nobody can guess."""
    return Request(str(generate_uid(prefix=None)), tuple(references))


def read_request(stream: BinaryIO, transfer_syntax: str, size: int) -> Request:
    """Read the data set of an N-ACTION, of so many bytes.

    Raises
    ------
    InvalidArgumentError
        If it cannot be walked, or lacks the Transaction UID or the references.
    ResourceLimitationError
        If it names more than 10,000 instances.
    """
    try:
        values, items = _read(stream, transfer_syntax, size)
        uid = uid_value(values, _TRANSACTION_UID)
        references = tuple(dict.fromkeys(map(_reference, items.get(_REFERENCED, ()))))
    except CannotUnderstandError as error:
        raise InvalidArgumentError(error.detail) from None
    if not references:
        msg = "It names no instance."
        raise InvalidArgumentError(msg)
    return Request(uid, references)


def read_verdict(
    stream: BinaryIO, transfer_syntax: str, size: int, event_type: int | None
) -> Verdict:
    """Read the data set of an N-EVENT-REPORT, of so many bytes.

    Raises
    ------
    NoSuchEventError
        If the event type is none of the two.
    InvalidArgumentError
        If it cannot be walked, or lacks the Transaction UID.
    ResourceLimitationError
        If it names more than 10,000 instances.
    """
    if event_type not in (_SUCCESSFUL, _FAILURES_EXIST):
        raise NoSuchEventError
    try:
        values, items = _read(stream, transfer_syntax, size)
        uid = uid_value(values, _TRANSACTION_UID)
        committed = dict.fromkeys(map(_reference, items.get(_REFERENCED, ())))
        failed = {_reference(item): _reason(item) for item in items.get(_FAILED, ())}
    except CannotUnderstandError as error:
        raise InvalidArgumentError(error.detail) from None
    return Verdict(uid, tuple(r for r in committed if r not in failed), failed)


def encode_request(request: Request, transfer_syntax: str) -> bytes:
    """Return the data set of an N-ACTION."""
    write = _Writer(transfer_syntax)
    items = [write.item(reference) for reference in request.references]
    return write.uid(_TRANSACTION_UID, request.transaction_uid) + write.sequence(_REFERENCED, items)


def encode_verdict(verdict: Verdict, transfer_syntax: str) -> bytes:
    """Return the data set of an N-EVENT-REPORT."""
    write = _Writer(transfer_syntax)
    encoded = write.uid(_TRANSACTION_UID, verdict.transaction_uid)
    failed = [write.item(reference, reason) for reference, reason in verdict.failed.items()]
    committed = [write.item(reference) for reference in verdict.committed]
    for tag, items in ((_FAILED, failed), (_REFERENCED, committed)):
        encoded += write.sequence(tag, items) if items else b""
    return encoded


_TRANSACTION_UID = 0x00081195
_FAILED, _REFERENCED = 0x00081198, 0x00081199
_CLASS, _INSTANCE, _FAILURE_REASON = 0x00081150, 0x00081155, 0x00081197
_WANTED = frozenset({_TRANSACTION_UID, _CLASS, _INSTANCE, _FAILURE_REASON})


def _read(
    stream: BinaryIO, transfer_syntax: str, size: int
) -> tuple[dict[int, bytes], dict[int, list[dict[int, bytes]]]]:
    return read_items(
        stream,
        transfer_syntax,
        _WANTED,
        (_FAILED, _REFERENCED),
        end=stream.tell() + size,
        most_items=MOST_REFERENCES,
    )


def _reference(item: Mapping[int, bytes]) -> Reference:
    return Reference(uid_value(item, _CLASS), uid_value(item, _INSTANCE))


def _reason(item: Mapping[int, bytes]) -> int:
    value = item.get(_FAILURE_REASON, b"")
    return int.from_bytes(value, "little") if len(value) == 2 else PROCESSING_FAILURE


class _Writer:
    """Writes elements in one of the two transfer syntaxes (DICOM PS3.5 section 7.1).

    A DICOM library would refuse, and quote, UIDs that real archives have and `is_uid` lets pass.
    """

    def __init__(self, transfer_syntax: str) -> None:
        self._is_implicit = transfer_syntax == IMPLICIT_LITTLE

    def uid(self, tag: int, value: str) -> bytes:
        encoded = value.encode("ascii")
        return self._element(tag, b"UI", encoded + b"\0" * (len(encoded) % 2))

    def sequence(self, tag: int, items: Iterable[bytes]) -> bytes:
        return self._element(tag, b"SQ", b"".join(items))

    def item(self, reference: Reference, reason: int | None = None) -> bytes:
        """Return an item that names an object, with why it is not kept."""
        value = self.uid(_CLASS, reference.sop_class_uid)
        value += self.uid(_INSTANCE, reference.sop_instance_uid)
        if reason is not None:
            value += self._element(_FAILURE_REASON, b"US", struct.pack("<H", reason))
        return struct.pack("<HHI", 0xFFFE, 0xE000, len(value)) + value

    def _element(self, tag: int, vr: bytes, value: bytes) -> bytes:
        group, number = tag >> 16, tag & 0xFFFF
        if self._is_implicit:
            return struct.pack("<HHI", group, number, len(value)) + value
        if vr == b"SQ":
            return struct.pack("<HH2sHI", group, number, vr, 0, len(value)) + value
        return struct.pack("<HH2sH", group, number, vr, len(value)) + value
