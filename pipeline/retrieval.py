"""The paper's retrieval: alike as a whole first, then alike in the bone that was asked about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Final
from uuid import UUID

from pipeline.calibration import Calibration
from pipeline.errors import BundleError, RequestError
from pipeline.exam import Exam
from pipeline.index import NAMES, ExamIndex
from pipeline.pool import Candidate, Pools
from pipeline.region import GLOBAL, Laterality, Region
from pipeline.remark import Remark
from pipeline.request import Answer, Match, Mode, RegionAnswer, Request
from pipeline.reserve import reserve

__all__ = ["Retriever"]

_ADULT_YEARS: Final = 19


class Retriever:
    """Answers requests from an index.

    How the pool of candidates is drawn and ranked, by mode:

    ``two_stage``
        WristMIR, section 3.2: the ``candidates`` exams nearest by the global vector (equation 3),
        reranked by the bone's vector (equation 4).
    ``global``
        The same pool in its own order.
    ``region``
        Appendix F: the exams nearest by the bone's vector alone.
    ``fused``
        The union of the exams nearest by the global and by the bone's vector, by the mean of
        their two calibrated similarity indices.

    The pool and all its scores come from one batched request to the engine's Query API: one query
    for each vector that the answer speaks of, with the pool as its prefetch. So the global
    similarity of a reranked match is the engine's own, at the cost of one more scoring in the
    same request, and an exam that lacks the bone stays in the pool, where a bare rerank would
    drop it silently. Such exams rank after all that have the bone, by global similarity, and say
    so. The last cut to ``k`` is made here, so that equal scores are ordered by point id whatever
    the engine. What is behind the cut is kept in part, for a reader who weighs bone and wrist
    otherwise (`pipeline.reserve`). Which exams may be candidates at all: see `pipeline.pool.Pools`.

    Parameters
    ----------
    index
        The exams, of the bundle that encodes the queries.
    calibration
        For each named vector, from the bundle's manifest.
    own_patient
        Whether other studies of the query's own patient may be matches.

    Raises
    ------
    BundleError
        Where the calibration of a vector is missing.
    """

    def __init__(
        self,
        index: ExamIndex,
        calibration: Mapping[str, Calibration],
        *,
        own_patient: bool = False,
    ) -> None:
        missing = [name for name in NAMES if name not in calibration]
        if missing:
            message = f"Its manifest has no calibration for {', '.join(missing)}."
            raise BundleError(message)
        self._index = index
        self._calibration = calibration
        self._own_patient = own_patient

    def answer(
        self, query: Exam, request: Request, now: datetime, *, further: bool = False
    ) -> Answer:
        """Return the ranked matches for every bone that was asked about.

        Parameters
        ----------
        query
            The radiograph asked about, encoded by the index's bundle; it need not be indexed.
        request
            What is asked. No region asks for the wrist as a whole.
        now
            Time of the answer, timezone-aware.
        further
            Whether candidates behind the matches are kept, which takes some milliseconds.

        Returns
        -------
        Answer
            One `RegionAnswer` for each region, in the order asked; a region asked twice is
            answered once. ``seconds`` holds ``search`` and ``fetch``.

        Raises
        ------
        RequestError
            Where the request or the query cannot be answered as it is.
        IndexUnavailableError
            Where the engine cannot be reached.
        """
        _check(query, request, now, self._index.bundle_id)
        started = perf_counter()
        pools = Pools(self._index, query, request, own_patient=self._own_patient)
        asked = tuple(dict.fromkeys(request.regions)) or (None,)
        rankings = [self._ranking(query, request, region, pools, further) for region in asked]
        searched = perf_counter()
        best = dict.fromkeys(one.id for ranking in rankings for one in ranking.best)
        behind = dict.fromkeys(one.id for ranking in rankings for one in ranking.further)
        priors = self._index.fetch(list(best))
        others = [point for point in behind if point not in best]
        found = {**self._index.fetch(others, vectors=False), **priors} if others else priors
        fetched = perf_counter()
        return Answer(
            query=query,
            request=request,
            regions=tuple(self._region_answer(query, ranking, found) for ranking in rankings),
            pool_size=pools.size,
            bundle_id=self._index.bundle_id,
            answered_at=now,
            warnings=tuple(_warnings(query, priors.values())),
            seconds={"search": searched - started, "fetch": fetched - searched},
        )

    def _ranking(
        self,
        query: Exam,
        request: Request,
        region: Region | None,
        pools: Pools,
        further: bool,
    ) -> _Ranking:
        located = region if region in query.vectors else None
        by = None if request.mode is Mode.GLOBAL else located
        pool = pools.pool(by)
        candidates = sorted(pool.candidates, key=lambda c: self._order(c, by, request.mode))
        best = tuple(candidates[: request.k])
        judge, name = self._calibration[by or GLOBAL], by or GLOBAL
        return _Ranking(
            region=region,
            located=located,
            best=best,
            further=self._further(candidates, located, len(best)) if further else (),
            fallbacks=(*_without_bone(region, located, by, best), *pool.fallbacks),
            nothing_similar=not any(
                judge.similar(c.scores[name]) for c in candidates if name in c.scores
            ),
        )

    def _further(
        self, candidates: Sequence[Candidate], located: Region | None, matches: int
    ) -> tuple[Candidate, ...]:
        whole, bone = self._calibration[GLOBAL], self._calibration[located or GLOBAL]
        name = located or ""
        indices = [
            (
                whole.index(_cosine(one.scores[GLOBAL])),
                bone.index(_cosine(one.scores[name])) if name in one.scores else 0.0,
            )
            for one in candidates
        ]
        return tuple(candidates[position] for position in reserve(indices, matches))

    def _order(
        self, candidate: Candidate, by: Region | None, mode: Mode
    ) -> tuple[bool, float, float, float, UUID]:
        """Return a sort key, the best smallest; equal scores are ordered by id."""
        whole = candidate.scores[GLOBAL]
        bone = None if by is None else candidate.scores.get(by)
        if by is None or bone is None:
            return by is not None, -whole, 0.0, 0.0, candidate.id
        if mode is not Mode.FUSED:
            return False, -bone, 0.0, 0.0, candidate.id
        mean = (self._calibration[GLOBAL].index(whole) + self._calibration[by].index(bone)) / 2
        return False, -mean, -bone, -whole, candidate.id

    def _region_answer(
        self, query: Exam, ranking: _Ranking, priors: Mapping[UUID, Exam]
    ) -> RegionAnswer:
        # an exam may have been removed between search and fetch
        here = [candidate for candidate in ranking.kept if candidate.id in priors]
        ranked = tuple(
            self._match(rank, candidate, priors[candidate.id], query, ranking.located)
            for rank, candidate in enumerate(here, start=1)
        )
        returned = sum(candidate.id in priors for candidate in ranking.best)
        return RegionAnswer(
            region=ranking.region,
            matches=ranked[:returned],
            fallbacks=ranking.fallbacks,
            nothing_similar=ranking.nothing_similar,
            further=ranked[returned:],
        )

    def _match(
        self, rank: int, candidate: Candidate, prior: Exam, query: Exam, located: Region | None
    ) -> Match:
        whole = _cosine(candidate.scores[GLOBAL])
        bone: float | None = None
        bone_index: float | None = None
        if located is not None and located in candidate.scores:
            bone = _cosine(candidate.scores[located])
            bone_index = self._calibration[located].index(bone)
        return Match(
            rank=rank,
            exam=prior,
            global_similarity=whole,
            region_similarity=bone,
            global_index=self._calibration[GLOBAL].index(whole),
            region_index=bone_index,
            mirrored={query.laterality, prior.laterality} == {Laterality.LEFT, Laterality.RIGHT},
            reasons=(_side(query, prior), _age(query, prior), *_limits(prior, candidate, located)),
        )


@dataclass(frozen=True, eq=False)
class _Ranking:
    """The best candidates for one question; ``located`` is the region where the query has it."""

    region: Region | None
    located: Region | None
    best: tuple[Candidate, ...]
    further: tuple[Candidate, ...]
    fallbacks: tuple[str, ...]
    nothing_similar: bool

    @property
    def kept(self) -> tuple[Candidate, ...]:
        """The best, then the further ones."""
        return (*self.best, *self.further)


def _check(query: Exam, request: Request, now: datetime, bundle_id: str) -> None:
    band = request.age_band_years
    if request.k < 1 or request.candidates < 1 or (band is not None and not band >= 0):
        message = "k and candidates must be 1 or more, and an age band 0 years or more."
        raise RequestError(message)
    if now.tzinfo is None:
        message = "The time of the answer must be timezone-aware."
        raise RequestError(message)
    if query.bundle_id != bundle_id:
        message = (
            f"The query was encoded by bundle {query.bundle_id!r}, the index holds "
            f"{bundle_id!r}: encode it again."
        )
        raise RequestError(message)
    if GLOBAL not in query.vectors:
        message = "The query has no global vector: no wrist was found in it."
        raise RequestError(message)


def _without_bone(
    region: Region | None, located: Region | None, by: Region | None, best: tuple[Candidate, ...]
) -> Iterator[str]:
    """Say where the bone is missing: in the query, or in matches ranked by it."""
    if region is not None and located is None:
        yield Remark("fallback.bone_missing", bone=region)
    lacking = sum(by not in candidate.scores for candidate in best) if by is not None else 0
    if by is not None and lacking:
        yield Remark(
            "fallback.bone_missing_in_matches", lacking=lacking, matches=len(best), bone=by
        )


def _side(query: Exam, prior: Exam) -> str:
    if Laterality.UNKNOWN in (query.laterality, prior.laterality):
        return Remark("reason.side_unknown")
    same = query.laterality is prior.laterality
    return Remark("reason.same_side" if same else "reason.other_side")


def _age(query: Exam, prior: Exam) -> str:
    """Return the difference of age in coarse steps, which do not give the prior's age away."""
    if query.age_years is None or prior.age_years is None:
        return Remark("reason.age_unknown")
    apart = abs(query.age_years - prior.age_years)
    for years in (2, 5):
        if apart <= years:
            return Remark("reason.age_within", years=years)
    return Remark("reason.age_apart", years=5)


def _limits(prior: Exam, candidate: Candidate, located: Region | None) -> Iterator[str]:
    """Say what makes a prior less of a match than its rank suggests."""
    if located is not None and located not in candidate.scores:
        yield Remark("reason.bone_missing", bone=located)
    if prior.age_years is not None and prior.age_years >= _ADULT_YEARS:
        yield Remark("reason.adult")


def _warnings(query: Exam, priors: Iterable[Exam]) -> Iterator[str]:
    if query.age_years is None:
        yield Remark("warning.age_unknown")
    elif query.age_years >= _ADULT_YEARS:
        yield Remark("warning.adult")
    if any(prior.runtime != query.runtime for prior in priors):
        yield Remark("warning.runtimes")


def _cosine(score: float) -> float:
    """Return an engine's score without the rounding beyond ±1."""
    return min(max(score, -1.0), 1.0)
