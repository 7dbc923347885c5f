from __future__ import annotations

import numpy as np
import pytest

from deploy.settings import SHIPPED_BUNDLE as SHIPPED
from pipeline.bundle import Bundle
from pipeline.encoder import ImageEncoder, TextEncoder


@pytest.fixture(scope="module")
def bundle():
    return Bundle.load(SHIPPED)


@pytest.fixture(scope="module")
def images():
    return list(np.random.default_rng(3).integers(0, 256, (18, 224, 224), dtype=np.uint8))


def test_crops_become_unit_vectors_of_512_in_the_order_given(bundle, images):
    vectors = ImageEncoder(bundle).encode(images[:3])
    assert vectors.shape == (3, 512)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert ImageEncoder(bundle).encode(images[1:2])[0] == pytest.approx(vectors[1], abs=1e-5)


def test_more_crops_than_one_batch_give_the_same_vectors_as_each_alone(bundle, images):
    encoder = ImageEncoder(bundle)
    together = encoder.encode(images)
    alone = np.concatenate([encoder.encode([image]) for image in images])
    assert (together * alone).sum(axis=1) == pytest.approx(1, abs=1e-4)


def test_nothing_encodes_to_nothing(bundle):
    assert ImageEncoder(bundle).encode([]).shape == (0, 512)
    assert TextEncoder(bundle).encode([]).shape == (0, 512)


@pytest.mark.parametrize("crop", [np.zeros((100, 224), np.uint8), np.zeros((224, 224), np.float32)])
def test_a_crop_of_another_shape_or_type_is_refused(bundle, crop):
    with pytest.raises(ValueError, match="crops are uint8 of 224 × 224"):
        ImageEncoder(bundle).encode([crop])


def test_the_same_caption_gives_the_same_vector_and_another_gives_another(bundle):
    normal = "Distal radius region showing no fracture."
    broken = "Distal radius region showing buckle fracture in the distal radius."
    first, again, other = TextEncoder(bundle).encode([normal, normal, broken])
    assert first @ again == pytest.approx(1, abs=1e-5)
    assert first @ other < 0.99


def test_a_text_of_any_language_and_length_encodes(bundle):
    vectors = TextEncoder(bundle).encode(["", "Wulstbruch der Speiche, µ ✓", "radius " * 500])
    assert vectors.shape == (3, 512)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
