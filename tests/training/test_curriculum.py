from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.training

pytest.importorskip("sklearn", reason="needs the training extra")

from pipeline.region import Laterality, View  # noqa: E402
from training.curriculum import Curriculum  # noqa: E402
from training.exam_table import ExamRow, ExamTable, ExamTableWriter, Split  # noqa: E402
from training.settings import EncoderSettings  # noqa: E402

WORDS = ("normal", "normal", "normal", "odd")
PEOPLE = ((7.2, "F"), (None, "M"), (None, None), (2.9, None))


@pytest.fixture
def table(tmp_path):
    with ExamTableWriter(tmp_path / "table", 4) as writer:
        for number, (words, (age, sex)) in enumerate(zip(WORDS, PEOPLE, strict=True)):
            row = ExamRow(
                f"e{number}", "phantom", f"p{number}", "s", Split.TRAIN, View.PA,
                Laterality.LEFT, "phantom:x", age, sex, captions={"global": words},
            )  # fmt: skip
            writer.add(row, {"global": np.full((4, 4), number, np.uint8)})
    return ExamTable.open(tmp_path / "table")


def test_by_default_everything_is_taught_as_it_stands(table):
    taught = Curriculum(table, EncoderSettings(mirror_right=False), 1)
    assert [pair.captions["global"] for pair in taught] == list(WORDS)
    assert taught.captions == list(WORDS)


def test_a_share_takes_the_exams_that_say_most_with_their_own_crops(table):
    taught = Curriculum(table, EncoderSettings(informative_share=0.25, mirror_right=False), 1)
    assert taught.captions == ["odd"]
    assert taught[0].crops["global"][0, 0] == 3


def test_captions_can_tell_what_is_known_of_age_and_sex(table):
    taught = Curriculum(table, EncoderSettings(demographics=True, mirror_right=False), 1)
    assert taught.captions == [
        "Girl of 6 to 8 years. normal",
        "Boy. normal",
        "normal",
        "Child of 0 to 2 years. odd",
    ]
    assert [pair.captions["global"] for pair in taught] == taught.captions


def test_mirrored_wrists_are_taught_as_left_ones(table):
    taught = Curriculum(table, EncoderSettings(mirror_right=True), 1)
    assert [int(pair.crops["global"][0, 0]) for pair in taught] == [0, 1, 2, 3]
    assert taught.captions == list(WORDS)  # which tell no side


def test_the_global_only_baseline_is_taught_no_bones(table):
    taught = Curriculum(table, EncoderSettings(regions=False), 1)
    assert all(set(pair.crops) == set(pair.captions) == {"global"} for pair in taught)
