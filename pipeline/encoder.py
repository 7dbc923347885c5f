"""Images and captions as unit vectors of one space (WristMIR, equation 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.bundle import IMAGE_FILE, TEXT_FILE, Bundle

__all__ = ["ImageEncoder", "TextEncoder"]

_BATCH = 16


class ImageEncoder:
    """The image tower: crops of `pipeline.anatomy.crops` to vectors."""

    def __init__(self, bundle: Bundle) -> None:
        self._session = bundle.sessions[IMAGE_FILE]
        self._length = bundle.manifest.vectors.size
        self._side = bundle.manifest.preprocessing.size

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return one unit vector per crop.

        Parameters
        ----------
        images
            uint8 crops, each of shape (size, size) with the bundle's ``size``.

        Returns
        -------
        ndarray
            float32, shape (n, 512), rows of unit length in the order given.

        Raises
        ------
        ValueError
            Where a crop has another shape or type.
        """
        for image in images:
            if image.shape != (self._side, self._side) or image.dtype != np.uint8:
                side = self._side
                msg = f"crops are uint8 of {side} × {side}, not {image.dtype} {image.shape}"
                raise ValueError(msg)
        batches = [np.stack(images[i : i + _BATCH]) for i in range(0, len(images), _BATCH)]
        return _run(self._session, batches, self._length)


class TextEncoder:
    """The text tower: captions of `pipeline.captions` to vectors."""

    def __init__(self, bundle: Bundle) -> None:
        self._session = bundle.sessions[TEXT_FILE]
        self._tokenizer = bundle.tokenizer
        self._length = bundle.manifest.vectors.size

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector per text: float32, shape (n, 512).

        A text longer than the tower's context is cut at its end.
        """
        batches = []
        for start in range(0, len(texts), _BATCH):
            encodings = self._tokenizer.encode_batch(list(texts[start : start + _BATCH]))
            batches.append(np.array([encoding.ids for encoding in encodings], np.int64))
        return _run(self._session, batches, self._length)


def _run(session: Any, batches: Sequence[NDArray[Any]], length: int) -> NDArray[np.float32]:
    name = session.get_inputs()[0].name
    found = [session.run(None, {name: batch})[0] for batch in batches]
    if not found:
        return np.zeros((0, length), np.float32)
    vectors: NDArray[np.float32] = np.concatenate(found).astype(np.float32)
    # the graph's own normalisation is exact to about 1e-6 only
    lengths: NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths)
