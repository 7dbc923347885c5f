"""The header of a received data set: identities, nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from listener.elements import read_values, uid_value
from listener.errors import MismatchError

__all__ = ["Header", "read_header"]


@dataclass(frozen=True)
class Header:
    """What the listener reads of a data set: identities, nothing else.

    ``patient_id``, ``accession`` and their issuers are the raw bytes without padding; they are
    hashed, never kept.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_uid: str
    series_uid: str
    patient_id: bytes
    issuer: bytes
    accession: bytes = b""
    accession_issuer: bytes = b""

    def agrees_with(self, sop_class_uid: str, sop_instance_uid: str) -> None:
        """Check the data set against the C-STORE command (DICOM PS3.4 section B.2.3).

        Raises
        ------
        MismatchError
            If the SOP Class or SOP Instance UID differs.
        """
        if self.sop_class_uid != sop_class_uid:
            msg = "Its SOP Class UID is not the command's."
            raise MismatchError(msg)
        if self.sop_instance_uid != sop_instance_uid:
            msg = "Its SOP Instance UID is not the command's."
            raise MismatchError(msg)


def read_header(stream: BinaryIO, transfer_syntax: str) -> Header:
    """Read the identities from a data set that starts where the stream stands.

    Raises
    ------
    CannotUnderstandError
        If the elements cannot be walked up to Series Instance UID, or a UID is none.
    """
    values = read_values(stream, transfer_syntax, _WANTED, inside=_INSIDE)
    return Header(
        sop_class_uid=uid_value(values, _SOP_CLASS),
        sop_instance_uid=uid_value(values, _SOP_INSTANCE),
        study_uid=uid_value(values, _STUDY),
        series_uid=uid_value(values, _SERIES),
        patient_id=values.get(_PATIENT, b"").strip(b" \0"),
        issuer=values.get(_ISSUER, b"").strip(b" \0"),
        accession=values.get(_ACCESSION, b"").strip(b" \0"),
        accession_issuer=values.get(_ACCESSION_ISSUER, b"").strip(b" \0"),
    )


_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_ACCESSION, _ACCESSION_ISSUER = 0x00080050, 0x00080051
_PATIENT, _ISSUER = 0x00100020, 0x00100021
_STUDY, _SERIES = 0x0020000D, 0x0020000E
_WANTED = (_SOP_CLASS, _SOP_INSTANCE, _ACCESSION, _PATIENT, _ISSUER, _STUDY, _SERIES)
_INSIDE = {_ACCESSION_ISSUER: 0x00400031}  # Local Namespace Entity ID
