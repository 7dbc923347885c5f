"""C-MOVE: what the archive sends comes in as if it had been forwarded."""

from __future__ import annotations

from pathlib import Path

import pytest
from archive import archive
from station import radiograph, station

from listener.errors import MoveError
from listener.move import ArchiveMove


def test_a_series_that_is_asked_for_comes_in_by_c_store(tmp_path: Path) -> None:
    one, other = radiograph(study="1.2.3"), radiograph(study="1.2.4")
    with station(tmp_path) as link, archive() as (there, where):
        there.holdings, there.moves_to = [one, other], {"WRISTMIR": link.port}
        with ArchiveMove(where, "WRISTMIR", "WRISTMIR", 10) as move:
            assert move.series("1.2.3", one.SeriesInstanceUID) == 1
        (row,) = link.ledger.receipts()
    assert row.sop_instance_uid == one.SOPInstanceUID
    assert (row.calling_ae, row.called_ae) == ("PACS", "WRISTMIR")


def test_an_unknown_destination_is_said_with_what_to_do() -> None:
    with (
        archive() as (there, where),
        ArchiveMove(where, "WRISTMIR", "WRISTMIR", 10) as move,
    ):
        there.holdings = [radiograph(study="1.2.3")]
        with pytest.raises(
            MoveError, match="pacs does not know WRISTMIR or cannot reach it: enter it"
        ):
            move.series("1.2.3", there.holdings[0].SeriesInstanceUID)


@pytest.mark.slow
def test_what_could_not_be_sent_is_counted(tmp_path: Path) -> None:
    with (
        station(tmp_path, max_object_bytes=4096) as link,
        archive() as (there, where),
        ArchiveMove(where, "WRISTMIR", "WRISTMIR", 10) as move,
    ):
        small, large = radiograph(study="1.2.3"), radiograph(study="1.2.3", side=64)
        large.SeriesInstanceUID = small.SeriesInstanceUID
        there.holdings, there.moves_to = [small, large], {"WRISTMIR": link.port}
        with pytest.raises(MoveError, match="pacs could not send 1 instances"):
            move.series("1.2.3", small.SeriesInstanceUID)
        assert [row.sop_instance_uid for row in link.ledger.receipts()] == [small.SOPInstanceUID]


@pytest.mark.slow
def test_an_archive_that_says_nothing_is_given_up_in_time() -> None:
    with archive() as (there, where), ArchiveMove(where, "WRISTMIR", "WRISTMIR", 0.5) as move:
        there.moves_to = {"WRISTMIR": 1}
        there.pauses = 3.0
        with pytest.raises(MoveError, match="pacs did not answer in time"):
            move.series("1.2.3", "1.2.3.1")
