"""What an administrator may set of the comparison with the PACS."""

from __future__ import annotations

from pydantic import Field

from listener.frozen_settings import FrozenSettings

__all__ = ["ReconciliationSettings"]


class ReconciliationSettings(FrozenSettings):
    """What `wristmir reconcile` compares, and within which bounds it asks the PACS."""

    destination: str | None = Field(
        default=None,
        description="Name of the destination that is asked what it holds (C-FIND) and to send what "
        "is missing (C-MOVE); unset for `pipeline.destination`.",
    )
    days: int = Field(
        default=3,
        ge=1,
        le=3660,
        description="How many days back studies are compared, by the date of the study.",
    )
    image_modalities: tuple[str, ...] = Field(
        default=("CR", "DX"), min_length=1, description="Modalities of series that are compared."
    )
    report_modalities: tuple[str, ...] = Field(
        default=("SR",), description="Modalities of reports that are compared in their studies."
    )
    body_parts: tuple[str, ...] = Field(
        default=("WRIST", "FOREARM", "HAND", "RADIUS", "ULNA", "RADIUSULNA", "EXTREMITY"),
        description="Series that the PACS lists with another Body Part Examined are left out; "
        "empty compares all.",
    )
    words: tuple[str, ...] = Field(
        default=(),
        description="Series are left out where the PACS gives a description of them or their study "
        "and none of these words stands in it; empty compares all.",
    )
    max_responses: int = Field(
        default=10000, ge=1, description="Answers taken to one question; beyond it counts as cut."
    )
    question_seconds: float = Field(
        default=120.0, gt=0, description="How long one question may take."
    )
    run_seconds: float = Field(
        default=14400.0, gt=0, description="How long one reconciliation may take."
    )
    max_moves: int = Field(
        default=1000, ge=1, description="Series asked for by one `wristmir reconcile --fetch`."
    )
    moves_per_minute: float = Field(
        default=20.0, gt=0, description="Series asked for in a minute at the most."
    )
    move_seconds: float = Field(
        default=600.0, gt=0, description="How long the PACS may take to send one series."
    )
