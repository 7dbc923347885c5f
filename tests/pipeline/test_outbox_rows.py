from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from result_parts import NOW, header

from pipeline.database import open_database
from pipeline.outbox_rows import (
    KEPT,
    METADATA,
    REFERS,
    RESULT,
    STORED,
    companion,
    note_files,
    outbox_result,
    prior_result,
    remember,
    there,
)
from pipeline.region import Region

STUDY = "1.2.3.0"
QUERY = "1.2.3.0.1.1"
REPORT = header(7, StudyInstanceUID=STUDY, Modality="SR")
COMPANION = header(8, StudyInstanceUID=STUDY, Modality="SR")
BOARD = header(9, StudyInstanceUID=STUDY, Modality="OT")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sa.Connection]:
    engine = open_database(f"sqlite:///{tmp_path / 'outbox.sqlite3'}", METADATA)
    with engine.begin() as it:
        yield it
    engine.dispose()


def only(connection: sa.Connection, table: sa.Table = RESULT) -> sa.Row[tuple[object, ...]]:
    return connection.execute(sa.select(table)).one()


def test_of_a_result_set_its_report_and_the_other_structured_one_are_remembered(
    connection: sa.Connection,
) -> None:
    remember(connection, "a", QUERY, [REPORT, BOARD, COMPANION], NOW, [Region.DISTAL_ULNA])
    beside = companion(connection, "a", STUDY)
    assert beside is not None
    assert beside.sop_instance_uid == COMPANION.SOPInstanceUID
    found = prior_result(only(connection), beside)
    assert (found.study_uid, found.sop_instance_uid) == (STUDY, REPORT.SOPInstanceUID)
    assert found.companion is beside


def test_the_same_result_set_again_replaces_what_was_remembered(connection: sa.Connection) -> None:
    remember(connection, "a", QUERY, [REPORT, COMPANION], NOW, [])
    remember(connection, "a", QUERY, [COMPANION], NOW, [])
    assert prior_result(only(connection)).sop_instance_uid == COMPANION.SOPInstanceUID
    assert companion(connection, "a", STUDY) is None


def test_times_come_back_in_utc(connection: sa.Connection) -> None:
    later = NOW.astimezone(timezone(timedelta(hours=2)))
    remember(connection, "a", QUERY, [REPORT], later, [Region.DISTAL_RADIUS, Region.DISTAL_ULNA])
    found = outbox_result(only(connection))
    assert (found.created_at, found.created_at.tzinfo) == (NOW, UTC)
    assert found.delivered_at is None
    assert found.regions == ("distal_radius", "distal_ulna")


def test_at_the_destination_is_what_was_stored_or_delivered(connection: sa.Connection) -> None:
    for name in ("waits", "stored", "delivered"):
        remember(connection, name, QUERY, [REPORT], NOW, [])
    connection.execute(sa.insert(STORED).values(result_id="stored", stored_at=NOW))
    delivered = sa.update(RESULT).where(RESULT.c.result_id == "delivered")
    connection.execute(delivered.values(delivered_at=NOW))
    found = connection.execute(there(sa.select(RESULT.c.result_id))).scalars()
    assert set(found) == {"stored", "delivered"}


def test_files_and_what_they_refer_to_are_noted_anew(connection: sa.Connection) -> None:
    note_files(connection, "a", {"2-result-000.dcm": REPORT, "2-result-001.dcm": BOARD}, ["1", "2"])
    note_files(connection, "a", {"2-result-000.dcm": REPORT}, ["3", "3"])
    kept = only(connection, KEPT)._mapping
    assert kept["file"] == "2-result-000.dcm"
    assert kept["sop_instance_uid"] == REPORT.SOPInstanceUID
    assert only(connection, REFERS)._mapping["sop_instance_uid"] == "3"
