"""The `wristmir` command: one clear line for each refusal, one JSON object a line for programs."""

from __future__ import annotations

import json
import logging
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest
from other_bundle import renamed_bundle
from plugin import STUDIES, free_port
from scripted_model import Says, scripted_model

from deploy.assembly import open_index, open_worker
from deploy.cli import main
from deploy.settings import SHIPPED_BUNDLE, load
from deploy.small_pacs import SmallPacs
from listener.ledger import Ledger
from pipeline.bundle import Bundle
from pipeline.errors import BundleError
from pipeline.mining import RulesMiner
from pipeline.record import Records

REPORT = (
    "INDICATION: Fall, pain in the left wrist.\n"
    "FINDINGS: There is a buckle fracture of the distal radius. The ulna is intact.\n"
    "IMPRESSION: Buckle fracture of the left distal radius."
)


def wristmir(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object
) -> tuple[int, str, str]:
    """Run the command in this process; return exit status, stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["wristmir", *map(str, words)])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    status = ended.value.code
    return (status if isinstance(status, int) else int(status is not None)), said.out, said.err


@pytest.fixture(autouse=True)
def own_log_handlers() -> Iterator[None]:
    """Take away the handlers that a service started in this process has added."""
    log = logging.getLogger("wristmir")
    before, level = list(log.handlers), log.level
    yield
    log.handlers[:] = before
    log.setLevel(level)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "wristmir.toml"
    file.write_text(
        f'state_dir = "{tmp_path / "state"}"\n[listener]\nhost = "127.0.0.1"\n'
        f"port = {free_port()}\nwatermark_bytes = 0\n",
        encoding="utf-8",
    )
    return file


def test_it_says_which_release_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert wristmir(monkeypatch, capsys, "--version") == (
        0,
        f"wristmir {version('wristmir')}\n",
        "",
    )


def test_a_missing_configuration_is_one_line_and_status_78(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, out, err = wristmir(monkeypatch, capsys, "jobs", "--config", tmp_path / "none.toml")
    assert (status, out) == (78, "")
    assert err.count("\n") == 1
    assert "no such configuration file" in err


def test_an_unknown_key_is_one_line_with_the_nearest_right_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    config.write_text(config.read_text() + "prot = 1\n")
    status, _, err = wristmir(monkeypatch, capsys, "serve", "--config", config)
    assert status == 78
    assert "unknown key listener.prot; did you mean port?" in err


def test_a_busy_port_is_one_line_and_status_69(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    port = int(config.read_text().split("port = ")[1].split()[0])
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", port))
        holder.listen()
        status, _, err = wristmir(monkeypatch, capsys, "listen", "--config", config)
    assert status == 69
    assert str(port) in err.splitlines()[-1]


@pytest.mark.slow
def test_an_unreachable_engine_is_one_line_and_status_69(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    config.write_text(
        config.read_text()
        + f'[pipeline.index]\nengine = "server"\nurl = "http://127.0.0.1:{free_port()}"\n'
    )
    status, _, err = wristmir(monkeypatch, capsys, "work", "--config", config)
    assert status == 69
    assert "index" in err.splitlines()[-1].lower()


def test_a_bundle_with_a_wrong_checksum_is_one_line_and_status_78(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    config: Path,
    tmp_path: Path,
) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for file in SHIPPED_BUNDLE.iterdir():
        (bundle / file.name).write_bytes(file.read_bytes())
    damaged = bytearray((bundle / "view.onnx").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (bundle / "view.onnx").write_bytes(damaged)
    config.write_text(config.read_text() + f'[pipeline]\nbundle = "{bundle}"\n')
    status, _, err = wristmir(monkeypatch, capsys, "work", "--config", config)
    assert status == 78
    assert "view.onnx" in err
    assert err.strip().count("\n") == 0


def test_mine_prints_the_findings_with_their_evidence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "report.txt"
    file.write_text(REPORT, encoding="utf-8")
    status, out, _ = wristmir(monkeypatch, capsys, "mine", "--json", file)
    assert status == 0
    (row,) = [json.loads(line) for line in out.splitlines()]
    assert set(row) >= {"file", "language", "laterality", "regions", "other", "dropped", "miner"}
    assert row["laterality"] == "left"
    assert row["regions"]["distal_radius"]["fracture"] == "present"
    assert row["regions"]["distal_radius"]["type"] == "buckle"
    assert row["regions"]["distal_radius"]["evidence"] in REPORT
    assert row["regions"]["distal_ulna"]["fracture"] == "absent"


def test_mine_reads_a_structured_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = next(STUDIES.glob("*/report.dcm"))
    status, out, _ = wristmir(monkeypatch, capsys, "mine", "--json", file)
    assert status == 0
    assert json.loads(out)["language"] == "en"


def test_a_file_that_is_not_there_fails_after_the_others_were_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "report.txt"
    file.write_text(REPORT, encoding="utf-8")
    status, out, err = wristmir(monkeypatch, capsys, "mine", "--json", tmp_path / "none.txt", file)
    assert status == 66
    assert len(out.splitlines()) == 2
    assert "1 of 2 files" in err


def test_inspect_says_what_is_seen_in_a_real_wrist(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = STUDIES / "TEST-0001-1" / "image-1.dcm"
    status, out, _ = wristmir(monkeypatch, capsys, "inspect", "--json", file)
    assert status == 0
    row = json.loads(out)
    assert row["accepted"] is True
    assert row["view"]["name"] == "pa"
    assert row["laterality"] == "left"
    names = [box["name"] for box in row["boxes"]]
    assert names[0] == "wrist"
    assert len(names) == len(set(names))
    for box in row["boxes"]:
        x0, y0, x1, y1 = box["box"]
        assert 0 <= x0 < x1 <= row["columns"]
        assert 0 <= y0 < y1 <= row["rows"]


def test_jobs_lists_shows_and_retries(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    state = config.parent / "state"
    state.mkdir()
    with Ledger(f"sqlite:///{state / 'ledger.sqlite3'}") as ledger:
        number = ledger.enqueue("index", "1.2.3")
        job = ledger.lease(["index"], 60)
        assert job is not None
        ledger.fail(job, "The object cannot be read within its limits.", retry=False)
    _, out, _ = wristmir(monkeypatch, capsys, "jobs", "--config", config, "--json")
    (row,) = [json.loads(line) for line in out.splitlines()]
    assert (row["id"], row["state"]) == (number, "dead")
    _, out, _ = wristmir(monkeypatch, capsys, "jobs", "--config", config)
    assert "cannot be read" in out
    _, out, _ = wristmir(monkeypatch, capsys, "jobs", "--config", config, "retry", number)
    assert json.loads(out)["state"] == "ready"
    _, out, _ = wristmir(monkeypatch, capsys, "jobs", "--config", config, "show", number)
    assert json.loads(out)["subject"] == "1.2.3"


def test_reread_enqueues_what_another_miner_has_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    state = config.parent / "state"
    state.mkdir()
    ledger_url = f"sqlite:///{state / 'ledger.sqlite3'}"
    Ledger(ledger_url).close()
    with closing(Records(f"sqlite:///{state / 'records.sqlite3'}")) as records:
        records.keep("1.2.3", RulesMiner().mine(REPORT), "rules 1", REPORT)
        records.keep("1.2.4", RulesMiner().mine(REPORT), f"rules {RulesMiner.version}", REPORT)
    _, out, _ = wristmir(monkeypatch, capsys, "reread", "--config", config, "--json")
    assert json.loads(out) == {"studies": 1, "miner": f"rules {RulesMiner.version}"}
    with Ledger(ledger_url) as ledger:
        (job,) = ledger.jobs()
    assert (job.kind, job.subject) == ("mine", "1.2.3")


def test_jobs_of_a_state_that_does_not_exist_names_those_that_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    status, _, err = wristmir(monkeypatch, capsys, "jobs", "--config", config, "--state", "broken")
    assert status == 66
    assert "ready, leased, done, dead" in err


@pytest.mark.slow
def test_a_question_that_no_worker_answers_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    Ledger(f"sqlite:///{config.parent / 'state' / 'ledger.sqlite3'}").close()
    status, _, err = wristmir(
        monkeypatch, capsys, "query", "1.2.3.4", "--timeout", 1, "--config", config
    )
    assert status == 75
    assert "is `wristmir serve` running?" in err


def test_a_command_makes_no_ledger_where_no_service_has_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    status, _, err = wristmir(monkeypatch, capsys, "jobs", "--config", config)
    assert status == 69
    assert "start `wristmir serve` first" in err
    assert not (config.parent / "state").exists()


def test_a_damaged_ledger_is_one_line_and_status_69(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    state = config.parent / "state"
    state.mkdir()
    (state / "ledger.sqlite3").write_bytes(b"no database at all" * 100)
    status, _, err = wristmir(monkeypatch, capsys, "jobs", "--config", config)
    assert status == 69
    assert err.count("\n") == 1
    assert "cannot be opened" in err


def test_index_takes_a_folder_in_as_durably_as_the_receiver(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    folder = STUDIES / "TEST-0001-1"
    status, out, _ = wristmir(monkeypatch, capsys, "index", folder, "--config", config, "--json")
    assert status == 0
    files = len(list(folder.iterdir()))
    assert json.loads(out) == {"accepted": files, "refused": 0, "no_dicom": 0}
    with Ledger(f"sqlite:///{config.parent / 'state' / 'ledger.sqlite3'}") as ledger:
        assert len(ledger.receipts()) == files


@pytest.mark.slow
def test_optimize_says_what_it_built_and_refuses_an_index_in_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    status, out, _ = wristmir(monkeypatch, capsys, "optimize", "--json", "--config", config)
    assert status == 0
    assert json.loads(out).keys() == {"exams", "built", "seconds"}
    settings = load(config)
    with open_index(settings, Bundle.load(SHIPPED_BUNDLE)):
        status, out, err = wristmir(monkeypatch, capsys, "optimize", "--config", config)
    assert (status, out, err.count("\n")) == (69, "", 1)


@pytest.mark.slow
def test_other_models_under_an_id_that_has_filled_the_index_are_refused(
    config: Path, tmp_path: Path
) -> None:
    settings, other = load(config), renamed_bundle(tmp_path / "other", SHIPPED_BUNDLE.name)
    manifest = other / "manifest.toml"
    text = manifest.read_text()
    assert "bone_margin = " in text
    manifest.write_text(re.sub(r"(?m)^bone_margin = .*$", "bone_margin = 0.31", text))
    with Ledger(settings.ledger_url) as ledger, open_worker(settings, ledger, b"k" * 32):
        pass
    with (
        pytest.raises(BundleError, match="other models of this id"),
        open_index(settings, Bundle.load(other)),
    ):
        pass


@pytest.mark.slow
def test_bundle_verify_tells_a_whole_bundle_from_a_damaged_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, out, _ = wristmir(monkeypatch, capsys, "bundle", "verify", SHIPPED_BUNDLE)
    assert status == 0
    assert "whole" in out
    assert "not for clinical use" in out
    damaged = tmp_path / "damaged"
    shutil.copytree(SHIPPED_BUNDLE, damaged)
    (damaged / "tokenizer.json").write_text("{}")
    status, out, err = wristmir(monkeypatch, capsys, "bundle", "verify", damaged)
    assert (status, out, err.count("\n")) == (78, "", 1)
    assert "tokenizer.json" in err


def test_bundle_compare_puts_the_measured_figures_side_by_side(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(SHIPPED_BUNDLE, other)
    manifest = other / "manifest.toml"
    ours = SHIPPED_BUNDLE.name
    manifest.write_text(manifest.read_text().replace(f'id = "{ours}"', 'id = "other-1"'))
    status, out, _ = wristmir(
        monkeypatch, capsys, "bundle", "compare", SHIPPED_BUNDLE, other, "--json"
    )
    assert status == 0
    figures = json.loads(out)
    assert figures[ours] == figures["other-1"]
    assert 0 < figures[ours]["wrist, recall"] <= 1


def test_doctor_finds_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    (config.parent / "state").mkdir(mode=0o700)
    status, out, _ = wristmir(monkeypatch, capsys, "doctor", "--config", config, "--json")
    checks = [json.loads(line) for line in out.splitlines()]
    verdicts = {check["check"]: check["verdict"] for check in checks}
    assert status == 1
    assert verdicts["configuration"] == "ok"
    assert verdicts["peers"] == "error"
    assert verdicts["destinations"] == "error"
    assert verdicts["port"] == "warning"
    assert verdicts["bundle"] == "warning"  # the demonstration bundle says what it is


@pytest.mark.slow
def test_doctor_says_what_would_turn_away_a_destinations_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    (config.parent / "state").mkdir(mode=0o700)
    with SmallPacs(config.parent / "pacs") as pacs:
        there = f'name = "pacs"\nae_title = "SMALLPACS"\nhost = "127.0.0.1"\nport = {pacs.port}\n'
        peer = '[[listener.peers]]\nae_title = "SMALLPACS"\naddresses = ["127.0.0.1"]\n'
        begun = (
            config.read_text() + 'calling_ae_title = "ELSE"\n[[listener.destinations]]\n' + there
        )
        said = []
        for more in ("", 'commitment = "never"\n', peer):
            config.write_text(f'{begun}{more}[pipeline]\ndestination = "pacs"\n')
            _, out, _ = wristmir(monkeypatch, capsys, "doctor", "--config", config, "--json")
            checks = [json.loads(line) for line in out.splitlines()]
            found = [c for c in checks if c["check"] == "destinations"]
            assert found[0]["detail"] == "pacs answers C-ECHO"
            said.append([c["detail"] for c in found[1:]])
    title = "ELSE is none of listener.titles"
    begins = "pacs cannot say that it keeps results: "
    assert said[0] == [f"{begins}SMALLPACS is none of listener.peers, {title}"]
    assert said[1] == []
    assert said[2] == [f"{begins}{title}"]


def test_the_schema_of_a_language_models_answer_can_be_had(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = wristmir(monkeypatch, capsys, "mine", "--schema")
    assert status == 0
    assert next(iter(json.loads(out)["properties"])) == "reasoning"


def test_reports_are_read_by_what_the_configuration_names(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    config: Path,
    tmp_path: Path,
) -> None:
    answer = {"reasoning": "", "sides": ["left"], "views": [], "alignment": None}
    said = Says(json.dumps({**answer, "fractures": [], "others": []}))
    report = tmp_path / "report.txt"
    text = "Linkes Handgelenk in zwei Ebenen. Kein Nachweis einer Fraktur."
    report.write_text(text, encoding="utf-8")
    with scripted_model(lambda _: said) as served:
        text = f'\n[pipeline.mining]\nengine = "vllm"\nurl = "{served.url}"\n'
        config.write_text(config.read_text(encoding="utf-8") + text, encoding="utf-8")
        _, out, _ = wristmir(monkeypatch, capsys, "mine", report, "--json", "--config", config)
    row = json.loads(out)
    assert (row["language"], row["laterality"]) == ("de", "left")
    assert row["miner"].startswith("medgemma prompt ")
