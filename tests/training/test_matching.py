from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_exams import NAMES, random_unit, row, unit
from sklearn.metrics import f1_score

pytestmark = pytest.mark.training

from pipeline.calibration import Calibration  # noqa: E402
from pipeline.exam import RegionFindings  # noqa: E402
from pipeline.region import Laterality  # noqa: E402
from training import paper  # noqa: E402
from training.exam_table import Split  # noqa: E402
from training.matching import (  # noqa: E402
    NO_FRACTURE,
    Matching,
    Measure,
    allowed,
    fracture_class,
    measures,
)

LINE = Calibration(knots=((-1.0, 0.0), (1.0, 100.0)), nothing_similar_below=-1.0)
KINDS = [None, "buckle", "transverse", "salter_harris_2"]


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (None, NO_FRACTURE),
        (RegionFindings(), NO_FRACTURE),
        (RegionFindings("absent", "buckle"), NO_FRACTURE),
        (RegionFindings("possible", "buckle"), "buckle"),
        (RegionFindings("present", "salter_harris_2"), "salter_harris"),
        (RegionFindings("present", "salter_harris_unspecified"), "salter_harris"),
        (RegionFindings("present"), "unspecified"),
    ],
)
def test_a_fracture_has_one_class_and_salter_harris_is_one(found, kind):
    assert fracture_class(found) == kind


labels = st.sampled_from([NO_FRACTURE, "buckle", "transverse"])


@given(
    st.lists(labels, min_size=2, max_size=6),
    st.lists(labels, min_size=12, max_size=12),
    st.randoms(use_true_random=False),
)
def test_the_measures_are_those_of_the_definition(truth, known, random):
    ten = [random.sample(range(12), 10) for _ in truth]
    found = measures(np.array(truth), np.array(known), np.array(ten))

    def figure(measure):
        return found[measure](np.ones((1, len(truth))))[0]

    votes = [[known[n] for n in row] for row in ten]
    kind_shares = [np.mean([v == t for v in vote]) for t, vote in zip(truth, votes, strict=True)]
    assert figure(Measure.CLASS_OF_ALL) == pytest.approx(np.mean(kind_shares))
    broken = [n for n, t in enumerate(truth) if t != NO_FRACTURE]
    if broken:
        shares = [np.mean([v != NO_FRACTURE for v in votes[n]]) for n in broken]
        assert figure(Measure.BINARY_OF_FRACTURED) == pytest.approx(np.mean(shares))
        kinds = [kind_shares[n] for n in broken]
        assert figure(Measure.CLASS_OF_FRACTURED) == pytest.approx(np.mean(kinds))
    # Counter keeps the order of first sight, so the nearest decides between equals
    most = [Counter(vote).most_common(1)[0][0] for vote in votes]
    agreeing = np.mean([m == t for m, t in zip(most, truth, strict=True)])
    assert figure(Measure.CLASS_MAJORITY) == pytest.approx(agreeing)
    said = [Counter(v != NO_FRACTURE for v in vote).most_common(1)[0][0] for vote in votes]
    is_broken = [t != NO_FRACTURE for t in truth]
    assert figure(Measure.BINARY_MAJORITY) == pytest.approx(np.mean(np.equal(said, is_broken)))
    if any(said) or any(is_broken):
        expected = f1_score(is_broken, said, zero_division=0)
        assert figure(Measure.DIAGNOSIS_F1) == pytest.approx(expected)


def test_the_papers_cells_are_those_of_fifty_queries_of_ten_matches():
    cells = [
        float(c) for table in (paper.BINARY, paper.CLASS) for row in table.values() for c in row
    ]
    assert len(cells) == 18
    assert all(round(1000 * cell) % 2 == 0 for cell in cells)


def test_a_place_that_is_empty_has_no_vote():
    found = measures(np.array(["buckle"]), np.array(["buckle", "none"]), np.array([[0, -1, -1]]))
    assert found[Measure.BINARY_OF_ALL](np.ones((1, 1))) == [1.0]
    assert found[Measure.CLASS_MAJORITY](np.ones((1, 1))) == [1.0]


def test_a_patients_own_exams_are_never_returned():
    rows = [row(1), row(2, patient="p1"), row(3, source="elsewhere", patient="p1")]
    assert allowed(rows, rows, same_side=False).tolist() == [
        [False, False, True],
        [False, False, True],
        [True, True, False],
    ]


def test_the_side_must_be_the_querys_where_that_is_asked_and_known():
    sides = [Laterality.LEFT, Laterality.RIGHT, Laterality.UNKNOWN]
    asking = [row(n, laterality=side) for n, side in enumerate(sides)]
    stored = [row(n + 10, laterality=side) for n, side in enumerate(sides)]
    may = allowed(asking, stored, same_side=True)
    assert may.tolist() == [[True, False, False], [False, True, False], [True, True, True]]


def exams(count, seed, telling, first=0, **changes):
    """Exams whose bones (or nothing) tell the class of their fracture."""
    generator = np.random.default_rng(seed)
    kinds = generator.integers(0, len(KINDS), count)
    rows = [row(first + n, KINDS[k], **changes) for n, k in enumerate(kinds)]
    told = unit(np.eye(len(KINDS))[kinds] + generator.normal(0, 0.02, (count, len(KINDS))))
    vectors = {"global": random_unit(count, seed + 1)}
    vectors |= {n: told if telling else random_unit(count, [seed, 2]) for n in NAMES[1:]}
    return rows, vectors


def matched(telling, calibration=None):
    return Matching.of(
        exams(40, 1, telling),
        exams(200, 2, telling, first=1000, split=Split.TRAIN),
        calibration=calibration,
        draws=200,
    )


def test_telling_bones_match_perfectly_and_a_mute_whole_by_chance():
    found = matched(telling=True)
    for measure in Measure:
        assert found.figures[measure]["region_only"]["distal_ulna"].value == 1
        difference = found.differences[measure]["two_stage - global_only"]["distal_ulna"]
        assert difference.value > 0
    whole = found.figures[Measure.BINARY_OF_FRACTURED]["global_only"]["distal_radius"]
    assert whole.low < 0.75 < whole.high
    assert (found.queries, found.stored, found.stored_split) == (40, 200, "train")
    assert "fused" not in found.figures[Measure.DIAGNOSIS_F1]


def test_mute_vectors_make_every_way_chance_and_no_difference_certain():
    found = matched(telling=False, calibration=dict.fromkeys(NAMES, LINE))
    for way in found.figures[Measure.BINARY_OF_FRACTURED].values():
        assert way["distal_radius"].value == pytest.approx(0.75, abs=0.08)
    certain = [
        cell.certain
        for pair in found.differences[Measure.BINARY_OF_FRACTURED].values()
        for cell in pair.values()
    ]
    assert sum(certain) <= 2


def test_exams_without_findings_take_no_part():
    rows, vectors = exams(30, 3, telling=True)
    silent = [row(900 + n, findings={}) for n in range(5)]
    more = {name: np.concatenate([v, random_unit(5, 9)]) for name, v in vectors.items()}
    found = Matching.of(
        ([*rows, *silent], more), ([*rows, *silent], more), calibration=None, draws=9
    )
    assert (found.queries, found.stored) == (30, 30)
