from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from result_parts import NOW, UIDS, as_bytes, dciodvfy_errors, header, without

from pipeline.secondary_capture import secondary_capture

BOARD = np.random.default_rng(1).integers(0, 256, (75, 64, 3), np.uint8)


def capture_of(query: Dataset) -> Dataset:
    return secondary_capture(BOARD, query, uids=UIDS, result_id="result-1", created_at=NOW)


@pytest.mark.peers
def test_dciodvfy_finds_no_error_where_the_query_lacks_type_2_attributes(tmp_path: Path) -> None:
    bare = without(header(0), "PatientBirthDate", "StudyID", "AccessionNumber", "ImageLaterality")

    assert dciodvfy_errors(capture_of(bare), tmp_path) == []


def test_the_secondary_capture_holds_the_board_as_it_was_drawn() -> None:
    image = capture_of(header(0))

    assert image.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    assert (image.ConversionType, image.BurnedInAnnotation) == ("WSD", "NO")
    assert np.array_equal(image.pixel_array, BOARD)
    assert UIDS.is_own(image.SOPInstanceUID)
    assert as_bytes(image) == as_bytes(capture_of(header(0)))
