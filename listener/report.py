"""A report that comes by another road than DICOM: what it says, of whom, of which study."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

__all__ = ["Report", "ReportStatus"]


class ReportStatus(StrEnum):
    """How far a report can be relied on.

    ``final`` and ``corrected`` replace what came before of the same order, ``preliminary`` counts
    until one of them comes, ``withdrawn`` takes back all that came before.
    """

    PRELIMINARY = "preliminary"
    FINAL = "final"
    CORRECTED = "corrected"
    WITHDRAWN = "withdrawn"

    @property
    def is_final(self) -> bool:
        """Whether it is said for good: final, or corrected."""
        return self in (ReportStatus.FINAL, ReportStatus.CORRECTED)


@dataclass(frozen=True, repr=False)
class Report:
    """One report of one study, as its message or file tells it.

    It holds a patient's data: it is hashed or written to the reports' folder, never logged. Hence
    it has no representation that would show it.

    Parameters
    ----------
    status
        How far it can be relied on.
    text
        Its words; empty where it is withdrawn.
    addendum
        True where it adds to an earlier report.
    at
        When it was written or its status changed; UTC. None where it does not say.
    patient_id, issuer
        Patient ID and its issuer; empty where it names none.
    study_uid
        Study Instance UID; empty where it names none.
    accession, accession_issuer
        Accession number and its issuer; empty where it names none.
    order
        What all versions of the same report have in common; empty where nothing tells.
    """

    status: ReportStatus
    text: str
    addendum: bool
    at: datetime | None
    patient_id: str
    issuer: str
    study_uid: str
    accession: str
    accession_issuer: str
    order: str
