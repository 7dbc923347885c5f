from __future__ import annotations

import json

import numpy as np
import pytest
from made_up_exams import NAMES, row

pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("default")]

pytest.importorskip("open_clip", reason="needs the training extra")

from training.ablation import (  # noqa: E402
    CAPTION_RANK,
    HALF,
    LENT,
    MIRRORED,
    PAPER,
    ROWS,
    WHO,
    Ablation,
    ablate,
    as_table,
)
from training.exam_table import ExamTable, ExamTableWriter, Split  # noqa: E402
from training.nearest import Way  # noqa: E402
from training.settings import Device, EncoderSettings  # noqa: E402

# crops this small leave the last convolution one pixel, whose gradient in bf16 the processor's
# library does not always fill
RECIPE = EncoderSettings(steps=1, batch=16, precision="fp32")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder, generator = tmp_path_factory.mktemp("table"), np.random.default_rng(1)
    with ExamTableWriter(folder / "table", 32) as writer:
        for number in range(24):
            split = Split.VALIDATION if number % 2 else Split.TRAIN
            kind = "buckle" if number % 3 else None
            said = {name: f"{name} {kind}" for name in NAMES}
            crops = {name: generator.integers(0, 255, (32, 32), np.uint8) for name in NAMES}
            writer.add(row(number, kind, split=split, captions=said), crops)
    return ExamTable.open(folder / "table")


def test_every_row_is_trained_measured_and_compared_with_its_like(table, tmp_path):
    names = [PAPER, MIRRORED, WHO, LENT]
    ablation = Ablation(table, RECIPE, tmp_path, 1, Device.CPU)
    rows = ablate(ablation, names, tmp_path)
    assert [one.name for one in rows] == names
    first, *others = rows
    assert (first.against, dict(first.gains)) == ("", {})
    assert {one.against for one in others} == {PAPER, HALF}
    assert all(set(one.gains) == set(others[0].gains) for one in others)
    for one in rows:
        assert 0 <= one.figures[Way.TWO_STAGE].value <= 1
    # captions that are told otherwise make another pool
    assert [one.name for one in rows if CAPTION_RANK not in one.figures] == [MIRRORED, WHO]
    kept = json.loads((tmp_path / "ablation.json").read_text())
    assert [one["name"] for one in kept] == names
    assert as_table(rows).row_count == len(names)
    assert set(names) <= set(ROWS)


def test_a_row_that_is_trained_already_is_only_measured_again(table, tmp_path):
    name = PAPER
    first = Ablation(table, RECIPE, tmp_path, 1, Device.CPU).row(name)
    (state,) = tmp_path.glob("*.pt")
    before = state.stat().st_size
    again = Ablation(table, RECIPE, tmp_path, 1, Device.CPU).row(name)
    assert again.figures == first.figures
    assert state.stat().st_size == before
