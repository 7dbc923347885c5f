"""An AE title, as DICOM has it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

__all__ = ["AETitle"]


def _ae_title(value: str) -> str:
    """Check an AE title: DICOM PS3.5 section 6.2, VR AE."""
    title = value.strip(" ")
    if not 1 <= len(title) <= 16:
        msg = "an AE title has 1 to 16 characters besides leading and trailing spaces"
        raise ValueError(msg)
    if any(not 0x20 <= ord(c) < 0x7F or c == "\\" for c in title):
        msg = "an AE title holds printable ASCII without a backslash"
        raise ValueError(msg)
    return title


AETitle = Annotated[str, AfterValidator(_ae_title)]
