"""The text of a report file."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Self

from pipeline.decoder import Decoder
from pipeline.errors import ReportError
from pipeline.report import (
    MAX_CHARACTERS,
    ReportText,
    is_document,
    is_report,
    report_of_document,
    report_text,
)

__all__ = ["ReportReader"]

_MAX_TEXT_BYTES = 4 * MAX_CHARACTERS


class ReportReader:
    """Reads the text of reports: plain text, DICOM structured reports, encapsulated PDF and CDA.

    DICOM is parsed in the decoder's child process under its limits; calls from several threads
    take turns there.
    """

    def __init__(self) -> None:
        self._decoder = Decoder()

    def text(self, file: Path) -> str | None:
        """Return the text of a report, or None where a DICOM file is no radiologist's report.

        Plain text is UTF-8 or UTF-16 with its mark, else Windows-1252. What this plugin has
        written about other patients' cases is no report. Longer text than
        `pipeline.report.MAX_CHARACTERS` is cut.

        Raises
        ------
        PipelineError
            Where it cannot be read, or holds no words.
        OSError
            Where it cannot be opened.
        """
        with file.open("rb") as stream:
            start = stream.read(_MAX_TEXT_BYTES)
        text = self._dicom_text(file) if start[128:132] == b"DICM" else _plain_text(start)
        if text is not None and not text.strip():
            detail = "It holds no words (scanned pages hold none)."
            raise ReportError(detail)
        return text

    def close(self) -> None:
        """End the decoder's child process."""
        self._decoder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _dicom_text(self, file: Path) -> str | None:
        header = self._decoder.header(file)
        report: ReportText
        if is_document(header):
            report = report_of_document(header, self._decoder.document(file))
        elif is_report(header):
            report = report_text(header)
        else:
            return None
        return report.text


def _plain_text(start: bytes) -> str:
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = codecs.getincrementaldecoder("utf-16")("replace").decode(start)
    else:
        try:
            # not final: the end may have been cut within a character
            text = codecs.getincrementaldecoder("utf-8-sig")().decode(start)
        except UnicodeDecodeError:
            text = start.decode("cp1252", errors="replace")
    return text[:MAX_CHARACTERS]
