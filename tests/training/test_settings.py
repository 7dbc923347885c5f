from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.training

import training  # noqa: E402
from training.errors import DataError  # noqa: E402
from training.settings import BIOMEDCLIP, EncoderSettings, TrainingSettings  # noqa: E402

RECIPES = Path(training.__file__).parent / "recipes"


def test_the_papers_recipe_is_appendix_c():
    paper = EncoderSettings.read(RECIPES / "paper.toml")
    assert (paper.tower, paper.weights, paper.unlocked_blocks) == ("biomedclip", BIOMEDCLIP, 8)
    assert (paper.epochs, paper.batch, paper.warmup_steps) == (30, 512 * 4, 50)
    assert (paper.learning_rate, paper.weight_decay, paper.gradient_norm) == (1e-5, 0.01, 1.0)
    assert (paper.soft_positives, paper.hard_negatives, paper.gap_weight) == (0, 0, 0)
    assert (paper.mirror_right, paper.demographics, paper.regions) == (False, False, True)


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_that_comes_along_can_be_read(recipe):
    EncoderSettings.read(recipe)


@pytest.mark.parametrize(
    ("text", "named"), [("epoch = 3", "epoch"), ("epochs = 0", "epochs"), ("epochs = ", "recipe")]
)
def test_a_recipe_that_cannot_be_followed_is_refused_by_what_is_wrong_in_it(tmp_path, text, named):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(DataError, match=named):
        EncoderSettings.read(path)


def test_a_missing_recipe_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match=r"none\.toml"):
        EncoderSettings.read(tmp_path / "none.toml")


def test_a_rehearsal_takes_a_share_of_every_training():
    whole = TrainingSettings()
    part = whole.smaller(0.1)
    assert (part.bones.copies, part.bones.phantoms) == (9, 150)
    assert (part.view.steps, part.encoder.exams) == (300, 754)
    assert part.bones.epochs == whole.bones.epochs
    assert whole.smaller(0.01).encoder.exams == 200
    assert whole.smaller(1.0) == whole
