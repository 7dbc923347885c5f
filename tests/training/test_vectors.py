from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_up_exams import NAMES, unit

pytestmark = pytest.mark.training

from training.dataset import Pair  # noqa: E402
from training.vectors import Encoder, ExamVectors, chance_vectors, exam_vectors  # noqa: E402


def exams(count):
    """Crops of one grey value, the exam's number; the third exam lacks its ulna."""
    crops = [{name: np.full((4, 4), n, np.uint8) for name in NAMES} for n in range(count)]
    del crops[2]["distal_ulna"]
    said = [{name: f"{name} {n % 3}" for name in NAMES} for n in range(count)]
    return [Pair(c, s, {}) for c, s in zip(crops, said, strict=True)]


def level(crops):
    return unit([[1.0, int(crop[0, 0])] for crop in crops])


def length(texts):
    return unit([[1.0, len(text)] for text in texts])


def test_every_crop_and_every_distinct_caption_is_encoded_once():
    asked = []
    done = []
    found = exam_vectors(
        exams(70), Encoder(level, lambda texts: asked.extend(texts) or length(texts)), done.append
    )
    assert len(found) == sum(done) == 70
    assert sorted(asked) == sorted(set(asked)) == list(found.captions)
    assert len(found.captions) == 12
    assert found.images["global"][65] == pytest.approx(unit([[1.0, 65.0]])[0])
    caption = found.captions[found.numbers["ulnar_styloid"][64]]
    assert caption == "ulnar_styloid 1"


def test_a_crop_that_is_missing_is_no_number():
    found = exam_vectors(exams(5), Encoder(level, length))
    assert np.isnan(found.images["distal_ulna"][2]).all()
    assert np.isfinite(found.images["distal_ulna"][[0, 1, 3, 4]]).all()


def test_an_exam_without_report_has_no_caption():
    silent = [replace(pair, captions={}) for pair in exams(4)]
    found = exam_vectors(
        silent, Encoder(level, lambda texts: np.zeros((len(texts), 512), np.float32))
    )
    assert all((numbers == -1).all() for numbers in found.numbers.values())
    assert found.captions == ()


def test_vectors_are_kept_under_their_key_alone(tmp_path):
    found = exam_vectors(exams(6), Encoder(level, length))
    path = tmp_path / "kept" / "vectors.npz"
    assert ExamVectors.load(path, "a key") is None
    found.save(path, "a key")
    kept = ExamVectors.load(path, "a key")
    assert kept.captions == found.captions
    for name in NAMES:
        assert np.array_equal(kept.images[name], found.images[name], equal_nan=True)
        assert np.array_equal(kept.numbers[name], found.numbers[name])
    assert ExamVectors.load(path, "another key") is None


def test_chance_lacks_what_the_exams_lack_and_nothing_else():
    found = exam_vectors(exams(6), Encoder(level, length))
    nothing = chance_vectors(found)
    for name in NAMES:
        missing = np.isnan(nothing.images[name][:, 0])
        assert (missing == np.isnan(found.images[name][:, 0])).all()
        lengths = np.linalg.norm(nothing.images[name][~missing], axis=1)
        assert lengths == pytest.approx(1, abs=1e-5)
