"""Within which bounds peers are answered that ask for results."""

from __future__ import annotations

from pydantic import Field

from listener.frozen_settings import FrozenSettings

__all__ = ["RetrievalSettings"]


class RetrievalSettings(FrozenSettings):
    """Within which bounds peers are answered that ask for results (C-FIND, C-MOVE, C-GET)."""

    max_answers: int = Field(
        default=1000, ge=1, le=65535, description="Answers to one C-FIND at the most."
    )
    max_objects: int = Field(
        default=2000,
        ge=1,
        le=65535,
        description="Objects sent for one C-MOVE or C-GET at the most.",
    )
    question_seconds: float = Field(default=30.0, gt=0, description="How long one C-FIND may take.")
    retrieve_seconds: float = Field(
        default=1800.0, gt=0, description="How long one C-MOVE or C-GET may take."
    )
