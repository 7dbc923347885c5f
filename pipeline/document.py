"""An encapsulated document, as far as it is read."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Document"]


@dataclass(frozen=True)
class Document:
    """What a PDF or a CDA document says.

    Parameters
    ----------
    text
        Its words; empty where it is a scan.
    addendum
        True where it says that it adds to another document; a PDF cannot.
    authenticated
        True where it says that its legal author has signed it; a PDF cannot.
    """

    text: str
    addendum: bool = False
    authenticated: bool = False
