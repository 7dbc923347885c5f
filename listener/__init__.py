"""Speaks DICOM with the outside: receives durably, sends back. Knows nothing of images.

The DICOM libraries' own logs and warnings quote the values they complain about. They are silenced
here, once, for whatever process listens or sends; what matters is logged as ``wristmir.listener``.
"""

from __future__ import annotations

import logging
import warnings

import pydicom.config  # noqa: F401 - it sets its logger's level when imported, so it goes first

__all__: list[str] = []

for _library in ("pydicom", "pynetdicom"):
    logging.getLogger(_library).setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module=rf"{_library}(\.|$)")
