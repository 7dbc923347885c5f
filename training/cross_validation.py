"""Detectors and view model measured on every real patient, each by models that never saw them.

``python -m training.cross_validation --data DATA --bundle BUNDLE --work WORK --out FILE``

Patients are dealt into folds; for each fold the models are fitted on the others, as publishing
fits them, and measured on it (Table 8 of the paper, with intervals by patient).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import onnxruntime
import torch
import typer
from pydantic import TypeAdapter
from rich.console import Console

from pipeline.anatomy import AnatomyDetector
from pipeline.bundle import BONES_FILE, ROI_FILE, VIEW_FILE, Bundle, ViewQuality
from pipeline.region import View
from pipeline.view_model import ViewModel
from pipeline.witness import Witness, joint_score
from training.constellation import CONSTELLATION_WEIGHT, fit_constellation
from training.dataset import Picture, held_out_patients, real_pictures
from training.detection import Detection, Locate, as_served, every_box
from training.errors import DataError
from training.evaluation_page import terminal_table
from training.paper_tables import box_sheet
from training.quality import view_quality, views_told
from training.settings import Device, TrainingSettings
from training.stages import Stages
from training.witness import Hearing, fit_witness

__all__ = ["CrossValidation", "Fold", "cross_validate", "fold_of", "main"]


@dataclass(frozen=True)
class CrossValidation:
    """What the folds came to, all patients together.

    ``share`` is how much of a full training bone detector and view model got. ``view`` says how
    each view was told by the view model alone, ``witnessed`` how with the bones as a second
    witness. ``witness`` was fitted on the patients that bundles are trained on, so that a bundle
    with it can be measured on the others.
    """

    folds: int
    pictures: int
    patients: int
    detection: Detection
    share: float
    view: ViewQuality
    witnessed: ViewQuality
    witness: Witness


def cross_validate(
    data: Path,
    work: Path,
    donor: Bundle,
    settings: TrainingSettings,
    folds: int = 5,
    draws: int = 1000,
    share: float = 1.0,
    leave_out: Collection[int] = (),
) -> CrossValidation:
    """Fit and measure fold by fold; what a fold has fitted is kept in ``work`` and used again.

    Parameters
    ----------
    data
        Real images, as `training.dataset` describes them.
    work
        Where the folds leave their models.
    donor
        A bundle whose thresholds are used; none of its models is.
    settings
        How detectors and view model are fitted.
    folds, draws
        Number of folds; resamples of an interval.
    share
        How much of these trainings each model gets; the wrist detector, quick to teach and
        nothing without its whole training, always gets all of it.
    leave_out
        Folds that are not fitted, where time is short; their patients are not measured.

    Raises
    ------
    DataError
        Where a fold is left without patients.
    """
    numbers = [n for n in range(folds) if n not in leave_out]
    pictures = [p for p in real_pictures(data) if fold_of(p, folds) in numbers]
    taught = settings.smaller(share).model_copy(update={"roi": settings.roi})
    fitted = {n: _fitted(Fold(data, work / f"fold-{n}", taught, n, folds), donor) for n in numbers}
    own = {picture.name: fold_of(picture, folds) for picture in pictures}
    boxed = [picture for picture in pictures if picture.boxes]
    witness = fit_witness(_heard(fitted, pictures, own))
    return CrossValidation(
        folds=len(numbers),
        pictures=len(pictures),
        patients=len({picture.patient for picture in pictures}),
        detection=Detection.of(
            _by_fold({n: as_served(bundle) for n, bundle in fitted.items()}, own),
            _by_fold({n: every_box(bundle) for n, bundle in fitted.items()}, own),
            boxed,
            [str(picture.patient) for picture in boxed],
            draws,
        ),
        share=share,
        view=_told(fitted, pictures, own),
        witnessed=_told(
            {n: _with_witness(bundle, witness) for n, bundle in fitted.items()}, pictures, own
        ),
        witness=witness,
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
    fitted = {"constellation": fit_constellation(fold.boxed, CONSTELLATION_WEIGHT)}
    manifest = donor.manifest.model_copy(
        update={**fitted, "witness": None, "preprocessing": fold.settings.preprocessing}
    )
    return replace(donor, manifest=manifest, sessions={**donor.sessions, **sessions})


def _by_fold(locators: Mapping[int, Locate], own: Mapping[str, int]) -> Locate:
    return lambda picture: locators[own[picture.name]](picture)


def _told(
    fitted: Mapping[int, Bundle], pictures: Sequence[Picture], own: Mapping[str, int]
) -> ViewQuality:
    """Return how often each view of a wrist is told, over all folds."""
    told: list[tuple[View, View]] = []
    for number, bundle in fitted.items():
        told += views_told(bundle, [p for p in pictures if own[p.name] == number])
    return view_quality(told)


def _heard(
    fitted: Mapping[int, Bundle], pictures: Sequence[Picture], own: Mapping[str, int]
) -> list[Hearing]:
    """Return what the folds' models say of wrists that they never saw, training patients only."""
    models = {n: (ViewModel(one), AnatomyDetector(one)) for n, one in fitted.items()}
    heard = []
    for picture in pictures:
        if picture.patient in held_out_patients():
            continue
        model, detector = models[own[picture.name]]
        pa = model.classify(picture.pixels)[View.PA]
        joint = joint_score(detector.locate(picture.pixels).scores)
        heard.append(Hearing(picture.view, pa, joint))
    return heard


def _with_witness(bundle: Bundle, witness: Witness | None) -> Bundle:
    manifest = bundle.manifest.model_copy(update={"witness": witness})
    return replace(bundle, manifest=manifest)


def main(
    data: Annotated[Path, typer.Option(help="folder of real images, see training/dataset.py")],
    bundle: Annotated[Path, typer.Option(help="bundle whose thresholds are used")],
    work: Annotated[Path, typer.Option(help="folder for the models of the folds")],
    out: Annotated[Path, typer.Option(help="JSON file of the result")],
    folds: Annotated[int, typer.Option(min=2, help="number of folds")] = 5,
    share: Annotated[
        float, typer.Option(min=0.01, max=1, help="of bones' and view's training, 1 as published")
    ] = 1.0,
    leave_out: Annotated[
        list[int] | None, typer.Option(help="fold, from 0, that is not fitted, where time is short")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="processor cores to use")] = 2,
    device: Annotated[Device, typer.Option(help="where to train")] = Device.CPU,
) -> None:
    """Cross-validate detectors and view model by patient."""
    torch.set_num_threads(threads)
    settings = TrainingSettings(threads=threads, device=device)
    donor = Bundle.load(bundle, threads)
    found = cross_validate(
        data, work, donor, settings, folds, share=share, leave_out=leave_out or ()
    )
    out.write_bytes(TypeAdapter(CrossValidation).dump_json(found, indent=2))
    console = Console()
    console.print(terminal_table(box_sheet(found.detection), console.width))
    for who, view in (("alone", found.view), ("with the bones", found.witnessed)):
        told = ", ".join(f"{name} {view.recall[name]:.3f} of {n}" for name, n in view.n.items())
        console.print(f"Views, {who}: balanced accuracy {view.balanced_accuracy:.3f} ({told}).")


if __name__ == "__main__":
    typer.run(main)
