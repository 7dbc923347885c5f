"""From a data folder to a bundle folder: fit, export, check, calibrate, measure, write.

``python -m training.publish --data DATA --work WORK --out BUNDLE --name ID``

Each stage leaves its file in the work folder and is skipped where that file exists, so that an
interrupted run goes on where it stopped; an empty work folder trains from nothing.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import torch
import typer
from rich.console import Console

from pipeline.bundle import (
    CARD_FILE,
    IMAGE_FILE,
    MANIFEST_FILE,
    TEXT_FILE,
    TOKENIZER_FILE,
    VIEW_FILE,
    Bundle,
    Manifest,
    Thresholds,
    Training,
    Vectors,
)
from pipeline.calibration import Calibration
from training.appraisal import appraised, retrieval_of
from training.constellation import CONSTELLATION_WEIGHT, fit_constellation
from training.dataset import (
    held_out_patients,
    other_pictures,
)
from training.errors import DataError
from training.exam_table import Split
from training.manifest import write_manifest
from training.model_card import model_card
from training.quantization import quantise, unharmed
from training.settings import Device, EncoderSettings, TrainingSettings
from training.stages import VIEWS, Stages
from training.witness import WeighedWitness, witness_in

__all__ = ["main", "publish"]


def publish(
    data: Path,
    work: Path,
    out: Path,
    name: str,
    settings: TrainingSettings,
    table: Path | None = None,
    bank: Path | None = None,
    witness: WeighedWitness | None = None,
) -> Bundle:
    """Make a bundle from a data folder (its layout: `training.dataset`).

    Parameters
    ----------
    data
        Real images; patients of ``held_out_patients.txt`` are used for measuring only.
    work
        Where stages leave their files.
    out
        The bundle's folder; replaced where it exists.
    name
        The bundle's id.
    settings
        Everything else that decides the outcome.
    table
        Exam table for the encoder, a hospital's own for example; by default phantoms.
    bank
        State of a first training of the encoder, which lends captions to exams without report.
    witness
        How much the bones count for the view; None for nothing. Where it was fitted on the
        held-out patients, the views' quality is its own, with each left out in turn.

    Raises
    ------
    DataError
        Where the data folder or the table cannot be used.
    """
    torch.set_num_threads(settings.threads)
    work.mkdir(parents=True, exist_ok=True)
    stages = Stages(data, work, settings, table, bank)
    if not stages.exams.part(Split.VALIDATION):
        detail = "The exam table has no validation exams, on which a bundle is calibrated."
        raise DataError(detail)
    stages.run()
    whole = _Tower(work / IMAGE_FILE, "fp32", _parity(stages, IMAGE_FILE))
    bundle = _written(out, name, stages, whole, witness)
    return _smaller(bundle, out, stages, witness) if settings.int8 else bundle


@dataclass(frozen=True)
class _Tower:
    """The image tower that goes into a bundle: file, precision, cosine to the trained one."""

    file: Path
    precision: Literal["fp32", "int8"]
    parity: float


def _written(
    out: Path, name: str, stages: Stages, tower: _Tower, witness: WeighedWitness | None
) -> Bundle:
    """Write a bundle, measure it, and write down what was measured."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for file in (*stages.files, TOKENIZER_FILE):
        shutil.copyfile(tower.file if file == IMAGE_FILE else stages.work / file, out / file)
    draft = _draft(out, name, stages, tower.precision)
    heard = None if witness is None else witness.witness
    write_manifest(draft.model_copy(update={"witness": heard}), out / MANIFEST_FILE)
    bundle = Bundle.load(out, stages.settings.threads)
    parity = {file: _parity(stages, file) for file in (VIEW_FILE, TEXT_FILE)}
    view = None if witness is None else witness.view
    manifest = appraised(bundle, stages, {**parity, IMAGE_FILE: tower.parity}, view)
    card = model_card(manifest).encode()
    (out / CARD_FILE).write_bytes(card)
    digests = {**manifest.files, CARD_FILE: hashlib.sha256(card).hexdigest()}
    write_manifest(manifest.model_copy(update={"files": digests}), out / MANIFEST_FILE)
    return Bundle.load(out, stages.settings.threads)


def _smaller(bundle: Bundle, out: Path, stages: Stages, witness: WeighedWitness | None) -> Bundle:
    """Return the bundle with an 8-bit image tower where that gains and harms nothing."""
    console, made = Console(stderr=True), stages.work / "image-int8.onnx"
    exams = stages.seen.part(Split.VALIDATION)
    some = [exams[number] for number in range(min(64, len(exams)))]
    crops = [crop for pair in some for crop in pair.crops.values()]
    found = quantise(stages.work / IMAGE_FILE, made, crops)
    if not found.worthwhile:
        console.print(
            f"8-bit encoder left out: its least cosine is {found.cosine:.5f}, "
            f"its size {found.bytes_after} of {found.bytes_before} bytes."
        )
        return bundle
    beside = out.with_name(f"{out.name}.int8")
    tower = _Tower(made, "int8", found.cosine)
    small = _written(beside, bundle.id, stages, tower, witness)
    before, after = (retrieval_of(one, exams) for one in (bundle, small))
    if not unharmed(before, after):
        console.print("8-bit encoder left out: it retrieves worse.")
        shutil.rmtree(beside)
        return bundle
    shutil.rmtree(out)
    beside.replace(out)
    return Bundle.load(out, stages.settings.threads)


def _parity(stages: Stages, file: str) -> float:
    return float((stages.work / file).with_suffix(".parity").read_text(encoding="ascii"))


def _draft(out: Path, name: str, stages: Stages, precision: Literal["fp32", "int8"]) -> Manifest:
    """Return the manifest before anything was calibrated or measured."""
    files = (*stages.files, TOKENIZER_FILE)
    unfitted = Calibration(knots=((-1.0, 0.0), (1.0, 100.0)), nothing_similar_below=-1.0)
    return Manifest(
        id=name,
        version="1.0.0",
        intended_use="Demonstration only, not for clinical use: the encoder has learnt from "
        "synthetic wrists alone.",
        demonstration_only=True,
        created_at=datetime.now(UTC).replace(microsecond=0),
        preprocessing=stages.settings.preprocessing.model_copy(
            update={"mirror_right": stages.settings.encoder.mirror_right}
        ),
        vectors=Vectors(size=512, precision=precision),
        thresholds=Thresholds(
            wrist=0.35, distal_radius=0.005, distal_ulna=0.005, ulnar_styloid=0.005, view=0.5
        ),
        constellation=fit_constellation(stages.boxed, CONSTELLATION_WEIGHT),
        calibration=dict.fromkeys(("global", *_BONES), unfitted),
        licences=_LICENCES,
        training=_training(stages, name),
        files={file: hashlib.sha256((out / file).read_bytes()).hexdigest() for file in files},
    )


_BONES = ("distal_radius", "distal_ulna", "ulnar_styloid")
_LICENCES = {
    "bundle": "AGPL-3.0-only, because its detectors are ultralytics YOLO11",
    "GRAZPEDWRI-DX": "CC BY 4.0; E. Nagy, M. Janisch, F. Hrzic, E. Sorantin, S. Tschauner, "
    "Scientific Data 9:222 (2022), doi:10.1038/s41597-022-01328-z",
}


def _training(stages: Stages, name: str) -> Training:
    s = stages.settings
    patients = {p.patient for p in stages.real if p.patient is not None}
    return Training(
        summary="Detectors: phantoms, then real PA wrists with boxes drawn by hand. View model: "
        "real wrists, phantoms, and images of other things. Encoder: phantoms only.",
        command=f"python -m training.publish --data DATA --work WORK --out BUNDLE --name {name}",
        seed=s.seed,
        data=("GRAZPEDWRI-DX (a sample)", "phantoms of training/phantom", "public DICOM samples"),
        real_images={
            "detectors": len(stages.boxed),
            **{f"view_{v.value}": sum(p.view is v for p in stages.real) for v in VIEWS},
            "view_other": len(other_pictures(stages.data, held_out=False)),
        },
        phantoms={
            "roi": s.roi.phantoms,
            "bones": s.bones.phantoms,
            "view": s.view.phantoms * len(VIEWS),
            "encoder": len(stages.exams.part(Split.TRAIN)),
        },
        training_patients=tuple(sorted(patients)),
        held_out_patients=tuple(sorted(held_out_patients())),
    )


def main(
    data: Annotated[Path, typer.Option(help="folder of real images, see training/dataset.py")],
    work: Annotated[Path, typer.Option(help="folder for what the stages leave")],
    out: Annotated[Path, typer.Option(help="folder of the bundle; replaced")],
    name: Annotated[str, typer.Option(help="the bundle's id, given to no other before")],
    threads: Annotated[int, typer.Option(help="processor cores to use")] = 2,
    device: Annotated[Device, typer.Option(help="where to train")] = Device.CPU,
    recipe: Annotated[Path | None, typer.Option(help="the encoder's, training/recipes")] = None,
    table: Annotated[Path | None, typer.Option(help="the encoder's exam table")] = None,
    bank: Annotated[
        Path | None, typer.Option(help="a first encoder's state: lends captions, see CONTRIBUTING")
    ] = None,
    witness: Annotated[
        Path | None, typer.Option(help="of training.witness or training.cross_validation")
    ] = None,
    share: Annotated[
        float, typer.Option(min=0.01, max=1, help="of every training: 0.02 is a rehearsal")
    ] = 1.0,
    int8: Annotated[bool, typer.Option(help="an 8-bit encoder, where that harms nothing")] = False,
) -> None:
    """Train, export, calibrate and measure a bundle."""
    encoder = EncoderSettings.read(recipe) if recipe else EncoderSettings()
    settings = TrainingSettings(threads=threads, device=device, encoder=encoder, int8=int8)
    weighed = None if witness is None else witness_in(witness)
    bundle = publish(data, work, out, name, settings.smaller(share), table, bank, weighed)
    quality = bundle.manifest.quality
    print(quality.model_dump_json(indent=2) if quality else "")  # noqa: T201


if __name__ == "__main__":
    typer.run(main)
