"""What a crop may look like in another film of the same wrist: moved and differently exposed."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["disturbed", "mirrored"]


def disturbed(crops: Tensor, generator: torch.Generator) -> Tensor:
    """Return crops slightly turned, scaled, shifted, blurred and differently exposed.

    Never mirrored: the side is part of the global caption, so a mirrored crop would contradict it.

    Parameters
    ----------
    crops
        Grey values 0..255, uint8 or float (n, size, size).
    generator
        Source of chance, on the processor: the same state gives the same crops on every device.

    Returns
    -------
    Tensor
        uint8 (n, size, size), on the device of ``crops``.
    """
    grey = crops.float().unsqueeze(1) / 255
    grey = _moved(grey, generator)
    grey = _exposed(grey, generator)
    return (grey.squeeze(1) * 255).round().clamp(0, 255).to(torch.uint8)


def mirrored(crops: Tensor, which: Tensor) -> Tensor:
    """Return crops (n, size, size), those marked in ``which``, bool (n,), left to right."""
    return torch.where(which[:, None, None], crops.flip(-1), crops)


def _moved(grey: Tensor, generator: torch.Generator) -> Tensor:
    count = len(grey)
    angle = torch.randn(count, generator=generator) * math.radians(6)
    scale = _between(0.89, 1.11, count, generator)
    aspect = torch.exp(torch.randn(count, generator=generator) * 0.03)
    shift = torch.randn(count, 2, generator=generator) * 0.06
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = (
        torch.stack([cosine * aspect, -sine, shift[:, 0]], dim=1),
        torch.stack([sine * aspect, cosine, shift[:, 1]], dim=1),
    )
    maps = torch.stack(rows, dim=1).to(grey.device)
    grid = functional.affine_grid(maps, list(grey.shape), align_corners=False)
    return functional.grid_sample(grey, grid, align_corners=False)


def _exposed(grey: Tensor, generator: torch.Generator) -> Tensor:
    count, device = len(grey), grey.device
    gamma = torch.exp(torch.randn(count, generator=generator) * 0.25)
    low, high = _between(-0.06, 0.08, count, generator), _between(0.85, 1.1, count, generator)
    noise = _between(0.0, 0.02, count, generator)
    soft = torch.rand(count, generator=generator) < 0.3
    blurred = functional.avg_pool2d(grey, 3, stride=1, padding=1)
    grey = torch.where(_column(soft, device), blurred, grey)
    # the black around a padded crop stays black
    inside = grey > 0
    grey = grey.clamp(1e-4, 1) ** _column(gamma, device)
    grey = (grey - _column(low, device)) / _column(high, device)
    grain = torch.randn(grey.shape, generator=generator).to(device)
    return (grey + grain * _column(noise, device)).clamp(0, 1) * inside


def _between(low: float, high: float, count: int, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=generator)


def _column(values: Tensor, device: torch.device) -> Tensor:
    return values.view(-1, 1, 1, 1).to(device)
