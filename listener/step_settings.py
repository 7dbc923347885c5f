"""What an administrator may set of procedure steps (UPS)."""

from __future__ import annotations

from pydantic import Field

from listener.frozen_settings import FrozenSettings

__all__ = ["StepSettings"]


class StepSettings(FrozenSettings):
    """Requests as Unified Procedure Steps, which peers that may retrieve can create and watch."""

    wait_seconds: float = Field(
        default=3600.0,
        gt=0,
        description="A step whose study has not come for so long is cancelled, with that reason.",
    )
    keep_days: int = Field(
        default=30,
        ge=1,
        description="Steps that have ended are forgotten after so many days, unless a subscriber "
        "holds a deletion lock on them.",
    )
    max_open: int = Field(
        default=1000, ge=1, description="Steps of one peer that may be scheduled or in progress."
    )
    max_kept: int = Field(
        default=10_000,
        ge=1,
        description="Steps of one peer that are kept in all, those that have ended too; it can "
        "create no more until some are forgotten.",
    )
