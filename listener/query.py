"""C-FIND: what an archive says that it holds (DICOM PS3.4 annex C, Study Root).

Studies are asked for a day at a time. Where an archive may have kept back a part of the answer, the
day is asked for again in halves, and theirs in turn; what is cut even then is said to be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from typing import Generic, Protocol, Self, TypeVar

from pynetdicom.dimse_primitives import C_FIND
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind

from listener.audit import Audit
from listener.elements import is_uid, read_values, uid_value
from listener.errors import CannotUnderstandError, QueryError
from listener.query_audit import QueryAudit
from listener.requester import IMPLICIT, PENDING, Patience, Requester, identifier
from listener.settings import DestinationSettings

__all__ = [
    "KEYS",
    "ArchiveQuery",
    "Found",
    "InstanceEntry",
    "QueryLimits",
    "SeriesEntry",
    "StudyEntry",
]


@dataclass(frozen=True)
class QueryLimits:
    """How much of an answer is taken, and how long a question may take as a whole."""

    responses: int = 10_000
    seconds: float = 120.0


@dataclass(frozen=True)
class StudyEntry:
    """A study as the archive lists it; words it does not give are empty."""

    uid: str
    modalities: frozenset[str] = frozenset()
    description: str = ""


@dataclass(frozen=True)
class SeriesEntry:
    """A series as the archive lists it; words it does not give are empty."""

    uid: str
    modality: str = ""
    body_part: str = ""
    description: str = ""


@dataclass(frozen=True)
class InstanceEntry:
    """An instance as the archive lists it; its SOP class is empty where it is not given."""

    uid: str
    sop_class_uid: str = ""


class _Entry(Protocol):
    @property
    def uid(self) -> str: ...


_E = TypeVar("_E", bound=_Entry)


@dataclass(frozen=True)
class Found(Generic[_E]):
    """What was found, each entry once.

    ``cut`` tells that there may be more; ``unusable`` counts answers that could not be read, or
    were of something else than was asked for.
    """

    entries: tuple[_E, ...] = ()
    cut: bool = False
    unusable: int = 0

    def joined(self, other: Found[_E], *, cut: bool) -> Found[_E]:
        """Return what either has found."""
        by_uid = {entry.uid: entry for entry in (*other.entries, *self.entries)}
        return Found(tuple(by_uid.values()), cut, self.unusable + other.unusable)


class ArchiveQuery:
    """Asks an archive what it holds, in one association as long as that lives.

    Every method raises QueryError where the archive cannot be reached, refuses, stops in the
    middle or takes too long.

    Parameters
    ----------
    there
        The archive.
    calling_ae
        The AE title that asks.
    limits
        Bounds of each question.
    told
        Tells the audit trail what is asked; None for no audit trail.
    """

    def __init__(
        self,
        there: DestinationSettings,
        calling_ae: str,
        limits: QueryLimits | None = None,
        told: QueryAudit | None = None,
    ) -> None:
        self._limits = limits or QueryLimits()
        self._told = told or QueryAudit(Audit.off())
        self._calling_ae = calling_ae
        self._requester = Requester(there, calling_ae, [_FIND])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._requester.close()

    def studies(self, day: date, modality: str) -> Found[StudyEntry]:
        """Return the studies of a day, by the archive's own calendar, that hold a modality.

        An archive may ignore that the modality was asked for, and say so by listing others.
        """
        return self._within(day, modality, 0, _DAY)

    def study(self, study_uid: str) -> Found[StudyEntry]:
        """Return one study, or nothing where the archive has none of this UID."""
        keys = _keys("STUDY", {_STUDY: study_uid})
        return self._find("STUDY", keys, _study_entry)

    def series(self, study_uid: str) -> Found[SeriesEntry]:
        """Return the series of a study."""
        return self._find("SERIES", _keys("SERIES", {_STUDY: study_uid}), _series_entry)

    def instances(self, study_uid: str, series_uid: str) -> Found[InstanceEntry]:
        """Return the instances of a series."""
        keys = _keys("IMAGE", {_STUDY: study_uid, _SERIES: series_uid})
        return self._find("IMAGE", keys, _instance_entry)

    def _within(self, day: date, modality: str, start: int, end: int) -> Found[StudyEntry]:
        """Return the studies between two minutes of a day; cut answers are asked for in halves."""
        found = self._between(day, modality, start, end)
        if not found.cut or end - start <= _SHORTEST:
            return found
        middle = (start + end) // 2
        first = self._between(day, modality, start, middle)
        second = self._between(day, modality, middle, end)
        if first.entries and first.entries == second.entries:
            return found  # it does not heed the time of day
        halves = [
            self._within(day, modality, *bounds) if half.cut else half
            for half, bounds in ((first, (start, middle)), (second, (middle, end)))
        ]
        cut = any(half.cut for half in halves)
        # a study without a time is in no half
        return halves[0].joined(halves[1], cut=cut).joined(found, cut=cut)

    def _between(self, day: date, modality: str, start: int, end: int) -> Found[StudyEntry]:
        keys = _keys("STUDY", {_DATE: f"{day:%Y%m%d}", _MODALITIES: modality})
        if end - start < _DAY:
            keys[_TIME] = f"{_clock(start)}00-{_clock(end - 1)}59"
        return self._find("STUDY", keys, _study_entry)

    def _find(self, level: str, keys: dict[int, str], read: Callable[[_Answer], _E]) -> Found[_E]:
        there, asked = self._requester.there, identifier(level, keys)
        with self._told.asking(there, self._calling_ae, _FIND, IMPLICIT, asked):
            try:
                return self._found(level, keys, read)
            except QueryError:
                if not self._requester.reused:
                    raise
            # the archive may have given up an association that stood idle
            return self._found(level, keys, read)

    def _found(self, level: str, keys: dict[int, str], read: Callable[[_Answer], _E]) -> Found[_E]:
        entries: dict[str, _E] = {}
        unusable = count = status = 0
        patience = Patience(self._limits.seconds, self._requester.there.timeout_seconds)
        question = self._requester.ask(C_FIND(), identifier(level, keys), _FIND, patience)
        with closing(question):
            for response in question:
                status = response.status
                if status not in PENDING or count == self._limits.responses:
                    break
                count += 1
                try:
                    entry = read(_Answer.of(response.identifier, keys))
                except CannotUnderstandError:
                    unusable += 1
                else:
                    entries.setdefault(entry.uid, entry)
        if status not in _SOME and not entries:
            msg = f"{self._requester.there.name} refused it with status 0x{status:04X}."
            raise QueryError(msg)
        cut = status != _SUCCESS or (level == "STUDY" and count in _LIKELY_LIMITS)
        return Found(tuple(entries.values()), cut, unusable)


_FIND = str(StudyRootQueryRetrieveInformationModelFind)

_SUCCESS = 0x0000
# success, out of resources, cancelled, and pending where the bound of responses was reached
_SOME = frozenset({_SUCCESS, 0xA700, 0xFE00, *PENDING})

# numbers at which archives are known to be told to stop
_LIKELY_LIMITS = frozenset({50, 100, 200, 250, 300, 400, 500, 999, *range(1000, 10_001, 500)})

_DAY = 24 * 60  # minutes
_SHORTEST = 30

_CHARACTER_SET = 0x00080005
_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_DATE, _TIME = 0x00080020, 0x00080030
_MODALITY, _MODALITIES = 0x00080060, 0x00080061
_STUDY_DESCRIPTION, _SERIES_DESCRIPTION = 0x00081030, 0x0008103E
_BODY_PART = 0x00180015
_STUDY, _SERIES = 0x0020000D, 0x0020000E
_MATCHED = (_STUDY, _SERIES, _DATE)

KEYS: Mapping[str, tuple[int, ...]] = {
    "STUDY": (_DATE, _TIME, _MODALITIES, _STUDY_DESCRIPTION, _STUDY),
    "SERIES": (_MODALITY, _SERIES_DESCRIPTION, _BODY_PART, _STUDY, _SERIES),
    "IMAGE": (_SOP_CLASS, _SOP_INSTANCE, _STUDY, _SERIES),
}
"""The keys of a query by its level: what is asked for, whether or not a value is given."""


def _keys(level: str, given: Mapping[int, str]) -> dict[int, str]:
    return {tag: given.get(tag, "") for tag in KEYS[level]}


@dataclass(frozen=True)
class _Answer:
    """The values of one answer."""

    values: Mapping[int, bytes]

    @classmethod
    def of(cls, encoded: bytes, keys: Mapping[int, str]) -> _Answer:
        """Read an answer; one about something that was not asked for is refused."""
        wanted = tuple(sorted({_CHARACTER_SET, *keys}))
        answer = cls(read_values(BytesIO(encoded), IMPLICIT, wanted))
        for tag in _MATCHED:
            asked, given = keys.get(tag, ""), answer.word(tag)
            if asked and given and given != asked:
                msg = "It is about something else."
                raise CannotUnderstandError(msg)
        return answer

    def word(self, tag: int) -> str:
        """Return a value in ASCII, in capitals; empty where there is none."""
        return self.values.get(tag, b"").strip(b" \0").decode("ascii", "replace").upper()

    def words(self, tag: int) -> str:
        """Return a text; a character set other than Unicode is read as Latin-1."""
        unicode = b"192" in self.values.get(_CHARACTER_SET, b"")
        value = self.values.get(tag, b"").strip(b" \0")
        return value.decode("utf-8" if unicode else "latin-1", "replace")

    def uid(self, tag: int) -> str:
        """Return a UID, empty where there is none."""
        value = self.word(tag)
        return value if is_uid(value) else ""


def _study_entry(answer: _Answer) -> StudyEntry:
    modalities = frozenset(answer.word(_MODALITIES).split("\\")) - {""}
    return StudyEntry(
        uid_value(answer.values, _STUDY), modalities, answer.words(_STUDY_DESCRIPTION)
    )


def _series_entry(answer: _Answer) -> SeriesEntry:
    return SeriesEntry(
        uid=uid_value(answer.values, _SERIES),
        modality=answer.word(_MODALITY),
        body_part=answer.word(_BODY_PART),
        description=answer.words(_SERIES_DESCRIPTION),
    )


def _instance_entry(answer: _Answer) -> InstanceEntry:
    return InstanceEntry(uid_value(answer.values, _SOP_INSTANCE), answer.uid(_SOP_CLASS))


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}{minute % 60:02d}"
