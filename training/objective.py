"""What training makes small: the multi-positive contrastive loss, and what may be added to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.exam import RegionFindings

__all__ = ["Sample", "contrastive_loss", "equal_captions", "modality_gap", "overlap"]


@dataclass(frozen=True)
class Sample:
    """What is known of one crop of a batch.

    ``name`` is ``global`` or a region; ``findings`` are the crop's own, by region name: one entry
    for a bone, those of all bones for the whole wrist.
    """

    name: str
    caption: str
    findings: tuple[tuple[str, RegionFindings], ...] = ()


def contrastive_loss(
    images: Tensor,
    texts: Tensor,
    positives: Tensor,
    scale: Tensor,
    emphasis: Tensor | None = None,
) -> Tensor:
    """Return the multi-positive contrastive loss (WristMIR, equation 2).

    Parameters
    ----------
    images, texts
        Unit vectors, float (B, d); row i of both belongs to pair i.
    positives
        Weights (B, B), symmetric, at least one in each row: how much text j is a positive of
        image i. `equal_captions` gives the paper's; rows are brought to a sum of one here.
    scale
        1 / τ.
    emphasis
        Weights (B, B) above zero by which pairs count among the negatives; None for 1 (the
        paper's loss).
    """
    logits = scale * images @ texts.T
    shares = positives / positives.sum(dim=1, keepdim=True)
    crowd = logits if emphasis is None else logits + emphasis.log()
    backward = logits.T if emphasis is None else logits.T + emphasis.T.log()
    towards_text = logits - crowd.logsumexp(dim=1, keepdim=True)
    towards_image = logits.T - backward.logsumexp(dim=1, keepdim=True)
    return -((shares * towards_text) + (shares * towards_image)).sum(dim=1).mean()


def equal_captions(samples: Sequence[Sample]) -> Tensor:
    """Return 1 where two captions are identical, else 0 (the positive mask P of equation 2)."""
    numbers = _numbers([sample.caption for sample in samples])
    return (numbers[:, None] == numbers[None, :]).float()


def overlap(samples: Sequence[Sample]) -> Tensor:
    """Return how far the findings of two crops of one name agree, 0..1, shape (B, B).

    A bone's findings are compared as fracture, type, healing and displacement, each a quarter,
    once both agree on whether there is a fracture; the whole wrist's as the mean over the bones.
    Crops of different names do not overlap.
    """
    numbers = _numbers([sample.name for sample in samples])
    names = [name for sample in samples for name, _ in sample.findings]
    vocabulary: dict[str, int] = {}
    agreement = torch.zeros((len(samples), len(samples)))
    known = torch.zeros_like(agreement)
    for bone in sorted(set(names)):
        codes = torch.tensor([_codes(sample, bone, vocabulary) for sample in samples])
        same = codes[:, None, :] == codes[None, :, :]
        both = (codes[:, 0] >= 0)[:, None] & (codes[:, 0] >= 0)[None, :]
        agreement += (same[..., 0] * same.float().mean(dim=2)) * both
        known += both.float()
    mean = agreement / known.clamp(min=1)
    return mean * (numbers[:, None] == numbers[None, :])


def modality_gap(images: Tensor, texts: Tensor) -> Tensor:
    """Return the squared distance between the mean image vector and the mean text vector.

    Contrastive training leaves the two modalities in separate cones (Liang et al., "Mind the
    gap", NeurIPS 2022); this term draws them together.
    """
    return (images.mean(dim=0) - texts.mean(dim=0)).square().sum()


def _numbers(words: Sequence[str]) -> Tensor:
    known: dict[str, int] = {}
    return torch.tensor([known.setdefault(word, len(known)) for word in words])


def _codes(sample: Sample, bone: str, vocabulary: dict[str, int]) -> tuple[int, ...]:
    """Return a bone's findings as numbers, -1 where the crop does not show it."""
    for name, found in sample.findings:
        if name == bone:
            values = (found.fracture, found.type, found.healing, found.displacement)
            return tuple(vocabulary.setdefault(str(value), len(vocabulary)) for value in values)
    return (-1, -1, -1, -1)
