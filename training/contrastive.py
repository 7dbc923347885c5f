"""The encoder's training: whole wrists and bones, images and captions pulled together.

``python -m training.contrastive --table TABLE --state FILE``, or by several processes,
``torchrun --nproc-per-node=4 -m training.contrastive …``. `training.publish` goes on from the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor, distributed, nn

from pipeline.bundle import VECTOR_NAMES
from pipeline.region import GLOBAL
from training.curriculum import Curriculum
from training.dataset import Pair
from training.disturbance import disturbed
from training.errors import DataError, DivergedError
from training.exam_table import ExamTable, Split
from training.objective import Sample, contrastive_loss, equal_captions, modality_gap, overlap
from training.pseudo_caption import WithLent
from training.settings import Device, EncoderSettings, TrainingSettings
from training.towers import Towers, encoder_of, new_towers

__all__ = ["Course", "fit_encoder", "with_lent"]


def fit_encoder(
    pairs: Sequence[Pair],
    towers: Towers,
    settings: EncoderSettings,
    seed: int,
    *,
    checkpoint: Path | None = None,
    device: str = "cpu",
    until: int | None = None,
) -> Course:
    """Fit an encoder on whole wrists and bones together (section 3.1, Appendix C).

    Every batch holds all crops of some exams, so that a global caption meets global captions of
    other exams, and a bone's caption those of the same bone. Which exams, and how their crops are
    disturbed, follows from the seed and the number of the step alone, so training that was
    interrupted goes on exactly where it stopped. Under ``torchrun`` every process encodes its
    share of each batch, and the loss is that of the whole batch.

    Parameters
    ----------
    pairs
        Exams; those without captions are passed over.
    towers
        Trained in place.
    settings, seed
        Decide the outcome.
    checkpoint
        File that the state is written to now and then, and read from where it exists.
    device
        Where to compute: ``cpu`` or ``cuda``.
    until
        Stop after this step, for a longer course that is to be gone on with.
    """
    if checkpoint is not None:  # not after hours of training
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
    course = Course(pairs, towers, settings, seed, torch.device(device))
    if checkpoint is not None and checkpoint.exists():
        course.load(checkpoint)
    end = course.steps if until is None else min(until, course.steps)
    with Progress(disable=not _is_first()) as progress:
        task = progress.add_task("Encoder", total=course.steps, completed=course.step)
        while course.step < end:
            loss = course.advance()
            progress.update(task, completed=course.step, description=f"Encoder, loss {loss:.3f}")
            if checkpoint is not None and course.step % settings.checkpoint_steps == 0:
                course.save(checkpoint)
    if checkpoint is not None:
        course.save(checkpoint)
    towers.model.eval()
    return course


def with_lent(
    taught: Curriculum, settings: EncoderSettings, plan: TrainingSettings, bank: Path, device: str
) -> WithLent:
    """Return a curriculum in which exams without report have captions, lent by a first encoder.

    Parameters
    ----------
    taught, settings, plan
        Of both trainings.
    bank
        The first training's state; it is finished where it is not.
    device
        Where to compute.
    """
    towers = new_towers(settings, taught.captions, plan.seed, plan.preprocessing.size)
    fit_encoder(taught, towers, settings, plan.seed, checkpoint=bank, device=device)
    return WithLent(taught, encoder_of(towers))


@dataclass(frozen=True, eq=False)
class _Batch:
    """All crops of some exams: uint8 (n, size, size), and what is known of each."""

    crops: Tensor
    samples: tuple[Sample, ...]


class Course:
    """One training from its first step to its last.

    Parameters
    ----------
    pairs, towers, settings, seed, device
        As in `fit_encoder`.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        towers: Towers,
        settings: EncoderSettings,
        seed: int,
        device: torch.device,
    ) -> None:
        self._pairs = pairs
        self._usable = _with_captions(pairs)
        self._towers = towers
        self._settings = settings
        self._seed = seed
        self._device = device
        towers.model.to(device)
        crops = len(VECTOR_NAMES) if settings.regions else 1
        self._exams = max(1, min(settings.batch // crops, len(self._usable)))
        self._per_epoch = max(1, len(self._usable) // self._exams)
        self.steps = settings.steps or settings.epochs * self._per_epoch
        self.step = 0
        self.losses: list[float] = []
        self._optimiser = torch.optim.AdamW(
            _groups(towers, settings.weight_decay), settings.learning_rate, betas=(0.9, 0.98)
        )
        self._caption_vectors: dict[str, Tensor] = {}

    def advance(self) -> float:
        """Take one step; return its loss.

        Raises
        ------
        DivergedError
            Where a gradient is not finite; the weights stay as they were.
        """
        for group in self._optimiser.param_groups:
            group["lr"] = self._settings.learning_rate * _cosine_with_warmup(
                self.step, self._settings.warmup_steps, self.steps
            )
        self._towers.train()
        batch = self._batch(self.step)
        self._optimiser.zero_grad()
        loss = self._backward(batch)
        free = [p for _, p in self._towers.trainable()]
        norm = nn.utils.clip_grad_norm_(free, self._settings.gradient_norm)
        if not torch.isfinite(norm):  # one more step would spoil every weight
            detail = (
                f"In step {self.step + 1} a gradient is not finite: try precision = 'fp32', or a "
                "lower learning rate. The last checkpoint is whole."
            )
            raise DivergedError(detail)
        self._optimiser.step()
        with torch.no_grad():  # τ no lower than 0.01, as CLIP does
            self._towers.model.logit_scale.clamp_(0, float(np.log(100)))
        self.step += 1
        self.losses.append(loss)
        return loss

    def save(self, path: Path) -> None:
        """Write all that a later process needs to go on exactly from here."""
        if not _is_first():
            return
        draft = path.with_suffix(".part")
        torch.save(
            {
                "model": self._towers.model.state_dict(),
                "optimiser": self._optimiser.state_dict(),
                "step": self.step,
                "losses": self.losses,
                "recipe": self._recipe,
            },
            draft,
        )
        draft.replace(path)

    def load(self, path: Path) -> None:
        """Go on from a state that `save` wrote; it is read as plain tensors, never as code.

        Raises
        ------
        DataError
            Where it was written by a training with another recipe or other exams.
        """
        state = torch.load(path, map_location=self._device, weights_only=True)
        if state["recipe"] != self._recipe:
            detail = f"{path} belongs to a training with another recipe, seed or table."
            raise DataError(detail)
        self._towers.model.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.step = int(state["step"])
        self.losses = list(state["losses"])

    @property
    def _recipe(self) -> str:
        """All that decides the outcome, and nothing that only decides where it is computed."""
        elsewhere = {"chunk", "checkpoint_steps", "weights"}
        recipe = self._settings.model_dump_json(exclude=elsewhere)
        return f"{recipe} seed {self._seed}, {len(self._usable)} exams"

    def _batch(self, step: int) -> _Batch:
        epoch, place = divmod(step, self._per_epoch)
        order = np.random.default_rng([self._seed, epoch]).permutation(self._usable)
        chosen = order[place * self._exams : (place + 1) * self._exams]
        crops: list[NDArray[np.uint8]] = []
        samples: list[Sample] = []
        for number in chosen:
            pair = self._pairs[int(number)]
            for name, crop in pair.crops.items():
                crops.append(crop)
                samples.append(_sample(pair, name))
        return _Batch(torch.from_numpy(np.stack(crops)), tuple(samples))

    def _backward(self, batch: _Batch) -> float:
        """Leave the batch's gradients in the parameters; return the loss.

        The vectors come first, a chunk at a time and without a graph, then the loss and its
        gradient by them; then each chunk is encoded once more and given its part of that gradient
        (Gao et al., "Scaling deep contrastive learning batch size under memory limited setup",
        2021). So a batch of any size fits, and the processes of a ``torchrun`` need to exchange
        vectors only. A batch of one chunk in one process is encoded once.
        """
        mine = _share(len(batch.samples))
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self.step)
        seen = self._towers.resampled(batch.crops.to(self._device))
        crops = disturbed(seen, generator)[mine]
        chunks = crops.split(self._settings.chunk)
        texts = self._texts(batch.samples)
        if len(chunks) == 1 and _processes() == 1:
            with self._precision():
                vectors = self._towers.images(crops)
            loss = self._loss(vectors, texts, batch.samples)
            loss.backward()
            return float(loss.detach())
        with torch.no_grad(), self._precision(), _statistics_kept(self._towers.model):
            own = torch.cat([self._towers.images(chunk) for chunk in chunks])
        vectors = _gathered(own, len(batch.samples)).requires_grad_()
        loss = self._loss(vectors, texts, batch.samples)
        loss.backward()
        assert vectors.grad is not None  # noqa: S101  it was asked for two lines above
        for chunk, gradient in zip(
            chunks, vectors.grad[mine].split(self._settings.chunk), strict=True
        ):
            with self._precision():
                again = self._towers.images(chunk)
            (again * gradient).sum().backward()
        self._add_up()
        return float(loss.detach())

    def _loss(self, images: Tensor, texts: Tensor, samples: Sequence[Sample]) -> Tensor:
        settings = self._settings
        same = equal_captions(samples)
        positives = same
        if settings.soft_positives:
            positives = same + settings.soft_positives * (1 - same) * overlap(samples).square()
        emphasis = None
        if settings.hard_negatives:
            names = equal_captions([replace(sample, caption=sample.name) for sample in samples])
            emphasis = (1 + settings.hard_negatives * names * (1 - same)).to(images.device)
        scale = self._towers.model.logit_scale.exp()
        loss = contrastive_loss(images, texts, positives.to(images.device), scale, emphasis)
        if settings.gap_weight:
            loss = loss + settings.gap_weight * modality_gap(images, texts)
        return loss

    def _texts(self, samples: Sequence[Sample]) -> Tensor:
        """Return the captions' vectors, each caption encoded once."""
        captions = [sample.caption for sample in samples]
        unique = list(dict.fromkeys(captions))
        if not self._towers.frozen_text:
            with self._precision():
                vectors = self._towers.texts(self._towers.tokens(unique).to(self._device))
        else:
            self._remember([c for c in unique if c not in self._caption_vectors])
            vectors = torch.stack([self._caption_vectors[caption] for caption in unique])
        places = {caption: place for place, caption in enumerate(unique)}
        return vectors[torch.tensor([places[caption] for caption in captions])]

    def _remember(self, captions: Sequence[str]) -> None:
        for start in range(0, len(captions), self._settings.chunk):
            part = captions[start : start + self._settings.chunk]
            with torch.no_grad(), self._precision():
                vectors = self._towers.texts(self._towers.tokens(part).to(self._device))
            self._caption_vectors.update(zip(part, vectors, strict=True))

    def _precision(self) -> torch.autocast:
        half = self._settings.precision == "bf16"
        return torch.autocast(self._device.type, torch.bfloat16, enabled=half)

    def _add_up(self) -> None:
        """Sum the image tower's gradients over the processes.

        Texts, temperature and loss are computed alike in each process, and need no sum.
        """
        if _processes() == 1:
            return
        for name, parameter in self._towers.trainable():
            if name.startswith("visual.") and parameter.grad is not None:
                distributed.all_reduce(parameter.grad)


def _with_captions(pairs: Sequence[Pair]) -> NDArray[np.int64]:
    return np.array([n for n, pair in enumerate(pairs) if pair.captions], np.int64)


def _sample(pair: Pair, name: str) -> Sample:
    shown = {r.value: f for r, f in pair.findings.items() if name in (GLOBAL, r.value)}
    return Sample(name, pair.captions[name], tuple(shown.items()))


def _groups(towers: Towers, decay: float) -> list[dict[str, Any]]:
    """Return parameter groups: weights decay, gains, biases and the temperature do not."""
    free = [parameter for _, parameter in towers.trainable()]
    weights = [p for p in free if p.ndim >= 2]
    rest = [p for p in free if p.ndim < 2]
    return [{"params": weights, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]


def _cosine_with_warmup(step: int, warmup: int, total: int) -> float:
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, total - warmup)
    return float(0.5 * (1 + np.cos(np.pi * min(1.0, done))))


@contextmanager
def _statistics_kept(model: nn.Module) -> Iterator[None]:
    """Leave the running means of batch norms alone: the second pass counts them."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def _processes() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def _is_first() -> bool:
    return not distributed.is_initialized() or distributed.get_rank() == 0


def _share(count: int) -> slice:
    """Return which crops of a batch this process encodes."""
    if not distributed.is_initialized():
        return slice(0, count)
    rank, world = distributed.get_rank(), distributed.get_world_size()
    return slice(count * rank // world, count * (rank + 1) // world)


def _gathered(own: Tensor, count: int) -> Tensor:
    """Return the vectors of all processes, in the order of the batch."""
    if not distributed.is_initialized():
        return own
    world = distributed.get_world_size()
    sizes = [count * (r + 1) // world - count * r // world for r in range(world)]
    widest = torch.zeros((max(sizes), own.shape[1]), dtype=own.dtype, device=own.device)
    widest[: len(own)] = own
    parts = [torch.empty_like(widest) for _ in range(world)]
    distributed.all_gather(parts, widest)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])


def main(
    table: Annotated[Path, typer.Option(help="folder of an exam table")],
    state: Annotated[Path, typer.Option(help="file of the training's state; gone on from")],
    recipe: Annotated[Path | None, typer.Option(help="a TOML file of training/recipes")] = None,
    device: Annotated[Device, typer.Option(help="where to train")] = Device.CPU,
    bank: Annotated[
        Path | None,
        typer.Option(help="state of a training by the same recipe: it lends captions to exams "
                     "without report, and this training begins anew with them"),
    ] = None,
) -> None:  # fmt: skip
    """Train an encoder on the training split of an exam table."""
    place = device.value
    if "LOCAL_RANK" in os.environ:  # torchrun started this process
        distributed.init_process_group("nccl" if device is Device.CUDA else "gloo")
        if device is Device.CUDA:
            place = f"cuda:{os.environ['LOCAL_RANK']}"
    settings = EncoderSettings.read(recipe) if recipe else EncoderSettings()
    plan = TrainingSettings()
    taught = Curriculum(ExamTable.open(table).part(Split.TRAIN), settings, plan.seed)
    pairs = taught if bank is None else with_lent(taught, settings, plan, bank, place)
    towers = new_towers(settings, taught.captions, plan.seed, plan.preprocessing.size)
    fit_encoder(pairs, towers, settings, plan.seed, checkpoint=state, device=place)
    if distributed.is_initialized():
        distributed.destroy_process_group()


if __name__ == "__main__":
    typer.run(main)
