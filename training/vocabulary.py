"""The small model's vocabulary: byte pairs of the captions it is trained on."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

__all__ = ["CONTEXT", "fit_tokenizer"]

CONTEXT = 80
"""Tokens of a caption, start and end included."""

_START, _END, _PAD = "<start>", "<end>", "<pad>"


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
    tokenizer.enable_truncation(CONTEXT)
    tokenizer.enable_padding(length=CONTEXT, pad_token=_PAD, pad_id=0)
    return tokenizer
