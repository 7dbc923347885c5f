"""The index in this process: Qdrant's embedded engine on a folder."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import qdrant_edge as qe

from pipeline.disk import sync_folder, write_whole
from pipeline.errors import IndexUnavailableError
from pipeline.exam import Exam, exam_id
from pipeline.index import (
    EVERY,
    KEYWORDS,
    NAMES,
    NUMBERS,
    ExamFilter,
    ExamIndex,
    Findings,
    Search,
    checked_bundle,
    checked_vectors,
)
from pipeline.payload import exam_of, findings_payload, payload
from pipeline.region import GLOBAL

__all__ = ["EdgeIndex"]

_POINTER: Final = "live"
_PAGE: Final = 256


class EdgeIndex(ExamIndex):
    """The index on Qdrant's embedded engine: the default, no server needed.

    One process owns a bundle's index: a lock file says so, and a second process is refused at
    once. Layout of the folder::

        live               pointer: the id of the live bundle, replaced atomically
        locks/<bundle>     held with flock while a process owns the bundle's index
        bundles/<bundle>/  the engine's own files

    An upsert, removal or change of findings is in the engine's write-ahead log and flushed to
    disk when the method returns (about 15 ms a call: hand exams over a study at a time).

    A search compares every vector, so its answers are exact, until `optimize` has built a graph.

    Parameters
    ----------
    folder
        Made where it does not exist, readable by its owner only.
    bundle_id
        The bundle whose models make the vectors. The first bundle of a folder becomes live.
    size
        Numbers in a vector.

    Raises
    ------
    IndexUnavailableError
        Where another process owns the index, or its files are damaged or of another vector size.
    BundleError
        Where the bundle id cannot name a folder.
    """

    def __init__(self, folder: Path, bundle_id: str, size: int = 512) -> None:
        self._bundle_id = checked_bundle(bundle_id)
        self._folder = folder
        self._size = size
        for part in (folder, folder / "bundles", folder / "locks"):
            part.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock: int | None = _owned(folder / "locks" / bundle_id)
        try:
            self._shard = _opened(folder / "bundles" / bundle_id, size)
            if self.live(folder) is None:
                self.activate()
        except BaseException:
            self._release()
            raise

    @property
    def bundle_id(self) -> str:
        """The bundle whose models made the vectors."""
        return self._bundle_id

    @staticmethod
    def live(folder: Path) -> str | None:
        """Return the id of the folder's live bundle, or None where there is none yet."""
        try:
            return (folder / _POINTER).read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return None

    def upsert(self, exams: Iterable[Exam]) -> None:
        """Put exams in, replacing those of the same SOP Instance UID as a whole."""
        points: list[Any] = [
            qe.Point(
                exam.id, dict(checked_vectors(exam, self._bundle_id, self._size)), payload(exam)
            )
            for exam in exams
        ]
        if points:
            self._update(qe.UpdateOperation.upsert_points(points))

    def remove(self, sop_instance_uids: Iterable[str]) -> None:
        """Take exams out; one that is not there is no error."""
        ids: list[Any] = [exam_id(uid) for uid in sop_instance_uids]
        if ids:
            self._update(qe.UpdateOperation.delete_points(ids))

    def set_findings(self, sop_instance_uid: str, findings: Findings) -> bool:
        """Replace what is known from the report, leaving the vectors; False: no such exam."""
        point = exam_id(sop_instance_uid)
        # the engine refuses a payload for a point that it does not have
        with _engine("looking up an exam"):
            known = bool(self._shard.retrieve([point], False, False))
        if known:
            self._update(qe.UpdateOperation.set_payload([point], findings_payload(findings)))
        return known

    def exams(self, study_instance_uid: str) -> tuple[Exam, ...]:
        """Return a study's exams with their vectors, ordered by SOP Instance UID."""
        of_study = qe.Filter(must=[_word("study_instance_uid", study_instance_uid)])
        found: list[Exam] = []
        offset: UUID | None = None
        with _engine("reading a study"):
            while True:
                page, offset = self._shard.scroll(
                    qe.ScrollRequest(offset, _PAGE, of_study, with_payload=True, with_vector=True)
                )
                found += [exam_of(record.payload, record.vector) for record in page]
                if offset is None:
                    return tuple(sorted(found, key=lambda exam: exam.sop_instance_uid))

    def fetch(self, ids: Sequence[UUID], *, vectors: bool = True) -> Mapping[UUID, Exam]:
        """Return exams by point id, with their vectors if wanted; one not there is left out."""
        with _engine("reading exams"):
            records = self._shard.retrieve(list(ids), True, vectors)
            return {
                _uuid(record.id): exam_of(record.payload, record.vector or {}) for record in records
            }

    def search(self, search: Search) -> Mapping[UUID, Mapping[str, float]]:
        """Draw a pool and score its members: one batch, planned by the engine as a whole."""
        names = list(search.vectors)
        with _engine("searching"):
            answers = self._shard.query_batch(
                qe.QueryBatchRequest([_scored_by(name, search) for name in names])
            )
        scores: dict[UUID, dict[str, float]] = {}
        for name, hits in zip(names, answers, strict=True):
            for hit in hits:
                scores.setdefault(_uuid(hit.id), {})[name] = float(hit.score)
        return scores

    def count(self, where: ExamFilter = EVERY) -> int:
        """Count the exams that pass a filter."""
        with _engine("counting"):
            return int(self._shard.count(qe.CountRequest(exact=True, filter=_filter(where))))

    def activate(self) -> None:
        """Make this bundle the folder's live one, in one atomic step."""
        write_whole(self._folder / _POINTER, f"{self._bundle_id}\n")

    def optimize(self) -> bool:
        """Build the HNSW graph of ``global`` and merge segments; True where something was built.

        The engine keeps Python's interpreter lock while it builds (11 s for 17,500 exams on two
        cores, minutes for 100,000): nothing else in this process runs meanwhile, so it belongs
        into a command of its own. Never needed for a right answer.
        """
        with _engine("optimizing"):
            return bool(self._shard.optimize())

    def close(self) -> None:
        """Flush, close the engine and let go of the lock; closing twice is no error."""
        if self._lock is None:
            return
        try:
            with _engine("closing"):
                self._shard.close()
        finally:
            self._release()

    def _update(self, operation: Any) -> None:
        with _engine("writing"):
            self._shard.update(operation)
            self._shard.flush()

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)  # closing lets go of the flock
            self._lock = None


def _owned(path: Path) -> int:
    """Return the descriptor of a lock file that this process now holds."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        message = (
            f"Another process owns the index {path.name!r} in {path.parent.parent}: stop it, or "
            "ask it through the ledger. Only one process can open the embedded engine."
        )
        raise IndexUnavailableError(message) from None
    return descriptor


def _opened(folder: Path, size: int) -> Any:
    """Open a bundle's shard; a new one is made beside and renamed, so none is ever half made."""
    if not folder.exists():
        new = folder.with_name(f".new-{folder.name}")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        with _engine("making the index"):
            shard = qe.EdgeShard.create(str(new), _config(size))
            for operation in _payload_indexes():
                shard.update(operation)
            shard.flush()
            shard.close()
        new.replace(folder)
        sync_folder(folder.parent)
    with _engine(
        f"opening {folder} for vectors of {size} numbers (where its files are damaged or of "
        "another size, move the folder away and index the studies again)"
    ):
        return qe.EdgeShard.load(str(folder), _config(size))


def _config(size: int) -> Any:
    def vector(name: str) -> Any:
        # m=0: no graph, because a bone's vector only reranks a pool
        graph = qe.HnswIndexConfig(
            m=16 if name == GLOBAL else 0, ef_construct=128, full_scan_threshold=10_000
        )
        return qe.EdgeVectorParams(size=size, distance=qe.Distance.Cosine, hnsw_config=graph)

    return qe.EdgeConfig(vectors={name: vector(name) for name in NAMES}, wal_enabled=True)


def _payload_indexes() -> Iterator[Any]:
    for name in KEYWORDS:
        yield qe.UpdateOperation.create_field_index(name, qe.PayloadSchemaType.Keyword)
    for name in NUMBERS:
        yield qe.UpdateOperation.create_field_index(name, qe.PayloadSchemaType.Float)


def _scored_by(name: str, search: Search) -> Any:
    """Return the query that scores the pool by one vector."""
    nearest = qe.Query.Nearest(search.vectors[name].tolist(), using=name)
    if list(search.draws) == [name]:  # the pool is drawn by what scores it: one stage
        return qe.QueryRequest(limit=search.limit, query=nearest, filter=_filter(search.where))
    pool = [
        qe.Prefetch(
            limit=limit,
            query=qe.Query.Nearest(search.vectors[drawn].tolist(), using=drawn),
            filter=_filter(search.where),
        )
        for drawn, limit in search.draws.items()
    ]
    return qe.QueryRequest(limit=search.limit, query=nearest, prefetches=pool)


def _filter(where: ExamFilter) -> Any:
    must = [_word(key, value) for key, value in where.must]
    if where.ages is not None:
        low, high = where.ages
        must.append(qe.FieldCondition("age_years", range=qe.RangeFloat(gte=low, lte=high)))
    must_not = [_word(key, value) for key, value in where.must_not]
    if where.not_exam is not None:
        must_not.append(qe.HasIdCondition({exam_id(where.not_exam)}))
    return qe.Filter(must=must, must_not=must_not)


def _word(key: str, value: str) -> Any:
    return qe.FieldCondition(key, match=qe.MatchValue(value))


def _uuid(point: Any) -> UUID:
    return point if isinstance(point, UUID) else UUID(str(point))


@contextmanager
def _engine(doing: str) -> Iterator[None]:
    """Turn what the engine raises into IndexUnavailableError, without its words.

    The engine raises plain ``Exception``, whose text may quote a payload; only the number of an
    operating system's error is taken from it. Damaged files make it panic, which is a class beside
    ``Exception`` that no module names. Any other class is not the engine's and passes as it is.
    """
    try:
        yield
    except BaseException as error:
        if type(error) is not Exception and type(error).__name__ != "PanicException":
            raise
        number = re.search(r"os error (\d+)", str(error))
        reason = f": {os.strerror(int(number[1]))}." if number else "."
        message = f"The embedded engine failed while {doing}{reason}"
        raise IndexUnavailableError(message) from None
