"""The events of storage commitment, as messages of DICOM PS3.15 section A.5.3.

The standard has none for it: no instance is sent, accessed or asked about, and no alert is due.
Nearest is the transfer, here of the duty to keep instances safe: a request is told as Begin
Transferring (A.5.3.3), of what somebody wants to be rid of, an answer as DICOM Instances
Transferred (A.5.3.7), of what was taken over and what was not. dcm4chee-arc tells it so too, as a
transfer by reading. The type of the event, the UID of the service as a code (PS3.16 table 8-1),
sets it apart from transfers of instances.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from listener.audit_event import End, Peer, Reporter, StudyPart, transfer_ends
from listener.audit_message import (
    BEGIN_TRANSFERRING,
    COMMITMENT,
    INSTANCES_TRANSFERRED,
    Action,
    AuditMessage,
    Event,
)

__all__ = ["commitment"]


def commitment(
    own: Reporter,
    at: datetime,
    peer: Peer,
    title: str,
    part: StudyPart,
    *,
    asks: bool,
    end: End | None = None,
    details: tuple[tuple[str, str], ...] = (),
) -> AuditMessage:
    """Return that storage commitment was asked for, or what came of it.

    Parameters
    ----------
    title
        The AE title that asks or is asked here.
    part
        Instances of one study that are to be kept.
    asks
        Whether it is asked for here; else the peer asks.
    end
        What came of it; None where it is asked for.
    details
        What tells the transaction.
    """
    event = Event(BEGIN_TRANSFERRING, Action.EXECUTE, at, type=COMMITMENT)
    if end is not None:
        event = Event(
            INSTANCES_TRANSFERRED, end.action, at, end.indicator, COMMITMENT, words=end.words
        )
    study, patient = part.objects(peer.is_encrypted)
    return AuditMessage(
        event,
        transfer_ends(own, peer, title, sends=asks),
        own.source,
        (replace(study, details=details), patient),
    )
