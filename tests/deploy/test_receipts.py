"""Receipts: what became of an instance, true at every stage, and no patient in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from ledger_parts import INDEX_TITLE, STUDY, Clock, instance
from plugin import STUDIES, plugin
from pydicom import Dataset, dcmread
from rich.console import Console
from test_cli import wristmir

from deploy.errors import InputError
from deploy.life_line import LifeLine
from deploy.life_tree import life_tree
from deploy.receipts import UnknownUidError, life_lines
from deploy.settings import Settings, parse, site_key
from deploy.state import open_outbox
from listener.instance import Instance
from listener.job import COMMIT
from listener.ledger import Ledger
from listener.milestone import Placement
from pipeline.region import Region
from pipeline.uid import KeyedUids
from pipeline.worker import ANSWER, DELIVER, MINE, QUERY

UID = "1.2.3.4"
INDEX = "bundle-1"
RADIUS = {"regions": ["distal_radius"]}


@dataclass(eq=False)
class Life:
    """A ledger and an outbox in which a test plays the life of one image."""

    settings: Settings
    ledger: Ledger
    clock: Clock
    folder: Path

    def arrives(self, one: Instance | None = None, *, minutes: int = 1) -> Instance:
        """Receive an image, with its file in the inbox."""
        self.clock.move(60 * minutes)
        one = one or instance(UID)
        path = self.folder / f"{one.sop_instance_uid}-{one.digest}.dcm"
        path.touch()
        kept = replace(one, path=path)
        self.ledger.record_instance(kept, calling_ae="PACS", title=INDEX_TITLE)
        return kept

    def indexed(self, index: str = INDEX, **detail: str) -> None:
        """Index the study a minute later."""
        self.clock.move(60)
        if self.ledger.indices.serving() is None:
            self.ledger.indices.serve(index)
        (version, *_) = [row.version for row in self.ledger.instances(STUDY)]
        told = detail or {"used_as": "exam", "view": "pa", "side": "left"}
        generation = self.ledger.study(STUDY).generation
        self.ledger.indices.mark_indexed(STUDY, generation, index, [Placement(UID, version, told)])

    def works(self, kind: str, outcome: dict[str, Any], subject: str = STUDY) -> int:
        """Let a job of this kind be done a minute after it was asked for."""
        number = self.ledger.enqueue(kind, subject, RADIUS if kind in (ANSWER, QUERY) else {})
        job = self.ledger.lease([kind], 60)
        assert job is not None
        self.clock.move(60)
        self.ledger.finish(job, outcome)
        return number

    def breaks(self, kind: str, error: str, subject: str = STUDY) -> int:
        """Let a job of this kind die."""
        number = self.ledger.enqueue(kind, subject, RADIUS if kind in (ANSWER, QUERY) else {})
        job = self.ledger.lease([kind], 60)
        assert job is not None
        self.ledger.fail(job, error, retry=False)
        return number

    def answers(self, name: str = "answer-1-1-x") -> None:
        """Answer for the image: a result set waits in the outbox."""
        self.works(ANSWER, {"answered": 1, "matches": 10, "results": [name]})
        with closing(open_outbox(self.settings)) as outbox:
            outbox.put(name, UID, [], [_report()], self.clock.now, [Region.DISTAL_RADIUS])

    def delivers(self, name: str = "answer-1-1-x") -> None:
        """Deliver a result set a minute later."""
        self.works(DELIVER, {"delivered": 2, "copies": 0, "destination": "pacs"}, name)
        with closing(open_outbox(self.settings)) as outbox:
            outbox.delivered(name, self.clock.now)

    def lines(self, *uids: str) -> list[LifeLine]:
        return list(life_lines(self.settings, uids or (UID,)))

    def told(self) -> dict[str, Any]:
        """Return the line of the newest version, as programs get it."""
        return self.lines()[-1].as_json()


def _report() -> Dataset:
    report = dcmread(next(STUDIES.glob("*/report.dcm")))
    report.StudyInstanceUID = STUDY
    return report


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    settings = parse({"state_dir": str(tmp_path / "state"), "listener": {}})
    site_key(settings.state_dir)
    clock = Clock()
    with Ledger(settings.ledger_url, clock) as ledger:
        yield Life(settings, ledger, clock, tmp_path)


def at(minute: int) -> str:
    return f"2024-01-01T00:{minute:02d}:00+00:00"


def _received(life: Life) -> None:
    life.arrives()


def _filtered_at_once(life: Life) -> None:
    life.clock.move(60)
    one = replace(instance(UID), path=None)
    life.ledger.record_filtered(one, "not a radiograph", calling_ae="PACS", title=INDEX_TITLE)


def _indexed(life: Life) -> None:
    life.arrives()
    life.indexed()


def _read(life: Life) -> None:
    life.arrives()
    life.indexed(used_as="report")
    life.works(MINE, {"enriched": 1})


def _not_used(life: Life) -> None:
    life.arrives()
    life.indexed(reason="the image looks lateral")


def _filtered_later(life: Life) -> None:
    life.arrives()
    life.indexed(reason="it is labelled as another part of the body")
    life.ledger.filter_instance(UID, "it is labelled as another part of the body")


def _waiting(life: Life) -> None:
    life.arrives()
    life.ledger.enqueue("index", STUDY)


def _failed(life: Life) -> None:
    life.arrives()
    life.breaks("index", "The object cannot be read within its limits.")


def _quarantined(life: Life) -> None:
    life.arrives()
    life.arrives(instance(UID, digest="b", patient="q"))


def _changed(life: Life) -> None:
    life.arrives()
    life.indexed()
    life.arrives(instance(UID, digest="b"))


def _expired(life: Life) -> None:
    life.arrives()
    life.indexed()
    life.ledger.close_due_arrivals()
    life.clock.move(86400)
    life.ledger.close_due_arrivals()
    job = life.ledger.lease(["index"], 60)
    if job is not None:
        life.ledger.finish(job)
    life.clock.move(9 * 86400)
    assert life.ledger.expire(timedelta(days=5)) == 1


def _lost(life: Life) -> None:
    path = life.arrives().path
    assert path is not None
    path.unlink()
    life.clock.move(120)
    life.ledger.mark_lost(path)


def _asked(life: Life) -> None:
    _indexed(life)
    life.ledger.enqueue(ANSWER, STUDY, RADIUS)


def _answered(life: Life) -> None:
    _indexed(life)
    life.answers()


def _unanswered(life: Life) -> None:
    _not_used(life)
    life.works(ANSWER, {"answered": 0, "reason": "no PA wrist radiograph"})


def _asked_by_command(life: Life) -> None:
    _indexed(life)
    own = {"query": {"sop_instance_uid": UID}, "regions": [{"matches": [1, 2, 3]}]}
    life.works(QUERY, {"answers": [own], "reason": ""})


def _waits_for_the_pacs(life: Life) -> None:
    _answered(life)
    life.ledger.enqueue(DELIVER, "answer-1-1-x")


def _not_delivered(life: Life) -> None:
    _answered(life)
    life.breaks(DELIVER, "Destination pacs refused an object.", "answer-1-1-x")


def _delivered(life: Life) -> None:
    _answered(life)
    life.delivers()


def _not_committed_yet(life: Life) -> None:
    _answered(life)
    life.works(DELIVER, {"delivered": 2, "copies": 0, "destination": "pacs"}, "answer-1-1-x")
    life.ledger.enqueue(COMMIT, "answer-1-1-x")


def _committed(life: Life) -> None:
    _delivered(life)
    life.works(COMMIT, {"committed": 2}, "answer-1-1-x")


def _not_offered(life: Life) -> None:
    _delivered(life)
    life.works(COMMIT, {"committed": 0}, "answer-1-1-x")


PLACE = {"used_as": "exam", "view": "pa", "side": "left", "bundle": INDEX, "at": at(2)}
NAME = "answer-1-1-x"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("played", "state", "stages"),
    [
        (
            _received,
            "stored",
            {
                "received": {"at": at(1), "calling_ae": "PACS", "called_ae": "WRISTMIR"},
                "durable": {"at": at(1), "file_there": True},
                "set_aside": None,
                "indexed": {"state": "waiting", "reason": "its study has not gone quiet"},
                "answered": [],
                "delivered": [],
                "committed": [],
            },
        ),
        (
            _filtered_at_once,
            "filtered",
            {
                "durable": {"at": None, "file_there": False},
                "set_aside": {"state": "filtered", "at": at(1), "reason": "not a radiograph"},
                "indexed": {"state": "not indexed", "reason": "not a radiograph"},
            },
        ),
        (_waiting, "stored", {"indexed": {"state": "waiting", "job": 1}}),
        (
            _failed,
            "stored",
            {
                "indexed": {
                    "state": "failed",
                    "job": 1,
                    "reason": "The object cannot be read within its limits.",
                }
            },
        ),
        (_indexed, "stored", {"indexed": {"state": "indexed", **PLACE}}),
        (
            _read,
            "stored",
            {"indexed": {"state": "indexed", "used_as": "report", "at": at(2), "read_at": at(3)}},
        ),
        (
            _not_used,
            "stored",
            {
                "set_aside": None,
                "indexed": {
                    "state": "not indexed",
                    "reason": "the image looks lateral",
                    "at": at(2),
                },
            },
        ),
        (
            _filtered_later,
            "filtered",
            {
                "durable": {"at": at(1), "file_there": False},
                "set_aside": {
                    "state": "filtered",
                    "at": at(2),
                    "reason": "it is labelled as another part of the body",
                },
                "indexed": {"state": "not indexed"},
            },
        ),
        (
            _quarantined,
            "quarantined",
            {
                "durable": {"at": at(2), "file_there": True},
                "set_aside": {
                    "state": "quarantined",
                    "at": at(2),
                    "reason": "the study came before with another patient identity",
                },
                "indexed": {"state": "not indexed"},
            },
        ),
        (_changed, "stored", {"indexed": {"state": "waiting"}, "set_aside": None}),
        (
            _expired,
            "expired",
            {
                "durable": {"at": at(1), "file_there": False},
                "set_aside": {
                    "state": "expired",
                    "at": "2024-01-11T00:02:00+00:00",
                    "reason": "older than the retention time",
                },
                "indexed": {"state": "indexed", **PLACE},
            },
        ),
        (
            _lost,
            "lost",
            {
                "durable": {"at": at(1), "file_there": False},
                "set_aside": {
                    "state": "lost",
                    "at": at(3),
                    "reason": "its file is missing from the inbox",
                },
                "indexed": {"state": "not indexed", "reason": "it was lost before"},
            },
        ),
        (
            _asked,
            "stored",
            {"answered": [{"state": "ready", "by": "send", "asked_at": at(2)}], "delivered": []},
        ),
        (
            _answered,
            "stored",
            {
                "answered": [
                    {
                        "state": "done",
                        "by": "send",
                        "asked_at": at(2),
                        "answered_at": at(3),
                        "regions": ["distal_radius"],
                        "matches": 10,
                        "results": [NAME],
                    }
                ],
                "delivered": [{"result": NAME, "state": "not sent"}],
                "committed": [],
            },
        ),
        (
            _unanswered,
            "stored",
            {"answered": [{"reason": "no PA wrist radiograph", "matches": None}], "delivered": []},
        ),
        (_asked_by_command, "stored", {"answered": [{"by": "command", "matches": 3}]}),
        (_waits_for_the_pacs, "stored", {"delivered": [{"state": "waiting", "at": None}]}),
        (
            _not_delivered,
            "stored",
            {"delivered": [{"state": "failed", "reason": "Destination pacs refused an object."}]},
        ),
        (
            _delivered,
            "stored",
            {
                "delivered": [
                    {"result": NAME, "state": "delivered", "at": at(4), "destination": "pacs"}
                ],
                "committed": [{"result": NAME, "state": "not asked", "at": None}],
            },
        ),
        (
            _not_committed_yet,
            "stored",
            {
                "delivered": [{"state": "stored", "at": None, "destination": "pacs"}],
                "committed": [{"result": NAME, "state": "waiting", "at": None}],
            },
        ),
        (
            _committed,
            "stored",
            {"committed": [{"result": NAME, "state": "committed", "at": at(5)}]},
        ),
        (_not_offered, "stored", {"committed": [{"state": "not offered"}]}),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
def test_the_receipt_tells_the_truth_at_every_stage(
    life: Life, played: Callable[[Life], None], state: str, stages: dict[str, Any]
) -> None:
    played(life)
    told = life.told()
    assert told["state"] == state
    for stage, expected in stages.items():
        assert _part(told[stage], expected) == expected, stage
    assert set(told["indexed"]) == KEYS["indexed"]
    assert set(told) == KEYS["line"]


KEYS = {
    "line": {
        *("sop_instance_uid", "series_instance_uid", "study_instance_uid", "version", "state"),
        *("received", "durable", "set_aside", "indexed", "answered", "delivered", "committed"),
    },
    "indexed": {
        *("state", "used_as", "view", "side", "at", "bundle", "reason", "read_at", "job"),
    },
}


def _part(told: Any, expected: Any) -> Any:
    """Return what a stage says of the keys that are expected."""
    if isinstance(expected, list) and isinstance(told, list):
        pairs = zip(told, expected, strict=False)
        return [_part(*pair) for pair in pairs] if len(told) == len(expected) else told
    if isinstance(expected, dict) and isinstance(told, dict):
        return {key: told[key] for key in expected}
    return told


def test_every_version_has_a_line_and_the_earlier_one_is_superseded(life: Life) -> None:
    _changed(life)
    first, second = (line.as_json() for line in life.lines())
    assert (first["version"], second["version"]) == (1, 2)
    assert first["set_aside"] == {
        "state": "superseded",
        "at": at(3),
        "reason": "a newer version came",
    }
    assert first["indexed"]["state"] == "not indexed"
    life.indexed()
    assert life.told()["indexed"]["state"] == "indexed"


def test_another_index_that_serves_by_now_is_the_one_that_counts(life: Life) -> None:
    _indexed(life)
    life.ledger.indices.serve("bundle-2")
    assert life.told()["indexed"]["state"] == "waiting"
    life.indexed("bundle-2", reason="the image looks lateral")
    assert life.told()["indexed"]["bundle"] == "bundle-2"
    life.ledger.indices.serve(INDEX)
    assert life.told()["indexed"]["bundle"] == INDEX


def test_a_lost_index_takes_the_places_in_it_along(life: Life) -> None:
    _indexed(life)
    life.ledger.indices.forget(INDEX)
    life.ledger.indices.reopen_studies()
    assert life.told()["indexed"]["state"] == "waiting"


def test_what_retention_forgot_of_the_jobs_the_outbox_still_tells(life: Life) -> None:
    _delivered(life)
    life.clock.move(10 * 86400)
    assert life.ledger.forget_jobs(timedelta(days=5)) == 2
    told = life.told()
    assert [(one["job"], one["results"]) for one in told["answered"]] == [(None, [NAME])]
    assert [(one["state"], one["destination"]) for one in told["delivered"]] == [
        ("delivered", None)
    ]


def test_an_answer_about_another_image_of_the_study_is_not_told_of_this_one(life: Life) -> None:
    _indexed(life)
    life.arrives(instance("1.2.3.5"))
    life.answers()
    one, other = life.lines(STUDY)
    assert (len(one.answered), len(other.answered)) == (1, 0)
    assert (len(one.delivered), len(other.delivered)) == (1, 0)


def test_a_request_that_another_took_in_is_told_once(life: Life) -> None:
    _indexed(life)
    life.ledger.enqueue(ANSWER, STUDY, RADIUS)
    job = life.ledger.lease([ANSWER], 60)
    assert job is not None
    life.ledger.enqueue(ANSWER, STUDY, RADIUS)
    life.ledger.fail(job, "the index is away", outage=True)
    (asked,) = life.told()["answered"]
    assert (asked["job"], asked["state"], asked["reason"]) == (job.id, "ready", "the index is away")


def test_a_series_or_a_study_names_everything_in_it(life: Life) -> None:
    life.arrives()
    life.arrives(instance("1.2.3.5"))
    for uid in (STUDY, "1.2.3.9"):
        assert [line.row.sop_instance_uid for line in life.lines(uid)] == [UID, "1.2.3.5"]


def test_a_uid_of_which_nothing_came_says_so_after_the_others_were_told(
    life: Life, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    life.arrives()
    config = configured(life)
    status, out, err = wristmir(
        monkeypatch, capsys, "receipt", "1.2.99", UID, "--json", "--config", config
    )
    assert status == 1
    assert [json.loads(line)["sop_instance_uid"] for line in out.splitlines()] == [UID]
    assert "1.2.99: nothing of it was ever received; look whether the PACS forwards it" in err


def test_a_uid_of_the_plugins_own_says_so(life: Life) -> None:
    own = KeyedUids(site_key(life.settings.state_dir)).make("result")
    with pytest.raises(UnknownUidError, match="this plugin made it"):
        life.lines(own)


def test_what_is_no_uid_is_refused(life: Life) -> None:
    with pytest.raises(InputError, match="not a UID"):
        life.lines("../../etc/passwd")


def test_a_receipt_makes_no_ledger_where_none_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = tmp_path / "wristmir.toml"
    config.write_text(f'state_dir = "{tmp_path / "state"}"\n[listener]\n', encoding="utf-8")
    status, _, err = wristmir(monkeypatch, capsys, "receipt", UID, "--config", config)
    assert (status, "start `wristmir serve` first" in err) == (69, True)
    assert not (tmp_path / "state").exists()


def test_receipts_lists_what_came_last_of_a_state(
    life: Life, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        life.arrives(instance(f"1.2.3.{number}"))
    _filtered_at_once(life)
    life.ledger.quarantine("1.2.3.1", "its identity changed")
    config = configured(life)

    def listed(*words: str) -> list[str]:
        _, out, _ = wristmir(monkeypatch, capsys, "receipts", "--json", *words, "--config", config)
        return [json.loads(line)["sop_instance_uid"] for line in out.splitlines()]

    assert listed() == [UID, "1.2.3.2", "1.2.3.1", "1.2.3.0"]
    assert listed("--limit", "2") == [UID, "1.2.3.2"]
    assert listed("--state", "filtered", "--state", "quarantined") == [UID, "1.2.3.1"]
    _, out, _ = wristmir(
        monkeypatch, capsys, "receipts", "--state", "quarantined", "--config", config
    )
    assert "its identity changed" in out
    assert UID not in out


def shown(lines: list[LifeLine]) -> str:
    out = StringIO()
    Console(file=out, width=160).print(life_tree(lines))
    return out.getvalue()


def test_people_see_every_stage_with_a_mark(life: Life) -> None:
    _delivered(life)
    rows = [line.split() for line in shown(life.lines()).splitlines()]
    marks = {words[1]: words[0] for words in rows if len(words) > 2 and len(words[0]) == 1}
    assert marks == {
        "received": "✔",
        "durable": "✔",
        "indexed": "✔",
        "answered": "✔",
        "delivered": "✔",
        "committed": "–",
    }


@pytest.mark.parametrize(
    ("played", "words"),
    [
        (_received, "… indexed waiting: its study has not gone quiet"),
        (_failed, "✘ indexed failed: The object cannot be read within its limits."),
        (_filtered_at_once, "– filtered 2024-01-01 00:01:00Z not a radiograph"),
        (_quarantined, "✘ quarantined 2024-01-01 00:02:00Z the study came before with another"),
        (_lost, "✘ durable 2024-01-01 00:01:00Z its file is gone"),
        (_not_delivered, "✘ delivered failed, Destination pacs refused an object."),
        (_waits_for_the_pacs, "… delivered waiting"),
        (_unanswered, "– answered 2024-01-01 00:03:00Z distal radius, no PA wrist radiograph"),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
def test_people_see_what_is_wrong(life: Life, played: Callable[[Life], None], words: str) -> None:
    played(life)
    assert words in " ".join(shown(life.lines()).split())


@pytest.mark.slow
def test_a_real_image_is_followed_to_the_pacs_and_names_no_patient(tmp_path: Path) -> None:
    names = ("PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "StudyDescription")
    secrets = {keyword: f"Sentinel{number}" for number, keyword in enumerate(names)}
    secrets["PatientBirthDate"] = "20130304"
    files = []
    for number, file in enumerate(sorted((STUDIES / "TEST-0001-1").glob("*.dcm"))):
        dataset = dcmread(file)
        for keyword, value in secrets.items():
            setattr(dataset, keyword, value)
        files.append(tmp_path / f"{number}.dcm")
        dataset.save_as(files[-1], enforce_file_format=True)
    study = str(dataset.StudyInstanceUID)
    with plugin(tmp_path / "plugin") as running:
        running.send(sorted((STUDIES / "TEST-0005-1").glob("*.dcm")))
        running.send(files, "WRISTMIR_Q_DR")
        running.settle()
        lines = list(life_lines(running.settings, [study]))
    told = [line.as_json() for line in lines]
    assert [one["indexed"]["used_as"] for one in told] == ["exam", "report"]
    assert told[0]["indexed"]["view"] == "pa"
    assert told[0]["indexed"]["side"] == "left"
    assert told[0]["indexed"]["at"] > told[0]["received"]["at"]
    assert told[1]["indexed"]["read_at"] is not None
    (asked,) = told[0]["answered"]
    assert asked["answered_at"] > asked["asked_at"]
    (delivered,) = told[0]["delivered"]
    assert (delivered["state"], delivered["destination"]) == ("delivered", "pacs")
    assert told[1]["answered"] == []
    said = shown(lines) + json.dumps(told)
    assert [secret for secret in secrets.values() if secret in said] == []


def configured(life: Life) -> Path:
    file = life.folder / "wristmir.toml"
    file.write_text(f'state_dir = "{life.settings.state_dir}"\n[listener]\n', encoding="utf-8")
    return file
