"""The events that are audited, each as the message that DICOM PS3.15 section A.5.3 makes of it.

The standard wants the Patient ID of whomever a message is about. None is ever stated here: an
audit repository is read by other people than a patient's carers, and the ledger holds none. In its
place, and named as such, stands the keyed hash by which the ledger knows the patient. Who holds the
site's key and a Patient ID can find all that was done with that patient's studies; nobody else can
tell whose they are. What is not known at all is called `UNKNOWN`, since the tables want something.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from listener.audit_message import (
    APPLICATION,
    APPLICATION_ACTIVITY,
    APPLICATION_START,
    APPLICATION_STOP,
    BEGIN_TRANSFERRING,
    DESTINATION,
    DESTINATION_MEDIA,
    EXPORT,
    INSTANCES_ACCESSED,
    INSTANCES_TRANSFERRED,
    NODE_AUTHENTICATION,
    NODE_ID,
    PATIENT_NUMBER,
    SECURITY_ALERT,
    SOURCE,
    STUDY_INSTANCE_UID,
    URI,
    Action,
    AuditMessage,
    AuditSource,
    Code,
    Event,
    Indicator,
    ObjectRole,
    ObjectType,
    Participant,
    ParticipantObject,
    SopInstances,
)

__all__ = [
    "UNKNOWN",
    "End",
    "Peer",
    "Reporter",
    "StudyPart",
    "application_activity",
    "begin_transferring",
    "data_export",
    "instances_accessed",
    "instances_transferred",
    "security_alert",
    "transfer_ends",
]

UNKNOWN = "unknown"
"""Stands where a table wants an identifier that nobody knows, as for an object that was refused."""


@dataclass(frozen=True)
class Reporter:
    """The process that reports: the identifiers of its source, its host and all its AE titles."""

    source: AuditSource
    host: str
    ae_titles: tuple[str, ...]

    def as_participant(self, role: Code | None, *titles: str, is_requestor: bool) -> Participant:
        """Return the process as one that took part, under these AE titles, all by default."""
        return Participant(
            user_id=str(os.getpid()),
            is_requestor=is_requestor,
            role=role,
            ae_titles=titles or self.ae_titles,
            name="wristmir",
            network=self.host,
        )


@dataclass(frozen=True)
class Peer:
    """The other end of an association: AE title and address or host name, as far as known.

    ``is_encrypted``: TLS is spoken with it; None where there is no network between.
    """

    ae_title: str
    address: str
    is_encrypted: bool | None = None

    def as_participant(self, role: Code | None, *, is_requestor: bool) -> Participant:
        """Return the peer as one that took part."""
        return Participant(
            user_id=self.ae_title or self.address or UNKNOWN,
            is_requestor=is_requestor,
            role=role,
            ae_titles=(self.ae_title,) if self.ae_title else (),
            network=self.address,
        )


@dataclass(frozen=True)
class StudyPart:
    """Instances of one study and patient: how many by SOP Class UID.

    ``patient_key`` is the keyed hash that stands for the patient (`listener.instance`).
    """

    study_uid: str
    patient_key: str
    by_class: Mapping[str, int] | None = None

    def objects(
        self, encrypted: bool | None = None, *, anonymized: bool | None = None
    ) -> tuple[ParticipantObject, ...]:
        """Return the study and its patient as what an event is about."""
        instances = None
        if self.by_class is not None:
            instances = SopInstances(self.by_class, encrypted, anonymized)
        return (_study(self.study_uid, instances), _patient(self.patient_key))


@dataclass(frozen=True)
class End:
    """How a transfer ended."""

    action: Action = Action.READ
    indicator: Indicator = Indicator.SUCCESS
    words: str = ""


def application_activity(own: Reporter, at: datetime, *, started: bool) -> AuditMessage:
    """Return that the application starts or stops (A.5.3.1)."""
    return AuditMessage(
        Event(
            APPLICATION_ACTIVITY,
            Action.EXECUTE,
            at,
            type=APPLICATION_START if started else APPLICATION_STOP,
        ),
        (own.as_participant(APPLICATION, is_requestor=False),),
        own.source,
    )


def begin_transferring(
    own: Reporter, at: datetime, peer: Peer, title: str, part: StudyPart, *, sends: bool
) -> AuditMessage:
    """Return that instances of a study begin to go to a peer, or to come from it (A.5.3.3).

    A sender states what it means to send; a receiver does not know what is to come.

    Parameters
    ----------
    title
        The AE title that sends or receives here.
    """
    event = Event(BEGIN_TRANSFERRING, Action.EXECUTE, at)
    about = part.objects(peer.is_encrypted)
    return AuditMessage(event, transfer_ends(own, peer, title, sends=sends), own.source, about)


def instances_transferred(
    own: Reporter, at: datetime, peer: Peer, title: str, part: StudyPart, end: End, *, sends: bool
) -> AuditMessage:
    """Return that instances of a study have gone to a peer or come from it, or not (A.5.3.7).

    A sender reads, since it cannot know what the receiver held before (EventActionCode).
    """
    event = Event(INSTANCES_TRANSFERRED, end.action, at, end.indicator, words=end.words)
    about = part.objects(peer.is_encrypted)
    return AuditMessage(event, transfer_ends(own, peer, title, sends=sends), own.source, about)


def data_export(
    own: Reporter,
    at: datetime,
    peer: Peer,
    port: int,
    title: str,
    parts: Sequence[StudyPart],
    end: End,
) -> AuditMessage:
    """Return that de-identified copies have left, of several patients perhaps (A.5.3.4).

    Studies and patients are those of the copies, not those that the copies were made of. The media
    are what the table asks for; over a network they are the destination by its URI.
    """
    media = Participant(
        user_id=f"dicom://{peer.address}:{port}",
        is_requestor=False,
        role=DESTINATION_MEDIA,
        network=peer.address,
        media=URI,
    )
    return AuditMessage(
        Event(EXPORT, Action.READ, at, end.indicator, words=end.words),
        (*transfer_ends(own, peer, title, sends=True), media),
        own.source,
        tuple(one for part in parts for one in part.objects(peer.is_encrypted, anonymized=True)),
    )


def instances_accessed(
    own: Reporter, at: datetime, copy_uid: str, source: StudyPart | None
) -> AuditMessage:
    """Return that a library copy was traced back to its source (A.5.3.6).

    The Query message (A.5.3.10) wants the SOP class and data set of a DICOM query, of which there
    is none; Audit Log Used (A.5.3.2) is for the audit trail itself. What the look-up comes to is
    that somebody gets to know an identified study: its instances are accessed, by reading.

    Parameters
    ----------
    copy_uid
        SOP Instance UID of the copy that was asked about.
    source
        The study that it was made of; None where no such copy is known.
    """
    found = source is not None
    indicator = Indicator.SUCCESS if found else Indicator.MINOR_FAILURE
    words = "" if found else "no such library copy"
    study, patient = (source or StudyPart(UNKNOWN, UNKNOWN)).objects()
    study = ParticipantObject(
        study.id, study.id_type, study.type, study.role, details=(("Library Copy", copy_uid),)
    )
    return AuditMessage(
        Event(INSTANCES_ACCESSED, Action.READ, at, indicator, words=words),
        (own.as_participant(None, is_requestor=True),),
        own.source,
        (study, patient),
    )


def security_alert(own: Reporter, at: datetime, peer: Peer, words: str) -> AuditMessage:
    """Return that a node was turned away before it was served (A.5.3.11).

    Whatever the reason, a limit included, the type is Node Authentication: PS3.16 CID 403 has none
    that comes nearer. ``words`` tell the reasons apart; nothing in them comes from the peer.
    """
    node = ParticipantObject(
        peer.address or UNKNOWN,
        NODE_ID,
        ObjectType.SYSTEM,
        ObjectRole.SECURITY_RESOURCE,
        details=(("Alert Description", words),),
    )
    return AuditMessage(
        Event(
            SECURITY_ALERT,
            Action.EXECUTE,
            at,
            Indicator.MINOR_FAILURE,  # what defends the system has done so
            NODE_AUTHENTICATION,
            words,
        ),
        (
            own.as_participant(None, is_requestor=False),
            peer.as_participant(None, is_requestor=False),
        ),
        own.source,
        (node,),
    )


def transfer_ends(
    own: Reporter, peer: Peer, title: str, *, sends: bool
) -> tuple[Participant, Participant]:
    """Return both ends of a transfer, the source first; who sends has asked for it."""
    if sends:
        return (
            own.as_participant(SOURCE, title, is_requestor=True),
            peer.as_participant(DESTINATION, is_requestor=False),
        )
    return (
        peer.as_participant(SOURCE, is_requestor=True),
        own.as_participant(DESTINATION, title, is_requestor=False),
    )


def _study(study_uid: str, instances: SopInstances | None) -> ParticipantObject:
    return ParticipantObject(
        study_uid or UNKNOWN,
        STUDY_INSTANCE_UID,
        ObjectType.SYSTEM,
        ObjectRole.REPORT,
        instances=instances,
    )


def _patient(patient_key: str) -> ParticipantObject:
    known = bool(patient_key) and patient_key != UNKNOWN
    return ParticipantObject(
        patient_key or UNKNOWN,
        PATIENT_NUMBER,
        ObjectType.PERSON,
        ObjectRole.PATIENT,
        name=_PSEUDONYM if known else "",
    )


_PSEUDONYM = "pseudonym: keyed hash of the Patient ID"
