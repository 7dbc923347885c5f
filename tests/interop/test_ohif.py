"""OHIF on the DICOMweb of the PACS, and of the plugin: what a radiologist sees of a result."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from hospital import Hospital, hospital, study_files
from ohif import Archive, ohif, ohif_version
from orthanc import ARCHIVE, DICOMWEB, EMERGENCY
from plugin import free_port
from pydicom import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    SecondaryCaptureImageStorage,
)
from site_rig import Visit, accounts, site_of
from test_orthanc import PRIORS, QUERY
from viewer import Grey, Viewer, drawn_on, likeness, photograph, viewer

from deploy.web.users import Role
from pipeline.decoder import Decoder
from pipeline.dictionary import ENGLISH
from pipeline.radiograph import radiograph
from pipeline.worker import MINE

pytestmark = [pytest.mark.slow, pytest.mark.peers]

REPORT, BOARD = ENGLISH.say("report.series"), ENGLISH.say("pictures.series")
BOXES, DOCUMENT = ENGLISH.say("measurements.series"), ENGLISH.say("document.series")
STATE, KEY_OBJECTS = ENGLISH.say("presentation.series"), ENGLISH.say("key_objects.series")
TOKEN = "an invented token of the hospital's proxy"  # noqa: S105 - of nobody
ALIKE = 0.97


@dataclass(frozen=True, eq=False)
class ReadingRoom:
    """A viewer before an answered study, and the pages beside it."""

    hospital: Hospital
    site: Visit
    viewer: Viewer

    def result(self, sop_class: str) -> Dataset:
        """Return the object of a class that answers the query."""
        (found,) = self.hospital.results(QUERY, sop_class)
        return found


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReadingRoom]:
    """Ask about a study, and sit down before OHIF."""
    ohif_version()
    folder = tmp_path_factory.mktemp("room")
    here, pages = free_port(), free_port()
    address = f"http://127.0.0.1:{here}"
    tokens = folder / "tokens"
    tokens.write_text(f"proxy {hashlib.sha256(TOKEN.encode()).hexdigest()}\n", encoding="utf-8")
    tokens.chmod(0o600)
    web = WEB.format(port=pages, tokens=tokens, address=address)
    with hospital(folder / "hospital", [DICOMWEB], web) as running:
        answer(running)
        accounts(running.settings, reader=(Role.RADIOLOGIST,))
        archives = {
            "pacs": Archive(running.pacs.http_port, "/dicom-web"),
            "plugin": Archive(pages, "/dicomweb", TOKEN),
        }
        with (
            site_of(running.settings),
            ohif(here, **archives),
            viewer(folder / "profile", address) as there,
        ):
            yield ReadingRoom(running, Visit(f"http://127.0.0.1:{pages}"), there)


# the browser finds all under one address, as behind a hospital's proxy
WEB = """
[web]
port = {port}
tokens = "{tokens}"
viewer_url = "{address}/viewer?StudyInstanceUIDs={{studies}}&hangingprotocolId=@ohif/hpCompare"
"""


def answer(running: Hospital) -> None:
    """Index old studies, then let a new one come from the emergency room."""
    for study in PRIORS:
        running.store(study_files(study), ARCHIVE)
    running.until(lambda: all(running.jobs(study, MINE) for study in PRIORS), 120)
    running.settle(120)
    running.store(study_files(QUERY), EMERGENCY)
    running.until(lambda: running.results(QUERY, SecondaryCaptureImageStorage))
    running.settle()


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
    photograph(seen, f"ohif-{archive}-report")


def texts(report: Dataset) -> Iterator[Dataset]:
    """Every text of a report, whose name it stands behind."""
    return (element for element in report.iterall() if element.keyword == "TextValue")


def test_the_board_is_shown_as_it_was_drawn(opened: tuple[ReadingRoom, str]) -> None:
    room, archive = opened
    board, seen = grey(room.result(SecondaryCaptureImageStorage)), room.viewer
    seen.show(BOARD)
    seen.until(lambda: likeness(seen.pictures()[0], board) > ALIKE)
    photograph(seen, f"ohif-{archive}-board")


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
    photograph(seen, f"ohif-{archive}-document")


FETCHED = """
const [done] = arguments;
fetch(document.querySelector('object[type="application/pdf"]').data)
    .then(answer => answer.arrayBuffer())
    .then(bytes => done([...new Uint8Array(bytes)]));
"""


def test_presentation_state_and_key_objects_are_listed_with_a_warning_and_not_shown(
    opened: tuple[ReadingRoom, str],
) -> None:
    seen = opened[0].viewer
    warned = {name for name in seen.series() if seen.is_warned_of(name)}
    assert warned == {STATE, KEY_OBJECTS}  # where OHIF learns it, deploy/VIEWERS.md says so


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
    photograph(seen, "ohif-pacs-boxes")


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
    photograph(seen, "ohif-pacs-measurements")


def test_the_link_of_the_pages_opens_query_and_prior_side_by_side(room: ReadingRoom) -> None:
    seen, link = room.viewer, links(room)[0]
    _, prior = re.findall(r"[\d.]{10,}", link.partition("StudyInstanceUIDs=")[2])
    pacs = room.hospital.pacs
    copies = pacs.find("Instance", StudyInstanceUID=prior)
    (image, *_) = (pacs.fetch(one["MainDicomTags"]["SOPInstanceUID"]) for one in copies)
    seen.go(link)
    seen.until(lambda: len(seen.pictures()) >= 2)
    seen.until(lambda: likeness(seen.pictures()[0], query_image()) > ALIKE)
    seen.until(lambda: likeness(seen.pictures()[1], grey(image)) > ALIKE)
    left, right = (one.rect for one in seen.all('[data-cy="viewport-grid"] canvas')[:2])
    assert left["x"] + left["width"] <= right["x"] + 1
    assert left["y"] == right["y"]
    assert "Multiple Patients" in seen.panel()
    photograph(seen, "ohif-pacs-side-by-side")


def links(room: ReadingRoom) -> list[str]:
    """Return the links to the viewer on the page of the result, those of the cases first."""
    room.site.sign_in("reader")
    page = room.site.get(room.site.get(f"/studies/{QUERY}").headers["location"]).text
    found = re.findall(r'href="([^"]*hpCompare)"([^>]*)', page)
    return [link.replace("&amp;", "&") for link, more in found if "data-all" not in more]


def query_boxes(companion: Dataset) -> dict[str, np.ndarray]:
    """Return the boxes in the query, (column, row), by the name of the bone."""
    found = {}
    for group in companion.ContentSequence[-1].ContentSequence:
        of = {item.ConceptNameCodeSequence[0].CodeValue: item for item in group.ContentSequence}
        if "111030" in of:  # Image Region
            bone = of["363698007"].ConceptCodeSequence[0].CodeMeaning
            found[bone] = np.array(of["111030"].GraphicData, float).reshape(-1, 2)
    return found


def query_image() -> Grey:
    """Return the image that was asked about, as it is to be shown."""
    (file,) = study_files(QUERY, "image")
    with Decoder() as decoder:
        return radiograph(decoder, file).pixels


def grey(image: Dataset) -> Grey:
    """Return an object made by the plugin as it is to be shown."""
    pixels = image.pixel_array.astype(np.float32)
    if pixels.ndim == 3:
        pixels = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    pixels /= max(float(pixels.max()), 1.0)
    return 1 - pixels if image.PhotometricInterpretation == "MONOCHROME1" else pixels
