from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from deploy.settings import SHIPPED_BUNDLE as SHIPPED
from pipeline.bundle import Bundle
from pipeline.decoder import Decoder
from pipeline.radiograph import radiograph
from pipeline.region import View
from pipeline.view_model import ViewModel

TESTS = Path(__file__).parents[1]
STUDIES = TESTS / "data" / "studies"

with (STUDIES / "manifest.csv").open(newline="", encoding="utf-8") as stream:
    IMAGES = [row for row in csv.DictReader(stream) if row["kind"] == "image"]


@pytest.fixture(scope="module")
def model():
    return ViewModel(Bundle.load(SHIPPED))


def test_the_scores_of_all_views_add_up_to_one(model):
    scores = model.classify(np.random.default_rng(1).random((300, 200), np.float32))
    assert set(scores) == set(View)
    assert sum(scores.values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (2000, 1500)])
def test_an_image_of_any_shape_gets_an_answer(model, shape):
    assert sum(model.classify(np.zeros(shape, np.float32)).values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("view", "least"), [("pa", 0.85), ("lateral", 0.1)])
def test_most_real_wrists_of_held_out_patients_get_their_view(model, view, least):
    shown = [STUDIES / row["file"] for row in IMAGES if row["projection"] == view]
    with Decoder() as decoder:
        scores = [model.classify(radiograph(decoder, path).pixels) for path in shown]
    right = [max(found, key=lambda name: found[name]) is View(view) for found in scores]
    assert np.mean(right) >= least


def test_a_page_of_noise_is_not_taken_for_a_pa_wrist(model):
    scores = model.classify(np.random.default_rng(1).random((400, 300), np.float32))
    assert scores[View.PA] < 0.5
