"""The document by which a reader returns how relevant matches are, to be filled in.

`pipeline.returned_relevance` says how it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import (
    CodeContentItem,
    CompositeContentItem,
    ComprehensiveSR,
    ContainerContentItem,
    ContentSequence,
    NumContentItem,
    PnameContentItem,
    RelationshipTypeValues,
)
from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from pipeline import terms
from pipeline.answer_record import AnswerRecord, MatchRecord, PartRecord, part_name
from pipeline.character_set import fit_character_set
from pipeline.dictionary import ENGLISH, Dictionary
from pipeline.evidence import assert_evidence, document_of
from pipeline.identity import adopt_identity, content_time
from pipeline.prior_result import PriorResult

__all__ = ["relevance_report"]


def relevance_report(
    record: AnswerRecord,
    report: PriorResult,
    query_header: Dataset,
    *,
    observer: str,
    at: datetime,
    scores: Mapping[tuple[str, int], int] | None = None,
    words: Dictionary = ENGLISH,
) -> Dataset:
    """Build the document: Comprehensive SR, in the study of the query, UNVERIFIED.

    Parameters
    ----------
    record
        The answer whose matches are judged.
    report
        Its report, which the document names.
    query_header
        The query image: patient and study are taken from it.
    observer
        Who judges: a person's name as DICOM writes it (PS3.5 section 6.2, PN).
    at
        Timezone-aware content time.
    scores
        Points by part and rank; a match without is marked as not judged.
    words
        The language of its codes' meanings.

    Returns
    -------
    Dataset
        With file meta information, Explicit VR Little Endian. Its UIDs are of nobody's key: what a
        reader makes is no object of the plugin's own.
    """
    local = content_time(at, query_header)
    first, *others = _items(record, report, observer, scores or {}, words)
    made: Dataset = ComprehensiveSR(
        evidence=[document_of(report)],
        content=_container(words.named(terms.RELEVANCE_TITLE), [first], relationship=None),
        series_instance_uid=generate_uid(prefix=None),
        series_number=9101,
        sop_instance_uid=generate_uid(prefix=None),
        instance_number=1,
        series_description=words.named(terms.RELEVANCE_TITLE).meaning,
        manufacturer="WristMIR project",
        manufacturer_model_name="WristMIR",
        software_versions=version("wristmir"),
        device_serial_number=record.bundle_id,
        is_complete=True,
        is_final=False,
        is_verified=False,
        coding_schemes=[
            CodingSchemeIdentificationItem(designator=terms.SCHEME, name=terms.SCHEME_NAME)
        ],
        content_date=local.date(),
        content_time=local.time(),
    )
    # highdicom copies and searches the content that it is given: all but the first item come later
    made.ContentSequence.extend(others)
    made.pop("ContributingEquipmentSequence", None)
    adopt_identity(made, query_header)
    if "TimezoneOffsetFromUTC" not in made:
        made.TimezoneOffsetFromUTC = local.strftime("%z")
    fit_character_set(made, words)
    assert_evidence(made)
    return made


_CONTAINS = RelationshipTypeValues.CONTAINS


def _items(
    record: AnswerRecord,
    report: PriorResult,
    observer: str,
    scores: Mapping[tuple[str, int], int],
    words: Dictionary,
) -> list[Dataset]:
    context = RelationshipTypeValues.HAS_OBS_CONTEXT
    return [
        CodeContentItem(terms.OBSERVER_TYPE, terms.PERSON, relationship_type=context),
        PnameContentItem(terms.PERSON_NAME, observer, relationship_type=context),
        CompositeContentItem(
            words.named(terms.JUDGED_RESULT),
            referenced_sop_class_uid=report.sop_class_uid,
            referenced_sop_instance_uid=report.sop_instance_uid,
            relationship_type=_CONTAINS,
        ),
        *(_part(part, scores, words) for part in record.parts if part.matches),
    ]


def _part(part: PartRecord, scores: Mapping[tuple[str, int], int], words: Dictionary) -> Dataset:
    name = part_name(part)
    matches = [_match(match, scores.get((name, match.rank)), words) for match in part.matches]
    return _container(words.named(terms.SIMILAR_CASES[part.region]), matches)


def _match(match: MatchRecord, point: int | None, words: Dictionary) -> Dataset:
    said = terms.NOT_JUDGED if point is None else terms.POINTS[point]
    rank = NumContentItem(
        words.named(terms.RANK), match.rank, unit=terms.RANKS, relationship_type=_CONTAINS
    )
    relevance = CodeContentItem(
        words.named(terms.RELEVANCE), words.named(said), relationship_type=_CONTAINS
    )
    return _container(words.named(terms.MATCH), [rank, relevance])


def _container(
    name: Code, items: list[Dataset], relationship: RelationshipTypeValues | None = _CONTAINS
) -> Dataset:
    container: Dataset = ContainerContentItem(
        name=name, is_content_continuous=False, relationship_type=relationship
    )
    container.ContentSequence = ContentSequence(items, is_sr=True, is_root=False)
    return container
