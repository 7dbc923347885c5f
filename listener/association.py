"""One association with the guards in place of pynetdicom's parts."""

from __future__ import annotations

import logging
import socket
import ssl
import time
from contextlib import suppress
from typing import cast

from pynetdicom.acse import ACSE
from pynetdicom.association import Association

from listener.command import Command
from listener.dialogue import Dialogue
from listener.guard import Guard
from listener.inbox import Spool
from listener.message_exchange import MessageExchange, PendingMessage
from listener.peers import Rejection
from listener.retrieval import RETRIEVAL
from listener.step_terms import SOP_CLASSES as STEPS
from listener.storage import Visit
from listener.tls import PeerCertificate, SecureSocket, why
from listener.upper_layer import BoundedSocket, Checkpoint, SteadyTimer, UpperLayer

__all__ = ["GuardedAssociation"]

_log = logging.getLogger("wristmir.listener")


class GuardedAssociation(Association):
    """One association, whose end always gives back what it held."""

    guard: Guard
    address: str
    visit: Visit | None
    connection: socket.socket
    certificate: PeerCertificate | None
    only_probes: bool

    @property
    def has_spoken(self) -> bool:
        """Tell whether the peer has sent anything."""
        return bool(self._wrapped.has_received)

    @classmethod
    def of(
        cls, plain: Association, guard: Guard, address: str, *, only_probes: bool
    ) -> GuardedAssociation:
        """Put the guards into an association that was not started yet, and return it.

        Parameters
        ----------
        address
            Where the peer is.
        only_probes
            Whether nobody is admitted but the service's own C-ECHO.
        """
        plain.__class__ = cls
        plain.dul.__class__ = UpperLayer
        plain.acse.__class__ = _Acse
        plain.dimse.__class__ = MessageExchange
        plain.dul.socket.__class__ = BoundedSocket
        guarded = cast("GuardedAssociation", plain)
        guarded.only_probes = only_probes
        guarded._prepare(guard, address)
        return guarded

    def _prepare(self, guard: Guard, address: str) -> None:
        self.guard = guard
        self.address = address
        self.visit = None
        self.certificate = None
        self._wrapped = self.dul.socket
        self.connection = self._wrapped.socket
        self.dimse.prepare()
        self.dul.prepare(self.dimse)
        self.dul.artim_timer.__class__ = self.dul._idle_timer.__class__ = SteadyTimer
        # PDUs that negotiate may be longer than those that carry data
        self.dul.socket.prepare(
            max(guard.settings.max_pdu_bytes, 65536), guard.settings.pdu_seconds
        )
        self._reactor_checkpoint = Checkpoint(self.dul.activity)

    def run(self) -> None:
        """Serve until the association is over."""
        try:
            if self._is_secured():
                super().run()
        except Exception as error:  # noqa: BLE001 - the one place where an association ends
            _log.warning("an association failed: %s", type(error).__name__)
            self.dul.say_abort()
        finally:
            self.conclude()

    def conclude(self) -> None:
        """Give back socket, thread, files and place, and let its requests become due."""
        self.cut()
        self.dul.kill_dul()
        if self.dul.is_alive():
            self.dul.join()
        self.dul.dispose()
        self.connection.close()  # one that the peer reset is left open otherwise
        self.dimse.discard()
        if self.visit is not None:
            self.visit.end()
        self.guard.closed(self)

    def cut(self) -> None:
        """Shut the connection, whatever its state."""
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _is_secured(self) -> bool:
        """Complete the TLS handshake, where there is one, in the time that the first PDU has."""
        if not isinstance(self.connection, SecureSocket):
            return True
        seconds = self.guard.settings.pdu_seconds
        until = time.monotonic() + seconds
        self.connection.settimeout(seconds)
        try:
            self.connection.do_handshake()
        except OSError as error:
            # who only looks whether somebody listens is no event
            said = isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError)
            level = logging.WARNING if said else logging.DEBUG
            _log.log(level, "a TLS connection is refused: %s (%s)", why(error), self.address)
            if said:
                self.guard.tell_refused("", self.address, f"TLS: {why(error)}")
            return False
        self.certificate = PeerCertificate.of(self.connection)
        self.acse_timeout = max(0.001, until - time.monotonic())
        return True

    def _serve_request(self, msg: PendingMessage, context_id: int) -> None:
        """Take a message that was not served as it came."""
        if self.visit is None:
            self.abort()
            return
        self.visit.correspondence.heard()
        if msg.spool is None:
            # a C-CANCEL of what is over; nothing was stored that an answer could be for
            if msg.command.field != Command.C_CANCEL:
                self.abort()
        elif str(self._accepted_cx[context_id].abstract_syntax) in STEPS:
            self.visit.steps.serve(Dialogue(self, context_id, msg.command), msg.spool)
        elif msg.command.field in RETRIEVAL:
            dialogue = Dialogue(self, context_id, msg.command)
            self.visit.retrieval.serve(dialogue, msg.spool)
        else:
            self._serve_commitment(self.visit, msg, context_id, msg.spool)

    def _serve_commitment(
        self, visit: Visit, msg: PendingMessage, context_id: int, spool: Spool
    ) -> None:
        correspondence = visit.correspondence
        if msg.is_answer:
            spool.discard()
            if not correspondence.answered(msg.command):
                self.abort()
            return
        reply = correspondence.serve(msg.command, context_id, spool)
        if self.is_established:
            self.dimse.send_reply(context_id, msg.command, reply)


class _Acse(ACSE):
    """Judges the association request before anything is negotiated."""

    def _negotiate_as_acceptor(self) -> None:
        association: GuardedAssociation = self.assoc
        association.acse_timeout = association.guard.settings.pdu_seconds
        judgement = association.guard.judge(association, association.address)
        if isinstance(judgement, Rejection):
            self.requestor.ae_title = self.requestor.primitive.calling_ae_title
            self.send_reject(judgement.result, judgement.source, judgement.reason)
            association.kill()
            return
        association.visit = judgement
        super()._negotiate_as_acceptor()
