"""Feedback: how relevant a radiologist finds a match, on the paper's scale of five points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from pipeline.answer_record import AnswerRecord, MatchRecord, PartRecord, part_name
from pipeline.database import open_database
from pipeline.errors import FeedbackError

__all__ = ["RELEVANCE", "Feedback", "Judgement"]

RELEVANCE: Final[Mapping[int, str]] = {
    1: "not relevant",
    2: "slightly relevant",
    3: "moderately relevant",
    4: "relevant",
    5: "highly relevant",
}
"""The points: five is the highest relevance (WristMIR, radiologist assessment). The paper names no
other; the words for them are the project's own."""

_METADATA = sa.MetaData()
_JUDGEMENT = sa.Table(
    "judgement",
    _METADATA,
    sa.Column("result_id", sa.String(64), primary_key=True),
    sa.Column("part", sa.String(32), primary_key=True),
    sa.Column("prior_uid", sa.String(64), primary_key=True),
    sa.Column("rater", sa.String(64), primary_key=True),
    sa.Column("query_uid", sa.String(64), nullable=False),
    sa.Column("relevance", sa.Integer, nullable=False),
    sa.Column("at", sa.String(32), nullable=False),
    sa.Column("bundle_id", sa.String(100), nullable=False),
    sa.Column("mode", sa.String(16), nullable=False),
    sa.Column("rank", sa.Integer, nullable=False),
    sa.Column("global_similarity", sa.Float, nullable=False),
    sa.Column("region_similarity", sa.Float, nullable=True),
    sa.CheckConstraint("relevance between 1 and 5"),
)
# where a rater's judgements of a result came by a structured report, and not by the page
_DOCUMENT = sa.Table(
    "document",
    _METADATA,
    sa.Column("result_id", sa.String(64), primary_key=True),
    sa.Column("rater", sa.String(64), primary_key=True),
    sa.Column("sop_instance_uid", sa.String(64), nullable=False),
    sa.Column("at", sa.String(32), nullable=False),
)


@dataclass(frozen=True)
class Judgement:
    """What one rater said of one match.

    Parameters
    ----------
    result_id, part, query_uid, prior_uid
        Which match: result set, bone (or ``global``), SOP Instance UIDs of query and prior.
    rater
        The account that was signed in, or what stands for the observer of a structured report.
    relevance
        1 to 5 (`RELEVANCE`).
    at
        When, timezone-aware.
    bundle_id, mode, rank, global_similarity, region_similarity
        How the match had come about: similarities are cosines.
    """

    result_id: str
    part: str
    query_uid: str
    prior_uid: str
    rater: str
    relevance: int
    at: datetime
    bundle_id: str
    mode: str
    rank: int
    global_similarity: float
    region_similarity: float | None

    @classmethod
    def of(
        cls,
        record: AnswerRecord,
        part: PartRecord,
        match: MatchRecord,
        rater: str,
        relevance: int,
        at: datetime,
    ) -> Judgement:
        """Return what a rater says of a match of an answer.

        Raises
        ------
        FeedbackError
            Where the answer has no such case.
        """
        case = record.case(match.case)
        if case is None:
            raise FeedbackError
        return cls(
            result_id=record.result_id,
            part=part_name(part),
            query_uid=record.query.sop_instance_uid,
            prior_uid=case.sop_instance_uid,
            rater=rater,
            relevance=relevance,
            at=at,
            bundle_id=record.bundle_id,
            mode=record.mode.value,
            rank=match.rank,
            global_similarity=match.global_similarity,
            region_similarity=match.region_similarity,
        )


class Feedback:
    """Judgements, in a database of their own that only its owner may read (mode 0600).

    They are kept when an answer is forgotten: evaluation and training want them later.

    Parameters
    ----------
    url
        SQLAlchemy URL, for example ``sqlite:////var/lib/wristmir/feedback.sqlite3``.
    """

    def __init__(self, url: str) -> None:
        self._engine = open_database(url, _METADATA)

    def give(self, judgement: Judgement) -> None:
        """Keep a judgement; it replaces what the same rater said of the match before.

        Raises
        ------
        FeedbackError
            Where the relevance is none of the five points.
        """
        values = _values(judgement)
        with self._engine.begin() as connection:
            connection.execute(sa.delete(_JUDGEMENT).where(_same(judgement)))
            connection.execute(sa.insert(_JUDGEMENT).values(**values))

    def replace(
        self,
        result_id: str,
        rater: str,
        judgements: Sequence[Judgement],
        document_uid: str,
        at: datetime,
    ) -> bool:
        """Keep what a document says of a result, in place of all that its rater said before.

        Parameters
        ----------
        judgements
            Of this result, by this rater.
        document_uid
            SOP Instance UID of the document.
        at
            Timezone-aware time of the document.

        Returns
        -------
        bool
            False where a later document of the same rater counts.

        Raises
        ------
        FeedbackError
            Where a relevance is none of the five points.
        """
        rows = [_values(one) for one in judgements]
        moment = at.astimezone(UTC).isoformat()
        with self._engine.begin() as connection:
            here = (_DOCUMENT.c.result_id == result_id) & (_DOCUMENT.c.rater == rater)
            known = connection.execute(sa.select(_DOCUMENT.c.at).where(here)).scalar()
            if known is not None and datetime.fromisoformat(known) > at:
                return False
            said = (_JUDGEMENT.c.result_id == result_id) & (_JUDGEMENT.c.rater == rater)
            connection.execute(sa.delete(_JUDGEMENT).where(said))
            connection.execute(sa.delete(_DOCUMENT).where(here))
            if rows:
                connection.execute(sa.insert(_JUDGEMENT), rows)
            source = {"result_id": result_id, "rater": rater, "at": moment}
            connection.execute(sa.insert(_DOCUMENT).values(sop_instance_uid=document_uid, **source))
        return True

    def document_of(self, result_id: str, rater: str) -> str | None:
        """Return the SOP Instance UID of the document that a rater's judgements came by.

        None where they were given on the page.
        """
        here = (_DOCUMENT.c.result_id == result_id) & (_DOCUMENT.c.rater == rater)
        with self._engine.connect() as connection:
            found = sa.select(_DOCUMENT.c.sop_instance_uid).where(here)
            return connection.execute(found).scalar_one_or_none()

    def take_back(self, judgement: Judgement) -> None:
        """Forget what a rater said of a match."""
        with self._engine.begin() as connection:
            connection.execute(sa.delete(_JUDGEMENT).where(_same(judgement)))

    def of(self, result_id: str, rater: str) -> dict[tuple[str, str], int]:
        """Return what a rater said of a result: relevance by part and the prior's UID."""
        here = (_JUDGEMENT.c.result_id == result_id) & (_JUDGEMENT.c.rater == rater)
        return {(one.part, one.prior_uid): one.relevance for one in self._found(here)}

    def all(self) -> tuple[Judgement, ...]:
        """Return every judgement, the first first."""
        return self._found(sa.true())

    def close(self) -> None:
        """Let the database go."""
        self._engine.dispose()

    def _found(self, where: sa.ColumnElement[bool]) -> tuple[Judgement, ...]:
        query = sa.select(_JUDGEMENT).where(where).order_by(_JUDGEMENT.c.at)
        with self._engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return tuple(_judgement(row) for row in rows)


def _values(judgement: Judgement) -> dict[str, Any]:
    if judgement.relevance not in RELEVANCE:
        raise FeedbackError
    return {**asdict(judgement), "at": judgement.at.astimezone(UTC).isoformat()}


def _same(judgement: Judgement) -> sa.ColumnElement[bool]:
    return sa.and_(
        *(column == getattr(judgement, column.name) for column in _JUDGEMENT.primary_key)
    )


def _judgement(row: Mapping[Any, Any]) -> Judgement:
    values = {one.name: row[one.name] for one in fields(Judgement)}
    return Judgement(**{**values, "at": datetime.fromisoformat(row["at"])})
