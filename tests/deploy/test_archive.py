"""A whole archive, mined: nothing twice, nothing lost, nothing stopped by one bad file."""

from __future__ import annotations

import csv
import json
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from dicom_files import document, image, store, text_report
from invented_reports import BOTH_WRISTS, BUCKLE, DISPUTED, WatchedMiner, write_reports
from pdf_files import pdf
from pydicom import uid
from test_cli import wristmir

from deploy.archive import PATIENCE, journal_of, mine_archive
from deploy.errors import InputError, ServiceUnavailableError
from deploy.reading import CONCURRENCY
from pipeline.errors import (
    AnswerError,
    LanguageModelUnavailableError,
    PipelineError,
    ReportError,
)
from pipeline.mining import RulesMiner


def rows_of(out: Path) -> list[dict[str, object]]:
    """Read a result, whichever it is."""
    if out.suffix == ".csv":
        with out.open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))
    return list(pq.read_table(out).to_pylist())


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A folder as hospitals have them: reports of every kind among other files."""
    folder = tmp_path / "archive"
    (folder / "2019" / "01").mkdir(parents=True)
    (folder / "2020").mkdir()
    (folder / "2019" / "01" / "a.txt").write_text(BUCKLE, encoding="utf-8")
    (folder / "2019" / "b.TXT").write_text(BOTH_WRISTS, encoding="utf-8")
    (folder / "2019" / "notes.docx").write_bytes(b"PK\3\4 no report")
    store(text_report(DISPUTED), folder / "2020" / "sr.dcm")
    attached = document(
        uid.EncapsulatedPDFStorage, "DOC", MIMETypeOfEncapsulatedDocument="application/pdf"
    )
    attached.EncapsulatedDocument = pdf(BUCKLE.splitlines())
    store(attached, folder / "2020" / "no-ending")
    store(image(np.zeros((4, 4), np.uint8)), folder / "2020" / "image.dcm")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_one_row_a_report_whatever_kind_of_file_it_is(
    archive: Path, tmp_path: Path, ending: str
) -> None:
    out = tmp_path / f"findings.{ending}"
    summary = mine_archive([archive], out, RulesMiner())
    rows = {Path(str(row["file"])).name: row for row in rows_of(out)}
    assert list(rows) == ["b.TXT", "a.txt", "no-ending", "sr.dcm"]
    assert rows["a.txt"]["distal_radius_type"] == "buckle"
    assert rows["a.txt"]["laterality"] == "left"
    assert str(rows["a.txt"]["distal_radius_evidence"]) in BUCKLE
    assert rows["no-ending"]["distal_radius_type"] == "buckle"
    assert rows["b.TXT"]["laterality"] == "both"
    assert float(str(rows["b.TXT"]["distal_radius_angulation_deg"])) == 12
    sides = json.loads(str(rows["b.TXT"]["sides"]))
    assert sides["right"]["regions"]["distal_radius"][0]["fracture"] == "absent"
    assert int(str(rows["sr.dcm"]["disputed"])) == 1
    swelling = rows["b.TXT"]["other"]
    assert swelling == (["soft_tissue_swelling"] if ending == "parquet" else "soft_tissue_swelling")
    counted = summary.as_json()
    assert (counted["reports"], counted["no_report"], counted["other_files"]) == (4, 1, 1)
    assert counted["fractures"]["distal_radius"]["present"] == 4
    assert counted["disputed"] == 1


@pytest.mark.slow
def test_the_result_is_its_owners_alone_and_the_journal_is_gone(
    archive: Path, tmp_path: Path
) -> None:
    out = tmp_path / "made" / "findings.csv"
    mine_archive([archive], out, RulesMiner())
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert list(out.parent.iterdir()) == [out]


def test_the_journal_is_its_owners_alone_while_the_run_goes_on(tmp_path: Path) -> None:
    out, modes = tmp_path / "findings.csv", set()
    miner = WatchedMiner(lambda _: modes.add(stat.S_IMODE(journal_of(out).stat().st_mode)))
    write_reports(tmp_path / "archive", 3)
    mine_archive([tmp_path / "archive"], out, miner)
    assert modes == {0o600}


@pytest.mark.slow
def test_a_broken_file_has_its_reason_and_stops_nothing(archive: Path, tmp_path: Path) -> None:
    (archive / "broken.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 64)
    (archive / "empty.txt").write_text(" \n", encoding="utf-8")
    (archive / "gone.txt").symlink_to(archive / "nowhere")
    out = tmp_path / "findings.parquet"
    summary = mine_archive([archive], out, RulesMiner())
    rows = {Path(str(row["file"])).name: row for row in rows_of(out)}
    assert len(rows) == 7
    assert "cannot be read" in str(rows["broken.dcm"]["reason"])
    assert "holds no words" in str(rows["empty.txt"]["reason"])
    assert rows["gone.txt"]["reason"] == "No such file or directory"
    assert rows["a.txt"]["reason"] is None
    assert sum(summary.not_read.values()) == 3
    assert not journal_of(out).exists()  # trying again would not help


def test_a_file_with_the_content_of_another_is_mined_once_and_has_its_row(tmp_path: Path) -> None:
    folder, miner = tmp_path / "archive", WatchedMiner()
    folder.mkdir()
    for name in ("a.txt", "b.txt", "c.txt"):
        (folder / name).write_text(BUCKLE, encoding="utf-8")
    out = tmp_path / "findings.csv"
    summary = mine_archive([folder, folder / "a.txt"], out, miner)
    assert miner.texts == {BUCKLE: 1}
    assert [Path(str(row["file"])).name for row in rows_of(out)] == ["a.txt", "b.txt", "c.txt"]
    assert (summary.reports, summary.mined) == (3, 1)


def test_several_reports_are_read_at_once_and_never_more_than_were_asked_for(
    tmp_path: Path,
) -> None:
    write_reports(tmp_path / "archive", 24)
    miner = WatchedMiner(lambda _: time.sleep(0.02))
    mine_archive([tmp_path / "archive"], tmp_path / "findings.csv", miner, concurrency=6)
    assert 1 < miner.most_at_once <= 6


def test_what_an_interrupted_run_has_read_is_not_read_again(tmp_path: Path) -> None:
    files = write_reports(tmp_path / "archive", 40)
    out, miner = tmp_path / "findings.parquet", WatchedMiner()

    def interrupt(_: str) -> None:
        if miner.texts.total() >= 15:
            raise KeyboardInterrupt

    miner.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        mine_archive([tmp_path / "archive"], out, miner)
    assert not out.exists()
    kept = _whole_lines(journal_of(out))
    assert kept >= 15 - 2 * CONCURRENCY  # what was in hand may be lost
    miner.before = lambda _: None
    files[0].rename(files[0].with_name("renamed.txt"))  # it is the content that counts
    summary = mine_archive([tmp_path / "archive"], out, miner)
    assert len(rows_of(out)) == 40
    assert summary.mined == 40 - kept
    assert sum(times == 1 for times in miner.texts.values()) >= kept


def test_another_version_of_the_miner_reads_everything_anew(tmp_path: Path) -> None:
    write_reports(tmp_path / "archive", 8)
    out = tmp_path / "findings.csv"

    def fail(_: str) -> None:
        raise KeyboardInterrupt

    old = WatchedMiner()
    old.before = lambda _: fail(_) if old.texts.total() >= 4 else None
    with pytest.raises(KeyboardInterrupt):
        mine_archive([tmp_path / "archive"], out, old, concurrency=1)
    new = WatchedMiner(version="2")
    mine_archive([tmp_path / "archive"], out, new)
    assert new.texts.total() == 8
    assert {row["miner"] for row in rows_of(out)} == {"watched 2"}


def test_a_report_that_the_miner_refuses_has_its_reason_and_is_tried_again(tmp_path: Path) -> None:
    files = write_reports(tmp_path / "archive", 6)
    out, refused = tmp_path / "findings.csv", files[2].read_text(encoding="utf-8")

    def refuse(text: str) -> None:
        if text == refused:
            detail = "It is of another kind."
            raise ReportError(detail)

    summary = mine_archive([tmp_path / "archive"], out, WatchedMiner(refuse))
    assert summary.to_try_again == 1
    assert [row["reason"] for row in rows_of(out) if row["reason"]] == [
        "The object is no report that can be read. It is of another kind."
    ]
    again = WatchedMiner()
    assert mine_archive([tmp_path / "archive"], out, again).mined == 1
    assert again.texts == {refused: 1}
    assert not any(row["reason"] for row in rows_of(out))
    assert not journal_of(out).exists()


def test_what_a_miner_trips_over_never_tells_a_word_of_the_report(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    (folder / "a.txt").write_text("Secret name. " + BUCKLE, encoding="utf-8")

    def trip(text: str) -> None:
        raise ValueError(text)

    out = tmp_path / "findings.csv"
    mine_archive([folder], out, WatchedMiner(trip))
    assert rows_of(out)[0]["reason"] == "The miner failed (ValueError)."
    assert "Secret" not in out.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_miner_that_is_not_ready_is_waited_for(tmp_path: Path) -> None:
    write_reports(tmp_path / "archive", 5)
    miner, asked = WatchedMiner(), []

    def start_slowly(_: str) -> None:
        asked.append(miner.ready)
        if len(asked) <= 3:
            miner.ready = False
            threading.Timer(0.3, setattr, (miner, "ready", True)).start()
            raise LanguageModelUnavailableError

    miner.before = start_slowly
    summary = mine_archive([tmp_path / "archive"], tmp_path / "findings.csv", miner, concurrency=1)
    assert summary.mined == 5
    assert len(asked) == 8


def test_a_miner_that_is_down_is_said_before_anything_is_done(tmp_path: Path) -> None:
    write_reports(tmp_path / "archive", 5)
    with pytest.raises(PipelineError):
        mine_archive([tmp_path / "archive"], tmp_path / "findings.csv", WatchedMiner(ready=False))
    assert [file.name for file in tmp_path.iterdir()] == ["archive"]


def test_a_run_stops_where_the_miner_fails_on_everything_and_keeps_what_is_done(
    tmp_path: Path,
) -> None:
    write_reports(tmp_path / "archive", PATIENCE + 40)
    out, miner = tmp_path / "findings.csv", WatchedMiner()

    def break_down(_: str) -> None:
        if miner.texts.total() >= 10:
            raise AnswerError

    miner.before = break_down
    with pytest.raises(ServiceUnavailableError, match="start again with the same --out"):
        mine_archive([tmp_path / "archive"], out, miner, concurrency=1)
    assert not out.exists()
    miner.before = lambda _: None
    assert mine_archive([tmp_path / "archive"], out, miner).mined == PATIENCE + 30


def test_two_runs_for_one_result_are_refused(tmp_path: Path) -> None:
    write_reports(tmp_path / "archive", 1)
    out, said = tmp_path / "findings.csv", []

    def run_beside(_: str) -> None:
        with pytest.raises(ServiceUnavailableError) as refusal:
            mine_archive([tmp_path / "archive"], out, RulesMiner())
        said.append(str(refusal.value))

    mine_archive([tmp_path / "archive"], out, WatchedMiner(run_beside))
    assert "another process is writing this result" in said[0]


def test_other_endings_missing_folders_and_empty_ones_are_refused_with_the_way_out(
    tmp_path: Path,
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"\.parquet or \.csv"):
        mine_archive([tmp_path], tmp_path / "findings.xlsx", RulesMiner())
    with pytest.raises(InputError, match="no such file or folder"):
        mine_archive([tmp_path / "none"], tmp_path / "findings.csv", RulesMiner())
    with pytest.raises(InputError, match="holds no report"):
        mine_archive([tmp_path / "empty"], tmp_path / "findings.csv", RulesMiner())
    assert [file.name for file in tmp_path.iterdir()] == ["empty"]


def test_the_command_prints_its_summary_as_one_json_object(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_reports(tmp_path / "archive", 4)
    out = tmp_path / "findings.csv"
    words = ("mine", tmp_path / "archive", "--out", out)
    status, said, _ = wristmir(monkeypatch, capsys, *words, "--json")
    summary = json.loads(said)
    assert status == 0
    assert (summary["reports"], summary["mined"], summary["not_read"]) == (4, 4, {})
    status, said, _ = wristmir(monkeypatch, capsys, *words)
    assert status == 0
    assert "distal radius" in said
    assert len(rows_of(out)) == 4


def test_a_result_without_one_report_is_status_66(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "empty.txt").write_text(" ", encoding="utf-8")
    out = tmp_path / "findings.csv"
    status, _, err = wristmir(monkeypatch, capsys, "mine", tmp_path / "empty.txt", "--out", out)
    assert status == 66
    assert "no report could be read" in err
    assert out.exists()


@pytest.mark.slow
def test_csv_needs_no_pyarrow() -> None:
    code = "import sys, deploy.archive, deploy.reading; sys.exit('pyarrow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.slow
def test_a_killed_run_loses_only_what_was_in_hand(tmp_path: Path) -> None:
    count, out = 600, tmp_path / "findings.parquet"
    write_reports(tmp_path / "archive", count)
    command = [sys.executable, "-m", "deploy.cli", "mine", tmp_path / "archive", "--out", out]
    for aim in (60, 200, 400):
        killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while _whole_lines(journal_of(out)) < aim and killed.poll() is None:
            time.sleep(0.005)
        assert killed.poll() is None, "it was done before it could be killed"
        killed.kill()
        killed.wait()
        assert not out.exists()
    kept = _whole_lines(journal_of(out))
    ended = subprocess.run([*command, "--json"], check=True, capture_output=True, text=True)
    summary = json.loads(ended.stdout)
    assert (summary["reports"], summary["mined"]) == (count, count - kept)
    undisturbed = tmp_path / "undisturbed.parquet"
    mine_archive([tmp_path / "archive"], undisturbed, RulesMiner())
    assert rows_of(out) == rows_of(undisturbed)
    assert {file.name for file in tmp_path.iterdir()} == {"archive", out.name, undisturbed.name}


def _whole_lines(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0
