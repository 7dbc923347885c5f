"""The words of a PDF that nobody vouches for.

Everything here runs in the decoder's child process, under its limits.
"""

from __future__ import annotations

from io import BytesIO

from pipeline.errors import DecodeError, DecodeReason

__all__ = ["MAX_PAGES", "pdf_text"]

MAX_PAGES = 50
"""Later pages are not read: no radiology report has them."""


def pdf_text(content: bytes, most: int) -> str:
    """Return the text layer of a PDF, page after page; empty where it holds pictures only.

    Parameters
    ----------
    content
        The file; bytes after its end (DICOM pads to an even length) do no harm.
    most
        Characters from which on reading stops.

    Raises
    ------
    DecodeError
        ``document`` where it is no PDF, is damaged, or needs a password.
    """
    from pypdf import PdfReader  # noqa: PLC0415 - takes a second, and few studies hold a PDF
    from pypdf.errors import PyPdfError  # noqa: PLC0415

    if not content.lstrip()[:5].startswith(b"%PDF"):
        raise DecodeError(DecodeReason.DOCUMENT)
    pages: list[str] = []
    try:
        for page in PdfReader(BytesIO(content)).pages[:MAX_PAGES]:
            pages.append(page.extract_text())
            if sum(map(len, pages)) >= most:
                break
    except (PyPdfError, *_BROKEN):
        raise DecodeError(DecodeReason.DOCUMENT) from None
    return "\n\n".join(pages)[:most]


# what pypdf raises on damaged files beside its own errors
_BROKEN = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, OSError)
