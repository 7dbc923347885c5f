"""Every kind of message, against the schema of DICOM PS3.15 section A.5.1."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from audit_parts import (
    ACCESSED,
    ALERT,
    BEGIN,
    EXPORTED,
    IMPORTED,
    KEPT,
    QUERIED,
    REPORTED,
    SCHEMA,
    STARTS,
    STOPS,
    TO_KEEP,
    TRANSFERRED,
    classes,
    details,
    ended,
    kind,
    objects,
    parsed,
    participants,
    queries,
    schema,
    who_asked,
)
from lxml import etree
from peers import peer
from pydicom.sr._concepts_dict import concepts

from listener import audit_message
from listener.audit_commitment import commitment
from listener.audit_event import (
    UNKNOWN,
    End,
    Peer,
    Reporter,
    StudyPart,
    application_activity,
    begin_transferring,
    data_export,
    instances_accessed,
    instances_transferred,
    security_alert,
)
from listener.audit_message import Action, AuditMessage, AuditSource, Code, Indicator
from listener.audit_query import (
    Person,
    command_query,
    dicom_query,
    records_accessed,
    retrieval,
)
from listener.audit_record import data_import, patient_record

NOW = datetime(2026, 3, 1, 10, 30, tzinfo=timezone(timedelta(hours=1)))
OWN = Reporter(AuditSource("WRISTMIR", "Invented Hospital"), "plugin.invalid", ("WRISTMIR", "W_Q"))
PACS = Peer("PACS", "192.0.2.7")
CR, SR = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.88.33"
PART = StudyPart("1.2.3", "a1" * 32, {CR: 2, SR: 1})
NOBODY, FAILED = StudyPart(UNKNOWN, UNKNOWN), Indicator.MINOR_FAILURE
RIS = Peer("HOSPITAL|RIS", "192.0.2.8")
INES = Person("wristmir", "ines")
FIND, IMPLICIT = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.1.2"

KINDS: dict[str, tuple[AuditMessage, tuple[str, str]]] = {
    "start": (application_activity(OWN, NOW, started=True), STARTS),
    "stop": (application_activity(OWN, NOW, started=False), STOPS),
    "begin to receive": (
        begin_transferring(OWN, NOW, PACS, "WRISTMIR", StudyPart("1.2.3", "a1" * 32), sends=False),
        BEGIN,
    ),
    "begin to send": (begin_transferring(OWN, NOW, PACS, "WRISTMIR", PART, sends=True), BEGIN),
    "received": (
        instances_transferred(OWN, NOW, PACS, "WRISTMIR", PART, End(Action.CREATE), sends=False),
        TRANSFERRED,
    ),
    "refused": (
        instances_transferred(
            OWN,
            NOW,
            PACS,
            "WRISTMIR",
            StudyPart(UNKNOWN, UNKNOWN, {"": 3}),
            End(Action.CREATE, Indicator.MINOR_FAILURE, "refused with status 0xA700"),
            sends=False,
        ),
        TRANSFERRED,
    ),
    "sent": (
        instances_transferred(OWN, NOW, PACS, "WRISTMIR", PART, End(), sends=True),
        TRANSFERRED,
    ),
    "exported": (
        data_export(OWN, NOW, PACS, 104, "WRISTMIR", [PART, StudyPart("1.2.4", "b2")], End()),
        EXPORTED,
    ),
    "looked up": (instances_accessed(OWN, NOW, "2.25.1", StudyPart("1.2.3", "a1")), ACCESSED),
    "looked up in vain": (instances_accessed(OWN, NOW, "2.25.1", None), ACCESSED),
    "report": (patient_record(OWN, NOW, RIS, PART, End(Action.UPDATE), "0123456789ab"), REPORTED),
    "report that is refused": (
        patient_record(OWN, NOW, Peer("", "192.0.2.9"), NOBODY, End(Action.CREATE, FAILED, "why")),
        REPORTED,
    ),
    "imported": (data_import(OWN, NOW, "file:///drop", [PART], End(Action.CREATE)), IMPORTED),
    "import that failed": (
        data_import(OWN, NOW, "file:///drop", [], End(Action.CREATE, FAILED, "why")),
        IMPORTED,
    ),
    "query": (
        dicom_query(OWN, NOW, PACS, "WRISTMIR", FIND, IMPLICIT, b"\0\1", End(), INES),
        QUERIED,
    ),
    "move": (retrieval(OWN, NOW, PACS, ("WRISTMIR", "W_Q"), PART), BEGIN),
    "move that failed": (
        retrieval(OWN, NOW, PACS, ("WRISTMIR", "W_Q"), PART, End(Action.READ, FAILED, "why"), INES),
        TRANSFERRED,
    ),
    "command": (command_query(OWN, NOW, INES, "receipt 1.2.3", End()), QUERIED),
    "shown": (records_accessed(OWN, NOW, INES, [PART, StudyPart("1.2.4", "a1" * 32)]), ACCESSED),
    "shown nothing": (records_accessed(OWN, NOW, Person("root"), []), ACCESSED),
    "commitment asked of us": (
        commitment(
            OWN, NOW, PACS, "WRISTMIR", PART, asks=False, details=(("Transaction UID", "1"),)
        ),
        TO_KEEP,
    ),
    "commitment that we have": (
        commitment(OWN, NOW, PACS, "WRISTMIR", PART, asks=True, end=End(words="committed")),
        KEPT,
    ),
    "alert": (security_alert(OWN, NOW, PACS, "calling AE title not recognised"), ALERT),
    "alert without a name": (security_alert(OWN, NOW, Peer("", "192.0.2.9"), "no TLS"), ALERT),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_message_is_valid_and_says_what_it_is(name: str) -> None:
    message, code = KINDS[name]
    assert kind(parsed(message.xml())) == code


@pytest.mark.parametrize("name", KINDS)
def test_a_message_is_one_line_of_ascii_and_small_enough_for_every_collector(name: str) -> None:
    xml = KINDS[name][0].xml()
    assert xml.isascii()
    assert xml.isprintable()
    assert len(xml) < 32768  # PS3.15 section A.6


@pytest.mark.peers
def test_another_validator_agrees(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.xml" for number in range(len(KINDS))]
    for file, (message, _) in zip(files, KINDS.values(), strict=True):
        file.write_text(message.xml(), encoding="ascii")
    checked = subprocess.run(
        [peer("jing"), str(SCHEMA), *map(str, files)], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout) == (0, "")
    files[0].write_text(files[0].read_text().replace("UserIsRequestor", "Requestor"))
    wrong = subprocess.run([peer("jing"), str(SCHEMA), str(files[0])], check=False)
    assert wrong.returncode == 1


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('EventActionCode="C"', 'EventActionCode="X"'),
        ('EventOutcomeIndicator="0"', 'EventOutcomeIndicator="1"'),
        ("+00:00", "noon"),
        ('NumberOfInstances="2"', 'NumberOfInstances="two"'),
        ("<ParticipantObjectName />", ""),
        ('csd-code="110104"', 'code="110104"'),
    ],
)
def test_the_schema_finds_what_is_wrong(right: str, wrong: str) -> None:
    xml = KINDS["received"][0].xml()
    assert right in xml
    assert not schema().validate(etree.fromstring(xml.replace(right, wrong).encode()))


def test_the_codes_are_those_of_the_standard() -> None:
    dicom = [
        code
        for code in vars(audit_message).values()
        if isinstance(code, Code) and code.scheme == "DCM"
    ]
    assert len(dicom) >= 14
    known = {
        value: meaning
        for named in concepts["DCM"].values()
        for value, (meaning, _) in named.items()
    }
    assert [code for code in dicom if known.get(code.value) != code.meaning] == []


def test_times_are_in_utc() -> None:
    assert 'EventDateTime="2026-03-01T09:30:00.000+00:00"' in KINDS["start"][0].xml()


def test_a_reception_names_both_ends_and_who_asked() -> None:
    message = parsed(KINDS["received"][0].xml())
    ends = participants(message)
    assert ends["110153"] == ("PACS", "192.0.2.7", True)
    assert ends["110152"][1:] == ("plugin.invalid", False)
    assert ended(message) == ("C", "0", "")
    assert classes(message) == {CR: 2, SR: 1}


def test_what_is_sent_is_read_since_nobody_knows_what_the_receiver_held() -> None:
    message = parsed(KINDS["sent"][0].xml())
    assert ended(message)[0] == "R"
    assert participants(message)["110153"][2] is True


def test_a_patient_is_a_pseudonym_and_said_to_be_one() -> None:
    message = parsed(KINDS["received"][0].xml())
    assert objects(message, "2") == ["a1" * 32]
    names = [name.text for name in message.iter("ParticipantObjectName") if name.text]
    assert names == ["pseudonym: keyed hash of the Patient ID"]


def test_what_is_not_known_says_so() -> None:
    message = parsed(KINDS["refused"][0].xml())
    assert (objects(message, "110180"), objects(message, "2")) == (["unknown"], ["unknown"])
    assert classes(message) == {"": 3}
    assert ended(message) == ("C", "4", "refused with status 0xA700")


def test_an_export_names_the_copies_studies_as_anonymized_and_the_media() -> None:
    message = parsed(KINDS["exported"][0].xml())
    assert objects(message, "110180") == ["1.2.3", "1.2.4"]
    assert [e.text for e in message.iter("Anonymized")] == ["true"]
    assert participants(message)["110154"] == ("dicom://192.0.2.7:104", "192.0.2.7", False)
    media = message.find("ActiveParticipant/MediaIdentifier/MediaType")
    assert media is not None
    assert media.get("csd-code") == "110037"


def test_a_look_up_names_the_copy_and_the_study_it_leads_to() -> None:
    message = parsed(KINDS["looked up"][0].xml())
    assert details(message) == {"Library Copy": "2.25.1"}
    assert objects(message, "110180") == ["1.2.3"]
    assert ended(message) == ("R", "0", "")
    assert ended(parsed(KINDS["looked up in vain"][0].xml()))[1] == "4"


def test_a_report_by_hl7_is_a_record_of_its_patient_and_names_its_sender() -> None:
    message = parsed(KINDS["report"][0].xml())
    ends = participants(message)
    assert ends["110153"] == ("HOSPITAL|RIS", "192.0.2.8", True)
    assert ends["110152"][1:] == ("plugin.invalid", False)
    assert (objects(message, "110180"), objects(message, "2")) == (["1.2.3"], ["a1" * 32])
    assert details(message) == {"Message": "0123456789ab"}
    assert ended(message) == ("U", "0", "")
    refused = parsed(KINDS["report that is refused"][0].xml())
    assert participants(refused)["110153"][0] == "192.0.2.9"
    assert (objects(refused, "110180"), objects(refused, "2")) == ([], ["unknown"])


def test_an_import_names_its_folder_as_the_media() -> None:
    message = parsed(KINDS["imported"][0].xml())
    assert participants(message)["110155"] == ("file:///drop", "", False)
    assert participants(message)["110152"][2] is True
    media = message.find("ActiveParticipant/MediaIdentifier/MediaType")
    assert media is not None
    assert media.get("csd-code") == "110037"
    assert objects(parsed(KINDS["import that failed"][0].xml()), "110180") == ["unknown"]


def test_a_query_holds_its_data_set_and_names_both_ends_and_the_person() -> None:
    message = parsed(KINDS["query"][0].xml())
    assert queries(message) == [b"\0\1"]
    assert objects(message, "110181") == [FIND]
    assert details(message) == {"TransferSyntax": IMPLICIT}
    assert participants(message)["110152"][:2] == ("PACS", "192.0.2.7")
    assert who_asked(message) == ["ines"]
    assert ended(message) == ("E", "0", "")


def test_a_retrieval_names_the_archive_as_the_source_and_who_is_to_receive() -> None:
    message = parsed(KINDS["move"][0].xml())
    ends = participants(message)
    assert (ends["110153"], ends["110152"]) == (
        ("PACS", "192.0.2.7", False),
        ("W_Q", "plugin.invalid", False),
    )
    assert ended(message) == ("E", "0", "")
    assert ended(parsed(KINDS["move that failed"][0].xml())) == ("R", "4", "why")
    assert who_asked(parsed(KINDS["move that failed"][0].xml())) == ["ines"]


def test_a_command_is_a_query_in_its_own_form_by_the_person_who_gave_it() -> None:
    message = parsed(KINDS["command"][0].xml())
    assert queries(message) == [b"receipt 1.2.3"]
    assert objects(message, "10") == ["receipt"]
    (person,) = message.findall("ActiveParticipant[@UserIsRequestor='true']")
    assert (person.get("UserID"), person.get("UserName")) == ("ines", "ines as wristmir")


def test_whose_records_were_shown_is_told_with_every_study() -> None:
    message = parsed(KINDS["shown"][0].xml())
    assert (objects(message, "110180"), objects(message, "2")) == (["1.2.3", "1.2.4"], ["a1" * 32])
    nothing = parsed(KINDS["shown nothing"][0].xml())
    assert (ended(nothing)[1], who_asked(nothing)) == ("4", ["root"])


def test_commitment_is_a_transfer_of_its_own_type_by_whoever_asks() -> None:
    asked = parsed(KINDS["commitment asked of us"][0].xml())
    assert participants(asked)["110153"] == ("PACS", "192.0.2.7", True)
    assert details(asked) == {"Transaction UID": "1"}
    ours = parsed(KINDS["commitment that we have"][0].xml())
    assert participants(ours)["110152"] == ("PACS", "192.0.2.7", False)
    assert participants(ours)["110153"][2] is True
    assert ended(ours) == ("R", "0", "committed")


def test_an_alert_names_node_and_reason() -> None:
    message = parsed(KINDS["alert"][0].xml())
    assert objects(message, "110182") == ["192.0.2.7"]
    assert details(message) == {"Alert Description": "calling AE title not recognised"}


@pytest.mark.parametrize("text", ["a\nb", "\x00\x1b", "<&\"'>", "Zoë \ud800 \U0001f9b4", "\ufffe"])
def test_whatever_a_peer_calls_itself_stays_one_line_of_valid_xml(text: str) -> None:
    message = security_alert(OWN, datetime.now(UTC), Peer(text, "192.0.2.7"), "why")
    xml = message.xml()
    assert xml.isprintable()
    assert "\n" not in xml
    parsed(xml)
