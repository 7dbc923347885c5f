from __future__ import annotations

import pytest

pytestmark = pytest.mark.training

from deploy.settings import SHIPPED_BUNDLE  # noqa: E402
from pipeline.bundle import Bundle  # noqa: E402
from training.model_card import model_card  # noqa: E402


@pytest.fixture(scope="module")
def manifest():
    return Bundle.load(SHIPPED_BUNDLE).manifest


def test_the_card_tells_what_the_manifest_measured(manifest):
    card = model_card(manifest)
    for name, box in manifest.quality.boxes.items():
        words = name.replace("_", " ")
        assert f"| {words} | {box.n} | {box.recall:.2f} | {box.precision:.2f} |" in card
    for calibration in manifest.calibration.values():
        assert f"| {calibration.nothing_similar_below:.3f} |" in card
    assert f"Balanced accuracy of the views: {manifest.quality.view.balanced_accuracy:.2f}" in card


def test_it_says_plainly_what_it_is_not(manifest):
    card = model_card(manifest)
    assert manifest.intended_use in card
    assert "Nothing here says how well it retrieves real" in card
    for_clinics = manifest.model_copy(update={"demonstration_only": False})
    assert "demonstration only. Nothing" not in model_card(for_clinics)


def test_before_anything_is_measured_it_claims_nothing(manifest):
    card = model_card(manifest.model_copy(update={"quality": None}))
    assert "What was measured" not in card
    assert manifest.training.summary in card
