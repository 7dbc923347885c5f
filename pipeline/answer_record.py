"""What was answered, kept for the pages: codes, scores, UIDs; no picture, no word of a report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import sqlalchemy as sa
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from pipeline.database import open_database
from pipeline.dictionary import ENGLISH, Dictionary
from pipeline.exam import SIDE_FROM_IMAGE, Exam, RegionFindings
from pipeline.reference import PriorReference
from pipeline.region import Laterality, Region, View
from pipeline.request import Answer, Match, Mode
from pipeline.wording import BundleWords, age_words, in_language

__all__ = [
    "IN_LIBRARY",
    "AnswerRecord",
    "AnswerRecords",
    "CaseRecord",
    "MatchRecord",
    "PartRecord",
    "Shown",
    "part_name",
]

IN_LIBRARY: Final = "library"
"""Stands for the study of a prior's library copy."""

_AS_IT_WAS, _REWRITTEN, _CLEAN = range(3)
"""What became of rows of releases that named copies' studies: SQLite's ``user_version``."""

_METADATA = sa.MetaData()
_ANSWER = sa.Table(
    "answer",
    _METADATA,
    sa.Column("result_id", sa.String(64), primary_key=True),
    sa.Column("study_uid", sa.String(64), nullable=False, index=True),
    sa.Column("asked_at", sa.String(32), nullable=False, index=True),
    sa.Column("record", sa.Text, nullable=False),
)


@dataclass(frozen=True)
class Shown:
    """What the worker could show of a case when it answered.

    Parameters
    ----------
    version
        Of the received file that it looked at: boxes are of no other.
    pictured
        Whether its picture may be shown to others (`pipeline.deidentify.withheld_reason`).
    reference
        Where the destination has it; None where nothing refers to it.
    """

    version: int
    pictured: bool
    reference: PriorReference | None = None


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CaseRecord(_Part):
    """The query (number 0) or a prior (``Case 1`` and on), as the answer knew it.

    ``viewer_study_uid`` is the Study Instance UID under which a viewer finds it at the destination;
    empty where nothing refers to it. Of a library copy `IN_LIBRARY` stands there, and
    `pipeline.deidentify.library_study_uid` gives it anew: a table of priors beside their copies
    would be a second crosswalk, unsealed. ``version`` is 0 where no file was kept. Of the age there
    is the band alone. A ``further`` one is a candidate behind the matches: nobody has looked at its
    file or sent a copy of it, so what may be shown of it is found out when a page wants to.
    """

    number: int
    sop_instance_uid: str
    study_uid: str
    viewer_study_uid: str
    version: int
    pictured: bool
    laterality: Laterality
    side_from_image: bool
    view: View
    age_band: str
    spacing_mm: tuple[float, float] | None
    boxes: Mapping[str, tuple[float, float, float, float]]
    findings_known: bool
    findings: Mapping[Region, RegionFindings]
    other: tuple[str, ...]
    further: bool = False

    @classmethod
    def of(
        cls,
        number: int,
        exam: Exam,
        shown: Shown | None,
        language: Dictionary = ENGLISH,
        *,
        further: bool = False,
    ) -> CaseRecord:
        """Return the record of an exam; `shown` is None where its file was gone, or not seen."""
        reference = shown.reference if shown else None
        return cls(
            number=number,
            sop_instance_uid=exam.sop_instance_uid,
            study_uid=exam.study_instance_uid,
            viewer_study_uid=_in_viewer(exam, reference),
            version=shown.version if shown else 0,
            pictured=shown.pictured if shown else False,
            laterality=exam.laterality,
            side_from_image=SIDE_FROM_IMAGE in exam.flags,
            view=exam.view,
            age_band=age_words(exam, language),
            spacing_mm=exam.spacing_mm,
            boxes={
                name: (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
                for name, box in exam.boxes.items()
            },
            findings_known=exam.findings_known,
            findings={region: RegionFindings(**asdict(f)) for region, f in exam.findings.items()},
            other=exam.other,
            further=further,
        )


class MatchRecord(_Part):
    """A match: which case, how it ranked and why (`pipeline.request.Match`)."""

    case: int
    rank: int
    global_similarity: float
    region_similarity: float | None
    global_index: float
    region_index: float | None
    mirrored: bool
    reasons: tuple[str, ...]

    @classmethod
    def of(cls, match: Match, case: int) -> MatchRecord:
        """Return the record of a match."""
        return cls(
            case=case,
            rank=match.rank,
            global_similarity=float(match.global_similarity),
            region_similarity=_float(match.region_similarity),
            global_index=float(match.global_index),
            region_index=_float(match.region_index),
            mirrored=match.mirrored,
            reasons=match.reasons,
        )


class PartRecord(_Part):
    """The matches for one bone, or for the wrist as a whole (`pipeline.request.RegionAnswer`)."""

    region: Region | None
    matches: tuple[MatchRecord, ...]
    fallbacks: tuple[str, ...]
    nothing_similar: bool
    further: tuple[MatchRecord, ...] = ()

    @property
    def ranked(self) -> tuple[MatchRecord, ...]:
        """The matches, then the candidates behind them."""
        return (*self.matches, *self.further)


class AnswerRecord(_Part):
    """One answer about one query image."""

    result_id: str
    study_uid: str
    query: CaseRecord
    cases: tuple[CaseRecord, ...]
    parts: tuple[PartRecord, ...]
    mode: Mode
    wanted: str
    pool: int
    warnings: tuple[str, ...]
    bundle_id: str
    intended_use: str
    demonstration: bool
    asked_at: AwareDatetime

    @classmethod
    def of(
        cls,
        result_id: str,
        answer: Answer,
        shown: Mapping[str, Shown],
        words: BundleWords,
        wanted: str,
        language: Dictionary = ENGLISH,
    ) -> AnswerRecord:
        """Return the record of an answer.

        Parameters
        ----------
        result_id
            Name of its result set.
        answer
            What was found.
        shown
            By SOP Instance UID, the query's among them; one whose file was gone is missing.
        words
            What a result says of the models.
        wanted
            Which priors were wanted, in words.
        language
            In which reasons, fallbacks, warnings and age bands are kept.
        """
        answer = in_language(answer, language)
        cases = {
            prior.sop_instance_uid: CaseRecord.of(
                number, prior, shown.get(prior.sop_instance_uid), language
            )
            for number, prior in enumerate(answer.priors, 1)
        }
        for number, exam in enumerate(answer.further, len(cases) + 1):
            cases[exam.sop_instance_uid] = CaseRecord.of(number, exam, None, language, further=True)

        def records(matches: Iterable[Match]) -> tuple[MatchRecord, ...]:
            return tuple(MatchRecord.of(m, cases[m.exam.sop_instance_uid].number) for m in matches)

        query = CaseRecord.of(0, answer.query, shown.get(answer.query.sop_instance_uid), language)
        return cls(
            result_id=result_id,
            study_uid=answer.query.study_instance_uid,
            query=query.model_copy(update={"viewer_study_uid": query.study_uid}),
            cases=tuple(cases.values()),
            parts=tuple(
                PartRecord(
                    region=part.region,
                    matches=records(part.matches),
                    fallbacks=part.fallbacks,
                    nothing_similar=part.nothing_similar,
                    further=records(part.further),
                )
                for part in answer.regions
            ),
            mode=answer.request.mode,
            wanted=wanted,
            pool=answer.pool_size,
            warnings=answer.warnings,
            bundle_id=words.id,
            intended_use=words.intended_use,
            demonstration=words.demonstration,
            asked_at=answer.answered_at,
        )

    def case(self, number: int) -> CaseRecord | None:
        """Return a case by its number, 0 for the query; None where there is none."""
        return next((one for one in (self.query, *self.cases) if one.number == number), None)

    def part(self, name: str | None) -> PartRecord | None:
        """Return the matches for a bone by its name (``global``: the whole wrist), else the first.

        None where no bone was answered for.
        """
        named = (one for one in self.parts if part_name(one) == name)
        return next(named, self.parts[0] if self.parts else None)


def _in_viewer(exam: Exam, reference: PriorReference | None) -> str:
    if reference is None:
        return ""
    is_own = reference.study_instance_uid == exam.study_instance_uid
    return exam.study_instance_uid if is_own else IN_LIBRARY


def part_name(part: PartRecord) -> str:
    """Return how a part is named in addresses: its bone, or ``global``."""
    return part.region.value if part.region else "global"


class AnswerRecords:
    """Every answer that was worked out, until retention forgets it.

    The outbox lets a result set go once it is delivered, and the index belongs to the worker: a
    page reads here what it shows. The file is readable by its owner alone (mode 0600); it holds
    pseudonymous data, no direct identifier. But it names priors by their UIDs under the numbers
    that delivered reports call their copies by, so the two together lead from a copy to its source.

    Where a release before this one has kept the studies of copies, `IN_LIBRARY` takes their place
    when it is opened, once, and they are gone from the file.

    Parameters
    ----------
    url
        SQLAlchemy URL of the database, for example ``sqlite:////var/lib/wristmir/answers.sqlite3``.
    retention
        How much older than the latest an answer may be; None for any age.
    """

    def __init__(self, url: str, retention: timedelta | None = None) -> None:
        self._engine = open_database(url, _METADATA)
        self._retention = retention
        self._forget_copies()

    def keep(self, record: AnswerRecord) -> None:
        """Keep an answer, forget those that are too old; the same result set again replaces it."""
        with self._engine.begin() as connection:
            here = _ANSWER.c.result_id == record.result_id
            connection.execute(sa.delete(_ANSWER).where(here))
            connection.execute(
                sa.insert(_ANSWER).values(
                    result_id=record.result_id,
                    study_uid=record.study_uid,
                    asked_at=_sortable(record.asked_at),
                    record=record.model_dump_json(),
                )
            )
            if self._retention is not None:
                oldest = _sortable(record.asked_at - self._retention)
                connection.execute(sa.delete(_ANSWER).where(_ANSWER.c.asked_at < oldest))

    def get(self, result_id: str) -> AnswerRecord | None:
        """Return an answer, None where it is not known."""
        found = self._found(_ANSWER.c.result_id == result_id, 1, 0)
        return found[0] if found else None

    def latest(self, limit: int, skipped: int = 0) -> tuple[AnswerRecord, ...]:
        """Return the latest answers, the latest first."""
        return self._found(sa.true(), limit, skipped)

    def of_study(self, study_uid: str) -> tuple[AnswerRecord, ...]:
        """Return the answers about a study, the latest first."""
        return self._found(_ANSWER.c.study_uid == study_uid, 100, 0)

    def close(self) -> None:
        """Let the database go."""
        self._engine.dispose()

    def _forget_copies(self) -> None:
        """Have no row, and no page of the file or its log, name the study of a copy."""
        with self._engine.connect() as connection:
            done = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        if done == _AS_IT_WAS:
            with self._engine.begin() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                _rewrite(connection)
                connection.exec_driver_sql(f"PRAGMA user_version={_REWRITTEN}")
        if done != _CLEAN:
            plain = self._engine.execution_options(isolation_level="AUTOCOMMIT")
            with plain.connect() as connection:  # what is overwritten, SQLite fills with zeros
                busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar_one()
                if not busy:  # else another process reads: the next opening tries again
                    connection.exec_driver_sql(f"PRAGMA user_version={_CLEAN}")

    def _found(
        self, where: sa.ColumnElement[bool], limit: int, skipped: int
    ) -> tuple[AnswerRecord, ...]:
        query = (
            sa.select(_ANSWER.c.record)
            .where(where)
            .order_by(_ANSWER.c.asked_at.desc(), _ANSWER.c.result_id.desc())
            .limit(limit)
            .offset(skipped)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query).scalars().all()
        return tuple(found for row in rows if (found := _read(row)) is not None)


def _rewrite(connection: sa.Connection) -> None:
    """Write `IN_LIBRARY` into every row that names the study of a copy."""
    for name in connection.execute(sa.select(_ANSWER.c.result_id)).scalars().all():
        here = _ANSWER.c.result_id == name
        text = connection.execute(sa.select(_ANSWER.c.record).where(here)).scalar_one()
        try:
            record = json.loads(text)
        except ValueError:
            continue  # nobody reads it
        copies = [
            case
            for case in record.get("cases", ())
            if case.get("viewer_study_uid", "") not in ("", IN_LIBRARY, case.get("study_uid"))
        ]
        for case in copies:
            case["viewer_study_uid"] = IN_LIBRARY
        if copies:
            values = {"record": json.dumps(record, ensure_ascii=False, separators=(",", ":"))}
            connection.execute(sa.update(_ANSWER).where(here).values(values))


def _read(row: str) -> AnswerRecord | None:
    """Return an answer; None for one that another release has kept in another form."""
    try:
        return AnswerRecord.model_validate_json(row)
    except ValidationError:  # its message would print the record
        return None


def _sortable(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)
