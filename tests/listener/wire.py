"""A DICOM peer that writes its PDUs by hand, for what no library would send."""

from __future__ import annotations

import struct
from types import TracebackType

from station import Station

CR = "1.2.840.10008.5.1.4.1.1.1"
VERIFICATION = "1.2.840.10008.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"


class Wire:
    """One connection to a station."""

    def __init__(self, link: Station) -> None:
        self.socket = link.connect()
        self.socket.settimeout(10)

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()

    def send(self, kind: int, body: bytes, length: int | None = None) -> None:
        """Send one PDU; its declared length may lie."""
        declared = len(body) if length is None else length
        self.socket.sendall(struct.pack(">BBI", kind, 0, declared) + body)

    def read(self) -> tuple[int, bytes]:
        """Read one PDU; type 0 where the connection was closed."""
        try:
            start = self._exactly(6)
            if len(start) < 6:
                return 0, b""
            kind, _, length = struct.unpack(">BBI", start)
            return int(kind), self._exactly(length)
        except (ConnectionError, TimeoutError):
            return 0, b""

    def is_cut(self, seconds: float = 5) -> bool:
        """Tell whether the listener ends the connection in time."""
        self.socket.settimeout(seconds)
        try:
            while self.socket.recv(65536):
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return True

    def associate(
        self,
        *,
        calling: bytes = b"PACS",
        called: bytes = b"WRISTMIR",
        abstract: str = CR,
        syntax: str = EXPLICIT,
    ) -> int:
        """Ask for an association with one context, id 1; return the type of the answer."""
        self.send(1, association_request(calling, called, abstract, syntax))
        kind, _ = self.read()
        return kind

    def fragment(self, control: int, data: bytes, context: int = 1) -> None:
        """Send one P-DATA with one fragment."""
        item = struct.pack(">IBB", len(data) + 2, context, control) + data
        self.send(4, item)

    def begin_store(self, sop_class: str, uid: str, data: bytes) -> None:
        """Send a C-STORE-RQ and the first piece of its data set."""
        self.fragment(3, command(0x0001, sop_class, uid))
        self.fragment(0, data)

    def store(self, sop_class: str, uid: str, data: bytes) -> int | None:
        """Send an object; return its status, None where the connection ended instead."""
        self.fragment(3, command(0x0001, sop_class, uid))
        for start in range(0, max(1, len(data)), 16000):
            is_last = start + 16000 >= len(data)
            self.fragment(2 if is_last else 0, data[start : start + 16000])
        return self.status()

    def status(self) -> int | None:
        """Read a response and return its status."""
        kind, body = self.read()
        if kind != 4:
            return None
        at = body.index(struct.pack("<HHI", 0, 0x0900, 2)) + 8
        return int.from_bytes(body[at : at + 2], "little")

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (piece := self.socket.recv(size - len(data))):
            data += piece
        return data


def rejection(
    link: Station, *, calling: str = "PACS", called: str = "WRISTMIR"
) -> tuple[int, int, int]:
    """Associate in vain; return result, source and reason (DICOM PS3.8 section 9.3.4).

    By hand: pynetdicom's requestor takes one rejection in some hundreds for a lost connection.
    """
    with Wire(link) as wire:
        wire.send(1, association_request(calling.encode(), called.encode(), CR, EXPLICIT))
        kind, body = wire.read()
    assert kind == 3, f"the answer was a PDU of type {kind}"
    return body[1], body[2], body[3]


def association_request(calling: bytes, called: bytes, abstract: str, syntax: str) -> bytes:
    """Encode an A-ASSOCIATE-RQ without its first six bytes (DICOM PS3.8 section 9.3.2)."""

    def item(kind: int, body: bytes) -> bytes:
        return struct.pack(">BBH", kind, 0, len(body)) + body

    context = b"\1\0\0\0" + item(0x30, abstract.encode()) + item(0x40, syntax.encode())
    user = item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.3.4")
    return (
        struct.pack(">HH", 1, 0)
        + called.ljust(16)
        + calling.ljust(16)
        + bytes(32)
        + item(0x10, b"1.2.840.10008.3.1.1.1")
        + item(0x20, context)
        + item(0x50, user)
    )


def command(field: int, sop_class: str, uid: str = "", data_set: int = 0) -> bytes:
    """Encode a command set."""
    values = [(0x0002, _even(sop_class)), (0x0100, struct.pack("<H", field))]
    values += [(0x0110, b"\7\0"), (0x0700, b"\0\0"), (0x0800, struct.pack("<H", data_set))]
    if uid:
        values.append((0x1000, _even(uid)))
    body = b"".join(struct.pack("<HHI", 0, e, len(v)) + v for e, v in values)
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def _even(value: str) -> bytes:
    return value.encode() + b"\0" * (len(value) % 2)
