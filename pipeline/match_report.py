"""The readable SR: the answer as a report that viewers show as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from textwrap import wrap
from typing import Any, Final

from highdicom.sr import (
    ComprehensiveSR,
    ContainerContentItem,
    ContentSequence,
    ImageContentItem,
    LanguageOfContentItemAndDescendants,
    RelationshipTypeValues,
    TextContentItem,
)
from pydicom import Dataset
from pydicom.sr.coding import Code

from pipeline import terms
from pipeline.character_set import plain
from pipeline.device_report import ReportSeries, device_report
from pipeline.dictionary import ENGLISH, Dictionary
from pipeline.exam import Exam
from pipeline.prior_result import PriorResult
from pipeline.reference import PriorReference
from pipeline.region import Region
from pipeline.request import Answer, Match, RegionAnswer
from pipeline.subject import another_patient, device_observer
from pipeline.uid import KeyedUids
from pipeline.wording import (
    BundleWords,
    bone_words,
    case_labels,
    exam_words,
    in_language,
    match_words,
    use_words,
    wanted_words,
)

__all__ = ["match_report", "readable"]

_CONTAINS: Final = RelationshipTypeValues.CONTAINS
_INFERRED_FROM: Final = RelationshipTypeValues.INFERRED_FROM


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
    words: Dictionary = ENGLISH,
    withheld: Mapping[str, str] | None = None,
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
    words
        Its language, also of the meanings of its codes; English is written in ASCII.
    withheld
        Why the image of a prior without a reference is shown to nobody
        (`pipeline.library.Withheld`), by its SOP Instance UID.

    Returns
    -------
    Dataset
        With file meta information, Explicit VR Little Endian.

    Raises
    ------
    ResultError
        Where evidence and content disagree.
    """
    answer = in_language(answer, words)
    first, *others = _items(answer, references, bundle, uids, words, withheld or {})
    return device_report(
        ComprehensiveSR,
        _Writer(words).container(terms.TITLE, [first], relationship=None),
        ReportSeries(
            series_instance_uid=uids.make("report series", result_id),
            series_number=9001,
            sop_instance_uid=uids.make("report", result_id),
            description=words.say("report.series"),
        ),
        answer,
        query_header,
        references,
        bundle_id=bundle.id,
        created_at=created_at,
        predecessor=predecessor,
        words=words,
        add_rest=lambda report: report.ContentSequence.extend(others),
    )


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


def _items(
    answer: Answer,
    references: Mapping[str, PriorReference],
    bundle: BundleWords,
    uids: KeyedUids,
    words: Dictionary,
    withheld: Mapping[str, str],
) -> list[Dataset]:
    items = list(LanguageOfContentItemAndDescendants(language=words.code))
    items += list(device_observer(bundle, uids, in_full=False))
    write = _Writer(words)
    items.append(write.text(terms.INTENDED_USE, use_words(bundle, words)))
    demonstration = (words.say("demonstration") + ".",) if bundle.demonstration else ()
    warnings = demonstration + answer.warnings
    items += [write.text(terms.WARNING, warning) for warning in warnings]
    items.append(_query(answer.query, write))
    labels = case_labels(answer, words)
    items += [_region(part, labels, references, withheld, write) for part in answer.regions]
    items.append(_provenance(answer, bundle, write))
    return items


def _query(query: Exam, write: _Writer) -> Dataset:
    words = write.words
    found = [bone_words(region, words) for region in Region if region.value in query.boxes]
    missing = [bone_words(region, words) for region in Region if region.value not in query.boxes]
    bones = words.capital(", ".join(found) or words.say("report.none_located"))
    located = words.say("report.located", bones=bones)
    if missing:
        located = words.say("report.located_in_part", bones=bones, missing=", ".join(missing))
    image = write.image(terms.QUERY_IMAGE, PriorReference.to_original(query))
    return write.container(
        terms.QUERY,
        [
            write.text(terms.QUERY_IMAGE, write.sentence(exam_words(query, words)), image),
            write.text(terms.LOCATED_BONES, located),
        ],
    )


def _region(
    part: RegionAnswer,
    labels: Mapping[str, str],
    references: Mapping[str, PriorReference],
    withheld: Mapping[str, str],
    write: _Writer,
) -> Dataset:
    items = []
    if part.nothing_similar or not part.matches:
        key = "report.nothing_similar_listed" if part.matches else "report.nothing_similar"
        items.append(write.text(terms.OUTCOME, write.words.say(key)))
    if part.fallbacks:
        told = " ".join(write.sentence(words) for words in part.fallbacks)
        items.append(write.text(terms.FALLBACK, told))
    if part.matches:
        lines = another_patient(write.words)
        lines += [
            _match(part, match, labels, references, withheld, write) for match in part.matches
        ]
        items.append(write.container(terms.MATCHES, lines))
    return write.container(terms.SIMILAR_CASES[part.region], items)


def _match(
    part: RegionAnswer,
    match: Match,
    labels: Mapping[str, str],
    references: Mapping[str, PriorReference],
    withheld: Mapping[str, str],
    write: _Writer,
) -> Dataset:
    uid = match.exam.sop_instance_uid
    sentences = match_words(part.region, match, labels[uid], write.words)
    reference = references.get(uid)
    if reference is None:
        why = withheld.get(uid, "")
        key = f"report.not_shared_{why}" if why else "report.not_shared"
        sentences = (*sentences, write.words.say(key))
        return write.text(terms.MATCH, " ".join(sentences))
    return write.text(terms.MATCH, " ".join(sentences), write.image(terms.PRIOR_IMAGE, reference))


def _provenance(answer: Answer, bundle: BundleWords, write: _Writer) -> Dataset:
    words, request = write.words, answer.request
    bones = ", ".join(bone_words(region, words) for region in request.regions or (None,))
    asked = words.say("report.asked", bones=bones, k=request.k)
    if wanted := wanted_words(request, words):
        asked = words.say("report.asked_with_wishes", bones=bones, k=request.k, wanted=wanted)
    compared = words.say("report.compared", count=answer.pool_size)
    software = words.say("report.version", bundle=bundle.id, software=version("wristmir"))
    at = f"{answer.answered_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return write.container(
        terms.PROVENANCE,
        [
            write.text(terms.SCORE_MEANING, words.say("index.meaning")),
            write.text(terms.LIBRARY, f"{compared} {asked}"),
            write.text(terms.ALGORITHM_NAME, words.say(f"mode.{request.mode.value}")),
            write.text(terms.ALGORITHM_VERSION, software),
            write.text(terms.ANSWERED_AT, words.say("answered_at", time=at)),
        ],
    )


@dataclass(frozen=True)
class _Writer:
    """Makes content items, named in a language."""

    words: Dictionary

    def container(
        self,
        name: Code,
        items: Iterable[Dataset],
        relationship: RelationshipTypeValues | None = _CONTAINS,
    ) -> Dataset:
        container: Dataset = ContainerContentItem(
            name=self.words.named(name), is_content_continuous=False, relationship_type=relationship
        )
        container.ContentSequence = ContentSequence(items, is_sr=True, is_root=False)
        return container

    def text(self, name: Code, words: str, image: Dataset | None = None) -> Dataset:
        item: Dataset = TextContentItem(
            name=self.words.named(name), value=plain(words), relationship_type=_CONTAINS
        )
        if image is not None:
            item.ContentSequence = ContentSequence([image], is_sr=True, is_root=False)
        return item

    def image(self, name: Code, reference: PriorReference) -> Dataset:
        item: Dataset = ImageContentItem(
            name=self.words.named(name),
            referenced_sop_class_uid=reference.sop_class_uid,
            referenced_sop_instance_uid=reference.sop_instance_uid,
            relationship_type=_INFERRED_FROM,
        )
        return item

    def sentence(self, words: str) -> str:
        return f"{self.words.capital(words).rstrip('.')}."


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
