"""The events of procedure steps, as messages of DICOM PS3.15 section A.5.3.

That a peer creates, reads or cancels a step is a Procedure Record; that it asks which ones there
are is a Query (A.5.3.10), told without the patient's values.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from listener.attributes import Attribute, Attributes, write_attributes
from listener.audit import Audit
from listener.audit_event import UNKNOWN, End, Peer, Reporter, StudyPart
from listener.audit_message import (
    PROCEDURE_RECORD,
    PROCEDURE_STEP,
    Action,
    AuditMessage,
    Event,
    Indicator,
)
from listener.ledger import Ledger
from listener.refusals import Refusal
from listener.retrieval_audit import peer_query

__all__ = ["StepAudit", "step_record"]


@dataclass(frozen=True)
class StepAudit:
    """Tells of what one association does with steps; without an audit trail it does nothing.

    Parameters
    ----------
    audit
        The trail.
    ledger
        Knows the patients' hashes.
    peer
        Who does it.
    title
        The AE title that is called.
    """

    audit: Audit
    ledger: Ledger
    peer: Peer
    title: str

    def did(self, action: Action, sop_instance_uid: str, study_uid: str, words: str = "") -> None:
        """Tell that the peer has created, read, changed or cancelled a step."""
        if not self.audit.is_kept:
            return
        part = StudyPart(study_uid, self._patient(study_uid))
        end = End(action, words=words)
        self.audit.tell(
            partial(
                step_record,
                peer=self.peer,
                title=self.title,
                part=part,
                end=end,
                details=(("SOP Instance UID", sop_instance_uid),),
            )
        )

    def refused(self, what: str, status: int) -> None:
        """Tell that what the peer wanted was refused; what repeats itself is counted."""

        def event(own: Reporter, at: datetime, peer: Peer, words: str) -> AuditMessage:
            end = End(Action.READ, Indicator.MINOR_FAILURE, words)
            return step_record(own, at, peer, self.title, StudyPart(UNKNOWN, UNKNOWN), end)

        words = f"{what} of a procedure step refused with status 0x{status:04X}"
        self.audit.turned_away(Refusal(self.peer, words, event))

    def asked(self, sop_class: str, question: Attributes, transfer_syntax: str) -> None:
        """Tell that the peer asks which steps there are."""
        keys = write_attributes(_without_values(question), transfer_syntax)
        self.audit.tell(
            partial(
                peer_query,
                peer=self.peer,
                title=self.title,
                transfer_syntax=transfer_syntax,
                identifier=keys,
                end=End(),
                sop_class=sop_class,
            )
        )

    def _patient(self, study_uid: str) -> str:
        try:
            rows = self.ledger.instances(study_uid)
        except SQLAlchemyError:  # what is told holds up nothing
            return UNKNOWN
        return rows[0].patient_key if rows else UNKNOWN


def step_record(
    own: Reporter,
    at: datetime,
    peer: Peer,
    title: str,
    part: StudyPart,
    end: End,
    details: tuple[tuple[str, str], ...] = (),
) -> AuditMessage:
    """Return what a peer did with the record of a procedure (Procedure Record, PS3.16 CID 400)."""
    event = Event(PROCEDURE_RECORD, end.action, at, end.indicator, PROCEDURE_STEP, words=end.words)
    ends = (
        peer.as_participant(None, is_requestor=True),
        own.as_participant(None, title, is_requestor=False),
    )
    study, patient = part.objects()
    return AuditMessage(event, ends, own.source, (replace(study, details=details), patient))


_TOLD = frozenset({0x00080018, 0x0020000D, 0x00741000})  # UIDs, and the state


def _without_values(question: Attributes) -> dict[int, Attribute]:
    return {tag: one if tag in _TOLD else Attribute(one.vr) for tag, one in question.items()}
