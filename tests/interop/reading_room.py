"""A reading room: an answered study in the PACS, a viewer before it, the plugin's pages beside."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hospital import Hospital, hospital, study_files
from ohif import Archive, ohif, ohif_version
from orthanc import ARCHIVE, DICOMWEB, EMERGENCY
from plugin import free_port
from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage
from site_rig import Visit, accounts, site_of
from test_orthanc import PRIORS, QUERY
from viewer import Grey, Viewer, chromium

from deploy.web.users import Role
from pipeline.decoder import Decoder
from pipeline.radiograph import radiograph
from pipeline.worker import MINE

__all__ = ["ReadingRoom", "answered", "grey", "query_image", "reading_room"]

_TOKEN = "an invented token of the hospital's proxy"  # noqa: S105 - of nobody


@dataclass(frozen=True, eq=False)
class ReadingRoom:
    """OHIF before an answered study, and the pages beside it."""

    hospital: Hospital
    site: Visit
    viewer: Viewer

    def result(self, sop_class: str) -> Dataset:
        """Return the object of a class that answers the query."""
        (found,) = self.hospital.results(QUERY, sop_class)
        return found

    def links(self) -> list[str]:
        """Return the links to the viewer on the page of the result, one for each of its cases."""
        self.site.sign_in("reader")
        page = self.site.get(self.site.get(f"/studies/{QUERY}").headers["location"]).text
        found = re.findall(r'href="([^"]*hpCompare)"', page)
        return [one.replace("&amp;", "&") for one in found if len(_studies(one)) == 2]

    def copies(self, link: str) -> list[Dataset]:
        """Return the images of the prior that a link opens beside the query."""
        _, prior = _studies(link)
        found = self.hospital.pacs.find("Instance", StudyInstanceUID=prior)
        uids = [one["MainDicomTags"]["SOPInstanceUID"] for one in found]
        return [self.hospital.pacs.fetch(uid) for uid in uids]


def _studies(link: str) -> list[str]:
    """Return the studies that a link opens, the query's first."""
    named: list[str] = re.findall(r"[\d.]{10,}", link.partition("StudyInstanceUIDs=")[2])
    return named


@contextmanager
def reading_room(folder: Path) -> Iterator[ReadingRoom]:
    """Ask about a study, and sit down before OHIF until the block ends.

    OHIF finds two archives, ``pacs`` and ``plugin``, all under one address as behind a hospital's
    proxy, which holds the plugin's token.
    """
    ohif_version()
    folder.mkdir(parents=True, exist_ok=True)
    here, pages = free_port(), free_port()
    address = f"http://127.0.0.1:{here}"
    tokens = folder / "tokens"
    tokens.write_text(f"proxy {hashlib.sha256(_TOKEN.encode()).hexdigest()}\n", encoding="utf-8")
    tokens.chmod(0o600)
    web = _WEB.format(port=pages, tokens=tokens, address=address)
    with hospital(folder / "hospital", [DICOMWEB], web) as running:
        answered(running)
        accounts(running.settings, reader=(Role.RADIOLOGIST,))
        archives = {
            "pacs": Archive(running.pacs.http_port, "/dicom-web"),
            "plugin": Archive(pages, "/dicomweb", _TOKEN),
        }
        with (
            site_of(running.settings),
            ohif(here, **archives),
            chromium(folder / "profile") as browser,
        ):
            site = Visit(f"http://127.0.0.1:{pages}")
            yield ReadingRoom(running, site, Viewer(browser, address))


def answered(running: Hospital) -> None:
    """Index old studies, then let a new one come from the emergency room."""
    for study in PRIORS:
        running.store(study_files(study), ARCHIVE)
    running.until(lambda: all(running.jobs(study, MINE) for study in PRIORS), 120)
    running.settle(120)
    running.store(study_files(QUERY), EMERGENCY)
    running.until(lambda: running.results(QUERY, SecondaryCaptureImageStorage))
    running.settle()


_WEB = """
[web]
port = {port}
tokens = "{tokens}"
viewer_url = "{address}/viewer?StudyInstanceUIDs={{studies}}&hangingprotocolId=@ohif/hpCompare"
"""


def query_image() -> Grey:
    """Return the image that was asked about, as it is to be shown."""
    (file,) = study_files(QUERY, "image")
    with Decoder() as decoder:
        return radiograph(decoder, file).pixels


def grey(image: Dataset) -> Grey:
    """Return an image made by the plugin as it is to be shown."""
    pixels = image.pixel_array.astype(np.float32)
    if pixels.ndim == 3:
        pixels = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    pixels /= max(float(pixels.max()), 1.0)
    return 1 - pixels if image.PhotometricInterpretation == "MONOCHROME1" else pixels
