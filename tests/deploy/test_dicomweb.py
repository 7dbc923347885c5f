"""QIDO-RS and WADO-RS of what is kept, over HTTP."""

from __future__ import annotations

import email
import email.policy
import hashlib
import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from audit_parts import ACCESSED, ALERT, QUERIED, audit_file, kind, objects, trail
from pydicom import Dataset, dcmread
from shelf import BOARD, REPORT, Shelf, result
from station import SITE_KEY

from deploy.web.bearer import BearerTokens
from deploy.web.dicomweb import dicomweb_app
from deploy.web.loopback import LoopbackServer
from listener.audit import Audit
from listener.settings import ListenerSettings, RetrievalSettings

TOKEN = "an invented token, long enough"  # noqa: S105 - of nobody


IMAGE = "/studies/1.2.3.1/series/1.2.3.1.2/instances/1.2.3.1.2.1"
FIRST, SECOND = bytes(range(27)), bytes(range(100, 127))
NATIVE = 'application/octet-stream; transfer-syntax="1.2.840.10008.1.2.1"'


@dataclass(frozen=True)
class Service:
    """The running application."""

    address: str
    folder: Path

    def get(
        self, path: str, token: str = TOKEN, accept: str = "*/*", **query: str
    ) -> tuple[int, bytes, str]:
        """Return status, body and its kind."""
        parts = urlsplit(self.address)
        connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=30)
        headers = {"Authorization": f"Bearer {token}", "Accept": accept}
        try:
            target = f"{parts.path.rstrip('/')}{path}?{urlencode(query)}"
            connection.request("GET", target, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers["Content-Type"]
        finally:
            connection.close()

    def found(self, path: str, **query: str) -> list[Dataset]:
        """Return what a search finds."""
        status, body, kind_ = self.get(path, **query)
        assert (status, kind_) == (200, "application/dicom+json")
        return [Dataset.from_json(one) for one in json.loads(body)]

    def files(self, path: str) -> dict[str, bytes]:
        """Return the files that are sent, by SOP Instance UID."""
        parts = [body for _, body in self.parts(path)]
        return {str(dcmread(BytesIO(part)).SOPInstanceUID): part for part in parts}

    def parts(self, path: str) -> list[tuple[str, bytes]]:
        """Return the parts of a message, each with its kind."""
        status, body, kind_ = self.get(path)
        assert status == 200
        message = email.message_from_bytes(
            f"Content-Type: {kind_}\r\n\r\n".encode() + body, policy=email.policy.HTTP
        )
        return [(one["Content-Type"], one.get_payload(decode=True)) for one in message.iter_parts()]


def pictured(image: Dataset) -> Dataset:
    """Give an object two frames of three by three pixels, in colour."""
    image.Rows, image.Columns, image.SamplesPerPixel, image.NumberOfFrames = 3, 3, 3, 2
    image.PhotometricInterpretation, image.PlanarConfiguration = "RGB", 0
    image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
    image.PixelRepresentation = 0
    image.add_new("PixelData", "OB", FIRST + SECOND)
    return image


@contextmanager
def running(folder: Path, **bounds: Any) -> Iterator[Service]:
    (folder / "shelf").mkdir()
    shelf = Shelf(folder / "shelf")
    shelf.put(
        result(1),
        pictured(result(1, 2, sop_class=BOARD)),
        result(2, name="Erfunden^Änne"),
        result(3),
    )
    tokens = folder / "tokens"
    tokens.write_text(f"viewer {hashlib.sha256(TOKEN.encode()).hexdigest()}\n")
    tokens.chmod(0o600)
    settings = ListenerSettings(state_dir=folder, audit=audit_file(folder / "audit.log"))
    with Audit(settings, site_key=SITE_KEY) as audit:
        app = dicomweb_app(shelf, BearerTokens(tokens), audit, RetrievalSettings(**bounds))
        with LoopbackServer(app) as server:
            thread = threading.Thread(target=server.run)
            thread.start()
            try:
                yield Service(server.address, folder)
            finally:
                server.stop()
                thread.join(20)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("web")) as it:
        yield it


@pytest.mark.parametrize(
    ("query", "studies"),
    [
        ({}, "123"),
        ({"PatientName": "Erfunden*"}, "2"),
        ({"00100020": "INVENTED-3"}, "3"),
        ({"StudyDate": "20240102-"}, "23"),
        ({"StudyInstanceUID": "1.2.3.1,1.2.3.2"}, "12"),
        ({"ModalitiesInStudy": "OT"}, "1"),
        ({"limit": "0"}, ""),
        ({"limit": "2"}, "12"),
        ({"offset": "1", "limit": "1"}, "2"),
        ({"includefield": "all", "fuzzymatching": "false"}, "123"),
    ],
)
def test_studies_are_found_as_the_query_says(
    service: Service, query: dict[str, str], studies: str
) -> None:
    found = service.found("/studies", **query)
    assert [one.StudyInstanceUID[-1] for one in found] == list(studies)


def test_what_is_found_is_told_in_the_json_of_the_standard(service: Service) -> None:
    (one,) = service.found("/studies", StudyInstanceUID="1.2.3.2")
    assert one.PatientName == "Erfunden^Änne"
    assert one.NumberOfStudyRelatedInstances == 1
    assert one.RetrieveURL.endswith("/studies/1.2.3.2")
    series = service.found("/studies/1.2.3.1/series")
    assert {(s.SeriesInstanceUID, s.Modality) for s in series} == {
        ("1.2.3.1.1", "SR"),
        ("1.2.3.1.2", "OT"),
    }
    (instance,) = service.found("/studies/1.2.3.1/series/1.2.3.1.2/instances")
    assert (instance.SOPInstanceUID, instance.SOPClassUID) == ("1.2.3.1.2.1", BOARD)


@pytest.mark.parametrize(
    ("path", "uids"),
    [
        ("/studies/1.2.3.1", {"1.2.3.1.1.1", "1.2.3.1.2.1"}),
        ("/studies/1.2.3.1/series/1.2.3.1.2", {"1.2.3.1.2.1"}),
        ("/studies/1.2.3.1/series/1.2.3.1.1/instances/1.2.3.1.1.1", {"1.2.3.1.1.1"}),
    ],
)
def test_what_is_retrieved_are_the_files_byte_for_byte(
    service: Service, path: str, uids: set[str]
) -> None:
    files = service.files(path)
    assert files == {uid: (service.folder / "shelf" / f"{uid}.dcm").read_bytes() for uid in uids}


def test_metadata_are_everything_of_an_object_but_its_bulk(service: Service) -> None:
    (one,) = service.found("/studies/1.2.3.2/metadata")
    assert one.SOPClassUID == REPORT
    assert one.StudyDescription == "wrist"


def test_the_pixels_of_an_image_are_sent_frame_by_frame(service: Service) -> None:
    assert service.parts(f"{IMAGE}/frames/1") == [(NATIVE, FIRST)]
    assert service.parts(f"{IMAGE}/frames/2,1") == [(NATIVE, SECOND), (NATIVE, FIRST)]
    asked = "multipart/related; type=application/octet-stream; transfer-syntax=*"  # as OHIF asks
    assert service.get(f"{IMAGE}/frames/1", accept=asked)[0] == 200


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        (f"{IMAGE}/frames/3", "*/*", 404),
        (f"{IMAGE}/frames/0", "*/*", 404),
        (f"{IMAGE}/frames/1,x", "*/*", 400),
        (f"{IMAGE}/frames/1", "image/jpeg", 406),
        ("/studies/1.2.3.1/series/1.2.3.1.1/instances/1.2.3.1.1.1/frames/1", "*/*", 404),
        ("/studies/1.2.3.1/series/1.2.3.1.2/instances/1.2.3.9/frames/1", "*/*", 404),
    ],
)
def test_a_frame_that_there_is_not_or_in_another_form_is_refused(
    service: Service, path: str, accept: str, status: int
) -> None:
    assert service.get(path, accept=accept)[0] == status


def test_what_is_not_kept_is_not_found(service: Service) -> None:
    assert service.found("/studies", StudyInstanceUID="1.2.3.9") == []
    for path in ("/studies/1.2.3.9", "/studies/1.2.3.9/metadata", "/studies/../../etc/passwd"):
        assert service.get(path)[0] == 404


@pytest.mark.parametrize(
    "query", [{"Rows": "1"}, {"NoKeyword": "1"}, {"limit": "-1"}, {"offset": "9" * 20}]
)
def test_a_search_that_cannot_be_made_is_refused(service: Service, query: dict[str, str]) -> None:
    assert service.get("/studies", **query)[0] == 400


def test_nothing_is_told_without_a_token_or_in_a_form_that_is_not_sent(service: Service) -> None:
    for path in ("/studies", "/studies/1.2.3.1", "/studies/1.2.3.1/metadata", f"{IMAGE}/frames/1"):
        assert service.get(path, token="no")[0] == 401  # noqa: S106 - one that is none
    assert service.get("/studies/1.2.3.1", accept="image/jpeg")[0] == 406


def test_no_more_is_sent_than_the_bounds_allow(tmp_path: Path) -> None:
    with running(tmp_path, max_objects=1, max_answers=2) as service:
        assert service.get("/studies/1.2.3.1")[0] == 413
        assert service.get("/studies/1.2.3.2")[0] == 200
        assert len(service.found("/studies")) == 2


def test_the_audit_trail_tells_what_was_asked_and_sent_and_names_nobody(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        service.found("/studies", PatientName="Erfunden*")
        service.files("/studies/1.2.3.2")
        service.get("/studies", token="no")  # noqa: S106 - one that is none
    told = [one for one in trail(tmp_path / "audit.log") if kind(one) in (QUERIED, ACCESSED, ALERT)]
    assert [kind(one) for one in told] == [QUERIED, QUERIED, ACCESSED, ALERT]
    assert objects(told[2], "110180") == ["1.2.3.2"]
    assert "Erfunden" not in (tmp_path / "audit.log").read_text()
