"""Identifiers that were planted, and every form in which they may be found again."""

from __future__ import annotations

import base64
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO

from pypdf import PdfReader

NUMBER, REAL = 987654321, 98765.4321


@dataclass(frozen=True)
class Secrets:
    """Every form in which a planted identifier may leave."""

    words: frozenset[str]

    def forms(self) -> dict[str, bytes]:
        """Return the bytes of each form, by its name."""
        forms = {
            "UL": struct.pack("<I", NUMBER),
            "UV": struct.pack("<Q", NUMBER),
            "FD": struct.pack("<d", REAL),
            "FL": struct.pack("<f", REAL),
        }
        for word in self.words:
            forms[word] = word.lower().encode()
            forms[f"{word} UTF-16 LE"] = word.lower().encode("utf-16-le")
            forms[f"{word} UTF-16 BE"] = word.lower().encode("utf-16-be")
            # by where it stands among the bytes that are encoded; of a short one too little is left
            for cut in range(3 if len(word) > 8 else 0):
                padded = base64.b64encode(b"\0" * cut + word.encode())
                begins = -(-cut * 8 // 6)
                forms[f"{word} base64 {cut}"] = padded[begins:-4]
        return forms

    def in_(self, content: bytes) -> list[str]:
        """Return the names of the forms that stand in it, or in what is packed within."""
        forms = self.forms()
        found = set()
        for part in unpacked(content):
            lower = part.lower()
            found |= {
                name
                for name, form in forms.items()
                if form in (part if "base64" in name or len(name) == 2 else lower)
            }
        return sorted(found)


def unpacked(content: bytes) -> Iterator[bytes]:
    """Yield bytes, and what is deflated or encoded in them: PDF streams, zlib and gzip."""
    yield content
    for match in re.finditer(rb"stream\r?\n(.*?)\s*endstream", content, re.DOTALL):
        stream = match[1]
        with suppress(ValueError):
            stream = base64.a85decode(stream.strip().removesuffix(b"~>"))
        yield from inflated(stream)
    for match in re.finditer(rb"\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08", content):
        yield from inflated(content[match.start() :])
    if b"%PDF-" in content:
        pages = PdfReader(BytesIO(content[content.index(b"%PDF-") :])).pages
        yield "\n".join(page.extract_text() for page in pages).encode()


def inflated(stream: bytes) -> Iterator[bytes]:
    with suppress(zlib.error):
        yield zlib.decompressobj(47).decompress(stream, 50_000_000)
