"""What a bundle must be better than: itself before it learnt, and itself without bones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from pipeline.bundle import IMAGE_FILE, TEXT_FILE, Bundle
from pipeline.region import GLOBAL
from training.dataset import Pair

__all__ = ["untrained", "whole_wrist"]


def whole_wrist(pair: Pair) -> Pair:
    """Return an exam with its whole wrist and global caption alone.

    An encoder fitted on such exams is the paper's global-only baseline (section 4.1): the same
    configuration, "omitting all bone-level crops".
    """
    crops = {name: crop for name, crop in pair.crops.items() if name == GLOBAL}
    captions = {name: words for name, words in pair.captions.items() if name == GLOBAL}
    return Pair(crops, captions, pair.findings)


def untrained(bundle: Bundle, folder: Path, seed: int = 0) -> Bundle:
    """Return a bundle whose encoder has forgotten what it learnt.

    The entries of every weight matrix and kernel change places at random: architecture,
    preprocessing and the scale of each layer stay, so that what is left is what crops and
    architecture give by themselves. It holds for any bundle, whoever trained it.

    Parameters
    ----------
    bundle, folder
        The bundle, and where its files are.
    seed
        Of the exchange.
    """
    towers = {file: _shuffled(folder / file, seed) for file in (IMAGE_FILE, TEXT_FILE)}
    return replace(bundle, sessions={**bundle.sessions, **towers})


def _shuffled(path: Path, seed: int) -> onnxruntime.InferenceSession:
    generator = np.random.default_rng(seed)
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.ndim < 2 or not np.issubdtype(values.dtype, np.floating):
            continue
        moved = generator.permutation(values.ravel()).reshape(values.shape)
        tensor.CopyFrom(numpy_helper.from_array(moved, tensor.name))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
