"""HL7 v2 messages over MLLP: a bounded server that acknowledges what is durable.

Each connection has a thread. It is served one message after the other, as the protocol wants it.
"""

from __future__ import annotations

import logging
import secrets
import socket
import socketserver
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from listener.acknowledgement import acknowledgement
from listener.errors import (
    AddressError,
    ListenerError,
    OutOfResourcesError,
    PeerConnectionError,
    UnusableReportError,
)
from listener.hl7 import MessageHeader, read_message_header
from listener.listening_socket import listening
from listener.mllp_block import BlockReader, framed
from listener.report_audit import ReportAudit
from listener.report_desk import ReportDesk
from listener.report_settings import Hl7Settings
from listener.report_shelf import Form

__all__ = ["MllpServer"]

_log = logging.getLogger("wristmir.listener")

_PIECE = 65536


class MllpServer:
    """Takes messages and hands them to the desk.

    Parameters
    ----------
    settings
        Address, bounds, and who may connect.
    desk
        Takes what comes.
    told
        Tells the audit trail what came, and what was refused.
    """

    def __init__(self, settings: Hl7Settings, desk: ReportDesk, told: ReportAudit) -> None:
        self._settings = settings
        self._desk = desk
        self._told = told
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that are listened on.

        Raises
        ------
        AddressError
            If it is not listening.
        """
        if self._server is None:
            msg = "It is not listening for HL7."
            raise AddressError(msg)
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def start(self, handed_over: Mapping[int, socket.socket] | None = None) -> None:
        """Bind and begin to accept.

        Parameters
        ----------
        handed_over
            Listening sockets by their ports, to be used in place of an own one.

        Raises
        ------
        AddressError
            If the address cannot be bound.
        """
        own = listening(self._settings.host, self._settings.port, handed_over)
        self._server = _Server(own, self._settings, self._desk, self._told)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="mllp", daemon=True
        )
        self._thread.start()
        _log.info("listening for HL7 on %s port %d", *self.address)

    def stop(self, seconds: float = 2.5) -> None:
        """Stop accepting, cut what is open and wait until its threads are gone.

        A message whose acknowledgement is lost so is sent again, and is known then.
        """
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.end_all(seconds)
        self._server.server_close()
        self._server = self._thread = None


class _Server(socketserver.ThreadingTCPServer):
    """Accepts connections within bounds, each served in a thread of its own."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self, own: socket.socket, settings: Hl7Settings, desk: ReportDesk, told: ReportAudit
    ) -> None:
        self.settings = settings
        self.desk = desk
        self.told = told
        self.stopping = False
        self.reading = threading.Lock()  # what a message costs in memory is spent once
        self._lock = threading.Lock()
        self._open: dict[Any, _Connection] = {}
        super().__init__(own.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = own

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Close at once what is not on the list, or one too many."""
        address = str(client_address[0])
        caller = _literal(address)
        if not any(caller in network for network in self.settings.addresses):
            _log.warning("HL7 connection refused: %s is not among hl7.addresses", address)
            self.told.turned_away(address, "HL7: it is not among hl7.addresses")
            return False
        with self._lock:
            self._make_room(address)
            if len(self._open) < self.settings.max_connections:
                self._open[request] = _Connection(address, time.monotonic())
                return True
        _log.warning("HL7 connection refused: max_connections are open")
        self.told.turned_away(address, "HL7: max_connections are open")
        return False

    def shutdown_request(self, request: Any) -> None:
        """Close a connection and forget it."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def heard(self, request: Any) -> None:
        """Note that a connection is not silent."""
        with self._lock:
            if request in self._open:
                self._open[request].heard_at = time.monotonic()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say that a connection ended badly, without a traceback of its content."""
        _log.error("an HL7 connection ended by an unexpected error")

    def end_all(self, seconds: float) -> None:
        """Cut every connection; a message in hand is finished first, if it is soon."""
        self.stopping = True
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with self._lock:
                requests = list(self._open)
            if not requests:
                return
            for request in requests:
                _cut(request)
            time.sleep(0.01)

    def _make_room(self, address: str) -> None:
        """End the connection that is silent longest where one address has too many.

        A sender that was cut off comes again, while its old connections seem to live.
        """
        here = [r for r, known in self._open.items() if known.address == address]
        if len(here) >= self.settings.max_connections_per_address:
            stalest = min(here, key=lambda request: self._open[request].heard_at)
            del self._open[stalest]
            _cut(stalest, socket.SHUT_RDWR)  # it may hang in an answer that nobody reads


@dataclass
class _Connection:
    """Where a connection comes from, and when it last said something."""

    address: str
    heard_at: float


class _Handler(socketserver.BaseRequestHandler):
    """Serves one connection."""

    server: _Server
    request: socket.socket

    def setup(self) -> None:
        """Answer at once, and notice a sender that is gone."""
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def handle(self) -> None:
        """Take messages until the sender goes, breaks a bound, or the server stops."""
        try:
            self._serve(BlockReader(self.server.settings.max_message_bytes))
        except PeerConnectionError as error:
            _log.warning("HL7 connection ended: %s", error.detail)
            self.server.told.refused(None, str(self.client_address[0]), str(error))
        except OSError as error:
            _log.info("HL7 connection ended: %s", type(error).__name__)

    def _serve(self, reader: BlockReader) -> None:
        settings = self.server.settings
        begun_at: float | None = None
        while not self.server.stopping:
            wait = settings.idle_seconds
            if begun_at is not None:
                wait = begun_at + settings.message_seconds - time.monotonic()
            data = self._receive(wait, begun=begun_at is not None)
            if not data:
                return
            self.server.heard(self.request)
            for message in reader.feed(data):
                begun_at = None
                self._answer(message)
            if not reader.begun:
                begun_at = None
            elif begun_at is None:
                begun_at = time.monotonic()

    def _receive(self, seconds: float, *, begun: bool) -> bytes:
        try:
            self.request.settimeout(max(seconds, 0.001))
            return self.request.recv(_PIECE)
        except TimeoutError:
            if begun:
                msg = "A message was not complete within message_seconds."
                raise PeerConnectionError(msg) from None
            return b""

    def _answer(self, message: bytes) -> None:
        header, error = self._taken(message)
        if error is not None:
            _log.warning("report message refused: %s", error)
            self.server.told.refused(header, str(self.client_address[0]), str(error))
        answer = acknowledgement(header, error, secrets.token_hex(10))
        if answer is not None:
            self.request.settimeout(self.server.settings.message_seconds)
            self.request.sendall(framed(answer))

    def _taken(self, message: bytes) -> tuple[MessageHeader | None, ListenerError | None]:
        """Take a message in; return its header, and why it was not taken."""
        header = None
        try:
            header = read_message_header(message)
            with self.server.reading:
                taken = self.server.desk.take(message, Form.HL7)
            self.server.told.came(header, str(self.client_address[0]), taken)
        except (UnusableReportError, OutOfResourcesError) as error:
            return header, error
        except (OSError, SQLAlchemyError) as error:
            return header, ListenerError(f"{type(error).__name__}; send it again.")
        except Exception as error:  # noqa: BLE001 - the one place where a message ends
            return header, UnusableReportError(f"Unexpected {type(error).__name__}.", 207)
        return header, None


def _cut(connection: socket.socket, how: int = socket.SHUT_RD) -> None:
    """Let a connection's thread read its end; by default an answer under way still goes out."""
    with suppress(OSError):
        connection.shutdown(how)


def _literal(address: str) -> Any:
    """Return an address; one of IPv4 that came over an IPv6 socket as what it is."""
    try:
        literal = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    mapped = literal.ipv4_mapped if isinstance(literal, IPv6Address) else None
    return mapped or literal
