from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_folder import write_data_folder

pytestmark = [pytest.mark.training, pytest.mark.slow, pytest.mark.filterwarnings("default")]

pytest.importorskip("ultralytics", reason="needs the training extra")

from pipeline.encoder import ImageEncoder, TextEncoder  # noqa: E402
from training.dataset import held_out_patients  # noqa: E402
from training.errors import DataError  # noqa: E402
from training.publish import publish  # noqa: E402
from training.settings import (  # noqa: E402
    DetectorSettings,
    EncoderSettings,
    TrainingSettings,
    ViewModelSettings,
)

TINY = DetectorSettings(phantoms=2, phantom_epochs=1, copies=1, mixed_phantoms=1, epochs=1, batch=2)
SETTINGS = TrainingSettings(
    threads=1,
    roi=TINY,
    bones=TINY,
    view=ViewModelSettings(phantoms=1, others=4, steps=2, batch=4),
    encoder=EncoderSettings(exams=100, test_share=0.5, epochs=1, batch=64),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_data_folder(folder, range(90001, 90010), [min(held_out_patients())])
    return folder


@pytest.fixture(scope="module")
def bundle(data, tmp_path_factory):
    work = tmp_path_factory.mktemp("work")
    return publish(data, work, work / "bundle", "tiny", SETTINGS)


def test_a_bundle_is_made_from_a_folder_of_images_and_loads(bundle):
    assert bundle.id == "tiny"
    assert bundle.demonstration
    assert ImageEncoder(bundle).encode([np.zeros((224, 224), np.uint8)]).shape == (1, 512)
    assert TextEncoder(bundle).encode(["Left wrist."]).shape == (1, 512)


def test_it_tells_whom_it_was_trained_on_and_measures_on_the_others(bundle):
    training = bundle.manifest.training
    assert training.training_patients == tuple(range(90001, 90010))
    assert set(training.held_out_patients) == held_out_patients()
    assert bundle.manifest.quality.boxes["wrist"].n == 1


def test_the_exported_models_say_what_the_trained_ones_said(bundle):
    assert min(bundle.manifest.quality.parity.values()) >= 0.9999


def test_the_models_name_no_path_of_the_machine(bundle, data):
    folder = Path(data).parent
    for file in (folder / "work0" / "bundle").glob("*.onnx"):
        assert str(folder).encode() not in file.read_bytes()


def test_a_work_folder_of_other_settings_is_refused(data, tmp_path):
    (tmp_path / "settings.sha256").write_text("0" * 64)
    with pytest.raises(DataError, match="use another work folder"):
        publish(data, tmp_path, tmp_path / "bundle", "tiny", SETTINGS, table=None)
