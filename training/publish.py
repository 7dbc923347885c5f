"""From a data folder to a bundle folder: fit, export, check, calibrate, measure, write.

``python -m training.publish --data DATA --work WORK --out BUNDLE``

Each stage leaves its file in the work folder and is skipped where that file exists, so that an
interrupted run goes on where it stopped; an empty work folder trains from nothing.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import onnxruntime
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.anatomy import AnatomyDetector
from pipeline.bundle import (
    BONES_FILE,
    IMAGE_FILE,
    MANIFEST_FILE,
    ROI_FILE,
    TEXT_FILE,
    TOKENIZER_FILE,
    VIEW_FILE,
    Bundle,
    Manifest,
    Quality,
    Thresholds,
    Training,
    Vectors,
)
from pipeline.calibration import Calibration
from pipeline.encoder import ImageEncoder
from pipeline.region import View
from pipeline.view_model import ViewModel
from training.agreement import agreement
from training.constellation import fit_constellation
from training.contrastive import fit_encoder
from training.dataset import (
    Pair,
    Picture,
    held_out_patients,
    other_pictures,
    phantom_pictures,
    real_pictures,
)
from training.detector import fit_bones, fit_roi
from training.errors import ExportError
from training.exam_import import import_exams
from training.exam_table import EXAMS_FILE, ExamTable, Split
from training.foreign import drawn_other
from training.manifest import write_manifest
from training.phantom_exams import PhantomExams
from training.processes import each
from training.quality import box_quality, retrieval_quality, view_quality
from training.settings import Device, TrainingSettings
from training.split import PatientSplit
from training.towers import Towers, small_clip
from training.view_model import fit_view_model
from training.vocabulary import fit_tokenizer

__all__ = ["main", "publish"]

_OPSET = 18
_CONSTELLATION_WEIGHT = 0.15  # scores of single boxes are overconfident: they count more
_LEAST_PARITY = 0.9999
_VIEWS = (View.PA, View.LATERAL, View.OBLIQUE)


def publish(data: Path, work: Path, out: Path, name: str, settings: TrainingSettings) -> Bundle:
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
    """
    torch.set_num_threads(settings.threads)
    work.mkdir(parents=True, exist_ok=True)
    stages = _Stages(data, work, settings)
    stages.run()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for file in (*stages.files, TOKENIZER_FILE):
        shutil.copyfile(work / file, out / file)
    draft = _draft(out, name, stages)
    write_manifest(draft, out / MANIFEST_FILE)
    bundle = Bundle.load(out, settings.threads)
    write_manifest(_measured(bundle, stages), out / MANIFEST_FILE)
    return Bundle.load(out, settings.threads)


class _Stages:
    """The trained parts, each made once."""

    def __init__(self, data: Path, work: Path, settings: TrainingSettings) -> None:
        self.data = data
        self.work = work
        self.settings = settings
        held_out = held_out_patients()
        pictures = real_pictures(data)
        self.real = tuple(p for p in pictures if p.patient not in held_out)
        self.held_out = tuple(p for p in pictures if p.patient in held_out)
        self.files: Mapping[str, Callable[[Path], None]] = {
            ROI_FILE: self._roi,
            BONES_FILE: self._bones,
            VIEW_FILE: self._view,
            IMAGE_FILE: self._encoder,
            TEXT_FILE: self._encoder,
        }

    @property
    def boxed(self) -> tuple[Picture, ...]:
        """Real training images with boxes."""
        return tuple(p for p in self.real if p.boxes)

    def run(self) -> None:
        """Make what is missing."""
        for file, stage in self.files.items():
            if not (self.work / file).exists():
                stage(self.work)

    def _roi(self, work: Path) -> None:
        s = self.settings
        phantoms = phantom_pictures(range(s.roi.phantoms), View.PA)
        # many of them are one image in several encodings
        others = other_pictures(self.data, held_out=False)[::3]
        made = fit_roi(
            self.boxed,
            phantoms,
            others,
            s.roi,
            preprocessing=s.preprocessing,
            folder=work / "roi",
            seed=s.seed,
            threads=s.threads,
            device=s.device,
        )
        _keep(made, work / ROI_FILE)

    def _bones(self, work: Path) -> None:
        s = self.settings
        phantoms = phantom_pictures(range(s.bones.phantoms), View.PA)
        made = fit_bones(
            self.boxed,
            phantoms,
            s.bones,
            preprocessing=s.preprocessing,
            folder=work / "bones",
            seed=s.seed,
            threads=s.threads,
            device=s.device,
        )
        _keep(made, work / BONES_FILE)

    def _view(self, work: Path) -> None:
        s = self.settings
        generator = np.random.default_rng(s.seed)
        seeds = range(s.view.phantoms)
        drawn = [picture for view in _VIEWS for picture in phantom_pictures(seeds, view, 400)]
        drawn += [drawn_other(generator) for _ in range(s.view.others)]
        real = (*self.real, *other_pictures(self.data, held_out=False))
        network = fit_view_model(real, drawn, s.view, s.preprocessing, s.seed, s.device)
        example = torch.zeros((2, s.preprocessing.view_size, s.preprocessing.view_size)).byte()
        _export(_Probabilities(network), example, work / VIEW_FILE)

    @property
    def exams(self) -> ExamTable:
        """The encoder's exams: invented patients, drawn once."""
        folder, s = self.work / "exams", self.settings
        if not (folder / EXAMS_FILE).exists():
            split = PatientSplit(test=s.encoder.test_share)
            draw = PhantomExams("table3", s.preprocessing, split)
            drawn = each(draw, range(s.encoder.exams), s.threads)
            import_exams(folder, s.preprocessing.size, drawn, s.encoder.exams)
        return ExamTable.open(folder)

    def _encoder(self, work: Path) -> None:
        s = self.settings
        pairs = self.exams.part(Split.TRAIN)
        tokenizer = fit_tokenizer([c for row in pairs.rows for c in row.captions.values()])
        tokenizer.save(str(work / TOKENIZER_FILE))
        towers = small_clip(tokenizer, s.seed, size=s.preprocessing.size)
        state = work / "encoder.pt"
        fit_encoder(pairs, towers, s.encoder, s.seed, checkpoint=state, device=s.device)
        towers.model.cpu()
        few = [pairs[number] for number in range(min(8, len(pairs)))]
        crops = np.stack([crop for pair in few for crop in pair.crops.values()])
        ids = [tokenizer.encode(c).ids for pair in few for c in pair.captions.values()]
        _export(_Images(towers), torch.from_numpy(crops), work / IMAGE_FILE)
        _export(_Texts(towers), torch.tensor(ids), work / TEXT_FILE)


class _Probabilities(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.network(images).softmax(dim=1)
        return scores


class _Images(nn.Module):
    def __init__(self, towers: Towers) -> None:
        super().__init__()
        self.model = towers.model
        self.towers = towers

    def forward(self, images: Tensor) -> Tensor:
        return self.towers.images(images)


class _Texts(nn.Module):
    def __init__(self, towers: Towers) -> None:
        super().__init__()
        self.model = towers.model
        self.towers = towers

    def forward(self, tokens: Tensor) -> Tensor:
        return self.towers.texts(tokens)


def _export(module: nn.Module, example: Tensor, path: Path) -> None:
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
    _keep(raw, path)
    raw.unlink()
    cosine = _parity(path, example.numpy(), wanted)
    path.with_suffix(".parity").write_text(f"{cosine:.7f}", encoding="ascii")
    if cosine < _LEAST_PARITY:
        detail = f"{path.name}: the least cosine to torch is {cosine:.6f}."
        raise ExportError(detail)


def _parity(path: Path, example: NDArray[Any], wanted: NDArray[np.float32]) -> float:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: example})[0]
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    return float(np.min((found * wanted).sum(axis=1) / lengths))


def _keep(made: Path, path: Path) -> None:
    """Copy an ONNX file without what its exporter noted beside the graph (paths, stack traces)."""
    model = onnx.load(made)
    graph = model.graph
    noted = (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output)
    for part in (*noted, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _draft(out: Path, name: str, stages: _Stages) -> Manifest:
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
        preprocessing=stages.settings.preprocessing,
        vectors=Vectors(size=512, precision="fp32"),
        thresholds=Thresholds(
            wrist=0.35, distal_radius=0.005, distal_ulna=0.005, ulnar_styloid=0.005, view=0.5
        ),
        constellation=fit_constellation(stages.boxed, _CONSTELLATION_WEIGHT),
        calibration=dict.fromkeys(("global", *_BONES), unfitted),
        licences=_LICENCES,
        training=_training(stages),
        files={file: hashlib.sha256((out / file).read_bytes()).hexdigest() for file in files},
    )


_BONES = ("distal_radius", "distal_ulna", "ulnar_styloid")
_LICENCES = {
    "bundle": "AGPL-3.0-only, because its detectors are ultralytics YOLO11",
    "GRAZPEDWRI-DX": "CC BY 4.0; E. Nagy, M. Janisch, F. Hrzic, E. Sorantin, S. Tschauner, "
    "Scientific Data 9:222 (2022), doi:10.1038/s41597-022-01328-z",
}


def _training(stages: _Stages) -> Training:
    s = stages.settings
    patients = {p.patient for p in stages.real if p.patient is not None}
    return Training(
        summary="Detectors: phantoms, then real PA wrists with boxes drawn by hand. View model: "
        "real wrists, phantoms, and images of other things. Encoder: phantoms only.",
        command="python -m training.publish --data DATA --work WORK --out BUNDLE",
        seed=s.seed,
        data=("GRAZPEDWRI-DX (a sample)", "phantoms of training/phantom", "public DICOM samples"),
        real_images={
            "detectors": len(stages.boxed),
            **{f"view_{v.value}": sum(p.view is v for p in stages.real) for v in _VIEWS},
            "view_other": len(other_pictures(stages.data, held_out=False)),
        },
        phantoms={
            "roi": s.roi.phantoms,
            "bones": s.bones.phantoms,
            "view": s.view.phantoms * len(_VIEWS),
            "encoder": len(stages.exams.part(Split.TRAIN)),
        },
        training_patients=tuple(sorted(patients)),
        held_out_patients=tuple(sorted(held_out_patients())),
    )


def _measured(bundle: Bundle, stages: _Stages) -> Manifest:
    """Return the manifest with calibration and quality."""
    s = stages.settings
    pairs = stages.exams.part(Split.TEST)
    trained = _vectors(pairs, ImageEncoder(bundle).encode)
    first = small_clip(bundle.tokenizer, s.seed, size=s.preprocessing.size)
    first.model.eval()
    untrained = _vectors(pairs, lambda crops: _encode(first, crops))
    others = other_pictures(stages.data, held_out=True)
    quality = Quality(
        measured_on="Boxes and views: real images of the held-out patients of GRAZPEDWRI-DX, "
        "and public DICOM samples of other things, none of them trained on. Retrieval: phantoms "
        "that were not trained on, which says nothing about real fractures.",
        boxes=box_quality(AnatomyDetector(bundle), [p for p in stages.held_out if p.boxes]),
        view=view_quality(ViewModel(bundle), (*stages.held_out, *others)),
        retrieval=retrieval_quality(pairs, trained, untrained, len(pairs) // 4, 100),
        parity={
            file: float((stages.work / file).with_suffix(".parity").read_text(encoding="ascii"))
            for file in (VIEW_FILE, IMAGE_FILE, TEXT_FILE)
        },
    )
    calibration = {name: agreement(pairs, trained[name], name) for name in trained}
    return bundle.manifest.model_copy(update={"quality": quality, "calibration": calibration})


def _vectors(
    pairs: Sequence[Pair], encode: Callable[[list[NDArray[np.uint8]]], NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    """Return vectors by name, NaN where a phantom lacks the bone."""
    vectors = {}
    for name in ("global", *_BONES):
        has = [n for n, pair in enumerate(pairs) if name in pair.crops]
        rows = np.full((len(pairs), 512), np.nan, np.float32)
        rows[has] = encode([pairs[n].crops[name] for n in has])
        vectors[name] = rows
    return vectors


def _encode(towers: Towers, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    with torch.no_grad():
        parts = [
            towers.images(torch.from_numpy(np.stack(crops[i : i + 16])))
            for i in range(0, len(crops), 16)
        ]
    found: NDArray[np.float32] = torch.cat(parts).numpy()
    return found


def main(
    data: Annotated[Path, typer.Option(help="folder of real images, see training/dataset.py")],
    work: Annotated[Path, typer.Option(help="folder for what the stages leave")],
    out: Annotated[Path, typer.Option(help="folder of the bundle; replaced")],
    name: Annotated[str, typer.Option(help="the bundle's id")] = "wristmir-demonstration-1",
    threads: Annotated[int, typer.Option(help="processor cores to use")] = 2,
    device: Annotated[Device, typer.Option(help="where to train")] = Device.CPU,
) -> None:
    """Train, export, calibrate and measure a bundle."""
    settings = TrainingSettings(threads=threads, device=device)
    bundle = publish(data, work, out, name, settings)
    quality = bundle.manifest.quality
    print(quality.model_dump_json(indent=2) if quality else "")  # noqa: T201


if __name__ == "__main__":
    typer.run(main)
