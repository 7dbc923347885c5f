"""The audit message of DICOM PS3.15 section A.5.1 (its schema) and A.5.2 (how fields are filled).

Neither an Accession Number nor an MPPS is ever stated: the listener reads neither.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from ipaddress import ip_address
from xml.etree import ElementTree as ET

__all__ = [
    "APPLICATION",
    "APPLICATION_ACTIVITY",
    "APPLICATION_START",
    "APPLICATION_STOP",
    "BEGIN_TRANSFERRING",
    "COMMITMENT",
    "DESTINATION",
    "DESTINATION_MEDIA",
    "EXPORT",
    "IMPORT",
    "INSTANCES_ACCESSED",
    "INSTANCES_TRANSFERRED",
    "LOGIN",
    "LOGOUT",
    "NODE_AUTHENTICATION",
    "NODE_ID",
    "PATIENT_NUMBER",
    "PATIENT_RECORD",
    "PROCEDURE_RECORD",
    "PROCEDURE_STEP",
    "QUERY",
    "REPORT_EXPORT",
    "SEARCH_CRITERIA",
    "SECURITY_ALERT",
    "SOP_CLASS_UID",
    "SOURCE",
    "SOURCE_MEDIA",
    "STUDY_INSTANCE_UID",
    "URI",
    "USER_AUTHENTICATION",
    "Action",
    "AuditMessage",
    "AuditSource",
    "Code",
    "Event",
    "Indicator",
    "ObjectRole",
    "ObjectType",
    "Participant",
    "ParticipantObject",
    "SopInstances",
]


@dataclass(frozen=True)
class Code:
    """A coded value: code value, coding scheme designator, code meaning."""

    value: str
    scheme: str
    meaning: str


# PS3.16 CID 400, Audit Event ID
APPLICATION_ACTIVITY = Code("110100", "DCM", "Application Activity")
BEGIN_TRANSFERRING = Code("110102", "DCM", "Begin Transferring DICOM Instances")
INSTANCES_ACCESSED = Code("110103", "DCM", "DICOM Instances Accessed")
INSTANCES_TRANSFERRED = Code("110104", "DCM", "DICOM Instances Transferred")
EXPORT = Code("110106", "DCM", "Export")
IMPORT = Code("110107", "DCM", "Import")
QUERY = Code("110112", "DCM", "Query")
PATIENT_RECORD = Code("110110", "DCM", "Patient Record")
PROCEDURE_RECORD = Code("110111", "DCM", "Procedure Record")
SECURITY_ALERT = Code("110113", "DCM", "Security Alert")
USER_AUTHENTICATION = Code("110114", "DCM", "User Authentication")
# PS3.16 CID 401, Audit Event Type Code
APPLICATION_START = Code("110120", "DCM", "Application Start")
APPLICATION_STOP = Code("110121", "DCM", "Application Stop")
LOGIN = Code("110122", "DCM", "Login")
LOGOUT = Code("110123", "DCM", "Logout")
NODE_AUTHENTICATION = Code("110126", "DCM", "Node Authentication")
# a UID as a code, PS3.16 table 8-1
COMMITMENT = Code("1.2.840.10008.1.20.1", "DCMUID", "Storage Commitment Push Model SOP Class")
PROCEDURE_STEP = Code(
    "1.2.840.10008.5.1.4.34.6.1", "DCMUID", "Unified Procedure Step - Push SOP Class"
)
# IHE RAD TF-2 section 4.28; the scheme is that of ITI TF-2 section 3.20
REPORT_EXPORT = Code("RAD-28", "IHE Transactions", "Structured Report Export")
# PS3.16 CID 402, Audit Active Participant Role ID Code
APPLICATION = Code("110150", "DCM", "Application")
DESTINATION = Code("110152", "DCM", "Destination Role ID")
SOURCE = Code("110153", "DCM", "Source Role ID")
DESTINATION_MEDIA = Code("110154", "DCM", "Destination Media")
SOURCE_MEDIA = Code("110155", "DCM", "Source Media")
# PS3.16 CID 404, Audit Participant Object ID Type Code
STUDY_INSTANCE_UID = Code("110180", "DCM", "Study Instance UID")
SOP_CLASS_UID = Code("110181", "DCM", "SOP Class UID")
NODE_ID = Code("110182", "DCM", "Node ID")
# PS3.15 table A.5.1.2.4-1, by the scheme that the tables of A.5.3 give
PATIENT_NUMBER = Code("2", "RFC-3881", "Patient Number")
SEARCH_CRITERIA = Code("10", "RFC-3881", "Search Criteria")
# PS3.16 CID 405, Media Type Code
URI = Code("110037", "DCM", "URI")


class Action(StrEnum):
    """What was done (PS3.15 table A.5.2-1, EventActionCode)."""

    CREATE = "C"
    READ = "R"
    UPDATE = "U"
    DELETE = "D"
    EXECUTE = "E"


class Indicator(StrEnum):
    """How it ended (PS3.15 table A.5.2-1, EventOutcomeIndicator)."""

    SUCCESS = "0"
    MINOR_FAILURE = "4"
    SERIOUS_FAILURE = "8"


class ObjectType(StrEnum):
    """What kind of thing an object is (PS3.15 section A.5.1, ParticipantObjectTypeCode)."""

    PERSON = "1"
    SYSTEM = "2"


class ObjectRole(StrEnum):
    """What an object was in the event (PS3.15 table A.5.2.6-1)."""

    PATIENT = "1"
    REPORT = "3"
    SECURITY_RESOURCE = "13"
    QUERY = "24"


@dataclass(frozen=True)
class Event:
    """What happened, when (timezone-aware), and how it ended; ``words`` say why, free of data."""

    id: Code
    action: Action
    at: datetime
    indicator: Indicator = Indicator.SUCCESS
    type: Code | None = None
    words: str = ""


@dataclass(frozen=True)
class Participant:
    """A process or node that took part.

    Parameters
    ----------
    user_id
        Process id, or what the administrator calls the node (PS3.15 section A.5.2.1).
    ae_titles
        Its AE titles that took part (A.5.2.2).
    network
        Its address or host name.
    media
        The kind of media that data were exported to; then ``user_id`` is their URI.
    """

    user_id: str
    is_requestor: bool
    role: Code | None = None
    ae_titles: tuple[str, ...] = ()
    name: str = ""
    network: str = ""
    media: Code | None = None


@dataclass(frozen=True)
class AuditSource:
    """The system that says so: its identifier, and that of its site or ``""``."""

    id: str
    site_id: str = ""


@dataclass(frozen=True)
class SopInstances:
    """Instances of one study: how many by SOP Class UID (empty where none is known).

    ``encrypted`` (on the way) and ``anonymized`` are None where that would say nothing.
    """

    by_class: Mapping[str, int]
    encrypted: bool | None = None
    anonymized: bool | None = None


@dataclass(frozen=True)
class ParticipantObject:
    """A study, patient or node that the event is about.

    ``details`` are texts, each behind the name of its kind; ``name`` may be empty. ``query`` stands
    in the place of a name: the data set of a DICOM query, or another one in its own form.
    """

    id: str
    id_type: Code
    type: ObjectType
    role: ObjectRole | None = None
    name: str = ""
    details: tuple[tuple[str, str], ...] = ()
    instances: SopInstances | None = None
    query: bytes | None = None


@dataclass(frozen=True)
class AuditMessage:
    """One message: an event, who took part, who says so, and what it is about."""

    event: Event
    participants: tuple[Participant, ...]
    source: AuditSource
    objects: tuple[ParticipantObject, ...] = ()

    def xml(self) -> str:
        """Return the message as XML in one line of ASCII; any other character is a reference."""
        root = ET.Element("AuditMessage")
        _add_event(root, self.event)
        for participant in self.participants:
            _add_participant(root, participant)
        _add_source(root, self.source)
        for thing in self.objects:
            _add_object(root, thing)
        encoded: bytes = ET.tostring(root, encoding="us-ascii", xml_declaration=False)
        return _HEAD + encoded.decode("ascii")


_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'
_APPLICATION_SERVER = "4"  # A.5.1.2.1; a digit by itself is allowed
_NO_XML = re.compile("[^\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _add_event(root: ET.Element, event: Event) -> None:
    element = ET.SubElement(
        root,
        "EventIdentification",
        EventActionCode=event.action.value,
        EventDateTime=event.at.astimezone(UTC).isoformat(timespec="milliseconds"),
        EventOutcomeIndicator=event.indicator.value,
    )
    _add_code(element, "EventID", event.id)
    if event.type is not None:
        _add_code(element, "EventTypeCode", event.type)
    if event.words:
        ET.SubElement(element, "EventOutcomeDescription").text = _text(event.words)


def _add_participant(root: ET.Element, participant: Participant) -> None:
    element = ET.SubElement(root, "ActiveParticipant", UserID=_text(participant.user_id))
    if participant.ae_titles:
        element.set("AlternativeUserID", _text("AETITLES=" + ";".join(participant.ae_titles)))
    if participant.name:
        element.set("UserName", _text(participant.name))
    element.set("UserIsRequestor", _boolean(participant.is_requestor))
    if participant.network:
        element.set("NetworkAccessPointID", _text(participant.network))
        element.set("NetworkAccessPointTypeCode", _network_type(participant.network))
    if participant.role is not None:
        _add_code(element, "RoleIDCode", participant.role)
    if participant.media is not None:
        media = ET.SubElement(element, "MediaIdentifier")
        _add_code(media, "MediaType", participant.media)


def _add_source(root: ET.Element, source: AuditSource) -> None:
    element = ET.SubElement(root, "AuditSourceIdentification")
    if source.site_id:
        element.set("AuditEnterpriseSiteID", _text(source.site_id))
    element.set("AuditSourceID", _text(source.id))
    ET.SubElement(element, "AuditSourceTypeCode", {"csd-code": _APPLICATION_SERVER})


def _add_object(root: ET.Element, thing: ParticipantObject) -> None:
    element = ET.SubElement(
        root,
        "ParticipantObjectIdentification",
        ParticipantObjectID=_text(thing.id),
        ParticipantObjectTypeCode=thing.type.value,
    )
    if thing.role is not None:
        element.set("ParticipantObjectTypeCodeRole", thing.role.value)
    _add_code(element, "ParticipantObjectIDTypeCode", thing.id_type)
    # the schema wants a name or a query, even an empty one
    if thing.query is not None:
        encoded = base64.b64encode(thing.query).decode("ascii")
        ET.SubElement(element, "ParticipantObjectQuery").text = encoded
    else:
        ET.SubElement(element, "ParticipantObjectName").text = _text(thing.name)
    for kind, words in thing.details:
        value = base64.b64encode(words.encode()).decode("ascii")
        ET.SubElement(element, "ParticipantObjectDetail", type=_text(kind), value=value)
    if thing.instances is not None:
        _add_instances(element, thing.instances)


def _add_instances(thing: ET.Element, instances: SopInstances) -> None:
    element = ET.SubElement(thing, "ParticipantObjectDescription")
    for uid, number in sorted(instances.by_class.items()):
        of_class = ET.SubElement(element, "SOPClass", NumberOfInstances=str(number))
        if uid:
            of_class.set("UID", _text(uid))
    if instances.encrypted is not None:
        ET.SubElement(element, "Encrypted").text = _boolean(instances.encrypted)
    if instances.anonymized is not None:
        ET.SubElement(element, "Anonymized").text = _boolean(instances.anonymized)


def _add_code(parent: ET.Element, name: str, code: Code) -> None:
    ET.SubElement(
        parent,
        name,
        {"csd-code": code.value, "codeSystemName": code.scheme, "originalText": code.meaning},
    )


def _network_type(network: str) -> str:
    """Tell an address (2) from a machine's name (1)."""
    try:
        ip_address(network.partition("%")[0])
    except ValueError:
        return "1"
    return "2"


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _text(value: str) -> str:
    """Return a text that may stand in XML and in one line."""
    if value.isascii() and value.isprintable():
        return value
    return _NO_XML.sub("?", value)
