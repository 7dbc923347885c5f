from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.training

torch = pytest.importorskip("torch", reason="needs the training extra")

from pipeline.enhancement import grey, square  # noqa: E402
from pipeline.region import View  # noqa: E402
from pipeline.view_model import VIEW_ORDER  # noqa: E402
from training.dataset import Picture  # noqa: E402
from training.settings import TrainingSettings, ViewModelSettings  # noqa: E402
from training.view_model import fit_view_model  # noqa: E402

PREPROCESSING = TrainingSettings().preprocessing


def striped(view, number):
    """A picture whose stripes tell its view: as many as the view's place, plus one."""
    count = 2 ** (VIEW_ORDER.index(view) + 1)
    wave = 0.5 + 0.5 * np.sin(np.linspace(0, 2 * np.pi * count, 120) + number)
    return Picture(f"{view}-{number}", np.outer(wave, wave).astype(np.float32), view)


@pytest.mark.slow
def test_views_that_look_different_are_told_apart():
    pictures = [striped(view, number) for view in View for number in range(4)]
    settings = ViewModelSettings(phantoms=0, others=0, steps=60, batch=16)
    network = fit_view_model(pictures, [], settings, PREPROCESSING, seed=1)
    images = [square(grey(p.pixels, PREPROCESSING), PREPROCESSING.view_size)[0] for p in pictures]
    with torch.no_grad():
        found = network(torch.from_numpy(np.stack(images))).argmax(dim=1)
    right = [VIEW_ORDER[int(n)] is p.view for n, p in zip(found, pictures, strict=True)]
    assert np.mean(right) > 0.6
