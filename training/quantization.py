"""An encoder in 8-bit integers, kept only where it is smaller and changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic

from pipeline.bundle import RetrievalQuality

__all__ = ["LEAST_COSINE", "Quantised", "quantise", "unharmed"]

LEAST_COSINE = 0.999
"""Cosine that every vector of the 8-bit tower must reach to that of the 32-bit one."""

_MOST_LOST = 0.005
_MOST_KEPT = 0.6  # of the size: a network of convolutions hardly shrinks


@dataclass(frozen=True)
class Quantised:
    """An 8-bit tower beside its original.

    Parameters
    ----------
    cosine
        The least cosine of their vectors, over the crops tried.
    bytes_before, bytes_after
        Sizes of the two files.
    """

    cosine: float
    bytes_before: int
    bytes_after: int

    @property
    def worthwhile(self) -> bool:
        """Whether its vectors can stand for the original's, and it is much smaller."""
        return self.cosine >= LEAST_COSINE and self.bytes_after < _MOST_KEPT * self.bytes_before


def quantise(original: Path, made: Path, crops: Sequence[NDArray[np.uint8]]) -> Quantised:
    """Write a tower with 8-bit weights, and compare what both say of some crops.

    Weights of matrix products become integers, one scale for each output channel; activations are
    scaled as they come (dynamic quantisation). Convolutions stay as they are: on a processor their
    integer form is slower.

    Parameters
    ----------
    original
        An exported image tower: uint8 crops in, unit vectors out.
    made
        The file to write.
    crops
        At least one, of the size the tower takes.
    """
    graph = onnx.load(original)
    del graph.graph.value_info[:]  # the exporter's notes on shapes; they are inferred anew
    quantize_dynamic(
        graph,
        made,
        op_types_to_quantize=["MatMul", "Gemm"],
        per_channel=True,
        weight_type=QuantType.QInt8,
    )
    before, after = (_vectors(path, crops) for path in (original, made))
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    cosine = float(np.min((before * after).sum(axis=1) / lengths))
    return Quantised(cosine, original.stat().st_size, made.stat().st_size)


def unharmed(before: RetrievalQuality, after: RetrievalQuality) -> bool:
    """Tell whether no figure of two-stage or region-only retrieval fell by more than 0.005."""
    pairs: tuple[tuple[Mapping[str, float], Mapping[str, float]], ...] = (
        (before.two_stage, after.two_stage),
        (before.region_only, after.region_only),
    )
    return all(late[bone] >= early[bone] - _MOST_LOST for early, late in pairs for bone in early)


def _vectors(path: Path, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    found: NDArray[np.float32] = session.run(None, {name: np.stack(crops)})[0]
    return found
