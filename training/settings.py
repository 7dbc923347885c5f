"""Settings of training: frozen, typed, an unknown key is an error."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.bundle import Preprocessing

__all__ = [
    "PAPER",
    "DetectorSettings",
    "Device",
    "EncoderSettings",
    "TrainingSettings",
    "ViewModelSettings",
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Device(StrEnum):
    """Where the networks are trained."""

    CPU = "cpu"
    CUDA = "cuda"


class DetectorSettings(_Frozen):
    """How one detector is fitted: first on phantoms, then on real images and phantoms."""

    phantoms: int = Field(default=1500, ge=0, description="phantoms of the first round")
    phantom_epochs: int = Field(default=2, ge=0, description="epochs of the first round")
    copies: int = Field(default=40, ge=1, description="augmented copies of each real image")
    mixed_phantoms: int = Field(
        default=600, ge=0, description="phantoms mixed into the second round"
    )
    epochs: int = Field(default=8, ge=1, description="epochs of the second round")
    batch: int = Field(default=16, ge=1)


class ViewModelSettings(_Frozen):
    """How the view model is fitted."""

    phantoms: int = Field(default=250, ge=0, description="phantoms of each projection")
    others: int = Field(default=400, ge=0, description="drawn images that are no wrist")
    real_share: float = Field(
        default=0.75, ge=0, le=1, description="share of real images where there are real ones"
    )
    steps: int = Field(default=3000, ge=1)
    batch: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)


class EncoderSettings(_Frozen):
    """How the encoder is fitted.

    The defaults are the small model's, scaled to two processor cores; `PAPER` holds Appendix C's.
    """

    phantoms: int = Field(default=6000, ge=8, description="exams to train on")
    evaluation_phantoms: int = Field(default=800, ge=8, description="exams kept for evaluation")
    epochs: int = Field(default=16, ge=1)
    batch: int = Field(default=256, ge=2, description="pairs of image and caption")
    chunk: int = Field(default=256, ge=1, description="crops that are encoded at once")
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    warmup_steps: int = Field(default=50, ge=0)
    gradient_norm: float = Field(default=1.0, gt=0, description="clipping, Appendix C")
    precision: Literal["fp32", "bf16"] = "bf16"
    checkpoint_steps: int = Field(default=200, ge=1)
    soft_positives: float = Field(
        default=0.0, ge=0, le=1, description="weight of pairs whose findings overlap"
    )
    hard_negatives: float = Field(
        default=0.0, ge=0, description="extra weight of negatives of the same bone"
    )
    gap_weight: float = Field(default=0.0, ge=0, description="weight of the modality gap")


PAPER = EncoderSettings(
    epochs=30,
    batch=2048,
    chunk=512,
    learning_rate=1e-5,
    weight_decay=0.01,
    warmup_steps=50,
    gradient_norm=1.0,
)
"""Appendix C of the paper: BiomedCLIP, a batch of 4 × 512, 30 epochs."""


class TrainingSettings(_Frozen):
    """Everything that decides what a bundle becomes, the data folder aside."""

    seed: int = 20260207
    threads: int = Field(default=2, ge=1)
    device: Device = Device.CPU
    preprocessing: Preprocessing = Preprocessing(
        black_percentile=0.5,
        white_percentile=99.5,
        roi_size=224,
        wrist_margin=0.03,
        enhanced_size=512,
        clahe_clip=2.0,
        clahe_tiles=8,
        unsharp_sigma=1.5,
        unsharp_amount=0.7,
        bones_size=320,
        bone_margin=0.1,
        size=224,
        view_size=128,
    )
    roi: DetectorSettings = DetectorSettings(
        phantoms=200, phantom_epochs=2, copies=6, mixed_phantoms=80, epochs=13
    )
    bones: DetectorSettings = DetectorSettings()
    view: ViewModelSettings = ViewModelSettings()
    encoder: EncoderSettings = EncoderSettings()
