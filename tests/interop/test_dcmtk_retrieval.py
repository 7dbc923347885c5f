"""DCMTK asks for results and is sent them: findscu, getscu, and movescu with a storescp."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dcmtk import call
from peers import peer
from plugin import free_port
from pydicom import Dataset, dcmread
from shelf import BOARD, Shelf, result
from station import LOOPBACK, Station, eventually, station

from listener.destination_settings import DestinationSettings

pytestmark = [pytest.mark.slow, pytest.mark.peers]

STUDY = "1.2.3.1"


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    (tmp_path / "shelf").mkdir()
    it = Shelf(tmp_path / "shelf")
    it.put(result(1), result(1, 2, sop_class=BOARD, size=9000), result(2))
    return it


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def link(tmp_path: Path, shelf: Shelf, port: int) -> Iterator[Station]:
    there = DestinationSettings(name="second", ae_title="PACS2", host=LOOPBACK, port=port)
    with station(
        tmp_path / "state", holdings=shelf, destinations=(there,), idle_seconds=10
    ) as running:
        yield running


def ask(
    link: Station, tool: str, *options: str, level: str = "STUDY"
) -> subprocess.CompletedProcess[str]:
    """Ask by a tool as the listed PACS, by the Study Root model."""
    titles = ["-aet", "PACS", "-aec", "WRISTMIR", "-v", "-S"]
    where = [LOOPBACK, str(link.port)]
    return call(tool, *titles, "-k", f"QueryRetrieveLevel={level}", *options, *where)


@contextmanager
def storescp(folder: Path, port: int) -> Iterator[None]:
    """Run DCMTK's receiver until the block ends."""
    folder.mkdir()
    command = [peer("storescp"), "-aet", "PACS2", "-od", str(folder), str(port)]
    process = subprocess.Popen(command)
    try:
        assert eventually(lambda: _listens(port), 10)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def content(folder: Path) -> dict[str, Dataset]:
    """Return what came, by SOP Instance UID."""
    found = [dcmread(path) for path in folder.iterdir()]
    return {str(one.SOPInstanceUID): one for one in found}


def test_findscu_finds_studies_series_and_objects(link: Station, tmp_path: Path) -> None:
    found = ask(link, "findscu", "-k", "StudyInstanceUID", "-k", "PatientName=Invented*")
    assert found.returncode == 0, found.stderr
    told = found.stdout + found.stderr
    assert told.count("Find Response:") == 2
    assert "Received Final Find Response (Success)" in told
    within = ("-k", f"StudyInstanceUID={STUDY}")
    series = ask(link, "findscu", *within, "-k", "SeriesInstanceUID", level="SERIES")
    assert (series.stdout + series.stderr).count("Find Response:") == 2
    objects = ask(
        link,
        "findscu",
        *within,
        *("-k", f"SeriesInstanceUID={STUDY}.2", "-k", "SOPInstanceUID"),
        level="IMAGE",
    )
    assert f"{STUDY}.2.1" in objects.stdout + objects.stderr


def test_findscu_is_told_why_it_is_refused(link: Station) -> None:
    refused = ask(link, "findscu", "-k", "SeriesInstanceUID", level="SERIES")
    assert "DataSetDoesNotMatchSOPClass" in refused.stdout + refused.stderr


def test_getscu_gets_a_study_as_it_was_made(link: Station, shelf: Shelf, tmp_path: Path) -> None:
    folder = tmp_path / "got"
    folder.mkdir()
    got = ask(link, "getscu", "-od", str(folder), "-k", f"StudyInstanceUID={STUDY}")
    assert got.returncode == 0, got.stderr
    came = content(folder)
    assert set(came) == {f"{STUDY}.1.1", f"{STUDY}.2.1"}
    for uid, one in came.items():
        assert one == dcmread(shelf.folder / f"{uid}.dcm")


def test_movescu_has_a_series_sent_to_a_second_system(
    link: Station, shelf: Shelf, port: int, tmp_path: Path
) -> None:
    folder = tmp_path / "moved"
    uids = ("-k", f"StudyInstanceUID={STUDY}", "-k", f"SeriesInstanceUID={STUDY}.2")
    with storescp(folder, port):
        moved = ask(link, "movescu", "-aem", "PACS2", *uids, level="SERIES")
    assert moved.returncode == 0, moved.stderr
    assert content(folder) == {f"{STUDY}.2.1": dcmread(shelf.folder / f"{STUDY}.2.1.dcm")}


def test_movescu_cannot_have_it_sent_to_a_stranger(link: Station, tmp_path: Path) -> None:
    moved = ask(link, "movescu", "-aem", "STRANGER", "-k", f"StudyInstanceUID={STUDY}")
    assert moved.returncode != 0
    assert "MoveDestinationUnknown" in moved.stdout + moved.stderr
