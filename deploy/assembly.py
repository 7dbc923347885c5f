"""The composition root of the working half: every part of the pipeline, joined."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from deploy.decoding import decoder_limits
from deploy.miner import open_miner
from deploy.settings import Settings
from deploy.state import open_answers, open_crosswalk, open_feedback, open_outbox
from listener.audit import Audit
from listener.ledger import Ledger
from pipeline.answering import Answerer
from pipeline.bundle import Bundle
from pipeline.crosswalk import Crosswalk, LibraryCopy, LookedUp
from pipeline.decoder import Decoder
from pipeline.disk import write_whole
from pipeline.edge_index import EdgeIndex
from pipeline.errors import BundleError
from pipeline.examination import Examiner
from pipeline.index import ExamIndex, checked_bundle
from pipeline.indexing import Indexer
from pipeline.library import Library
from pipeline.record import Records
from pipeline.request import Mode, Request
from pipeline.retrieval import Retriever
from pipeline.returned_relevance import RelevanceDesk
from pipeline.sendings import Sendings
from pipeline.uid import KeyedUids
from pipeline.wording import BundleWords
from pipeline.worker import KINDS, WITHDRAW, Delivery, Worker, uploads_dir

__all__ = ["open_index", "open_indexer", "open_records", "open_worker", "refuse_namesake"]

_LOG = logging.getLogger("wristmir.service")


@contextmanager
def open_worker(
    settings: Settings, ledger: Ledger, key: bytes, audit: Audit | None = None
) -> Iterator[Worker]:
    """Build a worker with everything it needs, and take it apart again.

    `audit` is told what it sends and looks up; it stays the caller's to start and stop.

    Raises
    ------
    BundleError
        Where the models cannot be trusted.
    IndexUnavailableError
        Where another process owns the index, or its server cannot be reached.
    KeyFileError
        Where the crosswalk's key is lost, or another one.
    LedgerError
        Where another process works on the ledger with an embedded index of its own.
    PromptError
        Where the configured prompt for the language model cannot be used.
    """
    state, pipeline = settings.state_dir, settings.pipeline
    bundle = Bundle.load(settings.bundle, threads=pipeline.threads)
    _LOG.info("bundle %s", bundle.id)
    uids = KeyedUids(key)
    audit = audit or Audit.off()
    with ExitStack() as stack:
        decoder = stack.enter_context(Decoder(decoder_limits(settings)))
        index = stack.enter_context(open_index(settings, bundle))
        records = stack.enter_context(closing(open_records(settings)))
        miner = stack.enter_context(open_miner(pipeline.mining))
        crosswalk = open_crosswalk(settings, _audited(audit, ledger))
        stack.callback(crosswalk.close)
        outbox = open_outbox(settings)
        stack.callback(outbox.close)
        answers = stack.enter_context(closing(open_answers(settings)))
        feedback = stack.enter_context(closing(open_feedback(settings)))
        if pipeline.index.engine == "embedded":
            ledger.claim()
            ledger.end_leases(KINDS)  # whoever owns the embedded index is the only worker
        examiner = Examiner(bundle, decoder, key)
        delivery = _delivery(settings)
        where = delivery.library.name if delivery.library else ""
        library = Library(decoder, uids, crosswalk, where, Sendings(state / "sending.lock"))
        answerer = Answerer(
            index=index,
            retriever=Retriever(index, bundle.manifest.calibration),
            examiner=examiner,
            decoder=decoder,
            uids=uids,
            library=library,
            outbox=outbox,
            records=answers,
            words=BundleWords(bundle.id, bundle.manifest.intended_use, bundle.demonstration),
            references=pipeline.references,
            board_width=pipeline.board_width,
            settings=pipeline.results,
        )
        retrieval = pipeline.retrieval
        _take_over(settings, ledger, bundle, index)
        _resume_withdrawals(ledger, crosswalk, delivery)
        yield Worker(
            ledger=ledger,
            indexer=Indexer(
                examiner,
                decoder,
                index,
                records,
                miner,
                uids,
                RelevanceDesk(outbox, answers, feedback, uids),
            ),
            answerer=answerer,
            outbox=outbox,
            delivery=delivery,
            uploads=uploads_dir(state),
            defaults=Request(
                k=retrieval.k,
                mode=retrieval.mode or Mode(bundle.manifest.mode),
                candidates=retrieval.candidates,
                same_side=retrieval.same_side,
                age_band_years=retrieval.age_band_years,
            ),
            lease_seconds=pipeline.lease_seconds,
            audit=audit,
            copies_at_once=pipeline.library_copies == "at_index_time",
            # the rules are as fast in turn
            readers=0 if pipeline.mining.engine == "rules" else pipeline.mining.concurrency,
        )


@contextmanager
def open_indexer(
    settings: Settings, ledger: Ledger, bundle: Bundle, key: bytes
) -> Iterator[Indexer]:
    """Build what fills a bundle's index, for a bundle that another worker does not use.

    Raises
    ------
    IndexUnavailableError
        Where another process owns the bundle's index, or its server cannot be reached.
    """
    with (
        Decoder(decoder_limits(settings)) as decoder,
        open_index(settings, bundle) as index,
        closing(open_records(settings)) as records,
        open_miner(settings.pipeline.mining) as miner,
    ):
        _claim(settings, bundle)
        if not index.count():
            ledger.indices.forget(bundle.id)
        examiner = Examiner(bundle, decoder, key)
        yield Indexer(examiner, decoder, index, records, miner, KeyedUids(key))


def open_index(settings: Settings, bundle: Bundle) -> ExamIndex:
    """Open the index that the configuration names, for this bundle's vectors.

    Raises
    ------
    BundleError
        Where another bundle of the same id has filled it.
    IndexUnavailableError
        Where another process owns it, or its server cannot be reached.
    """
    refuse_namesake(settings, bundle)
    wanted = settings.pipeline.index
    size = bundle.manifest.vectors.size
    if wanted.engine == "embedded":
        return EdgeIndex(settings.state_dir / "index", bundle.id, size)
    # a second of import time that the embedded engine need not pay
    from qdrant_client import QdrantClient  # noqa: PLC0415

    from pipeline.server_index import ServerIndex  # noqa: PLC0415

    key = None if wanted.api_key is None else wanted.api_key.get_secret_value()
    client = QdrantClient(url=wanted.url, api_key=key, check_compatibility=False)
    return ServerIndex(client, bundle.id, wanted.alias, size)


def open_records(settings: Settings) -> Records:
    """Open the findings that are kept with the words behind them."""
    return Records(f"sqlite:///{settings.state_dir / 'records.sqlite3'}")


def _take_over(settings: Settings, ledger: Ledger, bundle: Bundle, index: ExamIndex) -> None:
    """Make an index the one that serves, and have what it lacks indexed."""
    _claim(settings, bundle)
    empty = not index.count()
    if empty:
        ledger.indices.forget(bundle.id)
    behind = ledger.indices.serve(bundle.id)
    if empty:
        # an index that was lost, or one that nobody has filled: what is kept is indexed anew
        behind += ledger.indices.reopen_studies()
    index.activate()
    _LOG.log(logging.WARNING if behind else logging.INFO, "studies to index: %d", behind)


def refuse_namesake(settings: Settings, bundle: Bundle) -> None:
    """Refuse a bundle whose id has stood for other models: vectors of both would meet.

    Raises
    ------
    BundleError
        Where it has.
    """
    known = _fingerprint(settings, bundle)
    if known.exists() and known.read_text(encoding="ascii") != bundle.fingerprint:
        message = (
            f"{bundle.id}: other models of this id have filled the index; publish these under an "
            "id of their own."
        )
        raise BundleError(message)


def _claim(settings: Settings, bundle: Bundle) -> None:
    """Note for good which models stand behind the bundle's id."""
    known = _fingerprint(settings, bundle)
    if not known.exists():
        write_whole(known, bundle.fingerprint)


def _fingerprint(settings: Settings, bundle: Bundle) -> Path:
    return settings.state_dir / "fingerprints" / checked_bundle(bundle.id)


def _audited(audit: Audit, ledger: Ledger) -> LookedUp:
    """Return what tells the audit trail of look-ups in the crosswalk, and whom they are about."""

    def looked_up(copy_uid: str, found: LibraryCopy | None) -> None:
        if found is None:
            audit.looked_up(copy_uid, None, "")
            return
        rows = ledger.receipt(found.source_uid)
        audit.looked_up(copy_uid, found.source_study_uid, rows[-1].patient_key if rows else "")

    return looked_up


def _delivery(settings: Settings) -> Delivery:
    by_name = {destination.name: destination for destination in settings.listener.destinations}
    results = by_name.get(settings.pipeline.destination or "")
    library = by_name.get(settings.pipeline.library_destination or "", results)
    title = settings.listener.calling_ae_title
    return Delivery(results, library, title, settings.listener.destinations)


def _resume_withdrawals(ledger: Ledger, crosswalk: Crosswalk, delivery: Delivery) -> None:
    """Have copies withdrawn whose destination was not configured when their sources were rejected.

    What is still to be withdrawn for another reason has its job already: one of the two ends the
    other, and no note is sent for that.
    """
    known = delivery.by_name.keys()
    for study_uid in {
        one.copy.source_study_uid
        for one in crosswalk.to_withdraw()
        if one.destinations & known or not one.destinations
    }:
        ledger.enqueue(WITHDRAW, study_uid)
