"""Orthanc as the PACS: studies forwarded to the plugin, its answer back in the query's study."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from dcmtk import call, shown_words
from hospital import Hospital, hospital, study_files
from orthanc import ARCHIVE, EMERGENCY, program
from pydicom import Dataset, dcmread
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
)
from result_parts import dciodvfy_errors, pixelmed_complaints

from listener.job import COMMIT, INDEX, JobState
from listener.receipt import InstanceState
from pipeline.match_report import readable
from pipeline.result_set import referenced_instances
from pipeline.worker import ANSWER, DELIVER, MINE

pytestmark = [pytest.mark.slow, pytest.mark.peers]

# left and right, with and without fractures; one study of both wrists; every transfer syntax
# that both Debian's DCMTK and Orthanc know
PRIORS = (
    "2.25.155370661776745148804775341793768734002",
    "2.25.311032543929764786982694726806454405179",
    "2.25.280182526690863351613105116486936054298",
    "2.25.96708980814390255767363845916776592781",
    "2.25.19989279104595034473790470188981545742",
    "2.25.297218648637611211101170291572695456363",
    "2.25.209098053996577852727115784667320058316",
    "2.25.97169601920384273819236684406897842196",
)
QUERY = "2.25.185867588078855297500807763724640192880"
RESULTS = (
    ComprehensiveSRStorage,
    Comprehensive3DSRStorage,
    SecondaryCaptureImageStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    EncapsulatedPDFStorage,
)
REGIONS = ("distal radius", "distal ulna", "ulnar styloid")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    """A hospital whose old studies, stored into its PACS, have been forwarded and indexed."""
    with hospital(tmp_path_factory.mktemp("hospital")) as running:
        for study in PRIORS:
            running.store(study_files(study), ARCHIVE)
        running.until(lambda: all(running.jobs(study, MINE) for study in PRIORS), 120)
        running.settle(120)
        yield running


@pytest.fixture(scope="module")
def asked(filled: Hospital) -> Hospital:
    """The same after a new study came from the emergency room."""
    filled.store(study_files(QUERY), EMERGENCY)
    filled.until(lambda: filled.results(QUERY, SecondaryCaptureImageStorage))
    filled.settle()
    return filled


@pytest.fixture(scope="module")
def report(asked: Hospital) -> Dataset:
    """The first report that stands in the query's study."""
    return asked.results(QUERY, ComprehensiveSRStorage)[0]


@pytest.fixture(scope="module")
def image() -> Dataset:
    """The image that was asked about, without its pixels."""
    (file,) = study_files(QUERY, "image")
    return dcmread(file, stop_before_pixels=True)


def test_old_studies_are_forwarded_for_indexing_only(filled: Hospital) -> None:
    for study in PRIORS:
        receipts = filled.ledger.instances(study)
        assert len(receipts) == len(study_files(study))
        assert {receipt.called_ae for receipt in receipts} == {"WRISTMIR"}
        assert {receipt.state for receipt in receipts} == {InstanceState.STORED}


def test_every_old_study_is_indexed_with_its_report(filled: Hospital) -> None:
    exams = {study: outcome(filled, study, INDEX)["exams"] for study in PRIORS}
    enriched = {study: outcome(filled, study, MINE)["enriched"] for study in PRIORS}
    assert enriched == exams
    assert sum(exams.values()) >= 6  # how many a bundle recognises is not what is asked here


def test_the_new_image_is_a_question_and_its_report_is_none(asked: Hospital) -> None:
    called = {row.sop_class_uid: row.called_ae for row in asked.ledger.instances(QUERY)}
    assert sorted(called.values()) == ["WRISTMIR", "WRISTMIR_Q"]
    (file,) = study_files(QUERY, "image")
    assert called[dcmread(file, stop_before_pixels=True).SOPClassUID] == "WRISTMIR_Q"


def test_the_answer_is_found_in_the_querys_own_study(asked: Hospital) -> None:
    found = asked.pacs.find("Series", StudyInstanceUID=QUERY)
    modalities = [series["MainDicomTags"]["Modality"] for series in found]
    assert modalities.count("DX") == 1
    assert modalities.count("SR") == 3  # the radiologist's report, the plugin's and its companion
    for modality in ("OT", "PR", "KO", "DOC"):
        assert modalities.count(modality) == 1, modality
    for sop_class in RESULTS:
        result, *_ = asked.results(QUERY, sop_class)
        assert result.StudyInstanceUID == QUERY
        assert result.SOPClassUID == sop_class


def test_the_answer_bears_the_querys_patient_and_study(asked: Hospital, image: Dataset) -> None:
    keywords = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate")
    for sop_class in RESULTS:
        result, *_ = asked.results(QUERY, sop_class)
        for keyword in (*keywords, "StudyTime", "StudyID", "AccessionNumber", "IssuerOfPatientID"):
            assert result.get(keyword) == image.get(keyword), keyword


def test_the_report_answers_for_every_bone(report: Dataset) -> None:
    text = readable(report).lower()
    assert [region for region in REGIONS if region not in text] == []
    assert "case 1" in text
    assert "demonstration only, not for clinical use" in text


def test_everything_the_report_refers_to_can_be_fetched_from_the_pacs(
    asked: Hospital, report: Dataset, image: Dataset
) -> None:
    referenced = referenced_instances(report)
    assert len(referenced) >= 4
    assert image.SOPInstanceUID in referenced
    assert [uid for uid in referenced if not asked.pacs.holds(uid)] == []
    for uid in referenced - {image.SOPInstanceUID}:
        copy = asked.pacs.fetch(uid)
        assert copy.PatientIdentityRemoved == "YES"
        assert copy.StudyInstanceUID not in PRIORS
        assert copy.pixel_array.size > 10_000


def test_the_copies_in_the_pacs_name_no_priors_patient(asked: Hospital) -> None:
    originals = [dcmread(file, stop_before_pixels=True) for s in PRIORS for file in study_files(s)]
    names = {str(original.PatientID) for original in originals}
    names |= {str(original.PatientName) for original in originals}
    names |= {str(original.SOPInstanceUID) for original in originals}
    for sent in everything_sent(asked):
        written = BytesIO()
        sent.save_as(written, enforce_file_format=True)
        assert [name for name in names if name.encode() in written.getvalue()] == []


def test_dciodvfy_finds_no_error_in_anything_that_was_sent(asked: Hospital, tmp_path: Path) -> None:
    sent = everything_sent(asked)
    classes = {str(dataset.SOPClassUID) for dataset in sent}
    assert set(RESULTS) < classes
    complaints = {str(d.SOPClassUID): dciodvfy_errors(d, tmp_path) for d in sent}
    assert {uid: lines for uid, lines in complaints.items() if lines} == {}


def test_pixelmed_finds_no_error_in_any_document_of_the_answer(
    asked: Hospital, tmp_path: Path
) -> None:
    for sop_class in (
        ComprehensiveSRStorage,
        Comprehensive3DSRStorage,
        KeyObjectSelectionDocumentStorage,
    ):
        document, *_ = asked.results(QUERY, sop_class)
        assert pixelmed_complaints(document, tmp_path) == [], document.SOPClassUID.name


def test_dsr2html_shows_the_matches(report: Dataset, tmp_path: Path) -> None:
    file = tmp_path / "report.dcm"
    report.save_as(file, enforce_file_format=True)
    done = call("dsr2html", str(file))
    assert done.returncode == 0, done.stderr
    shown = shown_words(done.stdout)
    assert "Case 1" in shown
    assert [region for region in REGIONS if region not in shown.lower()] == []


def test_dsrdump_reads_the_report_without_complaint(report: Dataset, tmp_path: Path) -> None:
    file = tmp_path / "report.dcm"
    report.save_as(file, enforce_file_format=True)
    done = call("dsrdump", str(file))
    assert done.returncode == 0, done.stderr
    # this DCMTK checks no value that is written in UTF-8, and says so
    complaints = [line for line in done.stderr.splitlines() if "VR checker" not in line]
    assert complaints == []
    assert "Case 1" in done.stdout


def test_what_the_plugin_stored_is_not_forwarded_back(asked: Hospital) -> None:
    sent = {str(dataset.SOPInstanceUID) for dataset in everything_sent(asked)}
    received = {row.sop_instance_uid for row in asked.ledger.receipts(limit=500)}
    assert len(sent) >= 5
    assert sent & received == set()
    assert len(asked.jobs(QUERY, ANSWER)) == 1


def test_the_pacs_has_committed_to_everything_it_was_sent(asked: Hospital) -> None:
    sent = [job.outcome or {} for job in asked.ledger.jobs(kind=DELIVER)]
    committed = [job.outcome or {} for job in asked.ledger.jobs(kind=COMMIT)]
    count = sum(one["delivered"] + one["copies"] for one in sent)
    assert count >= 5
    assert sum(one.get("committed", 0) for one in committed) == count


def test_a_study_sent_again_for_indexing_gets_no_second_answer(asked: Hospital) -> None:
    before = answers(asked)
    asked.pacs.send([asked.study(QUERY)], "wristmir")
    asked.settle()
    assert answers(asked) == before
    assert outcome(asked, QUERY, INDEX)["exams"] == 1


def test_results_sent_to_the_request_title_are_no_question(asked: Hospital) -> None:
    before = answers(asked)
    results = [
        series["ID"]
        for series in asked.pacs.find("Series", StudyInstanceUID=QUERY)
        if sender(asked, f"/series/{series['ID']}") == "WRISTMIR"
    ]
    assert len(results) >= 2
    asked.pacs.send(results, "wristmir_q")
    asked.settle()
    assert answers(asked) == before


def test_a_study_sent_again_as_a_question_gets_one_answer_that_replaces_the_last(
    asked: Hospital,
) -> None:
    jobs, reports = answers(asked)
    asked.pacs.send([asked.study(QUERY)], "wristmir_q")
    asked.until(lambda: answers(asked) != (jobs, reports))
    asked.settle()
    assert answers(asked) == (jobs + 1, reports + 1)
    for sop_class in (ComprehensiveSRStorage, Comprehensive3DSRStorage):
        *_, last, new = asked.results(QUERY, sop_class)
        (replaced,) = new.PredecessorDocumentsSequence
        named = replaced.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
        assert named.ReferencedSOPInstanceUID == last.SOPInstanceUID
        assert all(asked.pacs.holds(uid) for uid in referenced_instances(new))


def test_no_job_has_failed_in_the_end(asked: Hospital) -> None:
    assert asked.complaints() == ()
    assert {job.state for job in asked.ledger.jobs(limit=500)} == {JobState.DONE}


def test_orthanc_is_found_where_debian_puts_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    executable = program()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program() == executable
    said = subprocess.run([executable, "--version"], capture_output=True, text=True, check=True)
    assert "Orthanc" in said.stdout


def outcome(running: Hospital, study: str, kind: str) -> dict[str, Any]:
    """Return how a study's latest job of one kind ended; it must have ended well."""
    job, *_ = running.jobs(study, kind)
    assert job.state is JobState.DONE
    return job.outcome or {}


def answers(asked: Hospital) -> tuple[int, int]:
    """Return how often the query was answered: jobs of the plugin, reports in the PACS."""
    reports = asked.results(QUERY, ComprehensiveSRStorage)
    return len(asked.jobs(QUERY, ANSWER)), len(reports)


def everything_sent(asked: Hospital) -> list[Dataset]:
    """Return every object that the PACS got from the plugin."""
    uids = [
        instance["MainDicomTags"]["SOPInstanceUID"]
        for instance in asked.pacs.find("Instance")
        if sender(asked, f"/instances/{instance['ID']}") == "WRISTMIR"
    ]
    return [asked.pacs.fetch(uid) for uid in uids]


def sender(asked: Hospital, resource: str) -> str:
    """Return the AE title from which the PACS got a series or an instance."""
    return str(asked.pacs.get(f"{resource}/metadata?expand").get("RemoteAET"))
