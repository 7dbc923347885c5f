"""The events of asking, each as the message that DICOM PS3.15 section A.5.3 makes of it.

A question to an archive is a Query (A.5.3.10) with its data set. So is a command that looks into
the plugin's own records: note 2 of that section has it tell queries of other kinds, in their own
form. What a query found is not told by it (note 1). Where a command shows the records of studies
that were named to it, DICOM Instances Accessed (A.5.3.6) of each patient follows, by reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from listener.audit_event import UNKNOWN, End, Peer, Reporter, StudyPart
from listener.audit_message import (
    BEGIN_TRANSFERRING,
    DESTINATION,
    INSTANCES_ACCESSED,
    INSTANCES_TRANSFERRED,
    QUERY,
    SEARCH_CRITERIA,
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

__all__ = ["Person", "command_query", "dicom_query", "records_accessed", "retrieval"]


@dataclass(frozen=True)
class Person:
    """Who gives a command, as the operating system knows it, or who is signed in to the pages.

    Parameters
    ----------
    account
        The account that the command runs under, or that is signed in.
    login
        The account that was logged in to, where that is another one; empty where it is not known.
    address
        Where the person's browser is; empty on this host.
    """

    account: str
    login: str = ""
    address: str = ""

    def as_participant(self, own: Reporter) -> Participant:
        """Return the person as the one that asked."""
        name = f"{self.login} as {self.account}" if self.login else self.account
        return Participant(
            user_id=self.login or self.account,
            is_requestor=True,
            name=name,
            network=self.address or own.host,
        )


def dicom_query(
    own: Reporter,
    at: datetime,
    asked: Peer,
    title: str,
    sop_class: str,
    transfer_syntax: str,
    identifier: bytes,
    end: End,
    person: Person | None = None,
) -> AuditMessage:
    """Return that an archive was asked something by C-FIND (A.5.3.10).

    Parameters
    ----------
    title
        The AE title that asked here.
    identifier
        The data set of the question; it may name studies and days, never a patient.
    person
        Who had it asked, where that is known.
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
        own.as_participant(SOURCE, title, is_requestor=person is None),
        asked.as_participant(DESTINATION, is_requestor=False),
    )
    return AuditMessage(
        Event(QUERY, Action.EXECUTE, at, end.indicator, words=end.words),
        (*ends, *_also(own, person)),
        own.source,
        (question,),
    )


def retrieval(
    own: Reporter,
    at: datetime,
    asked: Peer,
    titles: tuple[str, str],
    part: StudyPart,
    end: End | None = None,
    person: Person | None = None,
) -> AuditMessage:
    """Return that an archive was told by C-MOVE to send a part of a study, or that it did not.

    That it begins is Begin Transferring (A.5.3.3), that it failed DICOM Instances Transferred
    (A.5.3.7). What comes is told by whoever receives it.

    Parameters
    ----------
    titles
        The AE title that asks, and the one that is to receive.
    end
        How it failed; None where it begins.
    """
    source = asked.as_participant(SOURCE, is_requestor=False)
    receiver = Participant(
        titles[1], is_requestor=False, role=DESTINATION, ae_titles=titles[1:], network=own.host
    )
    mover = own.as_participant(None, titles[0], is_requestor=person is None)
    event = Event(BEGIN_TRANSFERRING, Action.EXECUTE, at)
    if end is not None:
        event = Event(INSTANCES_TRANSFERRED, end.action, at, end.indicator, words=end.words)
    return AuditMessage(
        event,
        (source, receiver, mover, *_also(own, person)),
        own.source,
        part.objects(asked.is_encrypted),
    )


def command_query(
    own: Reporter, at: datetime, person: Person, command: str, end: End
) -> AuditMessage:
    """Return that a command looked into the plugin's records (A.5.3.10, note 2).

    The process that asks and the one that answers are the same.

    Parameters
    ----------
    command
        What was asked, without a word that may be a patient's.
    """
    here = replace(own.as_participant(SOURCE, is_requestor=False), ae_titles=())
    records = Participant(own.source.id, is_requestor=False, role=DESTINATION, network=own.host)
    question = ParticipantObject(
        command.partition(" ")[0],
        SEARCH_CRITERIA,
        ObjectType.SYSTEM,
        ObjectRole.QUERY,
        query=command.encode(),
    )
    return AuditMessage(
        Event(QUERY, Action.EXECUTE, at, end.indicator, words=end.words),
        (here, records, person.as_participant(own)),
        own.source,
        (question,),
    )


def records_accessed(
    own: Reporter, at: datetime, person: Person, parts: Sequence[StudyPart]
) -> AuditMessage:
    """Return that a person was shown what is known of studies of one patient (A.5.3.6)."""
    found = parts or (StudyPart(UNKNOWN, UNKNOWN),)
    studies = [one for part in found for one in part.objects()[:1]]
    here = replace(own.as_participant(None, is_requestor=False), ae_titles=())
    return AuditMessage(
        Event(
            INSTANCES_ACCESSED,
            Action.READ,
            at,
            Indicator.SUCCESS if parts else Indicator.MINOR_FAILURE,
            words="" if parts else "nothing is known of it",
        ),
        (person.as_participant(own), here),
        own.source,
        (*studies, found[0].objects()[1]),
    )


def _also(own: Reporter, person: Person | None) -> tuple[Participant, ...]:
    return () if person is None else (person.as_participant(own),)
