"""Names for patients, studies and images that nobody without the key can trace back."""

from __future__ import annotations

import hmac
import os
from hashlib import sha256
from pathlib import Path

from pydicom import Dataset

from pipeline.examination import patient_key
from training.errors import DataError
from training.private_file import open_private

__all__ = ["Pseudonyms", "key_in"]

_LEAST_BYTES = 16


class Pseudonyms:
    """Keyed hashes, 32 hexadecimal digits: the same under the same key, for every export.

    Parameters
    ----------
    key
        A secret of the hospital. Let it be another than the service's site key: then a table
        cannot be joined with the index either.

    Raises
    ------
    DataError
        Where the key is shorter than 16 bytes.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < _LEAST_BYTES:
            detail = f"A key for pseudonyms needs {_LEAST_BYTES} bytes or more."
            raise DataError(detail)
        self._key = key

    def patient(self, header: Dataset) -> str:
        """Return the patient of an image; one without PatientID is its study's own."""
        return patient_key(header, self._key)

    def patient_of_id(self, patient_id: str) -> str:
        """Return the patient with a PatientID."""
        header = Dataset()
        header.PatientID = patient_id
        return patient_key(header, self._key)

    def study(self, study_uid: str) -> str:
        """Return a study by its Study Instance UID."""
        return self._of("study", study_uid)

    def exam(self, sop_uid: str) -> str:
        """Return an image by its SOP Instance UID."""
        return self._of("exam", sop_uid)

    def rater(self, account: str) -> str:
        """Return who judged a match by the account that was signed in."""
        return self._of("rater", account)

    def _of(self, kind: str, uid: str) -> str:
        message = f"wristmir training {kind}\0{uid}".encode()
        return hmac.new(self._key, message, sha256).hexdigest()[:32]


def key_in(path: Path, table: Path) -> bytes:
    """Return the key in a file; where there is none, one is drawn and written (mode 0600).

    Raises
    ------
    DataError
        Where the file lies in the table's own folder, or cannot be read or written.
    """
    if path.resolve().is_relative_to(table.resolve()):
        detail = f"The key {path} must not lie in the folder of the table that it protects."
        raise DataError(detail)
    try:
        if path.exists():
            return path.read_bytes()
        key = os.urandom(32)
        with open_private(path) as file:
            file.write(key)
    except OSError as error:
        detail = f"The key {path} can be neither read nor made ({type(error).__name__})."
        raise DataError(detail) from error
    return key
