"""A trained network as ONNX, saying what it said before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.errors import ExportError
from training.towers import Towers

__all__ = ["LEAST_PARITY", "ImageTower", "Probabilities", "TextTower", "export", "keep"]

LEAST_PARITY = 0.9999
"""Cosine that every row of an exported network must reach to the trained one's."""

_OPSET = 18


def export(module: nn.Module, example: Tensor, path: Path) -> None:
    """Write a module as ONNX with any batch size, and check that it says the same.

    Raises
    ------
    ExportError
        Where a row's cosine to torch's is below 0.9999.
    """
    module.eval()
    raw = path.with_suffix(".raw.onnx")
    axis = {0: torch.export.Dim("batch", min=1, max=4096)}
    with torch.no_grad():
        wanted = module(example).numpy()
        torch.onnx.export(
            module, (example,), raw, input_names=["batch"], output_names=["result"],
            dynamic_shapes=(axis,), opset_version=_OPSET, dynamo=True, external_data=False,
            verbose=False,
        )  # fmt: skip
    keep(raw, path)
    raw.unlink()
    cosine = _parity(path, example.numpy(), wanted)
    path.with_suffix(".parity").write_text(f"{cosine:.7f}", encoding="ascii")
    if cosine < LEAST_PARITY:
        detail = f"{path.name}: the least cosine to torch is {cosine:.6f}."
        raise ExportError(detail)


def _parity(path: Path, example: NDArray[Any], wanted: NDArray[np.float32]) -> float:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: example})[0]
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    return float(np.min((found * wanted).sum(axis=1) / lengths))


def keep(made: Path, path: Path) -> None:
    """Copy an ONNX file without what its exporter noted beside the graph (paths, stack traces)."""
    model = onnx.load(made)
    graph = model.graph
    noted = (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output)
    for part in (*noted, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
    onnx.checker.check_model(model)
    onnx.save(model, path)


class Probabilities(nn.Module):
    """A classifier whose logits come out as scores that add up to one."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (n, classes)."""
        scores: Tensor = self.network(images).softmax(dim=1)
        return scores


class ImageTower(nn.Module):
    """Crops in, uint8 (n, size, size); unit vectors out, float32 (n, 512)."""

    def __init__(self, towers: Towers) -> None:
        super().__init__()
        self.model = towers.model
        self.towers = towers

    def forward(self, images: Tensor) -> Tensor:
        """Return vectors (n, 512)."""
        return self.towers.images(images)


class TextTower(nn.Module):
    """Token numbers in, int64 (n, context); unit vectors out, float32 (n, 512)."""

    def __init__(self, towers: Towers) -> None:
        super().__init__()
        self.model = towers.model
        self.towers = towers

    def forward(self, tokens: Tensor) -> Tensor:
        """Return vectors (n, 512)."""
        return self.towers.texts(tokens)
