"""Settings of training: frozen, typed, an unknown key is an error."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from pipeline.bundle import Preprocessing

__all__ = ["DetectorSettings", "EncoderSettings", "TrainingSettings", "ViewModelSettings"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DetectorSettings(_Frozen):
    """How one detector is fitted: first on phantoms, then on real images and phantoms."""

    phantoms: int = Field(default=400, ge=0, description="phantoms of the first round")
    phantom_epochs: int = Field(default=2, ge=0, description="epochs of the first round")
    copies: int = Field(default=8, ge=1, description="augmented copies of each real image")
    mixed_phantoms: int = Field(
        default=150, ge=0, description="phantoms mixed into the second round"
    )
    epochs: int = Field(default=9, ge=1, description="epochs of the second round")
    batch: int = Field(default=16, ge=1)


class ViewModelSettings(_Frozen):
    """How the view model is fitted."""

    phantoms: int = Field(default=250, ge=0, description="phantoms of each projection")
    others: int = Field(default=400, ge=0, description="drawn images that are no wrist")
    steps: int = Field(default=800, ge=1)
    batch: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)


class EncoderSettings(_Frozen):
    """How the encoder is fitted (Appendix C, scaled down to what two processor cores can do)."""

    phantoms: int = Field(default=1600, ge=8, description="exams to train on")
    evaluation_phantoms: int = Field(default=400, ge=8, description="exams kept for evaluation")
    epochs: int = Field(default=8, ge=1)
    batch: int = Field(default=128, ge=2, description="pairs of image and caption")
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    warmup_steps: int = Field(default=50, ge=0)
    gradient_norm: float = Field(default=1.0, gt=0, description="clipping, Appendix C")


class TrainingSettings(_Frozen):
    """Everything that decides what a bundle becomes, the data folder aside."""

    seed: int = 20260207
    threads: int = Field(default=2, ge=1)
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
