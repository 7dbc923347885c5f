"""The Study Root information model: what is asked and what is answered (DICOM PS3.4 annex C).

A question is walked within bounds. An answer is put together from the bytes of the objects' own
elements, which are decoded only to be matched.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from fnmatch import translate
from itertools import islice
from typing import BinaryIO

from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from listener.elements import IMPLICIT_LITTLE, is_uid, read_items
from listener.errors import (
    CannotUnderstandError,
    ResourceLimitationError,
    UnreadableIdentifierError,
    WrongIdentifierError,
)
from listener.holdings import Wanted

__all__ = [
    "FIND",
    "GET",
    "KEYS",
    "MOST_BYTES",
    "MOVE",
    "Key",
    "Level",
    "Question",
    "encode_failed",
    "is_match",
    "joined",
    "read_question",
    "text",
]

FIND = str(StudyRootQueryRetrieveInformationModelFind)
MOVE = str(StudyRootQueryRetrieveInformationModelMove)
GET = str(StudyRootQueryRetrieveInformationModelGet)

MOST_BYTES = 64 * 1024
"""Of one identifier; longer ones are not read."""


class Level(IntEnum):
    """A level of the model, the highest first."""

    STUDY = 0
    SERIES = 1
    IMAGE = 2


@dataclass(frozen=True)
class Key:
    """An attribute that is answered and matched: its VR, and the level that it belongs to.

    ``is_counted``: it stands in no object, but is made of all that lie below.
    """

    vr: bytes
    level: Level
    is_counted: bool = False

    def is_answered_at(self, level: Level) -> bool:
        """Whether questions of a level may ask for it."""
        return self.level == level or (self.level < level and not self.is_counted)


STUDY_UID, SERIES_UID, INSTANCE_UID = 0x0020000D, 0x0020000E, 0x00080018
CHARACTER_SET, LEVEL, RETRIEVE_TITLE, AVAILABILITY = 0x00080005, 0x00080052, 0x00080054, 0x00080056
MODALITY, CLASS_UID = 0x00080060, 0x00080016
MODALITIES, CLASSES = 0x00080061, 0x00080062
STUDY_SERIES, STUDY_INSTANCES, SERIES_INSTANCES = 0x00201206, 0x00201208, 0x00201209

KEYS: Mapping[int, Key] = {
    0x00080020: Key(b"DA", Level.STUDY),
    0x00080030: Key(b"TM", Level.STUDY),
    0x00080050: Key(b"SH", Level.STUDY),
    MODALITIES: Key(b"CS", Level.STUDY, is_counted=True),
    CLASSES: Key(b"UI", Level.STUDY, is_counted=True),
    0x00080090: Key(b"PN", Level.STUDY),
    0x00081030: Key(b"LO", Level.STUDY),
    0x00100010: Key(b"PN", Level.STUDY),
    0x00100020: Key(b"LO", Level.STUDY),
    0x00100021: Key(b"LO", Level.STUDY),
    0x00100030: Key(b"DA", Level.STUDY),
    0x00100040: Key(b"CS", Level.STUDY),
    STUDY_UID: Key(b"UI", Level.STUDY),
    0x00200010: Key(b"SH", Level.STUDY),
    STUDY_SERIES: Key(b"IS", Level.STUDY, is_counted=True),
    STUDY_INSTANCES: Key(b"IS", Level.STUDY, is_counted=True),
    0x00080021: Key(b"DA", Level.SERIES),
    0x00080031: Key(b"TM", Level.SERIES),
    MODALITY: Key(b"CS", Level.SERIES),
    0x0008103E: Key(b"LO", Level.SERIES),
    SERIES_UID: Key(b"UI", Level.SERIES),
    0x00200011: Key(b"IS", Level.SERIES),
    SERIES_INSTANCES: Key(b"IS", Level.SERIES, is_counted=True),
    CLASS_UID: Key(b"UI", Level.IMAGE),
    INSTANCE_UID: Key(b"UI", Level.IMAGE),
    0x00080023: Key(b"DA", Level.IMAGE),
    0x00080033: Key(b"TM", Level.IMAGE),
    0x00200013: Key(b"IS", Level.IMAGE),
}
"""What is answered, and matched, by tag; at a level its own, and those above that are no counts."""


@dataclass(frozen=True)
class Question:
    """An identifier: its level, and every other element in it by tag."""

    level: Level
    keys: Mapping[int, bytes]

    @property
    def asked(self) -> dict[int, Key]:
        """The keys that are answered."""
        known = {tag: KEYS[tag] for tag in self.keys if tag in KEYS}
        return {tag: key for tag, key in known.items() if key.is_answered_at(self.level)}

    @property
    def is_understood(self) -> bool:
        """Whether everything that it wants matched is; else its answers have to say so."""
        asked = self.asked
        unmatched = (tag for tag in self.keys if tag not in asked and tag not in _ABOUT_IT)
        return not any(self.keys[tag].strip(b" \0") for tag in unmatched)

    def wanted(self) -> Wanted:
        """Return which objects it names by their UIDs."""
        return Wanted(
            frozenset(_uids(self.keys.get(STUDY_UID, b""))),
            frozenset(_uids(self.keys.get(SERIES_UID, b"")) if self.level else ()),
            frozenset(_uids(self.keys.get(INSTANCE_UID, b"")) if self.level == 2 else ()),
        )

    def matches(self, values: Mapping[int, bytes]) -> bool:
        """Tell whether what is held answers it (PS3.4 section C.2.2.2).

        Parameters
        ----------
        values
            What is held, by tag; it says in what character set.
        """
        own, theirs = (text(v.get(CHARACTER_SET, b"")) for v in (self.keys, values))
        return all(
            is_match(key.vr, text(self.keys[tag], own), text(values.get(tag, b""), theirs))
            for tag, key in self.asked.items()
        )

    def for_audit(self, transfer_syntax: str) -> bytes:
        """Return the identifier as it may be told: every key, but of values the UIDs alone.

        Patients' names and identifiers are no matter of an audit trail (`listener.audit_event`).
        """
        told = {t: (k.vr, self.keys[t] if t in _UNIQUE else b"") for t, k in self.asked.items()}
        told[LEVEL] = (b"CS", self.level.name.encode())
        return _encoded(told, transfer_syntax)

    def answer(self, values: Mapping[int, bytes], title: str, transfer_syntax: str) -> bytes:
        """Return the identifier of a response: what was asked for, as far as it is known.

        Parameters
        ----------
        title
            The AE title that it can be retrieved from.
        """
        told = {tag: (key.vr, values.get(tag, b"")) for tag, key in self.asked.items()}
        if values.get(CHARACTER_SET):
            told[CHARACTER_SET] = (b"CS", values[CHARACTER_SET])
        told[LEVEL] = (b"CS", self.level.name.encode())
        told[RETRIEVE_TITLE] = (b"AE", title.encode("ascii"))
        told[AVAILABILITY] = (b"CS", b"ONLINE")
        return _encoded(told, transfer_syntax)


def read_question(
    stream: BinaryIO, transfer_syntax: str, size: int, *, retrieves: bool
) -> Question:
    """Read the identifier of a C-FIND, C-GET or C-MOVE, of so many bytes.

    Parameters
    ----------
    retrieves
        Whether it is of a C-GET or C-MOVE, which names what it wants and holds nothing else.

    Raises
    ------
    UnreadableIdentifierError
        If it is too long or cannot be walked.
    WrongIdentifierError
        If it has no level, does not name what its level lies in, or names it by something that is
        no UID.
    """
    if size > MOST_BYTES:
        msg = f"It is longer than {MOST_BYTES >> 10} KiB."
        raise UnreadableIdentifierError(msg)
    end = stream.tell() + size
    try:
        values, _ = read_items(
            stream, transfer_syntax, _EVERY, (), end=end, most_items=0, longest=MOST_BYTES
        )
    except (CannotUnderstandError, ResourceLimitationError) as error:
        raise UnreadableIdentifierError(error.detail) from None
    name = text(values.pop(LEVEL, b""))
    if name not in Level.__members__:
        msg = "Its level is none of STUDY, SERIES and IMAGE."
        raise WrongIdentifierError(msg)
    level = Level[name]
    for tag, own in zip(_UNIQUE, Level, strict=True):
        _check_uids(values.get(tag, b""), above=own < level, must=retrieves and own <= level)
    if retrieves:
        values = {tag: values[tag] for tag in _UNIQUE[: level + 1]}
    return Question(level, values)


def encode_failed(sop_instance_uids: Iterable[str], transfer_syntax: str) -> bytes:
    """Return the identifier that names what was not sent (PS3.4 section C.4.2.1.4.2).

    No more are named than one value has room for.
    """
    value = "\\".join(islice(sop_instance_uids, _MOST_NAMED)).encode("ascii")
    return _encoded({_FAILED: (b"UI", value)}, transfer_syntax)


def is_match(vr: bytes, asked: str, held: str) -> bool:
    """Tell whether a value matches what is asked (PS3.4 section C.2.2.2).

    Parameters
    ----------
    asked, held
        As `text` gives them; an empty question is matched by everything.
    """
    if not asked or asked == "*":
        return True
    if vr == b"UI":
        return not set(asked.split("\\")).isdisjoint(held.split("\\"))
    if vr in (b"DA", b"DT", b"TM"):
        return _is_within(asked, held)
    if vr == b"IS":
        return asked == held
    fold = _folded if vr == b"PN" else str
    return any(_is_like(fold(asked), fold(one.strip(" "))) for one in held.split("\\"))


def text(value: bytes, character_set: str = "") -> str:
    """Return a value in words, to be compared with another one."""
    codec = _CODECS.get(character_set.partition("\\")[0].strip(), "latin-1")
    return value.decode(codec, "replace").strip(" \0")


_UNIQUE = (STUDY_UID, SERIES_UID, INSTANCE_UID)
_EVERY = range(1 << 32)
_FAILED = 0x00080058
_MOST_NAMED = 65534 // 65
_ABOUT_IT = frozenset({CHARACTER_SET, LEVEL, RETRIEVE_TITLE, AVAILABILITY, 0x00080201})
# one byte a character where it is not among these: then the same bytes are the same words
_CODECS = {
    "ISO_IR 192": "utf-8",
    "ISO_IR 101": "iso8859-2",
    "ISO_IR 109": "iso8859-3",
    "ISO_IR 110": "iso8859-4",
    "ISO_IR 144": "iso8859-5",
    "ISO_IR 148": "iso8859-9",
    "GB18030": "gb18030",
    "GBK": "gbk",
}
_MOST_WILD = 16  # wildcards in one value; more are nobody's honest question


def _uids(value: bytes) -> list[str]:
    return [uid for uid in text(value).replace("\0", "").split("\\") if uid]


def _check_uids(value: bytes, *, above: bool, must: bool) -> None:
    """Refuse a unique key that cannot be answered (PS3.4 sections C.4.1.1.3.1 and C.4.2.1.4.1).

    Of a level above exactly one is named. What retrieves may name several of its own level.
    """
    named = _uids(value)
    if not all(is_uid(uid) for uid in named):
        msg = "A UID in it is none."
        raise WrongIdentifierError(msg)
    if (above and len(named) != 1) or (must and not named):
        msg = "It does not name what it asks about."
        raise WrongIdentifierError(msg)


def _folded(name: str) -> str:
    """Return a person's name without its case, and without components that are empty."""
    return name.casefold().rstrip("^= ")


def _is_within(asked: str, held: str) -> bool:
    """Match a day or time, or a range of them (PS3.4 section C.2.2.2.5)."""
    if not held:
        return False
    held = held.replace(".", "").replace(":", "")
    asked = asked.replace(".", "").replace(":", "")
    first, is_range, last = asked.partition("-")
    if not is_range:
        return held.startswith(first)
    # a bound that is given to the minute takes in its whole minute
    return held[: len(first)] >= first and (not last or held[: len(last)] <= last)


def _is_like(asked: str, held: str) -> bool:
    """Match a value, which may hold wildcards (PS3.4 sections C.2.2.2.1 and C.2.2.2.4)."""
    if not ("*" in asked or "?" in asked):
        return asked == held
    pattern = re.sub(r"\*+", "*", asked)
    if sum(pattern.count(one) for one in "*?") > _MOST_WILD:
        return False
    return re.fullmatch(translate(pattern.replace("[", "[[]")), held) is not None


def _encoded(values: Mapping[int, tuple[bytes, bytes]], transfer_syntax: str) -> bytes:
    encoded = b""
    for tag, (vr, value) in sorted(values.items()):
        padding = (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
        length, group, number = len(value + padding), tag >> 16, tag & 0xFFFF
        if transfer_syntax == IMPLICIT_LITTLE:
            encoded += struct.pack("<HHI", group, number, length) + value + padding
        else:
            encoded += struct.pack("<HH2sH", group, number, vr, length) + value + padding
    return encoded


def joined(values: Collection[bytes]) -> bytes:
    """Return several values as one, each once."""
    return b"\\".join(sorted({value.strip(b" \0") for value in values} - {b""}))
