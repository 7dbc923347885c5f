"""An indexed study and a request into result sets that wait in the outbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from pipeline.answer_record import AnswerRecord, AnswerRecords, Shown
from pipeline.decoder import Decoder
from pipeline.dictionary import dictionary
from pipeline.errors import DecodeError, PictureWithheldError, PriorRejectedError, RequestError
from pipeline.exam import Exam
from pipeline.examination import Examiner
from pipeline.index import ExamIndex
from pipeline.library import Library, Originals
from pipeline.outbox import Outbox
from pipeline.radiograph import radiograph
from pipeline.reference import PriorReference
from pipeline.region import Region
from pipeline.request import Answer, Request
from pipeline.result_set import assert_sendable, build, referenced_instances
from pipeline.retrieval import Retriever
from pipeline.settings import ResultSettings
from pipeline.stage_clock import StageClock
from pipeline.stored_study import StoredImage
from pipeline.uid import KeyedUids
from pipeline.wording import BundleWords, wanted_words

__all__ = ["Answered", "Answerer"]


@dataclass(frozen=True, eq=False)
class Answered:
    """The answers about one study, one for each PA radiograph, and their result sets' names.

    ``seconds`` tells how long each stage took.
    """

    answers: tuple[Answer, ...] = ()
    result_ids: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(eq=False)
class _Priors:
    """What is shown and referenced of the priors of one answer."""

    references: dict[str, PriorReference] = field(default_factory=dict)
    pictures: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    copies: list[Dataset] = field(default_factory=list)
    shown: dict[str, Shown] = field(default_factory=dict)
    withheld: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Answerer:
    """Answers requests and builds their result sets.

    Parameters
    ----------
    index, retriever
        Where exams are, and how the similar ones are found.
    examiner, decoder
        Look at files: the query's, and the priors' for board and library copies.
    uids
        Give every object a UID that depends on the job alone: a step that runs twice makes the
        same objects.
    library
        Makes the copies of priors, and knows which are at their destination.
    outbox
        Takes the result sets.
    records
        Keep what was answered, for the pages.
    words
        What a result says of the models.
    references
        ``library``: copies; ``original``: the priors themselves.
    board_width
        Of the picture board, in pixels.
    settings
        Which objects answer a request, and in which language.
    """

    index: ExamIndex
    retriever: Retriever
    examiner: Examiner
    decoder: Decoder
    uids: KeyedUids
    library: Library
    outbox: Outbox
    records: AnswerRecords
    words: BundleWords
    references: Literal["library", "original"]
    board_width: int = 2048
    settings: ResultSettings = field(default_factory=ResultSettings)

    def answer(
        self,
        named: str,
        study_uid: str,
        files: Sequence[StoredImage],
        originals: Originals,
        request: Request,
        asked_at: datetime,
    ) -> Answered:
        """Answer for every PA radiograph of an indexed study; results go to the outbox.

        Parameters
        ----------
        named
            Name of the job, from which the names of the result sets are made.
        study_uid
            The study asked about.
        files
            Its current files: patient and study identity are taken from them.
        originals
            Finds the files of priors.
        request
            What was asked.
        asked_at
            Timezone-aware time of the request: the results' content time.
        """
        by_uid = {file.sop_instance_uid: file for file in files}
        answers, names, clock = [], [], StageClock()
        for number, exam in enumerate(self.index.exams(study_uid), 1):
            stored = by_uid.get(exam.sop_instance_uid)
            if stored is None:
                continue
            answer = self.retriever.answer(exam, request, asked_at, further=True)
            clock.lap("retrieval")
            # a job's number alone comes again after a restore from backup
            once = self.uids.name("result set", exam.sop_instance_uid, asked_at.isoformat())
            name = f"{named}-{number}-{once}"
            self._put(name, answer, stored, originals, asked_at, clock)
            answers.append(answer)
            names.append(name)
        return Answered(tuple(answers), tuple(names), clock.seconds)

    def is_answered(
        self, study_uid: str, files: Sequence[StoredImage], regions: Sequence[Region]
    ) -> bool:
        """Tell whether each PA radiograph of a study, as it is now, has results for these bones.

        Parameters
        ----------
        files
            The study's current files; what is not among them cannot be answered for.
        """
        by_uid = {file.sop_instance_uid: file for file in files}
        wanted = {region.value for region in regions}
        current = (by_uid.get(exam.sop_instance_uid) for exam in self.index.exams(study_uid))
        return all(
            any(
                wanted <= set(made.regions) and made.created_at >= file.received_at
                for made in self.outbox.about(file.sop_instance_uid)
            )
            for file in current
            if file is not None
        )

    def find(self, study_uid: str, request: Request, asked_at: datetime) -> tuple[Answer, ...]:
        """Answer without making results: for the command line."""
        exams = self.index.exams(study_uid)
        return tuple(self.retriever.answer(exam, request, asked_at) for exam in exams)

    def find_file(
        self, path: Path, request: Request, asked_at: datetime
    ) -> tuple[tuple[Answer, ...], str]:
        """Answer for a file that is not indexed and will not be; with the reason if there is none.

        Raises
        ------
        RequestError
            Where the file is gone: the question was answered before.
        """
        if not path.is_file():
            message = "The file that was asked about is no longer there."
            raise RequestError(message)
        try:
            seen = self.examiner.examine(path)
        except DecodeError as error:
            return (), str(error)
        if not seen.accepted:
            return (), seen.reason
        header = seen.radiograph.header
        uid = "" if header is None else str(header.get("SOPInstanceUID", ""))
        exam, _ = self.examiner.exam(seen, uid, asked_at, datetime.now(UTC))
        return (self.retriever.answer(exam, request, asked_at),), ""

    def guard(
        self,
        results: Sequence[Path],
        copies: Sequence[Path],
        query: StoredImage,
        received: Callable[[str], bool],
    ) -> None:
        """Check once more, right before sending, whose results these are and what they refer to.

        Parameters
        ----------
        results, copies
            A result set's files in the outbox.
        query
            The image that was asked about, as received.
        received
            Whether an instance of this UID ever came from the PACS: with ``references =
            "original"`` it is there by the site's own word.

        Raises
        ------
        IdentityError
            Where a result is not of the query's patient and study.
        PriorRejectedError
            Where a copy was withdrawn since, for its prior was rejected.
        ResultError
            Where it refers to something that the destination neither has nor gets first.
        """
        header = self.decoder.header(query.path)
        uid = query.sop_instance_uid
        # any earlier report: between answer and delivery another one may have become the latest
        fetchable = {uid, *map(_uid, copies), *self.outbox.reports(uid)}
        if self.library.is_withdrawn(map(_uid, copies)):
            raise PriorRejectedError
        for path in results:
            result = dcmread(path, stop_before_pixels=True)
            others = referenced_instances(result) - fetchable
            there = set(filter(received, others))
            if self.references == "library":
                crosswalk, where = self.library.crosswalk, self.library.destination
                missing = set(crosswalk.missing(others, where))
                if self.library.is_withdrawn(others):
                    raise PriorRejectedError
                there = set(others) - missing
            assert_sendable(result, header, fetchable | there)

    def referring(self, results: Sequence[Path]) -> AbstractContextManager[None]:
        """Hold the library copies that results refer to; see `pipeline.sendings.Sendings`."""
        documents = [dcmread(path, stop_before_pixels=True) for path in results]
        referred = {uid for document in documents for uid in referenced_instances(document)}
        return self.library.sendings.referring(filter(self.library.uids.is_own, referred))

    def sending(
        self, copies: Sequence[Path], *, are_kept: bool = True
    ) -> AbstractContextManager[None]:
        """Hold library copies as being sent; see `pipeline.library.Library.sending`."""
        return self.library.sending(map(_uid, copies), are_kept=are_kept)

    def copies(self, study_uid: str, originals: Originals) -> Sequence[Dataset]:
        """Make the library copies of an indexed study that their destination has not got."""
        return self.library.missing_copies(self.index.exams(study_uid), originals)

    def _put(
        self,
        name: str,
        answer: Answer,
        stored: StoredImage,
        originals: Originals,
        asked_at: datetime,
        clock: StageClock,
    ) -> None:
        header = self.decoder.header(stored.path)
        query = radiograph(self.decoder, stored.path, header)
        query_uid, regions = answer.query.sop_instance_uid, answer.request.regions
        clock.lap("query picture")
        priors = self._priors(answer, originals)
        clock.lap("priors")
        results = build(
            answer,
            header,
            query.pixels,
            priors.references,
            priors.pictures,
            bundle=self.words,
            uids=self.uids,
            result_id=name,
            created_at=asked_at,
            predecessor=self.outbox.predecessor(query_uid, name, regions),
            board_width=self.board_width,
            settings=self.settings,
            clock=clock,
            withheld=priors.withheld,
        )
        # first: what is delivered can be looked up
        shown = {query_uid: Shown(stored.version, pictured=True), **priors.shown}
        language = dictionary(self.settings.language)
        wanted = wanted_words(answer.request, language)
        record = AnswerRecord.of(name, answer, shown, self.words, wanted, language)
        self.records.keep(record)
        self.outbox.put(
            name,
            query_uid,
            self.library.missing(priors.copies),
            results,
            asked_at,
            regions,
            refers=[str(copy.SOPInstanceUID) for copy in priors.copies],
        )
        clock.lap("outbox")

    def _priors(self, answer: Answer, originals: Originals) -> _Priors:
        """Collect what may be shown of each prior; one whose file is gone is listed without."""
        priors = _Priors()
        for exam in answer.priors:
            stored = originals(exam.sop_instance_uid)
            if stored is None:
                continue
            try:
                self._add(exam, stored, priors)
            # the match stays in the list, without picture and reference
            except DecodeError:
                continue
            except PictureWithheldError as error:
                priors.withheld[exam.sop_instance_uid] = error.kind
        return priors

    def _add(self, exam: Exam, stored: StoredImage, priors: _Priors) -> None:
        header = self.decoder.header(stored.path)
        pixels = self.decoder.pixels(stored.path)
        picture = radiograph(self.decoder, stored.path, header, pixels).pixels
        withheld = self.library.withheld(stored, header, pixels.array, picture)
        uid = exam.sop_instance_uid
        if self.references == "original":
            priors.references[uid] = PriorReference.to_original(exam)
        elif withheld is not None:
            raise PictureWithheldError(withheld.reason, withheld.value)
        else:
            copy = self.library.copy(exam, stored, header, pixels.array)
            priors.references[uid] = PriorReference.to_copy(exam, copy)
            priors.copies.append(copy)
        priors.shown[uid] = Shown(stored.version, withheld is None, priors.references[uid])
        if withheld is None:
            priors.pictures[uid] = picture


def _uid(path: Path) -> str:
    return str(dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
