"""Whose a result is: taken over from the query image, its time zone included, and checked."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from pydicom import Dataset, config
from pydicom.sequence import Sequence

from pipeline.errors import IdentityError

__all__ = ["IDENTITY", "adopt_identity", "assert_identity", "content_time"]

# type 2 attributes (PS3.3 C.7.1.1, C.7.2.1): present in the result even where the query lacks them
_REQUIRED: Final = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
_ALSO: Final = (
    "SpecificCharacterSet",
    "TimezoneOffsetFromUTC",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "TypeOfPatientID",
    "IssuerOfAccessionNumberSequence",
    "StudyDescription",
    "PatientAge",
)
IDENTITY: Final = frozenset({*_REQUIRED, *_ALSO})
"""Keywords of what a result takes over from its query."""

_COMPARED: Final = (
    "PatientID",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "PatientName",
    "PatientBirthDate",
    "StudyInstanceUID",
)


def adopt_identity(result: Dataset, query_header: Dataset) -> None:
    """Give a result the patient and study of its query image, byte for byte.

    The query's character set comes with it, since names are written in it; whether a result's own
    words can be written in it too is for `pipeline.character_set` to see to.

    Parameters
    ----------
    result
        Changed in place.
    query_header
        The query image; what it lacks of the type 2 attributes becomes empty.
    """
    with config.disable_value_validation():  # its warnings would print values
        for keyword in (*_REQUIRED, *_ALSO):
            if keyword in result:
                del result[keyword]
            if keyword in query_header:
                result.add(deepcopy(query_header[keyword]))
            elif keyword in _REQUIRED:
                setattr(result, keyword, "")


def content_time(created_at: datetime, query_header: Dataset) -> datetime:
    """Return the time in the zone of the query's study, so that viewers sort it rightly.

    That is its TimezoneOffsetFromUTC where it has one (a result adopts it), else this machine's.
    """
    offset = str(query_header.get("TimezoneOffsetFromUTC") or "").strip()
    if len(offset) == 5 and offset[0] in "+-" and offset[1:].isdecimal():
        minutes = int(offset[1:3]) * 60 + int(offset[3:])
        sign = -1 if offset[0] == "-" else 1
        return created_at.astimezone(timezone(sign * timedelta(minutes=minutes)))
    return created_at.astimezone()


def assert_identity(result: Dataset, query_header: Dataset) -> None:
    """Refuse a result that is not of the query's patient and study.

    Called when a result is built, and again on what was read from disk right before it is sent.

    Raises
    ------
    IdentityError
        Naming the attribute that differs, never its values.
    """
    with config.disable_value_validation():
        for keyword in _COMPARED:
            if _plain(result.get(keyword)) != _plain(query_header.get(keyword)):
                detail = f"{keyword} differs."
                raise IdentityError(detail)
        if not _plain(result.get("StudyInstanceUID")):
            detail = "StudyInstanceUID is missing."
            raise IdentityError(detail)


def _plain(value: Any) -> str:
    """Return a value as text, without padding; absent and empty are one."""
    if value is None:
        return ""
    if isinstance(value, Sequence):
        return "|".join(f"{e.tag}={_plain(e.value)}" for item in value for e in item)
    return str(value).strip(" \0")
