"""Tells the audit trail of reports: those that come by HL7, and what lies in the drop folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from listener.audit import Audit
from listener.audit_event import UNKNOWN, End, Peer, Reporter, StudyPart
from listener.audit_message import Action, AuditMessage, Indicator
from listener.audit_record import data_import, patient_record
from listener.hl7 import MessageHeader
from listener.linkage import LinkState, NewReport
from listener.reception import Reception, Receptions
from listener.refusals import Refusal
from listener.report import ReportStatus

__all__ = ["ReportAudit", "TakenReport"]

_LONGEST_NAME = 64
_LONGEST_WORDS = 500


@dataclass(frozen=True)
class TakenReport:
    """A report that was taken in, and how it stands; None where its message was known before."""

    report: NewReport
    state: LinkState | None

    @property
    def part(self) -> StudyPart:
        """Study and patient, as far as they are named."""
        patient = self.report.patient_keys
        return StudyPart(
            self.report.study_uid or UNKNOWN, UNKNOWN if patient is None else patient[0]
        )

    @property
    def end(self) -> End:
        """What it came to."""
        if self.state is None:
            return End(Action.READ, words="known already")
        if self.state is LinkState.QUARANTINED:
            words = "kept apart: its study is another patient's"
            return End(self._action, Indicator.MINOR_FAILURE, words)
        return End(self._action)

    @property
    def _action(self) -> Action:
        if self.report.status is ReportStatus.WITHDRAWN:
            return Action.DELETE
        changes = self.report.status is ReportStatus.CORRECTED or self.report.addendum
        return Action.UPDATE if changes else Action.CREATE


class ReportAudit:
    """Tells of reports; without an audit trail it does nothing.

    Parameters
    ----------
    audit
        The trail.
    """

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    def came(self, header: MessageHeader, address: str, taken: Sequence[TakenReport]) -> None:
        """Tell of an HL7 message that was taken in: of each patient, study and outcome once."""
        sender = Peer(_name(header), address)
        for part, end, message in dict.fromkeys(_facts(taken)):
            told = partial(patient_record, sender=sender, part=part, end=end, message=message)
            self._audit.tell(told)

    def refused(self, header: MessageHeader | None, address: str, words: str) -> None:
        """Tell of an HL7 message that was not taken; what repeats itself is counted.

        Parameters
        ----------
        header
            Of the message; None where it has none.
        words
            Why, in words of our own.
        """
        name = "" if header is None else _name(header)
        self._audit.turned_away(Refusal(Peer(name, address), words[:_LONGEST_WORDS], _not_taken))

    def turned_away(self, address: str, words: str) -> None:
        """Tell of a connection that was refused before it said anything."""
        self._audit.refused("", address, words)

    def imported(self, folder: Path, taken: Sequence[TakenReport]) -> None:
        """Tell of reports that lay in the drop folder and were taken in."""
        for part, end, _ in dict.fromkeys(_facts(taken)):
            self._tell_import(folder, [part], End(Action.CREATE, end.indicator, end.words))

    def not_imported(self, folder: Path, words: str) -> None:
        """Tell of a file in the drop folder that cannot be used, or not as a whole."""
        end = End(Action.CREATE, Indicator.MINOR_FAILURE, words[:_LONGEST_WORDS])
        self._tell_import(folder, [], end)

    def importing(self, folder: Path, title: str) -> Reception:
        """Return what tells of a DICOM file in the drop folder; why it fails is told by the folder.

        Parameters
        ----------
        title
            The AE title that it counts as sent to.
        """

        def ended(peer: Peer, title: str, part: StudyPart, end: End) -> None:
            if part.study_uid != UNKNOWN:
                told = End(Action.CREATE, end.indicator, end.words or _WORDS.get(end.action, ""))
                self._tell_import(folder, [part], told)

        told = Receptions(self._audit.patient_key, lambda *_: None, ended)
        return Reception(told, Peer("", ""), title)

    def _tell_import(self, folder: Path, parts: Sequence[StudyPart], end: End) -> None:
        uri = folder.absolute().as_uri()
        self._audit.tell(partial(data_import, folder=uri, parts=parts, end=end))


_WORDS = {Action.READ: "known already", Action.UPDATE: "a newer version"}
"""What an import, which always creates, says of files that were known."""


def _facts(taken: Sequence[TakenReport]) -> Iterator[tuple[StudyPart, End, str]]:
    for one in taken:
        yield one.part, one.end, one.report.message_key[:12]


def _name(header: MessageHeader) -> str:
    """Return facility and application of a sender, as IHE wants them; empty where it names none."""
    names = header.field(4).strip(), header.field(3).strip()
    return "|".join(names)[:_LONGEST_NAME] if any(names) else ""


def _not_taken(own: Reporter, at: datetime, peer: Peer, words: str) -> AuditMessage:
    end = End(Action.CREATE, Indicator.MINOR_FAILURE, words)
    return patient_record(own, at, peer, StudyPart(UNKNOWN, UNKNOWN), end)
