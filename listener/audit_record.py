"""The events of reports that come by other roads than DICOM, as messages of DICOM PS3.15 A.5.3.

PS3.15 has no message for an HL7 v2 report. What fits is Patient Record (A.5.3.14), in the form that
IHE gives it for a receiver of HL7 v2 (ITI TF-2 section 3.8.5.1, for ADT), and archives tell an
ORU^R01 so, dcm4chee-arc among them. The type is that of IHE's transaction in which reports are sent
as ORU^R01: Structured Report Export (RAD TF-2 section 4.28). IHE wants MSH-10 beside the patient.
What a sender calls its messages may be an accession number, so in its place stands what the log and
`wristmir reports` call it. What lies in the drop folder was brought by somebody who is not known:
Data Import (A.5.3.5), whose media are the folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from listener.audit_event import UNKNOWN, End, Peer, Reporter, StudyPart
from listener.audit_message import (
    DESTINATION,
    IMPORT,
    PATIENT_RECORD,
    REPORT_EXPORT,
    SOURCE,
    SOURCE_MEDIA,
    URI,
    AuditMessage,
    Event,
    Participant,
    ParticipantObject,
)

__all__ = ["data_import", "patient_record"]


def patient_record(
    own: Reporter, at: datetime, sender: Peer, part: StudyPart, end: End, message: str = ""
) -> AuditMessage:
    """Return that a report of one patient came by HL7, or that none was taken (A.5.3.14).

    The patient's is the record: a report makes one, a correction or addendum updates it, a
    withdrawal deletes it. The study, which the table does not ask for, stands beside the patient
    where it is known.

    Parameters
    ----------
    sender
        Its facility and application (MSH-4 and MSH-3), behind each other, and its address.
    message
        What the message is called here; empty where it was not taken.
    """
    study, patient = part.objects()
    details = (("Message", message),) if message else ()
    objects: tuple[ParticipantObject, ...] = (replace(patient, details=details),)
    if part.study_uid and part.study_uid != UNKNOWN:
        objects = (study, *objects)
    source = Participant(
        user_id=sender.ae_title or sender.address or UNKNOWN,
        is_requestor=True,
        role=SOURCE,
        network=sender.address,
    )
    here = replace(own.as_participant(DESTINATION, is_requestor=False), ae_titles=())
    return AuditMessage(
        Event(PATIENT_RECORD, end.action, at, end.indicator, REPORT_EXPORT, end.words),
        (source, here),
        own.source,
        objects,
    )


def data_import(
    own: Reporter, at: datetime, folder: str, parts: Sequence[StudyPart], end: End
) -> AuditMessage:
    """Return that a file was taken out of the drop folder, or was not (A.5.3.5).

    Who laid it there is not known: the process that imports counts as the one that asked for it.

    Parameters
    ----------
    folder
        Its URI; the file's name is not told, for it may hold a patient's.
    parts
        What was in the file.
    """
    media = Participant(user_id=folder, is_requestor=False, role=SOURCE_MEDIA, media=URI)
    about = parts or (StudyPart(UNKNOWN, UNKNOWN),)
    return AuditMessage(
        Event(IMPORT, end.action, at, end.indicator, words=end.words),
        (own.as_participant(DESTINATION, is_requestor=True), media),
        own.source,
        tuple(one for part in about for one in part.objects()),
    )
