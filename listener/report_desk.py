"""The desk where reports are handed in by any road: words to the shelf, facts to the ledger."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from listener.errors import ListenerError, UnusableReportError
from listener.hl7 import read_message_header
from listener.instance import issued_keys, keyed_hash
from listener.ledger import Ledger
from listener.linkage import LinkState, NewReport
from listener.report import Report
from listener.report_audit import TakenReport
from listener.report_settings import Hl7Settings
from listener.report_shelf import Form, ReportShelf, form_of, read_reports

__all__ = ["ReportDesk"]

_log = logging.getLogger("wristmir.listener")


class ReportDesk:
    """Takes reports in; what it has taken is durable and recorded.

    Parameters
    ----------
    ledger, shelf
        Where facts and words go.
    rules
        How HL7 messages are read.
    site_key
        Key of the hashes that stand for patients, accession numbers and messages.
    """

    def __init__(
        self, ledger: Ledger, shelf: ReportShelf, rules: Hl7Settings, *, site_key: bytes
    ) -> None:
        self._ledger = ledger
        self._shelf = shelf
        self._rules = rules
        self._site_key = site_key

    def take(self, data: bytes, form: Form) -> tuple[TakenReport, ...]:
        """Take a message in: on the disk and in the ledger when this returns; return its reports.

        The same message again is nothing new.

        Raises
        ------
        UnusableReportError
            If there is nothing in it that can be used.
        OutOfResourcesError
            If there is no room to keep it.
        sqlalchemy.exc.SQLAlchemyError
            If the ledger cannot be written.
        """
        if form is Form.HL7:
            self._check_processing_id(data)
        reports = read_reports(data, form, self._rules)
        message_key = keyed_hash(self._site_key, b"message", form, data)
        path = self._shelf.place(message_key, form, data)
        new = [self._new(*one, message_key, path) for one in enumerate(reports)]
        states = self._ledger.record_reports(new)
        _log.log(
            logging.WARNING if LinkState.QUARANTINED in states else logging.INFO,
            "report message %s: %s, %d bytes",
            message_key[:12],
            _words(states),
            len(data),
        )
        known: list[LinkState | None] = [*states] or [None] * len(new)
        return tuple(TakenReport(*one) for one in zip(new, known, strict=True))

    def reconcile(self) -> None:
        """Bring shelf and ledger together after whatever ended the last run.

        A file that the ledger does not know is taken in: it was on its way to being acknowledged.
        A report whose file is gone is marked, one whose file lies elsewhere now is found by name.
        """
        self._shelf.sweep()
        known = self._ledger.report_files()
        recorded_at = {path.name: path for path in known}
        for path in list(self._shelf.files()):
            recorded = recorded_at.get(path.name)
            if recorded is None:
                self._adopt(path)
                continue
            if recorded != path or known[recorded] is LinkState.LOST:
                self._ledger.move_report_file(recorded, path)
            del known[recorded]
        for path, state in known.items():
            if state is not LinkState.LOST:
                self._ledger.mark_report_lost(path)
                _log.error("a report's file is missing from its folder: %s", path.name[:12])
        self.link_waiting()

    def link_waiting(self) -> None:
        """Try once more for every report that waits for its study."""
        linked = self._ledger.link_reports()
        if linked:
            _log.info("reports that found their studies: %d", linked)

    def _adopt(self, path: Path) -> None:
        try:
            self.take(path.read_bytes(), form_of(path))
        except (OSError, ListenerError) as error:
            words = error if isinstance(error, ListenerError) else type(error).__name__
            _log.error("a file in the reports' folder is not used: %s (%s)", path.name[:12], words)

    def _check_processing_id(self, data: bytes) -> None:
        """Refuse what is not meant for production: it would stand among real findings."""
        header = read_message_header(data)
        given = header.field(11).split(header.separators[1])[0].strip()
        if given and given not in self._rules.processing_ids:
            msg = "MSH-11 is none of processing_ids."
            raise UnusableReportError(msg, 202)

    def _new(self, position: int, report: Report, message_key: str, path: Path) -> NewReport:
        key = self._site_key
        order = report.order or report.accession or report.study_uid or message_key
        patient = accession = None
        if report.patient_id:
            patient = issued_keys(key, b"patient", report.patient_id, report.issuer)
        if report.accession:
            accession = issued_keys(key, b"accession", report.accession, report.accession_issuer)
        return NewReport(
            message_key=message_key,
            position=position,
            path=path,
            status=report.status,
            addendum=report.addendum,
            at=report.at,
            study_uid=report.study_uid or None,
            patient_keys=patient,
            accession_keys=accession,
            order_key=keyed_hash(key, b"order", report.patient_id, order),
        )


def _words(states: Sequence[LinkState]) -> str:
    if not states:
        return "known"
    return ", ".join(f"{number} {state}" for state, number in Counter(states).items())
