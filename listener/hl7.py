"""HL7 v2 messages: the header of any, and the reports of an ORU^R01 (HL7 v2.5 section 7.3.1).

The library splits; which part is what is decided here. Its own unescaping and batch reading are
not used: they write what they read into the log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import hl7

from listener.elements import is_uid
from listener.errors import UnusableReportError
from listener.hl7_text import codec_of, decoded, unescaped
from listener.report import Report, ReportStatus
from listener.report_settings import Hl7Settings

__all__ = ["MessageHeader", "messages_in", "read_message_header", "read_oru"]


@dataclass(frozen=True)
class MessageHeader:
    """What the MSH segment says (HL7 v2.5 section 2.15.9).

    ``fields`` are MSH-1, MSH-2 … as they stand, one character a byte, so that an acknowledgement
    can repeat them whatever the message's character set is.
    """

    separators: str
    fields: tuple[str, ...]

    def field(self, number: int) -> str:
        """Return a field as it stands; empty where it is missing."""
        return self.fields[number - 1] if number <= len(self.fields) else ""

    @property
    def kind(self) -> tuple[str, str]:
        """Message code and trigger event, such as ORU and R01."""
        parts = [*self.field(9).split(self.separators[1]), "", ""]
        return parts[0].strip().upper(), parts[1].strip().upper()


def messages_in(data: bytes) -> list[bytes]:
    """Return the messages of a file: one, or several with or without batch headers around them."""
    bare = re.sub(rb"[\x0b\x1c]", b"", data).replace(b"\r\n", b"\r").replace(b"\n", b"\r")
    parts = re.split(rb"(?:^|(?<=\r))(?=MSH)", bare.removeprefix(b"\xef\xbb\xbf"))
    batch = re.compile(rb"(?:^|(?<=\r))[FB][HT]S[^\r]*(?:\r|$)")
    return [text for part in parts if (text := batch.sub(b"", part).strip())]


def read_message_header(data: bytes) -> MessageHeader:
    """Read the header of a message.

    Raises
    ------
    UnusableReportError
        If the message does not begin with a header that tells its separators.
    """
    start = _MSH.match(data[:_LONGEST_HEADER])
    if start is None:
        msg = "It does not begin with an MSH segment."
        raise UnusableReportError(msg, 100)
    separator, encoding = start[1].decode("ascii"), start[2].decode("ascii")
    separators = separator + encoding[:4]
    if len(set(separators)) < 5 or separator in encoding:
        msg = "MSH-1 and MSH-2 name no five different separators."
        raise UnusableReportError(msg, 102)
    line = re.split(rb"[\r\n]", data[start.end() : _LONGEST_HEADER], maxsplit=1)[0]
    fields = (separator, encoding, *line.decode("latin-1").split(separator))
    return MessageHeader(separators, fields)


def read_oru(data: bytes, rules: Hl7Settings | None = None) -> tuple[Report, ...]:
    """Return the reports of an ORU^R01: one for each order that has words, and study it names.

    How many there are, in which order and with which text, depends on the message alone.

    Parameters
    ----------
    data
        The message, without what frames it.
    rules
        Where accession number, patient identifier and issuer stand.

    Raises
    ------
    UnusableReportError
        If it is another kind of message, cannot be read, or holds no report of a named patient.
    """
    header = read_message_header(data)
    if header.kind[0] != "ORU" or header.kind[1] not in ("R01", ""):
        msg = "Only ORU^R01 is taken."
        raise UnusableReportError(msg, 200 if header.kind[0] != "ORU" else 201)
    codec = codec_of([s for s in header.field(18).split(header.separators[2]) if s])
    message = _Message(header, codec, _segments(data, header, codec))
    reader = _Reader(message, rules or Hl7Settings())
    reports = tuple(report for order in _orders(message) for report in reader.reports(order))
    if not reports:
        msg = "No order in it has text: TX, FT or ST in OBX-5, or NTE-3."
        raise UnusableReportError(msg, 101)
    return reports


_MSH = re.compile(rb"MSH([!-/:-@\[-`{-~])([!-/:-@\[-`{-~]{4,5})\1")
_LONGEST_HEADER = 8192
_MOST_PARTS = 50_000  # the library makes an object of each

Segment = Any  # of the library, which ships no types


@dataclass(frozen=True)
class _Message:
    """A message with what is needed to read a value of it."""

    header: MessageHeader
    codec: str
    segments: Sequence[Segment]

    def named(self, name: str) -> list[Segment]:
        return [segment for segment in self.segments if _name(segment) == name]

    def value(self, segment: Segment | None, number: int, component: int = 1) -> str:
        """Return a component of a field's first repetition."""
        repetitions = self.repetitions(segment, number)
        return self.component(repetitions[0], component) if repetitions else ""

    def repetitions(self, segment: Segment | None, number: int) -> list[Any]:
        return [] if segment is None or number >= len(segment) else list(segment[number])

    def component(self, repetition: Any, number: int, subcomponent: int = 1) -> str:
        """Return a part of a repetition, unescaped; HL7's null value is an empty one."""
        part = _part(_part(repetition, number), subcomponent)
        text = unescaped(str(part), self.header.separators, self.codec).strip()
        return "" if text == '""' else text

    def text(self, segment: Segment, number: int) -> str:
        """Return a field of text, whose separators may stand in it unescaped."""
        lines = [
            unescaped(str(repetition), self.header.separators, self.codec)
            for repetition in self.repetitions(segment, number)
        ]
        text = "\n".join(lines).strip("\n")
        return "" if text.strip() == '""' else text


@dataclass(frozen=True)
class _Order:
    """One order of a message, with the segments that belong to it."""

    patient: Segment | None
    common: Segment | None
    request: Segment
    body: list[Segment] = field(default_factory=list)


def _segments(data: bytes, header: MessageHeader, codec: str) -> list[Segment]:
    text = decoded(data, codec).replace("\r\n", "\r")
    if "\r" not in text.strip():
        text = text.replace("\n", "\r")
    if sum(text.count(separator) for separator in ("\r", *header.separators)) > _MOST_PARTS:
        msg = "It has too many parts."
        raise UnusableReportError(msg, 102)
    try:
        return [segment for segment in hl7.parse(text) if _name(segment)]
    except (hl7.HL7Exception, ValueError, LookupError, AssertionError, TypeError) as error:
        msg = f"It cannot be split into segments: {type(error).__name__}."
        raise UnusableReportError(msg, 102) from None


def _name(segment: Segment) -> str:
    return str(segment[0]).strip() if len(segment) else ""


def _part(value: Any, number: int) -> Any:
    """Return a part of a container of the library; text is its own first part."""
    if isinstance(value, str):
        return value if number == 1 else ""
    return value[number - 1] if number <= len(value) else ""


def _orders(message: _Message) -> Iterator[_Order]:
    """Yield the orders: a patient's stand behind its PID, an order begins with ORC or OBR."""
    patient = common = order = None
    for segment in message.segments:
        name = _name(segment)
        if name in ("PID", "ORC", "OBR") and order is not None:
            yield order
            order = None
        if name == "PID":
            patient, common = segment, None
        elif name == "ORC":
            common = segment
        elif name == "OBR":
            order, common = _Order(patient, common, segment), None
        elif order is not None:
            order.body.append(segment)
    if order is not None:
        yield order


@dataclass(frozen=True)
class _Reader:
    """Makes reports of orders by a site's rules."""

    message: _Message
    rules: Hl7Settings

    def reports(self, order: _Order) -> Iterator[Report]:
        """Yield an order's report, once for each study that it names."""
        status, text, addendum = self._words(order)
        if not text and status is not ReportStatus.WITHDRAWN:
            return
        patient_id, issuer = self._patient(order)
        accession, accession_issuer = self._accession(order)
        report = Report(
            status=status,
            text=text,
            addendum=addendum,
            at=self._time(order),
            patient_id=patient_id,
            issuer=issuer,
            study_uid="",
            accession=accession,
            accession_issuer=accession_issuer,
            order=self._number(order),
        )
        for study_uid in self._studies(order) or ("",):
            yield replace(report, study_uid=study_uid)

    def _words(self, order: _Order) -> tuple[ReportStatus, str, bool]:
        """Return status and text, and whether all of it is an addendum."""
        message = self.message
        codes = [message.value(s, 11).upper() for s in order.body if self._is_text(s)]
        status = _status(message.value(order.request, 25).upper(), codes)
        lines: list[str] = []
        headings: list[str] = []
        for section, text in self._paragraphs(order):
            if section != (headings[-1] if headings else ""):
                lines.append(f"\n{section}:" if section else "")
            headings.append(section)
            lines.append(text)
        words = "\n".join(lines).strip()
        if status is ReportStatus.WITHDRAWN:
            return status, "", False
        return status, words, bool(headings) and set(headings) == {_ADDENDUM}

    def _paragraphs(self, order: _Order) -> Iterator[tuple[str, str]]:
        """Yield the order's texts, each with its section where that is told."""
        message, section, kept = self.message, "", True
        for segment in order.body:
            name = _name(segment)
            if name == "OBX":
                kept = message.value(segment, 11).upper() not in _TAKEN_BACK
                section = self._section(segment)
                if not kept or not self._is_text(segment):
                    continue
                text = message.text(segment, 5)
            elif name == "NTE" and kept and message.value(segment, 2).upper() != "P":
                text = message.text(segment, 3)  # the placer's note (P) is the question
            else:
                continue
            if text.strip():
                yield section, text

    def _is_text(self, segment: Segment) -> bool:
        """Tell whether a segment is an observation in words, and not the name of a study."""
        return (
            _name(segment) == "OBX"
            and self.message.value(segment, 2).upper() in _TEXT_TYPES
            and self.message.value(segment, 3) not in _STUDY_CODES
        )

    def _section(self, segment: Segment) -> str:
        """Return the heading of an observation, by its suffix, LOINC code or own name."""
        repetitions = self.message.repetitions(segment, 3)
        if not repetitions:
            return ""
        code, suffix, name = (
            self.message.component(repetitions[0], *place).upper()
            for place in ((1, 1), (1, 2), (2, 1))
        )
        named = name if name in _SECTIONS.values() or name in _SECTION_NAMES else ""
        return _SECTIONS.get(suffix) or _SECTIONS.get(code) or named

    def _patient(self, order: _Order) -> tuple[str, str]:
        """Return Patient ID and issuer (PID-3, CX: id, check digit, scheme, authority, type)."""
        message = self.message
        listed = [r for r in message.repetitions(order.patient, 3) if message.component(r, 1)]
        if not listed:
            msg = "PID-3 names no patient."
            raise UnusableReportError(msg, 101)
        wanted = self.rules.patient_identifier.upper()
        chosen = next((r for r in listed if message.component(r, 5).upper() == wanted), listed[0])
        authority = message.component(chosen, 4) or message.component(chosen, 4, 2)
        return message.component(chosen, 1), self.rules.issuers.get(authority, authority)

    def _accession(self, order: _Order) -> tuple[str, str]:
        for place in self.rules.accession_number:
            name, _, number = place.partition("-")
            segment = order.request if name == "OBR" else order.common
            accession = self.message.value(segment, int(number))
            if accession:
                return accession, self.message.value(segment, int(number), 2)
        return "", ""

    def _number(self, order: _Order) -> str:
        """Return what all versions of a report share: the filler's number, else the placer's."""
        for segment, number in (
            (order.request, 3),
            (order.common, 3),
            (order.request, 2),
            (order.common, 2),
            (order.request, 18),
        ):
            if found := self.message.value(segment, number):
                return found
        return ""

    def _studies(self, order: _Order) -> tuple[str, ...]:
        """Return the Study Instance UIDs that an order names, or its message where it has one."""
        named = [*self._zds(order.body), *self._observed(order)]
        if not named and len(self.message.named("PID")) == 1:
            named = list(dict.fromkeys(self._zds(self.message.segments)))
            named = named if len(named) == 1 else []
        if not all(is_uid(uid) for uid in named):
            msg = "What stands for its Study Instance UID is none."
            raise UnusableReportError(msg, 102)
        return tuple(dict.fromkeys(named))

    def _zds(self, segments: Sequence[Segment]) -> list[str]:
        """Return the studies of ZDS segments (IHE RAD TF-2 section 4.4.4.1.2.4)."""
        values = [self.message.value(s, 1) for s in segments if _name(s) == "ZDS"]
        return [value for value in values if value]

    def _observed(self, order: _Order) -> list[str]:
        return [
            uid
            for segment in order.body
            if _name(segment) == "OBX" and self.message.value(segment, 3) in _STUDY_CODES
            for repetition in self.message.repetitions(segment, 5)
            if (uid := self.message.component(repetition, 1))
        ]

    def _time(self, order: _Order) -> datetime | None:
        """Return when the status changed (OBR-22), else when the message was made (MSH-7)."""
        made = self.message.header.field(7)
        zone = _zone(_TIME.fullmatch(made.split(self.message.header.separators[1])[0].strip()))
        changed = self.message.value(order.request, 22)
        return _moment(changed, zone) or _moment(made, zone)


_TEXT_TYPES = frozenset({"TX", "FT", "ST"})
_TAKEN_BACK = frozenset({"D", "W", "X"})  # HL7 table 0085: deleted, posted as wrong, no result
_STUDY_CODES = frozenset({"113014", "110180"})  # DCM: DICOM Study; Study Instance UID
_ADDENDUM = "ADDENDUM"
# suffixes of HL7 v2.5 section 7.2.4, and LOINC's codes for the sections of a radiology report
_SECTIONS = {
    "GDT": "FINDINGS",
    "59776-5": "FINDINGS",
    "IMP": "IMPRESSION",
    "19005-8": "IMPRESSION",
    "REC": "RECOMMENDATION",
    "18783-1": "RECOMMENDATION",
    "ADT": _ADDENDUM,
    "55107-7": _ADDENDUM,
    "81223-0": _ADDENDUM,
    "18785-6": "INDICATION",
    "11329-0": "HISTORY",
    "18834-2": "COMPARISON",
    "55111-9": "TECHNIQUE",
}
_SECTION_NAMES = frozenset({"CLINICAL HISTORY", "CLINICAL INFORMATION", "CONCLUSION", "REASON"})

# HL7 table 0123, and D, which some senders borrow from table 0085
_STATUS = {
    "F": ReportStatus.FINAL,
    "C": ReportStatus.CORRECTED,
    "X": ReportStatus.WITHDRAWN,
    "D": ReportStatus.WITHDRAWN,
}


def _status(code: str, observed: Sequence[str]) -> ReportStatus:
    """Return what OBR-25 means, or what OBX-11 does where that is empty.

    What is neither final, corrected nor taken back is preliminary: a later one replaces it.
    """
    if observed and set(observed) <= _TAKEN_BACK:
        return ReportStatus.WITHDRAWN
    if code:
        return _STATUS.get(code, ReportStatus.PRELIMINARY)
    left = [one for one in observed if one not in _TAKEN_BACK]
    if "C" in left:
        return ReportStatus.CORRECTED
    return ReportStatus.FINAL if left and set(left) == {"F"} else ReportStatus.PRELIMINARY


_TIME = re.compile(
    r"(\d{4})(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\d{2})?(?:\.\d{1,6})?(?:([+-])(\d{2})(\d{2}))?"
)


def _zone(found: re.Match[str] | None) -> timezone:
    """Return the time zone of MSH-7, which holds for every time without one; else UTC."""
    if found is None or found[7] is None:
        return UTC
    minutes = min(int(found[8]) * 60 + int(found[9]), 14 * 60)
    return timezone(timedelta(minutes=minutes if found[7] == "+" else -minutes))


def _moment(text: str, zone: timezone) -> datetime | None:
    """Read an HL7 time (TS, section 2.A.77) to the second; its own zone outranks the message's."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    own = zone if found[7] is None else _zone(found)
    try:
        local = datetime(year, month or 1, day or 1, hour, minute, min(second, 59), tzinfo=own)
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
