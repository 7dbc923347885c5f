from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.training

pytest.importorskip("sklearn", reason="needs the training extra")

from pipeline.region import Region, View  # noqa: E402
from training.errors import DataError  # noqa: E402
from training.witness import Hearing, fit_witness  # noqa: E402


def heard(generator, view, pa, joint, count):
    return [
        Hearing(view, float(np.clip(generator.normal(pa, 0.1), 0, 1)), generator.normal(joint, 1))
        for _ in range(count)
    ]


def test_the_witness_that_tells_them_apart_is_believed():
    generator = np.random.default_rng(3)
    wrists = heard(generator, View.PA, 0.5, -0.5, 60) + heard(generator, View.LATERAL, 0.5, -4, 20)
    witness = fit_witness(wrists)
    assert witness.bones > 1
    scores = {View.PA: 0.7, View.LATERAL: 0.2, View.OBLIQUE: 0.05, View.OTHER: 0.05}
    assert witness.weighed(scores, dict.fromkeys(Region, 0.8))[View.PA] > 0.8
    assert witness.weighed(scores, {})[View.PA] < 0.2


def test_one_view_alone_teaches_nothing():
    with pytest.raises(DataError, match="both PA and other"):
        fit_witness(heard(np.random.default_rng(3), View.PA, 0.9, -1, 5))
