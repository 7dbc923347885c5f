"""Settings of training: frozen, typed, an unknown key is an error."""

from __future__ import annotations

import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.bundle import Preprocessing
from training.errors import DataError

__all__ = [
    "BIOMEDCLIP",
    "DetectorSettings",
    "Device",
    "EncoderSettings",
    "TrainingSettings",
    "ViewModelSettings",
]


BIOMEDCLIP = "hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"
"""Where the paper starts from (Appendix C); a local folder works as well, and offline."""


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
    copies: int = Field(default=30, ge=1, description="augmented copies of each real image")
    mixed_phantoms: int = Field(
        default=450, ge=0, description="phantoms mixed into the second round"
    )
    epochs: int = Field(default=6, ge=0, description="epochs of the second round")
    phantom_rate: float = Field(default=2e-3, gt=0, description="learning rate of the first round")
    rate: float = Field(default=1.5e-3, gt=0, description="learning rate of the second round")
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

    The defaults are the small model's, scaled to two processor cores. ``training/recipes`` holds
    others; ``paper.toml`` is Appendix C.
    """

    tower: Literal["small", "biomedclip"] = Field(
        default="small", description="what is trained: a small CLIP from nothing, or BiomedCLIP"
    )
    weights: str = Field(
        default=BIOMEDCLIP, description="where BiomedCLIP comes from: the hub, or a folder"
    )
    unlocked_blocks: int = Field(
        default=8, ge=0, le=12, description="last visual blocks of BiomedCLIP that are trained"
    )
    exams: int = Field(default=7540, ge=8, description="phantom exams, as many as the paper's")
    test_share: float = Field(
        default=876 / 7540, gt=0, lt=1, description="share of patients kept for evaluation"
    )
    epochs: int = Field(default=16, ge=1)
    steps: int | None = Field(default=None, ge=1, description="how many, instead of epochs")
    batch: int = Field(default=256, ge=2, description="pairs of image and caption")
    chunk: int = Field(default=256, ge=1, description="crops that are encoded at once")
    learning_rate: float = Field(default=1.5e-3, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    warmup_steps: int = Field(default=50, ge=0)
    gradient_norm: float = Field(default=1.0, gt=0, description="clipping, Appendix C")
    precision: Literal["fp32", "bf16"] = "bf16"
    checkpoint_steps: int = Field(default=100, ge=1)
    soft_positives: float = Field(
        default=0.0, ge=0, le=1, description="weight of pairs whose findings overlap"
    )
    hard_negatives: float = Field(
        default=1.0, ge=0, description="extra weight of negatives of the same bone"
    )
    gap_weight: float = Field(default=0.0, ge=0, description="weight of the modality gap")
    demographics: bool = Field(default=False, description="captions tell age band and sex")
    regions: bool = Field(
        default=True, description="bones are taught too; false for the paper's global-only baseline"
    )
    mirror_right: bool = Field(
        default=True, description="right wrists are mirrored, and captions tell no side"
    )
    informative_share: float = Field(
        default=1.0, gt=0, le=1, description="share of the exams, those whose captions say most"
    )

    @classmethod
    def read(cls, path: Path) -> EncoderSettings:
        """Read a recipe, a TOML file.

        Raises
        ------
        DataError
            Where it is missing, no TOML, or holds an unknown key or an impossible value.
        """
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            detail = f"{path} cannot be read as a recipe ({type(error).__name__})."
            raise DataError(detail) from error
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(step) for step in first["loc"])
            detail = f"{path}: {where}: {first['msg']}."
            raise DataError(detail) from error


class TrainingSettings(_Frozen):
    """Everything that decides what a bundle becomes, the data folder aside."""

    seed: int = 20260207
    threads: int = Field(default=2, ge=1)
    device: Device = Device.CPU
    int8: bool = Field(default=False, description="an 8-bit image tower, where it harms nothing")
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
        average_boxes=True,
    )
    roi: DetectorSettings = DetectorSettings(
        phantoms=200, phantom_epochs=2, copies=6, mixed_phantoms=80, epochs=13
    )
    bones: DetectorSettings = DetectorSettings(copies=90, mixed_phantoms=900, epochs=3)
    view: ViewModelSettings = ViewModelSettings()
    encoder: EncoderSettings = EncoderSettings()

    def smaller(self, share: float) -> TrainingSettings:
        """Return the same with a share of the images, steps and phantom exams.

        For a cross-validation that fits, and to rehearse a publication in minutes; what comes of
        it has been taught less.
        """
        return self.model_copy(
            update={
                "roi": _fewer(self.roi, share),
                "bones": _fewer(self.bones, share),
                "view": self.view.model_copy(update={"steps": _of(self.view.steps, share)}),
                "encoder": self.encoder.model_copy(
                    update={"exams": max(_FEWEST_EXAMS, _of(self.encoder.exams, share))}
                ),
            }
        )


_FEWEST_EXAMS = 200  # so that every split has some


def _fewer(detector: DetectorSettings, share: float) -> DetectorSettings:
    counts = {name: getattr(detector, name) for name in ("phantoms", "copies", "mixed_phantoms")}
    return detector.model_copy(update={name: _of(n, share) for name, n in counts.items()})


def _of(count: int, share: float) -> int:
    return max(1, round(count * share))
