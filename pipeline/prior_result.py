"""The result of an earlier answer, which a later one about the same image replaces."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PriorResult"]


@dataclass(frozen=True)
class PriorResult:
    """The report of an earlier answer about the same image (PS3.3 C.17.2.1, predecessor).

    ``companion`` is the other structured report of that answer, where it had one.
    """

    study_uid: str
    series_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    companion: PriorResult | None = None
