"""What a sentence names beside fractures: casts, hardware and the like, alignment, projections."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pipeline.cue import denied, doubted
from pipeline.findings import Alignment, Other
from pipeline.region import View

__all__ = ["alignment_in", "others_in", "taken_off", "views_in"]


def others_in(words: str) -> tuple[tuple[Other, bool], ...]:
    """Return what else a sentence names, each with whether it is doubted; no fractures."""
    found: dict[Other, bool] = {}
    for name, pattern in _OTHERS.items():
        for match in pattern.finditer(words):
            if name is Other.HARDWARE and _FILM.search(words):
                continue
            if denied(words, match.start(), 80) or _ABSENT_BEHIND.match(words, match.end()):
                continue
            if name in _PUT_ON and (_removed(words, match) or _planned(words, match)):
                continue
            found[name] = found.get(name, True) and doubted(words, match.start())
    return tuple(found.items())


def taken_off(words: str) -> bool:
    """Tell whether a sentence says that a cast told of before was off when the films were made."""
    return bool(_OFF_BEFORE.search(words))


_OFF_BEFORE = re.compile(
    r"\b(?:cast|splint|plaster|slab|backslab|pop|it|brace|orthosis)\s+(?:\w+\s+){0,3}?(?:off"
    r"|removed"
    r"|taken\s+(?:off|down)|cut\s+off)\s+(?:\w+\s+)?(?:before|prior\s+to|for)\s+(?:the\s+|these\s+"
    r"|this\s+)?(?:exposure|exposing|imaging|x-?ray\w*|films?|radiograph\w*|views?|examination"
    r"|exam|study|pictures?)"
)


def alignment_in(words: str) -> Alignment | None:
    """Return what a sentence says of alignment."""
    for alignment, pattern in _ALIGNMENTS.items():
        match = pattern.search(words)
        if match and not denied(words, match.start()):
            return alignment
    return None


def views_in(words: str) -> tuple[View, ...]:
    """Return the projections that a title or technique sentence names."""
    return tuple(view for view, pattern in _VIEWS.items() if pattern.search(words))


def _removed(words: str, match: re.Match[str]) -> bool:
    before = words[max(0, match.start() - 40) : match.start()]
    return bool(_REMOVED_AHEAD.search(before) or _REMOVED_BEHIND.match(words, match.end()))


def _planned(words: str, match: re.Match[str]) -> bool:
    """Tell whether a cast or hardware is only advised: "for K-wiring", "splint recommended"."""
    return bool(
        _PLANNED_AHEAD.search(words, max(0, match.start() - 60), match.start())
        or _PLANNED_BEHIND.match(words, match.end())
    )


_FILM = re.compile(
    r"\b(?:scratch\w*|dust|dirt|smudge|artefact|artifact|clean|cassette|imaging|image|phosphor"
    r"|detector|processing|fresh|digital|film)\b[^.;]{0,40}\bplates?\b"
)
"""A plate that takes pictures."""
_PUT_ON = (Other.CAST_OR_SPLINT, Other.HARDWARE)
_ABSENT_BEHIND = re.compile(
    r"-free\b|\s*(?:\w+\s+){0,3}?(?:not\s+\w+|absent|[\w\s/]{0,20}[:?]\s*(?:no|none|nil)"
    r"|(?:has\s+|have\s+|is\s+|are\s+)?(?:now\s+|completely\s+)?(?:resolved|settled|subsided|gone"
    r"|disappeared|no\s+longer))\b"
)
_PLANNED_AHEAD = re.compile(
    r"\b(?:plan(?:ned|s)?|list(?:ed)?|schedul\w+|book(?:ed)?|await\w+|consider\w*|recommend\w*"
    r"|advi[sc]e\w*|suggest\w*"
    r"|requir\w+|needs?|please|discuss\w*|refer\w*|may|might|should|would|will|treat\b|manage\b"
    r"|treat(?:ed"
    r"|ment)?\s+(?:with|by|in)|if|or"
    r"|for(?!\s+\d)|apply|reapply|continue|leave|keep|consult\w*)\b[^.;]{0,50}$"
)
_PLANNED_BEHIND = re.compile(
    r"\s*(?:[\w-]+\s+){0,4}?(?:(?:is|are|was|were)\s+)?(?:recommended|advised|suggested|planned"
    r"|ok\b|okay|to\s+be\b|per\s+protocol|and\s+home"
    r"|considered|and\s+(?:see|review|re-?\w+|follow\w*|image|discharge|return|come|bring|x-?ray)\b"
    r"|required|needed|for\s+(?:\d|two|three|four|six|sport|comfort)|(?:may|should|will"
    r"|would|can)\b(?!\s+(?:now\s+)?(?:come|go|be)\s+(?:off|removed|taken|discarded|discontinued)))"
)

_OTHERS: Mapping[Other, re.Pattern[str]] = {
    Other.CAST_OR_SPLINT: re.compile(
        r"\b(?:cast(?:s|ed|ing)?|splint(?:s|ed|ing)?|plaster|(?:back-?\s?)?slabs?|pop|b\.?e\.?c"
        r"|a\.?e\.?c|fib(?:re|er)\s?glass"
        r"|(?<!after )(?<!following )(?<!post )(?<!post-)(?<!prolonged )(?<!to )(?<!from )(?<!for )"
        r"immobili[sz](?:ation|ed|er)|orthosis|brace|sugar[- ]tong|gypsum)\b"
    ),
    Other.HARDWARE: re.compile(
        r"\b(?:k(?:irschner)?[\s-]?wir(?:es?|ing|ed)|wires?|(?:percutaneous\s+)?pins?|pinning"
        r"|screws?|esin|tens?\s+nail"
        r"|nail(?:s|ing)?|hardware|(?:internal|plate|screw|wire|external)\s+fixat\w+|orif"
        r"|metal\s?work|osteosynthesis|fixateur|(?<!growth[\s-])(?<!physeal )(?<!epiphyseal )"
        r"(?<!end[\s-])(?<!articular )plates?"
        r"(?!\s+(?:injur|avuls|fract|open|clos|(?:is|are)\s+(?:open|clos|nor))))\b"
        r"(?!\s+(?:tracks?|tracts?|holes?|sites?|beds?))"
    ),
    Other.SOFT_TISSUE_SWELLING: re.compile(
        r"\b(?:swelling|swollen|sts\b|o?edema(?:tous)?|fat\s+pad\s+(?:sign|displace\w*|elevat\w*"
        r"|bulg\w*))"
    ),
    Other.OSTEOPENIA: re.compile(
        r"\b(?:osteop[eo]ni[ac]\w*|(?:de|under)-?minerali[sz]\w+|osteoporo\w+"
        r"|(?:reduced|decreased|low)\s+bone\s+(?:mineral\s+)?(?:density|minerali[sz]ation))"
    ),
    Other.DISLOCATION: re.compile(r"\b(?:dislocat\w+|sub-?lux\w+|galeazzi|diastasis)"),
    Other.FOREIGN_BODY: re.compile(
        r"\bforeign\s+bod(?:y|ies)|\bfbs?\b|\b(?:splinter|shard)s?\b|\b(?:retained"
        r"|embedded)\s+(?:\w+\s+)?(?:glass|wood|metal\w*"
        r"|gravel|fragment|needle)|\b(?:radio-?(?:opaque|dense)|metal(?:lic)?"
        r"|glass)\s+(?:\w+\s+)?(?:fragments?|bod(?:y|ies)"
        r"|densit(?:y|ies)|objects?|particles?|needle)"
    ),
    Other.BONE_LESION: re.compile(
        r"\b(?:(?:bone|osseous|bony|lytic|sclerotic|lucent|focal)\s+lesions?|bone\s+cyst"
        r"|enchondroma"
        r"|exostosis|osteochondroma|(?:bony|compact|compacta|dense|sclerotic)\s+islands?"
        r"|islands?\s+of\s+(?:\w+\s+)?bone|non-?ossifying\s+fibroma|nof|bone\s+islands?"
        r"|enostos[ie]s"
        r"|osteoma|osteoid\s+osteoma|fibroxanthoma"
        r"|(?:unicameral|simple|aneurysmal)\s+(?:bone\s+)?cyst|exostoses|fibrous\s+(?:cortical\s+)?"
        r"(?:defect|dysplasia))s?\b"
    ),
}
_REMOVED_AHEAD = re.compile(
    r"\b(?:out\s+of|no\s+longer|previous(?:ly)?|history\s+of|hx\s+of|remov(?:al|ed)(?:\s+of)?"
    r"|discontinu\w+|post|ex|following|after)[\s-]+(?:(?:the|a|an|in|of|her|his|\w+ing|\w+elbow"
    r"|short|long|arm|plaster|removal)[\s-]+){0,4}$"
)
_REMOVED_BEHIND = re.compile(
    r"(?:\s*,[^,;.]{0,60},)?\s*(?:(?!(?:a|an|the|new|applied|remains?|present|place|situ|may|can"
    r"|should|will"
    r"|still)\b)[\w/-]+\s+){0,6}?"
    r"(?:remov(?:ed|al)\b(?!\s+(?:may|is\s+(?:planned|advised)|at|in|to)\b)|off\b|pulled|discarded"
    r"|taken\s+down|cut\s+open|opened"
    r"|discontinued|no\s+longer)"
)
"""What a cast or hardware has before or behind it that is there no more."""

_ALIGNED = (
    r"(?:(?:near[- ])?anatomic(?:al(?:ly)?)?|satisfactory|good|acceptable|maintained|normal"
    r"|preserved|excellent)"
)
_ALIGNMENTS: Mapping[Alignment, re.Pattern[str]] = {
    Alignment.ABNORMAL: re.compile(
        r"\bmal-?\s?align\w+|\b(?:abnormal|poor|unsatisfactory|loss\s+of)\s+(?:\w+\s+)?alignment"
        r"|(?<!no )(?<!without )\bloss\s+of\s+reduction"
    ),
    Alignment.NORMAL: re.compile(
        rf"\b{_ALIGNED}\s+(?:\w+\s+){{0,3}}?(?:alignment|position)\b"
        rf"|\balignment\b[\w\s,]{{0,40}}?\b"
        rf"(?:is|are|remains?|appears?)?\s*{_ALIGNED}\b|\b{_ALIGNED}ly\s+aligned|\bwell[\s-]aligned"
        r"|\balignment\s*:\s*" + _ALIGNED
    ),
}

_VIEWS: Mapping[View, re.Pattern[str]] = {
    View.PA: re.compile(
        r"\b(?:pa|p\.a\.?|ap|a\.p\.?|dp|d\.p\.?|frontal|postero-?anterior|dorso-?\s?(?:palmar"
        r"|volar))\b"
    ),
    View.LATERAL: re.compile(
        r"\b(?:lateral(?=\s|,|$|/)|lat)\b(?!\s+(?:aspect|cortex|epicond|side))"
    ),
    View.OBLIQUE: re.compile(r"\bobliques?\b(?!\s+fracture)"),
}
