"""The demonstration, played as `make demo` plays it."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import cv2
import pytest
from pydicom import dcmread
from rich.console import Console

from deploy.demo import demo_files, run_demo
from deploy.errors import InputError


@pytest.mark.slow
def test_the_demo_leaves_the_answer_as_objects_text_and_picture(tmp_path: Path) -> None:
    shown = StringIO()
    output = tmp_path / "demo-output"
    run_demo(output, console=Console(file=shown, width=120))
    assert sorted(file.name for file in output.iterdir()) == [
        "board.dcm",
        "board.png",
        "measurements.dcm",
        "report.dcm",
        "report.txt",
    ]
    assert dcmread(output / "report.dcm").Modality == "SR"
    text = (output / "report.txt").read_text(encoding="utf-8")
    assert "Case 1" in text
    assert "emonstration only, not for clinical use" in text
    assert cv2.imread(str(output / "board.png")).shape[1] == 2048
    said = shown.getvalue()
    for words in ("distal radius: most similar priors", "ulnar styloid", "Answer in the PACS"):
        assert words in said


def test_the_demo_says_where_its_studies_would_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the demo's wrists come with the source"):
        demo_files(tmp_path, tmp_path / "phantoms")
