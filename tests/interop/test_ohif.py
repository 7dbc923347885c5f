"""OHIF on the DICOMweb of the PACS, and of the plugin: what a radiologist sees of a result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from orthanc import ARCHIVE
from plugin import saved
from pydicom import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    SecondaryCaptureImageStorage,
)
from reading_room import ReadingRoom, grey, query_image, reading_room
from result_parts import NOW, UIDS, answer, exam, header, stored_pixels
from test_match_report import BUNDLE, references
from test_orthanc import QUERY
from viewer import drawn_on, likeness, photograph

from pipeline.dictionary import ENGLISH, dictionary
from pipeline.match_report import match_report
from pipeline.measurement_report import measurement_report
from pipeline.result_language import Language

pytestmark = [pytest.mark.slow, pytest.mark.peers]

REPORT, BOARD = ENGLISH.say("report.series"), ENGLISH.say("pictures.series")
BOXES, DOCUMENT = ENGLISH.say("measurements.series"), ENGLISH.say("document.series")
STATE, KEY_OBJECTS = ENGLISH.say("presentation.series"), ENGLISH.say("key_objects.series")
ALIKE = 0.97


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReadingRoom]:
    """OHIF before an answered study."""
    with reading_room(tmp_path_factory.mktemp("room")) as it:
        yield it


@pytest.fixture(scope="module", params=["pacs", "plugin"])
def opened(room: ReadingRoom, request: pytest.FixtureRequest) -> tuple[ReadingRoom, str]:
    """The query's study in OHIF, from the PACS and from what the plugin keeps."""
    room.viewer.open(QUERY, request.param)
    return room, request.param


def test_every_line_of_the_report_is_read(opened: tuple[ReadingRoom, str]) -> None:
    room, archive = opened
    report, seen = room.result(ComprehensiveSRStorage), room.viewer
    seen.show(REPORT)
    seen.until(lambda: report.ConceptNameCodeSequence[0].CodeMeaning in seen.words())
    lines = [" ".join(str(element.value).split()) for element in texts(report)]
    assert len(lines) > 20
    assert [line for line in lines if line not in seen.words()] == []
    photograph(seen.browser, f"ohif-{archive}-report")


def texts(report: Dataset) -> Iterator[Dataset]:
    """Every text of a report, whose name it stands behind."""
    return (element for element in report.iterall() if element.keyword == "TextValue")


def test_the_board_is_shown_as_it_was_drawn(opened: tuple[ReadingRoom, str]) -> None:
    room, archive = opened
    board, seen = grey(room.result(SecondaryCaptureImageStorage)), room.viewer
    seen.show(BOARD)
    seen.until(lambda: likeness(seen.pictures()[0], board) > ALIKE)
    photograph(seen.browser, f"ohif-{archive}-board")


def test_the_document_is_shown_page_by_page(opened: tuple[ReadingRoom, str]) -> None:
    room, archive = opened
    document, seen = room.result(EncapsulatedPDFStorage), room.viewer
    seen.show(DOCUMENT)
    seen.until(lambda: seen.all('object[type="application/pdf"][data^="blob:"]'))
    shown = seen.browser.execute_async_script(FETCHED)
    assert (
        bytes(shown)[: document.EncapsulatedDocumentLength]
        == document.EncapsulatedDocument[: document.EncapsulatedDocumentLength]
    )
    photograph(seen.browser, f"ohif-{archive}-document")


FETCHED = """
const [done] = arguments;
fetch(document.querySelector('object[type="application/pdf"]').data)
    .then(answer => answer.arrayBuffer())
    .then(bytes => done([...new Uint8Array(bytes)]));
"""


def test_the_library_copy_of_a_prior_is_shown(opened: tuple[ReadingRoom, str]) -> None:
    room, archive = opened
    copies, seen = room.copies(room.links()[0]), room.viewer
    seen.open(copies[0].StudyInstanceUID, archive)
    seen.until(lambda: any(likeness(seen.pictures()[0], grey(one)) > ALIKE for one in copies))
    room.viewer.open(QUERY, archive)


def test_presentation_state_and_key_objects_are_listed_with_a_warning_and_not_shown(
    opened: tuple[ReadingRoom, str],
) -> None:
    seen = opened[0].viewer
    warned = {name for name in seen.series() if seen.is_warned_of(name)}
    assert warned == {STATE, KEY_OBJECTS}  # where OHIF learns it, deploy/VIEWERS.md says so


def test_the_worklist_finds_results_and_copies_at_the_plugin(room: ReadingRoom) -> None:
    seen, name = room.viewer, str(room.result(ComprehensiveSRStorage).PatientName.family_name)
    seen.browser.get(f"{seen.address}/?datasources=plugin")
    seen.until(lambda: "WristMIR library case" in seen.panel())
    assert name in seen.panel()


def test_the_boxes_are_drawn_where_they_were_found(room: ReadingRoom) -> None:
    seen, image = room.viewer, query_image()
    boxes = query_boxes(room.result(Comprehensive3DSRStorage))
    assert len(boxes) == 4
    seen.open(QUERY)
    seen.show(BOXES)
    seen.until(lambda: seen.outlines().keys() == boxes.keys())
    (picture,) = seen.pictures()
    assert likeness(picture, image) > ALIKE
    corner, scale = drawn_on(picture.shape, image.shape)
    for name, outline in seen.outlines().items():
        assert np.abs(outline - (boxes[name] * scale + corner)).max() < 2, name
    photograph(seen.browser, "ohif-pacs-boxes")


def test_the_boxes_become_rows_of_the_measurement_panel(room: ReadingRoom) -> None:
    seen, names = room.viewer, query_boxes(room.result(Comprehensive3DSRStorage))
    seen.open(QUERY)
    seen.show(BOXES)
    seen.until(lambda: "continue tracking" in seen.words())
    seen.click("Yes")
    seen.until(lambda: seen.all('[data-cy="trackedMeasurements-btn"]'))
    seen.all('[data-cy="trackedMeasurements-btn"]')[0].click()
    seen.until(lambda: f"Measurements ({len(names)})" in seen.panel())
    rows = seen.panel().partition("Measurements (")[2]
    assert [name for name in names if name not in rows] == []
    photograph(seen.browser, "ohif-pacs-measurements")


def test_the_link_of_the_pages_opens_query_and_prior_side_by_side(room: ReadingRoom) -> None:
    seen, link = room.viewer, room.links()[0]
    copies = [grey(one) for one in room.copies(link)]  # of both wrists, where the prior shows them
    seen.go(link)
    seen.until(lambda: len(seen.pictures()) >= 2)
    seen.until(lambda: likeness(seen.pictures()[0], query_image()) > ALIKE)
    seen.until(lambda: any(likeness(seen.pictures()[1], one) > ALIKE for one in copies))
    left, right = (one.rect for one in seen.all('[data-cy="viewport-grid"] canvas')[:2])
    assert left["x"] + left["width"] <= right["x"] + 1
    assert left["y"] == right["y"]
    assert "Multiple Patients" in seen.panel()
    photograph(seen.browser, "ohif-pacs-side-by-side")


def test_the_boxes_of_a_comprehensive_sr_are_drawn_too(room: ReadingRoom, tmp_path: Path) -> None:
    seen, query, given = room.viewer, header(30), answer(query=exam(30))
    companion = measurement_report(given, query, references(given), **once("plain"))
    assert companion is not None
    assert companion.SOPClassUID == ComprehensiveSRStorage
    query.PixelData = stored_pixels().tobytes()
    query["PixelData"].VR = "OW"
    query.PatientIdentityRemoved = "YES"  # the router lets it lie
    files = [saved(query, tmp_path / "1.dcm"), saved(companion, tmp_path / "2.dcm")]
    room.hospital.store(files, ARCHIVE)
    seen.open(query.StudyInstanceUID)
    seen.show(BOXES)
    seen.until(lambda: seen.outlines().keys() == query_boxes(companion).keys())


@pytest.mark.parametrize("number", range(1, len(Language)))
def test_a_report_in_another_language_is_read(
    room: ReadingRoom, number: int, tmp_path: Path
) -> None:
    language, seen = list(Language)[number], room.viewer
    words = dictionary(language)
    given, query = answer(query=exam(20 + number)), header(20 + number)
    report = match_report(given, query, references(given), words=words, **once(language.value))
    room.hospital.store([saved(report, tmp_path / "report.dcm")], ARCHIVE)
    seen.open(query.StudyInstanceUID)
    seen.show(words.say("report.series"))
    seen.until(lambda: words.say("code.WM001") in seen.words())
    lines = [" ".join(str(element.value).split()) for element in texts(report)]
    assert [line for line in lines if line not in seen.words()] == []
    photograph(seen.browser, f"ohif-{language.value}-report")


def once(name: str) -> dict[str, Any]:
    """What else a result is made of."""
    return {"bundle": BUNDLE, "uids": UIDS, "result_id": name, "created_at": NOW}


def query_boxes(companion: Dataset) -> dict[str, np.ndarray]:
    """Return the boxes in the query, (column, row), by the name of the bone."""
    found = {}
    for group in companion.ContentSequence[-1].ContentSequence:
        of = {item.ConceptNameCodeSequence[0].CodeValue: item for item in group.ContentSequence}
        if "111030" in of:  # Image Region
            bone = of["363698007"].ConceptCodeSequence[0].CodeMeaning
            found[bone] = np.array(of["111030"].GraphicData, float).reshape(-1, 2)
    return found
