"""The readers of what peers send, each with what it may refuse by, for whoever feeds them nonsense.

A reader that joins `READERS` is fed by the quick tests (test_readers.py) and by `make fuzz`.
"""

from __future__ import annotations

import atexit
import io
import socket
import struct
import tempfile
import time
import zlib
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from attacks import ABSURD, DATA, ODD_MESSAGES, PDUS, QUESTIONS, STORE, fragment, patient
from pydicom.filereader import read_dataset
from pynetdicom.pdu import (
    A_ABORT_RQ,
    A_ASSOCIATE_AC,
    A_ASSOCIATE_RJ,
    A_ASSOCIATE_RQ,
    A_RELEASE_RP,
    A_RELEASE_RQ,
    P_DATA_TF,
)
from station import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, Station, encoded, station
from step_parts import RADIUS, bone, count, step
from wire import CR, VERIFICATION, Wire, command

from listener.attributes import read_attributes, write_attributes
from listener.command import Reply, encode_reply, read_command
from listener.elements import is_uid
from listener.errors import (
    CannotUnderstandError,
    InvalidValueError,
    MissingAttributeError,
    MissingValueError,
    NotScheduledError,
    PeerConnectionError,
    UnreadableIdentifierError,
    WrongIdentifierError,
)
from listener.file_meta import FileMeta, read_file_meta, write_file_meta
from listener.header import read_header
from listener.step_description import answer, description, matches, wanted
from listener.step_request import read_request
from listener.step_row import StepRow
from listener.step_state import StepState
from listener.study_root import KEYS, read_question
from pipeline.dicom_file import FileLimits
from pipeline.dicom_file import read_header as read_header_of_file
from pipeline.errors import DecodeError, DecodeReason
from pipeline.report import is_report, report_text
from pipeline.view import decide_view

SECONDS = 5.0  # that a reader may take over anything


@dataclass(frozen=True)
class Reader:
    """Something that reads what a peer sends.

    ``read`` returns, or raises one of ``refusals``; anything else is a finding, as is a failed
    assertion in it. ``seeds`` are good examples. ``examples`` of the quick tests are few where one
    costs a connection.
    """

    name: str
    read: Callable[[bytes], None]
    refusals: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]
    examples: int = 200


# -- messages and data sets ---------------------------------------------------------------


def reads_command(data: bytes) -> None:
    read = read_command(data)
    assert 0 <= read.message_id < 65536
    again = read_command(encode_reply(read, Reply(0xC000, "x" * 99)) + _NO_MESSAGE_ID)
    assert again.field == read.field | 0x8000
    if is_uid(read.sop_instance_uid):
        assert again.sop_instance_uid == read.sop_instance_uid


# a response has none of its own: (0000,0110)
_NO_MESSAGE_ID = struct.pack("<HHIH", 0, 0x0110, 2, 0)
_SYNTAXES = (EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED)


def reads_header(data: bytes) -> None:
    """The first byte chooses the encoding."""
    header = read_header(io.BytesIO(data[1:]), _SYNTAXES[data[0] % 4] if data else EXPLICIT)
    for uid in (header.sop_class_uid, header.sop_instance_uid, header.study_uid, header.series_uid):
        assert is_uid(uid)


def reads_inflated_header(data: bytes) -> None:
    """What is fed is deflated first, so that it is read."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    read_header(io.BytesIO(packer.compress(data) + packer.flush()), DEFLATED)


def reads_file_meta(data: bytes) -> None:
    meta = read_file_meta(io.BytesIO(bytes(128) + b"DICM" + data))
    assert is_uid(meta.sop_instance_uid)
    assert is_uid(meta.transfer_syntax)


def reads_identifier(data: bytes) -> None:
    """The first byte chooses the encoding, and whether it is a retrieval's."""
    kind = data[0] if data else 0
    syntax = (EXPLICIT, IMPLICIT)[kind % 2]
    body = io.BytesIO(data[1:])
    asked = read_question(body, syntax, max(0, len(data) - 1), retrieves=bool(kind & 2))
    assert all(is_uid(uid) for uid in asked.wanted().study_uids)
    began = time.process_time()
    asked.matches(dict.fromkeys(KEYS, b"INVENTED^" * 100))
    asked.answer({}, "WRISTMIR", syntax)
    assert time.process_time() - began < SECONDS


def reads_step(data: bytes) -> None:
    """The first byte chooses the encoding; what is read is also asked for and told."""
    syntax = (EXPLICIT, IMPLICIT)[data[0] % 2 if data else 0]
    attributes = read_attributes(data[1:], syntax)
    assert read_attributes(write_attributes(attributes, EXPLICIT), EXPLICIT).keys() == set(
        attributes
    )
    held = description(_STEP_ROW, attributes)
    assert write_attributes(answer(attributes, held), IMPLICIT)
    matches(attributes, held)
    wanted(attributes)
    asked = read_request(attributes)
    assert is_uid(asked.study_uid)
    assert set(asked.argument) <= {"regions", "k", "instances"}


_STEP_ROW = StepRow(
    "1.2.3.4",
    "1.2.3",
    StepState.CANCELED,
    "READY",
    30,
    "The study is indexed.",
    "it failed",
    ("110513", "DCM", "Discontinued for unspecified reason"),
    Path(),
    *[datetime(2024, 1, 1, tzinfo=UTC)] * 3,
)


# -- files, as the worker reads them ------------------------------------------------------


def reads_file(data: bytes) -> None:
    """What the decoder's child lets through is safe for whoever uses it."""
    path = _scratch() / "fed.dcm"
    path.write_bytes(bytes(128) + b"DICM" + data)
    try:
        encoded_header = read_header_of_file(path, FileLimits(max_file_bytes=1 << 20))
    except Exception as error:
        raise DecodeError(DecodeReason.MALFORMED) from error
    header = read_dataset(io.BytesIO(encoded_header), is_implicit_VR=False, is_little_endian=True)
    str(header)  # every value converts
    decide_view(header, {})
    if is_report(header):
        report_text(header)


@cache
def _scratch() -> Path:
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return Path(folder.name)


# -- connections --------------------------------------------------------------------------

_KINDS = (
    A_ASSOCIATE_RQ,
    A_ASSOCIATE_AC,
    A_ASSOCIATE_RJ,
    P_DATA_TF,
    A_RELEASE_RQ,
    A_RELEASE_RP,
    A_ABORT_RQ,
)


def reads_pdu(data: bytes) -> None:
    """Decode as the library does; what it raises ends a connection, what takes long ends more."""
    kind = _KINDS[data[0] % len(_KINDS)]() if data else A_ABORT_RQ()
    body = data[1:]
    began = time.process_time()
    with suppress(Exception):
        kind.decode(bytearray(struct.pack(">BBI", kind.pdu_type, 0, len(body)) + body))
        kind.to_primitive()
    assert time.process_time() - began < SECONDS


def reads_connection(data: bytes) -> None:
    """Say it to a real receiver, which ends the connection and goes on."""
    link = _receiver()
    with Wire(link) as wire:
        _speak(wire, data)
    _still_serves(link)


def reads_association(data: bytes) -> None:
    """Say it on an association; the first byte chooses what comes before."""
    link = _receiver()
    with Wire(link) as wire:
        assert wire.associate(abstract=CR if data[:1] < b"\xc0" else VERIFICATION) == 2
        with suppress(OSError):
            wire.socket.sendall(STORE if data[:1] < b"\x40" else b"")
        _speak(wire, data[1:])
    _still_serves(link)


def _speak(wire: Wire, data: bytes) -> None:
    with suppress(OSError):
        wire.socket.sendall(data)
        wire.socket.shutdown(socket.SHUT_WR)
    assert wire.is_cut(SECONDS)


def _still_serves(link: Station) -> None:
    link.listener.probe()
    assert link.partial_files() == [] or _gone(link)


def _gone(link: Station) -> bool:
    deadline = time.monotonic() + SECONDS
    while link.partial_files() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not link.partial_files()


_OPEN = ExitStack()
atexit.register(_OPEN.close)


@cache
def _receiver() -> Station:
    """Start a receiver that lives until it is stopped, or this process ends."""
    folder = Path(_OPEN.enter_context(tempfile.TemporaryDirectory()))
    return _OPEN.enter_context(station(folder, pdu_seconds=1.0, idle_seconds=1.0))


def stop_receiver() -> None:
    """Stop the receiver that readers of connections have started, if any."""
    _OPEN.close()
    _receiver.cache_clear()


# -- seeds --------------------------------------------------------------------------------

_META = write_file_meta(FileMeta(CR, "1.2.3", EXPLICIT, "PACS", "WRISTMIR"))
_COMMANDS = (
    command(0x0001, CR, "1.2.3.4"),
    command(0x0030, VERIFICATION, data_set=0x0101),
    command(0x0020, CR),
)
_STORES = tuple(
    b"\x80" + STORE + fragment(2, encoded(patient(SOPInstanceUID="1.2.3.4"), EXPLICIT)[:size])
    for size in (0, 99, 4000)
)

_FILES = (
    *(
        _META[132:] + encoded(ds, EXPLICIT)
        for ds in (
            patient(ViewPosition="PA", BodyPartExamined="WRIST", ImageLaterality="L"),
            patient(StudyDate="20240101", PatientAge="009Y", SpecificCharacterSet="ISO_IR 192"),
        )
    ),
    *(path.read_bytes()[132:] for path in sorted(DATA.parent.glob("studies/TEST-000?-1/*report*"))),
)

READERS = {
    reader.name: reader
    for reader in (
        Reader("command", reads_command, (PeerConnectionError,), _COMMANDS),
        Reader(
            "header",
            reads_header,
            (CannotUnderstandError,),
            tuple(bytes([n]) + encoded(patient(), s) for n, s in enumerate(_SYNTAXES)),
        ),
        Reader(
            "inflated-header",
            reads_inflated_header,
            (CannotUnderstandError,),
            (encoded(patient(), EXPLICIT),),
            examples=100,
        ),
        Reader(
            "identifier",
            reads_identifier,
            (UnreadableIdentifierError, WrongIdentifierError),
            tuple(b"\1" + asked for _, asked, _ in QUESTIONS.values() if len(asked) < 50_000),
        ),
        Reader(
            "step",
            reads_step,
            (
                CannotUnderstandError,
                InvalidValueError,
                MissingAttributeError,
                MissingValueError,
                NotScheduledError,
                WrongIdentifierError,
            ),
            tuple(
                bytes([n]) + encoded(step("1.2.3", bone(RADIUS), count("3")), syntax)
                for n, syntax in enumerate((EXPLICIT, IMPLICIT))
            ),
        ),
        Reader("file", reads_file, (DecodeError,), _FILES, examples=50),
        Reader("file-meta", reads_file_meta, (CannotUnderstandError,), (_META[132:],)),
        Reader(
            "pdu",
            reads_pdu,
            (),
            tuple(
                bytes([(pdu[0] - 1) % 7]) + pdu[6:] for pdu in (*PDUS.values(), *ABSURD.values())
            ),
        ),
        Reader("connection", reads_connection, (), (*PDUS.values(), *ABSURD.values()), examples=15),
        Reader(
            "association",
            reads_association,
            (),
            (*_STORES, *(b"\x80" + b"".join(messages) for messages in ODD_MESSAGES.values())),
            examples=15,
        ),
    )
}
