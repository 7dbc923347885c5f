"""A requester: puts questions to an archive, within bounds, whatever it answers.

pynetdicom waits for each response as long as it is told to, and reads PDUs and messages of any
size. Here a question as a whole has a deadline and a PDU and an identifier a largest size; an
archive that breaks them loses its association, and the next question makes a new one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Self

from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_primitives import C_FIND, C_MOVE
from pynetdicom.transport import AssociationSocket

from listener.destination_settings import DestinationSettings
from listener.errors import ListenerError, PeerConnectionError, QueryError
from listener.sender import associated

__all__ = ["IMPLICIT", "PENDING", "Patience", "Requester", "Response", "identifier"]

_log = logging.getLogger("wristmir.listener")

IMPLICIT = "1.2.840.10008.1.2"
"""Implicit VR Little Endian: what every archive speaks (DICOM PS3.5 section 10.1)."""

PENDING = frozenset({0xFF00, 0xFF01})
"""The statuses after which more comes (DICOM PS3.4 tables C.4-1 and C.4-2)."""

_MOST_IDENTIFIER = 64 * 1024  # bytes; an answer holds a few keys
_MOST_PDU = 1024 * 1024  # bytes; 16 KiB are offered, and not every archive keeps to it
_POLL_SECONDS = 0.001
_GOING_SECONDS = 2.0


@dataclass(frozen=True)
class Patience:
    """How long a question may take as a whole, and how long each answer may be waited for."""

    seconds: float
    answer_seconds: float


@dataclass(frozen=True)
class Response:
    """One response to a C-FIND or C-MOVE; the numbers are those of a C-MOVE's sub-operations."""

    status: int
    identifier: bytes = b""
    completed: int = 0
    failed: int = 0


class Requester:
    """Asks one archive over an association that is made when needed, and anew where it broke.

    Parameters
    ----------
    there
        The archive.
    calling_ae
        The AE title that asks.
    sop_classes
        What is asked of it: the query and retrieve models.

    Attributes
    ----------
    reused
        Whether the last question went over an association that was there already, and that the
        archive may have given up meanwhile.
    """

    def __init__(
        self, there: DestinationSettings, calling_ae: str, sop_classes: Collection[str]
    ) -> None:
        self.there = there
        self.reused = False
        self._calling_ae = calling_ae
        self._contexts = {(uid, IMPLICIT) for uid in sop_classes}
        self._held = ExitStack()
        self._association: Association | None = None
        self._message_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the association, if there is one."""
        self._association = None
        self._held.close()

    def ask(
        self, request: C_FIND | C_MOVE, keys: bytes, sop_class: str, patience: Patience
    ) -> Generator[Response, None, None]:
        """Put a question and yield its responses, the final one included.

        Who stops listening before the final one ends the association.

        Raises
        ------
        QueryError
            Where the archive cannot be reached, does not offer the SOP class, stops in the
            middle, answers what is no answer or takes too long; names it and the reason only.
        """
        association = self._associated()
        contexts = [c for c in association.accepted_contexts if c.abstract_syntax == sop_class]
        if not contexts:
            raise QueryError(self._about("does not offer this query and retrieve service"))
        self._message_id = self._message_id % 65535 + 1
        request.MessageID = self._message_id
        request.AffectedSOPClassUID = sop_class
        request.Priority = 0x0002
        request.Identifier = BytesIO(keys)
        # the association's own thread must not take the answers
        association._reactor_checkpoint.clear()
        final = False
        try:
            while not association._is_paused and association.is_alive():
                time.sleep(0.0001)
            association.dimse.send_msg(request, contexts[0].context_id)
            for response in self._responses(association, request, patience):
                final = response.status not in PENDING
                yield response
        finally:
            association._reactor_checkpoint.set()
            if not final:
                self._give_up(association)

    def _associated(self) -> Association:
        self.reused = self._association is not None and self._association.is_established
        if self._association is not None and self.reused:
            return self._association
        self.close()
        try:
            made = self._held.enter_context(
                associated(self.there, self._calling_ae, self._contexts)
            )
        except ListenerError as error:
            msg = f"{self.there.name}: {error.detail}"
            raise QueryError(msg) from None
        if made.dul.socket is None:
            raise QueryError(self._about("closed the connection"))
        made.dul.socket.__class__ = _Socket
        made.dul.socket.seconds = self.there.timeout_seconds
        made.dimse.__class__ = _Dimse
        self._association = made
        return made

    def _responses(
        self, association: Association, request: C_FIND | C_MOVE, patience: Patience
    ) -> Iterator[Response]:
        end = time.monotonic() + patience.seconds
        while True:
            deadline = min(end, time.monotonic() + patience.answer_seconds)
            answer = self._next(association, deadline)
            alike = type(answer) is type(request) and answer.is_valid_response
            if not alike or answer.MessageIDBeingRespondedTo != request.MessageID:
                raise QueryError(self._about("answered with something that is no answer"))
            response = _response(answer)
            yield response
            if response.status not in PENDING:
                return

    def _next(self, association: Association, deadline: float) -> Any:
        while True:
            _, answer = association.dimse.get_msg(block=False)
            if answer is not None:
                return answer
            if association.acse.is_aborted() or not association.dul.is_alive():
                raise QueryError(self._about("stopped in the middle"))
            if time.monotonic() > deadline:
                raise QueryError(self._about("did not answer in time"))
            time.sleep(_POLL_SECONDS)

    def _give_up(self, association: Association) -> None:
        """End the association, and with it whatever the archive may still be doing."""
        deadline = time.monotonic() + _GOING_SECONDS
        while association.is_established and association.acse.is_aborted():
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL_SECONDS)  # its own thread has yet to notice that it is over
        if association.is_established and not association.acse.is_aborted():
            association.abort()
        self.close()

    def _about(self, words: str) -> str:
        return f"{self.there.name} {words}."


def identifier(level: str, keys: dict[int, str]) -> bytes:
    """Return the identifier of a query: its level, and its keys by tag, empty ones to be filled.

    Implicit VR Little Endian (DICOM PS3.5 section 7.1.3, PS3.4 section C.4.1.1.3).
    """
    encoded = b""
    for tag, value in sorted({_LEVEL: level, **keys}.items()):
        padding = b"\0" if tag in _UIDS else b" "
        raw = value.encode("ascii")
        raw += padding * (len(raw) % 2)
        head = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
        encoded += head + len(raw).to_bytes(4, "little") + raw
    return encoded


_LEVEL = 0x00080052
_UIDS = frozenset({0x00080016, 0x00080018, 0x0020000D, 0x0020000E})


class _Socket(AssociationSocket):
    """Reads PDUs of an honest size, and not for ever."""

    seconds: float

    def recv(self, nr_bytes: int) -> bytearray:
        """Read exactly so many bytes, or what came before the archive closed.

        Raises
        ------
        PeerConnectionError
            If the archive declares too large a PDU, or does not complete it in time.
        """
        if nr_bytes > _MOST_PDU:
            msg = f"It declared a PDU of {nr_bytes} bytes."
            raise PeerConnectionError(msg)
        deadline = time.monotonic() + self.seconds
        received = bytearray()
        while len(received) < nr_bytes:
            left = deadline - time.monotonic()
            if left <= 0 or self.socket is None:
                msg = "It did not complete a PDU in time."
                raise PeerConnectionError(msg)
            self.socket.settimeout(left)
            piece = self.socket.recv(min(65536, nr_bytes - len(received)))
            if not piece:
                break
            received += piece
        return received


class _Dimse(DIMSEServiceProvider):
    """Takes messages of an honest size; what is none ends the association, not the thread."""

    def receive_primitive(self, primitive: Any) -> None:
        """Take one more piece of a message."""
        try:
            super().receive_primitive(primitive)
            whole = self.message is None or _size(self.message) <= _MOST_IDENTIFIER
        except Exception as error:  # noqa: BLE001 - an association ends here, whatever came
            _log.warning("an archive sent what is no message: %s", type(error).__name__)
            whole = False
        if not whole:
            self.dul.event_queue.put("Evt19")  # as for a PDU that cannot be understood


def _size(message: Any) -> int:
    """Return how many bytes of a message have come."""
    return int(message.data_set.tell() + message.encoded_command_set.tell())


def _response(answer: Any) -> Response:
    given = answer.Identifier.getvalue() if answer.Identifier is not None else b""
    return Response(
        status=int(answer.Status),
        identifier=given,
        completed=int(getattr(answer, "NumberOfCompletedSuboperations", 0) or 0),
        failed=int(getattr(answer, "NumberOfFailedSuboperations", 0) or 0),
    )
