"""Everything training can refuse. A class's docstring is its message."""

from __future__ import annotations

__all__ = ["DataError", "DivergedError", "ExportError", "TrainingError"]


class TrainingError(Exception):
    """A training step could not finish.

    Parameters
    ----------
    detail
        What and why, without any patient's data.
    """

    def __init__(self, detail: str = "") -> None:
        message = (type(self).__doc__ or "").strip().splitlines()[0]
        super().__init__(f"{message} {detail}".strip())
        self.detail = detail


class DataError(TrainingError):
    """The training data cannot be used."""


class ExportError(TrainingError):
    """The exported model does not say what the trained one says."""


class DivergedError(TrainingError):
    """The training cannot go on: its numbers are lost."""
