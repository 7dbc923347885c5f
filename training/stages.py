"""The parts of a bundle, each trained once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch

from pipeline.bundle import (
    BONES_FILE,
    IMAGE_FILE,
    ROI_FILE,
    TEXT_FILE,
    TOKENIZER_FILE,
    VIEW_FILE,
    Preprocessing,
)
from pipeline.region import View
from training.contrastive import fit_encoder, with_lent
from training.curriculum import Curriculum
from training.dataset import (
    Pair,
    Picture,
    held_out_patients,
    other_pictures,
    phantom_pictures,
    real_pictures,
)
from training.detector import fit_bones, fit_roi
from training.errors import DataError
from training.exam_import import import_exams
from training.exam_table import EXAMS_FILE, ExamTable, Split
from training.export import ImageTower, Probabilities, TextTower, export, keep
from training.foreign import drawn_other
from training.phantom_exams import PhantomExams
from training.processes import each
from training.settings import Device, TrainingSettings
from training.split import PatientSplit
from training.towers import new_towers
from training.view_model import fit_view_model

__all__ = ["VIEWS", "Stages"]

VIEWS = (View.PA, View.LATERAL, View.OBLIQUE)
"""Views of a wrist."""


class _Fitting(TypedDict):
    """What the fits of both detectors have in common."""

    preprocessing: Preprocessing
    folder: Path
    seed: int
    threads: int
    device: Device


class Stages:
    """The trained parts, each made once.

    Parameters
    ----------
    data
        Real images, as `training.dataset` describes them.
    work
        Where each part leaves its file.
    settings
        Everything else that decides the outcome.
    table
        Exam table for the encoder; by default one of invented patients is drawn.
    bank
        State of a first training, which lends captions to exams without report; None for none.
    """

    def __init__(
        self,
        data: Path,
        work: Path,
        settings: TrainingSettings,
        table: Path | None = None,
        bank: Path | None = None,
    ) -> None:
        self.data = data
        self.bank = bank
        self.table = table
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
        """Make what is missing.

        Raises
        ------
        DataError
            Where the work folder holds what other settings have made, a rehearsal for example.
        """
        self._claim()
        for file, stage in self.files.items():
            if not (self.work / file).exists():
                stage(self.work)

    def _claim(self) -> None:
        decides = self.settings.model_dump_json(exclude={"threads", "device", "int8"})
        digest, known = sha256(decides.encode()).hexdigest(), self.work / "settings.sha256"
        if not known.exists():
            known.write_text(digest, encoding="ascii")
        elif known.read_text(encoding="ascii") != digest:
            detail = f"{self.work} holds what other settings have made; use another work folder."
            raise DataError(detail)

    def _roi(self, work: Path) -> None:
        roi = self.settings.roi
        phantoms = phantom_pictures(range(roi.phantoms), View.PA)
        # many of them are one image in several encodings
        others = other_pictures(self.data, held_out=False)[::3]
        made = fit_roi(self.boxed, phantoms, others, roi, **self._fitting(work / "roi"))
        keep(made, work / ROI_FILE)

    def _bones(self, work: Path) -> None:
        bones, fitting = self.settings.bones, self._fitting(work / "bones")
        phantoms = phantom_pictures(range(bones.phantoms), View.PA)
        made = fit_bones(self.boxed, phantoms, self._other_views(), bones, **fitting)
        keep(made, work / BONES_FILE)

    def _other_views(self) -> tuple[Picture, ...]:
        """Return wrists that show no PA view: real ones in copies, and phantoms."""
        bones = self.settings.bones
        real = [p for p in self.real if p.view is not View.PA] * -(-bones.copies // 3)
        seeds = range(bones.mixed_phantoms // 4)
        drawn = [p for v in (View.LATERAL, View.OBLIQUE) for p in phantom_pictures(seeds, v)]
        return (*real, *(replace(p, boxes={}) for p in drawn))

    def _fitting(self, folder: Path) -> _Fitting:
        s = self.settings
        return _Fitting(
            preprocessing=s.preprocessing,
            folder=folder,
            seed=s.seed,
            threads=s.threads,
            device=s.device,
        )

    def _view(self, work: Path) -> None:
        s = self.settings
        generator = np.random.default_rng(s.seed)
        seeds = range(s.view.phantoms)
        drawn = [picture for view in VIEWS for picture in phantom_pictures(seeds, view, 400)]
        drawn += [drawn_other(generator) for _ in range(s.view.others)]
        real = (*self.real, *other_pictures(self.data, held_out=False))
        network = fit_view_model(real, drawn, s.view, s.preprocessing, s.seed, s.device)
        size = (2, s.preprocessing.view_size, s.preprocessing.view_size)
        example = torch.from_numpy(generator.integers(0, 256, size, np.uint8))
        export(Probabilities(network), example, work / VIEW_FILE)

    @property
    def exams(self) -> ExamTable:
        """The encoder's exams: those given, or invented patients, drawn once."""
        if self.table is not None:
            return ExamTable.open(self.table)
        folder, s = self.work / "exams", self.settings
        if not (folder / EXAMS_FILE).exists():
            split = PatientSplit(test=s.encoder.test_share)
            draw = PhantomExams("table3", s.preprocessing, split)
            drawn = each(draw, range(s.encoder.exams), s.threads)
            import_exams(folder, s.preprocessing.size, drawn, s.encoder.exams)
        return ExamTable.open(folder)

    @property
    def seen(self) -> ExamTable:
        """The same exams as the bundle's encoder sees them."""
        return self.exams.one_sided() if self.settings.encoder.mirror_right else self.exams

    def _encoder(self, work: Path) -> None:
        s = self.settings
        taught = Curriculum(self.exams.part(Split.TRAIN), s.encoder, s.seed)
        towers = new_towers(s.encoder, taught.captions, s.seed, s.preprocessing.size)
        pairs: Sequence[Pair] = taught
        if self.bank is not None:
            pairs = with_lent(taught, s.encoder, s, self.bank, s.device)
        towers.tokenizer.save(str(work / TOKENIZER_FILE))
        state = work / "encoder.pt"
        fit_encoder(pairs, towers, s.encoder, s.seed, checkpoint=state, device=s.device)
        towers.model.cpu()
        few = [pairs[number] for number in range(min(8, len(pairs)))]
        crops = np.stack([crop for pair in few for crop in pair.crops.values()])
        words = [caption for pair in few for caption in pair.captions.values()]
        export(ImageTower(towers), torch.from_numpy(crops), work / IMAGE_FILE)
        export(TextTower(towers), towers.tokens(words), work / TEXT_FILE)
