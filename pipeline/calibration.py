"""From a cosine to a similarity index that people can read, and when to abstain."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["Calibration"]

Cosine = Annotated[float, Field(ge=-1.0, le=1.0, allow_inf_nan=False)]
Index = Annotated[float, Field(ge=0.0, le=100.0, allow_inf_nan=False)]


class Calibration(BaseModel):
    """How one named vector's cosine reads as a similarity index from 0 to 100.

    The index is piecewise linear between the knots and constant outside them, so a higher cosine
    never gets a lower index. It is no probability. A bundle measures its knots on exams that its
    training did not see and keeps them in its manifest, one calibration for each named vector:
    cosines of different vectors, or of different bundles, do not compare; their indices do.

    Parameters
    ----------
    knots
        ``(cosine, index)`` pairs, at least two: cosines strictly rising in -1..1, indices in
        0..100 never falling.
    nothing_similar_below
        Cosine in -1..1 under which a match is not similar enough to be worth showing as such.
    abstention_error
        Share of exams like those it was measured on whose nearest neighbour lies under that
        cosine all the same: they are told wrongly that nothing is similar. None: not stated.

    Raises
    ------
    pydantic.ValidationError
        Where the knots are too few, out of range or not monotone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    knots: tuple[tuple[Cosine, Index], ...] = Field(min_length=2)
    nothing_similar_below: Cosine
    abstention_error: Annotated[float, Field(ge=0.0, le=1.0)] | None = None

    @model_validator(mode="after")
    def _rises(self) -> Self:
        for (cosine, index), (next_cosine, next_index) in pairwise(self.knots):
            if next_cosine <= cosine:
                message = "calibration knots: the cosines must rise strictly from knot to knot"
                raise ValueError(message)
            if next_index < index:
                message = "calibration knots: the index must not fall from knot to knot"
                raise ValueError(message)
        return self

    def index(self, cosine: float) -> float:
        """Return the similarity index, 0..100, of a cosine (rounding beyond ±1 is harmless)."""
        after = bisect_right(self.knots, cosine, key=lambda knot: knot[0])
        if after == 0:
            return self.knots[0][1]
        if after == len(self.knots):
            return self.knots[-1][1]
        (x0, y0), (x1, y1) = self.knots[after - 1], self.knots[after]
        # clamped, because interpolation may overshoot a knot by one rounding step
        return min(max(y0 + (y1 - y0) * (cosine - x0) / (x1 - x0), y0), y1)

    def similar(self, cosine: float) -> bool:
        """Return whether a cosine reaches the bundle's threshold for a similar case."""
        return cosine >= self.nothing_similar_below
