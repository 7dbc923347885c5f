"""The conformance statement: what it promises is what the program does."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest
from archive import archive
from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.uid import UID
from pynetdicom.sop_class import CTImageStorage
from shelf import Shelf, result
from station import station
from step_parts import RADIUS, bone, count, requesting, step
from typer.testing import CliRunner
from wire import rejection

from deploy.cli import app
from deploy.conformance import conformance
from deploy.specimen import specimen
from listener import audit_event, study_root
from listener.query import ArchiveQuery
from listener.settings import ListenerSettings, PeerSettings

STATEMENT = Path(__file__).parents[2] / "deploy" / "CONFORMANCE.md"
_EVENTS = frozenset(
    {
        "APPLICATION_ACTIVITY",
        "BEGIN_TRANSFERRING",
        "EXPORT",
        "INSTANCES_ACCESSED",
        "INSTANCES_TRANSFERRED",
        "SECURITY_ALERT",
    }
)


@pytest.fixture(scope="module")
def text() -> str:
    return conformance()


def table(text: str, after: str) -> list[list[str]]:
    """Return the rows of the first table after some words, without its head."""
    lines = text[text.index(after) :].splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


@pytest.mark.slow
def test_every_audit_event_is_named(text: str) -> None:
    events = [code for name, code in vars(audit_event).items() if name in _EVENTS]
    assert len(events) == len(_EVENTS)
    assert [code.meaning for code in events if code.meaning not in " ".join(text.split())] == []


def test_the_committed_statement_is_what_the_program_says(text: str) -> None:
    assert STATEMENT.read_text(encoding="utf-8") == text, (
        "write it anew: .venv/bin/wristmir conformance > deploy/CONFORMANCE.md"
    )


@pytest.mark.slow
def test_it_is_the_statement_of_an_installation_where_one_is_given(tmp_path: Path) -> None:
    file = tmp_path / "wristmir.toml"
    file.write_text(
        '[listener]\nport = 10104\n[[listener.titles]]\nae_title = "HANDS"\n', encoding="utf-8"
    )
    said = CliRunner().invoke(app, ["conformance", "--config", str(file)])
    assert said.exit_code == 0
    assert ["RECEIVER", "HANDS", "10104"] in table(said.stdout, "Table 4.4-1")
    assert "WRISTMIR_Q" not in said.stdout


def test_every_listed_syntax_is_accepted_in_the_listed_order(text: str, tmp_path: Path) -> None:
    listed = [uid for _, uid in table(text, "Table 4.2-2")]
    with station(tmp_path) as link:
        for first, second in zip(listed[::7], listed[1::7], strict=False):
            link_ = link.associate(CTImageStorage, syntaxes=(second, first))
            (context,) = link_.accepted_contexts
            assert context.transfer_syntax == [first]
            link_.release()


def test_each_rejection_stands_in_it_as_it_comes_over_the_wire(text: str, tmp_path: Path) -> None:
    listed = {tuple(map(int, row[:3])) for row in table(text, "Table 4.2-1")}
    with station(tmp_path) as link:
        for who in ({"calling": "STRANGER"}, {"called": "NOBODY"}):
            assert rejection(link, **who) in listed


def test_the_keys_of_a_query_are_those_that_are_asked_for_on_the_wire(text: str) -> None:
    with archive() as (there, where), ArchiveQuery(where, "WRISTMIR") as query:
        query.studies(date(2024, 1, 1), "CR")
        query.series("1.2.3")
        query.instances("1.2.3", "1.2.3.1")
        asked = [
            [str(one.QueryRetrieveLevel), str(element.tag).replace(", ", ","), element.name]
            for one in there.asked
            for element in one
            if element.keyword != "QueryRetrieveLevel"
        ]
    assert sorted(table(text, "Table 4.2-5")) == sorted(asked)


def test_every_key_that_it_says_is_answered_is_answered(text: str, tmp_path: Path) -> None:
    listed = [(level, int(tag[1:5] + tag[6:10], 16)) for level, tag, *_ in table(text, "4.2-3b")]
    above = {"STUDY": {}, "SERIES": {"StudyInstanceUID": "1.2.3.1"}}
    above["IMAGE"] = above["SERIES"] | {"SeriesInstanceUID": "1.2.3.1.1"}
    (tmp_path / "shelf").mkdir()
    shelf = Shelf(tmp_path / "shelf")
    shelf.put(result(1))
    with station(tmp_path / "state", holdings=shelf) as link:
        association = link.associate(study_root.FIND)
        for level, keys in above.items():
            question = Dataset()
            question.QueryRetrieveLevel = level
            question.update(keys)
            own = [tag for at, tag in listed if at == level]
            for tag in own:
                question.add_new(tag, dictionary_VR(tag), None)
            (_, answer), _ = association.send_c_find(question, study_root.FIND)
            assert answer is not None
            assert set(own) <= {int(element.tag) for element in answer}
        association.release()


def test_each_attribute_that_a_step_needs_is_missed_and_each_parameter_is_taken(
    text: str, tmp_path: Path
) -> None:
    needed = [int(tag[1:5] + tag[6:10], 16) for tag, _ in table(text, "*N-CREATE.* Needed")]
    statuses = {int(status, 16) for status, _ in table(text, "Table 4.2-3e")}
    kinds = [row[0] for row in table(text, "Table 4.2-3d")]
    with station(tmp_path) as link, requesting(link.port) as peer:
        for tag in needed:
            incomplete = step("1.2.3")
            del incomplete[tag]
            assert peer.create(incomplete)[1] == 0x0120
        assert peer.create(step("1.2.3", bone(RADIUS), count("5")))[1] == 0x0000
        assert peer.get("1.2.3.9")[0] in statuses
        assert peer.subscribe(receiver="NOBODY") in statuses
    assert kinds == [bone(RADIUS).ValueType, count("5").ValueType]


def test_the_attributes_are_those_of_a_result_and_name_no_value_of_the_specimen(text: str) -> None:
    made = specimen()
    for title, dataset in (
        ("8.1-1", made.report),
        ("8.1-2", made.board),
        ("8.1-3", made.copy),
        ("8.1-4", made.measurements),
        ("8.1-5", made.state),
        ("8.1-6", made.key_objects),
        ("8.1-7", made.document),
    ):
        listed = [row[0] for row in table(text, f"Table {title}")]
        assert listed == [str(element.tag).replace(", ", ",") for element in dataset]
    assert not re.search(r"INVENTED|Invented|1\.2\.3\.0", text)


def test_what_it_says_is_kept_is_named_by_its_registered_name(text: str) -> None:
    for name, uid, _ in table(text, "are used:"):
        assert UID(uid).name == name


@pytest.mark.slow
def test_it_names_every_limit_with_its_value(text: str) -> None:
    peers = (PeerSettings.model_validate({"ae_title": "PACS", "addresses": ["10.0.0.1"]}),)
    settings = ListenerSettings(state_dir=Path("/nowhere"), peers=peers, pdu_seconds=7.5)
    assert "not complete within 7.5 s" in conformance(settings)
    assert "not complete within 20 s" in text
