from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.training

from training.dataset import Pair  # noqa: E402
from training.pseudo_caption import WithLent, pseudo_captions  # noqa: E402
from training.vectors import Encoder  # noqa: E402

NAMES = ("global", "distal_radius", "distal_ulna", "ulnar_styloid")
EAST, NORTH, NOTHING = (1.0, 0.0), (0.0, 1.0), (np.nan, np.nan)


def vectors(**rows):
    count = len(next(iter(rows.values())))
    missing = [NOTHING] * count
    return {name: np.array(rows.get(name, missing), np.float32) for name in NAMES}


BANK = vectors(distal_radius=[EAST, EAST, EAST, NORTH, NORTH])
SAID = [{"distal_radius": words} for words in ("buckle", "buckle", "normal", "normal", "normal")]


def lent(asking, **options):
    return pseudo_captions(vectors(distal_radius=[asking]), BANK, SAID, **options)[0]


def test_a_crop_is_lent_what_most_of_its_neighbours_say():
    found = lent(EAST, neighbours=3)["distal_radius"]
    assert found.words == "buckle"
    assert found.agreement == pytest.approx(2 / 3)
    assert lent(NORTH, neighbours=2)["distal_radius"].agreement == 1


def test_where_the_neighbours_do_not_agree_nothing_is_lent():
    assert lent(EAST, neighbours=3, least_agreement=0.9) == {}


def test_a_missing_crop_is_lent_nothing_and_a_missing_caption_lends_none():
    assert lent(NOTHING) == {}
    silent = pseudo_captions(vectors(distal_radius=[EAST]), BANK, [{}] * 5)
    assert silent == ({},)


def test_bones_lend_to_bones_of_their_own_name_only():
    asking = vectors(distal_ulna=[EAST])
    assert pseudo_captions(asking, BANK, SAID) == ({},)


def test_exams_without_report_are_lent_captions_and_no_findings():
    def grey(level):
        return np.full((4, 4), level, np.uint8)

    def images(crops):
        found = np.zeros((len(crops), 512), np.float32)
        for row, crop in zip(found, crops, strict=True):
            row[int(crop[0, 0] > 100)] = 1
        return found

    encoder = Encoder(images, lambda words: np.ones((len(words), 512), np.float32))
    told = [Pair({"global": grey(n)}, {"global": "dark" if n < 100 else "light"}, {})
            for n in (*range(8), *range(200, 208))]  # fmt: skip
    silent = [Pair({"global": grey(n), "distal_ulna": grey(9)}, {}, {}) for n in (50, 250)]
    found = WithLent([silent[0], *told, silent[1]], encoder)
    assert (len(found), found.lent) == (18, 2)
    assert [pair.captions for pair in found][:16] == [pair.captions for pair in told]
    assert [pair.captions for pair in found][16:] == [{"global": "dark"}, {"global": "light"}]
    # nobody has read the ulna: it is not taught
    assert [set(pair.crops) for pair in found][16:] == [{"global"}, {"global"}]
    assert not any(pair.findings for pair in found)
    undecided = [Pair({"global": grey(n)}, {"global": f"caption {n}"}, {}) for n in range(8)]
    assert WithLent([*undecided, silent[0]], encoder).lent == 0
