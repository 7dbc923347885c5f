from __future__ import annotations

import pytest
from oru import TEXT, oru

from listener.acknowledgement import acknowledgement
from listener.errors import ListenerError, OutOfResourcesError, UnusableReportError
from listener.hl7 import read_message_header


def answered(message: bytes | None, error: ListenerError | None = None) -> list[list[str]]:
    header = None if message is None else read_message_header(message)
    answer = acknowledgement(header, error, "9")
    if answer is None:
        return []
    return [line.split("|") for line in answer.decode("latin-1").split("\r") if line]


def test_who_sent_is_who_is_answered_under_the_messages_own_number() -> None:
    msh, msa = answered(oru(TEXT, control_id="4711"))
    assert msh[2:6] == ["WRISTMIR", "HOSPITAL", "RIS", "HOSPITAL"]
    assert (msh[8], msh[9], msh[10], msh[11]) == ("ACK^R01^ACK", "9", "P", "2.5")
    assert msa == ["MSA", "AA", "4711"]


@pytest.mark.parametrize(
    ("error", "code", "condition"),
    [
        (UnusableReportError("why", 101), "AE", "101^Required field missing^HL70357"),
        (UnusableReportError("why", 200), "AR", "200^Unsupported message type^HL70357"),
        (OutOfResourcesError("why"), "AE", "207^Application internal error^HL70357"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_whether_sending_again_helps(
    error: ListenerError, code: str, condition: str
) -> None:
    _, msa, err = answered(oru(TEXT), error)
    assert msa[1] == code
    assert (err[3], err[4]) == (condition, "E")
    assert err[8].endswith("why")


@pytest.mark.parametrize(
    ("accept", "application", "error", "code"),
    [
        ("AL", "NE", None, "CA"),
        ("AL", "AL", None, "CA"),
        ("SU", "", None, "CA"),
        ("ER", "", None, ""),
        ("ER", "AL", None, "AA"),
        ("SU", "ER", 101, "AE"),
        ("NE", "AL", None, "AA"),
        ("NE", "NE", None, ""),
        ("AL", "", 101, "CE"),
        ("AL", "", 200, "CR"),
        ("ER", "", 200, "CR"),
        ("SU", "", 200, ""),
        ("NE", "ER", 200, "AR"),
    ],
)
def test_the_enhanced_mode_gets_the_acknowledgement_that_it_asks_for(
    accept: str, application: str, error: int | None, code: str
) -> None:
    refusal = None if error is None else UnusableReportError("why", error)
    answer = answered(oru(TEXT, accept=accept, application=application), refusal)
    assert (answer[1][1] if answer else "") == code


def test_what_has_no_header_is_answered_all_the_same() -> None:
    msh, msa, err = answered(None, UnusableReportError("why", 100))
    assert msh[8] == "ACK"
    assert msa[1:] == ["AE", ""]
    assert err[3].startswith("100^")


def test_other_separators_are_used_in_the_answer_too() -> None:
    message = oru(TEXT).translate(bytes.maketrans(b"|^~\\&", b"#*!?%"))
    answer = acknowledgement(read_message_header(message), UnusableReportError("a#b", 101), "9")
    assert answer is not None
    assert answer.startswith(b"MSH#*!?%#")
    assert b"101*Required field missing*HL70357#E####a b\r" in answer
