"""Everything the pipeline can refuse. A class's docstring is its message."""

from __future__ import annotations

__all__ = [
    "BundleError",
    "DecodeError",
    "IdentityError",
    "IndexUnavailableError",
    "PipelineError",
    "RequestError",
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


class DecodeError(PipelineError):
    """The object cannot be read within its limits."""


class IndexUnavailableError(PipelineError):
    """The index cannot be reached."""


class RequestError(PipelineError):
    """The request cannot be answered."""


class IdentityError(PipelineError):
    """A result does not belong to the patient and study of its query."""
