from __future__ import annotations

import math

import numpy as np
import pytest

pytestmark = pytest.mark.training

torch = pytest.importorskip("torch", reason="needs the training extra")

from training.contrastive import (  # noqa: E402
    fit_encoder,
    fit_tokenizer,
    multi_positive_loss,
    new_encoder,
)
from training.dataset import Pair  # noqa: E402
from training.settings import EncoderSettings  # noqa: E402


def unit(rows, columns, seed):
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn((rows, columns), generator=generator, dtype=torch.float64)
    return vectors / vectors.norm(dim=1, keepdim=True)


def plain_loss(images, texts, captions, tau):
    """Equation 2 of the paper, term by term."""
    size = len(captions)

    def share(i, j):
        return (captions[i] == captions[j]) / sum(captions[i] == other for other in captions)

    def log_softmax(anchor, others, j):
        scores = [float(anchor @ other) / tau for other in others]
        return scores[j] - math.log(sum(math.exp(score) for score in scores))

    total = 0.0
    for i in range(size):
        total += sum(share(i, j) * log_softmax(images[i], texts, j) for j in range(size))
        total += sum(share(j, i) * log_softmax(texts[i], images, j) for j in range(size))
    return -total / size


@pytest.mark.parametrize(
    "captions",
    [[0, 1, 2, 3, 4], [7, 7, 7, 7, 7], [0, 0, 1, 1, 1], [3, 1, 3, 2, 1]],
)
@pytest.mark.parametrize("tau", [0.07, 0.5])
def test_the_loss_is_equation_2_of_the_paper(captions, tau):
    images, texts = unit(5, 8, 1), unit(5, 8, 2)
    fast = multi_positive_loss(images, texts, torch.tensor(captions), torch.tensor(1 / tau))
    assert float(fast) == pytest.approx(plain_loss(images, texts, captions, tau), rel=1e-6)


def test_with_distinct_captions_the_loss_is_twice_that_of_clip():
    images, texts = unit(6, 8, 3), unit(6, 8, 4)
    logits, labels = 10 * images @ texts.T, torch.arange(6)
    cross = torch.nn.functional.cross_entropy
    clip = (cross(logits, labels) + cross(logits.T, labels)) / 2
    loss = multi_positive_loss(images, texts, labels, torch.tensor(10.0))
    assert float(loss) == pytest.approx(2 * float(clip), rel=1e-6)


def test_the_order_of_the_pairs_does_not_matter():
    images, texts, captions = unit(5, 8, 1), unit(5, 8, 2), torch.tensor([0, 0, 1, 2, 1])
    order = torch.tensor([3, 1, 4, 0, 2])
    scale = torch.tensor(5.0)
    loss = multi_positive_loss(images, texts, captions, scale)
    shuffled = multi_positive_loss(images[order], texts[order], captions[order], scale)
    assert float(loss) == pytest.approx(float(shuffled), rel=1e-6)


def test_the_vocabulary_encodes_any_text_to_one_length_and_ends_with_its_highest_number():
    tokenizer = fit_tokenizer(["Left wrist X-ray showing no fracture."])
    lengths = set()
    for text in ("left wrist", "", "Fraktur µ ✓", "wrist " * 300):
        ids = tokenizer.encode(text).ids
        lengths.add(len(ids))
        assert max(ids) == tokenizer.get_vocab_size() - 1
    assert len(lengths) == 1


def test_the_same_seed_gives_the_same_first_weights():
    one, other, third = (new_encoder(300, seed) for seed in (1, 1, 2))
    assert torch.equal(one.token_embedding.weight, other.token_embedding.weight)
    assert not torch.equal(one.token_embedding.weight, third.token_embedding.weight)


@pytest.mark.slow
def test_training_brings_an_image_closer_to_its_own_caption():
    drawn = np.zeros((2, 224, 224), np.uint8)
    drawn[0, 60:160, 20:60] = 220
    drawn[1, 20:60, 60:200] = 220
    words = ["Distal radius region showing no fracture.", "Distal radius region showing fracture."]
    pairs = [
        Pair({"distal_radius": d}, {"distal_radius": w}, {})
        for d, w in zip(drawn, words, strict=True)
    ]
    tokenizer = fit_tokenizer(words)
    settings = EncoderSettings(phantoms=8, epochs=12, batch=16, learning_rate=3e-4, warmup_steps=2)
    model = fit_encoder(pairs * 8, tokenizer, settings, seed=1)
    with torch.no_grad():
        images = model.encode_image(
            ((torch.tensor(drawn).float() - 70) / 70)[:, None].expand(-1, 3, -1, -1), True
        )
        texts = model.encode_text(torch.tensor([tokenizer.encode(w).ids for w in words]), True)
    cosines = images @ texts.T
    assert cosines[0, 0] > cosines[0, 1]
    assert cosines[1, 1] > cosines[1, 0]
