"""Tells the audit trail what peers ask of what is held here, and what they are sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from listener.audit import Audit
from listener.audit_event import End, Peer, Reporter, StudyPart
from listener.audit_message import (
    BEGIN_TRANSFERRING,
    DESTINATION,
    INSTANCES_TRANSFERRED,
    QUERY,
    SOP_CLASS_UID,
    SOURCE,
    Action,
    AuditMessage,
    Event,
    Indicator,
    ObjectRole,
    ObjectType,
    Participant,
    ParticipantObject,
)
from listener.study_root import FIND, Question

__all__ = ["RetrievalAudit", "peer_query", "peer_retrieval"]


@dataclass(frozen=True)
class RetrievalAudit:
    """Tells of one association's questions; without an audit trail it does nothing.

    Parameters
    ----------
    audit
        The trail.
    peer
        Who asks.
    title
        The AE title that is asked.
    """

    audit: Audit
    peer: Peer
    title: str

    def asked(self, question: Question, transfer_syntax: str, refused: str = "") -> None:
        """Tell of a C-FIND that is answered, or of why it is not."""
        identifier = question.for_audit(transfer_syntax)
        told = partial(peer_query, peer=self.peer, title=self.title, end=_end(refused))
        self.audit.tell(
            partial(told, transfer_syntax=transfer_syntax, identifier=identifier),
        )

    def begins(self, paths: Sequence[Path], receiver: Peer | None) -> tuple[StudyPart, ...]:
        """Tell that objects begin to go, to the peer itself or to a receiver; return their studies.

        What has been begun is told to have ended by `ended`.
        """
        parts = self.audit.parts(paths)
        for part in parts:
            self._tell(part, receiver, None)
        return parts

    def ended(self, parts: Sequence[StudyPart], receiver: Peer | None, failure: str = "") -> None:
        """Tell that they have gone, or what has come between."""
        for part in parts:
            self._tell(part, receiver, _end(failure))

    def _tell(self, part: StudyPart, receiver: Peer | None, end: End | None) -> None:
        self.audit.tell(
            partial(
                peer_retrieval,
                peer=self.peer,
                title=self.title,
                receiver=receiver,
                part=part,
                end=end,
            )
        )


def peer_query(
    own: Reporter,
    at: datetime,
    peer: Peer,
    title: str,
    transfer_syntax: str,
    identifier: bytes,
    end: End,
    sop_class: str = FIND,
) -> AuditMessage:
    """Return that a peer has asked by C-FIND what is held here (DICOM PS3.15 A.5.3.10).

    Parameters
    ----------
    title
        The AE title that was asked.
    identifier
        The data set of the question, without a patient's name or identifier.
    """
    question = ParticipantObject(
        sop_class,
        SOP_CLASS_UID,
        ObjectType.SYSTEM,
        ObjectRole.REPORT,
        details=(("TransferSyntax", transfer_syntax),),
        query=identifier,
    )
    ends = (
        peer.as_participant(SOURCE, is_requestor=True),
        own.as_participant(DESTINATION, title, is_requestor=False),
    )
    event = Event(QUERY, Action.EXECUTE, at, end.indicator, words=end.words)
    return AuditMessage(event, ends, own.source, (question,))


def peer_retrieval(
    own: Reporter,
    at: datetime,
    peer: Peer,
    title: str,
    receiver: Peer | None,
    part: StudyPart,
    end: End | None,
) -> AuditMessage:
    """Return that a peer has instances sent, to itself or to a receiver (A.5.3.3 and A.5.3.7).

    Parameters
    ----------
    title
        The AE title that was asked.
    receiver
        Where they go by C-MOVE; None where they go to the peer by C-GET.
    end
        How it ended; None where it begins.
    """
    ends: tuple[Participant, ...] = (own.as_participant(SOURCE, title, is_requestor=False),)
    if receiver is None:
        ends += (peer.as_participant(DESTINATION, is_requestor=True),)
    else:
        ends += (
            receiver.as_participant(DESTINATION, is_requestor=False),
            peer.as_participant(None, is_requestor=True),
        )
    event = Event(BEGIN_TRANSFERRING, Action.EXECUTE, at)
    if end is not None:
        event = Event(INSTANCES_TRANSFERRED, end.action, at, end.indicator, words=end.words)
    return AuditMessage(event, ends, own.source, part.objects((receiver or peer).is_encrypted))


def _end(failure: str) -> End:
    return End(Action.READ, Indicator.SERIOUS_FAILURE, failure) if failure else End()
