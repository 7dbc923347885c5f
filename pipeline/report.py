"""Report text out of DICOM structured reports, PDF and CDA in DICOM, and other roads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from pydicom import uid
from pydicom.dataset import Dataset

from pipeline.document import Document
from pipeline.errors import ReportError
from pipeline.terms import SCHEME

__all__ = [
    "MAX_CHARACTERS",
    "ReportText",
    "is_document",
    "is_report",
    "report_of_document",
    "report_text",
    "told_report",
]

MAX_CHARACTERS = 50_000
"""Longer text is cut: no radiology report is."""


@dataclass(frozen=True)
class ReportText:
    """One report's words, and how far they can be relied on.

    Parameters
    ----------
    text
        Headings as lines of capitals with a colon, everything else as it was written.
    kind
        ``basic_text``, ``enhanced``, ``comprehensive``, ``comprehensive_3d``, ``pdf``, ``cda``;
        ``hl7`` or ``txt`` where it came by another road than DICOM.
    verified, complete, final
        Verification Flag, Completion Flag and Preliminary Flag (PS3.3 C.17.2). A document without
        Preliminary Flag counts as final where it is complete.
    addendum
        True where the document adds to another one.
    at
        When it was verified, else written; UTC (a document without time zone is taken as UTC).
    orders
        The numbers of the orders that it answers, each by the filler's number, else the placer's,
        else the accession number. Empty where it names none: then it may answer any.
    """

    text: str
    kind: str
    verified: bool
    complete: bool
    final: bool
    addendum: bool
    at: datetime | None
    orders: tuple[str, ...] = ()


def report_text(header: Dataset) -> ReportText:
    """Return the text of a structured report; empty where it holds none.

    Observation and acquisition context (names, institutions) and concept modifiers are skipped
    with all below them (PS3.3 C.17.3.2.4; PS3.16 TID 1001), and so are person names, dates, UIDs
    and references anywhere, and what is said of another subject than the report's patient (TID
    1006). Codes and numbers are written out.

    Raises
    ------
    ReportError
        If `header` is no Basic Text, Enhanced, Comprehensive or Comprehensive 3D SR.
    """
    kind = _KINDS.get(str(header.get("SOPClassUID")))
    if kind is None:
        detail = "Its SOP class is no structured report with text."
        raise ReportError(detail)
    lines = list(_lines(header.get("ContentSequence") or (), 0))
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()[:MAX_CHARACTERS]
    complete = header.get("CompletionFlag") == "COMPLETE"
    preliminary = header.get("PreliminaryFlag")
    return ReportText(
        text=text,
        kind=kind,
        verified=header.get("VerificationFlag") == "VERIFIED",
        complete=complete,
        final=preliminary == "FINAL" if preliminary else complete,
        addendum=_is_addendum(header),
        at=_time(header),
        orders=_orders(header),
    )


def is_report(header: Dataset) -> bool:
    """Whether `header` is a structured report that may hold a radiologist's words.

    Measurement reports (root title 126000) are made by machines and hold numbers only. What a
    WristMIR has made, here or elsewhere, tells of other patients.
    """
    known = str(header.get("SOPClassUID")) in _KINDS
    return known and _concept(header) not in _MEASUREMENT_TITLES and not _is_result(header)


def is_document(header: Dataset) -> bool:
    """Whether `header` is of a PDF or CDA document; what it says is read by the decoder.

    One that a WristMIR has made is none.
    """
    return str(header.get("SOPClassUID")) in _DOCUMENTS and not _is_result(header)


def report_of_document(header: Dataset, document: Document) -> ReportText:
    """Return an encapsulated document as a report.

    A PDF has no parts that could be told apart: letterhead and names stay in the text. Neither kind
    knows a Completion Flag, so it counts as complete and final (PS3.3 C.24.2 has Verification Flag
    only).

    Parameters
    ----------
    header
        Of the file.
    document
        What it says, from `pipeline.decoder.Decoder.document`.
    """
    return ReportText(
        text=re.sub(r"\n{3,}", "\n\n", _clean(document.text))[:MAX_CHARACTERS].strip(),
        kind=_DOCUMENTS[str(header.get("SOPClassUID"))],
        verified=header.get("VerificationFlag") == "VERIFIED" or document.authenticated,
        complete=True,
        final=True,
        addendum=_is_addendum(header) or document.addendum,
        at=_time(header),
    )


def told_report(
    text: str, kind: str, *, final: bool, addendum: bool, at: datetime | None, order: str = ""
) -> ReportText:
    """Return words that came by another road than DICOM as a report.

    Parameters
    ----------
    text
        Empty where the report was withdrawn.
    kind
        ``hl7`` or ``txt``.
    final
        Whether its status vouches for it: then it counts as verified too (HL7 table 0123).
    addendum
        Whether it adds to another report.
    at
        When it was written; timezone-aware.
    order
        The number of the order that it answers; empty where it names none.
    """
    return ReportText(
        text=re.sub(r"\n{3,}", "\n\n", _clean(text))[:MAX_CHARACTERS].strip(),
        kind=kind,
        verified=final,
        complete=True,
        final=final,
        addendum=addendum,
        at=at,
        orders=(order,) if order else (),
    )


_KINDS = {
    str(uid.BasicTextSRStorage): "basic_text",
    str(uid.EnhancedSRStorage): "enhanced",
    str(uid.ComprehensiveSRStorage): "comprehensive",
    str(uid.Comprehensive3DSRStorage): "comprehensive_3d",
}
_DOCUMENTS = {
    str(uid.EncapsulatedPDFStorage): "pdf",
    str(uid.EncapsulatedCDAStorage): "cda",
}
_SKIPPED = frozenset({"HAS OBS CONTEXT", "HAS ACQ CONTEXT", "HAS CONCEPT MOD"})
_MEASUREMENT_TITLES = frozenset({("DCM", "126000"), ("DCM", "126001"), ("DCM", "126010")})
_ADDENDUM_TITLES = frozenset({("LN", "55107-7"), ("LN", "81223-0")})
_SUBJECT_CLASS = ("DCM", "121024")
_NUMBERS = (
    "FillerOrderNumberImagingServiceRequest",
    "PlacerOrderNumberImagingServiceRequest",
    "AccessionNumber",
)
_MAX_DEPTH = 16


def _lines(items: Sequence[Dataset], depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        return
    for item in items:
        if item.get("RelationshipType") in _SKIPPED:
            continue
        below = item.get("ContentSequence") or ()
        if any(_concept(child) == _SUBJECT_CLASS for child in below):
            continue
        if item.get("ValueType") == "CONTAINER":
            found = list(_lines(below, depth + 1))
            if item.get("ContinuityOfContent") == "CONTINUOUS":
                found = [" ".join(_running_text(below, depth + 1))] if found else []
            # a heading over nothing would read as a section without findings
            if found:
                yield from _heading(item)
                yield from found
            continue
        yield from _statement(item, under_root=depth == 0)
        yield from _lines(below, depth + 1)


def _running_text(items: Sequence[Dataset], depth: int) -> Iterator[str]:
    """Return pieces of one sentence: codes and numbers stand in it without their names."""
    for item in items:
        if item.get("RelationshipType") in _SKIPPED or depth > _MAX_DEPTH:
            continue
        yield from (
            line.split(": ", 1)[-1] if item.get("ValueType") != "TEXT" else line
            for line in _statement(item, under_root=False)
        )
        yield from _running_text(item.get("ContentSequence") or (), depth + 1)


def _statement(item: Dataset, *, under_root: bool) -> Iterator[str]:
    kind, name = item.get("ValueType"), _meaning(item, "ConceptNameCodeSequence")
    if kind == "TEXT":
        text = _clean(_one_text(item.get("TextValue")))
        if text and under_root:
            yield from _heading(item)
        if text:
            yield text
    elif kind == "CODE":
        value = _meaning(item, "ConceptCodeSequence")
        if value:
            yield f"{name}: {value}" if name else value
    elif kind == "NUM":
        measured = next(iter(item.get("MeasuredValueSequence") or ()), None)
        if measured is not None and measured.get("NumericValue") not in (None, ""):
            unit = _unit(measured)
            yield f"{name}: {measured.NumericValue} {unit}".strip()


def _heading(item: Dataset) -> Iterator[str]:
    name = _meaning(item, "ConceptNameCodeSequence")
    if name:
        yield f"\n{name.upper()}:"


def _unit(measured: Dataset) -> str:
    code = next(iter(measured.get("MeasurementUnitsCodeSequence") or ()), Dataset())
    value = str(code.get("CodeValue") or "")
    return "" if value in ("1", "{no units}") else value


def _meaning(item: Dataset, sequence: str) -> str:
    code = next(iter(item.get(sequence) or ()), Dataset())
    return _clean(str(code.get("CodeMeaning") or "")).strip(" :")


def _concept(item: Dataset) -> tuple[str, str]:
    code = next(iter(item.get("ConceptNameCodeSequence") or ()), Dataset())
    return str(code.get("CodingSchemeDesignator") or ""), str(code.get("CodeValue") or "")


def _is_result(header: Dataset) -> bool:
    """Whether the document's title is one of this plugin's own."""
    return _concept(header)[0] == SCHEME


def _one_text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return "\\".join(str(part) for part in value)  # a backslash in UT separates nothing


def _clean(text: str) -> str:
    unix = text.replace("\r\n", "\n").replace("\r", "\n")
    printable = re.sub(r"[^\S\n]+", " ", re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", " ", unix))
    return "\n".join(line.strip() for line in printable.split("\n")).strip()


def _is_addendum(header: Dataset) -> bool:
    title = (
        f"{_meaning(header, 'ConceptNameCodeSequence')} {header.get('DocumentTitle', '')}".lower()
    )
    return _concept(header) in _ADDENDUM_TITLES or "addendum" in title or "nachtrag" in title


def _orders(header: Dataset) -> tuple[str, ...]:
    """Return the orders that a document answers (Referenced Request Sequence, PS3.3 C.17.2).

    The accession number of the study tells nothing: it is that of one of its orders.
    """
    named = (_number(request) for request in header.get("ReferencedRequestSequence") or ())
    return tuple(dict.fromkeys(number for number in named if number))


def _number(request: Dataset) -> str:
    numbers = (str(request.get(name) or "").strip() for name in _NUMBERS)
    return next(filter(None, numbers), "")


def _time(header: Dataset) -> datetime | None:
    zone = _zone(header.get("TimezoneOffsetFromUTC"))
    verified = [
        moment
        for observer in header.get("VerifyingObserverSequence") or ()
        if (moment := _moment(str(observer.get("VerificationDateTime") or ""), zone)) is not None
    ]
    if verified:
        return max(verified)
    written = f"{header.get('ContentDate') or ''}{header.get('ContentTime') or ''}"
    return _moment(written, zone)


def _moment(text: str, zone: timezone) -> datetime | None:
    """Read a DICOM DT (PS3.5 6.2) to the second; its own offset outranks `zone`."""
    found = re.fullmatch(r"(\d{8})(\d{2})?(\d{2})?(\d{2})?(?:\.\d{1,6})?([+-]\d{4})?", text)
    if not found:
        return None
    day, hour, minute, second, offset = found.groups()
    try:
        local = datetime(
            int(day[:4]),
            int(day[4:6]),
            int(day[6:]),
            int(hour or 0),
            int(minute or 0),
            min(int(second or 0), 59),  # a leap second is allowed in DICOM
            tzinfo=_zone(offset) if offset else zone,
        )
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _zone(offset: Any) -> timezone:
    found = re.fullmatch(r"([+-])(\d{2})(\d{2})", str(offset or ""))
    if not found:
        return UTC
    minutes = min(int(found[2]) * 60 + int(found[3]), 14 * 60)
    return timezone(timedelta(minutes=minutes if found[1] == "+" else -minutes))
