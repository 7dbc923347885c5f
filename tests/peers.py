"""Programs of others that tests talk to."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

_PACKAGES = "Debian: dcmtk, dicom3tools, orthanc, systemd, chromium, chromium-driver, postgresql"
_PACKAGES += ", jing, syslog-ng-core, pixelmed-apps, orthanc-dicomweb, orthanc-webviewer"
# Debian keeps the server of each version in a folder of its own, outside PATH
_FOLDERS = ("/usr/sbin", *map(str, Path("/usr/lib/postgresql").glob("*/bin")))


def peer(name: str) -> str:
    """Return a program's path; where it is missing skip, or fail if it has to be there."""
    found = shutil.which(name, path=":".join((os.environ.get("PATH", ""), *_FOLDERS)))
    if found is None:
        missing(name, _PACKAGES)
    return found


def present(file: Path) -> str:
    """Return the path of a file; where it is missing skip, or fail if it has to be there."""
    if not file.is_file():
        missing(file.name, _PACKAGES)
    return str(file)


def missing(name: str, made_by: str) -> NoReturn:
    """Skip a test for what is not installed, or fail it if that has to be there."""
    if os.environ.get("WRISTMIR_REQUIRE_PEERS") == "1":
        pytest.fail(f"{name} is required and not installed ({made_by})")
    pytest.skip(f"{name} is not installed ({made_by})")
