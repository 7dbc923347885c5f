"""The two detectors: the wrist in the whole image, the bones in its enhanced crop (Appendix G)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
import torch
from PIL import Image

from pipeline.anatomy import WRIST, Box, wrist_crop
from pipeline.bundle import Preprocessing
from pipeline.enhancement import Grey, Placement, grey, square
from pipeline.region import Region
from training.augmentation import augmented
from training.dataset import Corners, Picture, jittered
from training.settings import DetectorSettings

__all__ = ["Sample", "bones_sample", "fit_bones", "fit_roi", "roi_sample"]


@dataclass(frozen=True, eq=False)
class Sample:
    """A detector's input, uint8 (size, size), and its boxes: corners by class name, in pixels."""

    image: Grey
    boxes: Mapping[str, Corners]


Sampler = Callable[[Picture, Preprocessing, np.random.Generator], Sample]


def fit_roi(
    real: Sequence[Picture],
    phantoms: Sequence[Picture],
    others: Sequence[Picture],
    settings: DetectorSettings,
    *,
    preprocessing: Preprocessing,
    folder: Path,
    seed: int,
    threads: int,
    device: str = "cpu",
) -> Path:
    """Fit the wrist detector; return its ONNX file in ``folder``.

    ``others`` hold no wrist and teach the detector to stay silent.
    """
    fitting = _Fitting(
        (WRIST,), roi_sample, preprocessing.roi_size, settings, folder, seed, threads, device
    )
    return fitting.run(preprocessing, real, phantoms, others)


def fit_bones(
    real: Sequence[Picture],
    phantoms: Sequence[Picture],
    others: Sequence[Picture],
    settings: DetectorSettings,
    *,
    preprocessing: Preprocessing,
    folder: Path,
    seed: int,
    threads: int,
    device: str = "cpu",
) -> Path:
    """Fit the bone detector; return its ONNX file in ``folder``.

    ``others`` are wrists in other projections than PA: on those it learns to stay silent, so that
    the bones that it finds witness the view (`pipeline.witness`).
    """
    names = tuple(region.value for region in Region)
    fitting = _Fitting(
        names, bones_sample, preprocessing.bones_size, settings, folder, seed, threads, device
    )
    return fitting.run(preprocessing, real, phantoms, others)


def roi_sample(
    picture: Picture, preprocessing: Preprocessing, generator: np.random.Generator
) -> Sample:
    """Return an augmented whole image, as `pipeline.anatomy.AnatomyDetector` shows it to YOLO."""
    turned = augmented(picture, generator, shrink=(0.45, 1.1))
    image, place = square(grey(turned.pixels, preprocessing), preprocessing.roi_size)
    boxes = {name: box for name, box in turned.boxes.items() if name == WRIST}
    return Sample(image, {name: _placed(box, place) for name, box in boxes.items()})


def bones_sample(
    picture: Picture, preprocessing: Preprocessing, generator: np.random.Generator
) -> Sample:
    """Return the enhanced crop of an augmented wrist, cut out as imprecisely as in serving.

    Of a picture without boxes any large part is taken.
    """
    turned = augmented(picture, generator, shrink=(0.7, 1.1))
    around = turned.boxes.get(WRIST) or _part(turned.pixels.shape, generator)
    wrist = Box(WRIST, *jittered(around, generator))
    crop = wrist_crop(turned.pixels, wrist, preprocessing)
    image, place = square(crop.image, preprocessing.bones_size)
    bones = {name: box for name, box in turned.boxes.items() if name != WRIST}
    placed = {name: _placed(_placed(box, crop.placement), place) for name, box in bones.items()}
    return Sample(image, placed)


def _part(shape: tuple[int, ...], generator: np.random.Generator) -> Corners:
    """Return a box that covers a half to all of each side of an image."""
    rows, columns = shape
    height, width = generator.uniform(0.5, 1, 2) * (rows, columns)
    y0, x0 = generator.uniform(0, 1, 2) * (rows - height, columns - width)
    return (x0, y0, x0 + width, y0 + height)


@dataclass(frozen=True)
class _Fitting:
    names: tuple[str, ...]
    sample: Sampler
    size: int
    settings: DetectorSettings
    folder: Path
    seed: int
    threads: int
    device: str

    def run(
        self,
        preprocessing: Preprocessing,
        real: Sequence[Picture],
        phantoms: Sequence[Picture],
        others: Sequence[Picture],
    ) -> Path:
        """Fit on phantoms, then on real images with some phantoms; export."""
        generator = np.random.default_rng(self.seed)
        rounds = (
            (phantoms, (), self.settings.phantom_epochs, self.settings.phantom_rate),
            (
                [*list(real) * self.settings.copies, *phantoms[: self.settings.mixed_phantoms]],
                others,
                self.settings.epochs,
                self.settings.rate,
            ),
        )
        weights = "yolo11n.yaml"
        for number, (pictures, silent, epochs, rate) in enumerate(rounds):
            if not pictures or not epochs:
                continue
            # a relative path is taken by ultralytics as of a folder of its own
            place = (self.folder / f"round{number}").resolve()
            samples = (self.sample(p, preprocessing, generator) for p in (*pictures, *silent))
            _write(place, self.names, samples)
            weights = self._train(place, weights, epochs, rate)
        return self._export(weights)

    def _train(self, place: Path, weights: str, epochs: int, rate: float) -> str:
        yolo = _ultralytics(self.folder, self.threads)
        model = yolo.YOLO(weights, task="detect", verbose=False)
        # a third faster on processors with matrix instructions
        model.add_callback("on_train_start", _channels_last)
        plain = dict.fromkeys(
            ("mosaic", "degrees", "fliplr", "hsv_h", "hsv_s", "erasing", "mixup"), 0.0
        )
        model.train(
            data=str(place / "data.yaml"), epochs=epochs, imgsz=self.size, lr0=rate,
            batch=self.settings.batch, optimizer="AdamW", cos_lr=True, warmup_epochs=1.0,
            pretrained=weights.endswith(".pt"), warmup_bias_lr=0.0,
            device=self.device, workers=0, amp=False, val=False, plots=False,
            cache="ram", seed=self.seed, deterministic=True, verbose=False, exist_ok=True,
            project=str(place), name="fit", translate=0.08, scale=0.2, hsv_v=0.2, **plain,
        )  # fmt: skip
        return str(place / "fit" / "weights" / "last.pt")

    def _export(self, weights: str) -> Path:
        model = _ultralytics(self.folder, self.threads).YOLO(weights, task="detect")
        exported = model.export(
            format="onnx", imgsz=self.size, opset=17, simplify=False, dynamic=False, device="cpu"
        )
        return Path(exported)


def _channels_last(trainer: Any) -> None:
    trainer.model.to(memory_format=torch.channels_last)


def _placed(box: Corners, place: Placement) -> Corners:
    x0, y0, x1, y1 = box
    return (
        x0 * place.scale_x + place.left,
        y0 * place.scale_y + place.top,
        x1 * place.scale_x + place.left,
        y1 * place.scale_y + place.top,
    )


def _write(folder: Path, names: tuple[str, ...], samples: Iterator[Sample]) -> None:
    """Write a YOLO data set; a few of its own images stand in where ultralytics validates."""
    shutil.rmtree(folder, ignore_errors=True)
    images, labels = folder / "images", folder / "labels"
    images.mkdir(parents=True)
    labels.mkdir()
    count = 0
    for count, sample in enumerate(samples, 1):
        cv2.imwrite(str(images / f"{count:06d}.png"), sample.image)
        lines = _lines(names, sample)
        (labels / f"{count:06d}.txt").write_text("\n".join(lines), encoding="utf-8")
    few = "\n".join(str(images / f"{n:06d}.png") for n in range(1, min(8, count) + 1))
    (folder / "few.txt").write_text(few, encoding="utf-8")
    classes = "\n".join(f"  {number}: {name}" for number, name in enumerate(names))
    here = folder.resolve()
    text = f"path: {here}\ntrain: images\nval: {here}/few.txt\nnames:\n{classes}\n"
    (folder / "data.yaml").write_text(text, encoding="utf-8")


def _lines(names: tuple[str, ...], sample: Sample) -> list[str]:
    """Return YOLO lines of the boxes of which at least two fifths are in the image."""
    size = sample.image.shape[0]
    lines = []
    for name, (x0, y0, x1, y1) in sample.boxes.items():
        left, top, right, bottom = (min(max(v, 0.0), size) for v in (x0, y0, x1, y1))
        seen = (right - left) * (bottom - top) / max((x1 - x0) * (y1 - y0), 1e-6)
        if seen < 0.4:
            continue
        values = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
        lines.append(f"{names.index(name)} " + " ".join(f"{v / size:.6f}" for v in values))
    return lines


def _ultralytics(folder: Path, threads: int) -> Any:
    """Import ultralytics so that it neither downloads, installs nor reports anything."""
    home = (folder / "ultralytics").resolve()
    font = home / "Ultralytics" / "Arial.ttf"
    font.parent.mkdir(parents=True, exist_ok=True)
    if not font.exists():  # any font keeps it from fetching one
        shutil.copy(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", font)
    os.environ.update(YOLO_OFFLINE="1", YOLO_AUTOINSTALL="0", YOLO_CONFIG_DIR=str(home))
    plain_open = Image.open
    import ultralytics  # noqa: PLC0415  reads the environment when it is imported
    from ultralytics.utils import torch_utils  # noqa: PLC0415

    Image.open = plain_open  # it puts its own in its place, which installs what it misses
    ultralytics.settings.update({"sync": False})
    torch_utils.NUM_THREADS = threads
    return ultralytics
