"""Settings of the pipeline: frozen, typed, an unknown key is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from pipeline.region import Region
from pipeline.request import Mode
from pipeline.result_language import Language

__all__ = [
    "DecodingSettings",
    "IndexSettings",
    "MiningSettings",
    "PipelineSettings",
    "ResultSettings",
    "RetrievalSettings",
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class IndexSettings(_Frozen):
    """Where the vectors live."""

    engine: Literal["embedded", "server"] = Field(
        default="embedded",
        description="`embedded` keeps the index in state_dir, owned by one process; "
        "`server` uses a Qdrant server",
    )
    url: str = Field(
        default="http://127.0.0.1:6333",
        description="address of the Qdrant server; unused when embedded",
    )
    api_key: SecretStr | None = Field(
        default=None, description="key of the Qdrant server, where it asks for one"
    )
    alias: str = Field(
        default="wristmir",
        description="name under which the server's collection is found",
        min_length=1,
    )


class RetrievalSettings(_Frozen):
    """How a request is answered when it says nothing else."""

    k: int = Field(default=10, ge=1, le=50, description="matches per bone")
    candidates: int = Field(
        default=100,
        ge=10,
        le=1000,
        description="candidates of the first, global stage (the paper's 100)",
    )
    mode: Mode | None = Field(
        default=None,
        description="`two_stage` (the paper's), `global`, `region` or `fused`; unset for the one "
        "that the bundle was measured to do best",
    )
    same_side: bool = Field(
        default=True,
        description="match left wrists with left ones; relaxed, and said so, if too few",
    )
    age_band_years: float | None = Field(
        default=3.0,
        gt=0,
        description="only priors within this many years of age; relaxed, and said so, if too few",
    )


class MiningSettings(_Frozen):
    """How reports are read."""

    engine: Literal["rules", "vllm"] = Field(
        default="rules",
        description="`rules` reads English in this process; `vllm` asks a language model, which "
        "reads other languages too and is checked against the report and the rules",
    )
    url: str = Field(
        default="http://127.0.0.1:8000/v1",
        pattern=r"^https?://",
        description="OpenAI-compatible interface of the vLLM server; unused by `rules`",
    )
    model: str = Field(
        default="medgemma",
        min_length=1,
        max_length=40,
        description="name under which the server serves the model",
    )
    api_key: SecretStr | None = Field(
        default=None, description="key of the vLLM server, where it asks for one"
    )
    concurrency: int = Field(
        default=64, ge=1, le=200, description="reports that are read at a time, to keep it full"
    )
    deadline_seconds: float = Field(
        default=120.0, gt=1, description="time for one answer at the most"
    )
    max_tokens: int = Field(
        default=1500, ge=200, le=8192, description="length of one answer at the most"
    )
    prompt: Path | None = Field(
        default=None,
        description="folder with instructions.md and examples.jsonl; unset for the shipped prompt",
    )

    @property
    def at_once(self) -> int:
        """How many reports are read at a time: rules gain nothing by more than one."""
        return 1 if self.engine == "rules" else self.concurrency


class ResultSettings(_Frozen):
    """What is stored into the query's study, beside report and picture board."""

    language: Language = Field(
        default=Language.ENGLISH,
        description="of everything that a radiologist reads, in results and on the pages: `en`, "
        "`de`, `es` or `tr`",
    )
    measurements: Literal["comprehensive", "comprehensive_3d", "none"] = Field(
        default="comprehensive",
        description="boxes and scores for programs, by TID 1500: a Comprehensive SR, a "
        "Comprehensive 3D SR as IHE AI Results asks, or none",
    )
    presentation_state: bool = Field(
        default=False,
        description="a Grayscale Softcopy Presentation State draws the bones' boxes on the query",
    )
    key_objects: bool = Field(
        default=False,
        description="Key Object Selections point at the priors' images, one for each of their "
        "studies",
    )
    document: bool = Field(
        default=False,
        description="an Encapsulated PDF shows the picture board and gives its reasons in words",
    )


class DecodingSettings(_Frozen):
    """What one received object may cost to read."""

    max_pixels: int = Field(
        default=100_000_000, gt=0, description="rows times columns of one image at the most"
    )
    max_file_mib: int = Field(default=512, gt=0, description="size of one file at the most, in MiB")
    memory_mib: int = Field(
        default=4096, ge=512, description="address space of the decoding child process, in MiB"
    )
    seconds: float = Field(default=30.0, gt=0, description="time for one object at the most")


class PipelineSettings(_Frozen):
    """Everything the pipeline can be told."""

    bundle: Path | None = Field(
        default=None,
        description="folder of the models; unset for the demonstration bundle that is shipped",
    )
    references: Literal["library", "original"] = Field(
        default="library",
        description="`library` refers to de-identified copies of priors, stored to "
        "library_destination; `original` to the priors themselves, which must be in the PACS",
    )
    destination: str | None = Field(
        default=None, description="name of the listener destination that results are stored to"
    )
    library_destination: str | None = Field(
        default=None,
        description="name of the destination for library copies; unset for the same",
    )
    library_copies: Literal["on_first_use", "at_index_time"] = Field(
        default="on_first_use",
        description="when a prior gets its library copy: `on_first_use`, when a result first "
        "refers to it, or `at_index_time`: then the library destination holds the whole archive",
    )
    crosswalk_key: Path | None = Field(
        default=None,
        description="file of the key without which the table from library copies to their sources "
        "cannot be read; made at first use, in state_dir where unset. Back it up apart from that",
    )
    answer_every_study: tuple[Region, ...] = Field(
        default=(),
        description="bones that every new study is answered for without being asked, once; empty "
        "for none. To be set when the archive is in, for each of its studies would be answered",
    )
    keep_results_days: int = Field(
        default=7,
        ge=0,
        description="results and library copies that were delivered can be asked for here by "
        "C-FIND, C-MOVE and C-GET for so many days; 0 keeps none. A result set takes 10 to 300 MB",
    )
    board_width: int = Field(
        default=2048,
        ge=1024,
        le=4096,
        description="width of the picture board, in pixels; 1024 keeps it small and is legible",
    )
    threads: int = Field(default=2, ge=1, description="processor threads of the models")
    lease_seconds: float = Field(
        default=120.0,
        gt=1,
        description="a job whose worker is silent this long is given to another",
    )
    index: IndexSettings = Field(default=IndexSettings(), description="the vector index")
    mining: MiningSettings = Field(default=MiningSettings(), description="how reports are read")
    retrieval: RetrievalSettings = Field(
        default=RetrievalSettings(), description="defaults of a request"
    )
    results: ResultSettings = Field(
        default=ResultSettings(), description="which objects answer a request"
    )
    decoding: DecodingSettings = Field(
        default=DecodingSettings(), description="limits for received objects"
    )
