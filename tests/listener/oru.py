"""Invented ORU^R01 messages, and a sender that speaks MLLP."""

from __future__ import annotations

import socket
from types import TracebackType

VT, FS, CR = b"\x0b", b"\x1c", b"\r"
TEXT = "Buckle fracture of the distal radius."


def oru(
    *observations: str,
    control_id: str = "1",
    kind: str = "ORU^R01^ORU_R01",
    status: str = "F",
    patient: str = "INVENTED-1",
    order: str = "F1",
    accession: str = "",
    study: str = "",
    changed: str = "20240101120000",
    processing_id: str = "P",
    character_set: str = "",
    accept: str = "",
    application: str = "",
    more: tuple[str, ...] = (),
) -> bytes:
    """Return a message with one order; observations are whole OBX or NTE segments, or just text."""
    header = f"MSH|^~\\&|RIS|HOSPITAL|WRISTMIR|HOSPITAL|20240101120000||{kind}|{control_id}"
    header += f"|{processing_id}|2.5|||{accept}|{application}||{character_set}"
    request = (
        f"OBR|1|P1|{order}|73100^Wrist|||20240101|||||||||||{accession}||||{changed}|||{status}"
    )
    body = [
        one if one[:4] in ("OBX|", "NTE|") else f"OBX|{n}|TX|73100&GDT^Wrist||{one}||||||{status}"
        for n, one in enumerate(observations, start=1)
    ]
    segments = [header, f"PID|1||{patient}||Invented^Ines", f"ORC|RE|P1|{order}", request, *body]
    if study:
        segments.append(f"ZDS|{study}^DCM^Application^DICOM")
    return "\r".join([*segments, *more]).encode() + CR


class Sender:
    """One MLLP connection from this machine."""

    def __init__(self, port: int, own_address: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10, (own_address, 0))
        self._rest = b""

    def __enter__(self) -> Sender:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()

    def send(self, message: bytes) -> list[list[str]]:
        """Send a message and return the segments of its acknowledgement; none where cut off."""
        self.socket.sendall(VT + message + FS + CR)
        return self.answer()

    def answer(self) -> list[list[str]]:
        """Read the next acknowledgement."""
        while FS + CR not in self._rest:
            try:
                piece = self.socket.recv(4096)
            except ConnectionError:
                piece = b""
            if not piece:
                return []
            self._rest += piece
        block, _, self._rest = self._rest.partition(FS + CR)
        assert block.startswith(VT)
        return [line.split("|") for line in block[1:].decode("latin-1").split("\r") if line]

    def is_cut(self, seconds: float = 5) -> bool:
        """Tell whether the connection is ended in time without an answer."""
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(1) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True


def code(answer: list[list[str]]) -> str:
    """Return the acknowledgement code (MSA-1); empty where there is no answer."""
    return next((segment[1] for segment in answer if segment[0] == "MSA"), "")


def deliver(port: int, *messages: bytes) -> list[str]:
    """Send messages over one connection and return their acknowledgement codes."""
    with Sender(port) as sender:
        return [code(sender.send(message)) for message in messages]
