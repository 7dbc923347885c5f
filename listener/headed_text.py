"""A report as a text file under a head of a few lines that say whose and which it is.

The head's lines are `Keyword: value` with DICOM's keywords, an empty line ends it, and what follows
is the report::

    StudyInstanceUID: 1.2.840.99999.1
    PatientID: 4711
    Status: final

    FINDINGS: …
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from listener.elements import is_uid
from listener.errors import UnusableReportError
from listener.report import Report, ReportStatus

__all__ = ["read_headed_text"]


def read_headed_text(data: bytes) -> tuple[Report, ...]:
    """Return the report of a text file, UTF-8.

    ``StudyInstanceUID``, or ``AccessionNumber`` and ``PatientID`` are needed.
    ``IssuerOfPatientID``, ``IssuerOfAccessionNumber``, ``Status`` (final, corrected, preliminary,
    withdrawn; final without it) and ``DateTime`` (ISO 8601; UTC where it names no zone) may stand
    there too.

    Raises
    ------
    UnusableReportError
        If the head is none, names too little or something else, or nothing follows it.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        msg = "A text file has to be UTF-8."
        raise UnusableReportError(msg) from None
    head, _, body = re.sub(r"\r\n?", "\n", text).partition("\n\n")
    values = _values(head)
    study_uid, patient_id = values.get("StudyInstanceUID", ""), values.get("PatientID", "")
    accession = values.get("AccessionNumber", "")
    if study_uid and not is_uid(study_uid):
        msg = "Its StudyInstanceUID is none."
        raise UnusableReportError(msg)
    if not study_uid and not (accession and patient_id):
        msg = "Its head needs StudyInstanceUID, or AccessionNumber and PatientID."
        raise UnusableReportError(msg)
    status = _status(values.get("Status", "final"))
    if not body.strip() and status is not ReportStatus.WITHDRAWN:
        msg = "No text follows its head and an empty line."
        raise UnusableReportError(msg)
    report = Report(
        status=status,
        text="" if status is ReportStatus.WITHDRAWN else body.strip(),
        addendum=False,
        at=_moment(values.get("DateTime", "")),
        patient_id=patient_id,
        issuer=values.get("IssuerOfPatientID", ""),
        study_uid=study_uid,
        accession=accession,
        accession_issuer=values.get("IssuerOfAccessionNumber", ""),
        order=accession,
    )
    return (report,)


_KEYWORDS = frozenset(
    {
        "StudyInstanceUID",
        "AccessionNumber",
        "IssuerOfAccessionNumber",
        "PatientID",
        "IssuerOfPatientID",
        "Status",
        "DateTime",
    }
)


def _values(head: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for number, line in enumerate(head.strip("\n").split("\n"), start=1):
        keyword, colon, value = line.partition(":")
        if not colon or keyword.strip() not in _KEYWORDS or keyword.strip() in values:
            msg = f"Line {number} of its head is no keyword with a value; an empty line ends it."
            raise UnusableReportError(msg)
        values[keyword.strip()] = value.strip()
    return values


def _status(word: str) -> ReportStatus:
    try:
        return ReportStatus(word.lower())
    except ValueError:
        msg = f"Its Status is none of {', '.join(ReportStatus)}."
        raise UnusableReportError(msg) from None


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).astimezone(UTC)
    except (ValueError, OverflowError):
        msg = "Its DateTime is no time of ISO 8601."
        raise UnusableReportError(msg) from None
