"""To which end each patient's exams are used: by a keyed hash, so that more patients move none."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from training.errors import DataError
from training.exam_table import Split

__all__ = ["PUBLIC_KEY", "PatientSplit", "patients_in"]

PUBLIC_KEY = b"wristmir: patients without a secret"
"""For phantoms and public data sets, whose patients need no protection."""


@dataclass(frozen=True)
class PatientSplit:
    """Assigns patients to splits.

    Where a patient goes depends on patient, key and shares alone: not on who else there is. A
    larger share of one split takes patients from training only, so that none ever moves from
    testing into training as shares grow.

    Parameters
    ----------
    test, validation
        Shares of patients, each 0 to 1, together at most 1; the rest is for training. The paper
        evaluates on 876 of 7,540 exams.
    key
        Of the hash; another key is another assignment.
    fixed
        Patients whose split is decreed.

    Raises
    ------
    DataError
        Where the shares do not fit.
    """

    test: float = 0.12
    validation: float = 0.08
    key: bytes = PUBLIC_KEY
    fixed: Mapping[str, Split] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (self.test >= 0 and self.validation >= 0 and self.test + self.validation <= 1):
            detail = "The shares of test and validation must be 0 or more, and at most 1 together."
            raise DataError(detail)

    def of(self, patient: str) -> Split:
        """Return the split of a patient, named as in the table's column ``patient``."""
        decreed = self.fixed.get(patient)
        if decreed is not None:
            return decreed
        digest = hmac.digest(self.key, b"wristmir split\0" + patient.encode(), sha256)
        place = int.from_bytes(digest[:8], "big") / 2**64
        # test from the one end, validation from the other: each may grow without the other moving
        if place < self.test:
            return Split.TEST
        return Split.VALIDATION if place >= 1 - self.validation else Split.TRAIN


def patients_in(path: Path) -> frozenset[str]:
    """Return the patients of a list: one a line, lines with ``#`` aside.

    Raises
    ------
    DataError
        Where the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        detail = f"{path} cannot be read ({type(error).__name__})."
        raise DataError(detail) from error
    lines = (line.strip() for line in text.splitlines())
    return frozenset(line for line in lines if line and not line.startswith("#"))
