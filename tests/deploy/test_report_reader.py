from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dicom_files import document, store, text_report
from pydicom import uid
from pydicom.dataset import Dataset

from deploy.report_reader import ReportReader
from pipeline.errors import DecodeError, ReportError

GERMAN = "Röntgen linkes Handgelenk: kein Nachweis einer Fraktur."


@pytest.fixture(scope="module")
def reader() -> Iterator[ReportReader]:
    with ReportReader() as opened:
        yield opened


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_plain_text_is_read_in_the_encodings_that_exports_have(
    reader: ReportReader, tmp_path: Path, encoding: str
) -> None:
    (tmp_path / "a.txt").write_bytes(GERMAN.encode(encoding))
    assert reader.text(tmp_path / "a.txt") == GERMAN


def test_text_without_end_is_cut_also_within_a_character(
    reader: ReportReader, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_bytes("aü€".encode() * 100_000)
    text = reader.text(tmp_path / "a.txt")
    assert text is not None
    assert len(text) == 50_000
    assert set(text) == set("aü€")


def test_dicom_that_is_no_radiologists_report_has_no_text(
    reader: ReportReader, tmp_path: Path
) -> None:
    measured, own = text_report("Measured."), text_report("A prior of another patient.")
    for report, scheme, code in ((measured, "DCM", "126000"), (own, "99WRISTMIR", "MATCHES")):
        title = Dataset()
        title.CodeValue, title.CodingSchemeDesignator, title.CodeMeaning = code, scheme, "Title"
        report.ConceptNameCodeSequence = [title]
        assert reader.text(store(report, tmp_path / f"{scheme}.dcm")) is None


@pytest.mark.slow
def test_a_report_without_words_and_a_broken_one_are_refused(
    reader: ReportReader, tmp_path: Path
) -> None:
    with pytest.raises(ReportError, match="holds no words"):
        reader.text(store(text_report(""), tmp_path / "empty.dcm"))
    torn = document(uid.EncapsulatedPDFStorage, "DOC")
    torn.EncapsulatedDocument = b"%PDF-1.4 torn!"
    torn.MIMETypeOfEncapsulatedDocument = "application/pdf"
    with pytest.raises(DecodeError, match="document"):
        reader.text(store(torn, tmp_path / "torn.dcm"))
