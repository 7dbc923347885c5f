"""Which projection an image shows, from its pixels alone."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.bundle import VIEW_FILE, Bundle
from pipeline.enhancement import grey, square
from pipeline.region import View

__all__ = ["VIEW_ORDER", "ViewModel"]

VIEW_ORDER: Final = (View.PA, View.LATERAL, View.OBLIQUE, View.OTHER)
"""The order of the view model's classes."""


class ViewModel:
    """Tells PA, lateral and oblique wrists and everything else apart."""

    def __init__(self, bundle: Bundle) -> None:
        self._session = bundle.sessions[VIEW_FILE]
        self._preprocessing = bundle.manifest.preprocessing

    def classify(self, pixels: NDArray[np.float32]) -> dict[View, float]:
        """Return a score per view; they add up to one.

        Parameters
        ----------
        pixels
            float32, shape (rows, columns), 0..1, bone bright.
        """
        image, _ = square(grey(pixels, self._preprocessing), self._preprocessing.view_size)
        name = self._session.get_inputs()[0].name
        scores = self._session.run(None, {name: image[np.newaxis]})[0][0]
        return {view: float(score) for view, score in zip(VIEW_ORDER, scores, strict=True)}
