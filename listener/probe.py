"""The service's own C-ECHO: how it asks itself, over the network, whether it lives."""

from __future__ import annotations

import os
import secrets
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime

from listener.settings import ListenerSettings

__all__ = ["Probe", "ProbeIdentity"]


@dataclass(frozen=True)
class Probe:
    """What the service knows itself by, and nobody else can guess.

    Parameters
    ----------
    title
        Calling AE title that is admitted for a C-ECHO, and for nothing else.
    identity
        What it shows where TLS is spoken; None where it is not.
    """

    title: str
    identity: ProbeIdentity | None = None

    @classmethod
    def of(cls, settings: ListenerSettings) -> Probe:
        """Make one anew."""
        identity = ProbeIdentity() if settings.tls.is_on else None
        return cls("P" + secrets.token_hex(7).upper(), identity)


class ProbeIdentity:
    """A certificate and key that exist in the memory of this service and nowhere else."""

    def __init__(self) -> None:
        # 20 MB that a receiver without TLS need not spend
        from cryptography import x509  # noqa: PLC0415
        from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

        key = ec.generate_private_key(ec.SECP256R1())
        common = x509.NameAttribute(x509.NameOID.COMMON_NAME, f"probe {secrets.token_hex(8)}")
        name = x509.Name([common])
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key())
            .serial_number(x509.random_serial_number())
            # a clock that jumps must not end it (RFC 5280 section 4.1.2.5)
            .not_valid_before(datetime(2000, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")
        self._key = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def show(self, context: ssl.SSLContext) -> None:
        """Have a client show this certificate; the library takes files only, so one in memory."""
        descriptor = os.memfd_create("probe", os.MFD_CLOEXEC)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(self.certificate.encode("ascii") + self._key)
            stream.flush()
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
