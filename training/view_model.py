"""The view model: a small network that tells PA, lateral, oblique and other apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor, nn

from pipeline.bundle import Preprocessing
from pipeline.enhancement import grey, square
from pipeline.region import View
from pipeline.view_model import VIEW_ORDER
from training.augmentation import augmented
from training.dataset import Picture
from training.settings import ViewModelSettings

__all__ = ["ViewNetwork", "fit_view_model"]


class ViewNetwork(nn.Module):
    """Five convolutions: grey values in, one logit per view out."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 24, 32, 48, 64, 96)
        steps: list[nn.Module] = []
        for before, after in pairwise(widths):
            steps += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)]
            steps += [nn.ReLU(), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*steps)
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(widths[-1] * 16, len(VIEW_ORDER)))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (n, 4) of images, uint8 (n, 128, 128)."""
        values = images.unsqueeze(1).float() / 127.5 - 1
        maps: Tensor = self.features(values)
        logits: Tensor = self.head(maps.flatten(1))
        return logits


def fit_view_model(
    real: Sequence[Picture],
    drawn: Sequence[Picture],
    settings: ViewModelSettings,
    preprocessing: Preprocessing,
    seed: int,
    device: str = "cpu",
) -> ViewNetwork:
    """Fit the view model; every view is seen equally often, mostly real where there is real.

    Parameters
    ----------
    real, drawn
        Real images of training patients (and of other things); phantoms and drawings.
    """
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    pools = [_by_view(pictures) for pictures in (real, drawn)]
    network = ViewNetwork()
    network.to(device, memory_format=torch.channels_last)
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=settings.steps
    )
    criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
    for _ in track(range(settings.steps), "View model"):
        images, labels = _batch(pools, settings, preprocessing, generator)
        optimiser.zero_grad()
        criterion(network(images.to(device)), labels.to(device)).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    network.cpu().eval()
    return network


def _by_view(pictures: Sequence[Picture]) -> Mapping[View, list[Picture]]:
    return {view: [p for p in pictures if p.view is view] for view in VIEW_ORDER}


def _batch(
    pools: Sequence[Mapping[View, list[Picture]]],
    settings: ViewModelSettings,
    preprocessing: Preprocessing,
    generator: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    images: list[NDArray[np.uint8]] = []
    labels = []
    for _ in range(settings.batch):
        label = int(generator.integers(len(VIEW_ORDER)))
        real, drawn = (pool[VIEW_ORDER[label]] for pool in pools)
        pool = real if not drawn or (real and generator.random() < settings.real_share) else drawn
        picture = augmented(pool[int(generator.integers(len(pool)))], generator)
        images.append(square(grey(picture.pixels, preprocessing), preprocessing.view_size)[0])
        labels.append(label)
    return torch.from_numpy(np.stack(images)), torch.tensor(labels)
