"""`wristmir mine` without a result file: one report after the other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from dicom_files import document, image, store
from invented_reports import BUCKLE, DISPUTED
from pdf_files import pdf
from pydicom import uid
from test_cli import wristmir


@pytest.mark.slow
def test_a_folder_is_read_as_a_whole_encapsulated_pdf_included(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text(DISPUTED, encoding="utf-8")
    attached = document(uid.EncapsulatedPDFStorage, "DOC")
    attached.MIMETypeOfEncapsulatedDocument = "application/pdf"
    attached.EncapsulatedDocument = pdf(BUCKLE.splitlines())
    store(attached, tmp_path / "b.dcm")
    store(image(np.zeros((4, 4), np.uint8)), tmp_path / "c.dcm")
    status, out, _ = wristmir(monkeypatch, capsys, "mine", tmp_path, "--json")
    assert status == 0
    first, second = (json.loads(line) for line in out.splitlines())
    assert [Path(row["file"]).name for row in (first, second)] == ["a.txt", "b.dcm"]
    assert second["regions"]["distal_radius"]["type"] == "buckle"
    assert first["miner"] == second["miner"]


def test_an_image_that_is_named_is_said_to_be_no_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = store(image(np.zeros((4, 4), np.uint8)), tmp_path / "c.dcm")
    status, out, err = wristmir(monkeypatch, capsys, "mine", file, "--json")
    assert status == 66
    assert "no report that can be read" in json.loads(out)["reason"]
    assert "1 of 1 files" in err
