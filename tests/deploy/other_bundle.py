"""The shipped bundle under another name: whole, and a bundle of its own."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from deploy.settings import SHIPPED_BUNDLE
from pipeline.bundle import MANIFEST_FILE


def renamed_bundle(folder: Path, bundle_id: str, version: str = "1.0.0") -> Path:
    """Write a copy of the shipped bundle with another id; return its folder."""
    shutil.copytree(SHIPPED_BUNDLE, folder)
    manifest = folder / MANIFEST_FILE
    text = manifest.read_text(encoding="utf-8")
    text = re.sub(r'(?m)^id = ".*"$', f'id = "{bundle_id}"', text, count=1)
    text = re.sub(r'(?m)^version = ".*"$', f'version = "{version}"', text, count=1)
    manifest.write_text(text, encoding="utf-8")
    return folder
