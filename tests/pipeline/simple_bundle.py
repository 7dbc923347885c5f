"""A bundle whose models are a few lines of arithmetic: the steps around them are the real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from pipeline.bundle import (
    BONES_FILE,
    IMAGE_FILE,
    ROI_FILE,
    TEXT_FILE,
    TOKENIZER_FILE,
    VECTOR_NAMES,
    VIEW_FILE,
    Bundle,
    Manifest,
)

PA = (0.97, 0.01, 0.01, 0.01)
LATERAL = (0.01, 0.97, 0.01, 0.01)
WRIST = (160.0, 160.0, 150.0, 290.0, 0.9)
NO_WRIST = (160.0, 160.0, 150.0, 290.0, 0.01)
RADIUS = (130.0, 190.0, 60.0, 150.0)
ULNA = (200.0, 190.0, 40.0, 130.0)
STYLOID = (210.0, 120.0, 20.0, 30.0)


def simple_bundle(
    view: Sequence[float] = PA, wrist: Sequence[float] = WRIST, bones: int = 3
) -> Bundle:
    """Return a bundle that sees the same view and boxes in every image, yet tells images apart.

    Parameters
    ----------
    view
        Scores of PA, lateral, oblique, other.
    wrist
        Centre, width, height and score, in pixels of the detector's 320 × 320 input.
    bones
        How many of radius, ulna and styloid are found.
    """
    boxes = np.zeros((1, 7, 3), np.float32)
    boxes[0, :4] = np.array([RADIUS, ULNA, STYLOID]).T
    boxes[0, 4:] = np.diag([0.9 if bone < bones else 0.0 for bone in range(3)])
    sessions = {
        VIEW_FILE: _Session(lambda _: np.array([view], np.float32)),
        ROI_FILE: _Session(lambda _: np.array(wrist, np.float32).reshape(1, 5, 1)),
        BONES_FILE: _Session(lambda _: boxes),
        IMAGE_FILE: _Session(_vectors),
    }
    return Bundle(_manifest(), sessions, Tokenizer(WordLevel({})))


class _Session:
    def __init__(self, model: Callable[[NDArray[Any]], NDArray[np.float32]]) -> None:
        self._model = model

    def get_inputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="image")]

    def run(self, _: None, inputs: dict[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        return [self._model(inputs["image"])]


_WEIGHTS = np.random.default_rng(0).standard_normal((64, 512)).astype(np.float32)


def _vectors(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    means = images.reshape(len(images), 8, 28, 8, 28).mean((2, 4)).reshape(len(images), 64)
    found: NDArray[np.float32] = (means.astype(np.float32) + 1) @ _WEIGHTS
    return found


def _manifest() -> Manifest:
    line = {"knots": [(-1.0, 0.0), (1.0, 100.0)], "nothing_similar_below": -1.0}
    files = (VIEW_FILE, ROI_FILE, BONES_FILE, IMAGE_FILE, TEXT_FILE, TOKENIZER_FILE)
    return Manifest.model_validate(
        {
            "id": "simple-1",
            "version": "1",
            "intended_use": "Tests.",
            "demonstration_only": True,
            "created_at": datetime(2026, 1, 1, tzinfo=UTC),
            "preprocessing": _PREPROCESSING,
            "vectors": {"size": 512, "precision": "fp32"},
            "thresholds": dict.fromkeys((*_BOXES, "view"), 0.5),
            "calibration": dict.fromkeys(VECTOR_NAMES, line),
            "licences": {},
            "training": _TRAINING,
            "files": dict.fromkeys(files, "0" * 64),
        }
    )


_BOXES = ("wrist", "distal_radius", "distal_ulna", "ulnar_styloid")
_TRAINING = {
    "summary": "Not trained.",
    "command": "none",
    "seed": 0,
    "data": (),
    "real_images": {},
    "phantoms": {},
    "training_patients": (),
    "held_out_patients": (),
}
_PREPROCESSING = {
    "black_percentile": 1,
    "white_percentile": 99,
    "roi_size": 320,
    "wrist_margin": 0.05,
    "enhanced_size": 320,
    "clahe_clip": 2.0,
    "clahe_tiles": 8,
    "unsharp_sigma": 2.0,
    "unsharp_amount": 0.5,
    "bones_size": 320,
    "bone_margin": 0.1,
    "size": 224,
    "view_size": 96,
}
