from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.errors import UnusableReportError
from listener.headed_text import read_headed_text
from listener.report import Report, ReportStatus


def one(text: str) -> Report:
    (report,) = read_headed_text(text.encode())
    return report


def test_a_head_says_whose_and_which_it_is_and_the_rest_is_the_report() -> None:
    text = (
        "StudyInstanceUID: 1.2.3\nAccessionNumber: A1\nIssuerOfAccessionNumber: RIS\n"
        "PatientID: 47\nIssuerOfPatientID: HERE\nStatus: Corrected\n"
        "DateTime: 2024-01-01T12:00:00+01:00\n\nFINDINGS: Buckle fracture.\n\nIMPRESSION: Buckle.\n"
    )
    assert one(text) == Report(
        status=ReportStatus.CORRECTED,
        text="FINDINGS: Buckle fracture.\n\nIMPRESSION: Buckle.",
        addendum=False,
        at=datetime(2024, 1, 1, 11, tzinfo=UTC),
        patient_id="47",
        issuer="HERE",
        study_uid="1.2.3",
        accession="A1",
        accession_issuer="RIS",
        order="A1",
    )


def test_little_is_needed() -> None:
    report = one("StudyInstanceUID: 1.2.3\n\nNormal.")
    assert (report.status, report.at, report.order) == (ReportStatus.FINAL, None, "")
    assert one("AccessionNumber: A1\nPatientID: 47\n\nNormal.").accession == "A1"


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_line_ends_and_a_byte_order_mark_do_not_matter(ends: str) -> None:
    text = "\ufeffStudyInstanceUID: 1.2.3\n\nOne.\nTwo.".replace("\n", ends)
    assert one(text).text == "One.\nTwo."


def test_a_withdrawn_report_needs_no_text() -> None:
    report = one("StudyInstanceUID: 1.2.3\nStatus: withdrawn\n\nwhatever")
    assert (report.status, report.text) == (ReportStatus.WITHDRAWN, "")
    assert one("StudyInstanceUID: 1.2.3\nStatus: withdrawn\n").status is ReportStatus.WITHDRAWN


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Line 1"),
        ("FINDINGS: SECRET\n\nSECRET", "Line 1"),
        ("StudyInstanceUID: 1.2.3\nSECRET: 1\n\nNormal.", "Line 2"),
        ("StudyInstanceUID: 1.2.3\nStudyInstanceUID: 1.2.4\n\nNormal.", "Line 2"),
        ("StudyInstanceUID: SECRET\n\nNormal.", "StudyInstanceUID is none"),
        ("AccessionNumber: SECRET\n\nNormal.", "AccessionNumber and PatientID"),
        ("PatientID: SECRET\n\nNormal.", "AccessionNumber and PatientID"),
        ("StudyInstanceUID: 1.2.3\n\n \n", "No text"),
        ("StudyInstanceUID: 1.2.3\nSECRET", "Line 2"),
        ("StudyInstanceUID: 1.2.3\nStatus: SECRET\n\nNormal.", "Status is none of"),
        ("StudyInstanceUID: 1.2.3\nDateTime: SECRET\n\nNormal.", "no time"),
    ],
)
def test_what_is_wrong_is_named_and_no_value_with_it(text: str, reason: str) -> None:
    with pytest.raises(UnusableReportError, match=reason) as refused:
        read_headed_text(text.encode())
    assert "SECRET" not in str(refused.value)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_report_or_a_refusal(data: bytes) -> None:
    for bytes_ in (data, b"StudyInstanceUID: 1.2\n" + data):
        try:
            (report,) = read_headed_text(bytes_)
        except UnusableReportError:
            continue
        assert report.text or report.status is ReportStatus.WITHDRAWN
