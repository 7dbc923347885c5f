from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import tomllib
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from deploy.settings import SHIPPED_BUNDLE as SHIPPED
from pipeline.bundle import BONES_FILE, MANIFEST_FILE, ROI_FILE, VECTOR_NAMES, Bundle
from pipeline.errors import BundleError


@pytest.fixture(scope="module")
def shipped():
    return Bundle.load(SHIPPED)


@pytest.fixture
def copy(tmp_path):
    return Path(shutil.copytree(SHIPPED, tmp_path / "bundle"))


def edit(folder: Path, old: str, new: str) -> None:
    manifest = folder / MANIFEST_FILE
    text = manifest.read_text(encoding="utf-8")
    assert old in text
    manifest.write_text(text.replace(old, new, 1), encoding="utf-8")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_shipped_bundle_loads_and_names_its_models_runtime_and_precision(shipped):
    assert shipped.id == SHIPPED.name
    assert shipped.runtime == f"onnxruntime-{onnxruntime.__version__}-cpu-fp32"


def test_the_shipped_bundle_is_for_demonstration_only_and_says_so(shipped):
    assert shipped.demonstration
    assert "not for clinical use" in shipped.manifest.intended_use


def test_no_patient_of_the_shipped_bundle_is_both_trained_on_and_held_out(shipped):
    training = shipped.manifest.training
    assert len(training.training_patients) > 50
    assert len(training.held_out_patients) > 30
    assert not set(training.training_patients) & set(training.held_out_patients)


def test_the_held_out_patients_of_the_shipped_bundle_are_those_the_training_code_leaves_out(
    shipped,
):
    listed = Path(__file__).parents[2] / "training" / "held_out_patients.txt"
    lines = listed.read_text(encoding="utf-8").splitlines()
    left_out = {int(line) for line in lines if line and not line.startswith("#")}
    assert left_out <= set(shipped.manifest.training.held_out_patients)


def test_the_shipped_bundle_was_measured_on_real_images_it_was_not_trained_on(shipped):
    quality = shipped.manifest.quality
    assert quality is not None
    assert all(box.n == 36 for box in quality.boxes.values())
    assert quality.boxes["wrist"].recall >= 0.9
    assert min(quality.parity.values()) >= 0.9999


def test_the_shipped_bundle_stays_small_and_holds_nothing_but_models_and_words():
    files = list(SHIPPED.iterdir())
    assert sum(file.stat().st_size for file in files) < 60e6
    assert {file.suffix for file in files} == {".onnx", ".json", ".toml", ".md"}


def test_the_shipped_models_name_no_path_of_the_machine_they_were_made_on():
    for file in SHIPPED.iterdir():
        content = file.read_bytes()
        assert not [
            word for word in (b"/home/", b"/root/", b"/tmp/", b".py\x22") if word in content
        ]


def test_every_vector_name_has_a_similarity_index_that_rises(shipped):
    assert set(shipped.manifest.calibration) == set(VECTOR_NAMES)
    for calibration in shipped.manifest.calibration.values():
        indices = [calibration.index(cosine) for cosine in np.linspace(-1, 1, 41)]
        assert indices == sorted(indices)
        assert 0 <= indices[0] < indices[-1] <= 100


def test_a_changed_byte_is_refused_and_the_file_named(copy):
    content = bytearray((copy / BONES_FILE).read_bytes())
    content[1000] ^= 1
    (copy / BONES_FILE).write_bytes(content)
    with pytest.raises(BundleError, match=r"bones\.onnx has another SHA-256"):
        Bundle.load(copy)


def test_a_missing_file_is_refused_and_named(copy):
    (copy / ROI_FILE).unlink()
    with pytest.raises(BundleError, match=r"roi\.onnx is listed .* but is not there"):
        Bundle.load(copy)


def test_a_link_in_the_place_of_a_file_is_refused(copy, tmp_path):
    (copy / ROI_FILE).rename(tmp_path / "elsewhere.onnx")
    (copy / ROI_FILE).symlink_to(tmp_path / "elsewhere.onnx")
    with pytest.raises(BundleError, match="not there as a plain file"):
        Bundle.load(copy)


def test_a_pickle_beside_the_models_is_refused_though_nothing_loads_it(copy):
    (copy / "weights.pt").write_bytes(pickle.dumps({"weights": [1.0]}))
    with pytest.raises(BundleError, match=r"weights\.pt"):
        Bundle.load(copy)


def test_a_pickle_in_the_place_of_a_model_is_refused_even_with_the_right_checksum(copy):
    old = digest(copy / ROI_FILE)
    (copy / ROI_FILE).write_bytes(pickle.dumps({"weights": [1.0]}))
    edit(copy, old, digest(copy / ROI_FILE))
    with pytest.raises(BundleError, match=r"roi\.onnx is no model"):
        Bundle.load(copy)


def test_a_model_with_the_wrong_number_of_classes_is_refused(copy):
    edit(copy, digest(copy / ROI_FILE), digest(copy / BONES_FILE))
    shutil.copy(copy / BONES_FILE, copy / ROI_FILE)
    with pytest.raises(BundleError, match=r"roi\.onnx puts out .* must have length 5"):
        Bundle.load(copy)


def test_another_vector_size_is_refused(copy):
    edit(copy, "size = 512\nprecision", "size = 256\nprecision")
    with pytest.raises(BundleError, match=r"vectors\.size"):
        Bundle.load(copy)


def test_an_unknown_key_of_the_manifest_is_refused_and_named(copy):
    edit(copy, "demonstration_only", "clinical = true\ndemonstration_only")
    with pytest.raises(BundleError, match="clinical"):
        Bundle.load(copy)


def test_a_local_creation_time_is_refused(copy):
    created = tomllib.loads((copy / MANIFEST_FILE).read_text(encoding="utf-8"))["created_at"]
    edit(copy, created.strftime("%Y-%m-%dT%H:%M:%SZ"), created.strftime("%Y-%m-%dT%H:%M:%S+02:00"))
    with pytest.raises(BundleError, match=r"created_at: .*UTC"):
        Bundle.load(copy)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"id = ", "is not TOML"), (b"\xff\xfe", "cannot be read"), (b"id = 'x'", "Field required")],
)
def test_a_malformed_manifest_is_refused_in_one_line(copy, content, words):
    (copy / MANIFEST_FILE).write_bytes(content)
    with pytest.raises(BundleError, match=words) as refusal:
        Bundle.load(copy)
    assert "\n" not in str(refusal.value)


def test_a_folder_without_manifest_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(BundleError, match="name the bundle's own folder"):
        Bundle.load(tmp_path)


def test_a_vocabulary_that_is_none_is_refused(copy):
    vocabulary = copy / "tokenizer.json"
    old = digest(vocabulary)
    vocabulary.write_text(json.dumps({"words": []}), encoding="utf-8")
    edit(copy, old, digest(vocabulary))
    with pytest.raises(BundleError, match="no vocabulary"):
        Bundle.load(copy)
