"""Whether the files for TLS will do, and for how long: the receiver's and each destination's."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from listener.audit_settings import AuditDestinationSettings
from listener.destination_settings import DestinationSettings
from listener.errors import CredentialsError
from listener.settings import ListenerSettings
from listener.tls import Credentials, client_context
from listener.tls_settings import TlsSettings

__all__ = ["look_at_certificates", "look_at_files"]

Look = Iterator[tuple[str, str]]

_SOON = timedelta(days=30)


def look_at_certificates(listener: ListenerSettings) -> Look:
    """Yield a verdict and its words for everything that TLS rests on, as `wristmir doctor` does.

    Looked at: that this account can read the files, that a key is that of its certificate, that
    the authorities vouch for the receiver's certificate, when each certificate expires, and who
    else can read a key.
    """
    secure: list[DestinationSettings | AuditDestinationSettings] = [
        there for there in listener.destinations if there.tls
    ]
    secure += [there for there in listener.audit.destinations if there.tls]
    if not listener.tls.is_on and not secure:
        yield "ok", "TLS is off: keep DICOM traffic on a protected network"
    if listener.tls.is_on:
        yield from _receiver(listener.tls)
    for there in secure:
        yield from _destination(there)


def look_at_files(
    certificate: Path | None, private_key: Path | None, authorities: Path | None
) -> Look:
    """Yield when certificates expire, and who else can read a key."""
    for path in (certificate, authorities):
        if path is not None:
            yield from _expiry(path)
    if private_key is not None and private_key.stat().st_mode & 0o027:
        yield (
            "warning",
            f"{private_key}: others can read or change this key; set its mode to 0600, or to 0640 "
            "with the service's group",
        )


def _receiver(tls: TlsSettings) -> Look:
    try:
        Credentials(tls)
    except CredentialsError as error:
        yield "error", error.detail
        return
    yield from look_at_files(tls.certificate, tls.private_key, tls.authorities)
    fault = _chain_fault(tls)
    if fault is not None:
        yield (
            "warning",
            f"{tls.authorities} does not vouch for {tls.certificate}: {fault}; peers that trust "
            "these authorities alone will refuse it",
        )


def _destination(there: DestinationSettings | AuditDestinationSettings) -> Look:
    try:
        client_context(there)
    except CredentialsError as error:
        yield "error", f"{there.name}: {error.detail}"
        return
    yield from look_at_files(there.certificate, there.private_key, there.authorities)


def _expiry(path: Path) -> Look:
    """Yield what is to be said of the certificate in a file that expires first."""
    now = datetime.now(UTC)
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except ValueError:
        yield "error", f"{path}: holds something else than PEM certificates"
        return
    first = min(found, key=lambda one: one.not_valid_after_utc)
    end = first.not_valid_after_utc
    if any(one.not_valid_before_utc > now for one in found):
        yield "error", f"{path}: a certificate is not valid yet; look at the clock and the file"
    elif end <= now:
        yield "error", f"{path}: a certificate expired on {end:%Y-%m-%d}; put a new one there"
    elif end <= now + _SOON:
        days = (end - now).days
        yield (
            "warning",
            f"{path}: a certificate expires on {end:%Y-%m-%d}, in {days} days; renew it",
        )
    else:
        yield "ok", f"{path}: valid until {end:%Y-%m-%d}"


def _chain_fault(tls: TlsSettings) -> str | None:
    """Return why the authorities do not vouch for the receiver, as a handshake in memory tells."""
    if tls.certificate is None or tls.authorities is None:
        return None
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.load_cert_chain(tls.certificate, tls.private_key, password="")
    client.check_hostname = False  # that is for each peer to judge
    client.load_verify_locations(tls.authorities)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for end in ends * 3:  # more flights than a handshake has
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError as error:
            return error.verify_message
    return None
