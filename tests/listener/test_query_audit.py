"""What an archive is asked, in the audit trail: real questions to an invented archive."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from io import BytesIO
from pathlib import Path

import pytest
from archive import Archive, archive
from audit_parts import (
    BEGIN,
    QUERIED,
    TRANSFERRED,
    audit_file,
    ended,
    kind,
    objects,
    participants,
    queries,
    trail,
    who_asked,
)
from lxml import etree
from pynetdicom.dsutils import decode
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind
from station import LOOPBACK, SITE_KEY, radiograph, settings, station

from listener.audit import Audit
from listener.audit_query import Person
from listener.errors import MoveError, QueryError
from listener.move import ArchiveMove
from listener.query import ArchiveQuery
from listener.query_audit import QueryAudit
from listener.settings import DestinationSettings

DAY = date(2024, 1, 1)
INES = Person("wristmir", "ines")


@pytest.fixture
def pacs() -> Iterator[tuple[Archive, DestinationSettings]]:
    with archive() as it:
        yield it


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[Audit]:
    chosen = settings(tmp_path, audit=audit_file(tmp_path / "audit.xml"))
    with Audit(chosen, site_key=SITE_KEY, tells_of_life=False) as it:
        yield it


def told(audit: Audit, folder: Path) -> list[etree._Element]:
    """Return every message, once the trail is closed."""
    audit.__exit__(None, None, None)
    return trail(folder / "audit.xml")


def test_every_question_is_told_with_its_data_set_and_never_a_patient(
    audit: Audit, pacs: tuple[Archive, DestinationSettings], tmp_path: Path
) -> None:
    there, where = pacs
    there.holdings = [radiograph(study="1.2.3", patient="PLANTED-ID")]
    with ArchiveQuery(where, "WRISTMIR", told=QueryAudit(audit, INES)) as query:
        (study,) = query.studies(DAY, "CR").entries
        (series,) = query.series(study.uid).entries
        query.instances(study.uid, series.uid)
    messages = told(audit, tmp_path)
    assert [kind(m) for m in messages] == [QUERIED] * 3
    asked = [decode(BytesIO(queries(m)[0]), True, True) for m in messages]
    assert [one.QueryRetrieveLevel for one in asked] == ["STUDY", "SERIES", "IMAGE"]
    assert (asked[0].StudyDate, asked[1].StudyInstanceUID) == ("20240101", "1.2.3")
    for message in messages:
        assert objects(message, "110181") == [str(StudyRootQueryRetrieveInformationModelFind)]
        assert participants(message)["110152"] == (where.ae_title, LOOPBACK, False)
        assert who_asked(message) == ["ines"]
        assert ended(message) == ("E", "0", "")
    assert "PLANTED" not in (tmp_path / "audit.xml").read_text()


def test_a_question_that_nobody_answers_is_told_as_a_failure_with_the_reason(
    audit: Audit, tmp_path: Path
) -> None:
    nowhere = DestinationSettings(
        name="gone", ae_title="GONE", host=LOOPBACK, port=1, timeout_seconds=1
    )
    with (
        ArchiveQuery(nowhere, "WRISTMIR", told=QueryAudit(audit)) as query,
        pytest.raises(QueryError),
    ):
        query.study("1.2.3")
    (message,) = told(audit, tmp_path)
    assert ended(message)[:2] == ("E", "8")
    assert "gone" in ended(message)[2]


def test_an_archive_that_turns_the_association_away_is_told_with_its_reason(
    audit: Audit, tmp_path: Path
) -> None:
    with station(tmp_path / "other") as link:
        other = DestinationSettings(name="pacs", ae_title="NOBODY", host=LOOPBACK, port=link.port)
        with (
            ArchiveQuery(other, "PACS", told=QueryAudit(audit)) as query,
            pytest.raises(QueryError),
        ):
            query.study("1.2.3")
    (message,) = told(audit, tmp_path)
    assert "it rejected the association (result 1, source 1, reason 7)" in ended(message)[2]


def test_what_an_archive_is_told_to_send_has_a_beginning_and_an_end_where_it_fails(
    audit: Audit, pacs: tuple[Archive, DestinationSettings], tmp_path: Path
) -> None:
    there, where = pacs
    held = radiograph(study="1.2.3")
    there.holdings = [held]
    move = ArchiveMove(where, "WRISTMIR", "NOWHERE", 10, QueryAudit(audit, INES))
    with move, pytest.raises(MoveError):
        move.series("1.2.3", held.SeriesInstanceUID)
    begun, failed = told(audit, tmp_path)
    assert (kind(begun), kind(failed)) == (BEGIN, TRANSFERRED)
    for message in (begun, failed):
        assert objects(message, "110180") == ["1.2.3"]
        assert participants(message)["110153"] == (where.ae_title, LOOPBACK, False)
        assert participants(message)["110152"][0] == "NOWHERE"
        assert who_asked(message) == ["ines"]
    assert ended(failed)[:2] == ("R", "8")
    assert "does not know NOWHERE" in ended(failed)[2]


def test_without_an_audit_trail_nothing_is_made(
    pacs: tuple[Archive, DestinationSettings], tmp_path: Path
) -> None:
    with ArchiveQuery(pacs[1], "WRISTMIR") as query:
        assert query.study("1.2.3").entries == ()
    assert list(tmp_path.iterdir()) == []
