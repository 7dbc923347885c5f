"""The two towers of CLIP: a small model to train from nothing, and BiomedCLIP to fine-tune."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from training.errors import DataError
from training.settings import BIOMEDCLIP, EncoderSettings
from training.vectors import VECTOR_LENGTH, Encoder
from training.vocabulary import CONTEXT, fit_tokenizer

__all__ = ["Towers", "biomedclip", "encoder_of", "new_towers", "small_clip"]

_TOWER = "test_resnet"  # of timm, 0.4 million weights: in the time of a larger one it learns more


@dataclass(frozen=True, eq=False)
class Towers:
    """A CLIP model with its tokenizer and the grey values it expects.

    Parameters
    ----------
    model
        Of open_clip: ``encode_image``, ``encode_text``, ``logit_scale``.
    tokenizer
        Captions to numbers, cut and padded to the text tower's context.
    mean, deviation
        Of the grey values 0..1 that the image tower expects, per channel (3,).
    side
        Side of the image tower's input in pixels; crops of another size are resampled to it.
    frozen_text
        True where the text tower is not trained, so that a caption's vector never changes.
    """

    model: Any
    tokenizer: Tokenizer
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    side: int
    frozen_text: bool

    def images(self, crops: Tensor) -> Tensor:
        """Return unit vectors, float (n, 512), of crops, uint8 (n, size, size)."""
        vectors: Tensor = self.model.encode_image(self._input(crops))
        return functional.normalize(vectors.float(), dim=-1)

    def texts(self, tokens: Tensor) -> Tensor:
        """Return unit vectors, float (n, 512), of token numbers, int64 (n, context)."""
        vectors: Tensor = self.model.encode_text(tokens)
        return functional.normalize(vectors.float(), dim=-1)

    def tokens(self, captions: Sequence[str]) -> Tensor:
        """Return captions as token numbers, int64 (n, context)."""
        return torch.tensor([found.ids for found in self.tokenizer.encode_batch(list(captions))])

    def train(self) -> None:
        """Switch to training; a frozen text tower keeps its dropout off."""
        self.model.train()
        if self.frozen_text:
            self.model.text.eval()

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the parameters that are trained, with their names."""
        return ((n, p) for n, p in self.model.named_parameters() if p.requires_grad)

    def resampled(self, crops: Tensor) -> Tensor:
        """Return crops (n, size, size) as grey values 0..255, float (n, side, side).

        A whole number of pixels is averaged into one, which every runtime does alike.
        """
        grey = crops.float()
        if grey.shape[-1] == self.side:
            return grey
        return functional.avg_pool2d(grey.unsqueeze(1), grey.shape[-1] // self.side).squeeze(1)

    def _input(self, crops: Tensor) -> Tensor:
        grey = self.resampled(crops).unsqueeze(1) / 255
        mean = torch.tensor(self.mean, device=grey.device).view(1, -1, 1, 1)
        deviation = torch.tensor(self.deviation, device=grey.device).view(1, -1, 1, 1)
        values = (grey - mean) / deviation
        return values.contiguous(memory_format=torch.channels_last)


def new_towers(settings: EncoderSettings, captions: Sequence[str], seed: int, size: int) -> Towers:
    """Return the towers that a recipe names, as they are before training.

    Parameters
    ----------
    settings
        The recipe.
    captions
        What the small model's vocabulary is made from.
    seed
        Of the small model's first weights.
    size
        Side of the crops in pixels.
    """
    if settings.tower == "biomedclip":
        return biomedclip(settings.weights, unlocked_blocks=settings.unlocked_blocks)
    return small_clip(fit_tokenizer(captions), seed, size=size)


def encoder_of(towers: Towers) -> Encoder:
    """Return towers as a pair of functions; they are switched to evaluation and stay on the CPU."""
    towers.model.cpu().eval()

    def images(crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        parts = torch.from_numpy(np.stack(crops)).split(_AT_ONCE)
        with torch.inference_mode():
            found: NDArray[np.float32] = torch.cat([towers.images(part) for part in parts]).numpy()
        return found

    def texts(captions: Sequence[str]) -> NDArray[np.float32]:
        if not captions:  # exams without reports
            return np.zeros((0, VECTOR_LENGTH), np.float32)
        with torch.inference_mode():
            parts = [towers.texts(part) for part in towers.tokens(captions).split(_AT_ONCE)]
        found: NDArray[np.float32] = torch.cat(parts).numpy()
        return found

    return Encoder(images, texts)


_AT_ONCE = 64


def small_clip(tokenizer: Tokenizer, seed: int, *, size: int = 224, pool: int = 2) -> Towers:
    """Return an untrained CLIP of open_clip's making, small enough for two processor cores.

    Parameters
    ----------
    tokenizer
        Of `training.vocabulary.fit_tokenizer`.
    seed
        Of the first weights.
    size
        Side of the crops in pixels.
    pool
        How many pixels of a crop, in each direction, are averaged into one of the tower's.
    """
    if size % pool:
        detail = f"Crops of {size} pixels cannot be averaged {pool} by {pool}."
        raise DataError(detail)
    torch.manual_seed(seed)
    # an empty timm_proj makes the tower's own last layer the projection
    vision = CLIPVisionCfg(timm_model_name=_TOWER, timm_proj="", image_size=size // pool)
    vocabulary = tokenizer.get_vocab_size()
    text = CLIPTextCfg(context_length=CONTEXT, vocab_size=vocabulary, width=192, heads=3, layers=2)
    model = CLIP(embed_dim=512, vision_cfg=vision, text_cfg=text)
    model.visual.to(memory_format=torch.channels_last)
    grey, deviation = (0.275,) * 3, (0.275,) * 3
    return Towers(model, tokenizer, grey, deviation, size // pool, frozen_text=False)


def biomedclip(source: str | Path = BIOMEDCLIP, *, unlocked_blocks: int = 8) -> Towers:
    """Return BiomedCLIP with its text tower frozen and its last visual blocks free (Appendix C).

    Parameters
    ----------
    source
        A folder as open_clip writes it (``open_clip_config.json``, weights, tokenizer), or
        ``hf-hub:…``, which needs a network once.
    unlocked_blocks
        How many of the last visual blocks are trained; the last norm and the projection always
        are.

    Raises
    ------
    DataError
        Where the folder holds no such model.
    """
    name = str(source) if str(source).startswith("hf-hub:") else f"local-dir:{source}"
    if name.startswith("local-dir:"):
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        if not (Path(source) / "open_clip_config.json").is_file():
            detail = f"{source} holds no open_clip_config.json."
            raise DataError(detail)
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    with warnings.catch_warnings():  # open_clip imports a part of timm by its old name
        warnings.simplefilter("ignore", FutureWarning)
        model.lock_image_tower(unlocked_groups=unlocked_blocks)
    for parameter in model.text.parameters():  # lock_text_tower would leave the projection free
        parameter.requires_grad_(False)
    tokenizer = _fast_tokenizer(open_clip.get_tokenizer(name))
    normalise = preprocess.transforms[-1]
    return Towers(
        model,
        tokenizer,
        tuple(normalise.mean),
        tuple(normalise.std),
        model.visual.image_size[0],
        frozen_text=True,
    )


def _fast_tokenizer(wrapped: Any) -> Tokenizer:
    """Return what open_clip wraps as a tokenizer of its own, with the same cut and padding."""
    inner = wrapped.tokenizer
    backend = Tokenizer.from_str(inner.backend_tokenizer.to_str())
    backend.enable_truncation(wrapped.context_length)
    backend.enable_padding(
        length=wrapped.context_length, pad_token=inner.pad_token, pad_id=inner.pad_token_id
    )
    return backend
