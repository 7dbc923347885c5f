"""The review pages over real HTTP: who gets in, what is saved, what is said where it cannot be."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
from invented_reports import BOTH_WRISTS, BUCKLE, DISPUTED, write_reports
from plugin import free_port
from served import fetch, served
from test_cli import wristmir

from deploy.errors import InputError, ServiceUnavailableError
from deploy.review import read_worklist
from deploy.web.door import Door
from deploy.web.loopback import LoopbackServer
from deploy.web.review_form import ReviewForm
from deploy.worklist import Show, Worklist
from pipeline.errors import GoldError
from pipeline.gold import gold_reports
from pipeline.mining import RulesMiner

HOSTILE = (
    "<script>document.title = 'owned'</script> LEFT WRIST: <img src=x onerror=alert(1)> "
    'Buckle fracture of the <b>distal radius</b> & "ulna".'
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, text in enumerate((BUCKLE, BOTH_WRISTS, DISPUTED, HOSTILE)):
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    (folder / "empty.txt").touch()
    return folder


@pytest.fixture
def pages(folder: Path, tmp_path: Path) -> Iterator[tuple[str, Worklist]]:
    with served(folder, tmp_path / "gold.jsonl") as found:
        yield found


def filled(worklist: Worklist, place: int, **values: str) -> tuple[str, dict[str, str]]:
    """Return a report's id and its form, some fields filled in otherwise."""
    entry = worklist.shown(Show.ALL)[place]
    said = {name.replace("__", "-"): value for name, value in values.items()}
    return entry.id, {**ReviewForm.of(entry.read).values, **said}


def test_nobody_gets_in_without_the_token_or_by_another_name(pages: tuple[str, Worklist]) -> None:
    address, worklist = pages
    parts = urllib.parse.urlsplit(address)
    root = f"http://127.0.0.1:{parts.port}"
    token = parts.path.strip("/")
    assert len(token) >= 43
    entry = worklist.shown(Show.ALL)[0].id
    for path in ("/", f"/report/{entry}", "/static/review.css", f"/{token[:-1]}/", f"/{token}x/"):
        status, body, _ = fetch(root + path)
        assert (status, body) == (404, "Not found.")
    for host in ("example.org", f"example.org:{parts.port}", f"127.0.0.1.nip.io:{parts.port}", ""):
        assert fetch(address, host=host)[0] == 404
    assert fetch(address, host=f"localhost:{parts.port}")[0] == 200
    assert fetch(address)[0] == 200


def test_it_listens_on_the_loopback_interface_alone(pages: tuple[str, Worklist]) -> None:
    port = urllib.parse.urlsplit(pages[0]).port
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    here = [row[1] for row in listening if row[1].endswith(f":{port:04X}") and row[3] == "0A"]
    assert here == [f"0100007F:{port:04X}"]


def test_pages_load_nothing_from_elsewhere_and_are_kept_nowhere(
    pages: tuple[str, Worklist],
) -> None:
    address, worklist = pages
    for path in ("", f"report/{worklist.shown(Show.ALL)[0].id}"):
        _, body, headers = fetch(address + path)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', body)
        assert not re.search(r"<style|style=|\son\w+=|<script(?! src)", body)
        for link in re.findall(r'(?:src|href)="((?:\.\./)?static/[^"]+)"', body):
            assert fetch(urllib.parse.urljoin(address + path, link))[0] == 200


def test_words_of_a_report_are_text_and_never_markup(pages: tuple[str, Worklist]) -> None:
    address, worklist = pages
    _, body, _ = fetch(f"{address}report/{worklist.shown(Show.ALL)[3].id}")
    assert "<script>document" not in body
    assert "<img" not in body
    assert "&lt;script&gt;document" in body


def test_the_list_says_what_was_read_and_what_was_not(pages: tuple[str, Worklist]) -> None:
    _, body, _ = fetch(pages[0])
    assert "radius <b>buckle</b>" in body
    assert "disputed" in body
    assert "1 files were not read" in body
    assert "holds no words" in body
    _, body, _ = fetch(f"{pages[0]}?show=disputed")
    assert ("2.txt" in body, "0.txt" in body) == (True, False)


def test_saving_writes_gold_that_the_miner_can_be_measured_on(
    pages: tuple[str, Worklist],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    address, worklist = pages
    entry, form = filled(worklist, 0, one__distal_radius__healing="acute")
    status, _, headers = fetch(f"{address}report/{entry}?show=all", form)
    following = worklist.shown(Show.ALL)[1].id
    assert (status, headers["location"]) == (303, f"{following}?show=all&saved={entry}")
    entry, form = filled(worklist, 1, right__distal_ulna__fracture="possible")
    assert fetch(f"{address}report/{entry}", form)[0] == 303
    path = worklist.gold.path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first, second = gold_reports(path)
    assert first.model_dump(mode="json")["gold"]["regions"]["distal_radius"]["healing"] == "acute"
    assert second.gold.laterality == "both"
    status, out, _ = wristmir(monkeypatch, capsys, "mine", "--evaluate", path, "--json")
    assert status == 0
    assert [miss["field"] for miss in json.loads(out)["misses"]] == ["healing", "fracture"]


def test_where_a_correction_differs_from_the_reading_is_shown(pages: tuple[str, Worklist]) -> None:
    address, worklist = pages
    entry, form = filled(worklist, 0, one__distal_radius__type="greenstick")
    fetch(f"{address}report/{entry}", form)
    _, body, _ = fetch(f"{address}report/{entry}")
    field = body.split('data-field="one-distal_radius-type"')[1].split("</div>")[0]
    assert re.search(r'value="greenstick" selected', field)
    assert "read: buckle" in field
    assert "1 corrected" in fetch(address)[1]


def test_an_impossible_combination_is_said_at_the_field_and_nothing_is_lost(
    pages: tuple[str, Worklist],
) -> None:
    address, worklist = pages
    entry, form = filled(
        worklist, 0, one__distal_radius__fracture="absent", one__ulnar_styloid__angulation_deg="999"
    )
    status, body, _ = fetch(f"{address}report/{entry}", form)
    assert status == 422
    assert not worklist.gold.path.exists()
    at_type = body.split('data-field="one-distal_radius-type"')[1].split("</div>")[0]
    assert "A fracture that is absent has no type." in at_type
    assert 'value="buckle" selected' in at_type
    assert re.search(r'name="one-ulnar_styloid-angulation_deg" value="999"', body)


def test_a_disk_that_refuses_loses_nothing(pages: tuple[str, Worklist]) -> None:
    address, worklist = pages
    worklist.gold.path.mkdir()  # as good as a full disk: nothing can be put in place
    entry, form = filled(worklist, 0, one__distal_radius__type="greenstick")
    status, body, _ = fetch(f"{address}report/{entry}", form)
    assert status == 507
    assert "Nothing was saved" in body
    assert re.search(r'value="greenstick" selected', body)


def test_a_correction_can_be_taken_back(pages: tuple[str, Worklist]) -> None:
    address, worklist = pages
    entry, form = filled(worklist, 0)
    fetch(f"{address}report/{entry}", form)
    assert worklist.done == 1
    assert fetch(f"{address}report/{entry}", {"action": "take_back"})[0] == 303
    assert worklist.done == 0
    assert gold_reports(worklist.gold.path) == ()


def test_going_on_stays_within_the_filter_and_ends_at_the_list(pages: tuple[str, Worklist]) -> None:
    address, worklist = pages
    for place, following in ((1, 2), (2, 3), (3, 0)):
        entry, form = filled(worklist, place)
        _, _, headers = fetch(f"{address}report/{entry}?show=todo", form)
        after = worklist.shown(Show.ALL)[following].id
        assert headers["location"] == f"{after}?show=todo&saved={entry}"
    entry, form = filled(worklist, 0)
    _, _, headers = fetch(f"{address}report/{entry}?show=todo", form)
    assert headers["location"] == "../?show=all"
    assert "All 4 reviewed." in fetch(address)[1]


def test_started_again_what_was_done_is_done_with_its_values(folder: Path, tmp_path: Path) -> None:
    gold = tmp_path / "gold.jsonl"
    with served(folder, gold) as (address, worklist):
        entry, form = filled(worklist, 0, one__distal_radius__displacement="severe")
        fetch(f"{address}report/{entry}", form)
    (folder / "0.txt").rename(folder / "z.txt")
    with served(folder, gold) as (again, worklist):
        assert again != address
        assert (worklist.done, len(worklist)) == (1, 4)
        _, body, _ = fetch(f"{again}report/{entry}")
        assert re.search(r'displacement" value="severe" checked', body)


def test_what_is_too_long_or_not_there_is_refused(pages: tuple[str, Worklist]) -> None:
    address, worklist = pages
    entry, form = filled(worklist, 0)
    assert fetch(f"{address}report/{entry}", {**form, "laterality": "x" * 70_000})[0] == 413
    assert fetch(f"{address}report/none")[0] == 404
    assert fetch(f"{address}static/../review.py")[0] == 404
    assert fetch(f"{address}static/%2e%2e/review.py")[0] == 404


def test_a_port_that_is_taken_is_said_with_the_way_out() -> None:
    port = free_port()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", port))
        holder.listen()
        with pytest.raises(ServiceUnavailableError, match=f"port {port} of 127.0.0.1"):
            LoopbackServer(Door, port)


def test_no_report_and_no_gold_file_are_refused_before_anything_is_served(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    with pytest.raises(InputError, match="holds no words"):
        read_worklist([tmp_path], tmp_path / "gold.jsonl", RulesMiner())
    write_reports(tmp_path, 1)
    (tmp_path / "notes").write_text("no gold")
    with pytest.raises(GoldError, match="no JSON"):
        read_worklist([tmp_path], tmp_path / "notes", RulesMiner())


@pytest.mark.slow
def test_the_command_prints_its_address_serves_and_ends_by_ctrl_c(
    folder: Path, tmp_path: Path
) -> None:
    shown = tmp_path / "shown"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\ncp "${{1#file://}}" {shown}.html\nprintf %s "$1" > {shown}\n')
    browser.chmod(0o700)
    gold = tmp_path / "gold.jsonl"
    command = [sys.executable, "-m", "deploy.cli", "review", folder, "--gold", gold]
    environment = {**os.environ, "BROWSER": str(browser)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as running:
        assert running.stdout is not None
        address = running.stdout.readline().strip()
        assert fetch(address)[0] == 200
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=30)
    assert running.returncode == 0
    assert "0 of 4 reports are reviewed" in err
    token = urllib.parse.urlsplit(address).path.strip("/")
    assert token not in shown.read_text()  # a command line can be read by everybody
    assert token in Path(f"{shown}.html").read_text()
    assert not Path(urllib.parse.urlsplit(shown.read_text()).path).exists()
