"""Programs of others that tests talk to."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

_PACKAGES = "Debian: dcmtk, dicom3tools, orthanc, systemd, chromium, chromium-driver, postgresql"
_PACKAGES += ", jing, syslog-ng-core, pixelmed-apps"
# Debian keeps the server of each version in a folder of its own, outside PATH
_FOLDERS = ("/usr/sbin", *map(str, Path("/usr/lib/postgresql").glob("*/bin")))


def peer(name: str) -> str:
    """Return a program's path; where it is missing skip, or fail if it has to be there."""
    found = shutil.which(name, path=":".join((os.environ.get("PATH", ""), *_FOLDERS)))
    if found is None and os.environ.get("WRISTMIR_REQUIRE_PEERS") == "1":
        pytest.fail(f"{name} is required and not installed ({_PACKAGES})")
    if found is None:
        pytest.skip(f"{name} is not installed ({_PACKAGES})")
    return found
