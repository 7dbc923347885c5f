"""A sender that costs next to nothing: the same bytes for every receiver, from memory.

``python pinned_sender.py PORT CALLED SIZE COUNT ASSOCIATIONS`` sends COUNT objects of SIZE bytes
over so many associations at once, each object only after the one before it was acknowledged, and
prints the seconds from the first byte to the last acknowledgement.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading
import time

CR = "1.2.840.10008.5.1.4.1.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"
CALLING = b"RIG"
MOST_PDU = 131072


def main(port: int, called: str, size: int, count: int, associations: int) -> None:
    """Send, and print the seconds."""
    links = [Link(port, called.encode(), number) for number in range(associations)]
    shares = [count // associations + (n < count % associations) for n in range(associations)]
    failed: list[str] = []
    threads = [
        threading.Thread(target=link.run, args=(size, share, failed), daemon=True)
        for link, share in zip(links, shares, strict=True)
    ]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    for link in links:
        link.release()
    if failed:
        sys.exit(failed[0])
    sys.stdout.write(f"{seconds}\n")


class Link:
    """One association, with PDUs as large as the receiver takes, up to 128 KiB."""

    def __init__(self, port: int, called: bytes, number: int) -> None:
        self._number = number
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pdu(1, _request(called))
        kind, body = self._read()
        if kind != 2:
            sys.exit(f"the association was answered with PDU type {kind}")
        at = body.index(b"\x51\0\0\4") + 4
        theirs = int.from_bytes(body[at : at + 4], "big") or MOST_PDU
        self._most = min(theirs, MOST_PDU) - 6

    def run(self, size: int, count: int, failed: list[str]) -> None:
        """Send so many objects, one after the other."""
        study = f"2.25.{time.time_ns()}.{self._number}"
        template, at = data_set(size, study)
        pieces = bytearray(template)
        for n in range(count):
            uid = f"{study}.{n:08d}"[-64:]
            pieces[at : at + len(uid)] = uid.encode()
            status = self._store(uid, pieces)
            if status:
                failed.append(f"status 0x{status:04X}")
                return

    def release(self) -> None:
        """End the association in order."""
        self._pdu(5, bytes(4))
        self._read()
        self._socket.close()

    def _store(self, uid: str, data: bytearray) -> int:
        values = [
            (0x0002, _even(CR)),
            (0x0100, b"\1\0"),
            (0x0110, b"\1\0"),
            (0x0700, b"\0\0"),
            (0x0800, b"\0\0"),
            (0x1000, _even(uid)),
        ]
        body = b"".join(struct.pack("<HHI", 0, e, len(v)) + v for e, v in values)
        command = struct.pack("<HHII", 0, 0, 4, len(body)) + body
        self._pdu(4, struct.pack(">IBB", len(command) + 2, 1, 3) + command)
        view = memoryview(data)
        for start in range(0, len(data), self._most):
            piece = view[start : start + self._most]
            last = 2 if start + self._most >= len(data) else 0
            head = struct.pack(">BBIIBB", 4, 0, len(piece) + 6, len(piece) + 2, 1, last)
            sent = self._socket.sendmsg([head, piece])
            if sent < len(head):
                self._socket.sendall(head[sent:])
                sent = len(head)
            self._socket.sendall(piece[sent - len(head) :])
        kind, answer = self._read()
        if kind != 4:
            return 0xFFFF
        found = answer.index(struct.pack("<HHI", 0, 0x0900, 2)) + 8
        return int.from_bytes(answer[found : found + 2], "little")

    def _pdu(self, kind: int, body: bytes) -> None:
        self._socket.sendall(struct.pack(">BBI", kind, 0, len(body)) + body)

    def _read(self) -> tuple[int, bytes]:
        kind, _, length = struct.unpack(">BBI", self._exactly(6))
        return int(kind), self._exactly(length)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self._socket.recv(size - len(data))
            if not piece:
                sys.exit("the receiver closed the connection")
            data += piece
        return data


def data_set(size: int, study: str) -> tuple[bytes, int]:
    """Return an invented radiograph of so many bytes, and where its SOP Instance UID stands."""
    rows, columns = size // 4096 or 1, 2048
    pixels = rows * columns * 2
    uid = f"{study}.{0:08d}"[-64:]
    elements = [
        (0x0008, 0x0016, b"UI", _even(CR)),
        (0x0008, 0x0018, b"UI", _even(uid)),
        (0x0008, 0x0060, b"CS", b"CR"),
        (0x0010, 0x0010, b"PN", b"Invented^Ines "),
        (0x0010, 0x0020, b"LO", b"INVENTED-1"),
        (0x0020, 0x000D, b"UI", _even(study)),
        (0x0020, 0x000E, b"UI", _even(study + ".1")),
        (0x0028, 0x0002, b"US", b"\1\0"),
        (0x0028, 0x0004, b"CS", b"MONOCHROME2 "),
        (0x0028, 0x0010, b"US", struct.pack("<H", rows)),
        (0x0028, 0x0011, b"US", struct.pack("<H", columns)),
        (0x0028, 0x0100, b"US", b"\x10\0"),
        (0x0028, 0x0101, b"US", b"\x0c\0"),
        (0x0028, 0x0102, b"US", b"\x0b\0"),
        (0x0028, 0x0103, b"US", b"\0\0"),
    ]
    encoded = b"".join(
        struct.pack("<HH2sH", group, element, vr, len(value)) + value
        for group, element, vr, value in elements
    )
    at = encoded.index(struct.pack("<HH2s", 8, 0x18, b"UI")) + 8
    head = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, pixels)
    noise = bytes(n * 73 & 0xFF for n in range(4096)) * (pixels // 4096 + 1)
    return encoded + head + noise[:pixels], at


def _request(called: bytes) -> bytes:
    def item(kind: int, body: bytes) -> bytes:
        return struct.pack(">BBH", kind, 0, len(body)) + body

    context = b"\1\0\0\0" + item(0x30, CR.encode()) + item(0x40, EXPLICIT.encode())
    user = item(0x51, struct.pack(">I", MOST_PDU)) + item(0x52, b"1.2.3.4")
    return (
        struct.pack(">HH", 1, 0)
        + called.ljust(16)
        + CALLING.ljust(16)
        + bytes(32)
        + item(0x10, b"1.2.840.10008.3.1.1.1")
        + item(0x20, context)
        + item(0x50, user)
    )


def _even(text: str) -> bytes:
    encoded = text.encode()
    return encoded + b"\0" * (len(encoded) % 2)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], *(int(value) for value in sys.argv[3:6]))
