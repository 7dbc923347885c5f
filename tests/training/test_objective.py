from __future__ import annotations

import math

import pytest

pytestmark = pytest.mark.training

torch = pytest.importorskip("torch", reason="needs the training extra")

from pipeline.exam import RegionFindings  # noqa: E402
from training.objective import (  # noqa: E402
    Sample,
    contrastive_loss,
    equal_captions,
    modality_gap,
    overlap,
)


def unit(rows, columns, seed):
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn((rows, columns), generator=generator, dtype=torch.float64)
    return vectors / vectors.norm(dim=1, keepdim=True)


def captioned(*numbers):
    return [Sample("global", f"caption {number}") for number in numbers]


def bone(name, **findings):
    return Sample(name, "", ((name, RegionFindings(**findings)),))


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
    positives = equal_captions(captioned(*captions)).double()
    fast = contrastive_loss(images, texts, positives, torch.tensor(1 / tau))
    assert float(fast) == pytest.approx(plain_loss(images, texts, captions, tau), rel=1e-6)


def test_with_distinct_captions_the_loss_is_twice_that_of_clip():
    images, texts = unit(6, 8, 3), unit(6, 8, 4)
    logits, labels = 10 * images @ texts.T, torch.arange(6)
    cross = torch.nn.functional.cross_entropy
    clip = (cross(logits, labels) + cross(logits.T, labels)) / 2
    loss = contrastive_loss(images, texts, torch.eye(6), torch.tensor(10.0))
    assert float(loss) == pytest.approx(2 * float(clip), rel=1e-6)


def test_the_order_of_the_pairs_does_not_matter():
    images, texts = unit(5, 8, 1), unit(5, 8, 2)
    positives = equal_captions(captioned(0, 0, 1, 2, 1)).double()
    order = torch.tensor([3, 1, 4, 0, 2])
    scale = torch.tensor(5.0)
    loss = contrastive_loss(images, texts, positives, scale)
    shuffled = contrastive_loss(images[order], texts[order], positives[order][:, order], scale)
    assert float(loss) == pytest.approx(float(shuffled), rel=1e-6)


def test_a_loss_is_finite_when_texts_fit_images_perfectly_at_the_lowest_temperature():
    images = unit(4, 8, 1)
    loss = contrastive_loss(images, images, torch.eye(4), torch.tensor(100.0))
    assert 0 <= float(loss) < 1e-3


def test_equal_emphasis_changes_nothing_and_more_of_it_makes_a_negative_count():
    images, texts = unit(4, 8, 1), unit(4, 8, 2)
    positives, scale = torch.eye(4).double(), torch.tensor(5.0)
    plain = contrastive_loss(images, texts, positives, scale)
    even = contrastive_loss(images, texts, positives, scale, torch.ones(4, 4).double())
    assert float(even) == pytest.approx(float(plain))
    heavy = torch.ones(4, 4).double()
    heavy[0, 1] = heavy[1, 0] = 3.0
    assert float(contrastive_loss(images, texts, positives, scale, heavy)) > float(plain)


def test_findings_overlap_by_the_share_of_what_agrees():
    transverse = {"fracture": "present", "type": "transverse", "healing": "acute"}
    samples = [
        bone("distal_radius", **transverse),
        bone("distal_radius", **transverse),
        bone("distal_radius", **{**transverse, "healing": "healed"}),
        bone("distal_radius", fracture="absent"),
        bone("distal_ulna", **transverse),
    ]
    found = overlap(samples)
    assert found[0].tolist() == [1, 1, 0.75, 0, 0]
    assert torch.equal(found, found.T)


def test_whole_wrists_overlap_by_the_mean_over_their_bones():
    absent, broken = RegionFindings("absent"), RegionFindings("present", "buckle")
    one = Sample("global", "", (("distal_radius", broken), ("distal_ulna", absent)))
    other = Sample("global", "", (("distal_radius", broken), ("distal_ulna", broken)))
    assert overlap([one, other])[0].tolist() == [1, 0.5]


def test_without_findings_nothing_overlaps():
    assert overlap(captioned(0, 0)).sum() == 0


def test_the_modality_gap_is_the_distance_between_the_means():
    vectors = unit(6, 8, 1)
    assert float(modality_gap(vectors, vectors.flip(0))) == pytest.approx(0)
    assert float(modality_gap(vectors, vectors + 1)) == pytest.approx(8)
