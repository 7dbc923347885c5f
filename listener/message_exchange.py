"""The messages of an association (DICOM PS3.7), within bounds, and served as they come."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn

from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.pdu_primitives import P_DATA

from listener.command import Command, Reply, encode_event_report, encode_reply, read_command
from listener.commitment import INSTANCE, encode_verdict
from listener.commitment import SOP_CLASS as STORAGE_COMMITMENT
from listener.correspondence import Report
from listener.errors import PeerConnectionError
from listener.inbox import Spool
from listener.retrieval import RETRIEVAL
from listener.step_terms import PULL, PUSH, QUERY, WATCH
from listener.storage import Visit
from listener.study_root import FIND, GET, MOVE

__all__ = ["MessageExchange", "PendingMessage"]

_log = logging.getLogger("wristmir.listener")

_MOST_COMMAND_BYTES = 16 * 1024
_MOST_PENDING = 8  # no asynchronous operations are negotiated: nobody may need more
_OWN_PDU, _MOST_PDU = 16384, 131072
_COMMAND, _LAST = 1, 2  # bits of a message control header (DICOM PS3.8 annex E.2)


@dataclass(frozen=True, eq=False)
class PendingMessage:
    """A message for the association's own thread; one without a data set has no spool."""

    command: Command
    spool: Spool | None

    @property
    def is_answer(self) -> bool:
        """Whether it answers a report of ours."""
        return self.command.field == _REPORT_RESPONSE


class MessageExchange(DIMSEServiceProvider):
    """Takes messages apart within bounds; a data set goes straight to its spool.

    C-STORE and C-ECHO are served in the network thread itself: a peer may not go on before it is
    answered, so there is nothing to gain by handing them over. What is about storage commitment
    or procedure steps, or asks for what is held, is left to the association's own thread, which
    also tells peers what they are owed.
    """

    def prepare(self) -> None:
        """Set what a plain provider does not have."""
        self._encoded = bytearray()
        self._context_id = 0
        self._command: Command | None = None
        self._spool: Spool | None = None
        self._pending: list[Spool] = []

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take what came outside of data transfer; whoever breaks the rules is aborted."""
        try:
            for context_id, fragment in primitive.presentation_data_value_list:
                view = memoryview(bytes(fragment))
                if view:
                    self.take(context_id, view[0], view[1:], is_end=True)
        except PeerConnectionError as error:
            _log.warning("an association is aborted: %s", error)
            self.dul.event_queue.put("Evt19")  # invalid PDU: A-ABORT, DICOM PS3.8 table 9-10

    def take(self, context_id: int, control: int, piece: memoryview, *, is_end: bool) -> None:
        """Take a piece of a fragment (DICOM PS3.8 annex E.2).

        Raises
        ------
        PeerConnectionError
            If the peer breaks the rules of messages, or asks for what is not offered.
        """
        is_last = is_end and bool(control & _LAST)
        if control & _COMMAND:
            self._take_command(context_id, piece, is_last=is_last)
            return
        if self._command is None or self._spool is None:
            msg = "A data set came without a command."
            raise PeerConnectionError(msg)
        if context_id != self._context_id:
            msg = "A message changed its presentation context."
            raise PeerConnectionError(msg)
        self._spool.write(piece)
        if is_last:
            self._complete(self._command)

    def get_msg(self, block: bool = False) -> Any:
        """Return what came, if anything; in between the peer is told what it is owed."""
        association, visit = self.assoc, self._visit
        is_idle = self._command is None and not self._encoded and self.msg_queue.empty()
        if is_idle and association.is_established and visit is not None:
            report = visit.correspondence.due()
            if report is not None:
                self._send_report(report)
        return super().get_msg(block)

    def send_reply(self, context_id: int, command: Command, reply: Reply) -> None:
        """Send the answer to a request."""
        self._send(context_id, encode_reply(command, reply), _COMMAND)

    @property
    def fragment_bytes(self) -> int:
        """Bytes of a fragment: the peer may take PDUs of any length, and is not sent any."""
        return max(16, min(self.maximum_pdu_size or _OWN_PDU, _MOST_PDU) - 6)

    def send_identifier(self, context_id: int, identifier: bytes) -> None:
        """Send the data set that belongs to the command before."""
        self._send(context_id, identifier, 0)

    def send_command(self, context_id: int, encoded: bytes) -> None:
        """Send a command set."""
        self._send(context_id, encoded, _COMMAND)

    def pieces(self, stream: BinaryIO) -> Iterator[tuple[bytes, bool]]:
        """Cut a data set into what fits the peer's PDUs; the last one says so."""
        piece = stream.read(self.fragment_bytes)
        while True:
            following = stream.read(self.fragment_bytes)
            yield piece, not following
            if not following:
                return
            piece = following

    def send_piece(self, context_id: int, piece: bytes, *, is_last: bool) -> None:
        """Send one piece of a data set."""
        primitive = P_DATA()
        header = bytes([_LAST if is_last else 0])
        primitive.presentation_data_value_list.append([context_id, header + piece])
        self.dul.send_pdu(primitive)

    def discard(self) -> None:
        """Give up what was not served."""
        for spool in [*self._pending, *([] if self._spool is None else [self._spool])]:
            spool.discard()

    @property
    def _visit(self) -> Visit | None:
        visit: Visit | None = self.assoc.visit
        return visit

    def _send_report(self, report: Report) -> None:
        context = self.assoc._accepted_cx[report.context_id]
        command = Command(
            Command.N_EVENT_REPORT,
            report.message_id,
            has_data_set=True,
            sop_class_uid=STORAGE_COMMITMENT,
            sop_instance_uid=INSTANCE,
            type_id=report.verdict.event_type,
        )
        self._send(report.context_id, encode_event_report(command), _COMMAND)
        information = encode_verdict(report.verdict, str(context.transfer_syntax[0]))
        self._send(report.context_id, information, 0)

    def _send(self, context_id: int, encoded: bytes, kind: int) -> None:
        """Send a command or data set, in as many fragments as the peer wants."""
        most = self.fragment_bytes
        for start in range(0, len(encoded), most):
            is_last = start + most >= len(encoded)
            header = bytes([kind | (_LAST if is_last else 0)])
            primitive = P_DATA()
            primitive.presentation_data_value_list.append(
                [context_id, header + encoded[start : start + most]]
            )
            self.dul.send_pdu(primitive)

    def _take_command(self, context_id: int, piece: memoryview, *, is_last: bool) -> None:
        if self._command is not None:
            msg = "A command came within a data set."
            raise PeerConnectionError(msg)
        if len(self._encoded) + len(piece) > _MOST_COMMAND_BYTES:
            msg = "A command set is too long."
            raise PeerConnectionError(msg)
        self._encoded += piece
        if not is_last:
            return
        command = read_command(bytes(self._encoded))
        self._encoded.clear()
        self._context_id = context_id
        if command.field == Command.C_ECHO and not command.has_data_set:
            self._serve(command, None)
        elif command.field in _ABOUT_ANOTHER and not command.has_data_set:
            self._hand_over(command, None)
        elif command.field in (Command.C_STORE, *_HANDED_OVER):
            self._spool = self._opened(command)
            self._command = command
            if not command.has_data_set:  # it is answered all the same: nothing to understand
                self._complete(command)
        else:
            _not_offered(command)

    def _opened(self, command: Command) -> Spool:
        """Return where the data set of a message goes."""
        context, visit = self._context(), self._visit
        if command.field not in _SERVICES.get(str(context.abstract_syntax), (Command.C_STORE,)):
            _not_offered(command)
        if command.field not in _REPORTS and not context.as_scp:
            _not_offered(command)  # it has negotiated the other role
        if visit is None:
            _not_offered(command)
        syntax = str(context.transfer_syntax[0])
        if str(context.abstract_syntax) in _OF_STEPS:
            return visit.steps.begin(syntax)
        if command.field in _ABOUT_COMMITMENT:
            return visit.correspondence.begin(syntax)
        if command.field in RETRIEVAL:
            return visit.retrieval.begin(syntax)
        return visit.begin(command, syntax)

    def _complete(self, command: Command) -> None:
        spool = self._spool
        if command.field not in _HANDED_OVER or spool is None:
            self._serve(command, spool)
        self._command = self._spool = None  # until here nothing else is said to the peer
        if command.field in _HANDED_OVER and spool is not None:
            self._hand_over(command, spool)

    def _hand_over(self, command: Command, spool: Spool | None) -> None:
        self._pending = [one for one in self._pending if not one.closed]
        self._pending += [] if spool is None else [spool]
        if max(len(self._pending), self.msg_queue.qsize()) > _MOST_PENDING:
            msg = "It sends without waiting for answers."
            raise PeerConnectionError(msg)
        self.msg_queue.put((self._context_id, PendingMessage(command, spool)))
        self.dul.activity.set()

    def _serve(self, command: Command, spool: Spool | None) -> None:
        context, visit = self._context(), self._visit
        reply = Reply(0x0000)
        if visit is not None and spool is not None:
            reply = visit.store(command, str(context.abstract_syntax), spool)
        if visit is not None:
            visit.correspondence.heard()
        self.send_reply(self._context_id, command, reply)

    def _context(self) -> Any:
        context = self.assoc._accepted_cx.get(self._context_id)
        if context is None:
            msg = "It used a presentation context that was not accepted."
            raise PeerConnectionError(msg)
        return context


_REPORT_RESPONSE = Command.N_EVENT_REPORT | Command.RESPONSE
_REPORTS = (Command.N_EVENT_REPORT, _REPORT_RESPONSE)
_ABOUT_COMMITMENT = (Command.N_ACTION, *_REPORTS)
_OF_STEPS: Mapping[str, tuple[int, ...]] = {
    PUSH: (Command.N_CREATE, Command.N_ACTION, Command.N_GET),
    WATCH: (Command.N_ACTION, Command.N_GET, Command.C_FIND),
    PULL: (Command.C_FIND, Command.N_GET, Command.N_SET, Command.N_ACTION),
    QUERY: (Command.C_FIND,),
}
_HANDED_OVER = (
    *_ABOUT_COMMITMENT,
    *RETRIEVAL,
    Command.N_CREATE,
    Command.N_GET,
    Command.N_SET,
)
# what the peer has to say while it is answered, on whatever context
_ABOUT_ANOTHER = (Command.C_CANCEL, Command.C_STORE | Command.RESPONSE)
_SERVICES = {
    STORAGE_COMMITMENT: _ABOUT_COMMITMENT,
    FIND: (Command.C_FIND,),
    MOVE: (Command.C_MOVE,),
    GET: (Command.C_GET,),
    **_OF_STEPS,
}


def _not_offered(command: Command) -> NoReturn:
    msg = f"It asked for what is not offered (command 0x{command.field:04X})."
    raise PeerConnectionError(msg)
