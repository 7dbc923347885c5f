"""Settings that stay as they were read; an unknown key is an error."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["FrozenSettings"]


class FrozenSettings(BaseModel):
    """What every table of the listener's settings is."""

    model_config = ConfigDict(frozen=True, extra="forbid")
