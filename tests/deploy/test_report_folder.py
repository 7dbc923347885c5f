from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from dicom_files import image, store, text_report
from invented_reports import BUCKLE

from deploy.report_folder import find_reports


def test_a_search_keeps_reports_and_counts_the_rest(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.txt").write_text(BUCKLE)
    (tmp_path / "a.TXT").write_text(BUCKLE)
    (tmp_path / "scan.pdf").write_bytes(b"%PDF-1.4")
    store(text_report(BUCKLE), tmp_path / "b" / "sr")
    store(image(np.zeros((4, 4), np.uint8)), tmp_path / "b" / "image")
    found = find_reports([tmp_path, tmp_path / "b", tmp_path / "scan.pdf"])
    names = [file.name for file in found.files]
    assert names == ["a.TXT", "sr", "x.txt", "scan.pdf"]  # what is named by itself is taken
    assert (found.no_report, found.other) == (2, 1)


def test_links_to_folders_are_not_followed_and_pipes_not_opened(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.txt")
    assert find_reports([tmp_path]).files == ()


@pytest.mark.skipif(os.geteuid() == 0, reason="root opens every folder")
def test_a_folder_that_cannot_be_opened_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(0o000)
    try:
        assert find_reports([tmp_path]).files == (closed,)
    finally:
        closed.chmod(0o700)
