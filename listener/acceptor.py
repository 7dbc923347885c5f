"""Bounded, guarded sockets for pynetdicom's acceptor.

pynetdicom 3.0.4 reads a PDU of any declared length without a deadline, keeps connections that
never say anything, copies every presentation context for each connection (0.4 s of processor
time), loses its network thread when a disk refuses a received data set, and decodes commands of
any size. The guards subclass its parts and are put in by exchanging the class of each new
association's members. That reaches into private attributes: hence the exact version among the
requirements and the attacks among the tests.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

from pydicom._uid_dict import UID_dictionary
from pynetdicom import evt
from pynetdicom._handlers import (
    standard_dimse_recv_handler,
    standard_dimse_sent_handler,
    standard_pdu_recv_handler,
    standard_pdu_sent_handler,
)
from pynetdicom.acse import ACSE
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.presentation import AllStoragePresentationContexts, PresentationContext
from pynetdicom.sop_class import Verification
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from listener.commitment import SOP_CLASS as STORAGE_COMMITMENT
from listener.commitment import TRANSFER_SYNTAXES
from listener.errors import AddressError
from listener.file_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from listener.message_exchange import MessageExchange, PendingMessage
from listener.peers import (
    LOCAL_LIMIT_EXCEEDED,
    TEMPORARY_CONGESTION,
    Admission,
    Call,
    Peers,
    Rejection,
)
from listener.settings import ListenerSettings
from listener.storage import Storage, Visit
from listener.tls import Credentials, PeerCertificate, SecureSocket, why
from listener.upper_layer import BoundedSocket, Checkpoint, SteadyTimer, UpperLayer

__all__ = ["Acceptor", "supported_contexts"]

_log = logging.getLogger("wristmir.listener")


class Acceptor:
    """Accepts associations within bounds and hands what they send to the storage.

    Parameters
    ----------
    settings
        Address and bounds.
    peers
        Judges who may associate.
    storage
        Keeps what comes.
    credentials
        What TLS is spoken with, on a port of its own; None for no TLS.
    """

    def __init__(
        self,
        settings: ListenerSettings,
        peers: Peers,
        storage: Storage,
        credentials: Credentials | None = None,
    ) -> None:
        self._guard = _Guard(settings, peers, storage)
        self._credentials = credentials
        self._servers: list[_Server] = []
        self._threads: list[threading.Thread] = []

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that are listened on; the TLS ones where nothing else is spoken.

        Raises
        ------
        AddressError
            If it is not listening.
        """
        if not self._servers:
            msg = "It is not listening."
            raise AddressError(msg)
        return self._servers[0].host_and_port

    @property
    def tls_address(self) -> tuple[str, int] | None:
        """Host and port where TLS is spoken; None where it is not."""
        secure = (server.host_and_port for server in self._servers if server.credentials)
        return next(secure, None)

    def start(self) -> None:
        """Bind and begin to accept.

        Raises
        ------
        AddressError
            If the address cannot be bound.
        """
        settings = self._guard.settings
        doors: list[tuple[int, Credentials | None]] = []
        if self._credentials is None or not settings.tls.only:
            doors.append((settings.port, None))
        if self._credentials is not None:
            doors.append((settings.tls.port, self._credentials))
        try:
            for port, credentials in doors:
                self._open(port, credentials)
        except AddressError:
            self.stop()
            raise

    def stop(self, seconds: float = 2.5) -> None:
        """Stop accepting, abort what is open and wait until its threads are gone."""
        if not self._servers:
            return
        for server in self._servers:
            server.shutdown()
        for thread in self._threads:
            thread.join()
        self._guard.end_all(seconds)
        self._servers, self._threads = [], []

    def _open(self, port: int, credentials: Credentials | None) -> None:
        settings = self._guard.settings
        try:
            server = _Server(
                _entity(settings),
                (settings.host, port),
                settings.titles[0].ae_title,
                _SharedContexts(supported_contexts()),
                request_handler=_Handler,
            )
        except OSError as error:
            msg = f"{settings.host} port {port}: {error.strerror or type(error).__name__}."
            raise AddressError(msg) from None
        server.guard, server.credentials = self._guard, credentials
        server.ae._servers.append(server)
        thread = threading.Thread(
            target=server.serve_forever, args=(0.05,), name="acceptor", daemon=True
        )
        thread.start()
        self._servers.append(server)
        self._threads.append(thread)


@cache
def supported_contexts() -> tuple[PresentationContext, ...]:
    """Return Verification and every storage SOP class, retired ones too, with all syntaxes.

    What a PACS forwards must not fail for want of a context; what is not used is filtered later.
    Storage commitment is there in both roles: a peer asks us, or tells us what we asked.
    """
    named = {
        uid
        for uid, (name, kind, *_) in UID_dictionary.items()
        if kind == "SOP Class" and "Storage" in name and "Commitment" not in name
    }
    stored = {str(c.abstract_syntax) for c in AllStoragePresentationContexts} | named
    contexts = []
    for uid in [str(Verification), *sorted(stored - {_MEDIA_DIRECTORY})]:
        context = PresentationContext()
        context.abstract_syntax = uid
        context.transfer_syntax = list(_TRANSFER_SYNTAXES)
        contexts.append(context)
    commitment = PresentationContext()
    commitment.abstract_syntax = STORAGE_COMMITMENT
    commitment.transfer_syntax = list(TRANSFER_SYNTAXES)
    commitment.scu_role = commitment.scp_role = True
    return (*contexts, commitment)


_MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
_FIRST_CHOICES = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
# no data sets (MIME, XML, Papyrus), and those that are only better than nothing
_NO_SYNTAXES = frozenset({"1.2.840.10008.1.2.6.1", "1.2.840.10008.1.2.6.2", "1.2.840.10008.1.20"})
_LAST_CHOICES = ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2")
_OTHERS = [
    uid
    for uid, (_, kind, *_) in UID_dictionary.items()
    if kind == "Transfer Syntax" and uid not in {*_FIRST_CHOICES, *_LAST_CHOICES, *_NO_SYNTAXES}
]
_TRANSFER_SYNTAXES = (*_FIRST_CHOICES, *_OTHERS, *_LAST_CHOICES)

_SILENCE_SECONDS = 60.0


def _entity(settings: ListenerSettings) -> ApplicationEntity:
    ae = ApplicationEntity(settings.titles[0].ae_title)
    ae.maximum_pdu_size = settings.max_pdu_bytes
    ae.maximum_associations = 1_000_000  # the guard counts
    ae.acse_timeout = settings.pdu_seconds
    ae.dimse_timeout = settings.idle_seconds
    ae.network_timeout = settings.idle_seconds
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    return ae


class _SharedContexts(list[PresentationContext]):
    """Contexts that negotiation only reads: shared, where pynetdicom copies them deeply."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _SharedContexts:
        return self


class _Guard:
    """Counts connections, judges calls, and knows every association that lives."""

    def __init__(self, settings: ListenerSettings, peers: Peers, storage: Storage) -> None:
        self.settings = settings
        self._peers = peers
        self._storage = storage
        self._lock = threading.Lock()
        self._waiting: dict[_Association, str] = {}  # connected, has not asked yet
        self._serving: dict[_Association, Admission] = {}
        self._leaving: set[_Association] = set()
        self._silent = 0  # connections that said nothing, since they were last told of
        self._told_at = -_SILENCE_SECONDS

    def has_room(self) -> bool:
        """Tell whether one more connection can be held at all."""
        most = 2 * self.settings.max_associations + 16
        with self._lock:
            return len(self._waiting) + len(self._serving) + len(self._leaving) < most

    def opened(self, association: _Association, address: str) -> None:
        """Note a connection; where too many say nothing, the one that waits longest goes."""
        with self._lock:
            same = [a for a, where in self._waiting.items() if where == address]
            if len(same) >= self._peers.most_from(address):
                evicted = same[0]
            elif len(self._waiting) >= self.settings.max_associations:
                evicted = next(iter(self._waiting))
            else:
                evicted = None
            if evicted is not None:
                del self._waiting[evicted]
                self._leaving.add(evicted)
            self._waiting[association] = address
        if evicted is not None:
            evicted.cut()

    def closed(self, association: _Association) -> None:
        """Note that a connection is gone."""
        with self._lock:
            self._waiting.pop(association, None)
            self._serving.pop(association, None)
            self._leaving.discard(association)
        if association.has_spoken:
            if association.visit is None and not association.is_rejected:
                _log.warning("a connection from %s became no association", association.address)
            elif association.visit is not None and not association.is_released:
                _log.warning("an association from %s was cut or aborted", association.address)
            return
        self.tell_of_silence()

    def tell_of_silence(self) -> None:
        """Count connections that said nothing; health checks make them by the thousand."""
        with self._lock:
            self._silent += 1
            now = time.monotonic()
            if now - self._told_at < _SILENCE_SECONDS:
                return
            silent, self._silent, self._told_at = self._silent, 0, now
        _log.info("connections that said nothing, since this was last told: %d", silent)

    def judge(self, association: _Association, address: str) -> Visit | Rejection:
        """Decide on an association request, the first thing that a connection says."""
        request = association.requestor.primitive
        proposed = {str(c.abstract_syntax) for c in request.presentation_context_definition_list}
        call = Call(
            calling=str(request.calling_ae_title),
            called=str(request.called_ae_title),
            address=address,
            only_echo=proposed <= {str(Verification)},
            certificate=association.certificate,
        )
        verdict = self._peers.judge(call)
        if isinstance(verdict, Admission):
            if not call.only_echo and self._storage.inbox.is_short_of_space():
                verdict = TEMPORARY_CONGESTION
            elif not self._take(association, verdict):
                verdict = LOCAL_LIMIT_EXCEEDED
        if isinstance(verdict, Rejection):
            self._dismiss(association)
            who = call.calling.strip(" ")
            _log.warning("association rejected: %s (%s at %s)", verdict.words, who, address)
            self.tell_refused(call.calling, address, verdict.words)
            return verdict
        secure = isinstance(association.connection, SecureSocket)
        return self._storage.visit(call.calling.strip(" "), verdict.title, address, secure=secure)

    def tell_refused(self, calling: str, address: str, words: str) -> None:
        """Tell the audit trail that a node was turned away."""
        self._storage.audit.refused(calling, address, words)

    def end_all(self, seconds: float) -> None:
        """Abort every association, then cut what does not go."""
        deadline = time.monotonic() + seconds
        for association in self._living():
            association.acse.send_abort(0x00)
            association._kill = True
        polite_until = time.monotonic() + min(0.5, seconds / 2)
        while self._living() and time.monotonic() < deadline:
            if time.monotonic() > polite_until:
                for association in self._living():
                    association.cut()
            time.sleep(0.01)

    def _living(self) -> list[_Association]:
        with self._lock:
            return [*self._waiting, *self._serving, *self._leaving]

    def _take(self, association: _Association, terms: Admission) -> bool:
        """Give an association its place; the service's own probe always has one."""
        with self._lock:
            held = [admission.share for admission in self._serving.values()]
            shares = Counter(share for share in held if share is not None)
            if terms.share is not None and (
                shares[terms.share] >= terms.most
                or shares.total() >= self.settings.max_associations
            ):
                return False
            self._waiting.pop(association, None)
            self._leaving.discard(association)
            self._serving[association] = terms
            return True

    def _dismiss(self, association: _Association) -> None:
        with self._lock:
            self._waiting.pop(association, None)
            self._serving.pop(association, None)
            self._leaving.add(association)


class _Server(ThreadedAssociationServer):
    """Accepts connections; each is set up in a thread of its own."""

    daemon_threads = True
    # where the queue overflows the kernel drops a good peer's first packet, too, and it tries again
    # only after a second; who is too many is turned away faster than that
    request_queue_size = 1024
    guard: _Guard
    credentials: Credentials | None = None

    @property
    def host_and_port(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self.server_address[:2]
        return str(host), int(port)

    def verify_request(self, request: socket.socket, client_address: Any) -> bool:
        """Close at once what cannot even be held, and what has hung up already."""
        return self.guard.has_room() and not self._has_hung_up(request)

    def _has_hung_up(self, request: socket.socket) -> bool:
        """Tell whether the peer is gone: a health check is, and is worth no thread."""
        try:
            gone = not request.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            gone = True
        if gone:
            self.guard.tell_of_silence()
        return gone

    def handle_error(self, request: object, client_address: object) -> None:
        """Say that a connection could not be set up, without a traceback of its content."""
        _log.error("a connection could not be set up")

    def service_actions(self) -> None:
        """Do nothing: collecting garbage here would stop every association."""


class _Handler(RequestHandler):
    """Sets up one connection with the guards in place."""

    server: _Server
    request: Any

    def handle(self) -> None:
        """Start the association, or forget it."""
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request.settimeout(self.server.guard.settings.pdu_seconds)
        if self.server.credentials is not None:
            try:
                self.request = self.server.credentials.wrap(self.request)
            except OSError:  # it is gone already
                self.request.close()
                return
        association = self._create_association()
        self.server.guard.opened(association, str(self.client_address[0]))
        try:
            association.start()
        except RuntimeError:  # no more threads to be had
            association.conclude()
            raise

    def _create_association(self) -> _Association:
        association: _Association = super()._create_association()
        for event, handler in _CHATTER:
            association.unbind(event, handler)
        association.__class__ = _Association
        association.dul.__class__ = UpperLayer
        association.acse.__class__ = _Acse
        association.dimse.__class__ = MessageExchange
        association.dul.socket.__class__ = BoundedSocket
        association.prepare(self.server.guard, str(self.client_address[0]))
        return association


# handlers of pynetdicom that write what they see into its log
_CHATTER: tuple[tuple[Any, Callable[..., None]], ...] = (
    (evt.EVT_DIMSE_RECV, standard_dimse_recv_handler),
    (evt.EVT_DIMSE_SENT, standard_dimse_sent_handler),
    (evt.EVT_PDU_RECV, standard_pdu_recv_handler),
    (evt.EVT_PDU_SENT, standard_pdu_sent_handler),
)


class _Acse(ACSE):
    """Judges the association request before anything is negotiated."""

    def _negotiate_as_acceptor(self) -> None:
        association: _Association = self.assoc
        association.acse_timeout = association.guard.settings.pdu_seconds
        judgement = association.guard.judge(association, association.address)
        if isinstance(judgement, Rejection):
            self.requestor.ae_title = self.requestor.primitive.calling_ae_title
            self.send_reject(judgement.result, judgement.source, judgement.reason)
            association.kill()
            return
        association.visit = judgement
        super()._negotiate_as_acceptor()


class _Association(Association):
    """One association, whose end always gives back what it held."""

    guard: _Guard
    address: str
    visit: Visit | None
    connection: socket.socket
    certificate: PeerCertificate | None

    @property
    def has_spoken(self) -> bool:
        """Tell whether the peer has sent anything."""
        return bool(self._wrapped.has_received)

    def prepare(self, guard: _Guard, address: str) -> None:
        """Set what a plain association does not have."""
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
        """Take a message about storage commitment; all others were served as they came."""
        if self.visit is None:
            self.abort()
            return
        correspondence = self.visit.correspondence
        correspondence.heard()
        if msg.is_answer:
            msg.spool.discard()
            if not correspondence.answered(msg.command):
                self.abort()
            return
        reply = correspondence.serve(msg.command, context_id, msg.spool)
        if self.is_established:
            self.dimse.send_reply(context_id, msg.command, reply)
