"""The index behind a Qdrant server, for several workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException

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

__all__ = ["ServerIndex"]

_PAGE: Final = 256


class ServerIndex(ExamIndex):
    """The index on a Qdrant server.

    One collection for each bundle, named ``<alias>-<bundle id>``; the alias names the live one
    and is moved by `activate`. A process always reads and writes its own bundle's collection, so
    that a move of the alias never lets it compare vectors of two bundles.

    The collection has one shard: a prefetch limit is per shard, so a second shard would make the
    pool another one than the paper's.

    Parameters
    ----------
    client
        Closed with the index.
    bundle_id
        The bundle whose models make the vectors. The first bundle behind an alias becomes live.
    alias
        Name of the index on the server.
    size
        Numbers in a vector.

    Raises
    ------
    IndexUnavailableError
        Where the server cannot be reached or the collection is of another vector size.
    BundleError
        Where the bundle id cannot name a collection.
    """

    def __init__(
        self, client: QdrantClient, bundle_id: str, alias: str = "wristmir", size: int = 512
    ) -> None:
        self._client = client
        self._bundle_id = checked_bundle(bundle_id)
        self._alias = alias
        self._collection = f"{alias}-{bundle_id}"
        self._size = size
        self._prepare()
        if self.live(client, alias) is None:
            self.activate()

    @property
    def bundle_id(self) -> str:
        """The bundle whose models made the vectors."""
        return self._bundle_id

    @staticmethod
    def live(client: QdrantClient, alias: str) -> str | None:
        """Return the id of the live bundle behind an alias, or None where there is none yet."""
        with _server("reading the alias"):
            aliases = client.get_aliases().aliases
        live = [a.collection_name for a in aliases if a.alias_name == alias]
        return live[0].removeprefix(f"{alias}-") if live else None

    def upsert(self, exams: Iterable[Exam]) -> None:
        """Put exams in, replacing those of the same SOP Instance UID as a whole."""
        points = [
            models.PointStruct(
                id=str(exam.id),
                vector=dict(checked_vectors(exam, self._bundle_id, self._size)),
                payload=payload(exam),
            )
            for exam in exams
        ]
        if points:
            with _server("writing"):
                self._client.upsert(self._collection, points, wait=True)

    def remove(self, sop_instance_uids: Iterable[str]) -> None:
        """Take exams out; one that is not there is no error."""
        ids: list[models.ExtendedPointId] = [str(exam_id(uid)) for uid in sop_instance_uids]
        if ids:
            with _server("removing"):
                self._client.delete(self._collection, models.PointIdsList(points=ids), wait=True)

    def set_findings(self, sop_instance_uid: str, findings: Findings) -> bool:
        """Replace what is known from the report, leaving the vectors; False: no such exam."""
        point = str(exam_id(sop_instance_uid))
        with _server("writing findings"):
            known = bool(self._client.retrieve(self._collection, [point], with_payload=False))
            if known:
                self._client.set_payload(
                    self._collection, findings_payload(findings), points=[point], wait=True
                )
        return known

    def exams(self, study_instance_uid: str) -> tuple[Exam, ...]:
        """Return a study's exams with their vectors, ordered by SOP Instance UID."""
        of_study = models.Filter(must=[_word("study_instance_uid", study_instance_uid)])
        found: list[Exam] = []
        offset: Any = None
        while True:
            with _server("reading a study"):
                page, offset = self._client.scroll(
                    self._collection, of_study, _PAGE, offset=offset, with_vectors=True
                )
            found += [_read(record) for record in page]
            if offset is None:
                return tuple(sorted(found, key=lambda exam: exam.sop_instance_uid))

    def fetch(self, ids: Sequence[UUID], *, vectors: bool = True) -> Mapping[UUID, Exam]:
        """Return exams by point id, with their vectors if wanted; one not there is left out."""
        if not ids:
            return {}
        with _server("reading exams"):
            records = self._client.retrieve(
                self._collection, [str(point) for point in ids], with_vectors=vectors
            )
        return {UUID(str(record.id)): _read(record) for record in records}

    def search(self, search: Search) -> Mapping[UUID, Mapping[str, float]]:
        """Draw a pool and score its members: one batched call of the Query API."""
        names = list(search.vectors)
        with _server("searching"):
            answers = self._client.query_batch_points(
                self._collection, [_scored_by(name, search) for name in names]
            )
        scores: dict[UUID, dict[str, float]] = {}
        for name, answer in zip(names, answers, strict=True):
            for hit in answer.points:
                scores.setdefault(UUID(str(hit.id)), {})[name] = float(hit.score)
        return scores

    def count(self, where: ExamFilter = EVERY) -> int:
        """Count the exams that pass a filter."""
        with _server("counting"):
            return self._client.count(
                self._collection, count_filter=_filter(where), exact=True
            ).count

    def activate(self) -> None:
        """Move the alias to this bundle's collection: both steps are one atomic request."""
        moves: list[models.AliasOperations] = []
        if self.live(self._client, self._alias) is not None:
            old = models.DeleteAlias(alias_name=self._alias)
            moves.append(models.DeleteAliasOperation(delete_alias=old))
        new = models.CreateAlias(collection_name=self._collection, alias_name=self._alias)
        moves.append(models.CreateAliasOperation(create_alias=new))
        with _server("moving the alias"):
            self._client.update_collection_aliases(moves)

    def close(self) -> None:
        """Close the client; closing twice is no error."""
        with _server("closing"):
            self._client.close()

    def _prepare(self) -> None:
        with _server("opening the collection"):
            if not self._client.collection_exists(self._collection):
                self._create()
            vectors = self._client.get_collection(self._collection).config.params.vectors
            if not isinstance(vectors, dict) or {
                name: vector.size for name, vector in vectors.items()
            } != dict.fromkeys(NAMES, self._size):
                message = (
                    f"Collection {self._collection!r} does not hold the vectors "
                    f"{', '.join(NAMES)} of {self._size} numbers: choose another alias."
                )
                raise IndexUnavailableError(message)
            for name in KEYWORDS:
                self._index_payload(name, models.PayloadSchemaType.KEYWORD)
            for name in NUMBERS:
                self._index_payload(name, models.PayloadSchemaType.FLOAT)

    def _create(self) -> None:
        def vector(name: str) -> models.VectorParams:
            # m=0: no graph, because a bone's vector only reranks a pool
            graph = models.HnswConfigDiff(m=16 if name == GLOBAL else 0, ef_construct=128)
            return models.VectorParams(
                size=self._size, distance=models.Distance.COSINE, hnsw_config=graph
            )

        try:
            self._client.create_collection(
                self._collection,
                vectors_config={name: vector(name) for name in NAMES},
                shard_number=1,
            )
        except ApiException:
            # another worker may have made it between the look and the making
            if not self._client.collection_exists(self._collection):
                raise

    def _index_payload(self, name: str, schema: models.PayloadSchemaType) -> None:
        self._client.create_payload_index(self._collection, name, schema, wait=True)


def _read(record: models.Record) -> Exam:
    vectors = record.vector if isinstance(record.vector, dict) else {}
    return exam_of(record.payload or {}, vectors)


def _scored_by(name: str, search: Search) -> models.QueryRequest:
    """Return the query that scores the pool by one vector."""
    nearest = search.vectors[name].tolist()
    where = _filter(search.where)
    if list(search.draws) == [name]:  # the pool is drawn by what scores it: one stage
        return models.QueryRequest(query=nearest, using=name, limit=search.limit, filter=where)
    pool = [
        models.Prefetch(
            query=search.vectors[drawn].tolist(), using=drawn, limit=limit, filter=where
        )
        for drawn, limit in search.draws.items()
    ]
    return models.QueryRequest(query=nearest, using=name, limit=search.limit, prefetch=pool)


def _filter(where: ExamFilter) -> models.Filter:
    must: list[models.Condition] = [_word(key, value) for key, value in where.must]
    if where.ages is not None:
        low, high = where.ages
        ages = models.Range(gte=low, lte=high)
        must.append(models.FieldCondition(key="age_years", range=ages))
    must_not: list[models.Condition] = [_word(key, value) for key, value in where.must_not]
    if where.not_exam is not None:
        must_not.append(models.HasIdCondition(has_id=[str(exam_id(where.not_exam))]))
    return models.Filter(must=must, must_not=must_not)


def _word(key: str, value: str) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


@contextmanager
def _server(doing: str) -> Iterator[None]:
    """Turn what the client raises into IndexUnavailableError, without its words.

    An answer of the server may quote a payload, so only its kind is kept. RuntimeError is the
    in-memory client's word for "closed"; OSError covers what the transport does not wrap.
    """
    try:
        yield
    except (ApiException, OSError, RuntimeError) as error:
        message = (
            f"The Qdrant server failed while {doing} ({type(error).__name__}): "
            "check that it runs, its address and its key."
        )
        raise IndexUnavailableError(message) from None
