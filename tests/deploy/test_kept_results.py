"""Results that were delivered answer questions at the receiver, whatever process is asked."""

from __future__ import annotations

import pickle
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from result_parts import header
from station import Station, station

from deploy.kept_results import KeptResults
from deploy.state import outbox_in
from listener.destination_settings import DestinationSettings
from listener.errors import LedgerUnavailableError
from listener.holdings import Wanted
from listener.query import ArchiveQuery

QUERY = "1.2.3.0.1.1"


def delivered(state: Path, at: datetime) -> None:
    """Leave a result set that was delivered at a time."""
    state.mkdir(exist_ok=True)
    with closing(outbox_in(state, 7)) as outbox:
        outbox.put("answer-1-1", QUERY, [header(5)], [header(7), header(8)], at)
        outbox.delivered("answer-1-1", at)


def studies(link: Station) -> list[str]:
    """Ask every study, each time over an association of its own."""
    here = DestinationSettings(name="here", ae_title="WRISTMIR", host="127.0.0.1", port=link.port)
    found = []
    for number in range(1, 10):
        with ArchiveQuery(here, "PACS") as query:
            found += [one.uid for one in query.study(f"1.2.3.{number}").entries]
    return found


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.slow
def test_what_was_delivered_is_found_by_every_process_that_receives(
    tmp_path: Path, processes: int
) -> None:
    delivered(tmp_path, datetime.now(UTC))
    with station(tmp_path, processes=processes, holdings=KeptResults(tmp_path, 7)) as link:
        assert studies(link) == ["1.2.3.5", "1.2.3.7", "1.2.3.8"]


def test_what_is_older_than_the_setting_is_not_found(tmp_path: Path) -> None:
    delivered(tmp_path, datetime.now(UTC) - timedelta(days=6))
    assert len(KeptResults(tmp_path, 7).find(Wanted(), 100)) == 3
    assert KeptResults(tmp_path, 5).find(Wanted(), 100) == []


def test_another_process_opens_it_anew(tmp_path: Path) -> None:
    delivered(tmp_path, datetime.now(UTC))
    here = KeptResults(tmp_path, 7)
    here.find(Wanted(), 1)
    there = pickle.loads(pickle.dumps(here))  # noqa: S301 - what was just made
    wanted = Wanted(instance_uids=frozenset({"1.2.3.7.1.1"}))
    assert there.find(wanted, 100) == here.find(wanted, 100)


def test_an_outbox_that_cannot_be_read_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "outbox.sqlite3").mkdir()
    with pytest.raises(LedgerUnavailableError, match="outbox cannot be read"):
        KeptResults(tmp_path, 7).find(Wanted(), 1)
