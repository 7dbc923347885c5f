from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from other_bundle import renamed_bundle
from plugin import STUDIES, free_port
from station import eventually

from deploy.changeover import change_bundle, roll_back
from deploy.errors import ConfigurationError, InputError
from deploy.folder import index_folder
from deploy.query import query
from deploy.service_process import service_process
from deploy.settings import SHIPPED_BUNDLE, Settings, load
from listener.job import INDEX, JobState
from listener.ledger import Ledger

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
        eventually(lambda: ledger.serving_index() == bundle, 60)
        assert ledger.serving_index() == bundle


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
    log = (tmp_path / "serve.log").read_text()
    assert f"bundle {NEW}" in log
    assert log.count("studies to index: 0") == 2  # at the start, and after the change

    index_folder(serving, STUDIES / LATER)
    idle(serving, len(PRIORS) + 1)
    back = roll_back(serving)
    assert (back.bundle, back.studies) == (SHIPPED_BUNDLE.name, 1)  # the one that came since
    serves(serving, SHIPPED_BUNDLE.name)


@pytest.mark.slow
def test_changed_at_once_everything_is_indexed_by_the_worker(serving: Settings) -> None:
    change = change_bundle(serving, NEW, at_once=True)
    assert change.studies == 0
    serves(serving, NEW)
    idle(serving, 2 * len(PRIORS))
    assert matches(serving) > 0


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
    named = load(config, {"pipeline": {"bundle": str(SHIPPED_BUNDLE)}})
    with pytest.raises(ConfigurationError, match=r"pipeline\.bundle"):
        roll_back(named)
