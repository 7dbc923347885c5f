from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from other_bundle import renamed_bundle
from plugin import STUDIES, free_port
from station import eventually

from deploy.assembly import open_index
from deploy.changeover import change_bundle, roll_back
from deploy.errors import ConfigurationError, InputError, ServiceUnavailableError
from deploy.folder import index_folder
from deploy.query import query
from deploy.receipts import life_lines
from deploy.service_process import service_process
from deploy.settings import SHIPPED_BUNDLE, Settings, load
from listener.job import INDEX, JobState
from listener.ledger import Ledger
from pipeline.bundle import Bundle
from pipeline.errors import IndexUnavailableError

NEW = "hospital-1"
PRIORS = ("TEST-0001-1", "TEST-0002-1", "TEST-0005-1")
LATER = "TEST-0004-1"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "wristmir.toml"
    file.write_text(
        f'state_dir = "{tmp_path / "state"}"\n'
        f'[listener]\nhost = "127.0.0.1"\nport = {free_port()}\nwatermark_bytes = 0\n'
        '[[listener.titles]]\nae_title = "WRISTMIR"\nquiet_seconds = 0.2\n'
        '[[listener.peers]]\nae_title = "SMALLPACS"\naddresses = ["127.0.0.1"]\n',
        encoding="utf-8",
    )
    return file


@pytest.fixture
def serving(config: Path, tmp_path: Path) -> Iterator[Settings]:
    """A running service that has indexed three studies, with another bundle on its shelf."""
    with service_process(config, tmp_path / "serve.log") as settings:
        for name in PRIORS:
            index_folder(settings, STUDIES / name)
        idle(settings, len(PRIORS))
        settings.shelf.install(renamed_bundle(tmp_path / "new", NEW))
        yield settings


def idle(settings: Settings, indexed: int) -> None:
    """Wait until so many studies have been indexed and nothing is left to do."""
    with Ledger(settings.ledger_url) as ledger:

        def done() -> bool:
            counts = ledger.counts()
            waiting = sum(n for (_, state), n in counts.items() if state is not JobState.DONE)
            return counts.get((INDEX, JobState.DONE), 0) >= indexed and not waiting

        eventually(done, 60)
        assert done()


def serves(settings: Settings, bundle: str) -> None:
    """Wait until the worker works with a bundle."""
    with Ledger(settings.ledger_url) as ledger:
        eventually(lambda: ledger.indices.serving() == bundle, 60)
        assert ledger.indices.serving() == bundle


def is_free(settings: Settings, bundle: Path) -> bool:
    """Tell whether no process has a bundle's index open."""
    try:
        with open_index(settings, Bundle.load(bundle)):
            return True
    except IndexUnavailableError:
        return False


def matches(settings: Settings) -> int:
    """Ask with a file; return how many matches there are."""
    (file,) = (STUDIES / LATER).glob("*image*.dcm")
    (answer,) = query(settings, str(file), (), None, None, 60).answers
    return max(len(part["matches"]) for part in answer["regions"])


@pytest.mark.slow
def test_a_new_bundle_is_filled_while_the_old_one_serves_then_takes_over(
    serving: Settings, tmp_path: Path
) -> None:
    before = matches(serving)
    change = change_bundle(serving, NEW)
    assert (change.bundle, change.before, change.studies) == (NEW, SHIPPED_BUNDLE.name, 3)
    assert change.exams == 3
    assert not change.failed
    serves(serving, NEW)
    idle(serving, len(PRIORS))
    assert matches(serving) == before
    with Ledger(serving.ledger_url) as ledger:
        uids = [row.sop_instance_uid for row in ledger.receipts()]
    places = [line.indexed for line in life_lines(serving, uids)]
    assert {(place.state, place.bundle) for place in places} == {("indexed", NEW)}
    log = (tmp_path / "serve.log").read_text()
    assert f"bundle {NEW}" in log
    assert log.count("studies to index: 0") == 2  # at the start, and after the change

    index_folder(serving, STUDIES / LATER)
    idle(serving, len(PRIORS) + 1)
    back = roll_back(serving)
    assert (back.bundle, back.studies) == (SHIPPED_BUNDLE.name, 1)  # the one that came since
    serves(serving, SHIPPED_BUNDLE.name)


@pytest.mark.slow
def test_a_change_that_was_killed_goes_on_where_it_stopped(serving: Settings, config: Path) -> None:
    command = [sys.executable, "-m", "deploy.cli", "bundle", "activate", NEW]
    with Ledger(serving.ledger_url) as ledger:
        killed = subprocess.Popen(
            [*command, "--config", str(config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while len(ledger.indices.lacking(NEW)) == len(PRIORS) and killed.poll() is None:
            time.sleep(0.005)
        killed.kill()
        killed.wait()
        left = len(ledger.indices.lacking(NEW))
        assert 0 < left < len(PRIORS), "it was done before it could be killed"
    assert serving.bundle.name == SHIPPED_BUNDLE.name
    before = matches(serving)
    change = change_bundle(serving, NEW)
    assert change.studies == left
    serves(serving, NEW)
    idle(serving, len(PRIORS))
    assert matches(serving) == before


@pytest.mark.slow
def test_changed_at_once_everything_is_indexed_by_the_worker(serving: Settings) -> None:
    change = change_bundle(serving, NEW, at_once=True)
    assert change.studies == 0
    serves(serving, NEW)
    idle(serving, 2 * len(PRIORS))
    assert matches(serving) > 0


@pytest.mark.slow
def test_without_a_ledger_only_the_choice_is_made(config: Path, tmp_path: Path) -> None:
    settings = load(config)
    settings.shelf.install(renamed_bundle(tmp_path / "new", NEW))
    assert change_bundle(settings, NEW).studies == 0
    assert settings.bundle == settings.shelf.path(NEW)
    assert change_bundle(settings, NEW).as_text() == f"{NEW} is in use already."


def test_what_cannot_be_changed_says_why(config: Path) -> None:
    settings = load(config)
    with pytest.raises(InputError, match="unheard-of: not installed; there are"):
        change_bundle(settings, "unheard-of")
    with pytest.raises(InputError, match="no other bundle has been in use"):
        roll_back(settings)
    with settings.shelf.changing(), pytest.raises(ServiceUnavailableError, match="under way"):
        change_bundle(settings, SHIPPED_BUNDLE.name)


@pytest.mark.slow
def test_a_configured_bundle_overrules_a_change_until_it_is_on_the_shelf(
    config: Path, tmp_path: Path
) -> None:
    own = renamed_bundle(tmp_path / "own", NEW)
    named = load(config, {"pipeline": {"bundle": str(own)}})
    with pytest.raises(ConfigurationError, match=f"pipeline.bundle names {NEW}"):
        change_bundle(named, SHIPPED_BUNDLE.name)
    named.shelf.install(own)
    change_bundle(named, NEW)
    assert load(config).bundle.name == NEW  # the key can go
    with pytest.raises(InputError, match="no other bundle"):
        roll_back(load(config))


@pytest.mark.slow
def test_studies_whose_files_are_gone_are_counted_and_unreadable_ones_are_left_to_the_worker(
    serving: Settings,
) -> None:
    with Ledger(serving.ledger_url) as ledger:
        first, second, _ = (study for study, _ in ledger.indices.lacking(NEW))
        for row in ledger.instances(first):
            ledger.mark_lost(row.path)
        for row in ledger.instances(second):
            row.path.chmod(0)
            row.path.unlink()
    change = change_bundle(serving, NEW)
    assert change.lost == 1
    assert (change.studies, sum(change.failed.values())) == (1, 1)
    assert "their files are no longer kept" in change.as_text()


@pytest.mark.slow
def test_a_bundle_that_cannot_be_taken_into_use_leaves_the_old_one_serving(
    serving: Settings, tmp_path: Path
) -> None:
    with open_index(serving, Bundle.load(serving.shelf.path(NEW))):  # somebody else owns its index
        serving.shelf.activate(NEW)
        log = tmp_path / "serve.log"
        eventually(lambda: "cannot be taken into use" in log.read_text(), 30)
        assert matches(serving) > 0
    assert "cannot be taken into use" in log.read_text()


@pytest.mark.slow
def test_an_index_that_was_lost_is_not_taken_for_a_filled_one(
    serving: Settings, tmp_path: Path
) -> None:
    change_bundle(serving, NEW)
    serves(serving, NEW)
    eventually(lambda: is_free(serving, SHIPPED_BUNDLE), 30)
    shutil.rmtree(serving.state_dir / "index" / "bundles" / SHIPPED_BUNDLE.name)
    assert roll_back(serving).studies == len(PRIORS)
