from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from invented_exams import BUNDLE, NOW, SIZE, invented_exam, quick_folder, random_units, unit
from qdrant_client import QdrantClient

from pipeline.calibration import Calibration
from pipeline.edge_index import EdgeIndex
from pipeline.errors import BundleError, RequestError
from pipeline.exam import Exam
from pipeline.index import NAMES, ExamIndex
from pipeline.region import GLOBAL, Laterality, Region, View
from pipeline.request import Answer, Match, Mode, RegionAnswer, Request
from pipeline.retrieval import Retriever
from pipeline.server_index import ServerIndex

# the in-memory client searches without payload indexes, and says so
pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning")

RADIUS, ULNA, STYLOID = Region
WHOLE = Calibration(knots=((-1.0, 0.0), (0.0, 10.0), (1.0, 100.0)), nothing_similar_below=0.4)
BONE = Calibration(knots=((-1.0, 0.0), (0.5, 60.0), (1.0, 100.0)), nothing_similar_below=0.7)
CALIBRATION = {name: WHOLE if name == GLOBAL else BONE for name in NAMES}


@contextmanager
def made(engine: str) -> Iterator[ExamIndex]:
    with quick_folder() as folder:
        index: ExamIndex = (
            EdgeIndex(folder, BUNDLE, SIZE)
            if engine == "edge"
            else ServerIndex(QdrantClient(":memory:"), BUNDLE, "test", SIZE)
        )
        with index:
            yield index


@pytest.fixture(params=["edge", "server"])
def index(request: pytest.FixtureRequest) -> Iterator[ExamIndex]:
    with made(request.param) as index:
        yield index


@pytest.fixture(scope="module", params=["edge", pytest.param("server", marks=pytest.mark.slow)])
def library(request: pytest.FixtureRequest) -> Iterator[tuple[ExamIndex, list[Exam]]]:
    """Three hundred priors of all sides, ages and patients, some without some bones."""
    exams = [random_exam(number) for number in range(300)]
    with made(request.param) as index:
        index.upsert(exams)
        yield index, exams


def random_exam(number: int) -> Exam:
    rng = np.random.default_rng(number)
    drawn = dict(zip(NAMES, random_units(4, number), strict=True))
    sides = [Laterality.LEFT, Laterality.RIGHT, Laterality.UNKNOWN]
    return invented_exam(
        number,
        vectors={n: v for n, v in drawn.items() if n == GLOBAL or rng.random() > 0.25},
        laterality=sides[rng.choice(3, p=[0.45, 0.45, 0.1])],
        age_years=None if rng.random() < 0.1 else round(float(rng.uniform(1, 18)), 2),
        patient_key=f"key-{number % 90}",
        view=View.PA if rng.random() > 0.05 else View.OBLIQUE,
    )


def ask(index: ExamIndex, query: Exam, **request: Any) -> Answer:
    return Retriever(index, CALIBRATION).answer(query, Request(**request), NOW)


def ask_one(index: ExamIndex, query: Exam, region: Region | None, **request: Any) -> RegionAnswer:
    (answered,) = ask(index, query, regions=() if region is None else (region,), **request).regions
    return answered


def numbers(matches: Iterable[Match]) -> list[int]:
    return [int(match.exam.sop_instance_uid.split(".")[3]) for match in matches]


def alike(whole: float, bone: float | None = None) -> dict[str, np.ndarray]:
    """Vectors at these cosines from those of `QUERY`; without a bone, no radius."""
    vectors = {GLOBAL: unit(whole, math.sqrt(1 - whole**2))}
    if bone is not None:
        vectors[RADIUS.value] = unit(bone, 0, math.sqrt(1 - bone**2))
    return vectors


QUERY = invented_exam(900, vectors={name: unit(1) for name in NAMES})


class TestAgainstBruteForce:
    @settings(max_examples=60, deadline=None)
    @given(data=st.data())
    def test_matches_and_scores_are_exactly_those_of_brute_force(
        self, library: tuple[ExamIndex, list[Exam]], data: st.DataObject
    ) -> None:
        index, exams = library
        query = data.draw(st.sampled_from(exams) | st.integers(1000, 1400).map(random_exam))
        request = Request(
            regions=(data.draw(st.sampled_from(Region)),),
            k=data.draw(st.integers(1, 20)),
            mode=data.draw(st.sampled_from(Mode)),
            candidates=data.draw(st.integers(5, 150)),
            same_side=data.draw(st.booleans()),
            age_band_years=data.draw(st.none() | st.sampled_from([1.0, 4.0])),
        )
        (answered,) = Retriever(index, CALIBRATION).answer(query, request, NOW).regions
        expected = brute_force(exams, query, request)
        assert [m.exam.sop_instance_uid for m in answered.matches] == [
            exam.sop_instance_uid for exam in expected
        ]
        for match, exam in zip(answered.matches, expected, strict=True):
            whole, bone = cosine(query, exam, GLOBAL), cosine(query, exam, request.regions[0])
            assert match.global_similarity == pytest.approx(whole, abs=1e-5)
            assert match.region_similarity == (
                None if bone is None else pytest.approx(bone, abs=1e-5)
            )

    @pytest.mark.parametrize("mode", Mode)
    def test_three_bones_at_once_are_answered_as_one_by_one(
        self, library: tuple[ExamIndex, list[Exam]], mode: Mode
    ) -> None:
        index, _ = library
        query = replace(random_exam(2000), vectors=QUERY.vectors)
        together = ask(index, query, mode=mode)
        assert [a.region for a in together.regions] == list(Region)
        for answered in together.regions:
            alone = ask_one(index, query, answered.region, mode=mode)
            assert numbers(answered.matches) == numbers(alone.matches)

    def test_both_engines_ask_the_query_api_once_for_three_bones(self, index: ExamIndex) -> None:
        index.upsert([invented_exam(n) for n in range(20)])
        calls = counted(index)
        ask(index, QUERY)
        name = "query_batch" if isinstance(index, EdgeIndex) else "query_batch_points"
        assert {call: n for call, n in calls.items() if "query" in call} == {name: 1}


class TestOrder:
    def test_the_bone_orders_what_the_whole_let_in(self, index: ExamIndex) -> None:
        index.upsert(
            [
                invented_exam(1, vectors=alike(0.9, 0.2)),
                invented_exam(2, vectors=alike(0.8, 0.7)),
                invented_exam(3, vectors=alike(0.1, 0.99)),
            ]
        )
        assert numbers(ask_one(index, QUERY, RADIUS, k=2, candidates=2).matches) == [2, 1]
        assert numbers(ask_one(index, QUERY, RADIUS, k=2, mode=Mode.GLOBAL).matches) == [1, 2]
        assert numbers(ask_one(index, QUERY, RADIUS, k=2, mode=Mode.REGION).matches) == [3, 2]

    def test_the_fused_order_is_that_of_the_mean_calibrated_index(self, index: ExamIndex) -> None:
        # (whole, bone) → indices: 1 → (82, 36), 2 → (55, 92), 3 → (19, 98)
        index.upsert(
            [
                invented_exam(1, vectors=alike(0.8, -0.1)),
                invented_exam(2, vectors=alike(0.5, 0.9)),
                invented_exam(3, vectors=alike(0.1, 0.975)),
            ]
        )
        answered = ask_one(index, QUERY, RADIUS, k=3, mode=Mode.FUSED)
        assert numbers(answered.matches) == [2, 1, 3]
        best = answered.matches[0]
        assert (best.global_index, best.region_index) == pytest.approx((55.0, 92.0), abs=0.01)

    def test_the_fused_pool_holds_what_either_vector_finds(self, index: ExamIndex) -> None:
        index.upsert(
            [
                invented_exam(1, vectors=alike(0.9, 0.0)),
                invented_exam(2, vectors=alike(0.5, 0.5)),
                invented_exam(3, vectors=alike(0.0, 0.9)),
            ]
        )
        answered = ask_one(index, QUERY, RADIUS, k=1, candidates=1, mode=Mode.FUSED)
        assert numbers(answered.matches) == [1]
        assert (
            ask(index, QUERY, regions=(RADIUS,), k=1, candidates=1, mode=Mode.FUSED).pool_size == 2
        )

    def test_equal_scores_are_ordered_by_point_id(self, index: ExamIndex) -> None:
        exams = [invented_exam(n, vectors=alike(0.5, 0.5)) for n in range(12)]
        index.upsert(exams)
        by_id = [exam.sop_instance_uid for exam in sorted(exams, key=lambda exam: exam.id)]
        for mode in Mode:
            found = ask_one(index, QUERY, RADIUS, k=5, mode=mode).matches
            assert [m.exam.sop_instance_uid for m in found] == by_id[:5]

    def test_ranks_count_from_one(self, index: ExamIndex) -> None:
        index.upsert([invented_exam(n) for n in range(5)])
        assert [m.rank for m in ask_one(index, QUERY, RADIUS).matches] == [1, 2, 3, 4, 5]

    def test_no_region_asks_for_the_wrist_as_a_whole(self, index: ExamIndex) -> None:
        index.upsert([invented_exam(n, vectors=alike(0.1 * n)) for n in range(4)])
        answered = ask_one(index, QUERY, None)
        assert answered.region is None
        assert numbers(answered.matches) == [3, 2, 1, 0]
        assert all(match.region_similarity is None for match in answered.matches)

    def test_a_region_asked_twice_is_answered_once(self, index: ExamIndex) -> None:
        assert len(ask(index, QUERY, regions=(RADIUS, RADIUS, ULNA)).regions) == 2


class TestMissingBone:
    @pytest.mark.parametrize("mode", [Mode.TWO_STAGE, Mode.REGION, Mode.FUSED])
    def test_a_prior_without_the_bone_ranks_last_and_says_why(
        self, index: ExamIndex, mode: Mode
    ) -> None:
        index.upsert(
            [
                invented_exam(1, vectors=alike(0.99)),
                invented_exam(2, vectors=alike(0.9)),
                invented_exam(3, vectors=alike(0.1, -0.5)),
            ]
        )
        answered = ask_one(index, QUERY, RADIUS, k=3, mode=mode)
        assert numbers(answered.matches) == [3, 1, 2]
        last = answered.matches[2]
        assert (last.region_similarity, last.region_index) == (None, None)
        assert last.global_similarity == pytest.approx(0.9, abs=1e-5)
        assert "distal radius not located in this prior" in last.reasons
        assert answered.fallbacks == (
            "In 2 of the 3 matches the distal radius was not located: "
            "ranked last, by the wrist as a whole.",
        )

    @pytest.mark.parametrize("mode", Mode)
    def test_a_query_without_the_bone_gets_the_global_list_and_is_told(
        self, index: ExamIndex, mode: Mode
    ) -> None:
        index.upsert([invented_exam(n, vectors=alike(0.1 * n, -0.1 * n)) for n in range(1, 5)])
        query = replace(QUERY, vectors={GLOBAL: unit(1)})
        answered = ask_one(index, query, RADIUS, k=3, mode=mode)
        assert answered.region is RADIUS
        assert numbers(answered.matches) == [4, 3, 2]
        assert all(match.region_similarity is None for match in answered.matches)
        assert answered.fallbacks == (
            "The distal radius was not located in the query: "
            "ranked by the wrist as a whole instead.",
        )


class TestCandidates:
    def test_the_query_its_study_and_its_patient_are_never_matches(self, index: ExamIndex) -> None:
        index.upsert(
            [
                QUERY,
                invented_exam(1, study_instance_uid=QUERY.study_instance_uid),
                invented_exam(2, patient_key=QUERY.patient_key),
                invented_exam(3),
            ]
        )
        for mode in Mode:
            assert numbers(ask_one(index, QUERY, RADIUS, mode=mode).matches) == [3]

    def test_the_patients_other_studies_come_by_explicit_wish_only(self, index: ExamIndex) -> None:
        index.upsert([QUERY, invented_exam(2, patient_key=QUERY.patient_key), invented_exam(3)])
        retriever = Retriever(index, CALIBRATION, own_patient=True)
        (answered,) = retriever.answer(QUERY, Request(regions=(RADIUS,)), NOW).regions
        assert set(numbers(answered.matches)) == {2, 3}

    def test_another_projection_is_never_a_match(self, index: ExamIndex) -> None:
        index.upsert([invented_exam(1, view=View.LATERAL), invented_exam(2)])
        assert numbers(ask_one(index, QUERY, RADIUS).matches) == [2]

    def test_the_other_side_is_left_out_while_enough_remain(self, index: ExamIndex) -> None:
        sides = [Laterality.LEFT] * 3 + [Laterality.RIGHT] * 3 + [Laterality.UNKNOWN]
        index.upsert([invented_exam(n, laterality=side) for n, side in enumerate(sides)])
        answered = ask_one(index, QUERY, RADIUS, k=3)
        assert set(numbers(answered.matches)) == {0, 1, 2}
        assert answered.fallbacks == ()

    def test_the_side_is_given_up_where_too_few_remain_and_that_is_said(
        self, index: ExamIndex
    ) -> None:
        sides = [Laterality.LEFT] * 3 + [Laterality.RIGHT] * 3
        index.upsert([invented_exam(n, laterality=side) for n, side in enumerate(sides)])
        answered = ask_one(index, QUERY, RADIUS, k=4)
        assert len(answered.matches) == 4
        assert answered.fallbacks == ("Too few priors of the left side: both sides were compared.",)
        for match in answered.matches:
            other = match.exam.laterality is Laterality.RIGHT
            assert match.mirrored is other
            assert match.reasons[0] == ("other side" if other else "same side")

    def test_the_side_goes_before_the_age_band_and_both_are_said(self, index: ExamIndex) -> None:
        index.upsert(
            [
                invented_exam(1, age_years=8.0),
                invented_exam(2, age_years=9.0, laterality=Laterality.RIGHT),
                invented_exam(3, age_years=15.0),
                invented_exam(4, age_years=None),
            ]
        )
        two = ask_one(index, QUERY, RADIUS, k=2, age_band_years=1)
        assert set(numbers(two.matches)) == {1, 2}
        assert two.fallbacks == ("Too few priors of the left side: both sides were compared.",)
        four = ask_one(index, QUERY, RADIUS, k=4, age_band_years=1)
        assert set(numbers(four.matches)) == {1, 2, 3, 4}
        assert four.fallbacks == (
            "Too few priors of the left side: both sides were compared.",
            "Too few priors within 1 year of age: every age was compared.",
        )

    def test_a_filter_is_kept_where_giving_it_up_brings_nobody(self, index: ExamIndex) -> None:
        index.upsert([invented_exam(1)])
        assert ask_one(index, QUERY, RADIUS, k=2).fallbacks == ("Only 1 prior could be compared.",)

    def test_a_query_of_unknown_side_and_age_is_compared_with_all_and_told(
        self, index: ExamIndex
    ) -> None:
        index.upsert([invented_exam(1), invented_exam(2, laterality=Laterality.RIGHT)])
        query = replace(QUERY, laterality=Laterality.UNKNOWN, age_years=None)
        answered = ask_one(index, query, RADIUS, k=2, age_band_years=2)
        assert set(numbers(answered.matches)) == {1, 2}
        assert answered.fallbacks == (
            "The side of the query is not known: both sides were compared.",
            "The age of the query is not known: every age was compared.",
        )
        assert {m.reasons[:2] for m in answered.matches} == {("side not known", "age not known")}
        assert not any(match.mirrored for match in answered.matches)

    def test_an_empty_index_gives_an_answer_that_says_so(self, index: ExamIndex) -> None:
        answer = ask(index, QUERY)
        assert answer.pool_size == 0
        for answered in answer.regions:
            assert answered.matches == ()
            assert answered.nothing_similar
            assert answered.fallbacks == ("The index holds no prior that can be compared.",)

    def test_the_pool_size_is_the_number_of_exams_compared(self, index: ExamIndex) -> None:
        index.upsert([invented_exam(n) for n in range(30)])
        assert ask(index, QUERY, candidates=12).pool_size == 12
        assert ask(index, QUERY, candidates=5, k=8).pool_size == 8


class TestSaid:
    def test_nothing_similar_is_said_where_no_bone_reaches_the_threshold(
        self, index: ExamIndex
    ) -> None:
        index.upsert([invented_exam(1, vectors=alike(0.99, 0.69))])
        far = ask_one(index, QUERY, RADIUS)
        assert far.nothing_similar
        assert len(far.matches) == 1
        assert not ask_one(index, QUERY, RADIUS, mode=Mode.GLOBAL).nothing_similar
        index.upsert([invented_exam(2, vectors=alike(0.5, 0.71))])
        assert not ask_one(index, QUERY, RADIUS).nothing_similar

    def test_likeness_as_a_whole_does_not_stand_in_for_the_bone(self, index: ExamIndex) -> None:
        index.upsert([invented_exam(1, vectors=alike(0.99))])
        assert ask_one(index, QUERY, RADIUS).nothing_similar

    def test_reasons_are_words_without_identifiers(self, index: ExamIndex) -> None:
        index.upsert(
            [
                invented_exam(1, vectors=alike(0.9, 0.8), age_years=10.5),
                invented_exam(2, vectors=alike(0.8, 0.7), age_years=13.0, findings_known=False),
                invented_exam(3, vectors=alike(0.7, 0.6), age_years=31.0),
            ]
        )
        reasons = [match.reasons for match in ask_one(index, QUERY, RADIUS).matches]
        assert reasons == [
            ("same side", "age within 2 years"),
            ("same side", "age within 5 years"),
            ("same side", "age more than 5 years apart", "an adult"),
        ]

    @pytest.mark.parametrize(
        ("age", "words"),
        [
            (18.9, ()),
            (19.0, ("The query shows an adult's wrist: the method is made for children's.",)),
            (
                None,
                ("The age of the query is not known: the method is made for children's wrists.",),
            ),
        ],
    )
    def test_a_query_that_is_no_child_gets_a_warning(
        self, index: ExamIndex, age: float | None, words: tuple[str, ...]
    ) -> None:
        index.upsert([invented_exam(1)])
        assert ask(index, replace(QUERY, age_years=age)).warnings == words

    def test_priors_of_another_runtime_get_a_warning(self, index: ExamIndex) -> None:
        index.upsert([invented_exam(1, runtime="another-runtime")])
        (warning,) = ask(index, QUERY).warnings
        assert "different runtimes" in warning

    def test_the_answer_carries_its_question_bundle_time_and_seconds(
        self, index: ExamIndex
    ) -> None:
        index.upsert([invented_exam(1)])
        request = Request(regions=(ULNA,))
        answer = Retriever(index, CALIBRATION).answer(QUERY, request, NOW)
        assert (answer.query, answer.request) == (QUERY, request)
        assert (answer.bundle_id, answer.answered_at) == (BUNDLE, NOW)
        assert answer.seconds.keys() == {"search", "fetch"}
        assert numbers(answer.regions[0].matches) == [1]


class TestRefused:
    @pytest.mark.parametrize(
        "request_", [Request(k=0), Request(candidates=0), Request(age_band_years=-1)]
    )
    def test_a_request_out_of_range(self, index: ExamIndex, request_: Request) -> None:
        with pytest.raises(RequestError):
            Retriever(index, CALIBRATION).answer(QUERY, request_, NOW)

    def test_a_query_of_another_bundle(self, index: ExamIndex) -> None:
        with pytest.raises(RequestError, match="another-2"):
            ask(index, replace(QUERY, bundle_id="another-2"))

    def test_a_query_without_a_wrist(self, index: ExamIndex) -> None:
        with pytest.raises(RequestError, match="no wrist"):
            ask(index, replace(QUERY, vectors={}))

    def test_a_time_without_a_zone(self, index: ExamIndex) -> None:
        with pytest.raises(RequestError, match="timezone"):
            Retriever(index, CALIBRATION).answer(QUERY, Request(), datetime(2026, 1, 1))  # noqa: DTZ001

    def test_a_calibration_that_lacks_a_vector(self, index: ExamIndex) -> None:
        with pytest.raises(BundleError, match="distal_ulna, ulnar_styloid"):
            Retriever(index, {GLOBAL: WHOLE, RADIUS.value: BONE})


def cosine(query: Exam, exam: Exam, name: str) -> float | None:
    if name not in query.vectors or name not in exam.vectors:
        return None
    return float(query.vectors[name].astype(np.float64) @ exam.vectors[name])


def brute_force(exams: list[Exam], query: Exam, request: Request) -> list[Exam]:
    """Say once more, slowly and without an engine, what the retriever promises."""
    (region,) = request.regions
    pool = eligible_pool(exams, query, request)
    by = None if request.mode is Mode.GLOBAL or region not in query.vectors else region

    def key(exam: Exam) -> tuple[float, float]:
        whole = cosine(query, exam, GLOBAL)
        assert whole is not None
        bone = None if by is None else cosine(query, exam, by)
        if bone is None:
            return (float(by is not None), -whole)
        if request.mode is Mode.FUSED:
            return (0.0, -(WHOLE.index(whole) + BONE.index(bone)))
        return (0.0, -bone)

    return sorted(pool, key=key)[: request.k]


def eligible_pool(exams: list[Exam], query: Exam, request: Request) -> list[Exam]:
    others = [
        e
        for e in exams
        if e.view is query.view
        and e.patient_key != query.patient_key
        and e.study_instance_uid != query.study_instance_uid
    ]
    side = request.same_side and query.laterality is not Laterality.UNKNOWN
    band = request.age_band_years if query.age_years is not None else None
    best: list[Exam] = []
    for keep_side, keep_age in [(True, True), (False, True), (False, False)]:
        left = [
            e
            for e in others
            if (not (side and keep_side) or e.laterality is query.laterality)
            and (not (band is not None and keep_age) or near(e, query, band))
        ]
        pool = drawn(left, query, request)
        best = pool if len(pool) > len(best) else best
        if len(best) >= request.k:
            break
    return best


def near(exam: Exam, query: Exam, band: float) -> bool:
    if exam.age_years is None or query.age_years is None:
        return False
    return query.age_years - band <= exam.age_years <= query.age_years + band


def drawn(exams: list[Exam], query: Exam, request: Request) -> list[Exam]:
    (region,) = request.regions
    most = max(request.candidates, request.k)
    whole = sorted(exams, key=lambda e: -(cosine(query, e, GLOBAL) or 0.0))
    having = [e for e in exams if cosine(query, e, region) is not None]
    bone = sorted(having, key=lambda e: -(cosine(query, e, region) or 0.0))
    if region not in query.vectors or request.mode in (Mode.GLOBAL, Mode.TWO_STAGE):
        return whole[:most]
    first = whole[: request.k if request.mode is Mode.REGION else most]
    return [*first, *(e for e in bone[:most] if e not in first)]


def counted(index: ExamIndex) -> Counter[str]:
    """Count the calls that an index makes to its engine."""
    calls: Counter[str] = Counter()

    class Counting:
        def __init__(self, engine: Any) -> None:
            self._engine = engine

        def __getattr__(self, name: str) -> Any:
            calls[name] += 1
            return getattr(self._engine, name)

    name = "_shard" if isinstance(index, EdgeIndex) else "_client"
    setattr(index, name, Counting(getattr(index, name)))
    return calls


class TestFurtherCandidates:
    """What is kept behind the matches, for a reader who weighs bone and wrist otherwise."""

    @pytest.mark.parametrize("mode", Mode)
    @pytest.mark.parametrize("k", [1, 10])
    def test_they_are_candidates_by_the_same_leave_and_stand_behind_the_matches(
        self, library: tuple[ExamIndex, list[Exam]], mode: Mode, k: int
    ) -> None:
        index, exams = library
        retriever = Retriever(index, CALIBRATION)
        request = Request(regions=(RADIUS, ULNA), k=k, mode=mode)
        for query in exams[::23]:
            plain = retriever.answer(query, request, NOW)
            answer = retriever.answer(query, request, NOW, further=True)
            assert not any(part.further for part in plain.regions)
            for part, same in zip(answer.regions, plain.regions, strict=True):
                assert numbers(part.matches) == numbers(same.matches)
                assert part.fallbacks == same.fallbacks
                shown = (*part.matches, *part.further)
                assert [match.rank for match in shown] == list(range(1, len(shown) + 1))
                assert len(set(numbers(shown))) == len(shown)
                assert len(part.matches) < len(shown) <= 50
                sides = {match.exam.laterality for match in shown}
                assert len(sides) == 1 or query.laterality is Laterality.UNKNOWN
                assert {match.exam.view for match in shown} == {query.view}
                assert query.patient_key not in {match.exam.patient_key for match in shown}

    def test_another_weight_finds_what_the_pool_had_for_it(self, index: ExamIndex) -> None:
        index.upsert(
            invented_exam(n, vectors=alike(0.2 + n / 100, 0.9 - n / 100)) for n in range(60)
        )
        (part,) = (
            Retriever(index, CALIBRATION)
            .answer(QUERY, Request(regions=(RADIUS,), k=5), NOW, further=True)
            .regions
        )
        assert numbers(part.matches) == [0, 1, 2, 3, 4]
        by_wrist = sorted(part.further, key=lambda match: -match.global_index)
        assert numbers(by_wrist[:5]) == [59, 58, 57, 56, 55]

    def test_no_result_speaks_of_them(self, index: ExamIndex) -> None:
        index.upsert(invented_exam(n, vectors=alike(0.9 - n / 100, 0.5)) for n in range(20))
        answer = Retriever(index, CALIBRATION).answer(
            QUERY, Request(regions=(RADIUS,), k=5), NOW, further=True
        )
        assert len(answer.priors) == 5
        assert len(answer.further) == 15
        assert len(answer.as_json()["regions"][0]["matches"]) == 5
