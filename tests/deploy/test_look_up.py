"""Commands that look into the records, in the audit trail: who gave them, and whose records."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from audit_parts import (
    ACCESSED,
    QUERIED,
    STARTS,
    STOPS,
    ended,
    kind,
    objects,
    queries,
    trail,
    who_asked,
)
from lxml import etree
from plugin import free_port
from plugin import tables as plugin_tables
from station import LOOPBACK, eventually, radiograph
from test_cli import wristmir

from deploy.folder import index_folder
from deploy.look_up import command_audit, looking_up, who_asks
from deploy.settings import Settings, load, parse
from listener.errors import AuditError, ListenerError
from listener.ledger import Ledger
from listener.sender import echo

WHO = pwd.getpwuid(os.geteuid()).pw_name
STUDY = "1.2.3"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with an audit trail and one received instance."""
    file = tmp_path / "wristmir.toml"
    there = tmp_path / "audit.xml"
    file.write_text(
        f'state_dir = "{tmp_path / "state"}"\n[listener]\nhost = "{LOOPBACK}"\n'
        f"port = {free_port()}\nwatermark_bytes = 0\n"
        f'[[listener.peers]]\nae_title = "PACS"\naddresses = ["{LOOPBACK}"]\n'
        f'[[listener.audit.destinations]]\nname = "log"\nkind = "file"\npath = "{there}"\n',
        encoding="utf-8",
    )
    (tmp_path / "study").mkdir()
    ds = radiograph(study=STUDY, instance="1.2.3.4", patient="PLANTED-ID")
    ds.save_as(tmp_path / "study" / "1.dcm", enforce_file_format=True)
    index_folder(load(file), tmp_path / "study")
    there.unlink()  # what the receiver has told of it is not of interest here
    return file


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path) -> Run:
    """Give a command with the configuration; return exit status, stdout and stderr."""
    return lambda *words: wristmir(monkeypatch, capsys, *words, "--config", config)


def told(folder: Path) -> list[etree._Element]:
    return trail(folder / "audit.xml")


def patient_of(config: Path) -> str:
    with Ledger(load(config).ledger_url) as ledger:
        return ledger.receipts()[0].patient_key


@pytest.mark.parametrize("uid", [STUDY, "1.2.3.4"])
def test_a_receipt_is_told_with_who_asked_and_whose_it_is(
    run: Run, config: Path, tmp_path: Path, uid: str
) -> None:
    run("receipt", uid, "--json")
    query, accessed = told(tmp_path)
    assert (kind(query), kind(accessed)) == (QUERIED, ACCESSED)
    assert queries(query) == [f"receipt {uid}".encode()]
    assert who_asked(query) == who_asked(accessed) == [WHO]
    assert objects(accessed, "110180") == [STUDY]
    assert objects(accessed, "2") == [patient_of(config)]


def test_a_receipt_of_what_was_never_received_is_told_too(
    run: Run, config: Path, tmp_path: Path
) -> None:
    assert run("receipt", "1.9.9")[0] == 1
    query, accessed = told(tmp_path)
    assert queries(query) == [b"receipt 1.9.9"]
    assert ended(accessed)[1:] == ("4", "nothing is known of it")
    assert objects(accessed, "110180") == ["unknown"]


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["receipts", "--state", "stored"], b"receipts --state=stored"),
        (["reports"], b"reports"),
        (["reports", "--state", "lost"], b"reports --state=lost"),
        (["jobs", "--state", "dead"], b"jobs --state=dead"),
        (["jobs", "retry"], b"jobs retry --all"),
    ],
)
def test_a_list_is_told_as_what_was_asked(
    run: Run, config: Path, tmp_path: Path, words: list[str], asked: bytes
) -> None:
    run(*words)
    (message,) = told(tmp_path)
    assert (kind(message), queries(message), who_asked(message)) == (QUERIED, [asked], [WHO])


def test_a_job_is_told_with_the_study_that_it_is_about(
    run: Run, config: Path, tmp_path: Path
) -> None:
    with Ledger(load(config).ledger_url) as ledger:
        number = ledger.enqueue("index", STUDY)
    run("jobs", "show", number)
    query, accessed = told(tmp_path)
    assert queries(query) == [f"jobs show {number}".encode()]
    assert objects(accessed, "2") == [patient_of(config)]


@pytest.mark.slow
def test_a_question_for_similar_cases_is_told_before_it_is_answered(
    run: Run, config: Path, tmp_path: Path
) -> None:
    words = ("--timeout", "1")
    assert run("query", STUDY, *words) != 0  # nobody works here
    assert run("query", str(tmp_path / "study" / "1.dcm"), *words) != 0
    query, accessed, of_a_file = told(tmp_path)
    assert queries(query) == [f"query {STUDY}".encode()]
    assert objects(accessed, "110180") == [STUDY]
    assert queries(of_a_file) == [b"query (another word)"]


def test_reports_are_told_of_where_they_were_received_and_not_elsewhere(
    run: Run, config: Path, tmp_path: Path
) -> None:
    here = tmp_path / "state" / "reports"
    here.mkdir(parents=True, exist_ok=True)
    for folder in (here, tmp_path):
        (folder / "a.txt").write_text("Left wrist. No fracture.")
    run("mine", str(tmp_path / "a.txt"))
    assert not (tmp_path / "audit.xml").exists()
    run("mine", str(here / "a.txt"))
    (message,) = told(tmp_path)
    assert queries(message) == [b"mine"]


def test_the_last_reconciliation_is_told_when_it_is_shown(
    run: Run, config: Path, tmp_path: Path
) -> None:
    run("reconcile", "--last")
    (message,) = told(tmp_path)
    assert queries(message) == [b"reconcile --last"]


def test_a_word_that_may_be_a_name_is_not_told(config: Path, tmp_path: Path) -> None:
    with looking_up(load(config), "receipt", "Invented^Ines", "1.2.3", 4):
        pass
    (message,) = told(tmp_path)
    assert queries(message) == [b"receipt (another word) 1.2.3 4"]


def test_nothing_is_shown_where_the_trail_cannot_be_kept(
    run: Run, config: Path, tmp_path: Path
) -> None:
    for file in (tmp_path / "state" / "audit").iterdir():
        file.unlink()
    (tmp_path / "state" / "audit").rmdir()
    (tmp_path / "state" / "audit").write_text("no folder")
    status, out, err = run("receipt", STUDY, "--json")
    assert (status, out) == (69, "")
    assert "spool cannot be opened" in err
    with pytest.raises(AuditError):
        command_audit(load(config))


def test_without_a_trail_nothing_is_made(tmp_path: Path) -> None:
    settings = parse(plugin_tables(tmp_path / "state", 1))
    with looking_up(settings, "receipts"):
        pass
    assert not (tmp_path / "state").exists()


def test_a_person_is_the_login_that_the_kernel_remembers(tmp_path: Path) -> None:
    login = tmp_path / "loginuid"
    assert (who_asks(login).account, who_asks(login).login) == (WHO, "")
    for number, name in ((2**32 - 1, ""), (os.geteuid(), ""), (65534, pwd.getpwuid(65534).pw_name)):
        login.write_text(str(number))
        assert who_asks(login).login == name
    login.write_text("4000000000")
    assert who_asks(login).login == "4000000000"


# -- many processes, one trail ------------------------------------------------------------

_COMMANDS = 4
_LOOKS = 40
_LOOK = """
import sys
from pathlib import Path
from deploy.look_up import looking_up
from deploy.settings import load
settings, who, dies = load(Path(sys.argv[1])), sys.argv[2], sys.argv[3] == "dies"
with looking_up(settings, "receipts", who, 0) as told:
    for number in range(1, int(sys.argv[4])):
        told.shows([(f"1.2.{who}.{number}", "a")])
        print(number, flush=True)
    if dies:
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
"""


def answers(settings: Settings) -> bool:
    try:
        echo(LOOPBACK, settings.listener.port, "PACS", "WRISTMIR")
    except ListenerError:
        return False
    return True


def commands(config: Path, numbers: range, how: str = "ends") -> list[subprocess.Popen[str]]:
    """Start commands that look often; each says what has been told."""
    return [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", _LOOK, str(config), str(n), how, str(_LOOKS)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in numbers
    ]


@pytest.mark.slow
def test_commands_beside_a_service_lose_and_double_nothing(config: Path, tmp_path: Path) -> None:
    settings = load(config)
    serve = [sys.executable, "-m", "deploy.cli", "listen", "--config", str(config)]
    service = subprocess.Popen(serve, stderr=subprocess.DEVNULL)
    assert eventually(lambda: answers(settings), 30)
    first = commands(config, range(_COMMANDS // 2))
    time.sleep(0.5)
    second = commands(config, range(_COMMANDS // 2, _COMMANDS))
    said = [process.communicate(timeout=60)[0].split() for process in (*first, *second)]
    assert [len(words) for words in said] == [_LOOKS - 1] * _COMMANDS
    service.send_signal(signal.SIGTERM)
    assert service.wait(20) == 0
    wanted = {f"1.2.{who}.{n}": 1 for who in range(_COMMANDS) for n in range(1, _LOOKS)}
    messages = told(tmp_path)
    shown = Counter(uid for m in messages if kind(m) == ACCESSED for uid in objects(m, "110180"))
    assert shown == wanted
    assert Counter(kind(m) for m in messages if kind(m) != ACCESSED) == {
        STARTS: 1,
        STOPS: 1,
        QUERIED: _COMMANDS,
    }


@pytest.mark.slow
def test_what_a_killed_command_has_told_is_delivered_by_the_next(
    config: Path, tmp_path: Path
) -> None:
    killed = commands(config, range(3), "dies")
    said = [process.communicate(timeout=60)[0].split() for process in killed]
    assert [process.returncode for process in killed] == [-signal.SIGKILL] * 3
    with looking_up(load(config), "jobs"):
        assert eventually(lambda: len(told(tmp_path)) >= 3 * _LOOKS)
    shown = Counter(
        uid for m in told(tmp_path) if kind(m) == ACCESSED for uid in objects(m, "110180")
    )
    # a kill between delivery and its note may repeat what was sent together, and loses nothing
    assert set(shown) == {f"1.2.{who}.{n}" for who, words in enumerate(said) for n in words}
