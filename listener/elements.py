"""Data elements: a small walk over the top level of an encoded data set (DICOM PS3.5 section 7.1).

It goes without recursion and within bounds, and looks at a few values only; a DICOM library would
read whatever a peer sends.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, Protocol

from listener.errors import CannotUnderstandError, ResourceLimitationError

__all__ = ["EXPLICIT_LITTLE", "IMPLICIT_LITTLE", "is_uid", "read_items", "read_values", "uid_value"]

EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
"""Explicit VR Little Endian, also the encoding of file meta information."""

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
"""Implicit VR Little Endian, which everybody knows."""


def read_values(
    stream: BinaryIO,
    transfer_syntax: str,
    wanted: tuple[int, ...],
    end: int | None = None,
    inside: Mapping[int, int] | None = None,
) -> dict[int, bytes]:
    """Walk the top-level elements from where the stream stands and return the wanted values.

    Parameters
    ----------
    wanted
        Tags in ascending order; nothing after the last one is looked at.
    end
        Where the walk ends at the latest, as the stream's position.
    inside
        Sequences of which one element is wanted: tag of the sequence → tag of the element, whose
        value in the first item that has it is returned under the sequence's tag.

    Raises
    ------
    CannotUnderstandError
        If the elements cannot be walked so far, within bounds.
    """
    source, encoding = _source(stream, transfer_syntax), _encoding(transfer_syntax)
    values: dict[int, bytes] = {}
    walk = _Walk(source)
    while end is None or source.tell() < end:
        element = walk.next(encoding)
        if element is None or element.tag > wanted[-1]:
            break
        if inside and element.tag in inside:
            values[element.tag] = walk.within(element, encoding, inside[element.tag])
        elif element.length == _UNDEFINED:
            walk.pass_over(element, encoding)
        elif element.tag in wanted:
            values[element.tag] = walk.value(element)
        else:
            source.skip(element.length)
    return values


def read_items(
    stream: BinaryIO,
    transfer_syntax: str,
    wanted: Collection[int],
    sequences: Collection[int],
    *,
    end: int,
    most_items: int,
    longest: int = 1024,
) -> tuple[dict[int, bytes], dict[int, list[dict[int, bytes]]]]:
    """Walk a whole data set from where the stream stands, one level into some sequences.

    Parameters
    ----------
    wanted
        Tags whose values are returned, of the top level and of each item.
    sequences
        Tags of the sequences that are looked into.
    end
        Where the data set ends, as the stream's position.
    most_items
        Items of one sequence at the most.
    longest
        Bytes of a wanted value at the most.

    Returns
    -------
    tuple
        The values of the top level, and each sequence's items with theirs.

    Raises
    ------
    CannotUnderstandError
        If the elements cannot be walked to the end, within bounds.
    ResourceLimitationError
        If a sequence has more items.
    """
    source, encoding = _source(stream, transfer_syntax), _encoding(transfer_syntax)
    walk = _Walk(source, longest)
    values: dict[int, bytes] = {}
    items: dict[int, list[dict[int, bytes]]] = {}
    while (element := walk.next_within(encoding, end)) is not None:
        if element.tag in sequences:
            items[element.tag] = walk.items(element, encoding, wanted, end, most_items)
        else:
            walk.take(element, encoding, wanted, values)
    return values, items


def uid_value(values: Mapping[int, bytes], tag: int) -> str:
    """Return a UID among the values.

    Raises
    ------
    CannotUnderstandError
        If it is missing, or none.
    """
    value = values.get(tag, b"").rstrip(b" \0").decode("ascii", "replace")
    if not is_uid(value):
        msg = f"Its element ({tag >> 16:04X},{tag & 0xFFFF:04X}) is missing or no UID."
        raise CannotUnderstandError(msg)
    return value


def is_uid(value: str) -> bool:
    """Tell whether a value is a UID by characters and length (DICOM PS3.5 section 9).

    Components with leading zeros break the standard and are in real archives: they are harmless
    here and pass.
    """
    return len(value) <= 64 and _UID.fullmatch(value) is not None


_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_LONGEST = 1024  # bytes of a value that is looked at
_LONGEST_SEQUENCE = 65536  # bytes of a sequence that is looked into
_MOST_ELEMENTS = 200_000  # walked over before the wanted ones
_DEEPEST = 1_000  # of nested sequences of undefined length
_MOST_INFLATED = 64 * 1024 * 1024  # bytes; a header behind more than that is none

_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_DEFLATED = frozenset(
    {
        "1.2.840.10008.1.2.1.99",  # Deflated Explicit VR Little Endian
        "1.2.840.10008.1.2.4.95",  # JPIP Referenced Deflate
        "1.2.840.10008.1.2.4.205",  # JPIP HTJ2K Referenced Deflate
    }
)
# a reserved half and a length of four bytes follow these VRs (DICOM PS3.5 table 7.1-1)
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


class _Source(Protocol):
    def read(self, size: int) -> bytes: ...
    def skip(self, size: int) -> None: ...
    def tell(self) -> int: ...


class _FileSource:
    """Bytes of a seekable stream; skipping costs nothing."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        return self._stream.read(size)

    def skip(self, size: int) -> None:
        self._stream.seek(size, 1)

    def tell(self) -> int:
        return self._stream.tell()


class _InflatedSource:
    """Bytes of a deflated stream, inflated a little at a time and never beyond a bound."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._given = 0

    def read(self, size: int) -> bytes:
        out = b""
        while len(out) < size and not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._stream.read(4096)
            try:
                piece = self._inflate.decompress(packed, size - len(out))
            except zlib.error:
                msg = "It is not deflated as its transfer syntax says."
                raise CannotUnderstandError(msg) from None
            if not packed and not piece:
                break
            out += piece
        self._given += len(out)
        if self._given > _MOST_INFLATED:
            msg = "Its header inflates beyond any header's size."
            raise CannotUnderstandError(msg)
        return out

    def skip(self, size: int) -> None:
        while size > 0:
            piece = self.read(min(size, 65536))
            if not piece:
                return
            size -= len(piece)

    def tell(self) -> int:
        return self._given


@dataclass(frozen=True)
class _Encoding:
    implicit: bool
    order: str


_EXPLICIT_LITTLE = _Encoding(implicit=False, order="<")
_IMPLICIT_LITTLE = _Encoding(implicit=True, order="<")


def _encoding(transfer_syntax: str) -> _Encoding:
    if transfer_syntax == IMPLICIT_LITTLE:
        return _IMPLICIT_LITTLE
    if transfer_syntax == _BIG_ENDIAN:
        return _Encoding(implicit=False, order=">")
    return _EXPLICIT_LITTLE


def _source(stream: BinaryIO, transfer_syntax: str) -> _Source:
    return _InflatedSource(stream) if transfer_syntax in _DEFLATED else _FileSource(stream)


class _Element(NamedTuple):  # there is one for each step of a walk: it costs less than a record
    tag: int
    vr: bytes
    length: int


class _Walk:
    """Steps from element to element, counting them, without recursion."""

    def __init__(self, source: _Source, longest: int = _LONGEST) -> None:
        self._source = source
        self._longest = longest
        self._count = 0

    def next(self, encoding: _Encoding) -> _Element | None:
        """Read one element's tag, VR and length (DICOM PS3.5 section 7.1); None at the end."""
        self._count += 1
        if self._count > _MOST_ELEMENTS:
            msg = "It has too many elements before its identifiers."
            raise CannotUnderstandError(msg)
        start = self._source.read(8)
        if not start:
            return None
        if len(start) < 8:
            msg = "It ends within an element."
            raise CannotUnderstandError(msg)
        group, number = struct.unpack(encoding.order + "HH", start[:4])
        tag = group << 16 | number
        if encoding.implicit or group == 0xFFFE:
            return _Element(tag, b"", struct.unpack(encoding.order + "I", start[4:])[0])
        vr = start[4:6]
        if vr in _LONG_VRS:
            length = struct.unpack(encoding.order + "I", self.exactly(4))[0]
        elif vr.isalpha() and vr.isupper():
            length = struct.unpack(encoding.order + "H", start[6:])[0]
        else:
            msg = "An element in it has no value representation."
            raise CannotUnderstandError(msg)
        return _Element(tag, vr, length)

    def next_within(self, encoding: _Encoding, end: int) -> _Element | None:
        """Read the next element, which must end where what it stands in ends; None at that end."""
        if self._source.tell() == end:
            return None
        element = self.next(encoding) if self._source.tell() < end else None
        left = end - self._source.tell()
        if element is None or (element.length != _UNDEFINED and element.length > left):
            msg = "It ends within an element."
            raise CannotUnderstandError(msg)
        return element

    def take(
        self,
        element: _Element,
        encoding: _Encoding,
        wanted: Collection[int],
        values: dict[int, bytes],
    ) -> None:
        """Keep an element's value where it is wanted, else go past it."""
        if element.length == _UNDEFINED:
            self.pass_over(element, encoding)
        elif element.tag in wanted:
            values[element.tag] = self.value(element)
        else:
            self._source.skip(element.length)

    def value(self, element: _Element) -> bytes:
        """Read a value that cannot be long, or refuse."""
        if element.length > self._longest:
            msg = "An identifier in it is too long."
            raise CannotUnderstandError(msg)
        return self.exactly(element.length)

    def items(
        self,
        opened: _Element,
        encoding: _Encoding,
        wanted: Collection[int],
        end: int,
        most: int,
    ) -> list[dict[int, bytes]]:
        """Read a sequence's items, of defined or undefined length (DICOM PS3.5 section 7.5)."""
        inside = _inside(opened, encoding)
        stop = end if opened.length == _UNDEFINED else self._source.tell() + opened.length
        found: list[dict[int, bytes]] = []
        while (item := self.next_within(inside, stop)) is not None:
            if item.tag == _SEQUENCE_END and opened.length == _UNDEFINED:
                return found
            if item.tag != _ITEM:
                msg = "A sequence in it holds something else than items."
                raise CannotUnderstandError(msg)
            if len(found) == most:
                msg = f"It names more than {most} instances."
                raise ResourceLimitationError(msg)
            found.append(self._item(item, inside, wanted, stop))
        _check_closed(opened)
        return found

    def _item(
        self, opened: _Element, encoding: _Encoding, wanted: Collection[int], end: int
    ) -> dict[int, bytes]:
        stop = end if opened.length == _UNDEFINED else self._source.tell() + opened.length
        values: dict[int, bytes] = {}
        while (element := self.next_within(encoding, stop)) is not None:
            if element.tag == _ITEM_END and opened.length == _UNDEFINED:
                return values
            self.take(element, encoding, wanted, values)
        _check_closed(opened)
        return values

    def exactly(self, size: int) -> bytes:
        """Read so many bytes or refuse."""
        value = self._source.read(size)
        if len(value) != size:
            msg = "It ends within an element."
            raise CannotUnderstandError(msg)
        return value

    def within(self, opened: _Element, encoding: _Encoding, wanted: int) -> bytes:
        """Return an element's value in a sequence; empty where it has none.

        A sequence of defined length that cannot be walked is stepped over: nothing hangs on it.
        """
        level = _inside(opened, encoding)
        if opened.length == _UNDEFINED:
            return self._first(level, wanted)
        if opened.length > _LONGEST_SEQUENCE:
            self._source.skip(opened.length)
            return b""
        content = _FileSource(io.BytesIO(self.exactly(opened.length)))
        try:
            return _Walk(content)._first(level, wanted)
        except CannotUnderstandError:
            return b""

    def _first(self, level: _Encoding, wanted: int) -> bytes:
        """Walk items to the sequence's end; return the first value of the wanted element."""
        value = b""
        while (item := self.next(level)) is not None and item.tag != _SEQUENCE_END:
            if item.tag != _ITEM:
                msg = "A sequence in it holds something else than items."
                raise CannotUnderstandError(msg)
            end = None if item.length == _UNDEFINED else self._source.tell() + item.length
            while end is None or self._source.tell() < end:
                element = self.next(level)
                if element is None or element.tag == _ITEM_END:
                    break
                if element.length == _UNDEFINED:
                    self.pass_over(element, level)
                elif element.tag == wanted and not value and element.length <= _LONGEST:
                    value = self.exactly(element.length)
                else:
                    self._source.skip(element.length)
        return value

    def pass_over(self, opened: _Element, encoding: _Encoding) -> None:
        """Skip a sequence, or encapsulated fragments, of undefined length.

        The stack holds what is open: for each level its encoding, and whether it holds items
        (a sequence) or elements (an item).
        """
        stack: list[tuple[_Encoding, bool]] = [(_inside(opened, encoding), True)]
        while stack:
            if len(stack) > _DEEPEST:
                msg = "It nests too deeply before its identifiers."
                raise CannotUnderstandError(msg)
            level, holds_items = stack[-1]
            element = self.next(level)
            if element is None:
                msg = "It ends within a sequence."
                raise CannotUnderstandError(msg)
            if element.tag == (_SEQUENCE_END if holds_items else _ITEM_END):
                stack.pop()
            elif holds_items and element.tag != _ITEM:
                msg = "A sequence in it holds something else than items."
                raise CannotUnderstandError(msg)
            elif element.length != _UNDEFINED:
                self._source.skip(element.length)
            elif holds_items:
                stack.append((level, False))
            else:
                stack.append((_inside(element, level), True))


def _inside(element: _Element, encoding: _Encoding) -> _Encoding:
    """Return how the content of a sequence is encoded: UN of undefined length is implicit."""
    return _IMPLICIT_LITTLE if element.vr == b"UN" else encoding


def _check_closed(opened: _Element) -> None:
    if opened.length == _UNDEFINED:
        msg = "It ends within a sequence."
        raise CannotUnderstandError(msg)
