"""Storage commitment in the audit trail, both ways, over real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from audit_parts import (
    KEPT,
    TO_KEEP,
    audit_file,
    classes,
    details,
    ended,
    kind,
    objects,
    participants,
    trail,
)
from commitment_parts import CR, Archive, ask, asking, listening, receiver, reference, soon
from lxml import etree
from plugin import free_port
from station import LOOPBACK, SITE_KEY, Station, radiograph, settings

from listener.audit import Audit
from listener.commitment import Reference
from listener.committing import Committer, Parcel, Standing
from listener.destination_settings import DestinationSettings
from listener.errors import DeliveryError
from listener.instance import keyed_hash
from listener.job import EVENT_REPORT, JobState
from listener.ledger import Ledger

NOBODY_HAS = Reference(CR, "1.2.9.9")
ONE, OTHER = Reference(CR, "1.2.1"), Reference(CR, "1.2.2")


@pytest.fixture(autouse=True)
def _a_short_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("listener.correspondence._SILENCE_SECONDS", 0.2)


@contextmanager
def audited(folder: Path, **changes: Any) -> Iterator[Station]:
    with receiver(folder, audit=audit_file(folder / "audit.xml"), **changes) as link:
        yield link


def told(folder: Path) -> list[etree._Element]:
    """Return what was told of storage commitment."""
    return [m for m in trail(folder / "audit.xml") if kind(m) in (TO_KEEP, KEPT)]


def key(patient: str) -> str:
    return keyed_hash(SITE_KEY, b"patient", patient, "")


@pytest.mark.slow
def test_a_request_and_its_answer_are_told_with_study_patient_and_outcome(tmp_path: Path) -> None:
    ds = radiograph(study="1.2.3", patient="PLANTED-ID")
    with audited(tmp_path) as link, listening() as peer:
        link.send(ds)
        with asking(link.port, peer) as association:
            uid, _ = ask(association, [reference(ds), NOBODY_HAS])
            assert soon(lambda: peer.told)
            assert soon(lambda: len(told(tmp_path)) == 4)
    messages = told(tmp_path)
    asked, answered = messages[:2], messages[2:]
    assert [kind(m) for m in messages] == [TO_KEEP] * 2 + [KEPT] * 2
    for known, unknown in (asked, answered):
        assert (objects(known, "110180"), objects(known, "2")) == (["1.2.3"], [key("PLANTED-ID")])
        assert (objects(unknown, "110180"), objects(unknown, "2")) == (["unknown"], ["unknown"])
    for message in messages:
        assert participants(message)["110153"] == ("PACS", LOOPBACK, True)
        assert details(message) == {"Transaction UID": uid}
        assert classes(message) == {CR: 1}
    assert [ended(m) for m in answered] == [
        ("R", "0", "committed"),
        ("R", "4", "not committed: no such instance (0x0112)"),
    ]
    assert "PLANTED" not in (tmp_path / "audit.xml").read_text()


def test_a_request_that_is_refused_is_told_and_others_like_it_in_their_number(
    tmp_path: Path,
) -> None:
    with audited(tmp_path) as link, asking(link.port) as association:
        assert [ask(association, [])[1] for _ in range(4)] == [0x0115] * 4
    first, rest = told(tmp_path)
    assert ended(first) == ("R", "4", "request for commitment refused with status 0x0115")
    assert ended(rest)[2].endswith("; 3 more in a minute")
    assert participants(rest)["110153"][0] == "PACS"


@pytest.mark.slow
def test_an_answer_on_a_new_association_is_told_once_it_was_taken(tmp_path: Path) -> None:
    ds = radiograph(study="1.2.3")
    with listening() as peer, audited(tmp_path, destinations=(peer.destination,)) as link:
        link.send(ds)
        with asking(link.port) as association:
            ask(association, [reference(ds)])
        assert soon(lambda: link.ledger.jobs(JobState.DONE, EVENT_REPORT))
    asked, answered = told(tmp_path)
    assert (kind(asked), kind(answered)) == (TO_KEEP, KEPT)
    assert ended(answered) == ("R", "0", "committed")
    assert objects(answered, "110180") == ["1.2.3"]


def test_a_peer_that_cannot_be_told_is_told_of_once(tmp_path: Path) -> None:
    ds = radiograph()
    away = DestinationSettings(
        name="pacs", ae_title="PACS", host=LOOPBACK, port=free_port(), timeout_seconds=3
    )
    with audited(tmp_path, destinations=(away,)) as link:
        with asking(link.port) as association:
            ask(association, [reference(ds)])
        assert soon(lambda: [j for j in link.ledger.jobs(kind=EVENT_REPORT) if j.last_error])
        for job in link.ledger.jobs(kind=EVENT_REPORT):
            link.ledger.enqueue(EVENT_REPORT, job.subject)  # at once
        assert soon(lambda: link.ledger.jobs(kind=EVENT_REPORT)[0].attempts == 2)
    asked, failed = told(tmp_path)
    assert kind(asked) == TO_KEEP
    assert ended(failed)[:2] == ("R", "4")
    assert "cannot be reached" in ended(failed)[2]


def test_what_we_ask_and_what_a_destination_says_are_told_whichever_process_hears_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "worker").mkdir()
    here = settings(tmp_path / "worker", audit=audit_file(tmp_path / "worker" / "audit.xml"))
    with (
        audited(tmp_path / "receiver") as link,
        Ledger(link.settings.ledger_url) as ledger,
        Audit(here, site_key=SITE_KEY) as audit,
        Archive(link.port) as pacs,
    ):
        pacs.losing = {OTHER.sop_instance_uid: 0x0110}
        committer = Committer(ledger.transactions, "WRISTMIR", audit)
        step = committer.step("answer-1", [Parcel(pacs.destination(), (ONE, OTHER))])
        assert step.standing is Standing.FAILED
        ((uid, _),) = pacs.asked
    (asked,) = told(tmp_path / "worker")
    assert kind(asked) == TO_KEEP
    assert participants(asked)["110152"] == ("PACS", LOOPBACK, False)
    assert classes(asked) == {CR: 2}
    kept, lost = told(tmp_path / "receiver")
    assert (ended(kept), ended(lost)) == (
        ("R", "0", "committed"),
        ("R", "4", "not committed: kept apart (0x0110)"),
    )
    for message in (asked, kept, lost):
        assert details(message) == {"Transaction UID": uid}
        assert participants(message)["110153"][2] is True


def test_a_word_on_the_same_association_is_told_by_whoever_asked(
    tmp_path: Path, ledger: Ledger
) -> None:
    here = settings(tmp_path, audit=audit_file(tmp_path / "audit.xml"))
    with Audit(here, site_key=SITE_KEY) as audit, Archive() as pacs:
        committer = Committer(ledger.transactions, "WRISTMIR", audit)
        committer.step("answer-1", [Parcel(pacs.destination(), (ONE,))])
    assert [kind(m) for m in told(tmp_path)] == [TO_KEEP, KEPT]


def test_a_destination_that_is_away_or_refuses_is_told(tmp_path: Path, ledger: Ledger) -> None:
    here = settings(tmp_path, audit=audit_file(tmp_path / "audit.xml"))
    with Audit(here, site_key=SITE_KEY) as audit, Archive() as pacs:
        committer = Committer(ledger.transactions, "WRISTMIR", audit)
        pacs.action_status = 0x0110
        with pytest.raises(DeliveryError):
            committer.step("answer-1", [Parcel(pacs.destination(), (ONE,))])
        away = pacs.destination(port=free_port())
        with pytest.raises(DeliveryError):
            committer.step("answer-2", [Parcel(away, (ONE,))])
    messages = told(tmp_path)
    assert [kind(m) for m in messages] == [TO_KEEP, KEPT] * 2
    refused, away_ = messages[1], messages[3]
    assert ended(refused) == ("R", "4", "it refused the request with status 0x0110")
    assert "cannot be reached" in ended(away_)[2]


def test_a_request_on_very_many_studies_is_told_of_the_first_and_the_rest_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listener.commitment_audit._MOST_STUDIES", 3)
    with audited(tmp_path) as link:
        things = [radiograph(study=f"1.2.{n}", side=2) for n in range(5)]
        link.send(*things)
        with asking(link.port) as association:
            ask(association, [reference(one) for one in things])
    asked = [m for m in told(tmp_path) if kind(m) == TO_KEEP]
    assert [classes(m)[CR] for m in asked] == [1, 1, 1, 2]
    assert objects(asked[-1], "110180") == ["unknown"]
