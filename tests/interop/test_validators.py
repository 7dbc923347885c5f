"""Other people's validators and readers on every kind of object that is sent, in every language."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest
from dcmtk import call, shown_words
from pydicom import Dataset
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage
from result_parts import NOW, UIDS, answer, as_bytes, dciodvfy_errors, pixelmed_complaints
from test_match_report import EARLIER
from test_result_set import EVERYTHING, copies_of, results_of

from deploy.specimen import Specimen
from pipeline.rejection_note import rejection_note
from pipeline.result_language import Language

pytestmark = [pytest.mark.slow, pytest.mark.peers]

DOCUMENTS = ("report", "measurements", "measurements_3d", "key_objects", "rejection_note")
"""Those that hold structured content."""
KINDS = (*DOCUMENTS, "board", "state", "document", "copy")


@cache
def made(language: Language) -> dict[str, Dataset]:
    """Make one object of each kind, in a language; each replaces an earlier one."""
    copies = copies_of(answer())
    plain = EVERYTHING.model_copy(update={"language": language})
    solid = plain.model_copy(update={"measurements": "comprehensive_3d"})
    report, measurements, board, state, key_objects, *_, document = results_of(
        answer(), copies, settings=plain, predecessor=EARLIER
    )
    _, measurements_3d, *_ = results_of(answer(), copies, settings=solid, predecessor=EARLIER)
    source, copy = next(iter(copies.items()))
    withdrawn = next(one for one in answer().priors if one.sop_instance_uid == source)
    note = rejection_note([copy], withdrawn.study_instance_uid, "113001", uids=UIDS, at=NOW)
    return {
        "report": report,
        "measurements": measurements,
        "measurements_3d": measurements_3d,
        "board": board,
        "state": state,
        "key_objects": key_objects,
        "document": document,
        "copy": copy,
        "rejection_note": note,
    }


def test_every_kind_of_object_that_the_plugin_makes_is_validated_here() -> None:
    kinds = {field.name for field in fields(Specimen)} - {"query", "prior"}
    assert (
        kinds | {"measurements_3d", "rejection_note"} == set(KINDS) == set(made(Language.ENGLISH))
    )
    classes = [made(Language.ENGLISH)[kind].SOPClassUID for kind in DOCUMENTS[:3]]
    assert classes == [ComprehensiveSRStorage, ComprehensiveSRStorage, Comprehensive3DSRStorage]


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("kind", KINDS)
def test_dciodvfy_finds_no_error(kind: str, language: Language, tmp_path: Path) -> None:
    assert dciodvfy_errors(made(language)[kind], tmp_path) == []


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_pixelmed_gets_to_the_end_and_finds_no_error(
    kind: str, language: Language, tmp_path: Path
) -> None:
    assert pixelmed_complaints(made(language)[kind], tmp_path) == []


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_dsr2html_shows_every_word(kind: str, language: Language, tmp_path: Path) -> None:
    document, file = made(language)[kind], tmp_path / "document.dcm"
    file.write_bytes(as_bytes(document))
    done = call("dsr2html", "+U8", str(file))
    assert done.returncode == 0, done.stderr
    shown = shown_words(done.stdout)
    texts = [str(element.value) for element in document.iterall() if element.keyword == "TextValue"]
    texts.append(document.ConceptNameCodeSequence[0].CodeMeaning)
    assert len(texts) > 1 or kind == "rejection_note"
    assert [text for text in texts if " ".join(text.split()) not in shown] == []


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_dsrdump_reads_it_without_complaint(kind: str, language: Language, tmp_path: Path) -> None:
    file = tmp_path / "document.dcm"
    file.write_bytes(as_bytes(made(language)[kind]))
    done = call("dsrdump", str(file))
    assert done.returncode == 0, done.stderr
    complaints = done.stderr.splitlines()
    assert [line for line in complaints if not any(known in line for known in UNCHECKED)] == []


# this DCMTK says that it checks no value in UTF-8, and no template of key objects
UNCHECKED = ("VR checker", "Check for template constraints not yet supported")
