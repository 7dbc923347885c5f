"""A line of life: what became of one version of a received instance, stage by stage.

UIDs stand in it, for the administrator who asks gave one; nothing that names a patient does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from listener.job import INDEX, Job, JobState
from listener.milestone import PLACED, Milestone
from listener.receipt import InstanceRow, InstanceState
from listener.study import StudyRow

__all__ = [
    "WITH_A_PLACE",
    "Asked",
    "Committed",
    "Delivered",
    "Indexed",
    "LifeLine",
    "SetAside",
    "unfinished_indexing",
]

DIGEST_SHOWN = 16
"""Hexadecimal digits of a digest that are enough to tell two contents apart."""


WITH_A_PLACE = frozenset({InstanceState.STORED, InstanceState.EXPIRED, InstanceState.LOST})
"""The states in which an instance can be something to the index."""


def unfinished_indexing(jobs: Iterable[Job]) -> Job | None:
    """Return the last job that indexes a study, where it has not ended well.

    Parameters
    ----------
    jobs
        The study's, the latest first.
    """
    last = next((job for job in jobs if job.kind in _INDEXING), None)
    return None if last is None or last.state is JobState.DONE else last


_INDEXING = (INDEX, "answer")  # an answer indexes its study itself; its name is the worker's


@dataclass(frozen=True)
class SetAside:
    """Since when, and why, an instance is not the current one that is worked with."""

    state: InstanceState
    at: datetime | None
    reason: str

    def as_json(self) -> dict[str, Any]:
        """Return the stage as JSON."""
        return {"state": self.state.value, "at": _time(self.at), "reason": self.reason}


@dataclass(frozen=True)
class Indexed:
    """What an instance is to the index that serves.

    ``state`` is ``indexed``, ``not indexed`` (for good, for ``reason``), ``waiting`` or
    ``failed`` (``job`` is dead). ``used_as`` is ``exam``, ``report`` or ``relevance`` (what
    a reader says of matches); a report is read at ``read_at``.
    """

    state: str
    used_as: str | None = None
    view: str | None = None
    side: str | None = None
    at: datetime | None = None
    bundle: str | None = None
    reason: str | None = None
    read_at: datetime | None = None
    job: int | None = None

    @classmethod
    def of(
        cls, row: InstanceRow, milestones: Iterable[Milestone], serving: str | None
    ) -> Indexed | None:
        """Return what an instance is to the serving index, or None where that is open.

        Parameters
        ----------
        row
            Its receipt.
        milestones
            Those of its study.
        serving
            The index that serves; None before the first.
        """
        if row.state not in WITH_A_PLACE:
            return cls("not indexed", reason=row.reason)
        same = row.sop_instance_uid, row.version, PLACED
        here = [
            m
            for m in milestones
            if (m.sop_instance_uid, m.version, m.kind) == same and serving in (None, m.index)
        ]
        if not here:
            return None
        told, detail = here[-1], here[-1].detail
        return cls(
            state="indexed" if detail.get("used_as") else "not indexed",
            used_as=detail.get("used_as"),
            view=detail.get("view"),
            side=detail.get("side"),
            at=told.at,
            bundle=told.index,
            reason=detail.get("reason"),
        )

    @classmethod
    def not_yet(cls, study: StudyRow, pending: Job | None) -> Indexed:
        """Return how an instance waits for the index, by the study's unfinished job if any."""
        if pending is not None:
            state = "failed" if pending.state is JobState.DEAD else "waiting"
            why = pending.last_error or f"job {pending.id} is {pending.state.value}"
            return cls(state, reason=why, job=pending.id)
        if study.indexed_generation >= study.generation:
            return cls("indexed", reason="with its study, before it was recorded for each instance")
        return cls("waiting", reason="its study has not gone quiet")

    def as_json(self) -> dict[str, Any]:
        """Return the stage as JSON."""
        return {
            "state": self.state,
            "used_as": self.used_as,
            "view": self.view,
            "side": self.side,
            "at": _time(self.at),
            "bundle": self.bundle,
            "reason": self.reason,
            "read_at": _time(self.read_at),
            "job": self.job,
        }


@dataclass(frozen=True)
class Asked:
    """One request that asked about an instance, or about its study as a whole.

    ``by`` is ``send`` (to a request title) or ``command``; ``state`` that of the job, which is
    None where retention has forgotten it. ``results`` names the result sets about this instance.
    """

    job: int | None
    by: str
    state: str
    asked_at: datetime
    answered_at: datetime | None
    regions: tuple[str, ...] = ()
    matches: int | None = None
    results: tuple[str, ...] = ()
    reason: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the stage as JSON."""
        return {
            "job": self.job,
            "by": self.by,
            "state": self.state,
            "asked_at": _time(self.asked_at),
            "answered_at": _time(self.answered_at),
            "regions": list(self.regions),
            "matches": self.matches,
            "results": list(self.results),
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Delivered:
    """What became of one result set: ``delivered``, ``waiting``, ``failed`` or ``not sent``.

    ``stored`` is one that the destination has and has not committed to yet.

    ``destination`` is None where that was not recorded, or retention has forgotten it.
    """

    result: str
    state: str
    at: datetime | None = None
    destination: str | None = None
    reason: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the stage as JSON."""
        return {
            "result": self.result,
            "state": self.state,
            "at": _time(self.at),
            "destination": self.destination,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Committed:
    """Whether the destination has taken over the safekeeping of a result set.

    ``committed``, ``waiting``, ``failed``, ``not offered`` by the destination, or ``not asked``.
    """

    result: str
    state: str = "not asked"
    at: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the stage as JSON."""
        return {"result": self.result, "state": self.state, "at": _time(self.at)}


@dataclass(frozen=True)
class LifeLine:
    """Every stage of one version of one instance.

    Parameters
    ----------
    row
        The receipt.
    file_there
        Whether its file lies in the inbox at this moment.
    set_aside
        None for the current version.
    """

    row: InstanceRow
    file_there: bool
    set_aside: SetAside | None
    indexed: Indexed
    answered: tuple[Asked, ...] = ()
    delivered: tuple[Delivered, ...] = ()
    committed: tuple[Committed, ...] = ()

    @property
    def durable_at(self) -> datetime | None:
        """When its bytes were on the disk; None where they were not kept at all.

        The receipt is written after the file, so that its own time tells both.
        """
        return None if self.row.path is None else self.row.received_at

    def as_json(self) -> dict[str, Any]:
        """Return the line as one JSON object; times in ISO 8601, UTC."""
        row = self.row
        return {
            "sop_instance_uid": row.sop_instance_uid,
            "series_instance_uid": row.series_uid,
            "study_instance_uid": row.study_uid,
            "version": row.version,
            "state": row.state.value,
            "received": {
                "at": _time(row.received_at),
                "calling_ae": row.calling_ae,
                "called_ae": row.called_ae,
                "sop_class_uid": row.sop_class_uid,
                "transfer_syntax_uid": row.transfer_syntax,
                "size": row.size,
                "digest": row.digest[:DIGEST_SHOWN],
            },
            "durable": {"at": _time(self.durable_at), "file_there": self.file_there},
            "set_aside": None if self.set_aside is None else self.set_aside.as_json(),
            "indexed": self.indexed.as_json(),
            "answered": [one.as_json() for one in self.answered],
            "delivered": [one.as_json() for one in self.delivered],
            "committed": [one.as_json() for one in self.committed],
        }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
