"""Small syslog collectors on loopback: over UDP (RFC 5426) and over TLS (RFC 5425)."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from contextlib import suppress
from typing import Self

from certificates import Authority, Identity
from station import LOOPBACK

_HEAD = re.compile(
    rb"<(?P<pri>\d{1,3})>1 (?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) (?P<host>\S{1,255})"
    rb" (?P<app>\S{1,48}) (?P<process>\S{1,128}) (?P<id>\S{1,32})"
    rb' \[meta sequenceId="(?P<number>\d+)"\] '
)


class Received:
    """One syslog message, taken apart by RFC 5424."""

    def __init__(self, data: bytes) -> None:
        head = _HEAD.match(data)
        assert head is not None, data[:100]
        self.priority = int(head["pri"])
        self.id = head["id"].decode()
        self.app = head["app"].decode()
        self.number = int(head["number"])
        self.xml = data[head.end() :].decode("ascii")


class UdpCollector:
    """Takes datagrams until the block ends; one port, several times."""

    def __init__(self, port: int = 0) -> None:
        self.received: list[Received] = []
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((LOOPBACK, port))
        self._socket.settimeout(0.05)
        self.port = int(self._socket.getsockname()[1])
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            with suppress(TimeoutError):
                self.received.append(Received(self._socket.recv(65536)))


class TlsCollector:
    """Takes octet-counted messages of clients with a certificate until the block ends."""

    def __init__(self, authority: Authority, identity: Identity, port: int = 0) -> None:
        self.received: list[Received] = []
        self.connections = 0
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(identity.certificate, identity.private_key)
        self._context.load_verify_locations(authority.file)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._listening = socket.create_server((LOOPBACK, port))
        self._listening.settimeout(0.05)
        self.port = int(self._listening.getsockname()[1])
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._listening.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            with suppress(TimeoutError):
                connection, _ = self._listening.accept()
                connection.settimeout(5)
                with connection, suppress(ssl.SSLError, ConnectionError):
                    self._serve(self._context.wrap_socket(connection, server_side=True))

    def _serve(self, channel: ssl.SSLSocket) -> None:
        self.connections += 1
        channel.settimeout(0.05)
        waiting = b""
        with channel:
            while not self._ended.is_set():
                try:
                    piece = channel.recv(65536)
                except TimeoutError:
                    continue
                if not piece:
                    return
                waiting = self._taken(waiting + piece)

    def _taken(self, waiting: bytes) -> bytes:
        while framed := re.match(rb"([1-9]\d*) ", waiting):
            end = framed.end() + int(framed[1])
            if len(waiting) < end:
                break
            self.received.append(Received(waiting[framed.end() : end]))
            waiting = waiting[end:]
        return waiting
