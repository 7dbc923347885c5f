"""What reads reports, as the configuration says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.mining import Miner, RulesMiner
from pipeline.settings import MiningSettings

__all__ = ["open_miner"]


@contextmanager
def open_miner(settings: MiningSettings) -> Iterator[Miner]:
    """Build what reads reports, and hang up at the end.

    A server that is down is no error: reports then wait for it.

    Raises
    ------
    PromptError
        Where the configured prompt cannot be used.
    """
    if settings.engine == "rules":
        yield RulesMiner()
        return
    # a second of import time that the rules need not pay
    from pipeline.language_model import LanguageModel  # noqa: PLC0415
    from pipeline.medgemma import MedGemmaMiner  # noqa: PLC0415
    from pipeline.prompt import SHIPPED, Prompt  # noqa: PLC0415

    key = None if settings.api_key is None else settings.api_key.get_secret_value()
    prompt = Prompt.read(settings.prompt or SHIPPED)
    with LanguageModel(
        settings.url,
        settings.model,
        api_key=key,
        deadline_seconds=settings.deadline_seconds,
        max_tokens=settings.max_tokens,
    ) as model:
        yield MedGemmaMiner(model, prompt)
