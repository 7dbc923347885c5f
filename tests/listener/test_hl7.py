from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from oru import TEXT, oru

from listener.errors import UnusableReportError
from listener.hl7 import messages_in, read_message_header, read_oru
from listener.report import Report, ReportStatus
from listener.report_settings import Hl7Settings


def one(message: bytes, rules: Hl7Settings | None = None) -> Report:
    (report,) = read_oru(message, rules)
    return report


def condition(message: bytes) -> int:
    with pytest.raises(UnusableReportError) as refused:
        read_oru(message)
    return refused.value.condition


def obx(text: str, name: str = "73100^Wrist", kind: str = "TX", status: str = "F") -> str:
    return f"OBX|1|{kind}|{name}||{text}||||||{status}"


def test_a_report_says_whose_and_which_it_is_and_what_it_tells() -> None:
    message = oru(TEXT, patient="47^^^HOSPITAL^MR", accession="A1", study="1.2.3", order="F1^RIS")
    assert one(message) == Report(
        status=ReportStatus.FINAL,
        text=f"FINDINGS:\n{TEXT}",
        addendum=False,
        at=datetime(2024, 1, 1, 12, tzinfo=UTC),
        patient_id="47",
        issuer="HOSPITAL",
        study_uid="1.2.3",
        accession="A1",
        accession_issuer="",
        order="F1",
    )


def test_text_comes_from_tx_ft_st_and_notes_in_their_order() -> None:
    message = oru(
        obx("One."),
        obx("Two.\\.br\\Three.", kind="FT"),
        "NTE|1|L|Four.",
        obx("Five.~Six.", kind="ST"),
        obx("17", kind="NM"),
        obx("^application^pdf^Base64^QUJD", kind="ED"),
    )
    assert one(message).text == "One.\nTwo.\nThree.\nFour.\nFive.\nSix."


def test_separators_that_stand_in_a_text_unescaped_lose_no_word() -> None:
    text = one(oru(obx("Radius ^ ulna & styloid, \\T\\ 5\\S\\2 \\F\\ a\\b"))).text
    assert text == "Radius ^ ulna & styloid, & 5^2 | a\\b"


def test_the_question_that_was_asked_is_no_part_of_the_report() -> None:
    text = one(oru("NTE|1|P|Fracture of the ulna?", obx(TEXT))).text
    assert text == TEXT


@pytest.mark.parametrize(
    ("name", "heading"),
    [
        ("73100&GDT^Wrist", "FINDINGS"),
        ("&IMP", "IMPRESSION"),
        ("19005-8^Impression^LN", "IMPRESSION"),
        ("18785-6^Reason for study^LN", "INDICATION"),
        ("18834-2^Comparison study^LN", "COMPARISON"),
        ("X^Clinical history^L", "CLINICAL HISTORY"),
        ("X^Findings^L", "FINDINGS"),
    ],
)
def test_a_section_gets_its_heading(name: str, heading: str) -> None:
    assert one(oru(obx("Words.", name))).text == f"{heading}:\nWords."


def test_lines_of_one_section_stand_under_one_heading() -> None:
    message = oru(obx("a", "&GDT"), obx("b", "&GDT"), obx("c", "&IMP"), obx("d", "73100^Wrist"))
    assert one(message).text == "FINDINGS:\na\nb\n\nIMPRESSION:\nc\n\nd"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("F", "final"),
        ("C", "corrected"),
        ("P", "preliminary"),
        ("R", "preliminary"),
        ("A", "preliminary"),
        ("X", "withdrawn"),
        ("D", "withdrawn"),
    ],
)
def test_the_orders_status_counts(code: str, status: str) -> None:
    report = one(oru(obx(TEXT), status=code))
    assert report.status == status
    assert bool(report.text) is (status != "withdrawn")


@pytest.mark.parametrize(
    ("codes", "status"),
    [
        ("FF", "final"),
        ("FC", "corrected"),
        ("FP", "preliminary"),
        ("PP", "preliminary"),
        ("DX", "withdrawn"),
        ("W", "withdrawn"),
        ("FD", "final"),
    ],
)
def test_without_it_the_observations_do(codes: str, status: str) -> None:
    message = oru(*(obx(f"Line {c}.", status=c) for c in codes), status="")
    report = one(message)
    assert report.status == status
    assert "Line D" not in report.text


def test_words_that_are_all_taken_back_withdraw_whatever_else_is_observed() -> None:
    study = "OBX|2|ST|113014^DICOM Study^DCM||1.2.9||||||F"
    report = one(oru(obx(TEXT, status="W"), study, "NTE|1|L|More."))
    assert (report.status, report.study_uid) == (ReportStatus.WITHDRAWN, "1.2.9")


def test_a_cancelled_order_needs_no_text() -> None:
    assert one(oru(status="X")).status is ReportStatus.WITHDRAWN


def test_what_is_addendum_alone_adds_and_what_has_a_body_does_not() -> None:
    assert one(oru(obx("More.", "&ADT"))).addendum
    assert not one(oru(obx("Body.", "&GDT"), obx("More.", "&ADT"))).addendum


@pytest.mark.parametrize(
    ("changed", "at"),
    [
        ("202401021130", datetime(2024, 1, 2, 11, 30, tzinfo=UTC)),
        ("20240102113059.1234+0130", datetime(2024, 1, 2, 10, 0, 59, tzinfo=UTC)),
        ("2024", datetime(2024, 1, 1, tzinfo=UTC)),
        ("", datetime(2024, 1, 1, 12, tzinfo=UTC)),  # the message's own
        ("20241399", datetime(2024, 1, 1, 12, tzinfo=UTC)),
        ("soon", datetime(2024, 1, 1, 12, tzinfo=UTC)),
    ],
)
def test_its_time_is_when_its_status_changed(changed: str, at: datetime) -> None:
    assert one(oru(TEXT, changed=changed)).at == at


def test_the_messages_time_zone_holds_for_times_without_one() -> None:
    message = oru(TEXT).replace(b"HOSPITAL|20240101120000|", b"HOSPITAL|20240101120000-0500|")
    assert one(message).at == datetime(2024, 1, 1, 17, tzinfo=UTC)


def test_the_patients_identifier_is_the_one_of_the_configured_type() -> None:
    several = "999^^^STATE^SS~47^^^HOSPITAL^MR~48^^^OTHER^PI"
    assert one(oru(TEXT, patient=several)).patient_id == "47"
    other = Hl7Settings(patient_identifier="PI", issuers={"OTHER": "OTHER HOSPITAL"})
    report = one(oru(TEXT, patient=several), other)
    assert (report.patient_id, report.issuer) == ("48", "OTHER HOSPITAL")
    assert one(oru(TEXT, patient="5^^^&1.2.3&ISO~6")).issuer == "1.2.3"


def test_the_accession_number_stands_where_the_settings_say() -> None:
    message = oru(TEXT, accession="A18", order="F3^RIS")
    assert one(message).accession == "A18"
    by_filler = one(message, Hl7Settings(accession_number=("OBR-3",)))
    assert (by_filler.accession, by_filler.accession_issuer) == ("F3", "RIS")
    by_common = one(message, Hl7Settings(accession_number=("ORC-2",)))
    assert by_common.accession == "P1"
    assert one(oru(TEXT, order="F3")).accession == "F3"  # OBR-18 is empty


@pytest.mark.parametrize(
    "observed",
    [
        "OBX|2|ST|113014^DICOM Study^DCM||1.2.9||||||F",
        "OBX|2|HD|110180^Study Instance UID^DCM||1.2.9||||||F",
    ],
)
def test_the_study_may_stand_in_an_observation(observed: str) -> None:
    report = one(oru(obx(TEXT), observed))
    assert report.study_uid == "1.2.9"
    assert "1.2.9" not in report.text


def test_each_order_is_a_report_and_each_study_of_an_order_too() -> None:
    second = ("OBR|2|P2|F2|||||||||||||||||||||F", obx("Second."), "ZDS|1.2.4^DCM", "ZDS|1.2.5^DCM")
    reports = read_oru(oru(TEXT, study="1.2.3", more=second))
    told = [(r.order, r.study_uid, r.text.split("\n")[-1]) for r in reports]
    assert told == [("F1", "1.2.3", TEXT), ("F2", "1.2.4", "Second."), ("F2", "1.2.5", "Second.")]


def test_an_order_without_words_is_no_report() -> None:
    reports = read_oru(oru(more=("OBR|2|P2|F2|||||||||||||||||||||F", obx("Words."))))
    assert [r.order for r in reports] == ["F2"]


def test_a_study_named_once_for_the_message_holds_for_each_of_its_orders() -> None:
    second = ("OBR|2|P2|F2|||||||||||||||||||||F", obx("Second."), "ZDS|1.2.4^DCM")
    reports = read_oru(oru(TEXT, more=second))
    assert [r.study_uid for r in reports] == ["1.2.4", "1.2.4"]


def test_each_patients_orders_stay_that_patients() -> None:
    second = ("PID|2||INVENTED-2", "OBR|2|P2|F2|||||||||||||||||||||F", obx("x"), "ZDS|1.2.4^DCM")
    reports = read_oru(oru(TEXT, more=second))
    assert [(r.patient_id, r.study_uid) for r in reports] == [
        ("INVENTED-1", ""),
        ("INVENTED-2", "1.2.4"),
    ]


@pytest.mark.parametrize(
    ("message", "number"),
    [
        (b"", 100),
        (b"PID|1||47", 100),
        (b"MSH", 100),
        (b"MSH|^~\\&", 100),
        (b"MSH|^^^^|RIS", 102),
        (oru(TEXT, kind="ADT^A01"), 200),
        (oru(TEXT, kind="ORU^R30"), 201),
        (oru(), 101),
        (oru(""), 101),
        (oru('""'), 101),
        (oru(TEXT, patient=""), 101),
        (oru(TEXT, study="no uid"), 102),
        (oru(TEXT, study="1." + "2" * 64), 102),
        (oru(TEXT, character_set="KLINGON"), 103),
        (oru(TEXT + "\xe9", character_set="UNICODE UTF-8").replace(b"\xc3\xa9", b"\xe9"), 102),
        (oru("^" * 60_000), 102),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_condition(message: bytes, number: int) -> None:
    assert condition(message) == number


def test_other_separators_are_the_messages_own() -> None:
    message = oru(TEXT, study="1.2.3", patient="47^^^H^MR")
    table = bytes.maketrans(b"|^~\\&", b"#*!?%")
    report = one(message.translate(table))
    assert (report.patient_id, report.study_uid, report.issuer) == ("47", "1.2.3", "H")


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_other_line_ends_are_understood(ends: bytes) -> None:
    assert one(oru(TEXT).replace(b"\r", ends)).text == f"FINDINGS:\n{TEXT}"


def test_an_enormous_observation_is_read_whole() -> None:
    text = one(oru(obx("A" * 8_000_000))).text
    assert len(text) == 8_000_000


def test_a_file_may_hold_several_messages_and_batch_headers() -> None:
    first, second = oru(TEXT), oru(TEXT, control_id="2")
    batch = b"FHS|^~\\&\rBHS|^~\\&\r" + first + second + b"BTS|2\rFTS|1\r"
    assert messages_in(batch) == [first.strip(), second.strip()]
    assert messages_in(batch.replace(b"\r", b"\r\n")) == [first.strip(), second.strip()]
    assert messages_in(b"\x0b" + first + b"\x1c\r") == [first.strip()]
    assert messages_in(b" \r\n") == []


@given(st.binary(max_size=300))
@example(b"MSH|^~\\&|\r\xff")
def test_any_bytes_are_reports_or_a_refusal(data: bytes) -> None:
    for bytes_ in (data, b"MSH|^~\\&|" + data, oru("x")[:90] + data):
        try:
            reports = read_oru(bytes_)
        except UnusableReportError:
            continue
        assert all(isinstance(report, Report) for report in reports)


_SEGMENTS = ("MSH|^~\\&|", "\r", "PID|1||47", "OBR|1", "OBX|1|TX|", "NTE|1|L|", "ZDS|1.2")
_VALUES = ("|", "^", "~", "&", "\\", "\\.br\\", "\\X0D\\", "F", "X", "ORU^R01", "||||||", "\n", "é")
_PIECES = st.sampled_from([*_SEGMENTS, *_VALUES])


@settings(max_examples=300)
@given(st.lists(_PIECES, max_size=60))
def test_so_is_any_order_of_a_messages_pieces(pieces: list[str]) -> None:
    header = "MSH|^~\\&|||||||ORU^R01|1|P|2.5\rPID|1||47\r"
    for text in ("".join(pieces), header + "".join(pieces)):
        try:
            reports = read_oru(text.encode())
        except UnusableReportError:
            continue
        assert reports


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=80))
def test_words_that_were_escaped_come_back_as_they_were(words: str) -> None:
    escaped = words.replace("\\", "\\E\\").replace("|", "\\F\\").replace("~", "\\R\\")
    escaped = escaped.replace("^", "\\S\\").replace("&", "\\T\\")
    told = read_oru(oru(obx("+" + escaped + "+")))[0].text
    assert told == f"+{words}+"


def test_the_header_is_repeated_byte_for_byte() -> None:
    message = oru(TEXT, control_id="Ä1", character_set="UNICODE UTF-8")
    assert read_message_header(message).field(10).encode("latin-1") == "Ä1".encode()
