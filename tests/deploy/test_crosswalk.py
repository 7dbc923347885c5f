"""The way back from a library copy by command: told before it is answered, and guarded by a key."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from audit_parts import ACCESSED, QUERIED, ended, kind, objects, queries, trail, who_asked
from plugin import free_port
from station import LOOPBACK, radiograph
from test_cli import wristmir
from test_look_up import WHO

from deploy.doctor import Check, examine
from deploy.folder import index_folder
from deploy.settings import load
from deploy.state import open_crosswalk
from listener.ledger import Ledger

COPY, STUDY, SOURCE = "2.25.4711", "1.2.3", "1.2.3.4"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with an audit trail, a received instance and a copy that was made of it."""
    file = tmp_path / "wristmir.toml"
    file.write_text(
        f'state_dir = "{tmp_path / "state"}"\n'
        f'[pipeline]\ncrosswalk_key = "{tmp_path / "keys" / "crosswalk"}"\n'
        f'[listener]\nhost = "{LOOPBACK}"\nport = {free_port()}\nwatermark_bytes = 0\n'
        f'[[listener.peers]]\nae_title = "PACS"\naddresses = ["{LOOPBACK}"]\n'
        '[[listener.audit.destinations]]\nname = "log"\nkind = "file"\n'
        f'path = "{tmp_path / "audit.xml"}"\n',
        encoding="utf-8",
    )
    (tmp_path / "study").mkdir()
    ds = radiograph(study=STUDY, instance=SOURCE, patient="PLANTED-ID")
    ds.save_as(tmp_path / "study" / "1.dcm", enforce_file_format=True)
    index_folder(load(file), tmp_path / "study")
    with closing(open_crosswalk(load(file), lambda *_: None)) as crosswalk:
        crosswalk.keep(COPY, SOURCE, STUDY)
    (tmp_path / "audit.xml").unlink()  # what the receiver has told of it is not of interest here
    return file


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path) -> Run:
    """Give a command with the configuration; return exit status, stdout and stderr."""
    return lambda *words: wristmir(monkeypatch, capsys, *words, "--config", config)


def test_a_copy_leads_to_its_source_and_the_trail_says_who_went_that_way(
    run: Run, config: Path, tmp_path: Path
) -> None:
    status, printed, _ = run("crosswalk", "source", COPY, "--json")
    assert status == 0
    found = json.loads(printed)
    assert (found["copy"], found["sop_instance_uid"]) == (COPY, SOURCE)
    assert (found["study_instance_uid"], found["version"]) == (STUDY, 1)
    query, accessed = trail(tmp_path / "audit.xml")
    assert (kind(query), kind(accessed)) == (QUERIED, ACCESSED)
    assert queries(query) == [f"crosswalk {COPY}".encode()]
    assert who_asked(query) == who_asked(accessed) == [WHO]
    assert objects(accessed, "110180") == [STUDY]
    with Ledger(load(config).ledger_url) as ledger:
        assert objects(accessed, "2") == [ledger.receipts()[0].patient_key]


def test_a_copy_that_is_not_known_is_told_too(run: Run, tmp_path: Path) -> None:
    status, _, said = run("crosswalk", "source", "2.25.1")
    assert status == 66
    assert "2.25.1: no library copy of this name is known" in said
    _, accessed = trail(tmp_path / "audit.xml")
    assert ended(accessed)[1:] == ("4", "nothing is known of it")


def test_where_the_trail_cannot_be_kept_nothing_is_answered(run: Run, config: Path) -> None:
    words = config.read_text(encoding="utf-8")
    config.write_text(words[: words.index("[[listener.audit")], encoding="utf-8")
    status, printed, said = run("crosswalk", "source", COPY, "--json")
    assert (status, printed) == (78, "")
    assert "set listener.audit.destinations" in said


def test_a_word_that_is_no_uid_is_refused(run: Run) -> None:
    status, printed, said = run("crosswalk", "source", "PLANTED-ID")
    assert (status, printed) == (66, "")
    assert "not a UID" in said


@pytest.mark.slow
def test_a_lost_key_is_said_to_be_so_by_command_and_doctor(
    run: Run, config: Path, tmp_path: Path
) -> None:
    (tmp_path / "keys" / "crosswalk").unlink()
    status, printed, said = run("crosswalk", "source", COPY)
    assert (status, printed) == (69, "")
    assert "restore it from its backup" in said
    (check,) = [one for one in examine(config) if one.name == "crosswalk"]
    assert check.verdict == "error"
    assert not (tmp_path / "keys" / "crosswalk").exists()


@pytest.mark.slow
def test_the_doctor_warns_where_the_key_lies_beside_what_it_guards(
    config: Path, tmp_path: Path
) -> None:
    (check,) = [one for one in examine(config) if one.name == "crosswalk"]
    assert check.verdict == "ok"
    shutil.move(tmp_path / "keys" / "crosswalk", tmp_path / "state" / "crosswalk.key")
    words = config.read_text(encoding="utf-8").splitlines(keepends=True)
    config.write_text("".join(w for w in words if "crosswalk_key" not in w), encoding="utf-8")
    (check,) = [one for one in examine(config) if one.name == "crosswalk"]
    assert check.verdict == "warning"
    assert "pipeline.crosswalk_key" in check.detail


def test_copies_at_a_destination_that_is_none_any_more_are_told_until_it_is_said_to_be_gone(
    run: Run, config: Path
) -> None:
    with closing(open_crosswalk(load(config), lambda *_: None)) as crosswalk:
        crosswalk.begin_delivery([COPY], "old-archive")
        crosswalk.mark_delivered([COPY], "old-archive")
        assert [one.verdict for one in looks(config)] == ["ok"]  # nobody has rejected anything
        crosswalk.reject(STUDY, {SOURCE: "113001"})
    (_, told) = looks(config)
    assert told.verdict == "warning"
    assert "copies of rejected priors at old-archive" in told.detail
    assert ": 1; configure it again" in told.detail
    assert "`wristmir crosswalk gone old-archive`" in told.detail
    status, printed, _ = run("crosswalk", "gone", "old-archive", "--json")
    assert (status, json.loads(printed)) == (0, {"destination": "old-archive", "copies": 1})
    assert [one.verdict for one in looks(config)] == ["ok"]
    status, _, said = run("crosswalk", "gone", "old-archive")
    assert status == 66
    assert "no library copy was sent" in said


def test_a_destination_that_is_configured_is_not_gone(run: Run, config: Path) -> None:
    with config.open("a", encoding="utf-8") as file:
        file.write(
            '[[listener.destinations]]\nname = "here"\nae_title = "HERE"\n'
            f'host = "{LOOPBACK}"\nport = 104\n'
        )
    status, _, said = run("crosswalk", "gone", "here")
    assert status == 66
    assert "take it out of there first, and restart every worker" in " ".join(said.split())


def test_workers_are_to_be_restarted_before_a_destination_is_said_to_be_gone(
    run: Run, config: Path
) -> None:
    """One that still runs with it may be sending there."""
    _, printed, _ = run("crosswalk", "gone", "--help")
    assert "restart every worker" in " ".join(printed.replace("│", " ").split())
    with closing(open_crosswalk(load(config), lambda *_: None)) as crosswalk:
        crosswalk.begin_delivery([COPY], "old-archive")
        crosswalk.reject(STUDY, {SOURCE: "113001"})
    assert "once no worker runs with it any more" in looks(config)[-1].detail


def looks(config: Path) -> list[Check]:
    return [one for one in examine(config) if one.name == "crosswalk"]


def test_the_key_is_changed_by_command(run: Run, tmp_path: Path) -> None:
    key = tmp_path / "keys" / "crosswalk"
    before = key.read_bytes()
    status, printed, _ = run("crosswalk", "rotate-key", "--json")
    assert (status, json.loads(printed)) == (0, {"copies": 1})
    assert key.read_bytes() != before
    assert run("crosswalk", "source", COPY)[0] == 0


def test_a_key_that_was_handed_over_is_changed_in_a_copy_of_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    shutil.copy(tmp_path / "keys" / "crosswalk", tmp_path / "copy" / "key")
    assert run("crosswalk", "rotate-key", "--key-file", tmp_path / "copy" / "key")[0] == 0
    assert run("crosswalk", "source", COPY)[0] == 69
    assert run("crosswalk", "source", COPY, "--key-file", tmp_path / "copy" / "key")[0] == 0
