"""The composition root: receiver and worker out of one configuration, until told to stop."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from qdrant_client import QdrantClient

from deploy.errors import ServiceUnavailableError
from deploy.settings import Settings, site_key
from listener.ledger import Ledger
from listener.service import Listener, notify
from listener.service import serve as serve_listener
from pipeline.answering import Answerer
from pipeline.bundle import Bundle
from pipeline.crosswalk import Crosswalk
from pipeline.decoder import Decoder, DecoderLimits, FileLimits
from pipeline.edge_index import EdgeIndex
from pipeline.examination import Examiner
from pipeline.index import ExamIndex
from pipeline.indexing import Indexer
from pipeline.match_report import BundleWords
from pipeline.mining import RulesMiner
from pipeline.outbox import Outbox
from pipeline.record import Records
from pipeline.request import Request
from pipeline.retrieval import Retriever
from pipeline.server_index import ServerIndex
from pipeline.uid import KeyedUids
from pipeline.worker import Delivery, Worker, uploads_dir

__all__ = ["open_index", "open_worker", "serve"]

_LOG = logging.getLogger("wristmir.service")
_WATCHDOG_SECONDS = 10.0


def serve(settings: Settings, *, receive: bool, work: bool) -> None:
    """Run until SIGTERM or SIGINT; a job in hand is finished, an association is ended.

    Tells systemd when it is ready; a receiver feeds the watchdog only after it has answered its
    own C-ECHO.

    Parameters
    ----------
    settings
        The configuration.
    receive, work
        Which halves run in this process: both for ``wristmir serve``.
    """
    _log_to_stderr(settings.log_level)
    key = site_key(settings.state_dir)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger(settings.ledger_url))
        if work:
            worker = stack.enter_context(open_worker(settings, ledger, key))
            thread = _WorkerThread(worker, stop)
            stack.callback(thread.ended)
            thread.start()
        if receive:
            serve_listener(Listener(settings.listener, ledger, site_key=key), stop)
        else:
            _LOG.info("working")
            notify("READY=1", "STATUS=working")
            while not stop.wait(_WATCHDOG_SECONDS):
                notify("WATCHDOG=1")
            notify("STOPPING=1")
    _LOG.info("stopped")


@contextmanager
def open_worker(settings: Settings, ledger: Ledger, key: bytes) -> Iterator[Worker]:
    """Build a worker with everything it needs, and take it apart again.

    Raises
    ------
    BundleError
        Where the models cannot be trusted.
    IndexUnavailableError
        Where another process owns the index, or its server cannot be reached.
    """
    state, pipeline = settings.state_dir, settings.pipeline
    bundle = Bundle.load(settings.bundle, threads=pipeline.threads)
    uids = KeyedUids(key)
    with ExitStack() as stack:
        decoder = stack.enter_context(Decoder(_limits(settings)))
        index = stack.enter_context(open_index(settings, bundle))
        records = Records(f"sqlite:///{state / 'records.sqlite3'}")
        stack.callback(records.close)
        crosswalk = Crosswalk(f"sqlite:///{state / 'crosswalk.sqlite3'}")
        stack.callback(crosswalk.close)
        outbox = Outbox(state / "outbox", f"sqlite:///{state / 'outbox.sqlite3'}")
        stack.callback(outbox.close)
        examiner = Examiner(bundle, decoder, key)
        delivery = _delivery(settings)
        answerer = Answerer(
            index=index,
            retriever=Retriever(index, bundle.manifest.calibration),
            examiner=examiner,
            decoder=decoder,
            uids=uids,
            crosswalk=crosswalk,
            outbox=outbox,
            words=BundleWords(bundle.id, bundle.manifest.intended_use, bundle.demonstration),
            references=pipeline.references,
            library=delivery.library.name if delivery.library else "",
        )
        retrieval = pipeline.retrieval
        yield Worker(
            ledger=ledger,
            indexer=Indexer(examiner, decoder, index, records, RulesMiner(), uids),
            answerer=answerer,
            outbox=outbox,
            delivery=delivery,
            uploads=uploads_dir(state),
            defaults=Request(
                k=retrieval.k,
                mode=retrieval.mode,
                candidates=retrieval.candidates,
                same_side=retrieval.same_side,
                age_band_years=retrieval.age_band_years,
            ),
            lease_seconds=pipeline.lease_seconds,
        )


def open_index(settings: Settings, bundle: Bundle) -> ExamIndex:
    """Open the index that the configuration names, for this bundle's vectors."""
    wanted = settings.pipeline.index
    size = bundle.manifest.vectors.size
    if wanted.engine == "embedded":
        return EdgeIndex(settings.state_dir / "index", bundle.id, size)
    key = None if wanted.api_key is None else wanted.api_key.get_secret_value()
    return ServerIndex(QdrantClient(url=wanted.url, api_key=key), bundle.id, wanted.alias, size)


class _WorkerThread(threading.Thread):
    """Runs the worker; if it ends by itself, everything ends, so that systemd starts it anew."""

    def __init__(self, worker: Worker, stop: threading.Event) -> None:
        super().__init__(name="worker")
        self._worker = worker
        self._told_to_stop = stop
        self._finished = False

    def run(self) -> None:
        """Work until told to stop."""
        try:
            self._worker.run(self._told_to_stop)
            self._finished = True
        finally:
            self._told_to_stop.set()

    def ended(self) -> None:
        """Wait for the job in hand; refuse to call an accident a clean stop."""
        self._told_to_stop.set()
        if self.ident is None:
            return
        self.join()
        if not self._finished:
            message = "the worker ended by itself; the log says why"
            raise ServiceUnavailableError(message)


def _limits(settings: Settings) -> DecoderLimits:
    decoding = settings.pipeline.decoding
    file = FileLimits(max_file_bytes=decoding.max_file_mib << 20, max_pixels=decoding.max_pixels)
    return DecoderLimits(
        file=file, memory_bytes=decoding.memory_mib << 20, seconds=decoding.seconds
    )


def _delivery(settings: Settings) -> Delivery:
    by_name = {destination.name: destination for destination in settings.listener.destinations}
    results = by_name.get(settings.pipeline.destination or "")
    library = by_name.get(settings.pipeline.library_destination or "", results)
    return Delivery(results, library, settings.listener.calling_ae_title)


def _log_to_stderr(level: str) -> None:
    """Log plain lines in UTC; systemd's journal adds its own time, so none is doubled there."""
    stamp = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)sZ "
    handler = logging.StreamHandler()
    formatter = logging.Formatter(f"{stamp}%(levelname)s %(name)s %(message)s")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.getLogger("wristmir").addHandler(handler)
    logging.getLogger("wristmir").setLevel(level.upper())
