"""TLS of the receiver and the sender: DICOM PS3.15 annex B.12 (BCP 195: RFC 8996, RFC 9325)."""

from __future__ import annotations

import errno
import hashlib
import logging
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from listener.audit_settings import AuditDestinationSettings
from listener.destination_settings import DestinationSettings
from listener.errors import CredentialsError
from listener.probe import ProbeIdentity
from listener.tls_settings import TlsSettings, TlsVersion

__all__ = [
    "Credentials",
    "PeerCertificate",
    "SecureSocket",
    "certificate_name",
    "client_context",
    "server_context",
    "why",
]

_log = logging.getLogger("wristmir.listener")

# RFC 9325 section 4.2; TLS 1.3 has no others. Level 2: keys of 112 bits of security, no SHA-1.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"
_OLDEST = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@dataclass(frozen=True)
class PeerCertificate:
    """What a verified client certificate says of its holder.

    ``fingerprint`` is the SHA-256 of its DER, in lower-case hexadecimal digits; ``names`` are its
    subject alternative names (RFC 5280 section 4.2.1.6).
    """

    fingerprint: str
    names: frozenset[str]

    @classmethod
    def of(cls, connection: ssl.SSLSocket) -> PeerCertificate | None:
        """Return the certificate that a peer has shown, None where it has shown none."""
        encoded = connection.getpeercert(binary_form=True)
        if encoded is None:
            return None
        # only a certificate that was verified has anything in here
        facts: dict[str, Any] = dict(connection.getpeercert() or {})
        named = {
            certificate_name(value)
            for kind, value in facts.get("subjectAltName", ())
            if kind in _NAMES
        }
        return cls(hashlib.sha256(encoded).hexdigest(), frozenset(named))


class Credentials:
    """The receiver's certificate, key and authorities, as they lie in their files.

    They are read anew when a file has changed, for the connections that come then; what cannot be
    used leaves the old ones in force.

    Parameters
    ----------
    settings
        Names the files; TLS has to be on.
    identity
        What the service's own C-ECHO shows; made here where none is given.

    Raises
    ------
    CredentialsError
        If they cannot be used.
    """

    def __init__(self, settings: TlsSettings, identity: ProbeIdentity | None = None) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._identity = identity or ProbeIdentity()
        self._seen = self._signature()
        self._context = self._load()

    def wrap(self, connection: socket.socket) -> ssl.SSLSocket:
        """Put TLS before a peer's new connection; its handshake is still to be made.

        Raises
        ------
        OSError
            If the connection is gone already.
        """
        with self._lock:
            self._refresh()
            context = self._context
        connection.getpeername()  # what was reset already, the library would not close
        return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)

    def reload(self) -> None:
        """Read the files now, whether they seem to have changed or not."""
        with self._lock:
            self._seen = ()
            self._refresh()

    def probe_context(self) -> ssl.SSLContext:
        """Return what the service's own C-ECHO speaks TLS with.

        Its certificate was made for this service, whose memory alone holds the key. It asks
        whether the service lives, not whether the receiver's certificate is a good one: systemd
        must not restart a service over a date.
        """
        context = _context(ssl.PROTOCOL_TLS_CLIENT, self._settings.minimum_version)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._identity.show(context)
        return context

    def _refresh(self) -> None:
        signature = self._signature()
        if signature == self._seen:
            return
        self._seen = signature  # so that each change is judged, and complained of, once
        try:
            self._context = self._load()
        except CredentialsError as error:
            _log.error("changed TLS files are not used, the old ones stay: %s", error.detail)
        else:
            _log.info("the TLS files were read anew")

    def _load(self) -> ssl.SSLContext:
        chosen = self._settings
        context = _context(ssl.PROTOCOL_TLS_SERVER, chosen.minimum_version)
        # a resumed session is not asked for its certificate again: without tickets none can be
        # resumed but for two hours, by TLS 1.2, and within this context
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        _show(context, chosen.certificate, chosen.private_key)
        if chosen.authorities is not None:
            _trust(context, chosen.authorities)
            context.load_verify_locations(cadata=self._identity.certificate)
            required = chosen.require_client_certificate
            context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        return context

    def _signature(self) -> tuple[object, ...]:
        chosen = self._settings
        return tuple(map(_state, (chosen.certificate, chosen.private_key, chosen.authorities)))


def client_context(
    there: DestinationSettings | AuditDestinationSettings,
) -> ssl.SSLContext | None:
    """Return what a destination is spoken to with; None where it does not speak TLS.

    The files are read each time, so that changed ones are used at once.

    Raises
    ------
    CredentialsError
        If they cannot be used.
    """
    if not there.tls or there.authorities is None:
        return None
    context = _context(ssl.PROTOCOL_TLS_CLIENT, there.minimum_version)
    context.check_hostname = there.check_host_name
    _trust(context, there.authorities)
    if there.certificate is not None:
        _show(context, there.certificate, there.private_key)
    return context


def server_context(
    certificate: Path | None, private_key: Path | None, oldest: TlsVersion
) -> ssl.SSLContext:
    """Return what a server speaks that asks nobody for a certificate: the web pages.

    Raises
    ------
    CredentialsError
        If the files cannot be used.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, oldest)
    _show(context, certificate, private_key)
    return context


class SecureSocket(ssl.SSLSocket):
    """A TLS connection that never turns into a plain one, and remembers what went wrong."""

    failure: str | None = None
    _early = b""

    def has_data(self) -> bool:
        """Tell whether a read would return at once.

        That bytes lie in the socket says little: they may be a part of a record, or a message of
        TLS itself (a key update), and who waits for data then cannot answer meanwhile.
        """
        if self._early or self.pending():
            return True
        seconds = self.gettimeout()
        self.settimeout(0)
        try:
            self._early = super().recv(1)
        except ssl.SSLWantReadError:
            return False
        except OSError:
            return True  # the read will say it
        finally:
            self.settimeout(seconds)
        return True

    def do_handshake(self, block: bool = False) -> None:
        """Agree on keys, and on who is who."""
        try:
            super().do_handshake(block)
        except OSError as error:
            self.failure = why(error)
            raise

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Read what is there; a peer of TLS 1.3 learns only here that it was refused."""
        if self._early:
            early, self._early = self._early, b""
            return early
        try:
            return super().recv(buflen, flags)
        except ssl.SSLError as error:
            self.failure = why(error)
            raise
        except OSError as error:
            self._close_unmade(error)
            raise

    def getpeername(self) -> Any:
        """Return who is at the other end."""
        try:
            return super().getpeername()
        except OSError as error:
            self._close_unmade(error)
            raise

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """Read what is there into a buffer; see `recv`."""
        if self._early:
            buffer[:1], self._early = self._early, b""
            return 1
        try:
            return super().recv_into(buffer, nbytes, flags)
        except ssl.SSLError as error:
            self.failure = why(error)
            raise

    def shutdown(self, how: int) -> None:
        """Shut the connection down.

        The library would forget its TLS layer here, and a thread that still reads would take what
        came in plain for what a verified peer has said.
        """
        socket.socket.shutdown(self, how)

    def _close_unmade(self, error: OSError) -> None:
        """Close what was reset while TLS was put before it: the library would only forget it."""
        unconnected = error.errno in (errno.ENOTCONN, errno.EINVAL)
        if not unconnected and getattr(self, "_sslobj", None) is None:
            self.close()

    def take_leave(self) -> None:
        """Tell the peer that nothing more comes (close_notify), without waiting for it."""
        with suppress(OSError, ValueError):
            self.settimeout(0)
            self.unwrap()


def certificate_name(text: str) -> str:
    """Return a subject alternative name in the one way in which it is compared."""
    with suppress(ValueError):
        return str(ip_address(text.strip()))
    return text.strip().rstrip(".").lower()


def why(error: OSError) -> str:
    """Return what made TLS fail, in words that hold nothing a peer has written."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message.rstrip('.')}"
    if isinstance(error, TimeoutError):
        return "it did not complete the TLS handshake in time"
    if isinstance(error, ssl.SSLEOFError | ConnectionError) or not isinstance(error, ssl.SSLError):
        return "it hung up"
    reason = error.reason or "no reason given"
    return _REASONS.get(reason, reason.replace("_", " ").lower())


_NAMES = frozenset({"DNS", "IP Address", "URI"})
_REASONS = {
    "HTTP_REQUEST": "it does not speak TLS",
    "KEY_VALUES_MISMATCH": "the key is not that of the certificate",
    "NO_SHARED_CIPHER": "it offers no cipher of BCP 195",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it showed no certificate",
    "UNSUPPORTED_PROTOCOL": "its version of TLS is too old",
    "WRONG_VERSION_NUMBER": "it does not speak TLS",
}


def _context(protocol: int, oldest: TlsVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = _OLDEST[oldest]
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.sslsocket_class = SecureSocket
    return context


def _show(context: ssl.SSLContext, certificate: Path | None, private_key: Path | None) -> None:
    if certificate is None or private_key is None:
        msg = "A certificate and its private key are needed."
        raise CredentialsError(msg)
    _check_readable(certificate)
    _check_readable(private_key)
    try:
        # an empty password: nobody is there to be asked for another
        context.load_cert_chain(certificate, private_key, password="")
    except (OSError, ValueError) as error:
        words = why(error) if isinstance(error, ssl.SSLError) else type(error).__name__
        msg = (
            f"{certificate} and {private_key}: {words}; give it a PEM certificate and the key, "
            "without a password, that were made together."
        )
        raise CredentialsError(msg) from None


def _trust(context: ssl.SSLContext, authorities: Path) -> None:
    _check_readable(authorities)
    try:
        context.load_verify_locations(cafile=authorities)
    except (OSError, ValueError) as error:
        words = why(error) if isinstance(error, ssl.SSLError) else type(error).__name__
        msg = f"{authorities}: {words}; give it the authorities' certificates in PEM."
        raise CredentialsError(msg) from None


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        msg = f"{path}: {error.strerror}; put it there, readable by the service's account."
        raise CredentialsError(msg) from None


def _state(path: Path | None) -> tuple[int, ...] | None:
    """Return what tells a changed file from an unchanged one; None where there is none."""
    try:
        facts = path.stat() if path is not None else None
    except OSError:
        return None
    return facts and (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
