"""Relevance by a returned structured report, from the template by C-STORE to what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from plugin import Plugin, plugin, saved
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid
from test_main_job import QUERY_FILES, QUERY_STUDY, prior_studies, study_files
from typer.testing import CliRunner

from deploy.cli import app
from deploy.errors import InputError
from deploy.relevance_template import write_template
from deploy.state import open_feedback
from listener.receipt import InstanceState
from pipeline import terms
from pipeline.feedback import Judgement
from pipeline.match_report import readable

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugin]:
    """A plugin that has answered about a radius."""
    with plugin(tmp_path_factory.mktemp("asked")) as running:
        for study in prior_studies()[:4]:
            running.send(study_files(study))
        running.send(QUERY_FILES, "WRISTMIR_Q_DR")
        running.settle(240)
        yield running


def template(asked: Plugin, folder: Path, observer: str = "Reader^Rita") -> Dataset:
    (report,) = asked.reports()
    file = folder / "relevance.dcm"
    count = write_template(asked.settings, str(report.SOPInstanceUID), file, observer)
    assert file.stat().st_mode & 0o077 == 0
    document = dcmread(file)
    assert sum(1 for _ in relevances(document)) == count >= 2
    return document


def relevances(document: Dataset) -> Iterator[Dataset]:
    """Yield the items to be filled in, in the order of the ranks."""
    for part in document.ContentSequence:
        for match in part.get("ContentSequence", ()):
            for item in match.ContentSequence:
                if item.ConceptNameCodeSequence[0].CodeValue == terms.RELEVANCE.value:
                    yield item


def filled_in(document: Dataset, *points: int) -> Dataset:
    for item, point in zip(relevances(document), points, strict=False):
        (code,) = item.ConceptCodeSequence
        code.CodeValue, code.CodeMeaning = terms.POINTS[point].value, terms.POINTS[point].meaning
    document.SOPInstanceUID = document.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    return document


def kept(asked: Plugin) -> list[Judgement]:
    with closing(open_feedback(asked.settings)) as feedback:
        return list(feedback.all())


def test_what_a_reader_returns_is_kept_and_is_no_report_of_the_study(
    asked: Plugin, tmp_path: Path
) -> None:
    (before,) = asked.index.exams(QUERY_STUDY)
    reports = asked.outcome(QUERY_STUDY, "answer")
    document = filled_in(template(asked, tmp_path), 5, 2)
    asked.send([saved(document, tmp_path / "returned.dcm")])
    asked.settle()
    said = kept(asked)
    assert {one.rank: one.relevance for one in said} == {1: 5, 2: 2}
    assert {one.part for one in said} == {"distal_radius"}
    assert [one.result_id for one in said] == list(reports["results"]) * 2
    with closing(open_feedback(asked.settings)) as feedback:
        source = feedback.document_of(said[0].result_id, said[0].rater)
    assert source == document.SOPInstanceUID
    (after,) = asked.index.exams(QUERY_STUDY)
    assert (after.findings, after.findings_known) == (before.findings, before.findings_known)
    placed = {
        one.detail.get("used_as")
        for one in asked.ledger.milestones(QUERY_STUDY)
        if one.sop_instance_uid == document.SOPInstanceUID and one.kind == "placed"
    }
    assert placed == {"relevance"}
    assert len(asked.reports()) == 1  # it was no question


def test_a_later_report_of_the_same_observer_replaces_the_first(
    asked: Plugin, tmp_path: Path
) -> None:
    later = filled_in(template(asked, tmp_path), 1)
    asked.send([saved(later, tmp_path / "later.dcm")])
    asked.settle()
    assert [(one.rank, one.relevance) for one in kept(asked)] == [(1, 1)]


def test_one_that_cannot_be_used_is_filtered_with_its_reason_on_the_receipt(
    asked: Plugin, tmp_path: Path
) -> None:
    before = kept(asked)
    document = filled_in(template(asked, tmp_path, "Other^Otto"), 5)
    document.ContentSequence = [i for i in document.ContentSequence if i.ValueType != "PNAME"]
    asked.send([saved(document, tmp_path / "unnamed.dcm")])
    asked.settle()
    (receipt,) = asked.ledger.receipt(str(document.SOPInstanceUID))
    assert receipt.state is InstanceState.FILTERED
    assert "does not say who has judged" in (receipt.reason or "")
    assert kept(asked) == before


def test_a_template_names_the_patient_of_the_query_and_the_result(
    asked: Plugin, tmp_path: Path
) -> None:
    document = template(asked, tmp_path)
    (report,) = asked.reports()
    assert document.PatientID == report.PatientID
    assert document.StudyInstanceUID == QUERY_STUDY
    assert "Not judged" in readable(document)
    assert not asked.worker.answerer.uids.is_own(str(document.SOPInstanceUID))


def test_the_command_writes_it_and_says_how_much_there_is_to_judge(
    asked: Plugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.web_commands.load", lambda _: asked.settings)
    (report,), file = asked.reports(), tmp_path / "to_judge.dcm"
    words = ["feedback", "template", str(report.SOPInstanceUID), "--observer", "Reader^Rita"]
    said = CliRunner().invoke(app, [*words, "--out", str(file)])
    assert said.exit_code == 0
    count = sum(1 for _ in relevances(dcmread(file)))
    assert f"{count} matches to judge" in " ".join(said.stdout.split())


def test_a_result_that_is_not_known_is_said_to_be(asked: Plugin, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no result of this UID"):
        write_template(asked.settings, "1.2.3.4", tmp_path / "relevance.dcm", "Reader^Rita")
