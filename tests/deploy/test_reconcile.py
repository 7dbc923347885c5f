"""What the PACS has and the index has not, and the other way round: found, told and fetched."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from archive import Answers, Archive, archive
from audit_parts import BEGIN, QUERIED, audit_file, kind, objects, trail, who_asked
from pydicom.dataset import Dataset
from pynetdicom.sop_class import (
    BasicTextSRStorage,
    SecondaryCaptureImageStorage,
    XRayRadiationDoseSRStorage,
)
from rich.console import Console
from station import LOOPBACK, radiograph
from test_cli import wristmir

from deploy import doctor
from deploy.errors import ConfigurationError
from deploy.fetching import fetch
from deploy.look_up import who_asks
from deploy.reconcile import last_reconciliation, reconcile
from deploy.reconciliation import Gap, Reconciliation, Standing
from deploy.service import receiver
from deploy.settings import Settings, parse, site_key
from listener.destination_settings import DestinationSettings
from listener.errors import MoveError
from listener.ledger import Ledger
from listener.milestone import Placement
from listener.receipt import InstanceState
from listener.reconciliation_settings import ReconciliationSettings
from listener.sender import send
from pipeline.uid import KeyedUids

pytestmark = pytest.mark.slow

SENTINELS = ("Geheim^Gustav", "PID-4711", "ACC-0815", "Sturz vom Pferd")
TODAY = f"{datetime.now(UTC):%Y%m%d}"
INDEX = "bundle-1"


@dataclass(eq=False)
class Site:
    """A receiver without a worker, and the PACS beside it; the index is played by the test."""

    settings: Settings
    ledger: _Ledger
    pacs: Archive
    folder: Path
    port: int

    def hold(self, *held: Dataset) -> None:
        """Let the PACS hold these as well."""
        self.pacs.holdings += held

    def forward(self, *sent: Dataset, calling: str = "PACS") -> None:
        """Send objects to the plugin, as the PACS does."""
        files = []
        for number, one in enumerate(sent):
            files.append(self.folder / f"{number}.dcm")
            one.save_as(files[-1], enforce_file_format=True)
        there = DestinationSettings(
            name="plugin", ae_title="WRISTMIR", host=LOOPBACK, port=self.port
        )
        send(there, files, calling)

    def index(self, one: Dataset, **detail: str) -> None:
        """Note that an instance was indexed with its study, or why it is of no use."""
        study = self.ledger.study(one.StudyInstanceUID)
        placed = Placement(one.SOPInstanceUID, 1, detail or {"used_as": "exam", "view": "pa"})
        self.ledger.indices.mark_indexed(one.StudyInstanceUID, study.generation, INDEX, [placed])
        self.ledger.end_work(one.StudyInstanceUID)

    def compare(self, *, fetching: bool = False) -> Reconciliation:
        return reconcile(self.settings, fetching=fetching)


class _Ledger(Ledger):
    """A ledger whose jobs the test can end."""

    def end_work(self, study_uid: str, error: str = "") -> None:
        number = self.enqueue("index", study_uid)
        while job := self.lease(["index"], 60):
            if error and job.id == number:
                self.fail(job, error, retry=False)
            else:
                self.finish(job)


def tables(folder: Path, pacs_port: int, **reconciliation: Any) -> dict[str, Any]:
    return {
        "state_dir": str(folder / "state"),
        "listener": {
            "host": LOOPBACK,
            "port": 0,
            "watermark_bytes": 0,
            "peers": [
                {"ae_title": "PACS", "addresses": [LOOPBACK]},
                {"ae_title": "WRISTMIR", "addresses": [LOOPBACK]},
            ],
            "destinations": [
                {"name": "pacs", "ae_title": "PACS", "host": LOOPBACK, "port": pacs_port}
            ],
            "reconciliation": {"moves_per_minute": 6000.0, **reconciliation},
        },
        "pipeline": {"destination": "pacs"},
    }


@contextmanager
def at(folder: Path, pacs: Archive, **reconciliation: Any) -> Iterator[Site]:
    settings = parse(tables(folder, pacs.port, **reconciliation))
    key = site_key(settings.state_dir)
    with ExitStack() as stack:
        ledger = stack.enter_context(_Ledger(settings.ledger_url))
        listener = stack.enter_context(receiver(settings, ledger, key))
        ledger.indices.serve(INDEX)
        pacs.moves_to = {"WRISTMIR": listener.address[1]}
        yield Site(settings, ledger, pacs, folder, listener.address[1])


@pytest.fixture(scope="module")
def running() -> Iterator[Archive]:
    with archive() as (it, _):
        yield it


@pytest.fixture
def pacs(running: Archive) -> Archive:
    running.reset()
    return running


@pytest.fixture
def site(tmp_path: Path, pacs: Archive) -> Iterator[Site]:
    with at(tmp_path, pacs) as it:
        yield it


def image(study: str = "1.2.3", number: int = 1, **given: Any) -> Dataset:
    """Return an image of today whose patient must be found nowhere."""
    one = radiograph(study=study, instance=f"{study}.{number}.9", patient=SENTINELS[1])
    one.SeriesInstanceUID = f"{study}.{number}"
    one.StudyDate, one.StudyTime = TODAY, "000500"
    one.PatientName, one.AccessionNumber = SENTINELS[0], SENTINELS[2]
    one.StudyDescription = SENTINELS[3]
    for keyword, value in given.items():
        setattr(one, keyword, value)
    return one


def report(study: str = "1.2.3", number: int = 2, sop_class: str = BasicTextSRStorage) -> Dataset:
    return image(study, number, Modality="SR", SOPClassUID=sop_class)


def gaps(found: Reconciliation) -> dict[str, Standing]:
    return {uid: gap.standing for gap in found.gaps for uid in gap.sop_instance_uids}


def shown(found: Reconciliation) -> str:
    out = StringIO()
    Console(file=out, width=200).print(*found.as_tables())
    return out.getvalue()


def test_what_was_never_received_is_a_gap_of_image_and_report(site: Site) -> None:
    site.hold(image(), report())
    found = site.compare()
    assert gaps(found) == {"1.2.3.1.9": Standing.MISSING, "1.2.3.2.9": Standing.MISSING}
    assert (found.studies, found.complete, found.archive) == (1, True, "pacs")
    assert site.pacs.moved == []


@pytest.mark.slow
def test_a_gap_is_fetched_arrives_and_is_none_the_next_time(site: Site) -> None:
    site.hold(image(), report(), image("1.2.4"))
    site.forward(image("1.2.4"))
    found = site.compare(fetching=True)
    assert site.pacs.moved == [("1.2.3", "1.2.3.1"), ("1.2.3", "1.2.3.2")]
    assert found.fetched is not None
    assert (found.fetched.series, found.fetched.arrived, found.fetched.failures) == (2, 2, ())
    assert found.gaps == ()
    (row,) = site.ledger.receipt("1.2.3.1.9")
    assert (row.state, row.called_ae) == (InstanceState.STORED, "WRISTMIR")
    again = site.compare(fetching=True)
    assert again.gaps == ()
    assert again.standings == {Standing.WAITING: 3}
    assert len(site.pacs.moved) == 2


def _received(site: Site) -> None:
    site.forward(image())


def _indexed(site: Site) -> None:
    site.forward(image())
    site.index(image())


def _not_used(site: Site) -> None:
    site.forward(image())
    site.index(image(), reason="the image looks lateral")


def _filtered_later(site: Site) -> None:
    _not_used(site)
    site.ledger.filter_instance("1.2.3.1.9", "it is labelled as another part of the body")


def _filtered_at_once(site: Site) -> None:
    site.forward(image(SOPClassUID=SecondaryCaptureImageStorage))
    site.pacs.holdings[0].SOPClassUID = ""  # a PACS need not say it


def _lost(site: Site) -> None:
    site.forward(image())
    (row,) = site.ledger.receipt("1.2.3.1.9")
    assert row.path is not None
    site.ledger.mark_lost(row.path)


def _failed(site: Site) -> None:
    site.forward(image())
    site.ledger.end_work("1.2.3", "The object cannot be read within its limits.")


def _quarantined(site: Site) -> None:
    site.forward(image())
    site.ledger.quarantine("1.2.3.1.9", "its identity changed")


def _moved_elsewhere(site: Site) -> None:
    site.forward(image(StudyInstanceUID="1.2.77"))


@pytest.mark.parametrize(
    ("came", "standing", "is_gap"),
    [
        (lambda _: None, Standing.MISSING, True),
        (_received, Standing.WAITING, False),
        (_indexed, Standing.INDEXED, False),
        (_not_used, Standing.LEFT_OUT, False),
        (_filtered_later, Standing.LEFT_OUT, False),
        (_filtered_at_once, Standing.LEFT_OUT, False),
        (_lost, Standing.LOST, True),
        (_failed, Standing.FAILED, True),
        (_quarantined, Standing.QUARANTINED, True),
        (_moved_elsewhere, Standing.QUARANTINED, True),
    ],
)
def test_only_what_should_be_in_the_index_and_is_not_is_a_gap(
    site: Site, came: Callable[[Site], None], standing: Standing, is_gap: bool
) -> None:
    site.hold(image())
    came(site)
    found = site.compare()
    assert found.standings == {standing: 1}
    assert gaps(found) == ({"1.2.3.1.9": standing} if is_gap else {})


@pytest.mark.slow
def test_why_something_is_left_out_or_failed_is_told(site: Site) -> None:
    site.hold(image(), image("1.2.4"))
    _not_used(site)
    site.forward(image("1.2.4"))
    site.ledger.end_work("1.2.4", "The object cannot be read within its limits.")
    found = site.compare()
    assert found.left_out == {"the image looks lateral": 1}
    assert [gap.reason for gap in found.gaps] == ["The object cannot be read within its limits."]
    assert "1 × the image looks lateral" in shown(found)


def test_what_the_pacs_is_asked_and_told_to_send_stands_in_the_audit_trail(
    site: Site, tmp_path: Path
) -> None:
    site.hold(image())
    there = audit_file(tmp_path / "audit.xml").model_dump()
    given = tables(tmp_path, site.pacs.port)
    given["listener"] |= {"audit": there}
    assert reconcile(parse(given), 1, fetching=True).fetched is not None
    messages = trail(tmp_path / "audit.xml")
    assert {kind(m) for m in messages} == {QUERIED, BEGIN}
    (begun,) = (m for m in messages if kind(m) == BEGIN)
    assert objects(begun, "110180") == ["1.2.3"]
    assert len(messages) == 1 + len(site.pacs.asked)
    assert {tuple(who_asked(m)) for m in messages} == {(who_asks().account,)}
    assert not any(word in (tmp_path / "audit.xml").read_text() for word in SENTINELS)


def test_a_lost_file_is_fetched_and_what_sending_cannot_help_is_not(site: Site) -> None:
    site.hold(image(), image("1.2.4"))
    _lost(site)
    site.forward(image("1.2.4"))
    site.ledger.quarantine("1.2.4.1.9", "its identity changed")
    found = site.compare(fetching=True)
    assert site.pacs.moved == [("1.2.3", "1.2.3.1")]
    assert gaps(found) == {"1.2.4.1.9": Standing.QUARANTINED}
    assert site.ledger.receipt("1.2.3.1.9")[-1].state is InstanceState.STORED


def test_other_modalities_classes_parts_of_the_body_and_own_results_are_no_gap(
    site: Site,
) -> None:
    own = KeyedUids(site_key(site.settings.state_dir))
    result, copy = report("1.2.3", 4), image("1.2.6")
    result.SOPInstanceUID, copy.StudyInstanceUID = own.make("result"), own.make("copy")
    site.hold(
        image(),
        report("1.2.3", 3, XRayRadiationDoseSRStorage),
        result,
        copy,
        image("1.2.4", BodyPartExamined="CHEST"),
        report("1.2.4"),
        image("1.2.5", Modality="MR"),
        report("1.2.7"),
    )
    assert gaps(site.compare()) == {"1.2.3.1.9": Standing.MISSING}


def test_words_of_the_description_can_narrow_what_is_compared(
    tmp_path: Path, pacs: Archive
) -> None:
    with at(tmp_path, pacs, words=["handgelenk"]) as site:
        site.hold(
            image("1.2.3", StudyDescription="Handgelenk links"),
            image("1.2.4", StudyDescription="Sprunggelenk"),
            image("1.2.5", StudyDescription=""),
        )
        assert set(gaps(site.compare())) == {"1.2.3.1.9", "1.2.5.1.9"}


def test_only_the_last_days_are_compared(site: Site) -> None:
    old = datetime.now(UTC) - timedelta(days=20)
    site.hold(image("1.2.3", StudyDate=f"{old:%Y%m%d}"))
    assert site.compare().studies == 0
    assert reconcile(site.settings, 21, fetching=False).studies == 1


def test_what_is_indexed_and_gone_from_the_pacs_is_listed_and_left_alone(site: Site) -> None:
    whole, part, there = image("1.2.3"), image("1.2.4", 1), image("1.2.4", 2)
    site.forward(whole, part, there, image("1.2.5"))
    site.index(whole)
    site.index(part)
    site.index(there)
    site.index(image("1.2.5"), reason="the image looks lateral")
    site.hold(there)
    found = site.compare()
    assert [(one.study_instance_uid, one.sop_instance_uids) for one in found.withdrawn] == [
        ("1.2.4", ("1.2.4.1.9",)),
        ("1.2.3", ("1.2.3.1.9",)),
    ]
    assert site.ledger.receipt("1.2.3.1.9")[0].state is InstanceState.STORED
    assert "nothing is deleted" in shown(found)


def test_a_series_that_is_gone_beside_one_of_another_part_of_the_body_is_noticed(
    site: Site,
) -> None:
    site.forward(image())
    site.index(image())
    site.hold(image("1.2.3", 5, BodyPartExamined="CHEST"))
    (one,) = site.compare().withdrawn
    assert one.sop_instance_uids == ("1.2.3.1.9",)


def test_what_was_handed_over_from_a_folder_need_not_be_in_the_pacs(site: Site) -> None:
    site.forward(image(), calling="WRISTMIR")
    site.index(image())
    assert site.compare().withdrawn == ()


def test_an_old_study_that_was_sent_today_is_looked_up_and_not_missed(site: Site) -> None:
    old = f"{datetime.now(UTC) - timedelta(days=900):%Y%m%d}"
    site.hold(image("1.2.3", 1, StudyDate=old), image("1.2.3", 2, StudyDate=old))
    site.forward(image("1.2.3", 1, StudyDate=old))
    site.index(image("1.2.3", 1))
    found = site.compare()
    assert (found.withdrawn, found.gaps) == ((), ())


def test_a_cut_answer_is_told_and_accuses_nobody_of_a_withdrawal(site: Site) -> None:
    site.forward(image("1.2.3", 1))
    site.index(image("1.2.3", 1))
    site.hold(image("1.2.3", 2), image("1.2.3", 3))
    site.pacs.limit, site.pacs.limit_status = 1, 0xA700
    found = site.compare()
    assert not found.complete
    assert found.withdrawn == ()
    assert any("raise its limit of answers" in warning for warning in found.warnings)


def test_a_pacs_that_lists_a_study_and_none_of_its_series_accuses_nobody(site: Site) -> None:
    site.forward(image())
    site.index(image())
    site.hold(image())

    def silent(event: Any, answers: Answers) -> Answers:
        if event.identifier.QueryRetrieveLevel == "STUDY":
            yield from answers

    site.pacs.behaves = silent
    assert site.compare().withdrawn == ()


def test_a_pacs_that_stops_in_the_middle_leaves_what_was_found_and_says_so(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site.hold(image("1.2.3"), image("1.2.4"))

    def stops(event: Any, answers: Answers) -> Answers:
        if event.identifier.get("StudyInstanceUID") == "1.2.4":
            event.assoc.abort()
            return
        yield from answers

    site.pacs.behaves = stops
    config = configured(site)
    status, out, err = wristmir(monkeypatch, capsys, "reconcile", "--json", "--config", config)
    told = json.loads(out)
    assert (status, told["complete"]) == (69, False)
    assert [gap["study_instance_uid"] for gap in told["gaps"]] == ["1.2.3"]
    assert told["warnings"] == ["pacs stopped in the middle."]
    assert "not compared as a whole" in err


def test_a_pacs_that_is_down_is_one_warning(site: Site, tmp_path: Path) -> None:
    dead = tables(tmp_path, 1)
    found = reconcile(parse(dead), fetching=False)
    assert not found.complete
    assert found.warnings == ("pacs: it cannot be reached or does not answer.",)


def test_without_a_pacs_to_ask_the_setting_is_named(tmp_path: Path) -> None:
    settings = parse({"state_dir": str(tmp_path), "listener": {}})
    with pytest.raises(ConfigurationError, match=r"set pipeline\.destination or listener"):
        reconcile(settings, fetching=False)


def test_a_time_that_is_over_is_told(tmp_path: Path, pacs: Archive) -> None:
    with at(tmp_path, pacs, run_seconds=0.0001) as site:
        site.hold(image())
        found = site.compare()
    assert not found.complete
    assert "ask for fewer days" in found.warnings[0]


def test_the_last_result_is_kept_for_its_owner_and_shown(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configured(site)
    status, _, err = wristmir(monkeypatch, capsys, "reconcile", "--last", "--config", config)
    assert (status, "nothing was reconciled yet" in err) == (1, True)
    site.hold(image())
    _, out, _ = wristmir(monkeypatch, capsys, "reconcile", "--json", "--config", config)
    _, last, _ = wristmir(monkeypatch, capsys, "reconcile", "--last", "--json", "--config", config)
    assert json.loads(last) == json.loads(out)
    status, text, _ = wristmir(monkeypatch, capsys, "reconcile", "--last", "--config", config)
    assert (status, "never received" in text, "--fetch" in text) == (0, True, True)
    kept = site.settings.state_dir / "reconciliation.json"
    assert kept.stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_the_doctor_tells_how_the_last_comparison_ended(site: Site) -> None:
    config = configured(site)

    def told() -> list[str]:
        checks = doctor.examine(config)
        return [f"{c.verdict}: {c.detail}" for c in checks if c.name == "reconciliation"]

    assert "never run" in told()[0]
    site.hold(image())
    site.forward(image("1.2.4"))
    site.index(image("1.2.4"))
    site.compare()
    first, missing, gone = told()
    assert first.startswith("ok: 1 studies compared with pacs")
    assert missing == "warning: 1 instances missing: see `wristmir reconcile --last`"
    assert gone.startswith("warning: 1 studies indexed here and gone")
    (site.settings.state_dir / "reconciliation.json").write_text("{}")
    assert "never run" in told()[0]


@pytest.mark.slow
def test_no_patient_stands_in_what_is_printed_kept_or_logged(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    site.hold(image(), report(), image("1.2.4"))
    site.forward(image("1.2.4"))
    site.index(image("1.2.4"))
    del site.pacs.holdings[2]
    config = configured(site)
    said = ""
    for words in (("--json",), (), ("--fetch",), ("--last",)):
        _, out, err = wristmir(monkeypatch, capsys, "reconcile", *words, "--config", config)
        said += out + err
    said += (site.settings.state_dir / "reconciliation.json").read_text()
    said += caplog.text
    assert "1.2.3.1" in said
    assert [secret for secret in SENTINELS if secret in said] == []


class _Mover:
    """Has series sent at once, or not at all."""

    def __init__(self, ledger: Ledger, fails: frozenset[str] = frozenset()) -> None:
        self.asked: list[str] = []
        self._fails = fails

    def series(self, study_uid: str, series_uid: str) -> int:
        self.asked.append(series_uid)
        if series_uid in self._fails or "all" in self._fails:
            msg = "pacs refused it with status 0xC000."
            raise MoveError(msg)
        return 1


def missing(number: int) -> list[Gap]:
    return [
        Gap(
            study_instance_uid=f"1.2.{n}",
            series_instance_uid=f"1.2.{n}.1",
            sop_instance_uids=(f"1.2.{n}.1.1",),
            standing=Standing.MISSING,
        )
        for n in range(number)
    ]


def test_no_more_is_asked_for_than_the_settings_allow_and_not_faster(site: Site) -> None:
    bounds = ReconciliationSettings(max_moves=3, moves_per_minute=30)
    waits: list[float] = []
    mover: Any = _Mover(site.ledger)
    fetched = fetch(site.ledger, mover, missing(5), bounds, sleep=waits.append)
    assert (fetched.series, fetched.left) == (3, 2)
    assert len(mover.asked) == 3
    assert waits[0] == 0
    assert all(1.9 < wait <= 2 for wait in waits[1:])


def test_a_failure_is_listed_and_the_others_are_asked_for_all_the_same(site: Site) -> None:
    bounds = ReconciliationSettings(moves_per_minute=6000)
    mover: Any = _Mover(site.ledger, frozenset({"1.2.0.1"}))
    fetched = fetch(site.ledger, mover, missing(2), bounds)
    assert mover.asked == ["1.2.0.1", "1.2.1.1"]
    assert [failure.reason for failure in fetched.failures] == [
        "pacs refused it with status 0xC000.",
        "the PACS says that it sent them, but they did not arrive",
    ]


def test_a_pacs_that_only_fails_is_left_alone_after_a_few(site: Site) -> None:
    bounds = ReconciliationSettings(moves_per_minute=6000)
    mover: Any = _Mover(site.ledger, frozenset({"all"}))
    fetched = fetch(site.ledger, mover, missing(9), bounds)
    assert (fetched.series, fetched.left, len(fetched.failures)) == (5, 4, 5)


def test_series_that_did_not_come_end_the_command_with_69(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site.hold(image())
    site.pacs.moves_to = {}
    config = configured(site)
    status, out, err = wristmir(monkeypatch, capsys, "reconcile", "--fetch", "--config", config)
    assert status == 69
    assert "does not know WRISTMIR" in out
    assert "1 series did not come" in err
    assert last_reconciliation(site.settings).missing == 1


def configured(site: Site) -> Path:
    """Write the site's settings as a configuration file."""
    file = site.folder / "wristmir.toml"
    file.write_text(
        f"""
state_dir = "{site.settings.state_dir}"
[listener]
host = "{LOOPBACK}"
port = {site.port}
watermark_bytes = 0
[[listener.peers]]
ae_title = "PACS"
addresses = ["{LOOPBACK}"]
[[listener.destinations]]
name = "pacs"
ae_title = "PACS"
host = "{LOOPBACK}"
port = {site.pacs.port}
[listener.reconciliation]
moves_per_minute = 6000.0
[pipeline]
destination = "pacs"
""",
        encoding="utf-8",
    )
    return file
