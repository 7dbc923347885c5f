"""How well two people who draw boxes would agree: what no detector can be expected to beat.

``python -m training.label_precision --data DATA``
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from pipeline.constellation import overlap
from training.dataset import BOX_NAMES, Picture, held_out_patients, real_pictures

__all__ = ["DRAWN_TO", "Agreement", "two_drawers"]

DRAWN_TO = 0.015
"""Precision of the boxes in the data folder, as a share of the image, by whoever drew them."""


@dataclass(frozen=True)
class Agreement:
    """Share of boxes on which two drawers agree at an overlap of 0.5, and their mean overlap."""

    at_half: float
    mean_overlap: float


def two_drawers(
    pictures: Sequence[Picture], precision: float = DRAWN_TO, draws: int = 400, seed: int = 0
) -> Mapping[str, Agreement]:
    """Let two people draw every box anew, each side of it off by chance.

    Parameters
    ----------
    pictures
        With boxes; each is taken as exact.
    precision
        Standard deviation of where a side is drawn, as a share of the image's rows or columns.
    draws, seed
        How often each box is drawn, and the source of chance.
    """
    generator = np.random.default_rng(seed)
    found: dict[str, list[np.ndarray[tuple[int], np.dtype[np.float64]]]] = {}
    for picture in pictures:
        rows, columns = picture.pixels.shape
        spread = np.array([columns, rows, columns, rows]) * precision
        for name, box in picture.boxes.items():
            one, other = np.array(box) + generator.normal(size=(2, draws, 4)) * spread
            found.setdefault(name, []).append(overlap(one, other))
    return {
        name: Agreement(
            float(np.mean(np.array(found[name]) >= 0.5)), float(np.mean(np.array(found[name])))
        )
        for name in BOX_NAMES
        if name in found
    }


def main(
    data: Annotated[Path, typer.Option(help="folder of real images, see training/dataset.py")],
) -> None:
    """Say how well two drawers would agree on the held-out patients' boxes."""
    held_out = held_out_patients()
    pictures = [p for p in real_pictures(data) if p.boxes and p.patient in held_out]
    table = Table("", "agree at 0.5", "mean overlap", title=f"{len(pictures)} images")
    for name, agreement in two_drawers(pictures).items():
        table.add_row(
            name.replace("_", " "), f"{agreement.at_half:.2f}", f"{agreement.mean_overlap:.2f}"
        )
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
