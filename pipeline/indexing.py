"""A received study into the index: its PA wrists at once, its findings when a report is there."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.captions import captions
from pipeline.decoder import Decoder
from pipeline.errors import PASSING, DecodeError, RelevanceReportError, UnreadError
from pipeline.exam import Exam, RegionFindings
from pipeline.examination import Examiner
from pipeline.findings import WristReport, collapse, collapse_others
from pipeline.index import ExamIndex, Findings
from pipeline.joint_report import joint_report
from pipeline.mining import Miner, RulesMiner
from pipeline.record import Records
from pipeline.region import Laterality, Region, View
from pipeline.report import ReportText
from pipeline.returned_relevance import RelevanceDesk
from pipeline.stored_study import StoredImage
from pipeline.study import Study, StudyRelevance, read_study
from pipeline.uid import KeyedUids

__all__ = [
    "IndexedStudy",
    "Indexer",
    "JoinedFindings",
    "MinedStudy",
    "PlacedFile",
    "joined_findings",
]

_FLAGS_OF_FINDINGS = {"cast_or_splint": "cast", "hardware": "hardware"}


@dataclass(frozen=True)
class PlacedFile:
    """What a stored file became in the index.

    ``used_as`` is ``exam``, ``report`` or ``relevance``; where it is None, ``reason`` says why the
    file is of no use, in words without any value of it. ``view`` and ``side`` are an exam's.
    """

    sop_instance_uid: str
    version: int
    used_as: str | None = None
    view: str | None = None
    side: str | None = None
    reason: str | None = None

    def as_json(self) -> dict[str, str]:
        """Return what is kept with the receipt."""
        told = {"used_as": self.used_as, "view": self.view, "side": self.side}
        return {
            name: word for name, word in {**told, "reason": self.reason}.items() if word is not None
        }


@dataclass(frozen=True)
class IndexedStudy:
    """What became of a study's files.

    ``left_out`` counts the reasons for which files are not used; ``seconds`` adds up each stage.
    ``to_mine`` tells whether what its reports say has to be read (again). ``unused`` names, with
    the reason, what is labelled as something that the plugin never uses: it need not be kept.
    ``unread`` counts files that another try may read. ``placed`` tells of each file what became of
    it; ``rejections`` names what a rejection note withdraws, whether or not its file is kept, with
    the code of the reason.
    """

    exams: int
    reports: int
    left_out: Mapping[str, int]
    seconds: Mapping[str, float] = field(default_factory=dict)
    to_mine: bool = False
    unused: tuple[tuple[str, str], ...] = ()
    unread: int = 0
    placed: tuple[PlacedFile, ...] = ()
    rejections: Mapping[str, str] = field(default_factory=dict)

    @property
    def withdrawn(self) -> frozenset[str]:
        """SOP Instance UIDs that a rejection note withdraws."""
        return frozenset(self.rejections)

    @property
    def reason(self) -> str:
        """Why nothing was indexed, in words; empty where something was."""
        if self.exams:
            return ""
        if not self.left_out:
            return "no PA wrist radiograph: the study holds no image"
        return "no PA wrist radiograph: " + "; ".join(
            f"{number} × {reason}" for reason, number in self.left_out.items()
        )

    def as_json(self) -> dict[str, Any]:
        """Return the outcome that is kept with the job."""
        row: dict[str, Any] = {"exams": self.exams, "reports": self.reports}
        row["left_out"] = dict(self.left_out)
        row["seconds"] = {name: round(value, 4) for name, value in self.seconds.items()}
        return row | ({"reason": self.reason} if self.reason else {})


@dataclass(frozen=True)
class MinedStudy:
    """What mining a study's reports came to: exams that got findings, and findings dropped."""

    enriched: int
    dropped: int
    language: str

    def as_json(self) -> dict[str, Any]:
        """Return the outcome that is kept with the job."""
        return {"enriched": self.enriched, "dropped": self.dropped, "language": self.language}


class Indexer:
    """Puts studies into the index; doing it again replaces, never doubles.

    Threads may share one: reports are read side by side, what is found is joined in turn.

    Parameters
    ----------
    examiner, decoder
        Look at files.
    index
        Holds the exams.
    records
        Keeps findings with their evidence, apart from the index.
    miner
        Reads reports.
    uids
        Recognises the plugin's own objects.
    desk
        Takes in what readers say of matches; None where that is not taken.
    """

    def __init__(
        self,
        examiner: Examiner,
        decoder: Decoder,
        index: ExamIndex,
        records: Records,
        miner: Miner,
        uids: KeyedUids,
        desk: RelevanceDesk | None = None,
    ) -> None:
        self._desk = desk
        self._examiner = examiner
        self._decoder = decoder
        self._index = index
        self._records = records
        self._miner = miner
        self._uids = uids
        # findings are joined to exams here and there: neither may undo the other's
        self._joining = threading.Lock()

    def can_mine(self) -> bool:
        """Whether reports can be read now: not while what reads them is down."""
        return self._miner.ready

    @property
    def bundle_id(self) -> str:
        """The bundle whose index this puts studies into."""
        return self._index.bundle_id

    def index(
        self,
        study_uid: str,
        files: Sequence[StoredImage],
        file_gone: frozenset[str] = frozenset(),
        told: Sequence[ReportText] = (),
    ) -> IndexedStudy:
        """Index every PA wrist of a study; exams that are no longer in it are taken out.

        An exam whose file cannot be read this time stays as it was.

        Parameters
        ----------
        study_uid
            Study Instance UID.
        files
            The study's current files.
        file_gone
            SOP Instance UIDs whose files were deleted by age or are lost: their exams stay, unless
            a rejection note withdraws them.
        told
            The study's reports that came by other roads than DICOM, those that were withdrawn
            included: findings may rest on them.
        """
        study = self._read(study_uid, files, told)
        left_out = Counter(item.reason for item in study.left_out)
        seconds: Counter[str] = Counter()
        received = {file.path: file.received_at for file in files}
        unread = {item.path for item in study.left_out if item.passing}
        left = {item.path: item.reason for item in study.left_out}
        exams = []
        for image in study.images:
            try:
                seen = self._examiner.examine(image.path, image.header)
            except DecodeError as error:
                left[image.path] = f"it cannot be read: {error.reason.words}"
                left_out[left[image.path]] += 1
                unread |= {image.path} if error.reason in PASSING else set()
                continue
            seconds.update(seen.seconds)
            if not seen.accepted:
                left[image.path] = seen.reason
                left_out[seen.reason] += 1
                continue
            exam, spent = self._examiner.exam(
                seen, image.sop_instance_uid, received[image.path], datetime.now(UTC)
            )
            seconds.update(spent)
            exams.append(exam)
        refused = self._take_in(study)
        left |= {one.path: reason for one, reason in refused}
        left_out.update(reason for _, reason in refused)
        kept = file_gone | {file.sop_instance_uid for file in files if file.path in unread}
        with self._joining:
            self._replace(study_uid, self._with_findings(study_uid, exams), kept - study.withdrawn)
        unused = [(item.sop_instance_uid, item.reason) for item in study.left_out if item.unused]
        unused += [(one.sop_instance_uid, reason) for one, reason in refused]
        judged = frozenset(one.path for one in study.relevance)
        return IndexedStudy(
            exams=len(exams),
            reports=len(study.reports) + sum(bool(report.text) for report in told),
            left_out=dict(left_out),
            seconds=dict(seconds),
            to_mine=bool(study.reports or study.withdrawn or told),
            unused=tuple(unused),
            unread=len(unread),
            placed=tuple(_placed(files, exams, left, judged)),
            rejections=study.rejections,
        )

    def mine(
        self,
        study_uid: str,
        files: Sequence[StoredImage],
        told: Sequence[ReportText] = (),
        *,
        by_rules: bool = False,
    ) -> MinedStudy:
        """Read every current report of a study and give the findings to its exams, side by side.

        Parameters
        ----------
        study_uid, files, told
            As for `index`.
        by_rules
            Where a language model's answers on this report are no use, the rules read it after
            all; the record tells, so that it can be read again.

        Raises
        ------
        AnswerError, LanguageModelUnavailableError
            Of the language model, where that is what reads.
        UnreadError
            Where no report is found, and a file that may be one cannot be read this time.
        """
        study = self._read(study_uid, files, told)
        texts = [report.text for report in study.current]
        if not texts and any(item.passing for item in study.left_out):
            raise UnreadError
        miner = RulesMiner() if by_rules else self._miner
        ages = [e.age_years for e in self._index.exams(study_uid) if e.age_years is not None]
        report = joint_report([miner.mine(text, min(ages, default=None)) for text in texts])
        with self._joining:
            enriched = self._enrich(study_uid, report, miner, "\n\n".join(texts))
        read = report or WristReport()
        return MinedStudy(enriched, read.dropped, read.language)

    def _take_in(self, study: Study) -> list[tuple[StudyRelevance, str]]:
        """Keep what readers say of matches; return what cannot be used, with the reason."""
        refused = []
        for one in study.relevance:
            if self._desk is None:
                continue
            try:
                self._desk.take(one.header)
            except RelevanceReportError as error:
                refused.append((one, str(error)))
        return refused

    def _enrich(self, study_uid: str, report: WristReport | None, miner: Miner, text: str) -> int:
        """Keep what was read with the words that support it, and give it to the exams."""
        if report is None:
            self._records.forget(study_uid)
        else:
            self._records.keep(study_uid, report, f"{miner.name} {miner.version}", text)
        enriched = 0
        for exam in self._enriched(self._index.exams(study_uid), report):
            enriched += self._index.set_findings(
                exam.sop_instance_uid,
                Findings(exam.findings, exam.captions, exam.other, exam.flags, exam.findings_known),
            )
        return enriched

    def _read(
        self, study_uid: str, files: Sequence[StoredImage], told: Sequence[ReportText]
    ) -> Study:
        paths = [file.path for file in files]
        return read_study(study_uid, paths, self._decoder, self._uids.is_own, told)

    def _replace(self, study_uid: str, exams: Sequence[Exam], kept: frozenset[str]) -> None:
        current = {exam.sop_instance_uid for exam in exams} | kept
        gone = [
            exam.sop_instance_uid
            for exam in self._index.exams(study_uid)
            if exam.sop_instance_uid not in current
        ]
        if exams:
            self._index.upsert(exams)
        if gone:
            self._index.remove(gone)

    def _with_findings(self, study_uid: str, exams: Sequence[Exam]) -> tuple[Exam, ...]:
        record = self._records.of(study_uid)
        return self._enriched(exams, None if record is None else record.report)

    def _enriched(self, exams: Sequence[Exam], report: WristReport | None) -> tuple[Exam, ...]:
        joined = joined_findings([(exam.stated_side, exam.view) for exam in exams], report)
        known = report is not None
        return tuple(_with(*pair, known=known) for pair in zip(exams, joined, strict=True))


def _placed(
    files: Sequence[StoredImage],
    exams: Sequence[Exam],
    left: Mapping[Path, str],
    judged: frozenset[Path],
) -> Iterator[PlacedFile]:
    """Tell of every file what became of it: what is nothing else, nor left out, is a report."""
    by_uid = {exam.sop_instance_uid: exam for exam in exams}
    for file in files:
        uid, version = file.sop_instance_uid, file.version
        if file.path in left:
            yield PlacedFile(uid, version, reason=left[file.path])
        elif uid in by_uid:
            view, side = by_uid[uid].view.value, by_uid[uid].laterality.value
            yield PlacedFile(uid, version, "exam", view, side)
        else:
            yield PlacedFile(uid, version, "relevance" if file.path in judged else "report")


@dataclass(frozen=True)
class JoinedFindings:
    """What a study's report says of one of its images, and the captions that say so."""

    findings: Mapping[Region, RegionFindings]
    other: tuple[str, ...]
    captions: Mapping[str, str]


def joined_findings(
    images: Sequence[tuple[Laterality, View]], report: WristReport | None
) -> tuple[JoinedFindings, ...]:
    """Give each accepted image of one study the findings of its own side.

    Parameters
    ----------
    images
        Side and view of every image that is accepted: a finding whose side is unknown joins none
        where the study shows both.
    report
        What the study's reports say together; None where there is none yet.
    """
    sides = {laterality for laterality, _ in images}
    # several images of unknown side might be of both
    one_sided = len(sides) == 1 and (Laterality.UNKNOWN not in sides or len(images) == 1)
    joined = []
    for laterality, view in images:
        findings: Mapping[Region, RegionFindings] = {}
        other: tuple[str, ...] = ()
        if report is not None:
            findings = collapse(report, laterality, one_sided=one_sided)
            other = collapse_others(report, laterality, one_sided=one_sided)
        words = captions(laterality, view, findings, other)
        joined.append(JoinedFindings(findings, other, words))
    return tuple(joined)


def _with(exam: Exam, joined: JoinedFindings, *, known: bool) -> Exam:
    own_flags = tuple(f for f in exam.flags if f not in _FLAGS_OF_FINDINGS.values())
    told = tuple(_FLAGS_OF_FINDINGS[name] for name in joined.other if name in _FLAGS_OF_FINDINGS)
    return replace(
        exam,
        findings=joined.findings,
        captions=joined.captions,
        other=joined.other,
        flags=(*own_flags, *told),
        findings_known=known,
    )
