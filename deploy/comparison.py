"""The comparison of what a PACS lists with what the ledger knows."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property

from deploy.life_line import WITH_A_PLACE, Indexed, unfinished_indexing
from deploy.reconciliation import Gap, Standing, Withdrawal
from listener.errors import QueryError
from listener.instance import unused_reason
from listener.job import Job, JobState
from listener.ledger import Ledger
from listener.milestone import Milestone
from listener.query import ArchiveQuery, Found, InstanceEntry, SeriesEntry, StudyEntry
from listener.receipt import InstanceRow, InstanceState
from listener.reconciliation_settings import ReconciliationSettings

__all__ = ["Compared", "Comparison"]

Tracked = Callable[[Sequence[str], str], Iterable[str]]
"""Passes things on, one by one, and shows how far that is; the text says what is done."""


@dataclass(eq=False)
class Compared:
    """What was found so far; see `deploy.reconciliation.Reconciliation`."""

    complete: bool = True
    warnings: list[str] = field(default_factory=list)
    studies: int = 0
    standings: Counter[Standing] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    gaps: list[Gap] = field(default_factory=list)
    withdrawn: list[Withdrawal] = field(default_factory=list)
    unusable: int = 0


class Comparison:
    """Compares days of a PACS with the ledger.

    Parameters
    ----------
    ledger
        What was received, and what became of it.
    query
        Asks the PACS.
    wanted
        Which series are compared.
    is_own
        Recognises UIDs that this plugin gave: its results come from here.
    own_ae_title
        Under which it hands files over to itself, which the PACS need not have.
    tracked
        Shows progress.
    """

    def __init__(
        self,
        ledger: Ledger,
        query: ArchiveQuery,
        wanted: ReconciliationSettings,
        *,
        is_own: Callable[[str], bool],
        own_ae_title: str,
        tracked: Tracked = lambda things, _: things,
    ) -> None:
        self._ledger = ledger
        self._query = query
        self._wanted = wanted
        self._is_own = is_own
        self._own_ae_title = own_ae_title
        self._tracked = tracked
        self._deadline = time.monotonic() + wanted.run_seconds

    def run(self, days: Sequence[date]) -> Compared:
        """Compare the studies of these days, and what was received since the first of them.

        Where the PACS cannot be asked any more, what was found so far is returned, and said to be
        incomplete.
        """
        found = Compared()
        try:
            listed = self._listed(days, found)
            for study_uid in self._tracked(sorted(listed), "comparing studies"):
                self._check_time()
                self._compare(listed[study_uid], found)
            for study_uid in self._tracked(self._received(days, listed), "looking for the others"):
                self._check_time()
                self._look_for(study_uid, found)
        except QueryError as error:
            found.complete = False
            found.warnings.append(error.detail)
        if found.unusable:
            words = f"{found.unusable} answers of the PACS could not be read and were left out."
            found.warnings.append(words)
        return found

    def _check_time(self) -> None:
        if time.monotonic() > self._deadline:
            msg = f"run_seconds ({self._wanted.run_seconds:.0f}) are over: ask for fewer days."
            raise QueryError(msg)

    def _listed(self, days: Sequence[date], found: Compared) -> dict[str, StudyEntry]:
        listed: dict[str, StudyEntry] = {}
        for day in self._tracked([f"{day}" for day in days], "asking for days"):
            for modality in self._wanted.image_modalities:
                self._check_time()
                answer = self._query.studies(date.fromisoformat(day), modality)
                self._note(answer, f"{modality} studies of {day}", found)
                listed |= {entry.uid: entry for entry in answer.entries if self._counts(entry)}
        return listed

    def _counts(self, entry: StudyEntry) -> bool:
        """Tell whether a study can hold what is compared: not every PACS heeds a modality."""
        other = entry.modalities and not entry.modalities & set(self._wanted.image_modalities)
        return not other and not self._is_own(entry.uid)

    def _note(
        self,
        answer: Found[StudyEntry] | Found[SeriesEntry] | Found[InstanceEntry],
        what: str,
        found: Compared,
    ) -> None:
        found.unusable += answer.unusable
        if answer.cut:
            found.complete = False
            words = f"The PACS may have kept back some {what}: raise its limit of answers."
            if words not in found.warnings:
                found.warnings.append(words)

    def _compare(self, entry: StudyEntry, found: Compared) -> None:
        there, here = self._contents(entry, found), _Here(self._ledger, entry.uid)
        self._note_withdrawn(entry.uid, here, there, found)
        found.studies += bool(there.instances)
        gaps: dict[tuple[str, Standing, str], list[str]] = defaultdict(list)
        for series_uid, uids in there.instances.items():
            for uid in sorted(uids):
                standing, reason = here.standing(uid)
                found.standings[standing] += 1
                if standing is Standing.LEFT_OUT:
                    found.left_out[reason] += 1
                elif standing in _GAPS:
                    gaps[series_uid, standing, reason].append(uid)
        found.gaps += [
            Gap(
                study_instance_uid=entry.uid,
                series_instance_uid=series_uid,
                sop_instance_uids=tuple(uids),
                standing=standing,
                reason=reason,
            )
            for (series_uid, standing, reason), uids in gaps.items()
        ]

    def _received(self, days: Sequence[date], listed: Iterable[str]) -> list[str]:
        """Return the studies that were received in these days, and are of none of them."""
        within = timedelta(days=len(days))
        return sorted({*self._ledger.studies_received(within, WITH_A_PLACE)} - set(listed))

    def _look_for(self, study_uid: str, found: Compared) -> None:
        """Look whether the PACS still has what is indexed of a study."""
        here = _Here(self._ledger, study_uid)
        if not list(self._from_the_pacs(here)):
            return
        answer = self._query.study(study_uid)
        entry = next(iter(answer.entries), None)
        if entry is None and answer.unusable:
            self._note(answer, "studies that are indexed here", found)
            return
        there = _There() if entry is None else self._contents(entry, found)
        self._note_withdrawn(study_uid, here, there, found)

    def _note_withdrawn(self, study_uid: str, here: _Here, there: _There, found: Compared) -> None:
        gone = [
            row.sop_instance_uid
            for row in self._from_the_pacs(here)
            if there.lacks(row.series_uid, row.sop_instance_uid)
        ]
        if gone:
            one = Withdrawal(study_instance_uid=study_uid, sop_instance_uids=tuple(gone))
            found.withdrawn.append(one)

    def _from_the_pacs(self, here: _Here) -> Iterator[InstanceRow]:
        return (row for row in here.in_use() if row.calling_ae != self._own_ae_title)

    def _contents(self, entry: StudyEntry, found: Compared) -> _There:
        """Ask what a study holds of the kinds that are compared."""
        answer = self._query.series(entry.uid)
        self._note(answer, "series of a study", found)
        images = [s for s in answer.entries if self._is_image(entry, s)]
        reports = [s for s in answer.entries if s.modality in self._wanted.report_modalities]
        there = _There({series.uid for series in answer.entries}, _is_whole(answer))
        for series in (*images, *reports) if images else ():
            listed = self._query.instances(entry.uid, series.uid)
            self._note(listed, "instances of a series", found)
            there.whole = there.whole and _is_whole(listed)
            there.asked[series.uid] = {one.uid for one in listed.entries}
            there.instances[series.uid] = {
                one.uid for one in listed.entries if not self._is_own(one.uid) and _may_be_used(one)
            }
        return there

    def _is_image(self, study: StudyEntry, series: SeriesEntry) -> bool:
        if series.modality not in self._wanted.image_modalities:
            return False
        part, parts = series.body_part, self._wanted.body_parts
        if part and parts and part not in parts and "WRIST" not in part:
            return False
        text = f"{study.description} {series.description}".strip().casefold()
        words = self._wanted.words
        return not words or not text or any(word.casefold() in text for word in words)


_GAPS = frozenset({Standing.MISSING, Standing.LOST, Standing.FAILED, Standing.QUARANTINED})


def _is_whole(answer: Found[SeriesEntry] | Found[InstanceEntry]) -> bool:
    """Tell whether an answer can be believed to leave nothing out; an empty one cannot."""
    return bool(answer.entries) and not answer.cut and not answer.unusable


def _may_be_used(one: InstanceEntry) -> bool:
    return not one.sop_class_uid or unused_reason(one.sop_class_uid) is None


@dataclass(eq=False)
class _There:
    """What the PACS lists of a study; ``asked`` holds the instances of the series looked into."""

    series: set[str] = field(default_factory=set)
    whole: bool = True
    asked: dict[str, set[str]] = field(default_factory=dict)
    instances: dict[str, set[str]] = field(default_factory=dict)

    def lacks(self, series_uid: str, sop_instance_uid: str) -> bool:
        """Tell whether the PACS has no such instance; False where that is not certain."""
        if not self.whole:
            return False
        if series_uid not in self.series:
            return True
        return series_uid in self.asked and sop_instance_uid not in self.asked[series_uid]


class _Here:
    """What the ledger knows of a study."""

    def __init__(self, ledger: Ledger, study_uid: str) -> None:
        self._ledger = ledger
        self._study_uid = study_uid
        self._rows: dict[str, InstanceRow] = {}
        for row in ledger.instances(study_uid, tuple(InstanceState)):
            before = self._rows.get(row.sop_instance_uid)
            if before is None or before.state is not InstanceState.STORED:
                self._rows[row.sop_instance_uid] = row

    def standing(self, sop_instance_uid: str) -> tuple[Standing, str]:
        """Say how an instance stands, and why."""
        row = self._rows.get(sop_instance_uid)
        if row is None:
            return self._elsewhere(sop_instance_uid)
        if row.state in _BY_STATE:
            return _BY_STATE[row.state], row.reason or ""
        place = self._place(row)
        if place.state == "failed":
            return Standing.FAILED, place.reason or ""
        if place.state == "waiting":
            return Standing.WAITING, ""
        if place.state == "indexed":
            return Standing.INDEXED, ""
        return Standing.LEFT_OUT, place.reason or ""

    def in_use(self) -> Iterator[InstanceRow]:
        """Yield what of the study is in the index, as an image or by a report."""
        for row in self._rows.values():
            place = Indexed.of(row, self._milestones, self._serving)
            if place is not None and place.used_as:
                yield row

    def _elsewhere(self, sop_instance_uid: str) -> tuple[Standing, str]:
        rows = self._ledger.receipt(sop_instance_uid)
        if not rows:
            return Standing.MISSING, ""
        if all(row.state is InstanceState.FILTERED for row in rows):
            return Standing.LEFT_OUT, rows[-1].reason or ""
        return Standing.QUARANTINED, "it was received as part of another study"

    def _place(self, row: InstanceRow) -> Indexed:
        pending = unfinished_indexing(self._jobs)
        place = Indexed.of(row, self._milestones, self._serving)
        dead = pending is not None and pending.state is JobState.DEAD
        if place is not None and not (dead and place.reason):
            return place
        if row.state is InstanceState.EXPIRED:
            return Indexed("not indexed", reason=row.reason)
        return Indexed.not_yet(self._ledger.study(self._study_uid), pending)

    @cached_property
    def _milestones(self) -> tuple[Milestone, ...]:
        return self._ledger.milestones(self._study_uid)

    @cached_property
    def _serving(self) -> str | None:
        return self._ledger.indices.serving()

    @cached_property
    def _jobs(self) -> tuple[Job, ...]:
        return self._ledger.jobs(subject=self._study_uid, limit=_MOST_JOBS)


_BY_STATE = {
    InstanceState.FILTERED: Standing.LEFT_OUT,
    InstanceState.QUARANTINED: Standing.QUARANTINED,
    InstanceState.LOST: Standing.LOST,
}
_MOST_JOBS = 1000
