"""What one association brings, told to the audit trail study by study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from listener.audit_event import UNKNOWN, End, Peer, StudyPart
from listener.audit_message import Action, Indicator
from listener.elements import is_uid
from listener.header import Header
from listener.receipt import Outcome

__all__ = ["Reception", "Receptions"]

_MOST_PARTS = 200
_MOST_CLASSES = 130  # an association has contexts for 128


@dataclass(frozen=True)
class Receptions:
    """Where receptions are told.

    ``patient_key`` returns the keyed hash that stands for a header's patient; ``began`` and
    ``ended`` tell of a study's beginning and of how a part of one ended; the AE title is the one
    that was called.
    """

    patient_key: Callable[[Header], str]
    began: Callable[[Peer, str, StudyPart], None]
    ended: Callable[[Peer, str, StudyPart, End], None]


class Reception:
    """One association that stores.

    A study's beginning is told before its first instance is acknowledged, so that a crash leaves
    word of it: it then has no end. How it went is told, in numbers, when the association is over.
    It is used by one thread at a time.

    Parameters
    ----------
    told
        Where it is told.
    peer
        Who sends.
    title
        The called AE title.
    """

    def __init__(self, told: Receptions, peer: Peer, title: str) -> None:
        self._told = told
        self.peer = peer
        self._title = title
        self._begun: set[str] = set()
        self._patients: dict[tuple[str, bytes, bytes], str] = {}
        self._parts: dict[tuple[str, str, End], Counter[str]] = {}

    def begins(self, header: Header) -> None:
        """Note whose instance is on its way to be acknowledged."""
        study_uid = header.study_uid
        if not study_uid or study_uid in self._begun:
            return
        if len(self._begun) >= _MOST_PARTS:
            self.end()
        self._begun.add(study_uid)
        self._told.began(self.peer, self._title, StudyPart(study_uid, self._patient(header)))

    def took(self, header: Header, outcome: Outcome) -> None:
        """Count an instance that is acknowledged."""
        self._count(header.study_uid, self._patient(header), _ENDS[outcome], header.sop_class_uid)

    def refused(self, sop_class_uid: str, status: int) -> None:
        """Count an instance that is refused; nothing of it but its class is known for sure."""
        end = End(Action.CREATE, Indicator.MINOR_FAILURE, f"refused with status 0x{status:04X}")
        self._count(UNKNOWN, UNKNOWN, end, sop_class_uid)

    def end(self) -> None:
        """Tell how it went so far, and begin to count anew."""
        parts, self._parts = self._parts, {}
        self._begun.clear()
        self._patients.clear()
        for (study_uid, patient_key, end), by_class in parts.items():
            part = StudyPart(study_uid, patient_key, by_class)
            self._told.ended(self.peer, self._title, part, end)

    def _patient(self, header: Header) -> str:
        if not header.study_uid:  # nothing of its header could be read
            return UNKNOWN
        whose = (header.study_uid, header.patient_id, header.issuer)
        if whose not in self._patients:
            self._patients[whose] = self._told.patient_key(header)
        return self._patients[whose]

    def _count(self, study_uid: str, patient_key: str, end: End, sop_class_uid: str) -> None:
        by_class = self._parts.setdefault((study_uid or UNKNOWN, patient_key, end), Counter())
        known = is_uid(sop_class_uid) and (
            sop_class_uid in by_class or len(by_class) < _MOST_CLASSES
        )
        by_class[sop_class_uid if known else ""] += 1


_ENDS = {
    Outcome.NEW: End(Action.CREATE),
    Outcome.KNOWN: End(Action.READ),
    Outcome.CHANGED: End(Action.UPDATE),
    Outcome.QUARANTINED: End(
        Action.CREATE, Indicator.MINOR_FAILURE, "kept apart: patient or study identity changed"
    ),
    Outcome.FILTERED: End(Action.CREATE, words="not kept: of no use here"),
}
