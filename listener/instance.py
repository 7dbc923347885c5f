"""A received object: its identity, its digest, whose it is, and whether it is of use."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from listener.header import Header

__all__ = [
    "Instance",
    "accession_keys",
    "data_set_digest",
    "file_name",
    "issued_keys",
    "keyed_hash",
    "patient_keys",
    "same_issued",
    "same_patient",
    "unused_reason",
]


@dataclass(frozen=True)
class Instance:
    """A received object as the ledger records it.

    Parameters
    ----------
    digest
        SHA-256 over the transfer syntax and the data set as it was received, in hexadecimal.
    size
        Bytes of the data set.
    path
        Where it lies; None where its bytes are not kept.
    patient_key, patient_id_key
        Keyed hashes of PatientID with its issuer, and of PatientID alone; equal where no issuer
        is given.
    accession_keys
        Likewise of the accession number with its issuer, and alone; None where there is none.
    """

    sop_instance_uid: str
    sop_class_uid: str
    study_uid: str
    series_uid: str
    transfer_syntax: str
    digest: str
    size: int
    path: Path | None
    patient_key: str
    patient_id_key: str
    accession_keys: tuple[str, str] | None = None


def file_name(sop_instance_uid: str, digest: str) -> str:
    """Return a fresh file name: a hash, so that nothing a peer sent becomes a path.

    Something random takes part: no two receptions ever share a file, so that deleting the file of
    one can never take away another's.
    """
    nonce = secrets.token_hex(16)
    return hashlib.sha256(f"{sop_instance_uid}\0{digest}\0{nonce}".encode()).hexdigest() + ".dcm"


def data_set_digest(transfer_syntax: str) -> hashlib._Hash:
    """Return the SHA-256 that a data set's bytes are to be added to."""
    return hashlib.sha256(f"{transfer_syntax}\0".encode())


def unused_reason(sop_class_uid: str) -> str | None:
    """Say why the plugin has no use for a SOP class, or None where it has."""
    if sop_class_uid in _KEPT:
        return None
    return "not a radiograph (CR, DX), a report (SR, PDF, CDA) or a key object selection"


def keyed_hash(key: bytes, *parts: bytes | str) -> str:
    """Return the HMAC-SHA-256 of the parts in hexadecimal, unlinkable without the site's key."""
    raw = [p.encode() if isinstance(p, str) else p for p in parts]
    message = b"".join(struct.pack(">I", len(p)) + p for p in raw)
    return hmac.digest(key, message, "sha256").hex()


def patient_keys(key: bytes, header: Header) -> tuple[str, str]:
    """Return the keyed hashes of PatientID with its issuer, and of PatientID alone."""
    return issued_keys(key, b"patient", header.patient_id, header.issuer)


def accession_keys(key: bytes, header: Header) -> tuple[str, str] | None:
    """Return the keyed hashes of the accession number with its issuer, and alone; None of none."""
    if not header.accession:
        return None
    return issued_keys(key, b"accession", header.accession, header.accession_issuer)


@lru_cache(maxsize=1024)  # an association brings the same few patients again and again
def issued_keys(
    key: bytes, kind: bytes, identifier: bytes | str, issuer: bytes | str
) -> tuple[str, str]:
    """Return the keyed hashes of an identifier with its issuer, and of the identifier alone."""
    alone = keyed_hash(key, kind, identifier, b"")
    return keyed_hash(key, kind, identifier, issuer), alone


def same_patient(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Tell whether two pairs of `patient_keys` can be one patient.

    An issuer that only one of the two objects names is no contradiction: reports often lack it.
    """
    return same_issued(one, other)


def same_issued(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Tell whether two pairs of `issued_keys` can be one identifier, as for `same_patient`."""
    if one[1] != other[1]:
        return False
    both_name_issuers = one[0] != one[1] and other[0] != other[1]
    return one[0] == other[0] or not both_name_issuers


_KEPT = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.1",  # Computed Radiography Image Storage
        "1.2.840.10008.5.1.4.1.1.1.1",  # Digital X-Ray Image Storage - For Presentation
        "1.2.840.10008.5.1.4.1.1.1.1.1",  # Digital X-Ray Image Storage - For Processing
        "1.2.840.10008.5.1.4.1.1.88.11",  # Basic Text SR Storage
        "1.2.840.10008.5.1.4.1.1.88.22",  # Enhanced SR Storage
        "1.2.840.10008.5.1.4.1.1.88.33",  # Comprehensive SR Storage
        "1.2.840.10008.5.1.4.1.1.88.34",  # Comprehensive 3D SR Storage
        "1.2.840.10008.5.1.4.1.1.88.35",  # Extensible SR Storage
        "1.2.840.10008.5.1.4.1.1.88.59",  # Key Object Selection Document Storage
        "1.2.840.10008.5.1.4.1.1.104.1",  # Encapsulated PDF Storage
        "1.2.840.10008.5.1.4.1.1.104.2",  # Encapsulated CDA Storage
    }
)
