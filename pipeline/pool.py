"""The candidates of an answer: which exams are compared with the query, and by what leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from pipeline.exam import Exam
from pipeline.index import ExamFilter, ExamIndex, Search
from pipeline.region import GLOBAL, Laterality, Region
from pipeline.remark import Remark
from pipeline.request import Mode, Request

__all__ = ["Candidate", "Pool", "Pools"]


@dataclass(frozen=True, eq=False)
class Candidate:
    """One exam of a pool: its point id and its cosine by each vector that it has."""

    id: UUID
    scores: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Pool:
    """Candidates in no order, and in words what had to be given up to find them."""

    candidates: tuple[Candidate, ...]
    fallbacks: tuple[str, ...]


class Pools:
    """The pools of one answer; bones that share a pool share its search.

    Never a candidate: the query itself, its study and, unless ``own_patient``, its patient's
    other exams; nor an exam of another projection. Where fewer than ``k`` candidates remain, the
    side is given up first and the age band next: an age band was asked for on purpose.

    Parameters
    ----------
    index, query, request
        Where, for which exam and for what the pools are drawn.
    own_patient
        Whether other studies of the query's own patient may be candidates.
    """

    def __init__(
        self, index: ExamIndex, query: Exam, request: Request, *, own_patient: bool
    ) -> None:
        self._index = index
        self._query = query
        self._request = request
        self._never = ExamFilter(
            view=query.view,
            not_patient=None if own_patient else query.patient_key,
            not_study=query.study_instance_uid,
            not_exam=query.sop_instance_uid,
        )
        self._pools: dict[frozenset[str], Pool] = {}

    @property
    def size(self) -> int:
        """How many different exams were candidates."""
        return len({c.id for pool in self._pools.values() for c in pool.candidates})

    def pool(self, by: Region | None) -> Pool:
        """Return the candidates for a ranking by this bone, or by the wrist as a whole."""
        draws = self._draws(by)
        drawn = frozenset(draws)
        if drawn not in self._pools:
            # a pool of the whole wrist is shared by the bones asked about: all of them score it
            bones = self._request.regions if by is None or len(draws) == 1 else (by,)
            self._pools[drawn] = self._drawn(draws, {GLOBAL, *bones})
        return self._pools[drawn]

    def _draws(self, by: Region | None) -> dict[str, int]:
        most = max(self._request.candidates, self._request.k)
        if by is not None and self._request.mode is Mode.REGION:
            # the global draw only fills up, where fewer than k exams have the bone
            return {by.value: most, GLOBAL: self._request.k}
        if by is not None and self._request.mode is Mode.FUSED:
            return {by.value: most, GLOBAL: most}
        return {GLOBAL: most}

    def _drawn(self, draws: Mapping[str, int], scored: set[str]) -> Pool:
        """Draw with every filter; give up one after the other while fewer than k remain."""
        vectors = {name: v for name, v in self._query.vectors.items() if name in scored}
        candidates: tuple[Candidate, ...] = ()
        given_up: tuple[str, ...] = ()
        for where, words in self._filters():
            found = self._index.search(Search(vectors, draws, where))
            # giving up a wish that brings nobody new is not worth it
            if len(found) > len(candidates):
                candidates = tuple(Candidate(i, s) for i, s in found.items() if GLOBAL in s)
                given_up = words
            if len(candidates) >= self._request.k:
                break
        return Pool(candidates, (*self._unknown(), *given_up, *self._scarce(len(candidates))))

    def _filters(self) -> list[tuple[ExamFilter, tuple[str, ...]]]:
        """Return the filters from strict to open, each with what it gives up in words."""
        side, ages = self._side(), self._ages()
        steps: list[tuple[ExamFilter, tuple[str, ...]]] = [
            (replace(self._never, side=side, ages=ages), ())
        ]
        words: tuple[str, ...] = ()
        if side is not None:
            words = (Remark("fallback.any_side", side=side),)
            steps.append((replace(self._never, ages=ages), words))
        if ages is not None:
            years = self._request.age_band_years
            words = (*words, Remark("fallback.any_age", count=years))
            steps.append((self._never, words))
        return steps

    def _side(self) -> Laterality | None:
        known = self._query.laterality is not Laterality.UNKNOWN
        return self._query.laterality if self._request.same_side and known else None

    def _ages(self) -> tuple[float, float] | None:
        age, band = self._query.age_years, self._request.age_band_years
        return None if age is None or band is None else (age - band, age + band)

    def _unknown(self) -> tuple[str, ...]:
        """Say which wishes could not be tried, because the query does not say enough."""
        said = []
        if self._request.same_side and self._side() is None:
            said.append(Remark("fallback.side_unknown"))
        if self._request.age_band_years is not None and self._ages() is None:
            said.append(Remark("fallback.age_unknown"))
        return tuple(said)

    def _scarce(self, count: int) -> tuple[str, ...]:
        if count >= self._request.k:
            return ()
        if count == 0:
            return (Remark("fallback.none"),)
        return (Remark("fallback.scarce", count=count),)
