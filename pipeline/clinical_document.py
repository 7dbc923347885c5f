"""The words of a CDA document that nobody vouches for (HL7 Clinical Document Architecture, R2).

Everything here runs in the decoder's child process, under its limits.
"""

from __future__ import annotations

import base64
import binascii
import codecs
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import ParseError

from pipeline.document import Document
from pipeline.errors import DecodeError, DecodeReason
from pipeline.pdf_document import pdf_text

__all__ = ["read_clinical_document"]


def read_clinical_document(content: bytes, most: int) -> Document:
    """Return the narrative of a document's sections, under their titles.

    The header (names, institutions) is left out, and so are the coded entries, which repeat the
    narrative, and what a revision deleted (CDA R2, section 4.3.5). Where the body is no XML, its
    plain text or PDF is read.

    Parameters
    ----------
    content
        The file; zeros after its end (DICOM pads to an even length) do no harm.
    most
        Characters from which on nothing is kept.

    Raises
    ------
    DecodeError
        ``document`` where it is no CDA document, is damaged, declares entities, or its body is of
        another kind; ``too_deep`` where its elements are.
    """
    from defusedxml import DefusedXmlException  # noqa: PLC0415 - few studies hold such a document
    from defusedxml.ElementTree import DefusedXMLParser  # noqa: PLC0415

    reader = _Reader(most)
    parser = DefusedXMLParser(target=reader, forbid_dtd=True)
    try:
        parser.feed(content if content.startswith(_UTF_16) else content.rstrip(b"\0"))
        parser.close()
    except (ParseError, DefusedXmlException, LookupError, ValueError):
        raise DecodeError(DecodeReason.DOCUMENT) from None
    return reader.document(most)


_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_DEEPEST = 100
_ENDS_LINE = frozenset({"paragraph", "item", "caption", "br", "tr", "list", "table", "text"})
_CELLS = frozenset({"td", "th"})
_DELETED = "delete"
_APPENDED, _SIGNED = "APND", "S"


@dataclass
class _Section:
    """A section that is open; what its code says stands in where it has no title."""

    kind: str = ""
    title: str = ""
    stands: bool = False  # whether its title is in the text


class _Reader:
    """Takes the parser's events; no tree is built, and nothing recurses."""

    def __init__(self, most: int) -> None:
        self.addendum = False
        self.authenticated = False
        self._most = most
        self._open: list[str] = []
        self._hidden_from: int | None = None  # depth of an element that a revision deleted
        self._sections: list[_Section] = []  # those that are open
        self._lines: list[str] = []
        self._length = 0
        self._line: list[str] = []
        self._cells: list[str] = []
        self._body: Mapping[str, str] | None = None  # attributes of a body that is no XML

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Take the beginning of an element."""
        name = tag.rpartition("}")[2]
        if not self._open and name != "ClinicalDocument":
            raise DecodeError(DecodeReason.DOCUMENT)
        if len(self._open) >= _DEEPEST:
            raise DecodeError(DecodeReason.TOO_DEEP)
        parent = self._open[-1] if self._open else ""
        self._open.append(name)
        if name == "relatedDocument" and attributes.get("typeCode") == _APPENDED:
            self.addendum = True
        elif (parent, name) == ("legalAuthenticator", "signatureCode"):
            self.authenticated = attributes.get("code") == _SIGNED
        elif name == "section":
            self._sections.append(_Section())
        elif (parent, name) == ("section", "code"):
            self._sections[-1].kind = attributes.get("displayName", "")
        elif (parent, name) == ("nonXMLBody", "text"):
            self._body = attributes
        if self._hidden_from is None and attributes.get("revised") == _DELETED:
            self._hidden_from = len(self._open)

    def data(self, words: str) -> None:
        """Take words."""
        if self._hidden_from is not None:
            return
        if self._open[-2:] == ["section", "title"]:
            self._sections[-1].title += words
        elif (self._in_narrative() or self._body is not None) and self._length < self._most:
            self._line.append(words)
            self._length += len(words)

    def end(self, tag: str) -> None:
        """Take the end of an element."""
        name = tag.rpartition("}")[2]
        if self._hidden_from is not None:
            if self._hidden_from == len(self._open):
                self._hidden_from = None
        elif self._body is None and self._in_narrative():
            if name in _CELLS:
                self._cells.append(self._taken())
            elif name in _ENDS_LINE:
                self._end_line()
        if name == "section":
            self._sections.pop()
        self._open.pop()

    def close(self) -> None:
        """Take the end of the document."""

    def document(self, most: int) -> Document:
        """Return what was read."""
        if self._body is not None:
            text = _other_body("".join(self._line), self._body, most)
        else:
            text = "\n".join(self._lines).strip()
        return Document(text[:most], self.addendum, self.authenticated)

    def _in_narrative(self) -> bool:
        """Tell whether the place is within the text of a section, and not within an entry's."""
        if "text" not in self._open:
            return False
        at = self._open.index("text")
        return self._open[at - 1] == "section"

    def _taken(self) -> str:
        words, self._line = " ".join("".join(self._line).split()), []
        return words

    def _end_line(self) -> None:
        words = self._taken()
        cells, self._cells = [cell for cell in self._cells if cell], []
        row = (": " if len(cells) == 2 else ", ").join(cells)
        line = " ".join(part for part in (row, words) if part)
        if line:
            self._say_titles()
            self._lines.append(line)

    def _say_titles(self) -> None:
        """Write the titles of the open sections that do not stand there yet.

        A title over nothing would read as a section without findings.
        """
        for section in self._sections:
            title = " ".join((section.title or section.kind).split()).strip(" :")
            if title and not section.stands:
                self._lines.append(f"\n{title.upper()}:")
            section.stands = True


def _other_body(words: str, attributes: Mapping[str, str], most: int) -> str:
    """Return the text of a body that is no XML (CDA R2, section 4.3.1.1)."""
    kind = attributes.get("mediaType", "text/plain")
    if attributes.get("representation") != "B64":
        content = words.encode()
    else:
        try:
            content = base64.b64decode(words)
        except binascii.Error:
            raise DecodeError(DecodeReason.DOCUMENT) from None
    if kind == "application/pdf":
        return pdf_text(content, most)
    if kind == "text/plain":
        return content.decode("utf-8", "replace")
    raise DecodeError(DecodeReason.DOCUMENT)
