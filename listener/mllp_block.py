"""The blocks of the Minimal Lower Layer Protocol (HL7 v2 transport specification, MLLP R1)."""

from __future__ import annotations

from listener.errors import PeerConnectionError

__all__ = ["BlockReader", "framed"]

_START, _END = b"\x0b", b"\x1c"
_BETWEEN = b"\r\n \0"  # what some senders leave between two blocks
_BEGUN_ANEW = _START + b"MSH"


class BlockReader:
    """Cuts a stream of bytes into messages, whatever pieces it comes in.

    A block ends with its end character; the carriage return behind it is not waited for. Where a
    new message begins inside a block, its sender has given up the one before.

    Parameters
    ----------
    most_bytes
        Largest message.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._buffer = bytearray()
        self._looked_at = 0

    @property
    def begun(self) -> bool:
        """Whether a message has begun and is not complete."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next piece; return the messages that it completes, without their frames.

        Raises
        ------
        PeerConnectionError
            If the stream is no MLLP, or a message is too large.
        """
        self._buffer += data
        blocks: list[bytes] = []
        while True:
            self._begin()
            end = self._buffer.find(_END, self._looked_at)
            size = (len(self._buffer) if end < 0 else end) - 1
            if size > self._most_bytes:
                msg = "A message is larger than max_message_bytes."
                raise PeerConnectionError(msg)
            if end < 0:
                self._looked_at = len(self._buffer)
                return blocks
            blocks.append(self._block(end))
            del self._buffer[: end + 1]
            self._looked_at = 0

    def _begin(self) -> None:
        """Drop what stands before a block; it can only be what stands between two."""
        if self._looked_at:
            return
        rest = self._buffer.lstrip(_BETWEEN)
        if rest and not rest.startswith(_START):
            msg = "A message does not begin with MLLP's start character."
            raise PeerConnectionError(msg)
        self._buffer = rest

    def _block(self, end: int) -> bytes:
        block = bytes(self._buffer[:end])
        return block[max(block.rfind(_BEGUN_ANEW), 0) + 1 :]


def framed(message: bytes) -> bytes:
    """Return a message as it goes over the wire."""
    return _START + message + _END + b"\r"
