"""A report's text without the names and numbers that its files' headers know."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pydicom import Dataset
from pydicom.multival import MultiValue

__all__ = ["REMOVED", "redacted"]

REMOVED = "[removed]"


def redacted(text: str, headers: Iterable[Dataset]) -> str:
    """Return a text in which what identifies somebody by these headers is replaced by `REMOVED`.

    Taken out, in any case of letters: every part of the names of patient, relatives, physicians
    and operators that has three letters or more; patient, accession and other identifiers of four
    characters or more; the date of birth in its usual spellings; the institution's name. What the
    headers do not know, or spell in another way, stays: the text remains patient data.
    """
    known = {words for header in headers for words in _known(header)}
    # the longest first, so that no part of a name is left over
    for words in sorted(known, key=lambda words: (-len(words), words)):
        spelt = r"\s+".join(re.escape(part) for part in words.split())
        text = re.sub(rf"(?<!\w){spelt}(?!\w)", REMOVED, text, flags=re.IGNORECASE)
    return text


_IDENTIFIERS = (
    "PatientID",
    "AccessionNumber",
    "OtherPatientIDs",
    "StudyID",
    "AdmissionID",
    "StudyInstanceUID",
    "InstitutionName",
)


def _known(header: Dataset) -> Iterator[str]:
    for element in header.iterall():
        if element.VR == "PN":
            yield from _parts(element.value)
    for keyword in _IDENTIFIERS:
        value = header.get(keyword)
        values = [value] if isinstance(value, str) else (value or [])
        yield from (words for one in values if len(words := str(one).strip()) >= 4)
    yield from _spellings(str(header.get("PatientBirthDate") or ""))


def _parts(value: object) -> Iterator[str]:
    values = value if isinstance(value, MultiValue | list | tuple) else [value]
    for name in values:
        parts = re.split(r"[\s^=,.\\-]+", str(name or ""))
        yield from (part for part in parts if len(part) >= 3)


def _spellings(date: str) -> Iterator[str]:
    if not re.fullmatch(r"\d{8}", date):
        return
    year, month, day = date[:4], date[4:6], date[6:]
    yield date
    for y in (year, year[2:]):
        for m, d in {(month, day), (str(int(month)), str(int(day)))}:
            yield from (f"{d}.{m}.{y}", f"{d}/{m}/{y}", f"{m}/{d}/{y}", f"{d}-{m}-{y}")
            yield f"{y}-{m}-{d}"
