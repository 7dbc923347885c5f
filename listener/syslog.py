"""Audit messages as syslog: RFC 5424, over UDP (RFC 5426) or TLS (RFC 5425).

DICOM PS3.15 sections A.6 and A.7 say how: facility 10 (security), severity 5 or 4, and the message
identifier that tells what kind of XML it is.
"""

from __future__ import annotations

import errno
import fcntl
import select
import socket
import ssl
import struct
import termios
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC

from listener.audit_settings import AuditDestinationSettings
from listener.audit_spool import SpooledMessage
from listener.errors import AuditError, CredentialsError
from listener.tls import client_context, why

__all__ = ["SyslogTls", "SyslogUdp", "syslog_message"]

_FACILITY = 10
_NOTICE, _WARNING = 5, 4
_MESSAGE_ID = "DICOM+RFC3881"
_MOST_DATAGRAM_BYTES = 65507
_GRACE_SECONDS = 0.3


def syslog_message(message: SpooledMessage, host: str) -> bytes:
    """Return a message by RFC 5424, its number as sequenceId (section 7.3.1).

    A collector can tell by the number what has come twice, and what is missing.
    """
    severity = _WARNING if message.is_warning else _NOTICE
    at = message.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    number = (message.number - 1) % 2147483647 + 1
    head = f"<{_FACILITY * 8 + severity}>1 {at} {_token(host, 255)} wristmir {message.process_id}"
    return f'{head} {_MESSAGE_ID} [meta sequenceId="{number}"] {message.xml}'.encode("ascii")


class SyslogUdp:
    """A collector over UDP: one message a datagram, and nobody says whether it came.

    Where the collector's host says at once that nobody listens, the message is kept. A network
    that cuts or loses datagrams does so silently; TLS is the better choice.

    Parameters
    ----------
    settings
        Names the collector.
    host
        Host name that the messages bear.
    """

    most_at_once = 1

    def __init__(self, settings: AuditDestinationSettings, host: str) -> None:
        self._settings = settings
        self._host = host
        self._socket: socket.socket | None = None

    def send(self, messages: Sequence[SpooledMessage]) -> int:
        """Send messages; return how many are too long ever to be sent.

        Raises
        ------
        AuditError
            If one cannot be sent now.
        """
        too_long = 0
        try:
            for message in messages:
                data = syslog_message(message, self._host)
                if len(data) > _MOST_DATAGRAM_BYTES:
                    too_long += 1
                    continue
                channel = self._opened()
                channel.send(data)
                refused = channel.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if refused:
                    raise OSError(refused, errno.errorcode.get(refused, "error"))
        except (OSError, UnicodeError) as error:
            self.close()
            raise _unreachable(self._settings, error) from None
        return too_long

    def probe(self) -> str:
        """Look whether the collector's name is known; more cannot be told.

        Raises
        ------
        AuditError
            If it is not.
        """
        try:
            self._opened()
        except (OSError, UnicodeError) as error:
            raise _unreachable(self._settings, error) from None
        finally:
            self.close()
        return f"UDP to {self._settings.host}: nobody says whether messages come"

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _opened(self) -> socket.socket:
        if self._socket is None:
            host, port = self._settings.host_and_port
            found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
            family, kind, protocol, _, address = found[0]
            self._socket = socket.socket(family, kind, protocol)
            # connected, so that the kernel tells of a port where nobody listens
            self._socket.connect(address)
        return self._socket


class SyslogTls:
    """A collector over TLS, which both ends authenticate where a certificate is configured.

    A message counts as delivered when the collector's kernel has acknowledged it; RFC 5425 has no
    other acknowledgement. What the collector has not read when it is killed is lost to it.

    Parameters
    ----------
    settings
        Names the collector and the files for TLS, which are read for every connection.
    host
        Host name that the messages bear.
    """

    most_at_once = 50

    def __init__(self, settings: AuditDestinationSettings, host: str) -> None:
        self._settings = settings
        self._host = host
        self._channel: ssl.SSLSocket | None = None

    def send(self, messages: Sequence[SpooledMessage]) -> int:
        """Send messages in one go; return how many it can never take: none.

        Raises
        ------
        AuditError
            If the collector is not there, or does not acknowledge them all in time.
        """
        frames = [syslog_message(message, self._host) for message in messages]
        try:
            channel = self._opened()
            channel.sendall(b"".join(b"%d %s" % (len(frame), frame) for frame in frames))
            self._wait_for_acknowledgement(channel)
        except (OSError, UnicodeError, CredentialsError) as error:
            self.close()
            raise _unreachable(self._settings, error) from None
        return 0

    def probe(self) -> str:
        """Connect; return what was found.

        Raises
        ------
        AuditError
            If the collector cannot be reached, or one end does not trust the other.
        """
        try:
            channel = self._opened()
            version = channel.version()
        except (OSError, UnicodeError, CredentialsError) as error:
            raise _unreachable(self._settings, error) from None
        finally:
            self.close()
        return f"{self._settings.host} answers, {version}"

    def close(self) -> None:
        """Close the connection, politely where that is possible at once."""
        if self._channel is None:
            return
        with suppress(OSError, ValueError):
            self._channel.settimeout(0)
            self._channel.unwrap()
        self._channel.close()
        self._channel = None

    def _opened(self) -> ssl.SSLSocket:
        if self._channel is not None:
            try:
                self._hear(self._channel)
            except OSError:
                self.close()  # a collector may close a connection whenever it likes
        if self._channel is None:
            self._channel = self._connected()
        return self._channel

    def _connected(self) -> ssl.SSLSocket:
        seconds = self._settings.timeout_seconds
        # a collector over TLS has authorities, so there always is a context of its own
        context = client_context(self._settings) or ssl.create_default_context()
        plain = socket.create_connection(self._settings.host_and_port, timeout=seconds)
        try:
            channel = context.wrap_socket(plain, server_hostname=self._settings.host)
        except BaseException:
            plain.close()
            raise
        try:
            # with TLS 1.3 a client's certificate is refused only after the handshake
            select.select([channel], [], [], _GRACE_SECONDS)
            self._hear(channel)
        except BaseException:
            channel.close()
            raise
        return channel

    def _hear(self, channel: ssl.SSLSocket) -> None:
        """Take what the collector may have said: an alert, or that it is gone.

        Raises
        ------
        OSError
            If it is.
        """
        channel.settimeout(0)
        try:
            while channel.recv(4096):
                pass
        except (ssl.SSLWantReadError, BlockingIOError):
            channel.settimeout(self._settings.timeout_seconds)
            return
        raise ConnectionResetError(errno.ECONNRESET, "the connection was closed")

    def _wait_for_acknowledgement(self, channel: ssl.SSLSocket) -> None:
        deadline = time.monotonic() + self._settings.timeout_seconds
        while _unacknowledged(channel):
            if time.monotonic() > deadline:
                raise TimeoutError(errno.ETIMEDOUT, "it does not acknowledge")
            time.sleep(0.002)
        self._hear(channel)


def _unacknowledged(channel: ssl.SSLSocket) -> int:
    """Return how many bytes the peer's kernel has not acknowledged (tcp(7), SIOCOUTQ)."""
    answer = fcntl.ioctl(channel.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    return int(struct.unpack("i", answer)[0])


def _unreachable(
    settings: AuditDestinationSettings, error: OSError | UnicodeError | CredentialsError
) -> AuditError:
    """Return an error that names the destination and the kind of failure.

    A host name that cannot be one is a UnicodeError.
    """
    if isinstance(error, CredentialsError):
        words = error.detail
    elif isinstance(error, ssl.SSLError):
        words = f"TLS failed: {why(error)}."
    else:
        words = f"{getattr(error, 'strerror', None) or type(error).__name__}."
    return AuditError(f"Destination {settings.name}: {words}")


def _token(text: str, most: int) -> str:
    """Return a text as RFC 5424 wants header fields: printable ASCII without spaces."""
    return "".join(c for c in text if "!" <= c <= "~")[:most] or "-"
