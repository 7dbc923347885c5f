"""Detectors and view model measured on every real patient, each by models that never saw them.

``python -m training.cross_validation --data DATA --bundle BUNDLE --work WORK --out FILE``

Patients are dealt into folds; for each fold the models are fitted on the others, as publishing
fits them, and measured on it (Table 8 of the paper, with intervals by patient).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import onnxruntime
import torch
import typer
from pydantic import TypeAdapter
from rich.console import Console

from pipeline.bundle import BONES_FILE, ROI_FILE, VIEW_FILE, Bundle, ViewQuality
from pipeline.view_model import ViewModel
from training.constellation import CONSTELLATION_WEIGHT, fit_constellation
from training.dataset import Picture, real_pictures
from training.detection import Detection, Locate, as_served, every_box
from training.errors import DataError
from training.evaluation_page import terminal_table
from training.paper_tables import box_sheet
from training.quality import view_quality
from training.settings import Device, TrainingSettings
from training.stages import Stages

__all__ = ["CrossValidation", "Fold", "cross_validate", "fold_of", "main"]


@dataclass(frozen=True)
class CrossValidation:
    """What the folds came to, all patients together; ``view`` says how each view was told."""

    folds: int
    pictures: int
    patients: int
    detection: Detection
    view: ViewQuality


def cross_validate(
    data: Path,
    work: Path,
    donor: Bundle,
    settings: TrainingSettings,
    folds: int = 5,
    draws: int = 1000,
) -> CrossValidation:
    """Fit and measure fold by fold; what a fold has fitted is kept in ``work`` and used again.

    Parameters
    ----------
    data
        Real images, as `training.dataset` describes them.
    work
        Where the folds leave their models.
    donor
        A bundle whose thresholds and preprocessing are used; none of its models is.
    settings
        How detectors and view model are fitted.
    folds, draws
        Number of folds; resamples of an interval.

    Raises
    ------
    DataError
        Where a fold is left without patients.
    """
    pictures = real_pictures(data)
    fitted = [
        _fitted(Fold(data, work / f"fold-{n}", settings, n, folds), donor) for n in range(folds)
    ]
    own = {picture.name: fold_of(picture, folds) for picture in pictures}
    boxed = [picture for picture in pictures if picture.boxes]
    return CrossValidation(
        folds=folds,
        pictures=len(pictures),
        patients=len({picture.patient for picture in pictures}),
        detection=Detection.of(
            _by_fold([as_served(bundle) for bundle in fitted], own),
            _by_fold([every_box(bundle) for bundle in fitted], own),
            boxed,
            [str(picture.patient) for picture in boxed],
            draws,
        ),
        view=_view([ViewModel(bundle) for bundle in fitted], pictures, own),
    )


class Fold(Stages):
    """Publishing's stages, with the patients of one fold held out instead of the fixed ones.

    Parameters
    ----------
    data, work, settings
        As for `Stages`.
    number, folds
        Which fold of how many.
    """

    def __init__(
        self, data: Path, work: Path, settings: TrainingSettings, number: int, folds: int
    ) -> None:
        super().__init__(data, work, settings)
        self.number = number
        everyone = (*self.real, *self.held_out)
        self.held_out = tuple(p for p in everyone if fold_of(p, folds) == number)
        self.real = tuple(p for p in everyone if fold_of(p, folds) != number)
        if not self.held_out or not self.real:
            detail = f"Fold {number + 1} of {folds} has no patients; use fewer folds."
            raise DataError(detail)
        chosen = (ROI_FILE, BONES_FILE, VIEW_FILE)
        self.files = {file: self.files[file] for file in chosen}


def fold_of(picture: Picture, folds: int) -> int:
    """Return the fold of a picture's patient: by hash, so that more patients move none."""
    digest = sha256(f"wristmir fold\0{picture.patient}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % folds


def _fitted(fold: Fold, donor: Bundle) -> Bundle:
    """Return the donor with the models of a fold in the place of its own."""
    fold.work.mkdir(parents=True, exist_ok=True)
    fold.run()
    sessions = {
        file: onnxruntime.InferenceSession(fold.work / file, providers=["CPUExecutionProvider"])
        for file in fold.files
    }
    manifest = donor.manifest.model_copy(
        update={"constellation": fit_constellation(fold.boxed, CONSTELLATION_WEIGHT)}
    )
    return replace(donor, manifest=manifest, sessions={**donor.sessions, **sessions})


def _by_fold(locators: Sequence[Locate], own: Mapping[str, int]) -> Locate:
    return lambda picture: locators[own[picture.name]](picture)


def _view(
    models: Sequence[ViewModel], pictures: Sequence[Picture], own: Mapping[str, int]
) -> ViewQuality:
    """Return how often each view of a wrist is told, over all folds."""
    parts = [
        view_quality(model, [p for p in pictures if own[p.name] == number])
        for number, model in enumerate(models)
    ]
    views = sorted({view for part in parts for view in part.n})
    count = {view: sum(part.n.get(view, 0) for part in parts) for view in views}
    right = {
        view: sum(part.recall[view] * part.n[view] for part in parts if view in part.n)
        for view in views
    }
    recall = {view: right[view] / count[view] for view in views}
    return ViewQuality(n=count, recall=recall, balanced_accuracy=sum(recall.values()) / len(recall))


def main(
    data: Annotated[Path, typer.Option(help="folder of real images, see training/dataset.py")],
    bundle: Annotated[Path, typer.Option(help="bundle whose thresholds are used")],
    work: Annotated[Path, typer.Option(help="folder for the models of the folds")],
    out: Annotated[Path, typer.Option(help="JSON file of the result")],
    folds: Annotated[int, typer.Option(min=2, help="number of folds")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="processor cores to use")] = 2,
    device: Annotated[Device, typer.Option(help="where to train")] = Device.CPU,
) -> None:
    """Cross-validate detectors and view model by patient."""
    torch.set_num_threads(threads)
    settings = TrainingSettings(threads=threads, device=device)
    found = cross_validate(data, work, Bundle.load(bundle, threads), settings, folds)
    out.write_bytes(TypeAdapter(CrossValidation).dump_json(found, indent=2))
    console = Console()
    console.print(terminal_table(box_sheet(found.detection), console.width))
    told = ", ".join(
        f"{view} {found.view.recall[view]:.3f} of {n}" for view, n in found.view.n.items()
    )
    console.print(f"Views: balanced accuracy {found.view.balanced_accuracy:.3f} ({told}).")


if __name__ == "__main__":
    typer.run(main)
