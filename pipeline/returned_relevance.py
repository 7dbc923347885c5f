"""Relevance that a reader returns as a structured report: read, checked and kept.

The document is a Comprehensive or Enhanced SR under the title (WM070, 99WRISTMIR). Its observer is
a person (PS3.16 TID 1002, 1003). Its content names the result that is judged (WM071), and holds a
container for each bone, under the bone's name in the result (WM020 to WM023); in it one container
(WM033) for each match, with the match's rank (WM051, NUM) and its relevance (WM072, CODE): one of
WM081 to WM085, the paper's five points, or WM080 where it is not judged.
`pipeline.relevance_report` writes one to be filled in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pydicom import Dataset
from pydicom.sr.coding import Code

from pipeline import terms
from pipeline.answer_record import AnswerRecord, AnswerRecords, part_name
from pipeline.errors import FeedbackError, RelevanceReportError
from pipeline.feedback import Feedback, Judgement
from pipeline.outbox import Outbox
from pipeline.region import GLOBAL
from pipeline.uid import KeyedUids

__all__ = ["RelevanceDesk", "Returned", "is_relevance", "read_relevance"]


@dataclass(frozen=True)
class Returned:
    """What a document says.

    Parameters
    ----------
    result_uid
        SOP Instance UID of the result object that it names.
    observer
        Who judged, as the document names the person: login name, else name.
    at
        Its content time, timezone-aware.
    scores
        Points by part (a bone, or ``global``) and rank.
    """

    result_uid: str
    observer: str
    at: datetime
    scores: Mapping[tuple[str, int], int]


def is_relevance(header: Dataset) -> bool:
    """Tell by its title whether an object is such a document."""
    return _is(_concept(header), terms.RELEVANCE_TITLE)


def read_relevance(header: Dataset) -> Returned:
    """Read a document.

    Raises
    ------
    RelevanceReportError
        Naming what is wrong or missing, never a value.
    """
    items = list(header.get("ContentSequence") or ())
    return Returned(
        result_uid=_result_uid(items),
        observer=_observer(header, items),
        at=_time(header),
        scores=dict(_scores(items)),
    )


@dataclass(frozen=True, eq=False)
class RelevanceDesk:
    """Takes documents in.

    Parameters
    ----------
    outbox
        Knows which result set an object is of.
    answers
        Know its matches.
    feedback
        Keeps what was said.
    uids
        Give the name that stands for an observer.
    """

    outbox: Outbox
    answers: AnswerRecords
    feedback: Feedback
    uids: KeyedUids

    def take(self, header: Dataset) -> bool:
        """Keep what a document says, in place of what its observer said of the result before.

        The same document again changes nothing. False where a later one of the observer counts.

        Raises
        ------
        RelevanceReportError
            Where it cannot be used; nothing of it is kept then.
        """
        returned = read_relevance(header)
        name = self.outbox.named_by(returned.result_uid)
        if name is None:
            detail = "It names no result that was made here."
            raise RelevanceReportError(detail)
        record = self.answers.get(name)
        if record is None:
            detail = "The result that it names is no longer known."
            raise RelevanceReportError(detail)
        if str(header.get("StudyInstanceUID")) != record.study_uid:
            detail = "It stands in another study than the result that it names."
            raise RelevanceReportError(detail)
        rater = self.rater(returned.observer)
        judgements = [
            _judgement(record, part, rank, rater, point, returned.at)
            for (part, rank), point in returned.scores.items()
        ]
        uid = str(header.get("SOPInstanceUID"))
        return self.feedback.replace(name, rater, judgements, uid, returned.at)

    def rater(self, observer: str) -> str:
        """Return what stands for an observer: a keyed name, which no account of the pages has."""
        return f"sr:{self.uids.name('observer', observer)}"


def _judgement(
    record: AnswerRecord, named: str, rank: int, rater: str, point: int, at: datetime
) -> Judgement:
    for part in record.parts:
        for match in part.matches if part_name(part) == named else ():
            if match.rank == rank:
                try:
                    return Judgement.of(record, part, match, rater, point, at)
                except FeedbackError:
                    break
    detail = "It judges a match that the result does not have."
    raise RelevanceReportError(detail)


def _result_uid(items: list[Dataset]) -> str:
    named = [
        str(reference.get("ReferencedSOPInstanceUID"))
        for item in items
        if _is(_concept(item), terms.JUDGED_RESULT)
        for reference in item.get("ReferencedSOPSequence") or ()
    ]
    if len(named) != 1:
        detail = "It does not name one result."
        raise RelevanceReportError(detail)
    return named[0]


def _observer(header: Dataset, items: list[Dataset]) -> str:
    """Return who judged: by the observer context, else who verified or wrote the document."""
    context = [item for item in items if item.get("RelationshipType") == "HAS OBS CONTEXT"]
    for term, keyword in ((terms.LOGIN_NAME, "TextValue"), (terms.PERSON_NAME, "PersonName")):
        named = (str(i.get(keyword) or "") for i in context if _is(_concept(i), term))
        if found := _plain(next(named, "")):
            return found
    for sequence, keyword in (
        ("VerifyingObserverSequence", "VerifyingObserverName"),
        ("AuthorObserverSequence", "PersonName"),
    ):
        named = (str(item.get(keyword) or "") for item in header.get(sequence) or ())
        if found := _plain(next(named, "")):
            return found
    detail = "It does not say who has judged."
    raise RelevanceReportError(detail)


def _plain(name: str) -> str:
    """Return a name so that two spellings of it are one: padding, case, empty components."""
    return name.strip().rstrip("^= ").casefold()


def _time(header: Dataset) -> datetime:
    date, clock = str(header.get("ContentDate") or ""), str(header.get("ContentTime") or "")
    offset = str(header.get("TimezoneOffsetFromUTC") or "").strip()
    try:
        at = datetime.strptime(date.strip() + clock[:6].strip().ljust(6, "0"), "%Y%m%d%H%M%S")  # noqa: DTZ007 - the zone is added below
        zone = datetime.strptime(offset, "%z").tzinfo if offset else None
    except ValueError:
        detail = "Its content date and time are missing or not valid."
        raise RelevanceReportError(detail) from None
    return (at.astimezone() if zone is None else at.replace(tzinfo=zone)).astimezone(UTC)


def _scores(items: list[Dataset]) -> Iterator[tuple[tuple[str, int], int]]:
    seen: set[tuple[str, int]] = set()
    judged = False
    for part, match in _matches(items):
        rank, point = _rank(match), _point(match)
        if (part, rank) in seen:
            detail = "It judges a match twice."
            raise RelevanceReportError(detail)
        seen.add((part, rank))
        if point is not None:
            judged = True
            yield (part, rank), point
    if not judged:
        detail = "It judges no match."
        raise RelevanceReportError(detail)


def _matches(items: list[Dataset]) -> Iterator[tuple[str, Dataset]]:
    for item in items:
        for region, title in terms.SIMILAR_CASES.items():
            if _is(_concept(item), title):
                for match in item.get("ContentSequence") or ():
                    if _is(_concept(match), terms.MATCH):
                        yield GLOBAL if region is None else region.value, match


def _rank(match: Dataset) -> int:
    for item in match.get("ContentSequence") or ():
        measured = next(iter(item.get("MeasuredValueSequence") or ()), None)
        if _is(_concept(item), terms.RANK) and measured is not None:
            value = measured.get("NumericValue")
            if value is not None and float(value).is_integer():
                return int(value)
    detail = "A match in it has no rank."
    raise RelevanceReportError(detail)


def _point(match: Dataset) -> int | None:
    """Return the points of a match; None where it is said not to be judged."""
    said = [
        next(iter(item.get("ConceptCodeSequence") or ()), Dataset())
        for item in match.get("ContentSequence") or ()
        if _is(_concept(item), terms.RELEVANCE)
    ]
    if len(said) == 1:
        if _is(said[0], terms.NOT_JUDGED):
            return None
        for point, code in terms.POINTS.items():
            if _is(said[0], code):
                return point
    detail = "A match in it has none of the five points."
    raise RelevanceReportError(detail)


def _concept(item: Dataset) -> Dataset:
    return next(iter(item.get("ConceptNameCodeSequence") or ()), Dataset())


def _is(item: Dataset, code: Code) -> bool:
    given = str(item.get("CodeValue")), str(item.get("CodingSchemeDesignator"))
    return given == (code.value, code.scheme_designator)
