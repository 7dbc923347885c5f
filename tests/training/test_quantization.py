from __future__ import annotations

import numpy as np
import pytest
from tiny_biomedclip import write_tiny_biomedclip

pytestmark = [pytest.mark.training, pytest.mark.slow, pytest.mark.filterwarnings("default")]

torch = pytest.importorskip("torch", reason="needs the training extra")

from pipeline.bundle import RetrievalQuality  # noqa: E402
from training.export import ImageTower, export  # noqa: E402
from training.quantization import LEAST_COSINE, Quantised, quantise, unharmed  # noqa: E402
from training.towers import biomedclip  # noqa: E402

BONES = ("distal_radius", "distal_ulna", "ulnar_styloid")


def test_a_transformer_becomes_smaller_and_says_nearly_the_same(tmp_path):
    write_tiny_biomedclip(tmp_path)
    crops = np.random.default_rng(1).integers(0, 255, (4, 224, 224)).astype(np.uint8)
    export(ImageTower(biomedclip(tmp_path)), torch.from_numpy(crops), tmp_path / "image.onnx")
    found = quantise(tmp_path / "image.onnx", tmp_path / "small.onnx", list(crops))
    assert found.bytes_after < 0.5 * found.bytes_before
    assert 0.99 < found.cosine < 1


def test_only_a_faithful_and_smaller_tower_is_taken():
    assert Quantised(LEAST_COSINE, 4, 1).worthwhile
    assert not Quantised(LEAST_COSINE - 1e-6, 4, 1).worthwhile
    assert not Quantised(LEAST_COSINE, 4, 3).worthwhile


def quality(two_stage, region_only=0.8):
    rest = dict.fromkeys(("global_only", "untrained", "chance"), dict.fromkeys(BONES, 0.5))
    ways = {"two_stage": two_stage, "region_only": region_only}
    return RetrievalQuality(
        queries=1, pool=1, **{k: dict.fromkeys(BONES, v) for k, v in ways.items()}, **rest
    )


@pytest.mark.parametrize(
    ("after", "harmless"),
    [
        (quality(0.7), True),
        (quality(0.696), True),
        (quality(0.69), False),
        (quality(0.9, 0.7), False),
    ],
)
def test_a_tower_that_retrieves_worse_is_not(after, harmless):
    assert unharmed(quality(0.7), after) is harmless
