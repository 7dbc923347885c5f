"""C-STORE and C-ECHO to statuses: what is kept, what is refused and with which words."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from listener.arrivals import Arrivals
from listener.audit import Audit
from listener.command import Command, Reply
from listener.correspondence import Correspondence
from listener.disk import disk_refusal
from listener.elements import is_uid
from listener.errors import (
    CannotUnderstandError,
    MismatchError,
    OutOfResourcesError,
    ProcessingFailureError,
    RefusalError,
    SopClassNotSupportedError,
)
from listener.file_meta import FileMeta, read_file_meta, write_file_meta
from listener.header import Header, read_header
from listener.inbox import Inbox, Spool
from listener.instance import (
    Instance,
    accession_keys,
    data_set_digest,
    file_name,
    keyed_hash,
    patient_keys,
    unused_reason,
)
from listener.ledger import Ledger
from listener.procedure_step import ProcedureSteps, StepTerms
from listener.receipt import InstanceState, Outcome, Recorded
from listener.reception import Reception
from listener.retrieval import Retrieval, Terms
from listener.settings import TitleSettings

__all__ = ["Storage", "Visit"]

_log = logging.getLogger("wristmir.listener")

_SUCCESS = 0x0000


class Storage:
    """Keeps what comes: the inbox for bytes, the ledger for facts.

    Parameters
    ----------
    site_key
        Key of the hashes that stand for patients in the ledger and for UIDs in logs.
    is_own
        Recognises SOP Instance UIDs that were given here.
    audit
        Is told what came; None for no audit trail.
    terms
        What peers are answered that ask for what is held; None to hold nothing.
    step_terms
        What peers are answered that ask for work by procedure steps; None to take none.
    """

    def __init__(
        self,
        ledger: Ledger,
        inbox: Inbox,
        arrivals: Arrivals,
        *,
        site_key: bytes,
        is_own: Callable[[str], bool],
        audit: Audit | None = None,
        terms: Terms | None = None,
        step_terms: StepTerms | None = None,
    ) -> None:
        self.ledger = ledger
        self.inbox = inbox
        self.arrivals = arrivals
        self.is_own = is_own
        self.audit = audit or Audit.off()
        self.terms = terms or Terms()
        self.step_terms = step_terms
        self._site_key = site_key

    def visit(
        self,
        calling_ae: str,
        title: TitleSettings,
        address: str = "",
        *,
        secure: bool | None = None,
        may_retrieve: bool = True,
    ) -> Visit:
        """Return what serves one association; without an address it comes from this machine."""
        told = self.audit.reception(calling_ae, address, title.ae_title, encrypted=secure)
        return Visit(self, calling_ae, title, told, may_retrieve=may_retrieve)

    def pseudonym(self, uid: str) -> str:
        """Return what stands for a UID in logs."""
        return keyed_hash(self._site_key, b"log", uid)[:12]

    def instance(
        self, header: Header, *, digest: str, size: int, syntax: str, path: Path | None
    ) -> Instance:
        """Return the ledger's record of an object with this header."""
        patient_key, patient_id_key = patient_keys(self._site_key, header)
        return Instance(
            sop_instance_uid=header.sop_instance_uid,
            sop_class_uid=header.sop_class_uid,
            study_uid=header.study_uid,
            series_uid=header.series_uid,
            transfer_syntax=syntax,
            digest=digest,
            size=size,
            path=path,
            patient_key=patient_key,
            patient_id_key=patient_id_key,
            accession_keys=accession_keys(self._site_key, header),
        )

    def reconcile(self, titles: tuple[TitleSettings, ...]) -> None:
        """Bring inbox and ledger together after whatever ended the last run.

        A file that the ledger does not know is taken in: it was on its way to being acknowledged.
        A file whose row says that it is not kept is deleted. A row whose file is gone is marked.
        """
        known = self.ledger.files()
        by_name = {t.ae_title: t for t in titles}
        # the folder may have been moved or restored elsewhere: a file's name is its own for ever
        recorded_at = {path.name: path for path in known}
        for path in list(self.inbox.files()):
            recorded = recorded_at.get(path.name, path)
            state = known.pop(recorded, None)
            if state is not None and recorded != path:
                self.ledger.move_file(recorded, path)
            if state in _NOT_KEPT:
                path.unlink(missing_ok=True)
            elif state is None or state is InstanceState.LOST:
                self._adopt(path, by_name, titles[0])
        for path, state in known.items():
            if state not in _NOT_KEPT and state is not InstanceState.LOST:
                self.ledger.mark_lost(path)
                _log.error("a received file is missing from the inbox: %s", path.name)

    def keep_one(self, recorded: Recorded, path: Path) -> None:
        """Keep the file that the ledger names; where that one is gone, this one takes its place."""
        if recorded.path is None or (recorded.path != path and recorded.path.exists()):
            with suppress(OSError):  # the next start tries again
                path.unlink(missing_ok=True)
        elif recorded.path != path:
            self.ledger.move_file(recorded.path, path)

    def give_up(self, path: Path, error: BaseException) -> None:
        """Delete a file that is not acknowledged, unless its row came through all the same.

        Where a commit is done and only its answer is lost, the row may stand for a newer version.
        While a server is away nothing piles up: what never reached it has no row.
        """
        try:
            known = self.ledger.knows_file(path)
        except SQLAlchemyError:
            # it may be: the next start brings inbox and ledger together
            known = not _is_undone(error)
        if not known:
            with suppress(OSError):  # the next start finds it, and takes it in
                path.unlink(missing_ok=True)

    def _adopt(self, path: Path, titles: dict[str, TitleSettings], fallback: TitleSettings) -> None:
        try:
            with path.open("rb") as stream:
                meta = read_file_meta(stream)
                start = stream.tell()
                digest = data_set_digest(meta.transfer_syntax)
                while piece := stream.read(1 << 20):
                    digest.update(piece)
                size = stream.tell() - start
                stream.seek(start)
                header = read_header(stream, meta.transfer_syntax)
        except (CannotUnderstandError, OSError) as error:
            _log.error("a file in the inbox cannot be read: %s (%s)", path.name, error)
            return
        instance = self.instance(
            header,
            digest=digest.hexdigest(),
            size=size,
            syntax=meta.transfer_syntax,
            path=path,
        )
        title = titles.get(meta.called_ae, fallback)
        recorded = self.ledger.record_instance(instance, calling_ae=meta.calling_ae, title=title)
        self.keep_one(recorded, path)
        _log.warning("a file from before the last stop was taken in: %s", recorded.outcome.value)


class Visit:
    """One association's storing: what it sent, and which studies it touched.

    ``correspondence`` is what it asks about storage commitment, ``retrieval`` what it asks of what
    is held, ``steps`` what it asks for as procedure steps.
    """

    def __init__(
        self,
        storage: Storage,
        calling_ae: str,
        title: TitleSettings,
        reception: Reception,
        *,
        may_retrieve: bool = True,
    ) -> None:
        peer, called_ae = reception.peer, title.ae_title
        self.correspondence = Correspondence(storage, peer, calling_ae, called_ae)
        self.retrieval = Retrieval(
            storage.terms, storage.audit, peer, called_ae, may_retrieve=may_retrieve
        )
        self.steps = ProcedureSteps(
            storage.ledger,
            storage.step_terms,
            storage.audit,
            peer,
            title,
            is_admitted=may_retrieve,
        )
        self._storage = storage
        self._reception = reception
        self._calling_ae = calling_ae
        self._title = title
        self._studies: set[str] = set()

    def begin(self, command: Command, transfer_syntax: str) -> Spool:
        """Return where the data set of a C-STORE goes; what is refused is drained."""
        inbox = self._storage.inbox
        if not is_uid(command.sop_instance_uid) or not is_uid(command.sop_class_uid):
            return inbox.refuse(transfer_syntax, MismatchError("The command's UID is none."))
        if self._reason_not_to_keep(command) is not None:
            return inbox.skim(transfer_syntax)
        meta = FileMeta(
            sop_class_uid=command.sop_class_uid,
            sop_instance_uid=command.sop_instance_uid,
            transfer_syntax=transfer_syntax,
            calling_ae=self._calling_ae,
            called_ae=self._title.ae_title,
        )
        return inbox.receive(transfer_syntax, write_file_meta(meta))

    def store(self, command: Command, negotiated_class: str, spool: Spool) -> Reply:
        """Keep a complete object and say how that went; only durable objects are a success.

        Parameters
        ----------
        negotiated_class
            The abstract syntax of the presentation context that it came on.
        """
        try:
            if command.sop_class_uid != negotiated_class:
                msg = "It is not the one negotiated for this presentation context."
                raise SopClassNotSupportedError(msg)
            if spool.error is not None:
                raise spool.error
            recorded = self._record(command, spool)
        except RefusalError as error:
            return self._refused(command, error)
        except OSError as error:
            return self._refused(command, disk_refusal(error))
        except SQLAlchemyError as error:
            return self._refused(command, _ledger_refusal(error))
        except Exception as error:  # noqa: BLE001 - the one place where a C-STORE ends
            # its class alone: another library's message may hold a value
            return self._refused(command, ProcessingFailureError(f"{type(error).__name__}."))
        finally:
            spool.discard()
        _log.log(
            logging.WARNING if recorded.outcome is Outcome.QUARANTINED else logging.INFO,
            "instance %s: %s, %d bytes, %s to %s",
            self._storage.pseudonym(command.sop_instance_uid),
            recorded.outcome.value,
            spool.size,
            self._calling_ae,
            self._title.ae_title,
        )
        return Reply(_SUCCESS)

    def end(self) -> None:
        """Let what this association asked for become due."""
        self.correspondence.end()
        self._reception.end()
        try:
            self._storage.arrivals.association_ended(self._studies, self._title)
        except SQLAlchemyError as error:
            # the arrival's cap, or the next start, makes it due all the same
            _log.error("the ledger cannot be written: %s", type(error).__name__)

    def _record(self, command: Command, spool: Spool) -> Recorded:
        reason = self._reason_not_to_keep(command)
        if reason is not None:
            return self._record_unused(command, spool, reason)
        with spool.stream() as stream:
            header = read_header(stream, spool.transfer_syntax)
        header.agrees_with(command.sop_class_uid, command.sop_instance_uid)
        self._reception.begins(header)
        spool.sync()  # while its digest is completed
        name = file_name(header.sop_instance_uid, spool.digest)
        path = self._storage.inbox.place(spool, name)
        try:
            recorded = self._storage.ledger.record_instance(
                self._instance(header, spool, path),
                calling_ae=self._calling_ae,
                title=self._title,
            )
            self._storage.keep_one(recorded, path)
        except BaseException as error:
            self._storage.give_up(path, error)
            raise
        self._studies.add(header.study_uid)
        self._reception.took(header, recorded.outcome)
        return recorded

    def _record_unused(self, command: Command, spool: Spool, reason: str) -> Recorded:
        try:
            with spool.stream() as stream:
                header = read_header(stream, spool.transfer_syntax)
        except CannotUnderstandError:  # it is not kept, so nothing depends on it
            header = Header(command.sop_class_uid, command.sop_instance_uid, "", "", b"", b"")
        header.agrees_with(command.sop_class_uid, command.sop_instance_uid)
        self._reception.begins(header)
        recorded = self._storage.ledger.record_filtered(
            self._instance(header, spool, None),
            reason,
            calling_ae=self._calling_ae,
            title=self._title,
            asks=reason != _OWN,
        )
        if header.study_uid:
            self._studies.add(header.study_uid)
        self._reception.took(header, recorded.outcome)
        return recorded

    def _reason_not_to_keep(self, command: Command) -> str | None:
        # a PACS that forwards whatever it gets sends answers back: they must not be answered
        if self._storage.is_own(command.sop_instance_uid):
            return _OWN
        return unused_reason(command.sop_class_uid)

    def _instance(self, header: Header, spool: Spool, path: Path | None) -> Instance:
        return self._storage.instance(
            header,
            digest=spool.digest,
            size=spool.size,
            syntax=spool.transfer_syntax,
            path=path,
        )

    def _refused(self, command: Command, error: RefusalError) -> Reply:
        _log.warning(
            "instance %s refused with 0x%04X, %s to %s: %s",
            self._storage.pseudonym(command.sop_instance_uid),
            error.status,
            self._calling_ae,
            self._title.ae_title,
            error,
        )
        self._reception.refused(command.sop_class_uid, error.status)
        return Reply(error.status, (type(error).__doc__ or "").strip().splitlines()[0])


_OWN = "it was made by this plugin"
_NOT_KEPT = frozenset({InstanceState.EXPIRED, InstanceState.FILTERED})


def _is_undone(error: BaseException) -> bool:
    """Tell whether a server has done nothing for certain: it said so, or was never reached."""
    if isinstance(error, DBAPIError):
        return hasattr(error.orig, "sqlstate") and not error.connection_invalidated
    return isinstance(error, PoolTimeoutError)


def _ledger_refusal(error: SQLAlchemyError) -> RefusalError:
    """Return what a peer is told of the ledger's error: that there is no room, or that it failed.

    A ledger that others hold for too long, or whose server is away, is out of resources, too: a
    later try will do.
    """
    cause = getattr(error, "orig", None)
    words = f"The ledger cannot be written: {type(error).__name__}."
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # the extended part says no more here
    # PostgreSQL's driver gives every error a state but those of the connection itself
    state = (getattr(cause, "sqlstate", "unknown") or _NO_CONNECTION)[:2]
    if code in _SHORT_OF or state in _SHORT_OF_STATES or isinstance(error, PoolTimeoutError):
        return OutOfResourcesError(words)
    return ProcessingFailureError(words)


_SHORT_OF = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM}
)
# PostgreSQL, appendix A: connection exception, insufficient resources, object not in prerequisite
# state (lock), operator intervention (shutdown, restart)
_NO_CONNECTION = "08000"
_SHORT_OF_STATES = frozenset({"08", "53", "55", "57"})
