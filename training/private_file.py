"""Files that only their owner may read: what is made of patients' reports and images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

__all__ = ["make_private_folder", "open_private"]


def open_private(path: Path) -> BinaryIO:
    """Open a new file for writing, mode 0600 from its first byte; an old one is replaced."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    return os.fdopen(descriptor, "wb")


def make_private_folder(path: Path) -> None:
    """Make a folder, or take over one of one's own, mode 0700."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
