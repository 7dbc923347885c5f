"""A report and its study at the same moment, in several processes: linked, exactly once."""

from __future__ import annotations

import multiprocessing
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from ledger_parts import INDEX_TITLE, instance
from oru import TEXT, oru
from station import SITE_KEY

from listener import linkage
from listener.instance import Instance, issued_keys
from listener.ledger import Ledger
from listener.linkage import LinkState
from listener.report_desk import ReportDesk
from listener.report_settings import Hl7Settings
from listener.report_shelf import Form, ReportShelf

PATIENT = "INVENTED-1"
PATIENT_KEY = issued_keys(SITE_KEY, b"patient", PATIENT, "")[0]


def image(number: int) -> Instance:
    """Return the instance of a study that bears an accession number."""
    made = instance(f"1.2.{number}.1", study=f"1.2.{number}", patient=PATIENT_KEY)
    accession = issued_keys(SITE_KEY, b"accession", f"A{number}", "")
    return replace(made, accession_keys=accession)


def report(number: int, *, by_uid: bool) -> bytes:
    """Return the report of that study, which it names by its UID or its accession number."""
    named = {"study": f"1.2.{number}"} if by_uid else {"accession": f"A{number}"}
    return oru(TEXT, control_id=str(number), order=f"F{number}", patient=PATIENT, **named)


def desk_over(ledger: Ledger, folder: Path) -> ReportDesk:
    shelf = ReportShelf(folder / "reports", watermark_bytes=0)
    return ReportDesk(ledger, shelf, Hl7Settings(), site_key=SITE_KEY)


def receive(ledger: Ledger, one: Instance) -> None:
    ledger.record_instance(one, calling_ae="PACS", title=INDEX_TITLE)


@pytest.mark.parametrize("by_uid", [True, False])
@pytest.mark.parametrize("study_is_first", [True, False])
def test_two_that_do_not_see_each_other_are_linked_all_the_same(
    ledger_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    by_uid: bool,
    study_is_first: bool,
) -> None:
    """One of them has looked for the other and not committed yet when the other comes."""
    has_looked, may_commit = threading.Event(), threading.Event()
    name = "study_came" if study_is_first else "record"
    look = getattr(linkage, name)

    def slow(*given: object) -> object:
        found = look(*given)
        has_looked.set()
        assert may_commit.wait(10)
        return found

    monkeypatch.setattr(linkage, name, slow)
    with Ledger(ledger_url) as here, Ledger(ledger_url) as there:
        desk = desk_over(there, tmp_path)
        acts: list[Callable[[], None]] = [
            lambda: receive(here, image(1)),
            lambda: desk.take(report(1, by_uid=by_uid), Form.HL7),
        ]
        first, second = map(_thread, acts if study_is_first else reversed(acts))
        first.start()
        assert has_looked.wait(10)
        second.start()
        second.join(0.2)
        may_commit.set()
        first.join(20)
        second.join(20)
        (row,) = here.reports()
        assert row.state is LinkState.LINKED
        assert here.study("1.2.1").generation in (1, 2)
        assert here.link_reports() == 0


def _thread(act: Callable[[], None]) -> threading.Thread:
    return threading.Thread(target=act)


STUDIES = 100


@pytest.mark.slow
def test_reports_and_studies_that_come_at_once_to_four_processes_end_linked_once(
    ledger_url: str, tmp_path: Path
) -> None:
    """Two send the only image of each study, two its report: what is sent twice is there once."""
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(4)
    processes = [
        spawn.Process(target=act, args=(ledger_url, tmp_path, together))
        for act in (_send_images, _send_images, _send_reports, _send_reports)
    ]
    with Ledger(ledger_url) as ledger:
        for process in processes:
            process.start()
        for process in processes:
            process.join(240)
        assert [process.exitcode for process in processes] == [0] * 4
        rows = ledger.reports(limit=10 * STUDIES)
        assert Counter(row.state for row in rows) == {LinkState.LINKED: STUDIES}
        assert len({row.study_uid for row in rows}) == STUDIES
        for number in range(STUDIES):
            # one for the image, and one for the report where that came behind it
            assert ledger.study(f"1.2.{number}").generation in (1, 2)
        assert ledger.link_reports() == 0


def _send_images(url: str, folder: Path, together: Barrier) -> None:
    with Ledger(url) as ledger:
        for number in _rounds(together):
            receive(ledger, image(number))


def _send_reports(url: str, folder: Path, together: Barrier) -> None:
    with Ledger(url) as ledger:
        desk = desk_over(ledger, folder)
        for number in _rounds(together):
            desk.take(report(number, by_uid=number % 2 == 0), Form.HL7)


def _rounds(together: Barrier) -> Iterator[int]:
    """Yield the numbers of the studies, each at almost the same moment in every process."""
    chance = random.SystemRandom()
    for number in range(STUDIES):
        together.wait(60)
        time.sleep(chance.uniform(0, 0.006))
        yield number
