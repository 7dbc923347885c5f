"""A command set: what a DIMSE message asks or answers, without its data set (DICOM PS3.7)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from listener.attributes import tags
from listener.elements import is_uid
from listener.errors import PeerConnectionError

__all__ = [
    "Command",
    "Reply",
    "SubOperations",
    "encode_event_report",
    "encode_reply",
    "encode_store",
    "read_command",
]


@dataclass(frozen=True)
class Command:
    """A command set, as far as it is used (DICOM PS3.7 sections 9.3 and 10.3).

    The UIDs are as the peer sent them, not yet checked. Some messages name them "requested", the
    others "affected". ``message_id`` of a response is that of the request it answers.
    """

    field: int
    message_id: int
    has_data_set: bool
    sop_class_uid: str
    sop_instance_uid: str
    type_id: int | None = None
    """Action Type ID of an N-ACTION, Event Type ID of an N-EVENT-REPORT."""
    status: int | None = None
    """Of a response."""
    move_destination: str = ""
    """AE title that a C-MOVE sends to, as the peer sent it."""
    attributes: tuple[int, ...] = ()
    """Tags that an N-GET asks for; none for all."""

    C_STORE = 0x0001
    C_GET = 0x0010
    C_FIND = 0x0020
    C_MOVE = 0x0021
    C_ECHO = 0x0030
    N_EVENT_REPORT = 0x0100
    N_GET = 0x0110
    N_SET = 0x0120
    N_ACTION = 0x0130
    N_CREATE = 0x0140
    C_CANCEL = 0x0FFF
    RESPONSE = 0x8000


@dataclass(frozen=True)
class SubOperations:
    """How far a C-GET or C-MOVE is (DICOM PS3.7 section 9.1.3.1).

    ``remaining`` is told while more is to come, or would be but for a C-CANCEL; else it is None.
    """

    remaining: int | None = None
    completed: int = 0
    failed: int = 0
    warning: int = 0


@dataclass(frozen=True)
class Reply:
    """A status, and a comment of at most 64 characters where it is a refusal.

    ``counts`` is what a response to a C-GET or C-MOVE tells; ``has_data_set`` whether an identifier
    follows.
    """

    status: int
    comment: str = ""
    counts: SubOperations | None = None
    has_data_set: bool = False


def read_command(encoded: bytes) -> Command:
    """Read a command set, which is always Implicit VR Little Endian (DICOM PS3.7 section 6.3.1).

    Raises
    ------
    PeerConnectionError
        If it is no command set, or lacks what a message must have.
    """
    values: dict[int, bytes] = {}
    at = 0
    while at < len(encoded):
        if len(encoded) - at < 8:
            msg = "A command set ends within an element."
            raise PeerConnectionError(msg)
        group, element, length = struct.unpack_from("<HHI", encoded, at)
        at += 8
        if group != 0 or length > len(encoded) - at:
            msg = "A command set holds something else than its elements."
            raise PeerConnectionError(msg)
        values[element] = encoded[at : at + length]
        at += length
    field = _number(values, 0x0100)
    is_response = bool(field & Command.RESPONSE)
    is_about_another = is_response or field == Command.C_CANCEL
    type_element = _TYPES.get(field & ~Command.RESPONSE)
    return Command(
        field=field,
        message_id=_number(values, 0x0120 if is_about_another else 0x0110),
        has_data_set=_number(values, 0x0800) != _NO_DATA_SET,
        sop_class_uid=_text(values, 0x0002) or _text(values, 0x0003),
        sop_instance_uid=_text(values, 0x1000) or _text(values, 0x1001),
        type_id=_number(values, type_element) if type_element in values else None,
        status=_number(values, 0x0900) if is_response else None,
        move_destination=_text(values, 0x0600).strip(" "),
        attributes=tuple(tags(values.get(0x1005, b""))),
    )


def encode_reply(command: Command, reply: Reply) -> bytes:
    """Return the command set that answers a request; UIDs that are none are left out."""
    elements = [(0x0100, _short(command.field | Command.RESPONSE))]
    elements.append((0x0120, _short(command.message_id)))
    elements.append((0x0800, _short(_DATA_SET if reply.has_data_set else _NO_DATA_SET)))
    elements.append((0x0900, _short(reply.status)))
    if is_uid(command.sop_class_uid):
        elements.insert(0, (0x0002, _even(command.sop_class_uid, b"\0")))
    if reply.comment:
        elements.append((0x0902, _even(reply.comment[:64], b" ")))
    if is_uid(command.sop_instance_uid):
        elements.append((0x1000, _even(command.sop_instance_uid, b"\0")))
    if command.type_id is not None:
        elements.append((_TYPES[command.field], _short(command.type_id)))
    if reply.counts is not None:
        told = reply.counts
        counted = (told.remaining, told.completed, told.failed, told.warning)
        elements += [(0x1020 + n, _short(c)) for n, c in enumerate(counted) if c is not None]
    return _encoded(elements)


def encode_store(sop_class_uid: str, sop_instance_uid: str, message_id: int) -> bytes:
    """Return the command set of a C-STORE request (DICOM PS3.7 section 9.3.1.1)."""
    elements = [
        (0x0002, _even(sop_class_uid, b"\0")),
        (0x0100, _short(Command.C_STORE)),
        (0x0110, _short(message_id)),
        (0x0700, _short(_MEDIUM)),
        (0x0800, _short(_DATA_SET)),
        (0x1000, _even(sop_instance_uid, b"\0")),
    ]
    return _encoded(elements)


def encode_event_report(command: Command) -> bytes:
    """Return the command set of an N-EVENT-REPORT request (DICOM PS3.7 section 10.3.1.1)."""
    elements = [
        (0x0002, _even(command.sop_class_uid, b"\0")),
        (0x0100, _short(command.field)),
        (0x0110, _short(command.message_id)),
        (0x0800, _short(_DATA_SET)),
        (0x1000, _even(command.sop_instance_uid, b"\0")),
        (0x1002, _short(command.type_id or 0)),
    ]
    return _encoded(elements)


_NO_DATA_SET = 0x0101
_DATA_SET = 0x0001
_MEDIUM = 0x0000
_TYPES = {Command.N_EVENT_REPORT: 0x1002, Command.N_ACTION: 0x1008}


def _encoded(elements: list[tuple[int, bytes]]) -> bytes:
    body = b"".join(struct.pack("<HHI", 0, e, len(v)) + v for e, v in elements)
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def _number(values: dict[int, bytes], element: int) -> int:
    value = values.get(element, b"")
    if len(value) != 2:
        msg = f"A command set lacks (0000,{element:04X})."
        raise PeerConnectionError(msg)
    return int.from_bytes(value, "little")


def _text(values: dict[int, bytes], element: int) -> str:
    return values.get(element, b"").rstrip(b" \0").decode("ascii", "replace")


def _short(value: int) -> bytes:
    return struct.pack("<H", value)


def _even(value: str, padding: bytes) -> bytes:
    encoded = value.encode("ascii")
    return encoded + padding * (len(encoded) % 2)
