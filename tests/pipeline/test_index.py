from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from invented_exams import BUNDLE, SIZE, invented_exam, quick_folder, random_units, unit
from qdrant_client import QdrantClient

from pipeline.edge_index import EdgeIndex
from pipeline.errors import BundleError, IndexUnavailableError
from pipeline.exam import Exam, RegionFindings, exam_id
from pipeline.index import KEYWORDS, NAMES, NUMBERS, ExamFilter, ExamIndex, Findings, Search
from pipeline.payload import exam_of, payload
from pipeline.region import GLOBAL, Laterality, Region, View
from pipeline.server_index import ServerIndex

# the in-memory client searches without payload indexes, and says so
pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning")

RADIUS = Region.DISTAL_RADIUS.value


@pytest.fixture
def folder() -> Iterator[Path]:
    with quick_folder() as made:
        yield made


@pytest.fixture(params=["edge", "server"])
def open_index(request: pytest.FixtureRequest, folder: Path) -> Iterator[Callable[..., ExamIndex]]:
    client = QdrantClient(":memory:")
    opened: list[ExamIndex] = []

    def opener(bundle_id: str = BUNDLE, size: int = SIZE) -> ExamIndex:
        index: ExamIndex = (
            EdgeIndex(folder / "index", bundle_id, size)
            if request.param == "edge"
            else ServerIndex(client, bundle_id, "test", size)
        )
        opened.append(index)
        return index

    yield opener
    for index in opened:
        index.close()


@pytest.fixture
def index(open_index: Callable[..., ExamIndex]) -> ExamIndex:
    return open_index()


def same(one: Exam | None, other: Exam) -> bool:
    if one is None or one.vectors.keys() != other.vectors.keys():
        return False
    alike = all(np.allclose(one.vectors[n], other.vectors[n], atol=1e-6) for n in one.vectors)
    plain = [f.name for f in fields(Exam) if f.name != "vectors"]
    return alike and all(getattr(one, name) == getattr(other, name) for name in plain)


class TestPutIn:
    def test_an_exam_comes_back_as_it_was(self, index: ExamIndex) -> None:
        exam = invented_exam(1)
        index.upsert([exam])
        assert same(index.exam(exam.sop_instance_uid), exam)

    def test_an_exam_that_was_never_put_in_is_none(self, index: ExamIndex) -> None:
        assert index.exam("1.2.3") is None

    def test_putting_an_exam_in_twice_leaves_one(self, index: ExamIndex) -> None:
        index.upsert([invented_exam(1)])
        index.upsert([invented_exam(1), invented_exam(2)])
        assert index.count() == 2

    def test_an_exam_replaces_its_former_self_as_a_whole(self, index: ExamIndex) -> None:
        exam = invented_exam(1)
        poorer = replace(exam, vectors={GLOBAL: exam.vectors[GLOBAL]}, age_years=None, flags=())
        index.upsert([exam])
        index.upsert([poorer])
        assert same(index.exam(exam.sop_instance_uid), poorer)

    def test_a_missing_bone_is_no_vector_and_never_a_zero(self, index: ExamIndex) -> None:
        exam = invented_exam(1)
        index.upsert([replace(exam, vectors={n: exam.vectors[n] for n in (GLOBAL, RADIUS)})])
        found = index.exam(exam.sop_instance_uid)
        assert found is not None
        assert found.vectors.keys() == {GLOBAL, RADIUS}

    def test_nothing_to_put_in_is_no_error(self, index: ExamIndex) -> None:
        index.upsert([])
        assert index.count() == 0

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"bundle_id": "another-2"}, "another-2"),
            ({"vectors": {RADIUS: unit(1)}}, "global"),
            ({"vectors": {GLOBAL: unit(1, size=SIZE + 1)}}, "16 finite numbers"),
            ({"vectors": {GLOBAL: np.full(SIZE, np.nan, np.float32)}}, "finite"),
            ({"vectors": {GLOBAL: unit(1), "scaphoid": unit(1)}}, "scaphoid"),
        ],
    )
    def test_what_does_not_belong_is_refused_and_nothing_is_written(
        self, index: ExamIndex, changes: dict[str, object], words: str
    ) -> None:
        with pytest.raises(BundleError, match=words):
            index.upsert([invented_exam(1), invented_exam(2, **changes)])
        assert index.count() == 0


class TestTakeOut:
    def test_a_removed_exam_is_gone_and_the_others_stay(self, index: ExamIndex) -> None:
        index.upsert([invented_exam(n) for n in range(3)])
        index.remove([invented_exam(1).sop_instance_uid])
        assert index.exam(invented_exam(1).sop_instance_uid) is None
        assert index.count() == 2

    def test_removing_what_is_not_there_is_no_error(self, index: ExamIndex) -> None:
        index.remove(["1.2.3.4"])
        index.remove([])
        assert index.count() == 0


class TestStudy:
    def test_a_studys_exams_come_with_vectors_in_the_order_of_their_uids(
        self, index: ExamIndex
    ) -> None:
        both = [invented_exam(n, study_instance_uid="1.2.3.99") for n in (2, 1)]
        index.upsert([*both, invented_exam(3)])
        found = index.exams("1.2.3.99")
        assert [e.sop_instance_uid for e in found] == ["1.2.3.1.1", "1.2.3.2.1"]
        assert same(found[0], both[1])

    def test_a_study_of_more_exams_than_a_page_comes_whole(self, index: ExamIndex) -> None:
        index.upsert([invented_exam(n, study_instance_uid="1.2.3.99") for n in range(300)])
        assert len(index.exams("1.2.3.99")) == 300

    def test_an_unknown_study_has_none(self, index: ExamIndex) -> None:
        assert index.exams("1.2.3.98") == ()

    def test_exams_are_fetched_by_id_and_the_missing_left_out(self, index: ExamIndex) -> None:
        index.upsert([invented_exam(1)])
        one, gone = invented_exam(1).id, exam_id("1.2.3.4")
        assert index.fetch([gone, one]).keys() == {one}
        assert index.fetch([]) == {}


class TestFindings:
    def test_findings_replace_what_was_known_and_leave_the_vectors(self, index: ExamIndex) -> None:
        exam = invented_exam(1)
        found = Findings(
            findings={Region.ULNAR_STYLOID: RegionFindings("possible", "avulsion")},
            captions={"ulnar_styloid": "Ulnar styloid region showing an avulsion fracture."},
            other=("soft_tissue_swelling",),
            flags=(),
            findings_known=True,
        )
        index.upsert([replace(exam, findings_known=False)])
        assert index.set_findings(exam.sop_instance_uid, found)
        expected = replace(
            exam,
            findings=found.findings,
            captions=found.captions,
            other=found.other,
            flags=(),
            findings_known=True,
        )
        assert same(index.exam(exam.sop_instance_uid), expected)

    def test_findings_for_an_exam_that_is_not_there_say_so_and_make_none(
        self, index: ExamIndex
    ) -> None:
        assert index.set_findings("1.2.3.4", Findings()) is False
        assert index.count() == 0


class TestFilter:
    @pytest.mark.parametrize(
        ("where", "kept"),
        [
            (ExamFilter(), {1, 2, 3, 4}),
            (ExamFilter(side=Laterality.RIGHT), {2}),
            (ExamFilter(view=View.LATERAL), {3}),
            (ExamFilter(ages=(8.0, 9.0)), {1, 4}),
            (ExamFilter(ages=(8.5, 12.0)), {1, 2, 4}),
            (ExamFilter(not_patient="key-1"), {2, 3}),
            (ExamFilter(not_study="1.2.3.2.3"), {1, 3, 4}),
            (ExamFilter(not_exam="1.2.3.1.1"), {2, 3, 4}),
            (ExamFilter(side=Laterality.LEFT, ages=(0, 99), not_exam="1.2.3.4.1"), {1}),
        ],
    )
    def test_a_filter_keeps_these_when_counting_and_when_searching(
        self, index: ExamIndex, where: ExamFilter, kept: set[int]
    ) -> None:
        exams = {
            1: invented_exam(1),
            2: invented_exam(2, laterality=Laterality.RIGHT, age_years=12.0),
            3: invented_exam(3, view=View.LATERAL, age_years=None),
            4: invented_exam(4, patient_key="key-1"),
        }
        index.upsert(exams.values())
        found = index.search(Search({GLOBAL: unit(1)}, {GLOBAL: 10}, where))
        assert {n for n, exam in exams.items() if exam.id in found} == kept
        assert index.count(where) == len(kept)


class TestSearch:
    @pytest.mark.parametrize("draws", [{GLOBAL: 20}, {RADIUS: 20}, {GLOBAL: 15, RADIUS: 15}])
    def test_the_pool_and_its_scores_are_those_of_brute_force(
        self, index: ExamIndex, draws: dict[str, int]
    ) -> None:
        rng = np.random.default_rng(5)
        exams = [
            invented_exam(n, vectors={k: v for k, v in vectors(n).items() if keep(k, rng)})
            for n in range(200)
        ]
        index.upsert(exams)
        query = {name: random_units(1, 1000 + i)[0] for i, name in enumerate(NAMES)}
        found = index.search(Search(query, draws))
        truth = {e.id: {n: float(e.vectors[n] @ query[n]) for n in e.vectors} for e in exams}
        pool = {i for n, limit in draws.items() for i in nearest(truth, n, limit)}
        assert found.keys() == pool
        for point, scores in found.items():
            assert scores == pytest.approx(truth[point], abs=1e-5)

    def test_an_exam_without_the_bone_stays_in_the_pool(self, index: ExamIndex) -> None:
        exam = invented_exam(1)
        index.upsert([replace(exam, vectors={GLOBAL: exam.vectors[GLOBAL]})])
        found = index.search(Search({GLOBAL: unit(1), RADIUS: unit(1)}, {GLOBAL: 5}))
        assert found[exam.id].keys() == {GLOBAL}

    def test_an_empty_index_answers_with_an_empty_pool(self, index: ExamIndex) -> None:
        assert index.search(Search({GLOBAL: unit(1)}, {GLOBAL: 5})) == {}


class TestBundles:
    def test_each_bundle_has_an_index_of_its_own(
        self, open_index: Callable[..., ExamIndex]
    ) -> None:
        first, second = open_index("invented-1"), open_index("invented-2", SIZE * 2)
        first.upsert([invented_exam(1)])
        assert (first.count(), second.count()) == (1, 0)
        assert (first.bundle_id, second.bundle_id) == ("invented-1", "invented-2")

    def test_another_vector_size_is_refused(self, open_index: Callable[..., ExamIndex]) -> None:
        open_index().close()
        with pytest.raises(IndexUnavailableError):
            open_index(BUNDLE, SIZE * 2)

    @pytest.mark.parametrize("bundle_id", ["", "../up", "a/b", ".hidden", "x" * 101, "a b"])
    def test_a_bundle_id_that_is_no_plain_name_is_refused(
        self, open_index: Callable[..., ExamIndex], bundle_id: str
    ) -> None:
        with pytest.raises(BundleError):
            open_index(bundle_id)

    def test_a_closed_index_is_unavailable_and_closes_again_in_peace(
        self, index: ExamIndex
    ) -> None:
        index.close()
        index.close()
        with pytest.raises(IndexUnavailableError):
            index.count()


class TestServer:
    def test_the_alias_stays_with_the_first_bundle_until_it_is_moved(self) -> None:
        client = QdrantClient(":memory:")
        ServerIndex(client, "invented-1", "test", SIZE)
        assert ServerIndex.live(client, "test") == "invented-1"
        second = ServerIndex(client, "invented-2", "test", SIZE)
        assert ServerIndex.live(client, "test") == "invented-1"
        second.activate()
        assert ServerIndex.live(client, "test") == "invented-2"
        client.close()

    def test_only_the_global_vector_gets_a_graph(self) -> None:
        client = QdrantClient(":memory:")
        ServerIndex(client, BUNDLE, "test", SIZE)
        vectors = client.get_collection(f"test-{BUNDLE}").config.params.vectors
        assert {n: (v.hnsw_config.m, v.hnsw_config.ef_construct) for n, v in vectors.items()} == {
            n: (16 if n == GLOBAL else 0, 128) for n in NAMES
        }
        client.close()

    def test_a_server_that_does_not_answer_is_named_in_one_line(self) -> None:
        # port 9 (discard) on loopback: nobody listens
        client = QdrantClient(url="http://127.0.0.1:9", check_compatibility=False, timeout=2)
        with pytest.raises(IndexUnavailableError, match="Qdrant server") as caught:
            ServerIndex(client, BUNDLE, "test", SIZE)
        assert "\n" not in str(caught.value)
        client.close()


class TestEdge:
    def test_what_was_put_in_is_there_after_closing_and_opening(self, folder: Path) -> None:
        with EdgeIndex(folder, BUNDLE, SIZE) as index:
            index.upsert([invented_exam(1)])
        with EdgeIndex(folder, BUNDLE, SIZE) as index:
            assert same(index.exam("1.2.3.1.1"), invented_exam(1))

    def test_the_pointer_stays_with_the_first_bundle_until_it_is_swapped(
        self, folder: Path
    ) -> None:
        assert EdgeIndex.live(folder) is None
        EdgeIndex(folder, "invented-1", SIZE).close()
        with EdgeIndex(folder, "invented-2", SIZE) as second:
            assert EdgeIndex.live(folder) == "invented-1"
            second.activate()
        assert EdgeIndex.live(folder) == "invented-2"
        assert (folder / "live").read_text(encoding="ascii") == "invented-2\n"
        assert not list(folder.glob(".live*"))

    def test_the_folder_is_its_owners_alone(self, folder: Path) -> None:
        with EdgeIndex(folder / "index", BUNDLE, SIZE):
            assert (folder / "index").stat().st_mode & 0o077 == 0

    def test_every_filter_has_a_payload_index(self, folder: Path) -> None:
        with EdgeIndex(folder, BUNDLE, SIZE) as index:
            index.upsert([invented_exam(1)])
            schema = index._shard.info().payload_schema
        assert set(schema) == {*KEYWORDS, *NUMBERS}

    def test_a_second_process_is_refused_with_one_line_and_the_first_works_on(
        self, folder: Path
    ) -> None:
        with EdgeIndex(folder, BUNDLE, SIZE) as index:
            second = run(f"EdgeIndex(Path({str(folder)!r}), {BUNDLE!r}, {SIZE})")
            assert second.returncode == 3
            assert "Another process owns the index" in second.stdout
            assert second.stdout.count("\n") == 1
            index.upsert([invented_exam(1)])
            assert index.count() == 1

    def test_the_same_process_cannot_open_it_twice_either(self, folder: Path) -> None:
        with (
            EdgeIndex(folder, BUNDLE, SIZE),
            pytest.raises(IndexUnavailableError, match="owns"),
        ):
            EdgeIndex(folder, BUNDLE, SIZE)

    def test_a_failed_opening_lets_go_of_the_lock(self, folder: Path) -> None:
        EdgeIndex(folder, BUNDLE, SIZE).close()
        for _ in range(2):
            with pytest.raises(IndexUnavailableError, match="opening"):
                EdgeIndex(folder, BUNDLE, SIZE + 1)
        EdgeIndex(folder, BUNDLE, SIZE).close()

    def test_an_index_that_was_half_made_is_made_anew(self, folder: Path) -> None:
        half = folder / "bundles" / f".new-{BUNDLE}"
        (half / "segments").mkdir(parents=True)
        (half / "edge_config.json").write_text("{", encoding="ascii")
        with EdgeIndex(folder, BUNDLE, SIZE) as index:
            assert index.count() == 0

    def test_damaged_files_are_named_in_one_line_with_the_way_out(self, folder: Path) -> None:
        with EdgeIndex(folder, BUNDLE, SIZE) as index:
            index.upsert([invented_exam(1)])
        for status in folder.rglob("status.dat"):
            status.write_bytes(b"")
        with pytest.raises(IndexUnavailableError, match="move the folder away") as caught:
            EdgeIndex(folder, BUNDLE, SIZE)
        assert "\n" not in str(caught.value)

    def test_no_acknowledged_upsert_is_lost_when_the_process_is_killed(self, folder: Path) -> None:
        killed = run(
            f"""
            index = EdgeIndex(Path({str(folder)!r}), {BUNDLE!r}, {SIZE})
            for n in range(20):
                index.upsert([invented_exam(n)])
            index.remove([invented_exam(3).sop_instance_uid])
            index.set_findings(invented_exam(5).sop_instance_uid, Findings(other=("hardware",)))
            print("acknowledged", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
            """
        )
        assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, "acknowledged\n")
        with EdgeIndex(folder, BUNDLE, SIZE) as index:
            assert index.count() == 19
            assert same(index.exam("1.2.3.19.1"), invented_exam(19))
            five = index.exam("1.2.3.5.1")
            assert five is not None
            assert five.other == ("hardware",)

    @pytest.mark.slow
    @pytest.mark.parametrize("milliseconds", [5, 40, 130, 350])
    def test_a_kill_at_any_moment_loses_nothing_acknowledged_and_tears_no_study(
        self, folder: Path, milliseconds: int
    ) -> None:
        killed = run(
            f"""
            import threading, time
            index = EdgeIndex(Path({str(folder)!r}), {BUNDLE!r}, {SIZE})
            def kill():
                time.sleep({milliseconds} / 1000)
                os.kill(os.getpid(), signal.SIGKILL)
            threading.Thread(target=kill).start()
            for n in range(10_000):
                study = f"1.2.9.{{n}}"
                index.upsert(
                    invented_exam(3 * n + i, study_instance_uid=study) for i in range(3)
                )
                print(study, flush=True)
            """
        )
        assert killed.returncode == -signal.SIGKILL
        acknowledged = killed.stdout.split()
        with EdgeIndex(folder, BUNDLE, SIZE) as index:
            assert all(len(index.exams(study)) == 3 for study in acknowledged)
            next_study = index.exams(f"1.2.9.{len(acknowledged)}")
            assert len(next_study) in (0, 3)
            assert index.count() == 3 * len(acknowledged) + len(next_study)

    def test_the_engines_words_never_leave_the_index(self, folder: Path) -> None:
        with (
            EdgeIndex(folder, BUNDLE, SIZE) as index,
            pytest.raises(IndexUnavailableError) as caught,
        ):
            index.search(Search({GLOBAL: unit(1, size=3)}, {GLOBAL: 5}))
        assert str(caught.value) == (
            "The index cannot be reached. The embedded engine failed while searching."
        )


FLOATS = st.floats(-1e6, 1e6)
WORDS = st.text(min_size=1, max_size=12)
CODES = st.builds(
    RegionFindings,
    st.sampled_from(["present", "possible", "absent", "not_mentioned"]),
    st.none() | WORDS,
    st.none() | WORDS,
    st.none() | WORDS,
    st.none() | FLOATS,
)
TIMES = st.datetimes(
    datetime(1950, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@st.composite
def exams(draw: st.DrawFn) -> Exam:
    bones = draw(st.sets(st.sampled_from(NAMES[1:])))
    return invented_exam(
        draw(st.integers(0, 9)),
        vectors={name: unit(1) for name in (GLOBAL, *sorted(bones))},
        patient_key=draw(WORDS),
        laterality=draw(st.sampled_from(Laterality)),
        view=draw(st.sampled_from(View)),
        age_years=draw(st.none() | st.floats(0, 120)),
        sex=draw(st.none() | st.sampled_from("FMO")),
        boxes=draw(st.dictionaries(WORDS, st.tuples(FLOATS, FLOATS, FLOATS, FLOATS))),
        spacing_mm=draw(st.none() | st.tuples(FLOATS, FLOATS)),
        findings=draw(st.dictionaries(st.sampled_from(Region), CODES)),
        findings_known=draw(st.booleans()),
        captions=draw(st.dictionaries(WORDS, WORDS)),
        other=tuple(draw(st.lists(WORDS))),
        flags=tuple(draw(st.lists(WORDS))),
        received_at=draw(TIMES),
        indexed_at=draw(TIMES),
    )


class TestPayload:
    @settings(max_examples=40)
    @given(exams())
    def test_an_exam_survives_the_way_through_json(self, exam: Exam) -> None:
        written = json.loads(json.dumps(payload(exam)))
        vectors = {name: vector.tolist() for name, vector in exam.vectors.items()}
        assert same(exam_of(written, vectors), exam)

    def test_it_holds_codes_and_uids_and_nothing_that_names_a_person(self) -> None:
        assert set(payload(invented_exam(1))) == {
            *(f.name for f in fields(Exam) if f.name != "vectors"),
            "regions",
        }
        forbidden = {"name", "patient_id", "patient_name", "accession", "report", "evidence"}
        assert not forbidden & set(payload(invented_exam(1)))

    def test_times_are_written_in_utc(self) -> None:
        berlin = timezone(timedelta(hours=2))
        exam = invented_exam(1, received_at=datetime(2026, 7, 1, 12, 0, tzinfo=berlin))
        assert payload(exam)["received_at"] == "2026-07-01T10:00:00+00:00"

    def test_a_time_without_a_zone_is_refused(self) -> None:
        with pytest.raises(ValueError, match="timezone-aware"):
            payload(invented_exam(1, received_at=datetime(2026, 7, 1)))  # noqa: DTZ001

    def test_the_regions_found_are_those_with_a_vector(self) -> None:
        exam = invented_exam(1, vectors={GLOBAL: unit(1), RADIUS: unit(1)})
        assert payload(exam)["regions"] == [RADIUS]

    @pytest.mark.parametrize(
        "changes", [{"laterality": "sinister"}, {"boxes": {"wrist": [1]}}, {"findings": None}]
    )
    def test_a_payload_of_another_version_is_refused_without_quoting_it(
        self, changes: dict[str, object]
    ) -> None:
        with pytest.raises(IndexUnavailableError, match="not of this version") as caught:
            exam_of(payload(invented_exam(1)) | changes, {})
        assert "sinister" not in str(caught.value)
        assert caught.value.__cause__ is None


def vectors(number: int) -> dict[str, np.ndarray]:
    return dict(invented_exam(number).vectors)


def keep(name: str, rng: np.random.Generator) -> bool:
    return name == GLOBAL or rng.random() > 0.2


def nearest(truth: dict, name: str, limit: int) -> list:
    having = [i for i in truth if name in truth[i]]
    return sorted(having, key=lambda i: -truth[i].get(name, -math.inf))[:limit]


def run(body: str) -> subprocess.CompletedProcess[str]:
    lines = "\n".join(f"    {line}" for line in _dedented(body))
    script = f"""
import os, signal, sys
from pathlib import Path
from invented_exams import invented_exam
from pipeline.edge_index import EdgeIndex
from pipeline.errors import IndexUnavailableError
from pipeline.index import Findings
try:
{lines}
except IndexUnavailableError as error:
    print(error)
    sys.exit(3)
"""
    here = Path(__file__).parent
    return subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PYTHONPATH": f"{here}:{here.parent.parent}", "PATH": "/usr/bin:/bin"},
    )


def _dedented(body: str) -> list[str]:
    import textwrap

    return textwrap.dedent(body).strip().splitlines()
