from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.training

pytest.importorskip("onnx", reason="needs the training extra")

from deploy.settings import SHIPPED_BUNDLE as FOLDER  # noqa: E402
from pipeline.bundle import Bundle  # noqa: E402
from pipeline.encoder import ImageEncoder, TextEncoder  # noqa: E402
from training.baseline import untrained, whole_wrist  # noqa: E402
from training.dataset import Pair  # noqa: E402


@pytest.fixture(scope="module")
def bundle():
    return Bundle.load(FOLDER)


def test_an_untrained_encoder_answers_otherwise_and_always_the_same(bundle):
    crops = [np.random.default_rng(n).integers(0, 255, (224, 224)).astype(np.uint8) for n in (1, 2)]
    first, again, other = (
        ImageEncoder(untrained(bundle, FOLDER, seed)).encode(crops) for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert np.abs(first - other).max() > 0.01
    assert np.abs((first * ImageEncoder(bundle).encode(crops)).sum(axis=1)).max() < 0.5
    assert np.linalg.norm(first, axis=1) == pytest.approx(1, abs=1e-5)


def test_its_captions_are_told_apart_no_more_as_before(bundle):
    words = ["Left wrist X-ray (PA view) showing no fracture.", "Distal ulna region."]
    before = TextEncoder(bundle).encode(words)
    after = TextEncoder(untrained(bundle, FOLDER)).encode(words)
    assert np.abs((before * after).sum(axis=1)).max() < 0.5


def test_a_whole_wrist_keeps_its_global_crop_and_caption_alone():
    crop = np.zeros((2, 2), np.uint8)
    pair = Pair({"global": crop, "distal_ulna": crop}, {"global": "a", "distal_ulna": "b"}, {})
    wrist = whole_wrist(pair)
    assert set(wrist.crops) == set(wrist.captions) == {"global"}
