from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.training

from pipeline.region import Region, View  # noqa: E402
from training.constellation import fit_constellation  # noqa: E402
from training.dataset import Picture, phantom_pictures  # noqa: E402
from training.errors import DataError  # noqa: E402


def test_phantoms_lie_as_likely_as_their_own_distribution_says():
    pictures = phantom_pictures(range(30), View.PA, 200)
    fitted = fit_constellation(pictures, 0.2)
    whole = [p for p in pictures if all(r.value in p.boxes for r in Region)]
    least = dict.fromkeys(Region, 0.05)
    kept = [fitted.likeliest({r: [(p.boxes[r.value], 0.5)] for r in Region}, least) for p in whole]
    assert np.mean([len(found) == len(Region) for found in kept]) > 0.9


def test_too_few_wrists_are_refused():
    with pytest.raises(DataError, match="at least"):
        fit_constellation([Picture("one", np.zeros((9, 9), np.float32), View.PA)], 0.2)
