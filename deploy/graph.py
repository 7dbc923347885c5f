"""The graph of the embedded index, built by a command of its own."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any

from rich.console import Console

from deploy.assembly import open_index
from deploy.settings import Settings
from deploy.state import check_owner
from pipeline.bundle import Bundle

__all__ = ["GraphReport", "build_graph"]


@dataclass(frozen=True)
class GraphReport:
    """How many exams there are, whether anything was built, and how long that took."""

    exams: int
    built: bool
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the report as one JSON object."""
        return {"exams": self.exams, "built": self.built, "seconds": round(self.seconds, 1)}

    def as_sentence(self) -> str:
        """Return the report in words."""
        if not self.built:
            return f"{self.exams} exams: nothing to build."
        return f"{self.exams} exams: the graph was built in {self.seconds:.1f} s."


def build_graph(settings: Settings) -> GraphReport:
    """Build what makes searching a very large index fast; the worker must be stopped.

    Raises
    ------
    IndexUnavailableError
        Where a running service owns the index.
    """
    if settings.state_dir.exists():
        check_owner(settings.state_dir)
    bundle = Bundle.load(settings.bundle)
    with open_index(settings, bundle) as index:
        exams, started = index.count(), perf_counter()
        with Console(stderr=True).status(f"Building the graph of {exams} exams …"):
            built = index.optimize()
        return GraphReport(exams, built, perf_counter() - started)
