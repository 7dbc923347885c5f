from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_exams import NAMES, exams_with, random_unit, unit

pytestmark = pytest.mark.training

from training.ranking import CaptionRanking, Positives, caption_ranks  # noqa: E402
from training.vectors import chance_vectors  # noqa: E402

PATIENTS = [f"p{n}" for n in range(400)]


def ordered_by_hand(vectors, names, positives):
    """The definition in plain loops: rank and average precision of each query."""
    pool = [(int(c), vectors.texts[c]) for name in names for c in vectors.numbers[name] if c >= 0]
    if positives is Positives.DISTINCT:
        pool = [(c, vectors.texts[c]) for c in sorted({c for c, _ in pool})]
    found = []
    for name in names:
        for image, own in zip(vectors.images[name], vectors.numbers[name], strict=True):
            if own < 0:
                continue
            near = sorted(pool, key=lambda entry: -float(image @ entry[1]))
            right = [n for n, (caption, _) in enumerate(near, start=1) if caption == own]
            if positives is Positives.OWN:  # its own entry may be any of the identical ones
                found.append((np.mean(right), np.mean([1 / n for n in right])))
            else:
                precision = np.mean([hit / n for hit, n in enumerate(right, start=1)])
                found.append((right[0], precision))
    return np.array(found)


@pytest.mark.parametrize("positives", Positives)
@pytest.mark.parametrize("names", [NAMES, ("global",)])
@given(seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_ranks_are_those_of_the_definition(positives, names, seed):
    generator = np.random.default_rng(seed)
    numbers = {name: generator.integers(-1, 7, 12) for name in NAMES}
    numbers["global"][0] = 0
    images = {name: random_unit(12, [seed, n], 8) for n, name in enumerate(NAMES)}
    vectors = exams_with(images, random_unit(7, seed, 8), numbers)
    ranks = caption_ranks(vectors, names, positives)
    by_hand = ordered_by_hand(vectors, names, positives)
    assert ranks.rank == pytest.approx(by_hand[:, 0])
    assert ranks.precision == pytest.approx(by_hand[:, 1])


def perfect(count):
    rows = random_unit(count, 1)
    return exams_with(rows, rows, np.arange(count))


def test_an_image_that_is_its_caption_comes_first():
    vectors = perfect(40)
    ranking = CaptionRanking.of(vectors, "whole wrists", Positives.OWN, PATIENTS, 50)
    assert ranking.entries == ranking.queries == 40
    assert ranking.recall[5].value == ranking.mean_average_precision.value == 1
    assert ranking.mean_rank.value == ranking.median_rank.value == 1


def test_identical_captions_share_their_place_or_compete():
    rows = random_unit(10, 2)
    vectors = exams_with(np.repeat(rows, 20, axis=0), rows, np.repeat(np.arange(10), 20))
    shared, own, distinct = (
        CaptionRanking.of(vectors, "whole wrists", p, PATIENTS, 20)
        for p in (Positives.SHARED, Positives.OWN, Positives.DISTINCT)
    )
    assert shared.recall[5].value == distinct.recall[5].value == 1
    assert own.recall[5].value == pytest.approx(5 / 20)
    assert own.mean_rank.value == pytest.approx(10.5)
    assert (shared.entries, distinct.entries) == (200, 10)


def test_vectors_that_know_nothing_rank_by_chance_which_tells_the_papers_reading():
    vectors = chance_vectors(perfect(400))
    ranking = CaptionRanking.of(vectors, "pairs", Positives.OWN, PATIENTS, 50)
    # four crops an exam share a caption here: 1,600 entries
    assert ranking.mean_rank.value == pytest.approx(800, rel=0.05)
    assert ranking.recall[100].value == pytest.approx(100 / 1600, rel=0.35)


def test_an_encoder_that_gives_one_vector_for_everything_gains_nothing_by_it():
    one = np.repeat(random_unit(1, 3), 50, axis=0)
    vectors = exams_with(one, one, np.arange(50))
    for positives in Positives:
        ranks = caption_ranks(vectors, ("global",), positives)
        assert ranks.rank == pytest.approx(25.5)
    assert caption_ranks(vectors, ("global",), Positives.OWN).found(5) == pytest.approx(0.1)


def test_the_order_of_exams_and_captions_does_not_matter():
    generator = np.random.default_rng(4)
    numbers = generator.integers(0, 20, 60)
    images, texts = random_unit(60, 5), random_unit(20, 6)
    order, renamed = generator.permutation(60), generator.permutation(20)
    place = np.argsort(renamed)
    for positives in Positives:
        one = caption_ranks(exams_with(images, texts, numbers), NAMES, positives)
        other = caption_ranks(
            exams_with(images[order], texts[renamed], place[numbers[order]]), NAMES, positives
        )
        assert np.sort(one.rank) == pytest.approx(np.sort(other.rank))
        assert np.sort(one.precision) == pytest.approx(np.sort(other.precision))


def test_a_crop_that_is_missing_neither_asks_nor_stands_in_the_pool():
    images = random_unit(4, 7)
    images[2] = np.nan
    ranks = caption_ranks(
        exams_with(images, unit(np.eye(4)), np.arange(4)), ("global",), Positives.OWN
    )
    assert ranks.exams.tolist() == [0, 1, 3]
    assert ranks.pool == 3
