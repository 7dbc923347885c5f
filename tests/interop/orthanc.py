"""Orthanc as the hospital's PACS: a process of its own on free loopback ports, with a router."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from typing import Any

from peers import peer, present
from plugin import free_port
from pydicom import Dataset, dcmread

__all__ = [
    "ARCHIVE",
    "DICOMWEB",
    "EMERGENCY",
    "TITLE",
    "WEB_VIEWER",
    "Orthanc",
    "library",
    "orthanc",
    "program",
]

TITLE = "LABPACS"
ARCHIVE = "ARCHIVE"
"""Who sends old studies: its images are only to be indexed."""
EMERGENCY = "EMERGENCY"
"""Who sends new studies: its images are questions."""
DICOMWEB = "libOrthancDicomWeb.so"
"""Its plugin that speaks DICOMweb (Debian: orthanc-dicomweb)."""
WEB_VIEWER = "libOrthancWebViewer.so"
"""Its plugin that shows images in a browser (Debian: orthanc-webviewer)."""

_LOOPBACK = "127.0.0.1"
_START_SECONDS = 30.0
_DEBIAN = Path("/usr/sbin/Orthanc")
_PLUGINS = Path("/usr/share/orthanc/plugins")


def program() -> str:
    """Return the path of Orthanc; skip where it is missing, unless it has to be there."""
    # Debian keeps it where a user's PATH does not always lead
    return str(_DEBIAN) if _DEBIAN.is_file() else peer("Orthanc")


def library(name: str) -> str:
    """Return the path of a plugin; skip where it is missing, unless it has to be there."""
    return present(_PLUGINS / name)


@dataclass(frozen=True, eq=False)
class Orthanc:
    """A running Orthanc: where it listens for DICOM, and its REST interface."""

    dicom_port: int
    http_port: int
    log: Path

    def get(self, path: str) -> Any:
        """Return what a resource says of itself."""
        return json.loads(self._ask("GET", path))

    def post(self, path: str, body: Any) -> Any:
        """Send a question or an order, as JSON, and return the answer."""
        return json.loads(self._ask("POST", path, json.dumps(body)))

    def find(self, level: str, **query: str) -> list[dict[str, Any]]:
        """Return what the archive holds of one level (``Study``, ``Series``, ``Instance``)."""
        order = {"Level": level, "Query": query, "Expand": True}
        return list(self.post("/tools/find", order))

    def holds(self, sop_instance_uid: str) -> bool:
        """Whether an instance can be fetched by its SOP Instance UID."""
        return bool(self._identifiers(sop_instance_uid))

    def fetch(self, sop_instance_uid: str) -> Dataset:
        """Return an instance as the archive hands it out."""
        (identifier,) = self._identifiers(sop_instance_uid)
        return dcmread(BytesIO(self._ask("GET", f"/instances/{identifier}/file")))

    def delete(self, sop_instance_uid: str) -> None:
        """Let an instance go, as an archive does with what was withdrawn."""
        for identifier in self._identifiers(sop_instance_uid):
            self._ask("DELETE", f"/instances/{identifier}")

    def send(self, resources: Sequence[str], modality: str) -> None:
        """Send studies, series or instances by C-STORE, as a viewer's "Send to" does."""
        order = {"Resources": list(resources), "Synchronous": True}
        self.post(f"/modalities/{modality}/store", order)

    def _identifiers(self, sop_instance_uid: str) -> list[str]:
        found = json.loads(self._ask("POST", "/tools/lookup", sop_instance_uid))
        return [item["ID"] for item in found if item["Type"] == "Instance"]

    def _ask(self, method: str, path: str, body: str | None = None) -> bytes:
        connection = HTTPConnection(_LOOPBACK, self.http_port, timeout=60)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        assert answer.status == 200, (method, path, answer.status, said[:300])
        return said


@contextmanager
def orthanc(
    folder: Path, modalities: Mapping[str, tuple[str, int]], plugins: Sequence[str] = ()
) -> Iterator[Orthanc]:
    """Run Orthanc until the block ends.

    Parameters
    ----------
    folder
        Made anew; holds configuration, script, database and log.
    modalities
        Whom it sends to and admits: its name for them, their AE title and port. The router sends
        to ``wristmir`` and ``wristmir_q``.
    plugins
        Names of its plugins, as in `DICOMWEB`.
    """
    executable, libraries = program(), [library(name) for name in plugins]
    folder.mkdir(parents=True)
    pacs = Orthanc(free_port(), free_port(), folder / "orthanc.log")
    (folder / "router.lua").write_text(_ROUTER, encoding="utf-8")
    configuration = folder / "orthanc.json"
    settings = _configuration(folder, pacs, modalities) | {"Plugins": libraries}
    configuration.write_text(json.dumps(settings), encoding="utf-8")
    with pacs.log.open("wb") as log:
        process = subprocess.Popen(
            [executable, str(configuration)],
            stdout=log,
            stderr=subprocess.STDOUT,
            # without it Debian's DCMTK waits 40 ms for every object
            env={**os.environ, "TCP_NODELAY": "1"},
        )
        try:
            _wait_until_ready(pacs, process)
            yield pacs
        finally:
            _end(process)


def _configuration(
    folder: Path, pacs: Orthanc, modalities: Mapping[str, tuple[str, int]]
) -> dict[str, Any]:
    return {
        "Name": TITLE,
        "StorageDirectory": str(folder / "archive"),
        "IndexDirectory": str(folder / "archive"),
        "LuaScripts": [str(folder / "router.lua")],
        "HttpPort": pacs.http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAet": TITLE,
        "DicomPort": pacs.dicom_port,
        "DicomCheckCalledAet": True,
        "DicomCheckModalityHost": True,
        "DicomAlwaysAllowStore": False,
        "StableAge": 1,
        "OverwriteInstances": False,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "DicomModalities": {
            name: {"AET": title, "Host": _LOOPBACK, "Port": port, "AllowStore": True}
            for name, (title, port) in modalities.items()
        },
    }


# Series, not studies: a result that is stored makes the study stand still anew, and a router of
# studies would send it again. Reports are no questions: only a new image asks.
_ROUTER = f"""
function OnStableSeries(series, tags, metadata)
  local sender = metadata['RemoteAET']
  if sender == 'WRISTMIR' then return end
  local modality = tags['Modality']
  local image = modality == 'DX' or modality == 'CR'
  if not image and modality ~= 'SR' then return end
  local first = ParseJson(RestApiGet('/series/' .. series))['Instances'][1]
  local said = ParseJson(RestApiGet('/instances/' .. first .. '/simplified-tags'))
  if said['PatientIdentityRemoved'] == 'YES' then return end
  if said['ManufacturerModelName'] == 'WristMIR' then return end
  local target = 'wristmir'
  if image and sender == '{EMERGENCY}' then target = 'wristmir_q' end
  local order = {{}}
  order['Resources'] = {{ series }}
  order['Synchronous'] = false
  RestApiPost('/modalities/' .. target .. '/store', DumpJson(order))
end
"""


def _wait_until_ready(pacs: Orthanc, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            pacs.get("/system")
        except OSError:
            time.sleep(0.05)
        else:
            return
    said = pacs.log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
    message = f"Orthanc did not start: {said}"
    raise RuntimeError(message)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
