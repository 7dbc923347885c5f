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
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

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
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu import A_ABORT_RQ
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.presentation import AllStoragePresentationContexts, PresentationContext
from pynetdicom.sop_class import Verification
from pynetdicom.timer import Timer
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

from listener.command import Command, Reply, encode_event_report, encode_reply, read_command
from listener.commitment import INSTANCE, TRANSFER_SYNTAXES, encode_verdict
from listener.commitment import SOP_CLASS as STORAGE_COMMITMENT
from listener.correspondence import Report
from listener.errors import AddressError, PeerConnectionError
from listener.file_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from listener.inbox import Spool
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

_MOST_COMMAND_BYTES = 16 * 1024
_SILENCE_SECONDS = 60.0
_MOST_UNANSWERED = 8  # no asynchronous operations are negotiated: nobody may need more
_COMMAND, _LAST = 1, 2  # bits of a message control header (DICOM PS3.8 annex E.2)


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
        association.dul.__class__ = _Dul
        association.acse.__class__ = _Acse
        association.dimse.__class__ = _Dimse
        association.dul.socket.__class__ = _Socket
        association.prepare(self.server.guard, str(self.client_address[0]))
        return association


# handlers of pynetdicom that write what they see into its log
_CHATTER: tuple[tuple[Any, Callable[..., None]], ...] = (
    (evt.EVT_DIMSE_RECV, standard_dimse_recv_handler),
    (evt.EVT_DIMSE_SENT, standard_dimse_sent_handler),
    (evt.EVT_PDU_RECV, standard_pdu_recv_handler),
    (evt.EVT_PDU_SENT, standard_pdu_sent_handler),
)


class _Socket(AssociationSocket):
    """Reads with a bound and a deadline."""

    most_bytes: int
    seconds: float
    has_received = False

    def recv(self, nr_bytes: int) -> bytearray:
        """Read exactly so many bytes, or what came before the peer closed.

        Raises
        ------
        PeerConnectionError
            If the peer declares too large a PDU or does not complete it in time.
        """
        if nr_bytes > self.most_bytes:
            msg = f"It declared a PDU of {nr_bytes} bytes."
            raise _broken(msg)
        deadline = time.monotonic() + self.seconds
        received = bytearray()
        while len(received) < nr_bytes:
            left = deadline - time.monotonic()
            if left <= 0 or self.socket is None:
                msg = "It did not complete a PDU in time."
                raise _broken(msg)
            self.socket.settimeout(left)
            try:
                piece = self.socket.recv(min(262144, nr_bytes - len(received)))
            except TimeoutError:
                continue
            if not piece:
                break
            self.has_received = True
            received += piece
        if self.socket is not None:
            self.socket.settimeout(self.seconds)  # for sending to a peer that does not read
        return received

    @property
    def ready(self) -> bool:
        """Whether there is something to be read."""
        ready = bool(super().ready)
        return ready and (not isinstance(self.socket, SecureSocket) or self.socket.has_data())

    def _shutdown_socket(self) -> None:
        if isinstance(self.socket, SecureSocket):
            self.socket.take_leave()
        super()._shutdown_socket()


def _broken(rule: str) -> PeerConnectionError:
    """Return the error for a peer that broke a rule, and say it: the library drops it."""
    error = PeerConnectionError(rule)
    _log.warning("a connection is cut: %s", error)
    return error


class _Timer(Timer):
    """Runs on the clock that never jumps; by the library's a jump ends, or keeps, all there is."""

    _start_time: float | None
    _end_time: float | None

    @property
    def remaining(self) -> float:
        """Return the seconds until it expires; 1 where it never does."""
        if self.timeout is None:
            return 1.0
        if self._start_time is None:
            return float(self.timeout)
        until = time.monotonic() if self._end_time is None else self._end_time
        return float(self.timeout - (until - self._start_time))

    def start(self) -> None:
        """Begin anew."""
        self._start_time = time.monotonic()
        self._end_time = None

    def stop(self) -> None:
        """Stand still."""
        self._end_time = time.monotonic()


class _Dul(DULServiceProvider):
    """The network thread; its failures end one association and print nothing."""

    def run(self) -> None:
        """Run until the association is over."""
        try:
            super().run()
        except Exception as error:  # noqa: BLE001 - the one place where a network thread ends
            _log.warning("a connection failed: %s", type(error).__name__)
            self.say_abort()
            self._kill_thread = True

    def say_abort(self) -> None:
        """Tell the peer, past the state machine, that this is the end (DICOM PS3.8 section 9.3.8).

        For what failed in a way that the library does not foresee, before the connection is cut.
        """
        abort = A_ABORT_RQ()
        abort.source, abort.reason_diagnostic = 0x02, 0x00  # the provider; no reason
        if self.socket is not None:
            self.socket.send(abort.encode())

    def receive_pdu(self, wait: bool = False, timeout: float | None = None) -> Any:
        """Return the next primitive; waiting ends with the connection, not with the timeout."""
        primitive = super().receive_pdu(wait=False)
        if not wait or timeout is None:
            return primitive
        deadline = time.monotonic() + timeout
        connected = False
        while primitive is None and time.monotonic() < deadline and self.is_alive():
            primitive = super().receive_pdu(wait=True, timeout=0.02)
            idle = self.state_machine.current_state == "Sta1"
            if connected and idle and primitive is None:
                break
            connected = connected or not idle
        return primitive or super().receive_pdu(wait=False)


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


@dataclass(frozen=True, eq=False)
class _Request:
    """A complete request, or the answer to one of ours."""

    command: Command
    spool: Spool | None


class _Dimse(DIMSEServiceProvider):
    """Takes messages apart within bounds; data sets go straight to a spool."""

    def prepare(self) -> None:
        """Set what a plain provider does not have."""
        self._encoded = bytearray()
        self._context_id = 0
        self._current: _Request | None = None
        self._unanswered: list[Spool] = []

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take the fragments of one P-DATA; whoever breaks the rules is aborted."""
        try:
            for context_id, fragment in primitive.presentation_data_value_list:
                self._take(context_id, bytes(fragment))
        except PeerConnectionError as error:
            _log.warning("an association is aborted: %s", error)
            self.dul.event_queue.put("Evt19")  # invalid PDU: A-ABORT, DICOM PS3.8 table 9-10

    def send_reply(self, context_id: int, command: Command, reply: Reply) -> None:
        """Send the answer to a request."""
        self._send(context_id, encode_reply(command, reply), _COMMAND)

    def _send(self, context_id: int, encoded: bytes, kind: int) -> None:
        """Send a command or data set, in as many fragments as the peer wants."""
        most = max(16, (self.maximum_pdu_size or 16384) - 6)
        for start in range(0, len(encoded), most):
            is_last = start + most >= len(encoded)
            header = bytes([kind | (_LAST if is_last else 0)])
            primitive = P_DATA()
            primitive.presentation_data_value_list.append(
                [context_id, header + encoded[start : start + most]]
            )
            self.dul.send_pdu(primitive)

    def get_msg(self, block: bool = False) -> Any:
        """Return what came, if anything; in between the peer is told what it is owed."""
        association: _Association = self.assoc
        is_idle = self._current is None and not self._encoded and self.msg_queue.empty()
        if is_idle and association.is_established and association.visit is not None:
            report = association.visit.correspondence.due()
            if report is not None:
                self._send_report(report)
        return super().get_msg(block)

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

    def discard(self) -> None:
        """Give up what was not answered."""
        for spool in self._unanswered:
            spool.discard()

    def _take(self, context_id: int, fragment: bytes) -> None:
        if not fragment:
            msg = "A fragment has no message control header."
            raise PeerConnectionError(msg)
        header = fragment[0]
        if header & _COMMAND:
            self._take_command(context_id, fragment[1:], is_last=bool(header & _LAST))
            return
        if self._current is None or self._current.spool is None:
            msg = "A data set came without a command."
            raise PeerConnectionError(msg)
        if context_id != self._context_id:
            msg = "A message changed its presentation context."
            raise PeerConnectionError(msg)
        self._current.spool.write(fragment[1:])
        if header & _LAST:
            self._complete(self._current)

    def _take_command(self, context_id: int, piece: bytes, *, is_last: bool) -> None:
        if self._current is not None:
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
            self._complete(_Request(command, None))
        elif command.field in (Command.C_STORE, *_ABOUT_COMMITMENT):
            request = self._open(command, context_id)
            if command.has_data_set:
                self._current = request
            else:  # it is answered all the same: there is nothing to understand
                self._complete(request)
        else:
            _not_offered(command)

    def _open(self, command: Command, context_id: int) -> _Request:
        self._check_backlog()
        context = self.assoc._accepted_cx.get(context_id)
        if context is None:
            msg = "It used a presentation context that was not accepted."
            raise PeerConnectionError(msg)
        about_commitment = command.field in _ABOUT_COMMITMENT
        if about_commitment != (str(context.abstract_syntax) == STORAGE_COMMITMENT):
            _not_offered(command)
        if command.field == Command.N_ACTION and not context.as_scp:
            _not_offered(command)  # it has negotiated the other role
        visit, syntax = self.assoc.visit, str(context.transfer_syntax[0])
        if about_commitment:
            spool = visit.correspondence.begin(syntax)
        else:
            spool = visit.begin(command, syntax)
        self._unanswered.append(spool)
        return _Request(command, spool)

    def _complete(self, request: _Request) -> None:
        self._check_backlog()
        self._current = None
        self.msg_queue.put((self._context_id, request))

    def _check_backlog(self) -> None:
        self._unanswered = [s for s in self._unanswered if not s.closed]
        if max(len(self._unanswered), self.msg_queue.qsize()) > _MOST_UNANSWERED:
            msg = "It sends without waiting for answers."
            raise PeerConnectionError(msg)


_REPORT_RESPONSE = Command.N_EVENT_REPORT | Command.RESPONSE
_ABOUT_COMMITMENT = (Command.N_ACTION, Command.N_EVENT_REPORT, _REPORT_RESPONSE)


def _not_offered(command: Command) -> NoReturn:
    msg = f"It asked for what is not offered (command 0x{command.field:04X})."
    raise PeerConnectionError(msg)


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
        self.dul.artim_timer.__class__ = self.dul._idle_timer.__class__ = _Timer
        # PDUs that negotiate may be longer than those that carry data
        self.dul.socket.most_bytes = max(guard.settings.max_pdu_bytes, 65536)
        self.dul.socket.seconds = guard.settings.pdu_seconds

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

    def _serve_request(self, msg: _Request, context_id: int) -> None:
        context = self._accepted_cx.get(context_id)
        if context is None or self.visit is None:
            self.abort()
            return
        self.visit.correspondence.heard()
        if msg.spool is None:
            reply = Reply(0x0000)
        elif msg.command.field == _REPORT_RESPONSE:
            msg.spool.discard()
            if not self.visit.correspondence.answered(msg.command):
                self.abort()
            return
        elif msg.command.field in _ABOUT_COMMITMENT:
            reply = self.visit.correspondence.serve(msg.command, context_id, msg.spool)
        else:
            reply = self.visit.store(msg.command, str(context.abstract_syntax), msg.spool)
        if self.is_established:
            self.dimse.send_reply(context_id, msg.command, reply)
