"""Viewers beside OHIF: Orthanc's own, and the pages that dsr2html makes, in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dcmtk import call
from hospital import Hospital, hospital
from orthanc import DICOMWEB, WEB_VIEWER
from plugin import saved
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
)
from reading_room import answered, grey
from test_orthanc import QUERY
from viewer import canvases, chromium, eventually_seen, likeness, photograph

pytestmark = [pytest.mark.slow, pytest.mark.peers]

NO_IMAGE = "does not support the decoding of this image"
"""What the viewer says where there is nothing in an object that it can draw."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    """An answered study in an Orthanc that has its viewer."""
    folder = tmp_path_factory.mktemp("archive")
    with hospital(folder / "hospital", [DICOMWEB, WEB_VIEWER]) as running:
        answered(running)
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as it:
        yield it


def opened(browser: Any, archive: Hospital, sop_class: str) -> None:
    """Open the series of an object in Orthanc's viewer."""
    found = archive.pacs.find("Instance", StudyInstanceUID=QUERY, SOPClassUID=sop_class)
    series = found[0]["ParentSeries"]
    browser.get(
        f"http://127.0.0.1:{archive.pacs.http_port}/web-viewer/app/viewer.html?series={series}"
    )


def test_orthancs_viewer_shows_the_board(browser: Any, archive: Hospital) -> None:
    (board,) = archive.results(QUERY, SecondaryCaptureImageStorage)
    opened(browser, archive, SecondaryCaptureImageStorage)
    eventually_seen(lambda: likeness(canvases(browser)[0], grey(board)) > 0.97)
    photograph(browser, "orthanc-board")


def test_orthancs_viewer_shows_the_library_copy_of_a_prior(browser: Any, archive: Hospital) -> None:
    found = archive.pacs.find("Instance", PatientID="WMIR-*")
    uids = {one["MainDicomTags"]["SOPInstanceUID"]: one["ParentSeries"] for one in found}
    copies = {series: archive.pacs.fetch(uid) for uid, series in uids.items()}
    # where an image says nothing of its window the viewer makes one up, and shows it harshly
    series, image = next(pair for pair in copies.items() if "WindowCenter" in pair[1])
    address = f"http://127.0.0.1:{archive.pacs.http_port}/web-viewer/app/viewer.html"
    browser.get(f"{address}?series={series}")
    eventually_seen(lambda: likeness(canvases(browser)[0], grey(image)) > 0.97)
    photograph(browser, "orthanc-copy")


@pytest.mark.parametrize(
    "sop_class",
    [
        ComprehensiveSRStorage,
        Comprehensive3DSRStorage,
        GrayscaleSoftcopyPresentationStateStorage,
        KeyObjectSelectionDocumentStorage,
        EncapsulatedPDFStorage,
    ],
)
def test_orthancs_viewer_says_that_it_shows_nothing_else(
    browser: Any, archive: Hospital, sop_class: str
) -> None:
    opened(browser, archive, sop_class)
    eventually_seen(lambda: NO_IMAGE in browser.switch_to.alert.text)
    browser.switch_to.alert.accept()


@pytest.mark.parametrize(
    ("sop_class", "name"),
    [(ComprehensiveSRStorage, "report"), (Comprehensive3DSRStorage, "boxes")],
)
def test_the_page_that_dsr2html_makes_of_a_report_is_read(
    browser: Any, archive: Hospital, sop_class: str, name: str, tmp_path: Path
) -> None:
    document, *_ = archive.results(QUERY, sop_class)
    page = tmp_path / "page.html"
    done = call("dsr2html", "+U8", str(saved(document, tmp_path / "document.dcm")), str(page))
    assert done.returncode == 0, done.stderr
    browser.get(page.as_uri())
    seen = " ".join(browser.find_element("css selector", "body").text.split())
    texts = [str(element.value) for element in document.iterall() if element.keyword == "TextValue"]
    assert [text for text in texts if " ".join(text.split()) not in seen] == []
    photograph(browser, f"dsr2html-{name}")


def test_chromium_shows_the_document(browser: Any, archive: Hospital, tmp_path: Path) -> None:
    (document,) = archive.results(QUERY, EncapsulatedPDFStorage)
    file = tmp_path / "document.pdf"
    file.write_bytes(document.EncapsulatedDocument[: document.EncapsulatedDocumentLength])
    browser.get(file.as_uri())
    eventually_seen(
        lambda: browser.execute_script("return document.contentType") == "application/pdf"
    )
    photograph(browser, "chromium-document")
