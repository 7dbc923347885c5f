"""What a report only passes on: the words of others, of somebody else, or of what would be."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.bone import BONE
from pipeline.lexicon import HEAD

__all__ = ["is_hearsay", "quotes_in", "without_quotes"]


def is_hearsay(words: str) -> bool:
    """Tell whether a flattened sentence passes a fracture on instead of stating it.

    "The notes mention a fracture", "you ask whether the radius is broken", "had there been a
    fracture", "the right wrist is not part of this examination"; not "as the nurse suspected,
    there is a fracture".
    """
    if _NOT_THE_SUBJECT.search(words):
        return True
    if not HEAD.search(words) or _OWN.search(words):
        return False
    if _OF_ANOTHER.search(words):
        return True
    return any(HEAD.search(_passed_on(words[m.end() :])) for m in _TOLD.finditer(words))


def _passed_on(words: str) -> str:
    """Return what is passed on: up to a colon, or all behind one at once ("it says: ...")."""
    return words if words.lstrip().startswith(":") else words.split(":", maxsplit=1)[0]


def quotes_in(words: str) -> Iterator[tuple[int, int]]:
    """Yield from where to where a sentence quotes somebody on a fracture of a bone."""
    for match in _QUOTED.finditer(words):
        whole = not any(c.isalnum() for c in words[: match.start()] + words[match.end() :])
        if not whole and HEAD.search(match.group()) and BONE.search(match.group()):
            yield match.span()


def without_quotes(words: str) -> str:
    """Return words of the same length with a word without meaning for each such quotation."""
    for start, end in quotes_in(words):
        words = words[:start] + '"' + "x" * (end - start - 2) + '"' + words[end:]
    return words


_QUOTED = re.compile(r"\"[^\"]{3,240}\"")
_PERSON = r"(?:kid|child|boy|girl|patient|lad|youngster|toddler|person|baby|teenager|case)"
_SOURCE = (
    r"(?:reports?|letters?|notes?|card|form|slip|request\w*|referr\w+|paperwork|packet|disc|cd"
    r"|colleagues?|casualty|clinic|registrar|mother|father|mum|mom|dad|parents?|grand\w+|school"
    r"|gp|g\.p|hospital|doctor|physician|surgeon|nurse|department|teacher|coach|interpreter"
    r"|triage|ambulance|family|sticker|message|caller|e-?mail|software|algorithm)"
)
_SAYS = (
    r"(?:refer(?:s|red)?\s+to|mention\w*|say(?:s|ing)?|said|stat(?:es?|ed|ing)|reads?|reading"
    r"|spoke\s+of|speaks\s+of|describ\w+|claim\w*|wrote|writes|written|quot\w+"
    r"|diagnos(?:ed|es)|call(?:s|ed)\s+(?:it|this|an?)|report(?:s|ed)"
    r"|(?<!was )(?<!were )(?<!been )told|tells|thought|thinks"
    r"|suspect(?:s|ed)|believ\w+|assum\w+|rais\w+|quer(?:y|ies|ied)|asks?|asked|wonder\w*"
    r"|worr(?:y|ies|ied)|fear\w*|announc\w+|convinced|certain|sure|adamant|insist\w*|maintain(?:s"
    r"|ed)|impression"
    r"|opinion|mark(?:s|ed)|flag(?:s|ged))"
)
_TOLD = re.compile(
    rf"\b{_SOURCE}\b[^.;:]{{0,60}}?\b{_SAYS}\b(?=[^.;]{{0,90}})"
    # what was asked, feared or expected
    r"|\b(?:you|they|he|she|we|one)\s+(?:(?:were|was|are|is|had|have|also|quite|rightly)\s+){0,2}"
    r"(?:ask\w*|wonder\w*|[ei]nquir\w*|quer(?:y|ied)|fear\w*|anxious|worried|concerned|afraid"
    r"|want\w*\s+to\s+know|wish\w*\s+to\s+know|suspected|hop(?:e|ed)\s+to)\b"
    r"|(?<!the )(?<!a )\bquestion\s+(?:of|whether|was|is|put|asked|if)\b"
    r"|\b(?:had|were|should)\s+there\s+(?:been\b|be\b|an?\b)|\b(?:if|was|were)\s+there\s+(?:had"
    r"|were|was)\b"
    r"|\b(?:mechanism|bruis\w+|story|presentation|complaints?|tenderness|clinical\s+(?:signs?"
    r"|picture"
    r"|findings?))\b[^.;:]{0,50}?\b(?:typical|classic\w*|suggest\w*|suspicious|characteristic"
    r"|compatible|consistent|point\w*|in\s+keeping|raise\w*|speaks?|spoke|argu\w+)\s+(?:for|of|with"
    r"|to)?"
    r"|\b(?:the|a)\s+question\s+(?:was|put|asked)\b|\bdifferential\s+(?:diagnosis\s+)?(?:of"
    r"|for)\s+(?:an?\s+|the\s+|such\s+|this\s+)*(?:tender"
    r"|pain\w*|swollen|sore|wrist|injury|presentation|history)\b"
    r"|\bon\s+the\s+strength\s+of\b"
)
_OF_ANOTHER = re.compile(
    rf"\b(?:that|this|it|which)\s+(?:was|is|were|belong\w*)\s+(?:\w+\s+){{0,3}}?(?:the\s+other"
    rf"|another|an?\s+different|the|an?)\s+(?:\w+\s+)?{_PERSON}\s+(?:in|from|of|on|before|after"
    rf"|next|down|with)\b"
    rf"|\b(?:another|different|other|wrong|next|previous)\s+{_PERSON}\b"
    r"|\b(?:someone|somebody)\s+else|\bnot\s+(?:to\s+)?(?:this|our|the\s+present)\s+"
    rf"{_PERSON}"
    r"|\b(?:his|her|the|twin)\s+(?:\w+\s+)?(?:twin|brother|sister|sibling|cousin|friend"
    r"|namesake)(?:'s)?\b"
)
_NOT_THE_SUBJECT = re.compile(
    r"\b(?:left|right|other)\b[^.;]{0,70}\b(?:followed|reported|dealt\s+with|described|discussed"
    r"|assessed)\s+(?:up\s+|on\s+)?(?:separately|in\s+(?:its\s+own|another|a\s+separate))\b"
    r"|\bnot\s+(?:the\s+|a\s+)?(?:subject|part|topic|object|concern|matter)\s+of\s+(?:this|to-?day"
    r"|the\s+(?:present|current)|my|our)"
    r"|\b(?:(?:left|right|other|opposite)\s+(?:wrist|side|hand|arm|one|forearm)|which)\b"
    r"[^.;]{0,40}?\b(?:was|is|were|has|have)\s+not\s+(?:been\s+)?(?:imaged|x-?rayed|radiographed"
    r"|filmed|examined|included|reported)\b"
)
_OWN = re.compile(
    r"\b(?:(?<!not )(?:agree|concur|confirm\w*)|again|still|unchanged|correct(?:ly)?|indeed"
    r"|persist\w*"
    r"|remain\w*|rightly|callus|healing|healed|sprain\w*|(?:is|are)\s+(?:\w+ly\s+)?(?:seen"
    r"|visible|present|there|real|shown|demonstrated|evident)"
    r"|can\s+be\s+seen|there\s+is|there\s+are|difficult"
    r"|cannot\s+be\s+(?:\w+ly\s+)?(?:excluded|ruled)|i\s+see|we\s+see)\b"
    r"|,\s*(?:neither|no|none|but|however|although|yet|i|we|nothing)\b"
)
"""What makes a fracture that others tell of the reader's own finding."""
