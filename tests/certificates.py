"""Certificates of invented authorities, made anew for each test."""

from __future__ import annotations

import hashlib
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from listener.tls_settings import TlsSettings

_PEM = serialization.Encoding.PEM


@dataclass(frozen=True)
class Identity:
    """A certificate and its key, in files."""

    certificate: Path
    private_key: Path

    @property
    def fingerprint(self) -> str:
        """The certificate's SHA-256, as openssl prints it."""
        loaded = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        return loaded.fingerprint(hashes.SHA256()).hex(":").upper()


class Authority:
    """An authority that vouches for whomever a test likes."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(f"invented {name}")
        built = _builder(self._name, self._name, self._key, days=3650).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(built.sign(self._key, hashes.SHA256()).public_bytes(_PEM))

    def issue(self, name: str, *names: str, days: float = 365) -> Identity:
        """Make a certificate with its key; negative days have it expired so long ago."""
        key = ec.generate_private_key(ec.SECP256R1())
        built = _builder(_named(name), self._name, key, days=days)
        if names:
            alternatives = x509.SubjectAlternativeName([_alternative(n) for n in names])
            built = built.add_extension(alternatives, critical=False)
        identity = Identity(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        identity.certificate.write_bytes(built.sign(self._key, hashes.SHA256()).public_bytes(_PEM))
        identity.private_key.touch(mode=0o600)
        plain = serialization.NoEncryption()
        kind = serialization.PrivateFormat.PKCS8
        identity.private_key.write_bytes(key.private_bytes(_PEM, kind, plain))
        return identity

    def lock(self, identity: Identity, password: bytes) -> None:
        """Put a password on the key in an identity's file."""
        path = identity.private_key
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        locked = serialization.BestAvailableEncryption(password)
        path.write_bytes(key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, locked))

    def settings(self, server: Identity, **changes: object) -> TlsSettings:
        """Return TLS settings of a receiver on a free port that trusts this authority."""
        given = {
            "port": 0,
            "certificate": server.certificate,
            "private_key": server.private_key,
            "authorities": self.file,
        }
        return TlsSettings.model_validate(given | changes)

    def client(self, shown: Identity | None = None) -> ssl.SSLContext:
        """Return what a peer speaks TLS with that trusts this authority."""
        context = ssl.create_default_context(cafile=self.file)
        if shown is not None:
            context.load_cert_chain(shown.certificate, shown.private_key)
        return context


def shown(authority: Authority, client: Identity, port: int) -> str:
    """Return the fingerprint of the certificate that is shown on a port."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        authority.client(client).wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        encoded = secure.getpeercert(binary_form=True)
    assert encoded is not None
    return hashlib.sha256(encoded).digest().hex(":").upper()


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: float
) -> x509.CertificateBuilder:
    end = datetime.now(UTC) + timedelta(days=days)
    return (
        x509.CertificateBuilder(issuer, subject, key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(days=3700))
        .not_valid_after(end)
    )
