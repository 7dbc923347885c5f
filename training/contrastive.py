"""The encoder: images and captions pulled together by equation 2 of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from torch import Tensor, nn

from training.augmentation import exposed
from training.dataset import Pair
from training.settings import EncoderSettings

__all__ = ["as_input", "fit_encoder", "fit_tokenizer", "multi_positive_loss", "new_encoder"]

_CONTEXT = 80
_TOWER = "mobilenetv4_conv_small_050"  # of timm; the best of nine tried for its time on a processor
_START, _END, _PAD = "<start>", "<end>", "<pad>"


def multi_positive_loss(images: Tensor, texts: Tensor, captions: Tensor, scale: Tensor) -> Tensor:
    """Return the multi-positive contrastive loss (WristMIR, equation 2).

    Parameters
    ----------
    images, texts
        Unit vectors, float (B, d); row i of both belongs to pair i.
    captions
        int (B,): equal numbers where captions are identical, all of which count as positives,
        weighted equally.
    scale
        1 / τ.
    """
    same = captions[:, None] == captions[None, :]
    positives = same / same.sum(dim=1, keepdim=True)
    logits = scale * images @ texts.T
    towards_text = (positives * logits.log_softmax(dim=1)).sum(dim=1)
    towards_image = (positives * logits.T.log_softmax(dim=1)).sum(dim=1)
    return -(towards_text + towards_image).mean()


def fit_tokenizer(captions: Sequence[str]) -> Tokenizer:
    """Return a byte-pair vocabulary of the captions; any other text falls back to its bytes.

    The end token has the highest number, where CLIP's text tower looks for it; texts are cut
    and padded to the tower's context.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1000,
        special_tokens=[_PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted(set(captions)), trainer)
    tokenizer.add_special_tokens([_START, _END])
    start, end = (tokenizer.token_to_id(token) for token in (_START, _END))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{_START} $A {_END}", special_tokens=[(_START, start), (_END, end)]
    )
    tokenizer.enable_truncation(_CONTEXT)
    tokenizer.enable_padding(length=_CONTEXT, pad_token=_PAD, pad_id=0)
    return tokenizer


def new_encoder(vocabulary: int, seed: int, size: int = 224) -> Any:
    """Return an untrained CLIP, of open_clip's own making, small enough for a processor.

    Parameters
    ----------
    vocabulary
        Number of tokens.
    seed
        Of the first weights.
    size
        Side of the crops in pixels.
    """
    torch.manual_seed(seed)
    # an empty timm_proj makes the tower's own last layer the projection
    vision = CLIPVisionCfg(timm_model_name=_TOWER, timm_proj="", image_size=size)
    text = CLIPTextCfg(context_length=_CONTEXT, vocab_size=vocabulary, width=192, heads=3, layers=2)
    return CLIP(embed_dim=512, vision_cfg=vision, text_cfg=text)


def fit_encoder(
    pairs: Sequence[Pair], tokenizer: Tokenizer, settings: EncoderSettings, seed: int
) -> Any:
    """Fit an encoder on whole wrists and bones together (section 3.1, Appendix C).

    Every batch holds all crops of some exams, so that a global caption meets global captions of
    other exams, and a bone's caption those of the same bone.
    """
    model = new_encoder(tokenizer.get_vocab_size(), seed).train()
    optimiser = torch.optim.AdamW(
        _groups(model, settings.weight_decay), settings.learning_rate, betas=(0.9, 0.98)
    )
    exams = max(1, settings.batch // 4)
    total = settings.epochs * max(1, len(pairs) // exams)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: _cosine_with_warmup(step, settings.warmup_steps, total)
    )
    generator = np.random.default_rng(seed)
    tokens = _Tokens(tokenizer)
    for epoch in range(settings.epochs):
        order = generator.permutation(len(pairs))
        seen = 0.0
        for start in range(0, len(order) - exams + 1, exams):
            chosen = [pairs[int(number)] for number in order[start : start + exams]]
            loss = _loss(model, chosen, tokens, generator)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_norm)
            optimiser.step()
            schedule.step()
            with torch.no_grad():  # τ no lower than 0.01, as CLIP does
                model.logit_scale.clamp_(0, float(np.log(100)))
            seen += float(loss.detach())
        steps = max(1, len(order) // exams)
        print(f"epoch {epoch + 1}/{settings.epochs} loss {seen / steps:.3f}", flush=True)  # noqa: T201
    return model.eval()


class _Tokens:
    """Captions as rows of token numbers, each caption made once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}

    def rows(self, captions: Sequence[str]) -> Tensor:
        for caption in captions:
            if caption not in self._known:
                self._known[caption] = self._tokenizer.encode(caption).ids
        return torch.tensor([self._known[caption] for caption in captions])


def _loss(
    model: Any, pairs: Sequence[Pair], tokens: _Tokens, generator: np.random.Generator
) -> Tensor:
    crops, captions = [], []
    for pair in pairs:
        for name, crop in pair.crops.items():
            crops.append(_disturbed(crop, generator))
            captions.append(pair.captions[name])
    # equal captions are encoded once: most of them say "no fracture"
    unique = sorted(set(captions))
    numbers = torch.tensor([unique.index(caption) for caption in captions])
    images = model.encode_image(as_input(torch.from_numpy(np.stack(crops))), normalize=True)
    texts = model.encode_text(tokens.rows(unique), normalize=True)[numbers]
    return multi_positive_loss(images, texts, numbers, model.logit_scale.exp())


def as_input(crops: Tensor) -> Tensor:
    """Return uint8 crops (n, size, size) as the image tower's input, float (n, 3, size, size)."""
    return ((crops.float() - 70.0) / 70.0).unsqueeze(1).expand(-1, 3, -1, -1)


def _disturbed(crop: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """Return a crop slightly turned, scaled, shifted and differently exposed; never mirrored.

    The side is part of the global caption, so a mirrored crop would contradict it.
    """
    size = crop.shape[0]
    centre, angle = (size / 2, size / 2), generator.normal(0, 6)
    scale = generator.uniform(0.9, 1.12)
    turn = np.array(cv2.getRotationMatrix2D(centre, angle, scale), np.float64)
    turn[:, 2] += generator.normal(0, 0.03 * size, 2)
    moved = np.asarray(cv2.warpAffine(crop, turn, (size, size)), np.float32) / np.float32(255)
    if generator.random() < 0.6:
        moved = exposed(moved, generator)
    return np.asarray(np.rint(moved * 255), np.uint8)


def _groups(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Return parameter groups: weights decay, gains, biases and the temperature do not."""
    weights = [p for p in model.parameters() if p.ndim >= 2]
    rest = [p for p in model.parameters() if p.ndim < 2]
    return [{"params": weights, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]


def _cosine_with_warmup(step: int, warmup: int, total: int) -> float:
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, total - warmup)
    return float(0.5 * (1 + np.cos(np.pi * min(1.0, done))))
