"""Everything the pipeline can refuse. A class's docstring is its message."""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "PASSING",
    "AnswerError",
    "BundleError",
    "DecodeError",
    "DecodeReason",
    "DecoderUnavailableError",
    "FeedbackError",
    "GoldError",
    "IdentityError",
    "IndexUnavailableError",
    "KeyFileError",
    "LanguageModelUnavailableError",
    "PictureWithheldError",
    "PipelineError",
    "PriorRejectedError",
    "PromptError",
    "RelevanceReportError",
    "ReportError",
    "RequestError",
    "ResultError",
    "SealError",
    "UnreadError",
]


class PipelineError(Exception):
    """The pipeline could not finish a step.

    Parameters
    ----------
    detail
        What and why, without any patient's data: it is logged and kept with the job.
    """

    def __init__(self, detail: str = "") -> None:
        message = (type(self).__doc__ or "").strip().splitlines()[0]
        super().__init__(f"{message} {detail}".strip())
        self.detail = detail


class BundleError(PipelineError):
    """The bundle cannot be used."""


class DecodeReason(StrEnum):
    """Why an object could not be read; a closed list, so that no value of an object can leak."""

    NOT_DICOM = "not_dicom"
    UNREADABLE = "unreadable"
    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    IDENTITY = "identity"
    TOO_DEEP = "too_deep"
    LIMITS = "limits"
    NO_PIXELS = "no_pixels"
    MULTI_FRAME = "multi_frame"
    UNSUPPORTED = "unsupported"
    CODEC = "codec"
    DOCUMENT = "document"
    TIMEOUT = "timeout"
    CRASHED = "crashed"

    @property
    def words(self) -> str:
        """The reason as a sentence fragment for logs and receipts."""
        return _DECODE_WORDS[self]


PASSING = frozenset({DecodeReason.TIMEOUT, DecodeReason.CRASHED, DecodeReason.UNREADABLE})
"""Reasons that may lie in the machine and not in the object: worth another try."""

_DECODE_WORDS = {
    DecodeReason.NOT_DICOM: "it is no DICOM Part 10 file",
    DecodeReason.UNREADABLE: "the file cannot be opened",
    DecodeReason.TRUNCATED: "it ends before its declared length",
    DecodeReason.MALFORMED: "its elements contradict the standard or one another",
    DecodeReason.IDENTITY: "an identifier of patient, study or instance is missing or not valid",
    DecodeReason.TOO_DEEP: "its sequences are nested too deeply",
    DecodeReason.LIMITS: "it is larger than the configured limits",
    DecodeReason.NO_PIXELS: "it holds no pixel data",
    DecodeReason.MULTI_FRAME: "it holds several frames; a radiograph has one",
    DecodeReason.UNSUPPORTED: "its transfer syntax or pixel format is not supported",
    DecodeReason.CODEC: "its compressed pixels are damaged",
    DecodeReason.DOCUMENT: "its encapsulated document is damaged, locked, or of another kind",
    DecodeReason.TIMEOUT: "decoding did not end within its deadline",
    DecodeReason.CRASHED: "decoding ended the decoder's process",
}


class DecodeError(PipelineError):
    """The object cannot be read within its limits."""

    def __init__(self, reason: DecodeReason) -> None:
        super().__init__(f"{reason.value}: {reason.words}.")
        self.reason = reason


class DecoderUnavailableError(PipelineError):
    """The decoder's process cannot be started; look at its memory limit and at free memory."""


class ReportError(PipelineError):
    """The object is no report that can be read."""


class FeedbackError(PipelineError):
    """Relevance is said in one of five points, 1 to 5, of a match that an answer names."""


class RelevanceReportError(PipelineError):
    """The relevance that was returned cannot be used."""


class GoldError(PipelineError):
    """The gold reports cannot be used."""


class LanguageModelUnavailableError(PipelineError):
    """The language model that reads reports cannot be reached."""


class PromptError(PipelineError):
    """The prompt for the language model cannot be used."""


class AnswerError(PipelineError):
    """The language model's answer cannot be used."""


class UnreadError(PipelineError):
    """Files could not be read this time."""


class IndexUnavailableError(PipelineError):
    """The index cannot be reached."""


class RequestError(PipelineError):
    """The request cannot be answered."""


class IdentityError(PipelineError):
    """A result does not belong to the patient and study of its query."""


class PictureWithheldError(PipelineError):
    """The picture of a prior must not be shown to others.

    Parameters
    ----------
    detail
        As of every error.
    kind
        Names the sentence in which a result says why (``report.not_shared_…``); empty for none.
    """

    def __init__(self, detail: str = "", kind: str = "") -> None:
        super().__init__(detail)
        self.kind = kind


class PriorRejectedError(PipelineError):
    """A result refers to a library copy that was withdrawn since: it is to be answered anew."""


class KeyFileError(PipelineError):
    """The key of the crosswalk cannot be used."""


class SealError(PipelineError):
    """A row of the crosswalk was changed, or sealed with another key: restore file and key."""


class ResultError(PipelineError):
    """A result refers to something that its reader could not fetch, or in the wrong place."""
