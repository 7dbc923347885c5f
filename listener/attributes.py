"""A small data set as a whole, sequences and all (DICOM PS3.5 section 7).

What is about procedure steps is nested and has to be given back as it was. It is at most a few
kilobytes, so it is read at once: within bounds, as bytes, none of them decoded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR

from listener.elements import IMPLICIT_LITTLE
from listener.errors import CannotUnderstandError

__all__ = [
    "Attribute",
    "Attributes",
    "coded",
    "read_attributes",
    "sequence",
    "tags",
    "write_attributes",
]

Items = tuple["Attributes", ...]


@dataclass(frozen=True)
class Attribute:
    """An element: its VR, and its bytes or, of a sequence, its items."""

    vr: bytes
    value: bytes = b""
    items: Items = ()

    @property
    def is_empty(self) -> bool:
        """Whether it has no value."""
        return not self.items and not self.value.strip(b" \0")


Attributes = Mapping[int, Attribute]
"""A data set, or an item of a sequence, by tag."""


def coded(value: str, scheme: str, meaning: str) -> dict[int, Attribute]:
    """Return the item of a code sequence (PS3.3 section 8)."""
    return {
        0x00080100: Attribute(b"SH", value.encode("ascii")),
        0x00080102: Attribute(b"SH", scheme.encode("ascii")),
        0x00080104: Attribute(b"LO", meaning.encode("ascii")),
    }


def sequence(*items: Attributes) -> Attribute:
    """Return a sequence of these items."""
    return Attribute(b"SQ", items=tuple(items))


def read_attributes(encoded: bytes, transfer_syntax: str) -> dict[int, Attribute]:
    """Read a data set.

    Raises
    ------
    CannotUnderstandError
        If it cannot be walked to its end, or nests deeper than sixteen levels.
    """
    return _Reader(encoded).data_set(len(encoded), 0, implicit=transfer_syntax == IMPLICIT_LITTLE)


def write_attributes(attributes: Attributes, transfer_syntax: str) -> bytes:
    """Return a data set encoded, its elements in order of their tags."""
    return b"".join(_element(tag, one, transfer_syntax) for tag, one in sorted(attributes.items()))


_DEEPEST = 16
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
# a reserved half and a length of four bytes follow these VRs (PS3.5 table 7.1-1)
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())


class _Reader:
    def __init__(self, encoded: bytes) -> None:
        self._encoded = encoded
        self._at = 0

    def data_set(self, end: int, depth: int, *, implicit: bool) -> dict[int, Attribute]:
        """Read elements up to an end; an item of undefined length ends with its delimiter."""
        found: dict[int, Attribute] = {}
        while self._at < end:
            tag = self._tag(end)
            if tag == _ITEM_END and depth:
                self._length(end)
                return found
            found[tag] = self._attribute(tag, end, depth, implicit=implicit)
        return found

    def _attribute(self, tag: int, end: int, depth: int, *, implicit: bool) -> Attribute:
        if implicit:
            vr, length = _known_vr(tag), self._length(end)
        else:
            vr = self._take(2, end)
            if not (vr.isalpha() and vr.isupper()):
                msg = "An element in it has no value representation."
                raise CannotUnderstandError(msg)
            if vr in _LONG_VRS:
                self._take(2, end)
                length = self._length(end)
            else:
                length = struct.unpack("<H", self._take(2, end))[0]
        if vr == b"SQ" or length == _UNDEFINED:
            if depth == _DEEPEST:
                msg = "It nests too deeply."
                raise CannotUnderstandError(msg)
            # unknown and of undefined length: a sequence in implicit VR (PS3.5 section 6.2.2)
            inside = implicit or vr == b"UN"
            return Attribute(b"SQ", items=self._items(length, end, depth, implicit=inside))
        return Attribute(vr, self._take(length, end))

    def _items(self, length: int, end: int, depth: int, *, implicit: bool) -> Items:
        stop = end if length == _UNDEFINED else self._at + length
        if stop > end:
            raise _cut()
        items: list[Attributes] = []
        while self._at < stop:
            tag, inside = self._tag(stop), self._length(stop)
            if tag == _SEQUENCE_END and length == _UNDEFINED:
                return tuple(items)
            item_end = stop if inside == _UNDEFINED else self._at + inside
            if tag != _ITEM or item_end > stop:
                msg = "A sequence in it holds something else than items."
                raise CannotUnderstandError(msg)
            items.append(self.data_set(item_end, depth + 1, implicit=implicit))
        if length == _UNDEFINED:
            raise _cut()
        return tuple(items)

    def _tag(self, end: int) -> int:
        group, number = struct.unpack("<HH", self._take(4, end))
        return int(group) << 16 | int(number)

    def _length(self, end: int) -> int:
        return int(struct.unpack("<I", self._take(4, end))[0])

    def _take(self, size: int, end: int) -> bytes:
        if size > end - self._at:
            raise _cut()
        value = self._encoded[self._at : self._at + size]
        self._at += size
        return value


def _cut() -> CannotUnderstandError:
    msg = "It ends within an element."
    return CannotUnderstandError(msg)


def _known_vr(tag: int) -> bytes:
    try:
        return dictionary_VR(tag)[:2].encode("ascii")  # of several the first, such as US or SS
    except KeyError:
        return b"UN"


def _element(tag: int, one: Attribute, transfer_syntax: str) -> bytes:
    value = one.value + (b"\0" if one.vr in _ZERO_PADDED else b" ") * (len(one.value) % 2)
    if one.vr == b"SQ":
        value = b"".join(_item(item, transfer_syntax) for item in one.items)
    group, number = tag >> 16, tag & 0xFFFF
    if transfer_syntax == IMPLICIT_LITTLE:
        return struct.pack("<HHI", group, number, len(value)) + value
    if one.vr in _LONG_VRS:
        return struct.pack("<HH2sHI", group, number, one.vr, 0, len(value)) + value
    return struct.pack("<HH2sH", group, number, one.vr, len(value)) + value


def _item(item: Attributes, transfer_syntax: str) -> bytes:
    encoded = write_attributes(item, transfer_syntax)
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(encoded)) + encoded


_ZERO_PADDED = frozenset({b"UI", b"OB", b"UN"})


def tags(value: bytes) -> Iterable[int]:
    """Return the tags that an element of VR AT holds, as of an N-GET's list."""
    whole = len(value) - len(value) % 4
    return (g << 16 | n for g, n in struct.iter_unpack("<HH", value[:whole]))
