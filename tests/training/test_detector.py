from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

pytestmark = pytest.mark.training

pytest.importorskip("ultralytics", reason="needs the training extra")

from pipeline.region import Region, View  # noqa: E402
from training.dataset import phantom_pictures  # noqa: E402
from training.detector import bones_sample, fit_bones, roi_sample  # noqa: E402
from training.settings import DetectorSettings, TrainingSettings  # noqa: E402

SETTINGS = TrainingSettings()


@pytest.fixture(scope="module")
def phantoms():
    return phantom_pictures(range(3), View.PA, 300)


def test_the_wrist_detector_sees_the_whole_image_and_its_wrist_only(phantoms):
    sample = roi_sample(phantoms[0], SETTINGS.preprocessing, np.random.default_rng(1))
    assert sample.image.shape == (SETTINGS.preprocessing.roi_size,) * 2
    assert set(sample.boxes) == {"wrist"}


def test_the_bone_detector_sees_the_enhanced_wrist_and_its_three_bones(phantoms):
    size = SETTINGS.preprocessing.bones_size
    sample = bones_sample(phantoms[0], SETTINGS.preprocessing, np.random.default_rng(1))
    assert sample.image.shape == (size, size)
    assert set(sample.boxes) == {region.value for region in Region}
    centres = [((x0 + x1) / 2, (y0 + y1) / 2) for x0, y0, x1, y1 in sample.boxes.values()]
    assert (np.array(centres) > 0).all()
    assert (np.array(centres) < size).all()


def test_of_a_wrist_in_another_view_any_large_part_is_shown_and_no_bone(phantoms):
    size = SETTINGS.preprocessing.bones_size
    lateral = replace(phantoms[0], boxes={})
    one, other = (
        bones_sample(lateral, SETTINGS.preprocessing, np.random.default_rng(seed))
        for seed in (1, 2)
    )
    assert (one.boxes, one.image.shape) == ({}, (size, size))
    assert (one.image != other.image).any()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_detector_is_fitted_in_two_rounds_and_exported(phantoms, tmp_path, monkeypatch):
    preprocessing = SETTINGS.preprocessing.model_copy(update={"bones_size": 96})
    settings = DetectorSettings(
        phantoms=3, phantom_epochs=1, copies=1, mixed_phantoms=1, epochs=1, batch=2
    )
    monkeypatch.chdir(tmp_path)
    silent = [replace(phantoms[2], boxes={})]
    made = fit_bones(
        phantoms[:2], phantoms, silent, settings, preprocessing=preprocessing,
        folder=Path("work"), seed=1, threads=1,
    )  # fmt: skip
    session = onnxruntime.InferenceSession(made, providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == [1, 3, 96, 96]
    assert session.get_outputs()[0].shape[1] == 4 + len(Region)
    # what the first round taught goes into the second: ultralytics notes what it began with
    begun = (tmp_path / "work" / "round1" / "fit" / "args.yaml").read_text()
    assert re.search(r"^model: .*round0.fit.weights.last\.pt$", begun, re.MULTILINE)
    assert re.search(r"^pretrained: true$", begun, re.MULTILINE)
