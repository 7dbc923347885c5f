from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from result_parts import NOW

from pipeline.crosswalk import Crosswalk, LibraryCopy


@pytest.fixture
def crosswalk(tmp_path: Path) -> Iterator[Crosswalk]:
    opened = Crosswalk(f"sqlite:///{tmp_path / 'crosswalk.db'}", clock=lambda: NOW)
    yield opened
    opened.close()


def test_a_copy_leads_to_its_source_and_back(crosswalk: Crosswalk) -> None:
    kept = crosswalk.keep("2.25.1", "1.2.3.4", "1.2.3")

    assert crosswalk.of_copy("2.25.1") == kept
    assert crosswalk.of_source("1.2.3.4") == kept
    assert kept.created_at == NOW
    assert kept.created_at.utcoffset() == timedelta(0)


def test_every_way_back_to_a_source_is_told_found_or_not(tmp_path: Path) -> None:
    told: list[tuple[str, LibraryCopy | None]] = []
    crosswalk = Crosswalk(
        f"sqlite:///{tmp_path / 'crosswalk.db'}", looked_up=lambda *answer: told.append(answer)
    )
    kept = crosswalk.keep("2.25.1", "1.2.3.4", "1.2.3")
    crosswalk.of_source("1.2.3.4")
    assert told == []  # who asks for the copy knows the source
    crosswalk.of_copy("2.25.1")
    crosswalk.of_copy("2.25.2")
    crosswalk.close()
    assert told == [("2.25.1", kept), ("2.25.2", None)]


def test_what_was_never_kept_is_not_found(crosswalk: Crosswalk) -> None:
    assert crosswalk.of_copy("2.25.1") is None
    assert crosswalk.of_source("1.2.3.4") is None


def test_keeping_a_copy_twice_changes_nothing(crosswalk: Crosswalk) -> None:
    first = crosswalk.keep("2.25.1", "1.2.3.4", "1.2.3")

    assert crosswalk.keep("2.25.1", "1.2.3.4", "1.2.3") == first


def test_the_copy_of_a_source_is_that_of_its_latest_version(crosswalk: Crosswalk) -> None:
    crosswalk.keep("2.25.1", "1.2.3.4", "1.2.3", version=1)
    latest = crosswalk.keep("2.25.2", "1.2.3.4", "1.2.3", version=2)

    assert crosswalk.of_source("1.2.3.4") == latest


def test_a_copy_is_missing_at_a_destination_until_it_is_delivered_there(
    crosswalk: Crosswalk,
) -> None:
    for number in (1, 2):
        crosswalk.keep(f"2.25.{number}", f"1.2.3.{number}", "1.2.3")
    crosswalk.mark_delivered(["2.25.1"], "library")
    crosswalk.mark_delivered(["2.25.1"], "library")

    assert crosswalk.missing(["2.25.2", "2.25.1", "2.25.2"], "library") == ("2.25.2",)
    assert crosswalk.missing(["2.25.1"], "other") == ("2.25.1",)


def test_a_delivery_of_an_unknown_copy_is_refused(crosswalk: Crosswalk) -> None:
    with pytest.raises(sa.exc.IntegrityError):
        crosswalk.mark_delivered(["2.25.9"], "library")


def test_a_rejected_study_is_forgotten_whole(crosswalk: Crosswalk) -> None:
    crosswalk.keep("2.25.1", "1.2.3.1", "1.2.3")
    crosswalk.keep("2.25.2", "1.2.4.1", "1.2.4")
    crosswalk.mark_delivered(["2.25.1", "2.25.2"], "library")

    assert crosswalk.forget_study("1.2.3") == ("2.25.1",)
    assert crosswalk.of_copy("2.25.1") is None
    assert crosswalk.missing(["2.25.2"], "library") == ()


def test_it_is_still_there_after_a_restart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'crosswalk.db'}"
    first = Crosswalk(url)
    kept = first.keep("2.25.1", "1.2.3.4", "1.2.3")
    first.close()
    second = Crosswalk(url)

    assert second.of_copy("2.25.1") == kept
    second.close()


def test_only_its_owner_may_read_it_and_its_log(tmp_path: Path) -> None:
    path = tmp_path / "crosswalk.db"
    path.touch(0o644)
    crosswalk = Crosswalk(f"sqlite:///{path}")
    crosswalk.keep("2.25.1", "1.2.3.4", "1.2.3")

    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    crosswalk.close()
