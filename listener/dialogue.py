"""One question on an association, while it is answered: what goes to the peer, and what comes."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from listener.command import Command, Reply, encode_store
from listener.errors import CannotUnderstandError, PeerConnectionError
from listener.failure import Failure
from listener.file_meta import read_file_meta
from listener.inbox import Spool

if TYPE_CHECKING:
    from listener.association import GuardedAssociation
    from listener.message_exchange import PendingMessage

__all__ = ["Dialogue"]

Serve = Callable[["Dialogue", Spool], tuple[Reply, bytes]]

_LOOK_SECONDS = 0.05
_MOST_QUEUED = 32  # PDUs that wait for a peer that reads slowly
_MOST_SET_ASIDE = 8
_LEAST_BYTES = 1024  # of a fragment; objects are not cut up finer than that


class Dialogue:
    """Answers one question, or one request about steps; used by the association's own thread alone.

    Parameters
    ----------
    association
        Where it was asked.
    context_id
        The presentation context that it was asked in.
    command
        The question's command set.
    """

    def __init__(self, association: GuardedAssociation, context_id: int, command: Command) -> None:
        self.command = command
        self._association = association
        self._context_id = context_id
        self._is_cancelled = False
        self._is_broken = False
        self._aside: list[tuple[int, PendingMessage]] = []
        self._message_id = 0

    def conclude(
        self, spool: Spool, serve: Serve, refused: Callable[[Command, Failure], None]
    ) -> None:
        """Have the request served and send its last response, whatever becomes of it.

        Parameters
        ----------
        spool
            The request's data set; it is discarded.
        serve
            Serves it, and returns the last response with its identifier.
        refused
            Is told where that failed, before the peer is.

        Raises
        ------
        PeerConnectionError
            If the peer breaks the rules of messages: its association is ended.
        """
        command = self.command
        try:
            reply, identifier = serve(self, spool)
        except PeerConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - the one place where such a request ends
            failure = Failure.of(command, error)
            refused(command, failure)
            reply, identifier = failure.reply, b""
        finally:
            spool.discard()
        self.answer(reply, identifier)
        self._end()

    @property
    def transfer_syntax(self) -> str:
        """How the identifiers of this question and its answers are encoded."""
        return str(self._association._accepted_cx[self._context_id].transfer_syntax[0])

    @property
    def is_cancelled(self) -> bool:
        """Whether the peer has had enough (C-CANCEL)."""
        self._hear(0.0)
        return self._is_cancelled

    @property
    def is_gone(self) -> bool:
        """Whether there is nobody left to answer."""
        association = self._association
        return (
            self._is_broken
            or association._kill
            or not association.dul.is_alive()
            or association.dul.peek_next_pdu() is not None  # its release, or an abort
        )

    def answer(self, reply: Reply, identifier: bytes = b"") -> None:
        """Send a response; an identifier follows where the reply says so."""
        if self.is_gone:
            return
        exchange = self._association.dimse
        exchange.send_reply(self._context_id, self.command, reply)
        if reply.has_data_set:
            exchange.send_identifier(self._context_id, identifier)
        self._await_room()

    def store(self, path: Path) -> int | None:
        """Send an object on this association (C-STORE); None where it is not answered.

        It goes as it lies in its file: the peer has to have accepted its class and syntax, and
        to have proposed to store what we send (DICOM PS3.4 section C.4.3.2).
        """
        try:
            stream = path.open("rb")
        except OSError:
            return None
        with stream:
            try:
                meta = read_file_meta(stream)
            except CannotUnderstandError:
                return None
            context_id = self._context_for(meta.sop_class_uid, meta.transfer_syntax)
            takes_crumbs = self._association.dimse.fragment_bytes < _LEAST_BYTES
            if context_id is None or takes_crumbs or self.is_gone:
                return None
            self._message_id = self._message_id % 65535 + 1
            request = encode_store(meta.sop_class_uid, meta.sop_instance_uid, self._message_id)
            exchange = self._association.dimse
            exchange.send_command(context_id, request)
            for piece, is_last in exchange.pieces(stream):
                exchange.send_piece(context_id, piece, is_last=is_last)
                self._await_room()
        return self._status()

    def _end(self) -> None:
        """Give back what came meanwhile and has nothing to do with it."""
        for message in self._aside:
            self._association.dimse.msg_queue.put(message)
        if self._aside:
            self._association.dul.activity.set()
        # that the peer had nothing to say was our doing
        self._association.dul._idle_timer.restart()

    def _status(self) -> int | None:
        """Wait for the answer to the object that was sent."""
        until = time.monotonic() + self._association.guard.settings.idle_seconds
        while not self.is_gone:
            if time.monotonic() > until:
                self._is_broken = True
                msg = "It did not answer a C-STORE in time."
                raise PeerConnectionError(msg)
            status = self._hear(_LOOK_SECONDS)
            if status is not None:
                return status
        return None

    def _hear(self, seconds: float) -> int | None:
        """Take what has come; return the status where it answers the object that was sent."""
        messages = self._association.dimse.msg_queue
        with suppress(queue.Empty):
            while True:
                context_id, message = messages.get(block=seconds > 0, timeout=seconds or None)
                command = message.command
                if command.field == Command.C_CANCEL:
                    self._is_cancelled |= command.message_id == self.command.message_id
                elif command.field == Command.C_STORE | Command.RESPONSE:
                    if command.message_id == self._message_id:
                        return int(command.status or 0)
                else:
                    self._aside.append((context_id, message))
                    if len(self._aside) > _MOST_SET_ASIDE:
                        self._is_broken = True
                        msg = "It sends without waiting for answers."
                        raise PeerConnectionError(msg)
        return None

    def _await_room(self) -> None:
        """Let the peer read; its network thread gives up one that does not."""
        while self._association.dul.to_provider_queue.qsize() > _MOST_QUEUED and not self.is_gone:
            time.sleep(0.001)

    def _context_for(self, sop_class_uid: str, transfer_syntax: str) -> int | None:
        for context_id, context in self._association._accepted_cx.items():
            offered = str(context.abstract_syntax), str(context.transfer_syntax[0])
            if context.as_scu and offered == (sop_class_uid, transfer_syntax):
                return int(context_id)
        return None
