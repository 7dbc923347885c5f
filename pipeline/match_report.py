"""The readable SR: the answer as a report that viewers show as text."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from textwrap import wrap
from typing import Any, Final

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import (
    CodeContentItem,
    ComprehensiveSR,
    ContainerContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    ImageContentItem,
    LanguageOfContentItemAndDescendants,
    ObserverContext,
    RelationshipTypeValues,
    TextContentItem,
)
from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from pipeline import terms
from pipeline.errors import ResultError
from pipeline.exam import Exam
from pipeline.identity import adopt_identity, content_time
from pipeline.outbox import PriorResult
from pipeline.reference import PriorReference
from pipeline.region import Region
from pipeline.request import Answer, Match, RegionAnswer
from pipeline.uid import KeyedUids
from pipeline.wording import (
    DEMONSTRATION,
    SCORE_WORDS,
    BundleWords,
    case_labels,
    exam_words,
    findings_words,
    index_words,
    wanted_words,
)

__all__ = ["assert_evidence", "match_report", "readable"]

_CONTAINS: Final = RelationshipTypeValues.CONTAINS
_CONTEXT: Final = RelationshipTypeValues.HAS_OBS_CONTEXT
_INFERRED_FROM: Final = RelationshipTypeValues.INFERRED_FROM
_REPLACEMENTS: Final = str.maketrans(
    {"–": "-", "—": "-", "‑": "-", "−": "-", "≥": ">=", "≤": "<=", "×": "x", "…": "...", "’": "'"}
)


def match_report(
    answer: Answer,
    query_header: Dataset,
    references: Mapping[str, PriorReference],
    *,
    bundle: BundleWords,
    uids: KeyedUids,
    result_id: str,
    created_at: datetime,
    predecessor: PriorResult | None = None,
) -> Dataset:
    """Build the report: Comprehensive SR (PS3.3 A.35.3), a plain tree under the plugin's own title.

    One line of text per match, with the image it was inferred from. The lines stand in a container
    whose subject context (PS3.16 TID 1006) says that they are of other patients; nothing is coded
    as a finding, and no line sums the matches up. Similarity indices are text, for viewers print
    dimensionless numbers badly.

    Parameters
    ----------
    answer
        What was found.
    query_header
        The query image: patient and study are taken from it.
    references
        By SOP Instance UID of the prior; a prior without one is listed without its image.
    bundle
        The models behind the answer.
    uids, result_id
        Together they give the UIDs: the same result again is the same object.
    created_at
        Timezone-aware time of the answer.
    predecessor
        The report that this one replaces.

    Returns
    -------
    Dataset
        With file meta information, Explicit VR Little Endian.

    Raises
    ------
    ResultError
        Where evidence and content disagree.
    """
    local = content_time(created_at, query_header)
    evidence = _evidence(answer, references)
    report: Dataset = ComprehensiveSR(
        evidence=evidence,
        content=_tree(answer, references, bundle, uids),
        series_instance_uid=uids.make("report series", result_id),
        series_number=9001,
        sop_instance_uid=uids.make("report", result_id),
        instance_number=1,
        series_description="WristMIR similar prior wrists",
        manufacturer="WristMIR project",
        manufacturer_model_name="WristMIR",
        software_versions=version("wristmir"),
        device_serial_number=bundle.id,
        is_complete=True,
        is_final=False,
        is_verified=False,
        coding_schemes=[
            CodingSchemeIdentificationItem(designator=terms.SCHEME, name=terms.SCHEME_NAME)
        ],
        content_date=local.date(),
        content_time=local.time(),
    )
    report.InstanceCreationDate = report.ContentDate
    report.InstanceCreationTime = report.ContentTime
    # highdicom notes itself there with the present time: a second run would differ
    report.pop("ContributingEquipmentSequence", None)
    adopt_identity(report, query_header)
    if predecessor is not None:
        report.PredecessorDocumentsSequence = _predecessors(predecessor)
    assert_evidence(report)
    return report


def assert_evidence(report: Dataset) -> None:
    """Check what validators overlook: which evidence sequence an instance stands in.

    The report's own study belongs in CurrentRequestedProcedureEvidenceSequence, every other in
    PertinentOtherEvidenceSequence, no instance in both, and no image of the content in neither
    (PS3.3 C.17.2.3).

    Raises
    ------
    ResultError
        Saying which rule is broken.
    """
    own, current = _listed(report, "CurrentRequestedProcedureEvidenceSequence")
    others, pertinent = _listed(report, "PertinentOtherEvidenceSequence")
    mentioned = {
        str(reference.ReferencedSOPInstanceUID)
        for item in _items(report)
        for reference in item.get("ReferencedSOPSequence", [])
    }
    study = str(report.StudyInstanceUID)
    for broken, detail in (
        (own - {study}, "Another study stands in the current procedure's evidence."),
        (others & {study}, "The query's own study stands in the other evidence."),
        (current & pertinent, "An instance stands in both evidence sequences."),
        (mentioned - current - pertinent, "An image of the content stands in no evidence."),
    ):
        if broken:
            raise ResultError(detail)


def readable(report: Dataset, width: int | None = None) -> str:
    """Return the report as plain text, for a terminal or a text file.

    Parameters
    ----------
    report
        As built, or as read from a file.
    width
        Break lines that are longer; None breaks none.
    """
    title = str(report.ConceptNameCodeSequence[0].CodeMeaning)
    lines = [title, "=" * len(title)]
    for item in report.ContentSequence:
        lines.extend(_lines(item, 0))
    if width is not None:
        lines = [broken for line in lines for broken in _broken(line, width)]
    return "\n".join(lines).strip() + "\n"


def _tree(
    answer: Answer,
    references: Mapping[str, PriorReference],
    bundle: BundleWords,
    uids: KeyedUids,
) -> Dataset:
    items = list(LanguageOfContentItemAndDescendants(language=terms.ENGLISH))
    items += _observer(bundle, uids)
    use = f"{bundle.intended_use} For comparison only: no diagnosis, no finding of this patient."
    items.append(_text(terms.INTENDED_USE, use))
    warnings = ((DEMONSTRATION + ".",) if bundle.demonstration else ()) + answer.warnings
    items += [_text(terms.WARNING, warning) for warning in warnings]
    items.append(_query(answer.query))
    labels = case_labels(answer)
    items += [_region(part, labels, references) for part in answer.regions]
    items.append(_provenance(answer, bundle))
    return _container(terms.TITLE, items, relationship=None)


def _observer(bundle: BundleWords, uids: KeyedUids) -> list[Dataset]:
    """Say that a device, not a person, observed this (PS3.16 TID 1002, 1004)."""
    device = DeviceObserverIdentifyingAttributes(
        uid=uids.make("device"),
        name="WristMIR",
        manufacturer_name="WristMIR project",
        model_name="WristMIR",
        serial_number=bundle.id,
    )
    return list(
        ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    )


def _query(query: Exam) -> Dataset:
    found = [region.words for region in Region if region.value in query.boxes]
    missing = [region.words for region in Region if region.value not in query.boxes]
    located = ", ".join(found) or "none"
    if missing:
        located += f". Not found: {', '.join(missing)}"
    image = _image(terms.QUERY_IMAGE, query.sop_class_uid, query.sop_instance_uid)
    return _container(
        terms.QUERY,
        [
            _text(terms.QUERY_IMAGE, _sentence(exam_words(query)), image),
            _text(terms.LOCATED_BONES, _sentence(located)),
        ],
    )


def _region(
    part: RegionAnswer, labels: Mapping[str, str], references: Mapping[str, PriorReference]
) -> Dataset:
    items = [_text(terms.FALLBACK, _sentence(words)) for words in part.fallbacks]
    if part.nothing_similar or not part.matches:
        words = "No sufficiently similar case."
        if part.matches:
            words += " The nearest are listed all the same."
        items.append(_text(terms.OUTCOME, words))
    if part.matches:
        lines: list[Dataset] = [
            CodeContentItem(terms.SUBJECT_CLASS, terms.PATIENT, relationship_type=_CONTEXT),
            _text(terms.SUBJECT_ID, terms.ANOTHER_PATIENT, relationship=_CONTEXT),
        ]
        lines += [_match(part, match, labels, references) for match in part.matches]
        items.append(_container(terms.MATCHES, lines))
    return _container(terms.SIMILAR_CASES[part.region], items)


def _match(
    part: RegionAnswer,
    match: Match,
    labels: Mapping[str, str],
    references: Mapping[str, PriorReference],
) -> Dataset:
    scores = f"whole wrist similarity {index_words(match.global_index)}"
    if part.region is not None:
        bone = f"{part.region.words} similarity {index_words(match.region_index)}"
        scores = f"{bone}, {scores}"
    uid = match.exam.sop_instance_uid
    words = f"#{match.rank}  {labels[uid]}: {scores}. {_capital(exam_words(match.exam))}"
    words += " (the other side)." if match.mirrored else "."
    words += f" Findings of this other patient: {findings_words(match.exam, part.region)}."
    if match.reasons:
        words += f" Why: {'; '.join(match.reasons)}."
    reference = references.get(uid)
    if reference is None:
        return _text(terms.MATCH, f"{words} Its image is not shared.")
    image = _image(terms.PRIOR_IMAGE, reference.sop_class_uid, reference.sop_instance_uid)
    return _text(terms.MATCH, words, image)


def _provenance(answer: Answer, bundle: BundleWords) -> Dataset:
    asked = ", ".join(region.words for region in answer.request.regions) or "the wrist as a whole"
    compared = f"{answer.pool_size} prior radiograph{'s were' if answer.pool_size != 1 else ' was'}"
    wanted = wanted_words(answer.request)
    library = f"{compared} compared. Asked for: {asked}; up to {answer.request.k} each"
    library += f"; wanted: {wanted}." if wanted else "."
    method = f"WristMIR, {answer.request.mode.value.replace('_', '-')} retrieval"
    at = answer.answered_at.astimezone(UTC)
    return _container(
        terms.PROVENANCE,
        [
            _text(terms.SCORE_MEANING, SCORE_WORDS),
            _text(terms.LIBRARY, library),
            _text(terms.ALGORITHM_NAME, method),
            _text(terms.ALGORITHM_VERSION, f"bundle {bundle.id}, software {version('wristmir')}"),
            _text(terms.ANSWERED_AT, f"{at:%Y-%m-%d %H:%M:%S} UTC"),
        ],
    )


def _container(
    name: Code,
    items: Iterable[Dataset],
    relationship: RelationshipTypeValues | None = _CONTAINS,
) -> Dataset:
    container: Dataset = ContainerContentItem(
        name=name, is_content_continuous=False, relationship_type=relationship
    )
    container.ContentSequence = ContentSequence(items, is_sr=True, is_root=False)
    return container


def _text(
    name: Code,
    words: str,
    image: Dataset | None = None,
    relationship: RelationshipTypeValues = _CONTAINS,
) -> Dataset:
    item: Dataset = TextContentItem(name=name, value=_ascii(words), relationship_type=relationship)
    if image is not None:
        item.ContentSequence = ContentSequence([image], is_sr=True, is_root=False)
    return item


def _image(name: Code, sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item: Dataset = ImageContentItem(
        name=name,
        referenced_sop_class_uid=sop_class_uid,
        referenced_sop_instance_uid=sop_instance_uid,
        relationship_type=_INFERRED_FROM,
    )
    return item


def _evidence(answer: Answer, references: Mapping[str, PriorReference]) -> list[Dataset]:
    """List the instances that the content mentions, the query first: the SR takes its study.

    They carry no patient: highdicom would log a name it finds odd. `adopt_identity` fills it in.
    """
    used = [references[uid] for uid in case_labels(answer) if uid in references]
    query = PriorReference.to_original(answer.query)
    return [_instance(reference) for reference in (query, *used)]


def _instance(reference: PriorReference) -> Dataset:
    instance = Dataset()
    instance.SOPClassUID = reference.sop_class_uid
    instance.SOPInstanceUID = reference.sop_instance_uid
    instance.SeriesInstanceUID = reference.series_instance_uid
    instance.StudyInstanceUID = reference.study_instance_uid
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"):
        setattr(instance, keyword, "")
    for keyword in ("AccessionNumber", "StudyID", "StudyDate", "StudyTime"):
        setattr(instance, keyword, "")
    return instance


def _predecessors(predecessor: PriorResult) -> Sequence:
    """Build the reference to the replaced report (PS3.3 C.17.2.1)."""
    instance, series, study = Dataset(), Dataset(), Dataset()
    instance.ReferencedSOPClassUID = predecessor.sop_class_uid
    instance.ReferencedSOPInstanceUID = predecessor.sop_instance_uid
    series.SeriesInstanceUID = predecessor.series_uid
    series.ReferencedSOPSequence = Sequence([instance])
    study.StudyInstanceUID = predecessor.study_uid
    study.ReferencedSeriesSequence = Sequence([series])
    return Sequence([study])


def _listed(report: Dataset, keyword: str) -> tuple[set[str], set[str]]:
    """Return the studies and the instances of an evidence sequence."""
    studies: set[str] = set()
    instances: set[str] = set()
    for study in report.get(keyword, []):
        studies.add(str(study.StudyInstanceUID))
        for series in study.ReferencedSeriesSequence:
            instances |= {str(i.ReferencedSOPInstanceUID) for i in series.ReferencedSOPSequence}
    return studies, instances


def _items(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", []):
        yield child
        yield from _items(child)


def _lines(item: Dataset, depth: int) -> Iterator[str]:
    device = item.RelationshipType == "HAS OBS CONTEXT" and depth == 0
    if device or item.RelationshipType == "HAS CONCEPT MOD":
        return
    indent = "  " * depth
    name = str(item.ConceptNameCodeSequence[0].CodeMeaning)
    if item.ValueType == "CONTAINER":
        yield f"\n{indent}{name}"
    elif item.ValueType == "IMAGE":
        yield f"{indent}[image {item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID}]"
    else:
        yield f"{indent}{name}: {_value(item)}"
    for child in item.get("ContentSequence", []):
        yield from _lines(child, depth + 1)


def _broken(line: str, width: int) -> list[str]:
    """Break a line, what follows indented further than its beginning; UIDs stay whole."""
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    if not line.strip() or line.startswith("\n"):
        return [line]
    return wrap(line, width, subsequent_indent=indent, break_long_words=False)


def _value(item: Dataset) -> Any:
    if item.ValueType == "CODE":
        return item.ConceptCodeSequence[0].CodeMeaning
    return item.get("TextValue") or item.get("UID") or ""


def _ascii(words: str) -> str:
    """Return the words in characters that stand in every DICOM character set."""
    decomposed = unicodedata.normalize("NFKD", words.translate(_REPLACEMENTS))
    kept = (character for character in decomposed if not unicodedata.combining(character))
    return "".join(kept).encode("ascii", "replace").decode("ascii")


def _sentence(words: str) -> str:
    return f"{_capital(words).rstrip('.')}."


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
