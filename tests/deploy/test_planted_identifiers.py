"""Identifiers planted wherever a prior can hold them: none is in any byte that leaves.

Through the service as it runs: received over DICOM, indexed, asked, answered, delivered to a
storage SCP behind a wire tap, shown by pages, found and fetched over DICOMweb.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import socket
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from planted_secrets import NUMBER, REAL, Secrets, unpacked
from plugin import STUDIES, Plugin, plugin, saved
from pydicom import Dataset, config, dcmread
from pydicom.datadict import DicomDictionary, dictionary_VR
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian
from site_rig import Visit, accounts, site_of, with_web

from deploy.web.users import Role
from listener.destination_settings import DestinationSettings
from pipeline.result_set import referenced_instances
from pipeline.worker import ANSWER, Delivery

pytestmark = pytest.mark.slow

SECRET = "Q7SECRETQ7"  # noqa: S105  of nobody
UID = "1.2.840.987654321.4711"
DAY, TIME = "19991231", "235959"
TOKEN = "an invented token, long enough"  # noqa: S105 - of nobody
CLEAN, WRITTEN, LABELLED = "TEST-0008-1", "TEST-0001-1", "TEST-0013-1"
QUERY = "TEST-0018-1"


# -- what is planted -------------------------------------------------------------------------

# what says what the picture is, and how its pixels are read: a copy may say so too
_OWN_WORDS = """
SpecificCharacterSet SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID Modality
BodyPartExamined ViewPosition Laterality ImageLaterality FrameLaterality PatientOrientation
ImageType PatientAge PatientSex PresentationIntentType BurnedInAnnotation RescaleType
AnatomicRegionSequence ViewCodeSequence PatientIdentityRemoved RecognizableVisualFeatures
PixelSpacing ImagerPixelSpacing LossyImageCompressionRatio LossyImageCompressionMethod
PixelIntensityRelationship PixelIntensityRelationshipSign PixelData FloatPixelData
DoubleFloatPixelData DetectorType
"""
_OWN = frozenset(_OWN_WORDS.split())
_VALUES: dict[str, Any] = {
    **dict.fromkeys(("AE", "CS", "LO", "SH", "ST", "LT", "UT", "UC", "PN", "UR"), SECRET),
    "DA": DAY,
    "TM": TIME,
    "DT": DAY + TIME,
    "IS": str(NUMBER),
    "DS": str(REAL),
    "UI": UID,
    **dict.fromkeys(("UL", "SL", "UV", "SV"), NUMBER),
    **dict.fromkeys(("FL", "FD"), REAL),
    **dict.fromkeys(("OB", "OW", "OL", "OV", "OF", "OD", "UN"), SECRET.encode() * 8),
    "US": 0x5137,
    "SS": 0x5137,
    "AT": 0x51375345,
    "AS": "093Y",
}


def planted(dataset: Dataset) -> int:
    """Plant a secret in every attribute of the standard, and in private ones; return how many."""
    count = 0
    for number in DicomDictionary:
        tag = Tag(number)
        keyword = DicomDictionary[number][4]
        vr = dictionary_VR(tag).split(" or ")[0]
        # group 0028 is how pixels are read; command and file meta elements are of no data set
        if tag.group in (0x0000, 0x0002, 0x0004, 0x0028, 0xFFFE) or keyword in _OWN or not keyword:
            continue
        if vr == "SQ":
            dataset.add_new(tag, vr, [item(2)])
        elif vr in _VALUES:
            dataset.add_new(tag, vr, _VALUES[vr])
        else:
            continue
        count += 1
    block = dataset.private_block(0x0019, f"{SECRET} VENDOR", create=True)
    for number, (vr, value) in enumerate(sorted(_VALUES.items())):
        block.add_new(number, vr, value)
    block.add_new(0xE0, "SQ", [item(1)])
    dataset.ImageComments = SECRET
    for plane in (0x6000, 0x601E):  # what is drawn over the picture, and what is written beside it
        dataset.add_new(Tag(plane, 0x3000), "OW", SECRET.encode() * 8)
        dataset.add_new(Tag(plane, 0x4000), "LT", SECRET)
    return count


def item(depth: int) -> Dataset:
    """Return an item of a sequence, with a secret in it and in items below."""
    made = Dataset()
    made.CodeValue, made.CodingSchemeDesignator, made.CodeMeaning = "1", "99X", SECRET
    made.PatientID, made.PatientName, made.StudyDate = SECRET, SECRET, DAY
    made.ReferencedSOPInstanceUID = UID
    made.private_block(0x0021, SECRET, create=True).add_new(1, "UT", SECRET)
    if depth:
        made.ConceptCodeSequence = Sequence([item(depth - 1)])
    return made


def studies(folder: Path, name: str, *, words: bool = False, label: bool = False) -> list[Path]:
    """Return a study's files with everything planted, and its picture written upon or labelled."""
    files = []
    for file in sorted((STUDIES / name).glob("*.dcm")):
        one = dcmread(file)
        if one.Modality == "SR":
            _tell(one.ContentSequence)
            for keyword in _OF_REPORT:
                setattr(one, keyword, SECRET)
        else:
            if one.file_meta.TransferSyntaxUID.is_compressed:
                one.decompress(generate_instance_uid=False)
            assert planted(one) > 4000
            if words:
                write(one)
            one.BurnedInAnnotation = "YES" if label else "NO"
        one.PatientID, one.PatientBirthDate, one.StudyDate = f"{SECRET}{name[5:9]}", DAY, DAY
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one.file_meta.ImplementationVersionName = SECRET
        one.file_meta.SourceApplicationEntityTitle = SECRET
        one.file_meta.PrivateInformationCreatorUID = UID
        one.file_meta.PrivateInformation = SECRET.encode()
        files.append(saved(one, folder / f"{name}-{file.name}"))
    return files


_OF_REPORT = ("PatientName", "IssuerOfPatientID", "InstitutionName", "AccessionNumber", "StudyID")


def _tell(items: Any) -> None:
    """Put a secret into every text of a report, and behind it what is found in the wrist."""
    for one in items:
        if one.get("ValueType") == "TEXT":
            one.TextValue = f"{SECRET}, born {DAY}: {one.TextValue}"
        elif one.get("ValueType") == "PNAME":
            one.PersonName = SECRET
        _tell(one.get("ContentSequence", ()))


def write(image: Dataset) -> None:
    """Burn the secret into each corner of a picture that does not say so."""
    pixels = image.pixel_array.copy()
    ink, paper = (int(pixels.max()), int(pixels.min()))
    if image.PhotometricInterpretation == "MONOCHROME1":
        ink, paper = paper, ink
    rows, columns = pixels.shape
    size = max(rows, columns) / 500
    width = int(150 * size)
    for y, x in ((0, 0), (0, columns - width), (rows - 30, 0), (rows - 30, columns - width)):
        pixels[y : y + 30, x : x + width] = paper
        cv2.putText(pixels, SECRET, (x + 5, y + 21), 0, 0.45 * size, ink, 1, cv2.LINE_AA)
    image.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    image["PixelData"].VR = "OW"


# -- how it is looked for --------------------------------------------------------------------


def test_what_is_looked_for_is_found_in_every_form() -> None:
    secrets = Secrets(frozenset({SECRET}))
    plain = f"before {SECRET.lower()} behind".encode()
    packed = [
        plain,
        f"x{SECRET}".encode("utf-16-le"),
        f"{SECRET}x".encode("utf-16-be"),
        *(base64.b64encode(b"z" * cut + SECRET.encode() + b"tail") for cut in range(3)),
        b"head" + zlib.compress(plain),
        b"stream\n" + base64.a85encode(zlib.compress(plain)) + b"~>\nendstream",
        struct.pack("<d", REAL),
    ]
    assert [secrets.in_(content) != [] for content in packed] == [True] * len(packed)
    assert secrets.in_(b"nothing of it") == []


# -- what leaves -----------------------------------------------------------------------------


@dataclass
class WireTap:
    """Hands bytes on to a port, and keeps what was sent there."""

    port: int
    sent: list[bytes] = field(default_factory=list)


@contextmanager
def wire_tap(port: int) -> Iterator[WireTap]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        tap = WireTap(server.getsockname()[1])

        def pump(source: socket.socket, target: socket.socket, kept: list[bytes]) -> None:
            with suppress(OSError):
                while data := source.recv(65536):
                    kept.append(data)
                    target.sendall(data)
                target.shutdown(socket.SHUT_WR)

        def hand_on(near: socket.socket) -> None:
            with near, socket.create_connection(("127.0.0.1", port)) as far:
                back = threading.Thread(target=pump, args=(far, near, []))
                back.start()
                pump(near, far, tap.sent)
                back.join()

        def serve() -> None:
            with suppress(OSError):
                while True:
                    near, _ = server.accept()
                    threads.append(threading.Thread(target=hand_on, args=(near,)))
                    threads[-1].start()

        threads = [threading.Thread(target=serve)]
        threads[0].start()
        yield tap
        server.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(10)


@dataclass(frozen=True, eq=False)
class Left:
    """Everything that left, by where it was taken from."""

    running: Plugin
    secrets: Secrets
    wire: bytes
    files: dict[str, bytes]
    pages: dict[str, bytes]
    logged: str


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Left]:
    """Receive, index, ask, answer, deliver and show; keep every byte that leaves meanwhile."""
    folder = tmp_path_factory.mktemp("planted")
    results = {"presentation_state": True, "key_objects": True, "document": True}
    log = Log()
    logger = logging.getLogger("wristmir")
    logger.addHandler(log)
    before = logger.level
    logger.setLevel(logging.DEBUG)
    with (
        plugin(folder, results=results, board_width=1200) as there,
        wire_tap(there.pacs.port) as tap,
    ):
        to = DestinationSettings(name="pacs", ae_title="SMALLPACS", host="127.0.0.1", port=tap.port)
        delivery = Delivery(to, to, "WRISTMIR")
        running = Plugin(**{**vars(there), "worker": with_delivery(there, delivery)})
        sources = [
            *studies(folder, CLEAN),
            *studies(folder, WRITTEN, words=True),
            *studies(folder, LABELLED, label=True),
        ]
        for name in (CLEAN, WRITTEN, LABELLED):
            running.send([one for one in sources if one.name.startswith(name)])
        running.settle(120)
        running.send(sorted((STUDIES / QUERY).glob("*.dcm")), "WRISTMIR_Q")
        running.settle(120)
        secrets = Secrets(
            frozenset({SECRET, UID, DAY, TIME, str(NUMBER), str(REAL), *uids(sources)})
        )
        for source in sources:
            assert secrets.in_(source.read_bytes()) != []
        yield Left(
            running,
            secrets,
            b"".join(tap.sent),
            {file.name: file.read_bytes() for file in running.pacs.files()},
            shown(running, folder),
            log.text,
        )
    logger.removeHandler(log)
    logger.setLevel(before)


class Log(logging.Handler):
    """Keeps what is logged, at every level."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += f"{record.getMessage()}\n"


def with_delivery(there: Plugin, delivery: Delivery) -> Any:
    from dataclasses import replace

    return replace(there.worker, delivery=delivery)


def uids(files: list[Path]) -> set[str]:
    """Return the UIDs and PatientIDs under which the priors came."""
    keywords = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID")
    with config.disable_value_validation():
        headers = [dcmread(file, stop_before_pixels=True) for file in files]
    return {str(one[keyword].value) for one in headers for keyword in keywords}


def shown(running: Plugin, folder: Path) -> dict[str, bytes]:
    """Return what pages, pictures and DICOMweb give to a reader, by address."""
    tokens = folder / "tokens"
    tokens.write_text(f"viewer {hashlib.sha256(TOKEN.encode()).hexdigest()}\n")
    tokens.chmod(0o600)
    viewer = "https://ohif.example.org/viewer?StudyInstanceUIDs={studies}"
    settings = with_web(running.settings, tokens=str(tokens), viewer_url=viewer)
    accounts(settings, reader=(Role.RADIOLOGIST,))
    given: dict[str, bytes] = {}
    with site_of(settings) as address:
        reader = Visit(address)
        reader.sign_in("reader")
        waiting = ["/results"]
        while waiting:  # follow every link and picture
            path = waiting.pop()
            answer = reader.get(path)
            if answer.status != 200:
                continue
            given[path] = answer.body
            if "html" in answer.headers["content-type"]:
                found = re.findall(r'(?:href|src)="(/results[^"#]*)"', answer.text)
                waiting += [one for one in found if one not in given and one not in waiting]
        program = Visit(address, headers={"Authorization": f"Bearer {TOKEN}"})
        for level in ("studies", "series", "instances"):
            given[level] = program.get(f"/dicomweb/{level}", Accept="application/dicom+json").body
        for study in set(re.findall(rb'"0020000D"[^]]*\["([0-9.]+)"', given["studies"])):
            path = f"/dicomweb/studies/{study.decode()}"
            given[path] = program.get(path, Accept="*/*").body
            given[f"{path}/metadata"] = program.get(f"{path}/metadata", Accept="*/*").body
    return given


# -- the promise -----------------------------------------------------------------------------


def test_the_priors_were_found_and_one_of_three_is_shown(left: Left) -> None:
    outcome = left.running.outcome(str(header(QUERY).StudyInstanceUID), ANSWER)
    assert outcome["answered"] == 1
    assert outcome["matches"] == 9  # all three, for three bones
    made = [dcmread(file) for file in left.running.pacs.files()]
    copies = [one for one in made if one.Modality in ("DX", "CR")]
    assert len(copies) == 1
    kinds = {str(one.Modality) for one in made}
    assert kinds >= {"SR", "OT", "PR", "KO", "DOC"}
    (report,) = left.running.reports()
    assert copies[0].SOPInstanceUID in referenced_instances(report)


def header(study: str) -> Dataset:
    files = sorted((STUDIES / study).glob("*.dcm"))
    return next(one for file in files if (one := dcmread(file)).Modality in ("DX", "CR"))


def test_none_is_in_any_byte_on_the_wire(left: Left) -> None:
    assert len(left.wire) > 1_000_000
    assert left.secrets.in_(left.wire) == []


def test_none_is_in_any_object_that_the_library_or_the_pacs_has(left: Left) -> None:
    assert len(left.files) >= 6
    assert {name: left.secrets.in_(content) for name, content in left.files.items()} == {
        name: [] for name in left.files
    }


def test_none_is_in_the_document_that_is_encapsulated(left: Left) -> None:
    documents = [
        one for one in map(dcmread, left.running.pacs.files()) if "EncapsulatedDocument" in one
    ]
    assert len(documents) == 1
    content = documents[0].EncapsulatedDocument
    assert len(list(unpacked(content))) > 3
    assert left.secrets.in_(content) == []


def test_none_is_in_what_pages_and_dicomweb_give_to_a_reader(left: Left) -> None:
    pictures = [path for path in left.pages if path.endswith(".png")]
    assert len(pictures) >= 3
    assert any(path.startswith("/dicomweb/studies/2.25.") for path in left.pages)
    assert {path: left.secrets.in_(content) for path, content in left.pages.items()} == {
        path: [] for path in left.pages
    }


def test_no_picture_shows_what_is_written_in_a_prior_s(left: Left) -> None:
    written = received(left, WRITTEN)
    stamp = np.zeros((30, int(150 * max(written.shape) / 500)), np.uint8)
    cv2.putText(stamp, SECRET, (5, 21), 0, 0.45 * max(written.shape) / 500, 255, 1, cv2.LINE_AA)
    pictures = [
        *(one.pixel_array for one in map(dcmread, left.running.pacs.files()) if "PixelData" in one),
        *(
            cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
            for path, content in left.pages.items()
            if path.endswith(".png")
        ),
    ]
    assert len(pictures) >= 5
    half = cv2.resize(written, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    assert min(likeness(written, stamp), likeness(half, stamp)) > 0.8
    assert max(likeness(picture, stamp) for picture in pictures) < 0.6


def received(left: Left, study: str) -> np.ndarray[Any, Any]:
    """Return a prior's picture as it was received."""
    uid = str(header(study).SOPInstanceUID)
    path = left.running.ledger.receipt(uid)[-1].path
    assert path is not None
    pixels: np.ndarray[Any, Any] = dcmread(path).pixel_array
    return pixels


def likeness(picture: np.ndarray[Any, Any], stamp: np.ndarray[Any, Any]) -> float:
    """Return how much a picture looks like the words anywhere, at any size, light or dark."""
    grey = picture if picture.ndim == 2 else picture[..., :3].mean(axis=2)
    low, high = float(grey.min()), float(grey.max())
    grey = np.asarray((grey - low) / max(high - low, 1) * 255, np.uint8)
    best = 0.0
    for scale in (1.0, 0.5, *np.geomspace(0.25, 1.5, 24)):
        sized = cv2.resize(stamp, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        if sized.shape[0] < grey.shape[0] and sized.shape[1] < grey.shape[1]:
            found = cv2.matchTemplate(grey, sized, cv2.TM_CCOEFF_NORMED)
            best = max(best, float(np.abs(found).max()))
    return best


def test_none_is_in_the_log(left: Left) -> None:
    assert "instance" in left.logged
    assert left.secrets.in_(left.logged.encode()) == []
