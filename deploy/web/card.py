"""A match as the pages show it: its picture or why there is none, scores, words, links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from deploy.web.page import side_name
from deploy.web.pictures import Pictures, boxes_seen
from deploy.web.ranking import Finding, Ranked
from deploy.web.viewer_links import ViewerLinks
from pipeline.answer_record import AnswerRecord, CaseRecord, MatchRecord, PartRecord, part_name
from pipeline.dictionary import Dictionary
from pipeline.exam import RegionFindings
from pipeline.region import Region
from pipeline.wording import bone_words, finding_words, told_regions

__all__ = ["Card", "boxes_of", "card_of"]


@dataclass(frozen=True)
class Card:
    """What a template fills in.

    Parameters
    ----------
    match, case, place, finding
        See `deploy.web.ranking.Ranked`.
    lack
        Why there is no picture, a key of the dictionary; empty where there is one.
    side, words, boxes
        Side, the report's findings by bone, and boxes in the small picture of the wrist.
    has_bone
        Whether the asked bone was located.
    in_viewer
        Address that opens it beside the query; empty where there is none.
    relevance
        What the reader said of it; 0 for nothing.
    """

    match: MatchRecord
    case: CaseRecord
    place: int | None
    finding: Finding
    lack: str
    side: str
    words: list[tuple[str, str]]
    boxes: list[tuple[Region, list[float]]]
    has_bone: bool
    in_viewer: str
    relevance: int


def card_of(
    record: AnswerRecord,
    part: PartRecord,
    ranked: Ranked,
    pictures: Pictures,
    viewer: ViewerLinks,
    given: Mapping[tuple[str, str], int],
    words: Dictionary,
) -> Card:
    """Return a match as it is shown.

    Parameters
    ----------
    record, part, ranked
        The answer, the bone, the match.
    pictures, library
        Know what can be seen of it, here and in the viewer.
    given
        What the reader said of the answer's matches, by part and SOP Instance UID.
    words
        The language of the page.
    """
    case = ranked.case
    return Card(
        match=ranked.match,
        case=case,
        place=ranked.place,
        finding=ranked.finding,
        lack=pictures.lack(record, case),
        side=side_name(case.laterality, words),
        words=_findings(case, part, words),
        boxes=boxes_of(record, part, case),
        has_bone=part.region is not None and part.region.value in case.boxes,
        in_viewer=viewer.address(record, [case]),
        relevance=given.get((part_name(part), case.sop_instance_uid), 0),
    )


def boxes_of(
    record: AnswerRecord, part: PartRecord, case: CaseRecord
) -> list[tuple[Region, list[float]]]:
    """Return corner, width and height of each bone's box in the small picture of the wrist."""
    return [
        (region, [round(value, 1) for value in (x0, y0, x1 - x0, y1 - y0)])
        for region, (x0, y0, x1, y1) in boxes_seen(record, part, case)
    ]


def _findings(case: CaseRecord, part: PartRecord, words: Dictionary) -> list[tuple[str, str]]:
    """Return what the report of a match says, the asked bone first; empty without a report."""
    if not case.findings_known:
        return []
    found = [
        (bone_words(region, words), finding_words(case.findings.get(region, _NOTHING_SAID), words))
        for region in told_regions(case.findings, part.region)
    ]
    if case.other:
        others = ", ".join(words.coded("other", one) for one in case.other)
        found.append((words.say("pages.also"), others))
    return found or [("", words.say("finding.no_bone"))]


_NOTHING_SAID: Final = RegionFindings()
