from __future__ import annotations

from statistics import median
from time import process_time

import numpy as np
import pytest
from result_parts import answer, exam, match
from rich.console import Console

from pipeline.match_board import match_board
from pipeline.region import Region
from pipeline.request import RegionAnswer
from pipeline.wording import BundleWords

ROWS, COLUMNS = 3000, 2400  # a detector of 43 by 35 cm
BOXES = {
    "wrist": (300.0, 200.0, 2100.0, 2800.0),
    "distal_radius": (1100.0, 1200.0, 1800.0, 2400.0),
    "distal_ulna": (600.0, 1200.0, 1050.0, 2200.0),
    "ulnar_styloid": (600.0, 1150.0, 900.0, 1500.0),
}


@pytest.mark.benchmark
@pytest.mark.parametrize("bones", [1, 3])
def test_a_board_of_full_size_images_takes_a_fraction_of_a_second(
    bones: int, capsys: pytest.CaptureFixture[str]
) -> None:
    exams = [exam(number, boxes=BOXES) for number in range(11)]
    noise = np.random.default_rng(3).random((ROWS, COLUMNS), np.float32)
    pictures = {one.sop_instance_uid: noise for one in exams}
    matches = tuple(match(rank, prior) for rank, prior in enumerate(exams[1:], 1))
    given = answer(tuple(RegionAnswer(region, matches) for region in list(Region)[:bones]))
    bundle = BundleWords("benchmark", "", demonstration=True)
    seconds = []
    for _ in range(5):
        started = process_time()
        match_board(given, noise, pictures, bundle=bundle)
        seconds.append(process_time() - started)
    with capsys.disabled():
        Console().print(f"board, {bones} bones: {1000 * median(seconds):.0f} ms of processor time")
    assert median(seconds) < 0.3
