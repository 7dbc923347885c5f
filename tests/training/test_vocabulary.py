from __future__ import annotations

import pytest

pytestmark = pytest.mark.training

pytest.importorskip("tokenizers")

from training.vocabulary import CONTEXT, fit_tokenizer  # noqa: E402


@pytest.mark.parametrize("text", ["left wrist", "", "Fraktur µ ✓", "wrist " * 300])
def test_any_text_fills_the_context_and_ends_with_the_highest_number(text):
    tokenizer = fit_tokenizer(["Left wrist X-ray showing no fracture."])
    ids = tokenizer.encode(text).ids
    assert len(ids) == CONTEXT
    assert max(ids) == tokenizer.get_vocab_size() - 1
