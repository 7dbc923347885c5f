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
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pynetdicom import evt
from pynetdicom._handlers import (
    standard_dimse_recv_handler,
    standard_dimse_sent_handler,
    standard_pdu_recv_handler,
    standard_pdu_sent_handler,
)
from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from listener.association import GuardedAssociation
from listener.file_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from listener.guard import Guard
from listener.presentation_contexts import supported_contexts
from listener.settings import ListenerSettings
from listener.tls import Credentials

__all__ = ["Acceptor", "Door"]

_log = logging.getLogger("wristmir.listener")

_Connection = socket.socket
_POLL_SECONDS = 0.05


@dataclass(frozen=True, eq=False)
class Door:
    """A listening socket, and what is spoken at it.

    ``credentials`` is what TLS is spoken with, None for no TLS; at a door that is
    ``only_for_probes`` nobody is admitted but the service's own C-ECHO.
    """

    socket: socket.socket
    credentials: Credentials | None = None
    only_for_probes: bool = False

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, port = self.socket.getsockname()[:2]
        return str(host), int(port)


class Acceptor:
    """Accepts associations within bounds, at doors that other processes may share.

    Parameters
    ----------
    guard
        Says who gets in, and ends what is open.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._servers: list[_Server] = []
        self._threads: list[threading.Thread] = []

    @property
    def is_accepting(self) -> bool:
        """Whether every door is attended to."""
        return bool(self._threads) and all(thread.is_alive() for thread in self._threads)

    def start(self, *doors: Door) -> None:
        """Begin to accept; the doors are closed here when it stops."""
        for door in doors:
            server = _Server(door, self._guard)
            thread = threading.Thread(
                target=server.serve_forever, args=(_POLL_SECONDS,), name="acceptor", daemon=True
            )
            thread.start()
            self._servers.append(server)
            self._threads.append(thread)

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


class _Server(ThreadedAssociationServer):
    """Accepts connections at a door; each is set up in a thread of its own."""

    daemon_threads = True
    socket: Any

    def __init__(self, door: Door, guard: Guard) -> None:
        self.door = door
        self.guard = guard
        settings = guard.settings
        super().__init__(
            _entity(settings),
            door.address,
            settings.titles[0].ae_title,
            _SharedContexts(supported_contexts()),
            request_handler=_Handler,
        )
        self.ae._servers.append(self)

    def server_bind(self) -> None:
        """Take the door's socket in place of one of the library's own.

        Of several processes that are woken by one connection, one gets it: the others must not
        wait for the next.
        """
        self.socket.close()
        self.door.socket.setblocking(False)
        self.socket = self.door.socket
        self.server_address = self.socket.getsockname()

    def server_activate(self) -> None:
        """Do nothing: the socket listens already."""

    def server_close(self) -> None:
        """Close the socket here; a shutdown would end it for every process that shares it."""
        self.door.socket.close()

    def get_request(self) -> tuple[_Connection, tuple[str, int]]:
        """Accept a connection, unless another process gets it."""
        pause = self.guard.courtesy_seconds()
        if pause:
            time.sleep(pause)
        connection, address = self.door.socket.accept()
        self.guard.accepted()
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Close at once what cannot even be held, and what has hung up already."""
        return self.guard.has_room() and not self._has_hung_up(request)

    def _has_hung_up(self, request: _Connection) -> bool:
        """Tell whether the peer is gone: a health check is, and is worth no thread."""
        try:
            gone = not request.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            gone = True
        if gone:
            self.guard.was_silent()
        return gone

    def handle_error(self, request: object, client_address: object) -> None:
        """Say that a connection could not be set up, without a traceback of its content."""
        _log.error("a connection could not be set up")

    def service_actions(self) -> None:
        """Tell what is due; to collect garbage here, as the library does, stops everybody."""
        self.guard.tell_of_silence()


class _Handler(RequestHandler):
    """Sets up one connection with the guards in place."""

    server: _Server
    request: Any

    def handle(self) -> None:
        """Start the association, or forget it."""
        with suppress(OSError):  # it is gone already
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request.settimeout(self.server.guard.settings.pdu_seconds)
        if self.server.door.credentials is not None:
            try:
                self.request = self.server.door.credentials.wrap(self.request)
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

    def _create_association(self) -> GuardedAssociation:
        association = super()._create_association()
        for event, handler in _CHATTER:
            association.unbind(event, handler)
        return GuardedAssociation.of(
            association,
            self.server.guard,
            str(self.client_address[0]),
            only_probes=self.server.door.only_for_probes,
        )


# handlers of pynetdicom that write what they see into its log
_CHATTER: tuple[tuple[Any, Callable[..., None]], ...] = (
    (evt.EVT_DIMSE_RECV, standard_dimse_recv_handler),
    (evt.EVT_DIMSE_SENT, standard_dimse_sent_handler),
    (evt.EVT_PDU_RECV, standard_pdu_recv_handler),
    (evt.EVT_PDU_SENT, standard_pdu_sent_handler),
)


class _SharedContexts(list[PresentationContext]):
    """Contexts that negotiation only reads: shared, where pynetdicom copies them deeply."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _SharedContexts:
        return self


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
