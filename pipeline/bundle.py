"""A bundle: the versioned folder of models that every result names.

It holds ``manifest.toml`` and the files the manifest lists by SHA-256; ONNX, JSON and TOML only.
Nothing in it is a pickle, so nothing in it can run code when it is loaded.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import onnxruntime
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
)
from tokenizers import Tokenizer

from pipeline.calibration import Calibration
from pipeline.constellation import Constellation
from pipeline.errors import BundleError
from pipeline.region import GLOBAL, Region
from pipeline.witness import Witness

__all__ = [
    "BONES_FILE",
    "CARD_FILE",
    "IMAGE_FILE",
    "MANIFEST_FILE",
    "ROI_FILE",
    "TEXT_FILE",
    "TOKENIZER_FILE",
    "VECTOR_NAMES",
    "VIEW_FILE",
    "BoxQuality",
    "Bundle",
    "Manifest",
    "Preprocessing",
    "Quality",
    "RetrievalQuality",
    "Thresholds",
    "Training",
    "Vectors",
    "ViewQuality",
]

MANIFEST_FILE = "manifest.toml"
ROI_FILE = "roi.onnx"
BONES_FILE = "bones.onnx"
VIEW_FILE = "view.onnx"
IMAGE_FILE = "image.onnx"
TEXT_FILE = "text.onnx"
TOKENIZER_FILE = "tokenizer.json"
CARD_FILE = "MODEL_CARD.md"
"""What the bundle is and is not, for people; a bundle may come without it."""
VECTOR_NAMES: tuple[str, ...] = (GLOBAL, *(region.value for region in Region))

_FILES = frozenset({ROI_FILE, BONES_FILE, VIEW_FILE, IMAGE_FILE, TEXT_FILE, TOKENIZER_FILE})

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


@dataclass(frozen=True, eq=False)
class Bundle:
    """A verified bundle, its models ready to run on the CPU.

    Parameters
    ----------
    manifest
        What the bundle says of itself.
    sessions
        One ONNX Runtime session per ``.onnx`` file, by file name.
    tokenizer
        The text tower's vocabulary.
    """

    manifest: Manifest
    sessions: Mapping[str, Any]
    tokenizer: Tokenizer

    @classmethod
    def load(cls, folder: Path, threads: int = 1) -> Bundle:
        """Read and verify a bundle folder.

        Every file is read once; its checksum is taken of, and its session made from, the same
        bytes, so that nothing can be exchanged in between.

        Parameters
        ----------
        folder
            The bundle.
        threads
            Threads of one model call.

        Raises
        ------
        BundleError
            Where the folder, the manifest, a checksum, a stray file or a model's shape is wrong.
        """
        manifest = _read_manifest(folder)
        contents = {name: _read(folder, name, digest) for name, digest in manifest.files.items()}
        _refuse_strays(folder, manifest)
        sessions = {
            name: _session(name, content, threads)
            for name, content in contents.items()
            if name.endswith(".onnx")
        }
        _check_shapes(manifest, sessions)
        return cls(manifest, sessions, _tokenizer(contents[TOKENIZER_FILE]))

    @property
    def id(self) -> str:
        """The bundle's id: vectors of different ids never meet in one index."""
        return self.manifest.id

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that decides what the vectors are: models, preprocessing, precision."""
        manifest = self.manifest
        decides = {
            "files": {name: manifest.files[name] for name in (ROI_FILE, BONES_FILE, IMAGE_FILE)},
            **manifest.model_dump(
                mode="json",
                include={"preprocessing", "vectors", "thresholds", "constellation"},
                exclude_defaults=True,  # a key that a later release adds changes nothing
            ),
        }
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    @property
    def demonstration(self) -> bool:
        """True where results must say "demonstration only, not for clinical use"."""
        return self.manifest.demonstration_only

    @property
    def runtime(self) -> str:
        """Runtime, processor and precision that make the vectors."""
        return f"onnxruntime-{onnxruntime.__version__}-cpu-{self.manifest.vectors.precision}"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Preprocessing(_Part):
    """How a radiograph becomes the models' input; the same for training and serving."""

    black_percentile: float = Field(ge=0, lt=50, description="Grey value shown as 0.")
    white_percentile: float = Field(gt=50, le=100, description="Grey value shown as 255.")
    roi_size: int = Field(gt=0, description="Side of the wrist detector's input, pixels.")
    wrist_margin: float = Field(ge=0, description="Added at each side, share of the box's side.")
    enhanced_size: int = Field(gt=0, description="Longer side of the enhanced wrist, pixels.")
    clahe_clip: float = Field(gt=0, description="Clip limit of CLAHE.")
    clahe_tiles: int = Field(gt=0, description="CLAHE tiles along each side.")
    unsharp_sigma: float = Field(gt=0, description="Blur of the unsharp mask, enhanced pixels.")
    unsharp_amount: float = Field(ge=0, description="Weight of the unsharp mask.")
    bones_size: int = Field(gt=0, description="Side of the bone detector's input, pixels.")
    bone_margin: float = Field(ge=0, description="Added at each side, share of the box's side.")
    size: int = Field(gt=0, description="Side of the image encoder's input, pixels.")
    view_size: int = Field(gt=0, description="Side of the view model's input, pixels.")
    average_boxes: bool = Field(
        default=False,
        description="Whether a box is the mean of all that the detector draws of one thing, in "
        "the image and in its mirror image.",
    )
    mirror_right: bool = Field(
        default=False, description="Whether the image encoder sees right wrists mirrored."
    )


class Vectors(_Part):
    """What the encoders put out."""

    size: Literal[512]
    precision: Literal["fp32", "bf16", "int8"]


class Thresholds(_Part):
    """Scores under which a box is not reported, and under which a view is not believed."""

    wrist: Share
    distal_radius: Share
    distal_ulna: Share
    ulnar_styloid: Share
    view: Share


class Training(_Part):
    """On what the bundle was trained, and on which patients of GRAZPEDWRI-DX it was not."""

    summary: str
    command: str
    seed: int
    data: tuple[str, ...]
    real_images: Mapping[str, int]
    phantoms: Mapping[str, int]
    training_patients: tuple[int, ...]
    held_out_patients: tuple[int, ...]


class BoxQuality(_Part):
    """Boxes on held-out real radiographs, one per class, at an intersection over union of 0.5."""

    n: int
    recall: Share
    precision: Share
    mean_iou: Share


class ViewQuality(_Part):
    """Views of held-out real images; ``recall`` and ``n`` by true view."""

    n: Mapping[str, int]
    recall: Mapping[str, Share]
    balanced_accuracy: Share


class RetrievalQuality(_Part):
    """Mean share of the ten nearest with the query's own fracture state, on unseen phantoms."""

    queries: int
    pool: int
    two_stage: Mapping[str, Share]
    region_only: Mapping[str, Share]
    global_only: Mapping[str, Share]
    fused: Mapping[str, Share] | None = None
    untrained: Mapping[str, Share]
    chance: Mapping[str, Share]


class Quality(_Part):
    """What was measured, and on what."""

    measured_on: str
    boxes: Mapping[str, BoxQuality]
    view: ViewQuality
    retrieval: RetrievalQuality
    parity: Mapping[str, float]


class Manifest(_Part):
    """``manifest.toml``: what the bundle is, holds and was measured to do."""

    id: Name
    version: str
    intended_use: str
    demonstration_only: bool
    created_at: AwareDatetime
    preprocessing: Preprocessing
    vectors: Vectors
    thresholds: Thresholds
    witness: Witness | None = Field(
        default=None,
        description="How much the bones that are found count for the view; None: nothing.",
    )
    constellation: Constellation | None = Field(
        default=None, description="How bones lie to each other; without it the best box of each."
    )
    calibration: Mapping[str, Calibration]
    mode: Literal["two_stage", "fused"] = Field(
        default="two_stage", description="How candidates are ranked where nothing else is asked."
    )
    licences: Mapping[str, str]
    training: Training
    quality: Quality | None = Field(default=None, description="Missing while being measured.")
    files: Mapping[str, Digest]

    @field_validator("created_at")
    @classmethod
    def _is_utc(cls, value: datetime) -> datetime:
        offset = value.utcoffset()
        if offset is None or offset.total_seconds() != 0:
            msg = "must be in UTC"
            raise ValueError(msg)
        return value

    @field_validator("calibration")
    @classmethod
    def _covers_every_vector(cls, value: Mapping[str, Calibration]) -> Mapping[str, Calibration]:
        if set(value) != set(VECTOR_NAMES):
            msg = f"needs exactly {', '.join(VECTOR_NAMES)}"
            raise ValueError(msg)
        return value

    @field_validator("files")
    @classmethod
    def _lists_the_known_files(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        if set(value) - {CARD_FILE} != _FILES:
            msg = f"needs {', '.join(sorted(_FILES))}, and may name {CARD_FILE}"
            raise ValueError(msg)
        return value


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST_FILE
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        detail = f"There is no {MANIFEST_FILE} in {folder}; name the bundle's own folder."
        raise BundleError(detail) from error
    except (OSError, UnicodeDecodeError) as error:
        detail = f"{path} cannot be read ({type(error).__name__})."
        raise BundleError(detail) from error
    except tomllib.TOMLDecodeError as error:
        detail = f"{MANIFEST_FILE} is not TOML: {error}."
        raise BundleError(detail) from error
    try:
        return Manifest.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        detail = f"{MANIFEST_FILE}: {where}: {first['msg']}."
        raise BundleError(detail) from error


def _read(folder: Path, name: str, digest: str) -> bytes:
    path = folder / name
    if path.is_symlink() or not path.is_file():
        detail = f"{name} is listed in {MANIFEST_FILE} but is not there as a plain file."
        raise BundleError(detail)
    try:
        content = path.read_bytes()
    except OSError as error:
        detail = f"{name} cannot be read ({type(error).__name__})."
        raise BundleError(detail) from error
    if hashlib.sha256(content).hexdigest() != digest:
        detail = f"{name} has another SHA-256 than {MANIFEST_FILE} says; install the bundle again."
        raise BundleError(detail)
    return content


def _refuse_strays(folder: Path, manifest: Manifest) -> None:
    known = {MANIFEST_FILE, *manifest.files}
    for path in sorted(folder.iterdir()):
        if path.name not in known:
            kind = PurePosixPath(path.name).suffix or "no suffix"
            detail = f"It holds {path.name!r} ({kind}), which {MANIFEST_FILE} does not list."
            raise BundleError(detail)


def _session(name: str, content: bytes, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # spinning threads would starve the other processes of a small machine
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no documented root
        detail = f"{name} is no model that ONNX Runtime {onnxruntime.__version__} can load."
        raise BundleError(detail) from error


def _check_shapes(manifest: Manifest, sessions: Mapping[str, Any]) -> None:
    """Refuse models whose output does not fit the manifest or this method."""
    size = manifest.vectors.size
    wanted = {
        ROI_FILE: (1, 5),  # centre, width, height and one score
        BONES_FILE: (1, 4 + len(Region)),
        VIEW_FILE: (1, 4),
        IMAGE_FILE: (1, size),
        TEXT_FILE: (1, size),
    }
    for name, (axis, length) in wanted.items():
        shape = sessions[name].get_outputs()[0].shape
        if len(shape) <= axis or shape[axis] != length:
            detail = f"{name} puts out {shape}; its axis {axis} must have length {length}."
            raise BundleError(detail)


def _tokenizer(content: bytes) -> Tokenizer:
    try:
        return Tokenizer.from_str(content.decode("utf-8"))
    except Exception as error:  # tokenizers raises nothing narrower
        detail = f"{TOKENIZER_FILE} is no vocabulary that tokenizers can read."
        raise BundleError(detail) from error
