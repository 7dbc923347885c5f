"""The languages that results are written in."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Language"]


class Language(StrEnum):
    """A language that results are written in; a tag of RFC 5646 (PS3.16 CID 5000)."""

    ENGLISH = "en"
    GERMAN = "de"
    SPANISH = "es"
    TURKISH = "tr"
