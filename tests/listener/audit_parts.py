"""The standard's schema of audit messages, messages taken apart, and settings of an audit file."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path

from lxml import etree

from listener.audit_settings import AuditDestinationSettings, AuditSettings

SCHEMA = Path(__file__).parents[1] / "data" / "audit" / "audit_message.rng"

STARTS, STOPS = ("110100", "110120"), ("110100", "110121")
BEGIN, ACCESSED, TRANSFERRED = ("110102", ""), ("110103", ""), ("110104", "")
EXPORTED, ALERT = ("110106", ""), ("110113", "110126")
IMPORTED, REPORTED = ("110107", ""), ("110110", "RAD-28")
QUERIED = ("110112", "")
TO_KEEP, KEPT = (("110102", "1.2.840.10008.1.20.1"), ("110104", "1.2.840.10008.1.20.1"))


@cache
def schema() -> etree.RelaxNG:
    return etree.RelaxNG(etree.parse(SCHEMA))


def parsed(xml: str) -> etree._Element:
    """Return a message that the schema has found valid."""
    root = etree.fromstring(xml.encode())
    assert schema().validate(root), schema().error_log
    return root


def kind(message: etree._Element) -> tuple[str, str]:
    """Return the codes of the event's identifier and type."""
    codes = {e.tag: e.get("csd-code", "") for e in message[0]}
    return codes["EventID"], codes.get("EventTypeCode", "")


def ended(message: etree._Element) -> tuple[str, str, str]:
    """Return action, outcome and the words about it."""
    event = message[0]
    words = event.findtext("EventOutcomeDescription", "")
    return event.get("EventActionCode", ""), event.get("EventOutcomeIndicator", ""), words


def objects(message: etree._Element, code: str) -> list[str]:
    """Return the identifiers of the objects of one type: 110180 a study, 2 a patient."""
    return [
        thing.get("ParticipantObjectID", "")
        for thing in message.findall("ParticipantObjectIdentification")
        if thing[0].get("csd-code") == code
    ]


def classes(message: etree._Element) -> dict[str, int]:
    """Return how many instances there are of each SOP class."""
    found = message.iter("SOPClass")
    return {one.get("UID", ""): int(one.get("NumberOfInstances", "")) for one in found}


def details(message: etree._Element) -> dict[str, str]:
    """Return the details of all objects, in clear."""
    found = message.iter("ParticipantObjectDetail")
    return {d.get("type", ""): base64.b64decode(d.get("value", "")).decode() for d in found}


def queries(message: etree._Element) -> list[bytes]:
    """Return what was asked, as it stood in the query."""
    return [base64.b64decode(q.text or "") for q in message.iter("ParticipantObjectQuery")]


def who_asked(message: etree._Element) -> list[str]:
    """Return who is said to have asked for it."""
    asked = message.findall("ActiveParticipant[@UserIsRequestor='true']")
    return [one.get("UserID", "") for one in asked]


def participants(message: etree._Element) -> dict[str, tuple[str, str, bool]]:
    """Return user, network and whether it asked, by the code of the role."""
    return {
        role.get("csd-code", "") if (role := one.find("RoleIDCode")) is not None else "": (
            one.get("UserID", ""),
            one.get("NetworkAccessPointID", ""),
            one.get("UserIsRequestor") == "true",
        )
        for one in message.findall("ActiveParticipant")
    }


def audit_file(path: Path, **changes: object) -> AuditSettings:
    """Return settings of an audit trail in one file."""
    there = AuditDestinationSettings(name="file", kind="file", path=path)
    return AuditSettings.model_validate({"destinations": (there,), **changes})


def trail(path: Path) -> list[etree._Element]:
    """Return every message of a file, each checked against the schema."""
    return [parsed(line) for line in path.read_text(encoding="ascii").splitlines()]
