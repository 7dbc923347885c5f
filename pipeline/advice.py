"""Sentences that advise, or teach of fractures in general: they tell nothing of this wrist."""

from __future__ import annotations

import re

__all__ = ["advice_from"]


def advice_from(words: str) -> int | None:
    """Return where advice begins in a flattened sentence, None where there is none.

    "No fracture, although buckle fractures may be missed at first" advises from "although".
    """
    match = _GENERAL.search(words)
    if not match:
        return None
    links = [m.start() for m in _LINK.finditer(words, 0, match.start())]
    start = links[-1] if links else 0
    if _OBSERVED.search(words, start):
        return None
    return 0 if not any(c.isalpha() for c in words[:start]) else start


_MODAL = r"(?:may|can|could|might|should|must|will|would|need(?:s)?\s+to|ought\s+to|cannot)"
_COURSE = (
    r"(?:managed|treated|missed|occult|invisible|visible|apparent|overlooked|negative|discussed"
    r"|referred"
    r"|unnoticed|assumed|immobili[sz]ed|followed|undetected|reviewed|subtle|radiographically"
    r"|difficult"
    r"|inconspicuous|hidden|silent|evident|normal|splinted|kept\s+in\s+mind|seen|considered"
    r"|conservative\w*)"
)
_KINDS = (
    r"(?:fractures|injuries|radiographs?|x-?rays?|(?:^|[:,]\s*|that\s+|\ba\s+|\ban\s+|\bevery\s+"
    r"|\bany\s+)"
    r"(?:[\w-]+\s+){0,4}?(?:fracture|injury|greenstick|torus|salter[\s-]harris)(?:\s+[iv\d]+)?"
    r"(?:\s+(?:fracture|injury))?)\s+(?:(?:of|at|in)\s+(?:the\s+)?(?:[\w-]+\s+){1,4}?)?"
)
_GENERAL = re.compile(
    "|".join(
        (
            # "buckle fractures of the distal radius may be missed", "are common"
            rf"{_KINDS}(?:are\s+(?:not\s+)?(?:\w+ly\s+)?(?:common|frequent|rare|usual\w*|often"
            rf"|typical\w*"
            r"|managed|treated|missed|occult|stable|benign|among|diagnosed|prone|known\s+to)\b"
            r"|is\s+(?:\w+ly\s+)?"
            r"(?:an?\s+clinical\s+diagnosis|diagnosed|treated|managed|common|rare|frequent)\b"
            r"|(?:do|does)\s+not\s+(?:need|require)|(?:usually|often|typically|generally|commonly"
            r"|always)\s+\w+"
            r"|(?:heals?|require|requires|need|remodels?)\s+(?:\w+\s+)?(?:without|within|well|in"
            r"|with|no)\b)",
            rf"(?:{_KINDS})(?:therefore\s+|still\s+|initially\s+|also\s+)?{_MODAL}\s+(?:\w+ly\s+"
            rf"|still\s+|not\s+|never\s+|always\s+"
            rf"|only\s+|at\s+first\s+)*(?:(?:be|become|remain|go|have|appear|look"
            rf"|stay)\s+(?:\w+\s+){{0,2}}?"
            rf"{_COURSE}\b(?!\s+(?:here|now|in\s+this))|heal\b|take\s|require\b|present\s+(?:with"
            rf"|as|late))",
            r"\b(?:general|standard|standing|routine)\s+(?:advice|remarks?|information|text"
            r"|notes?)\b",
            r"^\W*(?:advice|disclaimer|teaching\s+point|information\s+for)\b",
            r"\b(?:parents|patients|clinicians|referrers|carers|families)\s+(?:should|must|may|can"
            r"|with|are)\b",
            r"\b(?:is|remains)\s+a\s+clinical\s+diagnosis\b",
            r"\bfractures\b[^.;]{0,60}\bin\s+(?:children|childhood|adults|general|this\s+age"
            r"|toddlers|adolescents"
            r"|our\s+\w+)\b",
            r"\b(?:normal|negative)\s+(?:radiographs?|x-?rays?|films?)\s+(?:do(?:es)?\s+not|cannot"
            r"|can\s*not|never)\b",
        )
    )
)
_LINK = re.compile(
    r"[;:]|,\s*(?=(?:although|though|but|as|since|because|however|while|and\s+that)\b)"
    r"|\s(?=(?:although|though|however|because)\b)"
)
_OBSERVED = re.compile(
    r"\bthere\s+(?:is|are)\b|\bthe\s+[^.;]{0,40}\bfracture\s+can\s+be\s+seen\b|\b(?:is"
    r"|are)\s+(?:\w+ly\s+)?(?:noted|identified|present"
    r"|demonstrated)\b"
    r"|\bthis\s+(?:wrist|child|patient|fracture)\b"
)
