"""A study into the index: replaced and never doubled, enriched by its report, cleared by a note."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import PLANTED, hand, image, note, store, text_report
from invented_exams import quick_folder
from pydicom.dataset import Dataset
from simple_bundle import simple_bundle

from pipeline.decoder import Decoder
from pipeline.edge_index import EdgeIndex
from pipeline.exam import Exam
from pipeline.examination import Examiner
from pipeline.indexing import IndexedStudy, Indexer, MinedStudy
from pipeline.mining import RulesMiner
from pipeline.record import Records
from pipeline.region import GLOBAL, Laterality, Region
from pipeline.report import ReportText, told_report
from pipeline.stored_study import StoredImage
from pipeline.uid import KeyedUids

STUDY = "1.2.826.0.1.3680043.8.498.1"
KEY = b"a key of an invented site, 32 b."
REJECTED = "113001"  # of quality, PS3.16 CID 7010
NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


@dataclass
class Archive:
    """An indexer with everything real around it but the models, and a study's files."""

    folder: Path
    indexer: Indexer
    engine: EdgeIndex
    records: Records

    def files(self, *stored: Dataset | bytes) -> tuple[StoredImage, ...]:
        return tuple(self._file(one, number) for number, one in enumerate(stored))

    def index(self, *stored: Dataset | bytes, gone: frozenset[str] = frozenset()) -> IndexedStudy:
        return self.indexer.index(STUDY, self.files(*stored), gone)

    def mine(self, *stored: Dataset | bytes) -> MinedStudy:
        return self.indexer.mine(STUDY, self.files(*stored))

    def exams(self) -> tuple[Exam, ...]:
        return self.engine.exams(STUDY)

    def _file(self, stored: Dataset | bytes, number: int) -> StoredImage:
        path = self.folder / f"{number}.dcm"
        if isinstance(stored, bytes):
            path.write_bytes(stored)
            return StoredImage(path, f"1.2.{number}", 1, NOW)
        return StoredImage(store(stored, path), str(stored.SOPInstanceUID), 1, NOW)


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder() as running:
        yield running


@pytest.fixture
def archive(decoder: Decoder) -> Iterator[Archive]:
    with quick_folder() as folder, EdgeIndex(folder / "index", "simple-1") as engine:
        records = Records(f"sqlite:///{folder / 'records.sqlite3'}")
        examiner = Examiner(simple_bundle(), decoder, KEY)
        indexer = Indexer(examiner, decoder, engine, records, RulesMiner(), KeyedUids(KEY))
        yield Archive(folder, indexer, engine, records)
        records.close()


def wrist(side: str = "L", **said: Any) -> Dataset:
    given = {"BodyPartExamined": "WRIST", "ViewPosition": "PA", "ImageLaterality": side}
    return image(hand(shape=(240, 160)), 12, **(given | {"PatientAge": "007Y"} | said))


BUCKLE = "Left wrist. Buckle fracture of the distal radius. No fracture of the distal ulna."
BOTH = (
    "Left wrist: Buckle fracture of the distal radius.\n"
    "Right wrist: No fracture of the distal radius."
)


def test_an_image_without_a_report_is_indexed_at_once_and_flagged(archive: Archive) -> None:
    indexed = archive.index(wrist())
    assert (indexed.exams, indexed.reports, indexed.to_mine) == (1, 0, False)
    assert indexed.reason == ""
    (exam,) = archive.exams()
    assert not exam.findings_known
    assert exam.findings == {}
    assert exam.captions[GLOBAL]


def test_a_report_from_another_road_enriches_and_its_withdrawal_takes_back(
    archive: Archive,
) -> None:
    files = archive.files(wrist())
    told = [told_report(BUCKLE, "hl7", final=True, addendum=False, at=NOW)]
    indexed = archive.indexer.index(STUDY, files, told=told)
    assert (indexed.reports, indexed.to_mine) == (1, True)
    assert archive.indexer.mine(STUDY, files, told).enriched == 1
    (exam,) = archive.exams()
    assert exam.findings[Region.DISTAL_RADIUS].fracture == "present"
    withdrawn = [told_report("", "hl7", final=False, addendum=False, at=NOW)]
    indexed = archive.indexer.index(STUDY, files, told=withdrawn)
    assert (indexed.reports, indexed.to_mine) == (0, True)
    archive.indexer.mine(STUDY, files, withdrawn)
    (exam,) = archive.exams()
    assert not exam.findings_known
    assert archive.records.of(STUDY) is None


def test_the_report_enriches_the_exam_without_touching_its_vectors(archive: Archive) -> None:
    stored = wrist(), text_report(BUCKLE)
    assert archive.index(*stored).to_mine
    (before,) = archive.exams()
    assert archive.mine(*stored).enriched == 1
    (after,) = archive.exams()
    assert after.findings_known
    assert after.findings[Region.DISTAL_RADIUS].fracture == "present"
    assert after.findings[Region.DISTAL_RADIUS].type == "buckle"
    assert after.findings[Region.DISTAL_ULNA].fracture == "absent"
    assert "buckle" in after.captions[GLOBAL].lower()
    assert after.vectors.keys() == before.vectors.keys()
    for name, vector in before.vectors.items():
        np.testing.assert_array_equal(after.vectors[name], vector)


def test_indexing_again_replaces_and_keeps_what_was_mined(archive: Archive) -> None:
    stored = wrist(), text_report(BUCKLE)
    for _ in range(3):
        archive.index(*stored)
        archive.mine(*stored)
    archive.index(*stored)
    (exam,) = archive.exams()
    assert archive.engine.count() == 1
    assert exam.findings[Region.DISTAL_RADIUS].fracture == "present"


def test_the_same_files_give_the_same_exam(archive: Archive) -> None:
    stored = wrist()
    archive.index(stored)
    (first,) = archive.exams()
    archive.index(stored)
    (second,) = archive.exams()
    assert first.id == second.id
    np.testing.assert_array_equal(first.vectors[GLOBAL], second.vectors[GLOBAL])


def test_an_amended_report_takes_the_place_of_the_earlier(archive: Archive) -> None:
    picture = wrist()
    first = text_report(
        BUCKLE, ContentDate="20200101", ContentTime="100000", VerificationFlag="VERIFIED"
    )
    archive.index(picture, first)
    archive.mine(picture, first)
    later = text_report(
        "Left wrist. No fracture of the distal radius.",
        ContentDate="20200102",
        ContentTime="100000",
        VerificationFlag="VERIFIED",
    )
    archive.index(picture, first, later)
    archive.mine(picture, first, later)
    (exam,) = archive.exams()
    assert exam.findings[Region.DISTAL_RADIUS].fracture == "absent"


def test_findings_join_the_exam_of_their_own_side(archive: Archive) -> None:
    stored = wrist("L"), wrist("R"), text_report(BOTH)
    archive.index(*stored)
    assert archive.mine(*stored).enriched == 2
    by_side = {exam.laterality: exam.findings[Region.DISTAL_RADIUS] for exam in archive.exams()}
    assert by_side[Laterality.LEFT].fracture == "present"
    assert by_side[Laterality.RIGHT].fracture == "absent"


def test_two_orders_in_one_study_each_bring_findings_to_the_wrist_that_they_are_about(
    archive: Archive,
) -> None:
    files = archive.files(wrist("L"), wrist("R"))

    def told(words: str, order: str, minute: int) -> ReportText:
        at = NOW.replace(minute=minute)
        return told_report(words, "hl7", final=True, addendum=False, at=at, order=order)

    left = told(BUCKLE, "F1", 1)
    right = told("Right wrist. The distal radius is intact.", "F2", 2)
    corrected = told("Right wrist. Greenstick fracture of the distal radius.", "F2", 3)
    for reports, expected in (
        ((left,), ("present", "not_mentioned")),
        ((left, right), ("present", "absent")),
        ((left, right, corrected), ("present", "present")),
        ((right,), ("not_mentioned", "absent")),
    ):
        archive.indexer.index(STUDY, files, told=reports)
        archive.indexer.mine(STUDY, files, reports)
        radii = {e.laterality: e.findings[Region.DISTAL_RADIUS] for e in archive.exams()}
        found = radii[Laterality.LEFT].fracture, radii[Laterality.RIGHT].fracture
        assert found == expected


def test_a_finding_without_a_side_joins_neither_wrist_where_both_are_shown(
    archive: Archive,
) -> None:
    stored = wrist("L"), wrist("R"), text_report("Buckle fracture of the distal radius.")
    archive.index(*stored)
    archive.mine(*stored)
    for exam in archive.exams():
        found = exam.findings.get(Region.DISTAL_RADIUS)
        assert found is None or found.fracture == "not_mentioned"


def test_a_finding_without_a_side_joins_the_only_wrist(archive: Archive) -> None:
    stored = wrist("L"), text_report("Buckle fracture of the distal radius.")
    archive.index(*stored)
    archive.mine(*stored)
    (exam,) = archive.exams()
    assert exam.findings[Region.DISTAL_RADIUS].fracture == "present"


def test_an_image_that_is_no_longer_in_the_study_is_taken_out(archive: Archive) -> None:
    left, right = wrist("L"), wrist("R")
    archive.index(left, right)
    archive.index(right)
    assert [exam.laterality for exam in archive.exams()] == [Laterality.RIGHT]


def test_an_image_whose_file_was_deleted_by_age_stays_when_something_late_comes(
    archive: Archive,
) -> None:
    picture = wrist()
    archive.index(picture)
    late = text_report(BUCKLE)
    archive.index(late, gone=frozenset({str(picture.SOPInstanceUID)}))
    archive.mine(late)
    (exam,) = archive.exams()
    assert exam.findings[Region.DISTAL_RADIUS].fracture == "present"


def test_a_rejection_note_takes_an_image_out_even_when_its_file_is_gone(archive: Archive) -> None:
    left, right = wrist("L"), wrist("R")
    archive.index(left, right)
    archive.index(right, note(REJECTED, left), gone=frozenset({str(left.SOPInstanceUID)}))
    assert [exam.laterality for exam in archive.exams()] == [Laterality.RIGHT]


def test_the_findings_of_a_withdrawn_report_go(archive: Archive) -> None:
    picture, words = wrist(), text_report(BUCKLE)
    archive.index(picture, words)
    archive.mine(picture, words)
    withdrawal = note(REJECTED, words)
    assert archive.index(picture, words, withdrawal).to_mine
    archive.mine(picture, words, withdrawal)
    (exam,) = archive.exams()
    assert not exam.findings_known
    assert exam.findings == {}
    assert archive.records.of(STUDY) is None


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ((), "holds no image"),
        ((wrist(ViewPosition="LL"),), "labelled lateral"),
        ((wrist(BodyPartExamined="CHEST"),), "another part of the body"),
        ((b"\x93" * 400,), "no DICOM"),
        ((image(hand(), 12, BodyPartExamined="WRIST", NumberOfFrames=2),), "cannot be read"),
        ((wrist(StudyInstanceUID="1.2.9"),), "another study"),
    ],
    ids=["empty", "lateral", "chest", "noise", "multi-frame", "another study"],
)
def test_a_study_with_nothing_to_index_says_why(
    archive: Archive, stored: tuple[Dataset | bytes, ...], words: str
) -> None:
    indexed = archive.index(*stored)
    assert indexed.exams == 0
    assert "no PA wrist radiograph" in indexed.reason
    assert words in indexed.reason
    assert indexed.as_json()["reason"] == indexed.reason
    assert archive.exams() == ()


def test_one_bad_file_does_not_spoil_the_others(archive: Archive) -> None:
    indexed = archive.index(b"\x93" * 400, wrist(), wrist("R", ViewPosition="LL"))
    assert indexed.exams == 1
    assert sum(indexed.left_out.values()) == 2


def test_of_every_file_it_is_told_what_it_became(archive: Archive) -> None:
    lateral, report = wrist("R", ViewPosition="LL"), text_report(BUCKLE)
    placed = archive.index(wrist(), lateral, report, b"\x93" * 400).placed
    assert [(one.used_as, one.view, one.side) for one in placed] == [
        ("exam", "pa", "left"),
        (None, None, None),
        ("report", None, None),
        (None, None, None),
    ]
    reasons = [one.reason or "" for one in placed]
    assert "labelled lateral" in reasons[1]
    assert "cannot be read" in reasons[3]
    assert placed[0].as_json() == {"used_as": "exam", "view": "pa", "side": "left"}


def test_what_a_note_withdraws_is_told_of_files_that_are_gone_too(archive: Archive) -> None:
    left, right = wrist("L"), wrist("R")
    indexed = archive.index(right, note(REJECTED, left, right))
    assert indexed.withdrawn == {str(left.SOPInstanceUID), str(right.SOPInstanceUID)}
    assert indexed.placed[0].reason == "a rejection note withdraws it"


def test_what_this_plugin_made_is_left_out(archive: Archive) -> None:
    own = wrist(SOPInstanceUID=KeyedUids(KEY).make("copy", "1"))
    assert "made by this plugin" in archive.index(own).reason


def test_evidence_stays_in_the_records_and_out_of_the_index(archive: Archive) -> None:
    words = f"Buckle fracture of the distal radius, as {PLANTED} said."
    stored = wrist(), text_report(words)
    archive.index(*stored)
    archive.mine(*stored)
    record = archive.records.of(STUDY)
    assert record is not None
    assert "Buckle fracture" in record.report.model_dump_json()
    archive.engine.close()
    for path in (archive.folder / "index").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert PLANTED.encode() not in content, path.name
            assert b"Buckle fracture of" not in content, path.name


def test_the_records_can_be_read_by_their_owner_alone(archive: Archive) -> None:
    stored = wrist(), text_report(BUCKLE)
    archive.index(*stored)
    archive.mine(*stored)
    path = archive.folder / "records.sqlite3"
    assert path.stat().st_mode & 0o077 == 0
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM record").fetchone() == (1,)
    connection.close()


@pytest.mark.slow
def test_findings_that_come_while_a_study_is_indexed_are_not_lost(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = wrist(), text_report(BUCKLE)
    archive.index(*stored)
    reading = threading.Thread(target=archive.mine, args=stored)
    upsert = archive.engine.upsert

    def upsert_late(exams: Iterable[Exam]) -> None:
        # the exams were made before the report was read, and are written after
        reading.start()
        reading.join(0.5)
        upsert(exams)

    monkeypatch.setattr(archive.engine, "upsert", upsert_late)
    archive.index(*stored)
    reading.join()
    (exam,) = archive.exams()
    assert exam.findings[Region.DISTAL_RADIUS].fracture == "present"
