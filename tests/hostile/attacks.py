"""The table of attacks on the receiver: what is sent, how it may end, what the log has to say."""

from __future__ import annotations

import lzma
import socket
import struct
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from receiver import Receiver
from station import DEFLATED, EXPLICIT, IMPLICIT, encoded, radiograph
from wire import CR, VERIFICATION, Wire, association_request, command

from listener.study_root import FIND, GET, MOVE

PLANTED = "SECRET^PATIENT"  # in no log
DATA = Path(__file__).parent.parent / "data" / "hostile"

SUCCESS, NO_ROOM = "0x0000", "0xA700"
MISMATCH, NOT_UNDERSTOOD, NOT_SUPPORTED = "0xA900", "0xC000", "0x0122"
CUT, ACCEPTED, REJECTED, RELEASED, ABORTED = "cut", "accepted", "rejected", "released", "aborted"
_ENDINGS = {0: CUT, 2: ACCEPTED, 3: REJECTED, 6: RELEASED, 7: ABORTED}

Act = Callable[[Receiver], set[str]]


@dataclass(frozen=True)
class Attack:
    """One row of the table.

    ``act`` returns how it ended for the attacker; all of that must be among ``ends``. ``says`` is
    a pattern that the log must then hold.
    """

    name: str
    act: Act
    ends: frozenset[str]
    says: str


def attack(name: str, act: Act, *ends: str, says: str = "") -> Attack:
    return Attack(name, act, frozenset(ends), says)


# -- what attackers do --------------------------------------------------------------------


@contextmanager
def wire(target: Receiver, abstract: str = CR, syntax: str = EXPLICIT) -> Iterator[Wire]:
    """Open an association."""
    with Wire(target) as it:
        assert it.associate(abstract=abstract, syntax=syntax) == 2
        yield it


def ending(one: Wire, seconds: float = 10) -> str:
    """Return what the receiver does next."""
    one.socket.settimeout(seconds)
    kind, body = one.read()
    if kind == 4:
        at = body.index(struct.pack("<HHI", 0, 0x0900, 2)) + 8
        return f"0x{int.from_bytes(body[at : at + 2], 'little'):04X}"
    return _ENDINGS[kind]


def tell(one: Wire, data: bytes) -> None:
    """Send, whether or not the receiver still listens."""
    with suppress(OSError):
        one.socket.sendall(data)


def fragment(control: int, data: bytes, context: int = 1) -> bytes:
    """Encode a P-DATA-TF PDU with one fragment."""
    item = struct.pack(">IBB", len(data) + 2, context, control) + data
    return pdu(4, item)


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    """Encode a PDU; its declared length may lie."""
    return struct.pack(">BBI", kind, 0, len(body) if length is None else length) + body


def request(called: bytes = b"WRISTMIR") -> bytes:
    return association_request(b"PACS", called, CR, EXPLICIT)


def item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(body)) + body


def patient(**said: object) -> Dataset:
    """Return an image of a patient whose name must not get out."""
    ds = radiograph(patient=PLANTED)
    ds.PatientName = PLANTED
    for name, value in said.items():
        setattr(ds, name, value)
    return ds


# -- slow, half-open and silent peers -----------------------------------------------------

STORE = fragment(3, command(0x0001, CR, "1.2.3.4"))
# How far a peer goes before it turns hostile, and what it would have to say next.
STAGES: dict[str, tuple[bool, bytes, bytes]] = {
    "before it asks": (False, b"", pdu(1, request())),
    "within its request": (False, pdu(1, request())[:40], pdu(1, request())[40:]),
    "once it is associated": (True, b"", STORE),
    "within a PDU's header": (True, STORE[:4], STORE[4:]),
    "within a fragment's header": (True, STORE[:9], STORE[9:]),
    "within a command": (True, fragment(1, command(0x0001, CR, "1.2.3")[:30]), STORE[:7]),
    "within a fragment": (True, STORE[:60], STORE[60:]),
    "within a data set": (True, STORE + fragment(0, PLANTED.encode() * 20), STORE[:7]),
    "after it has released": (True, pdu(5, bytes(4)), b""),
}


def loiter(target: Receiver, stage: str) -> set[str]:
    """Stop at a stage, in four ways at once, twice each; return how long-lived ones ended."""
    associated, before, after = STAGES[stage]
    peers = [Wire(target) for _ in range(8)]
    for one in peers:
        if associated:
            assert one.associate() == 2
        tell(one, before)
    silent, half_open, reset, slow = peers[:2], peers[2:4], peers[4:6], peers[6:]
    for one in half_open:
        with suppress(OSError):
            one.socket.shutdown(socket.SHUT_WR)
    for one in reset:
        one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.socket.close()
    for at in range(len(after)):  # a byte at a time
        for one in slow:
            tell(one, after[at : at + 1])
        time.sleep(0.05)
        if at > 25:
            break
    ended = {drained(one) for one in (*silent, *half_open, *slow)}
    for one in peers:
        one.socket.close()
    return ended


def drained(one: Wire) -> str:
    """Read until the receiver ends it; return the last thing that it said."""
    last = said = ending(one)
    while said != CUT:
        last, said = said, ending(one)
    return last


# -- PS3.8, table 9-10 --------------------------------------------------------------------

REMARKED = "is cut|cut or aborted|is aborted|became no association|rejected"
PDUS: dict[str, bytes] = {
    "A-ASSOCIATE-RQ": pdu(1, request()),
    "A-ASSOCIATE-AC": pdu(2, request()),
    "A-ASSOCIATE-RJ": pdu(3, b"\0\1\1\3"),
    "P-DATA-TF": fragment(3, command(0x0030, VERIFICATION, data_set=0x0101)),
    "A-RELEASE-RQ": pdu(5, bytes(4)),
    "A-RELEASE-RP": pdu(6, bytes(4)),
    "A-ABORT": pdu(7, bytes(4)),
    "an unknown PDU": pdu(0x42, PLANTED.encode()),
    "a broken A-ASSOCIATE-RQ": pdu(1, request()[:80]),
    "a broken P-DATA-TF": pdu(4, struct.pack(">IB", 2**31, 1)),
    "an empty PDU": pdu(4, b""),
}


@dataclass(frozen=True)
class State:
    """One state of the acceptor, how it is brought there, and what it answers to which PDU.

    ``waits`` for the answer to ``before``; else it comes in one piece with what follows, while the
    receiver has still to answer. Who is faster there decides which state it is.
    """

    name: str
    associated: bool
    before: bytes
    waits: bool
    answers: dict[str, set[str]]


STATES: tuple[State, ...] = (
    State(
        "Sta2, awaiting a request",
        False,
        b"",
        False,
        {"A-ASSOCIATE-RQ": {ACCEPTED}, "A-ABORT": {CUT}, "": {ABORTED}},
    ),
    State(
        "Sta3, awaiting its own answer to it",
        False,
        pdu(1, request()),
        False,
        {"A-ABORT": {CUT, ACCEPTED}, "": {ABORTED, ACCEPTED}},
    ),
    State(
        "Sta6, associated",
        True,
        b"",
        False,
        {"P-DATA-TF": {SUCCESS}, "A-RELEASE-RQ": {RELEASED}, "A-ABORT": {CUT}, "": {ABORTED}},
    ),
    State(
        "Sta8, awaiting its own answer to a release",
        True,
        pdu(5, bytes(4)),
        False,
        {"A-ABORT": {CUT, RELEASED}, "": {ABORTED, RELEASED}},
    ),
    State(
        "Sta13, after a rejection", False, pdu(1, request(b"NOBODY")), True, {"": {CUT, ABORTED}}
    ),
    State("Sta13, after an abort", True, pdu(0x42, b""), True, {"": {CUT, ABORTED}}),
    State("Sta13, after a release", True, pdu(5, bytes(4)), True, {"": {CUT, ABORTED}}),
)


def out_of_order(target: Receiver, state: State, kind: str) -> set[str]:
    """Bring the receiver into a state and send it a PDU that may have no place there."""
    with Wire(target) as one:
        if state.associated:
            assert one.associate(abstract=VERIFICATION) == 2
        if state.waits:
            tell(one, state.before)
            assert ending(one) in {REJECTED, ABORTED, RELEASED}
            tell(one, PDUS[kind])
        else:
            tell(one, state.before + PDUS[kind])
        return {ending(one)}


def table_9_10() -> Iterator[Attack]:
    for state in STATES:
        for kind in PDUS:
            ends = state.answers.get(kind, state.answers[""])
            remarked = "Sta13" not in state.name and ends <= {ABORTED, CUT}
            yield Attack(
                f"{kind} in {state.name}",
                partial(out_of_order, state=state, kind=kind),
                frozenset(ends),
                REMARKED if remarked else "",
            )


# -- sizes --------------------------------------------------------------------------------


def gibibyte(target: Receiver, *, associated: bool, kind: int) -> set[str]:
    """Declare a PDU of 1 GiB and send it in pieces until that fails."""
    with Wire(target) as one:
        if associated:
            assert one.associate() == 2
        one.socket.sendall(struct.pack(">BBI", kind, 0, 1 << 30))
        sent = 0
        with suppress(OSError):
            while sent < 1 << 30:
                sent += one.socket.send(bytes(1 << 20))
        assert sent < 64 << 20  # what the sockets' buffers hold
    return {CUT}


def endless_object(target: Receiver) -> set[str]:
    """Send an object of 160 MB where 64 MB are allowed."""
    with wire(target) as one:
        tell(one, STORE)
        piece = fragment(0, bytes(100_000))
        for _ in range(1600):
            tell(one, piece)
        tell(one, fragment(2, b""))
        return {ending(one, 30)}


def endless_command(target: Receiver) -> set[str]:
    with wire(target) as one:
        for _ in range(200):
            tell(one, fragment(1, bytes(16_000)))
        return {drained(one)}


def many_fragments(target: Receiver) -> set[str]:
    """Send a data set a byte at a time, thousands of fragments in one PDU each."""
    with wire(target) as one:
        tell(one, STORE)
        byte = struct.pack(">IBB", 3, 1, 0) + b"\0"
        for _ in range(5):
            tell(one, pdu(4, byte * 10_000))
        tell(one, fragment(2, b""))
        return {ending(one, 30)}


# -- presentation contexts ----------------------------------------------------------------


def contexts(*offered: tuple[int, str, list[str]], user: bytes = b"") -> bytes:
    """Encode an A-ASSOCIATE-RQ with these contexts and user items (PS3.8 section 9.3.2)."""
    body = request()[:68] + item(0x10, b"1.2.840.10008.3.1.1.1")
    for number, abstract, syntaxes in offered:
        inner = item(0x30, abstract.encode()) + b"".join(item(0x40, s.encode()) for s in syntaxes)
        body += item(0x20, bytes([number % 256, 0, 0, 0]) + inner)
    body += item(0x50, item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.3.4") + user)
    return pdu(1, body)


ABSURD: dict[str, bytes] = {
    "128 presentation contexts": contexts(*((2 * n + 1, CR, [EXPLICIT]) for n in range(128))),
    "no presentation context": contexts(),
    "one context id for all": contexts(*((1, CR, [EXPLICIT]) for _ in range(50))),
    "even context ids": contexts((2, CR, [EXPLICIT]), (4, CR, [EXPLICIT])),
    "context id 0": contexts((0, CR, [EXPLICIT])),
    "2000 transfer syntaxes": contexts((1, CR, [f"1.2.840.{n}" for n in range(2000)])),
    "no transfer syntax": contexts((1, CR, [])),
    "an overlong abstract syntax": contexts((1, "1." + "2" * 500, [EXPLICIT])),
    "an overlong transfer syntax": contexts((1, CR, ["1." + "2" * 20_000])),
    "an abstract syntax that is no UID": contexts((1, f"../../{PLANTED}", [EXPLICIT])),
    "a NUL in an abstract syntax": contexts((1, "1.2\0.3", [EXPLICIT])),
    "a maximum length of 0": pdu(1, request().replace(struct.pack(">I", 16384), bytes(4))),
    "a maximum length of 1": pdu(1, request().replace(struct.pack(">I", 16384), b"\0\0\0\1")),
    "a user identity": contexts(
        (1, CR, [EXPLICIT]),
        user=item(0x58, b"\2\1" + struct.pack(">H", 14) + PLANTED.encode() + b"\0\0"),
    ),
    "an item that overruns": pdu(1, request()[:68] + struct.pack(">BBH", 0x20, 0, 60_000) + b"1"),
    "a thousand unknown items": pdu(1, request() + item(0x77, PLANTED.encode()) * 1000),
    "protocol version 0": pdu(1, b"\0\0" + request()[2:]),
}
# what is not accepted as an association; a context that is none of ours may still be refused in it
UNACCEPTED = {
    "even context ids": ABORTED,
    "context id 0": ABORTED,
    "no transfer syntax": ABORTED,
    "an overlong abstract syntax": ABORTED,
    "an overlong transfer syntax": ABORTED,
    "an item that overruns": ABORTED,
    "a thousand unknown items": ABORTED,
    "protocol version 0": REJECTED,
}


def asks_absurdly(target: Receiver, name: str) -> set[str]:
    with Wire(target) as one:
        tell(one, ABSURD[name])
        return {ending(one)}


# -- DIMSE --------------------------------------------------------------------------------

NOT_OFFERED = {
    "a C-FIND": 0x0020,
    "a C-GET": 0x0010,
    "a C-MOVE": 0x0021,
    "an N-GET": 0x0110,
    "an N-SET": 0x0120,
    "an N-CREATE": 0x0140,
    "an N-DELETE": 0x0150,
    "a C-CANCEL": 0x0FFF,
    "a C-STORE response": 0x8001,
    "a C-ECHO response": 0x8030,
    "a C-FIND response": 0x8020,
    "an unknown command": 0x7777,
}
ODD_MESSAGES: dict[str, list[bytes]] = {
    "a data set without a command": [fragment(2, PLANTED.encode() * 9)],
    "a command within a data set": [STORE, fragment(1, b"\0")],
    "a data set where none was announced": [
        fragment(3, command(0x0030, VERIFICATION, data_set=0x0101)),
        fragment(2, PLANTED.encode()),
    ],
    "a C-ECHO with a data set": [fragment(3, command(0x0030, CR)), fragment(2, b"x")],
    "a command that is no elements": [fragment(3, b"\xff" * 50)],
    "a command that ends early": [fragment(3, command(0x0001, CR, "1.2.3")[:-3])],
    "a command without numbers": [fragment(3, struct.pack("<HHI", 0, 2, 4) + b"1.2\0")],
    "an empty command": [fragment(3, b"")],
    "a fragment without a control header": [pdu(4, struct.pack(">IB", 1, 1))],
    "a fragment that is longer than its PDU": [pdu(4, struct.pack(">IBB", 90, 1, 3) + b"x")],
    "a context that was not accepted": [fragment(3, command(0x0001, CR, "1.2.3"), context=99)],
    "another context within a data set": [STORE, fragment(2, b"x", context=3)],
}


def asks_for_what_is_not_offered(target: Receiver, field: int) -> set[str]:
    with wire(target) as one:
        tell(one, fragment(3, command(field, CR, "1.2.3")))
        tell(one, fragment(2, PLANTED.encode()))
        return {ending(one)}


def speaks(target: Receiver, messages: list[bytes]) -> set[str]:
    with wire(target) as one:
        for message in messages:
            tell(one, message)
        return {drained(one)}


# -- objects ------------------------------------------------------------------------------


def stores(
    target: Receiver,
    data: bytes,
    uid: str = "1.2.3.4",
    sop_class: str = CR,
    context: str = CR,
    syntax: str = EXPLICIT,
) -> set[str]:
    with wire(target, context, syntax) as one:
        tell(one, fragment(3, command(0x0001, sop_class, uid)))
        for start in range(0, max(1, len(data)), 100_000):
            last = start + 100_000 >= len(data)
            tell(one, fragment(2 if last else 0, data[start : start + 100_000]))
        return {ending(one, 30)}


def bomb() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    data = packer.compress(b"\x08\x00\x05\x00UT\0\0" + struct.pack("<I", 2**31))
    data += b"".join(packer.compress(bytes(1 << 20)) for _ in range(300))
    return data + packer.flush()


def crowd() -> bytes:
    """Encode a quarter of a million elements before the first identity."""
    one = struct.pack("<HH2sH", 0x0007, 0x0010, b"LO", 0)
    return one * 250_000 + encoded(patient(), EXPLICIT)


def nested() -> bytes:
    start = b"\x07\x00\x10\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    return start * 50_000


GOOD = patient()
BODY = encoded(GOOD, EXPLICIT)
FILE = bytes(128) + b"DICM" + BODY
OBJECTS: dict[str, tuple[Act, str]] = {
    "an empty data set": (partial(stores, data=b""), NOT_UNDERSTOOD),
    "a data set cut in its header": (partial(stores, data=BODY[:100]), NOT_UNDERSTOOD),
    "noise": (partial(stores, data=PLANTED.encode() * 999), NOT_UNDERSTOOD),
    "zeros": (partial(stores, data=bytes(5000)), NOT_UNDERSTOOD),
    "a program with a DICOM tail": (
        partial(stores, data=b"MZ\x90\0" + bytes(124) + b"DICM" + BODY),
        NOT_UNDERSTOOD,
    ),
    "a whole file in place of its data set": (partial(stores, data=FILE), NOT_UNDERSTOOD),
    "a deflated bomb": (partial(stores, data=bomb(), syntax=DEFLATED), NOT_UNDERSTOOD),
    "a bomb that is not deflated": (partial(stores, data=BODY, syntax=DEFLATED), NOT_UNDERSTOOD),
    "a crowd of elements": (partial(stores, data=crowd()), NOT_UNDERSTOOD),
    "sequences without end": (partial(stores, data=nested()), NOT_UNDERSTOOD),
    "another class than announced": (
        partial(stores, data=BODY, sop_class="1.2.840.10008.5.1.4.1.1.1.1"),
        NOT_SUPPORTED,
    ),
    "another class than the data set's": (
        partial(
            stores,
            data=BODY,
            uid=GOOD.SOPInstanceUID,
            sop_class="1.2.840.10008.5.1.4.1.1.1.1",
            context="1.2.840.10008.5.1.4.1.1.1.1",
        ),
        MISMATCH,
    ),
    "another instance than announced": (partial(stores, data=BODY), MISMATCH),
}
UIDS: dict[str, str] = {
    "a UID that is a path": f"../../../../tmp/{PLANTED}",
    "a UID that is a root": "/etc/passwd",
    "a UID of 65 characters": "1." + "2" * 63,
    "a UID of a kilobyte": "1." + "2" * 1022,
    "a UID with a NUL": "1.2\0.3",
    "a UID with a line end": "1.2\n.3",
    "a UID that is dots": "..",
    "no UID": "",
}


def in_the_data_set(uid: str) -> Act:
    """Put a UID into the study's element, as it is."""
    raw = uid.encode()
    raw += b"\0" * (len(raw) % 2)
    at = BODY.index(b"\x20\x00\x0d\x00UI") + 6
    old = int.from_bytes(BODY[at : at + 2], "little")
    data = BODY[:at] + struct.pack("<H", len(raw)) + raw + BODY[at + 2 + old :]
    return partial(stores, data=data, uid=str(GOOD.SOPInstanceUID))


# -- files --------------------------------------------------------------------------------


def files() -> dict[str, list[bytes]]:
    """Return every malformed file of the corpus by its category."""
    found: dict[str, list[bytes]] = {}
    for path in sorted(DATA.rglob("*.dcm")):
        found.setdefault(path.parent.name, []).append(path.read_bytes())
    with lzma.open(DATA / "more.tar.xz") as packed, tarfile.open(fileobj=packed) as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isfile() else None
            if stream is not None:
                found.setdefault(Path(member.name).parent.name, []).append(stream.read())
    return found


def sends_files(target: Receiver, contents: list[bytes]) -> set[str]:
    """Send each as a CR image: as a data set, and once more with its preamble and all."""
    ended = set()
    for number, content in enumerate(contents):
        data = content.replace(b"1.2.840.10008.5.1.4.1.1.2", b"1.2.840.10008.5.1.4.1.1.1")
        at = 132
        while data[at : at + 2] == b"\x02\x00" and at < 1000:
            long = data[at + 4 : at + 6] in (b"OB", b"UN")
            size = struct.unpack_from("<L" if long else "<H", data, at + (8 if long else 6))[0]
            at += (12 if long else 8) + size
        uid = f"1.2.3.{number}"
        start = data.find(b"\x08\x00\x18\x00UI")
        if start > 0:
            length = int.from_bytes(data[start + 6 : start + 8], "little")
            told = data[start + 8 : start + 8 + length].rstrip(b"\0 ").decode("latin-1")
            uid = told if told.isascii() and len(told) < 5000 else uid
        ended |= stores(target, data[at:], uid) | stores(target, data, uid)
    return ended


# -- floods -------------------------------------------------------------------------------


def probes(target: Receiver) -> set[str]:
    """Connect and hang up, a thousand times."""
    for _ in range(1000):
        target.connect().close()
    return {CUT}


def web_requests(target: Receiver) -> set[str]:
    ended = set()
    for _ in range(30):
        with Wire(target) as one:
            tell(one, f"GET /{PLANTED} HTTP/1.1\r\nHost: pacs\r\n\r\n".encode())
            ended.add(ending(one))
    return ended


def holds_connections(target: Receiver) -> set[str]:
    """Open far more connections than may wait, and keep them."""
    held = []
    for _ in range(200):
        with suppress(OSError):
            held.append(Wire(target))
    ended = {ending(one) for one in held}
    for one in held:
        one.socket.close()
    return ended


def associates_too_often(target: Receiver) -> set[str]:
    held = [Wire(target) for _ in range(30)]
    ended = set()
    for one in held:
        tell(one, pdu(1, request()))
        ended.add(ending(one))
    for one in held:
        one.socket.close()
    return ended


def asks_and_hangs_up(target: Receiver) -> set[str]:
    """Ask for an association, send half an object and go, a hundred times."""
    for _ in range(100):
        with Wire(target) as one:
            tell(one, pdu(1, request()) + STORE + fragment(0, PLANTED.encode() * 100))
    return {CUT}


def never_reads(target: Receiver) -> set[str]:
    """Send requests and read none of the answers."""
    with wire(target, VERIFICATION) as one:
        one.socket.settimeout(5)
        ask = fragment(3, command(0x0030, VERIFICATION, data_set=0x0101))
        for _ in range(500_000):
            try:
                one.socket.sendall(ask)
            except OSError:
                return {CUT}
    return {SUCCESS}


def speaks_tls(target: Receiver) -> set[str]:
    with Wire(target) as one:
        tell(one, bytes.fromhex("16030100c8010000c40303") + bytes(192))
        return {drained(one)}


# -- questions ----------------------------------------------------------------------------


def question(**keys: str | bytes) -> bytes:
    """Encode an identifier in Implicit VR, whatever stands in it."""
    told = b""
    for name, value in sorted(keys.items(), key=lambda one: tag_for_keyword(one[0]) or 0):
        tag = tag_for_keyword(name) or 0
        raw = value.encode() if isinstance(value, str) else value
        raw += b" " * (len(raw) % 2)
        told += struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(raw)) + raw
    return told


_STUDIES = question(QueryRetrieveLevel="STUDY", StudyInstanceUID="", PatientName=PLANTED)
_NESTED = struct.pack("<HHI", 0x0008, 0x1199, 0xFFFFFFFF) + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
QUESTIONS: dict[str, tuple[str, bytes, str]] = {
    "a question without end": (FIND, bytes(3_000_000), NOT_UNDERSTOOD),
    "a question of one endless value": (
        FIND,
        question(QueryRetrieveLevel="STUDY", StudyDescription=PLANTED * 9000),
        NOT_UNDERSTOOD,
    ),
    "a question that declares 4 GiB": (
        FIND,
        struct.pack("<HHI", 0x0008, 0x0052, 0xFFFFFFF0) + b"STUDY ",
        NOT_UNDERSTOOD,
    ),
    "a question that nests without end": (FIND, _NESTED * 4000, NOT_UNDERSTOOD),
    "a question about nothing": (FIND, b"", MISMATCH),
    "a question about patients": (
        FIND,
        question(QueryRetrieveLevel="PATIENT", PatientName=PLANTED),
        MISMATCH,
    ),
    "a question about a path": (
        FIND,
        question(QueryRetrieveLevel="STUDY", StudyInstanceUID="../../../../etc/x"),
        MISMATCH,
    ),
    "a question of wildcards alone": (
        FIND,
        question(QueryRetrieveLevel="STUDY", PatientName="*?" * 20_000),
        SUCCESS,
    ),
    "a retrieval of everything": (GET, _STUDIES, MISMATCH),
    "a retrieval to a stranger": (
        MOVE,
        question(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2.3"),
        "0xA801",
    ),
}
_FIELDS = {FIND: 0x0020, GET: 0x0010, MOVE: 0x0021}


def asks(target: Receiver, name: str) -> set[str]:
    """Ask a question, of whatever size."""
    service, identifier, _ = QUESTIONS[name]
    with wire(target, service, IMPLICIT) as one:
        tell(one, fragment(3, command(_FIELDS[service], service)))
        for at in range(0, max(1, len(identifier)), 16_000):
            is_last = at + 16_000 >= len(identifier)
            tell(one, fragment(2 if is_last else 0, identifier[at : at + 16_000]))
        return {ending(one)}


def asks_without_waiting(target: Receiver) -> set[str]:
    """Ask a hundred questions at once."""
    with wire(target, FIND, IMPLICIT) as one:
        ask = fragment(3, command(0x0020, FIND)) + fragment(2, _STUDIES)
        tell(one, ask * 100)
        return {drained(one)}


TABLE: tuple[Attack, ...] = (
    *(
        attack(
            f"a peer that loiters {stage}",
            partial(loiter, stage=stage),
            *(CUT, ABORTED, RELEASED),
            says="" if "released" in stage else REMARKED,
        )
        for stage in STAGES
    ),
    *table_9_10(),
    attack("1 GiB as a request", partial(gibibyte, associated=False, kind=1), CUT, says="1073741"),
    attack("1 GiB as data", partial(gibibyte, associated=True, kind=4), CUT, says="1073741824"),
    attack("an object without end", endless_object, NO_ROOM, says="max_object_bytes"),
    attack("a command without end", endless_command, ABORTED, CUT, says="too long"),
    attack("fragments of a byte", many_fragments, NOT_UNDERSTOOD, says="refused"),
    *(
        attack(
            f"a request with {name}",
            partial(asks_absurdly, name=name),
            UNACCEPTED.get(name, ACCEPTED),
            says=REMARKED if name in UNACCEPTED else "",
        )
        for name in ABSURD
    ),
    *(
        attack(name, partial(asks_for_what_is_not_offered, field=field), ABORTED, says="aborted")
        for name, field in NOT_OFFERED.items()
    ),
    *(
        attack(name, partial(speaks, messages=messages), ABORTED, says="aborted")
        for name, messages in ODD_MESSAGES.items()
    ),
    *(attack(name, act, status, says="refused") for name, (act, status) in OBJECTS.items()),
    *(
        attack(name, partial(stores, data=BODY, uid=uid), MISMATCH, says="refused with 0xA900")
        for name, uid in UIDS.items()
    ),
    *(
        attack(
            f"{name}, of the study", in_the_data_set(uid), NOT_UNDERSTOOD, says="refused with 0xC0"
        )
        for name, uid in UIDS.items()
    ),
    *(
        attack(
            f"the files of {name}",
            partial(sends_files, contents=found),
            *(SUCCESS, MISMATCH, NOT_UNDERSTOOD),
            says="refused",
        )
        for name, found in files().items()
    ),
    *(
        attack(
            name, partial(asks, name=name), ends, says="C-FIND" if ends == SUCCESS else "refused"
        )
        for name, (_, _, ends) in QUESTIONS.items()
    ),
    attack("a hundred questions at once", asks_without_waiting, ABORTED, SUCCESS),
    attack("a thousand health checks", probes, CUT, says="said nothing"),
    attack("a web browser", web_requests, CUT, ABORTED, says="became no association"),
    attack("a TLS client where none is spoken", speaks_tls, CUT, ABORTED, says="became no"),
    attack("two hundred silent connections", holds_connections, CUT, ABORTED),
    attack(
        "too many associations", associates_too_often, ACCEPTED, REJECTED, CUT, says="limit exceed"
    ),
    attack("a peer that asks and hangs up", asks_and_hangs_up, CUT, says="cut or aborted"),
    attack("a peer that never reads", never_reads, CUT, says="cut or aborted"),
)
