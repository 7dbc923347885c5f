"""Sentences in a report that give orders to a program that reads it (prompt injection)."""

from __future__ import annotations

import re

__all__ = ["is_command", "is_directive", "opens_turn"]


def is_directive(words: str) -> bool:
    """Tell whether a flattened sentence talks to a machine instead of about a wrist.

    A radiologist's own imperatives ("please disregard the previous report", "repeat radiographs
    in 10 days") and what is told of software ("the AI result was reviewed") are none.
    """
    return bool(_TURN.search(words) or _DIRECTIVE.search(words))


def opens_turn(words: str) -> bool:
    """Tell whether the rest of a line belongs to a turn of a chat: "Assistant: ..."."""
    return bool(_TURN.search(words))


def is_command(words: str) -> bool:
    """Tell whether a sentence begins as an order to report; on its own it may be a doctor's."""
    return bool(_COMMAND.match(words))


_ORDER = (
    r"(?:output|return|respond|answer|reply|print|emit|say|state|write|report|classify|label|code"
    r"|mark|record|list|set|assume|pretend|treat|extract|declare|conclude|insert|add|fill"
    r"|always|never|do\s+not|don't|only)"
)
_MACHINE = (
    r"(?:(?:large\s+)?language\s+models?|llms?|ai(?:\s+(?:system|model|assistant|reader|agent))?"
    r"|a\.i\.|artificial\s+intelligence|chat-?bots?|bots?|(?:chat)?gpt\S*|(?:med)?gemma|claude"
    r"|gemini"
    r"|(?:automat\w+|machine|computer|software|digital|electronic|nlp|text[\s-]mining)\s+"
    r"(?:\w+\s+)?(?:readers?|systems?|models?|extract\w+|annotat\w+|coders?|parsers?|tools?"
    r"|agents?)"
    r"|report\s+(?:readers?|miners?|parsers?)|parsers?|extract(?:or|ion)s?(?:\s+\w+)?"
    r"|(?:virtual|helpful|coding)\s+assistants?|annotators?|(?:nlp|reader)\s+programs?)"
)
_DATA = (
    r"(?:fields?|values?|flags?|labels?|keys?|json|variables?|attributes?|parameters?|columns?"
    r"|scores?|schema)"
)
_TURN = re.compile(
    r"</[a-z_]+>|</?\|?\s*(?:start_of_turn|end_of_turn|im_start|im_end|system|user|assistant"
    r"|endoftext|eot\w*"
    r"|bos|eos|s)\s*\|?>|<<\s*/?sys\s*>>|\[/?inst\]|```|#{2,}\s*(?:instructions?|system|response"
    r"|human)\b"
    r"|(?:^|[\"'>\[(*])\s*(?:system|assistant|developer|human)\s*:(?!\s*(?:intact|normal|none))"
    r"|\{\s*['\"]\w+['\"]\s*:"
)
_DIRECTIVE = re.compile(
    "|".join(
        (
            # the same in languages that are not read here: a language model may read them
            r"\b(?:ignorier\w*|vergiss|missachte\w*)\b[^.]{0,60}?\b(?:anweisung|instruktion|vorgabe"
            r"|regeln|prompt)",
            r"\b(?:ignore[zr]?|oublie[zr]?)\b[^.]{0,60}?\b(?:instruction|consigne|directive)",
            r"\b(?:ignor\w+|olvid\w+|esque[cç]\w+|dimentic\w+)\b[^.]{0,60}?\b(?:instruc|instruç|istruz"
            r"|[oó]rdenes|regras|regole)",
            r"\bnegeer\b[^.]{0,60}?\b(?:instructie|opdracht)|\bzignoruj\b[^.]{0,60}?\b(?:instrukcj"
            r"|polece)|\btalimat\w*[^.]{0,60}?(?:yok\s+say|görmezden)",
            # what came before is to be forgotten: instructions, or anything before an order
            r"\b(?:ignor\w+|disregard\w*|forget|overrid\w+|bypass)\b[^.]{0,50}?\b(?:instructions?"
            r"|prompts?"
            r"|guidelines|rules|directions|guardrails|training|constraints?)\b",
            r"\b(?:ignore|disregard|forget|override)\b[^.]{0,60}?\b(?:and|then|,|;)\s*(?:instead\s+"
            r"|just\s+|simply\s+|only\s+)?(?:output|return|respond|answer|reply|print|say|report"
            r"|write"
            r"|classify|label|code|set|mark|state|extract)\b",
            r"\bignore\s+(?:(?:the|all|any|everything|this)\s+)*(?:text|content|above|everything"
            r"|lines?|sentences?|what\s+follows)\b",
            r"\b(?:system|hidden|new|secret|following|these|above|previous|my)\s+(?:prompts?"
            r"|instructions?)\b"
            r"(?!\s+(?:for|on|were|was)\b)",
            # a machine is spoken to
            rf"\b(?:note|message|instructions?|attention|notice|hint|reminder|warning|addressed"
            rf"|dear|hey"
            rf"|hello|hi)\b[\s:,-]*(?:(?:to|for|of|any|all|the|every|an?|this)\s+)*{_MACHINE}\b",
            rf"\b(?:if|when|as|since|because)\s+you(?:\s+are|'re)\s+(?:\w+\s+){{0,3}}?{_MACHINE}",
            rf"\byou\s+are\s+(?:now\s+)?(?:an?|the|in)\s+(?:[\w-]+\s+){{0,3}}?(?:{_MACHINE}"
            rf"|assistant|mode)\b",
            rf"(?:^|[\[(*\"])\s*(?:to\s+)?(?:any\s+|all\s+"
            rf"|the\s+)?{_MACHINE}s?\s*[:,-]\s*(?:please\s+|you\s+)*"
            rf"(?:must\s+|should\s+)?{_ORDER}\b",
            rf"\b{_MACHINE}\s+(?:reads?|is\s+reading|process\w*|sees?|parses?)\b",
            rf"\b{_MACHINE}\s+(?:reading\s+this\s+|processing\s+this\s+)?(?:must|should|shall|will"
            rf"|is\s+to|are\s+to"
            rf"|is\s+asked\s+to|please)\s+(?:\w+\s+)?{_ORDER}\b",
            r"\byou\s+(?:must|shall|should|will|need\s+to|have\s+to|are\s+(?:to|instructed|required"
            r"|asked))\s+"
            rf"(?:\w+\s+){{0,2}}?(?:{_ORDER}|ignore|disregard)\b",
            r"\byour\s+(?:\w+\s+)?(?:task|instructions?|role|outputs?|answers?|responses?"
            r"|prompt)\b",
            # data are to be written
            r"\b(?:new|next|actual|real)\s+tasks?\s*:|\b(?:correct|right|true|expected"
            r"|required)\s+(?:answer|label|output|classification"
            r"|response|code)\b|(?:^|[:>]\s*)(?:please\s+)?(?:report|say|state|write)\s+that\b",
            rf"\b(?:set|fill|change|put|populate|overwrite"
            rf"|assign)\s+(?:in\s+)?(?:[\w-]+\s+){{0,3}}?{_DATA}\b",
            r"\b(?:set|mark)\s+(?:[\w-]+\s+){1,4}?(?:to|as)\s+[\"']?(?:present|absent|true|false"
            r"|positive"
            r"|negative|null|fractured|possible|none)\b",
            r"\b(?:output|return|respond|reply|print|emit|generate|produce"
            r"|answer)\b[\s:]+(?:\w+\s+){0,4}?"
            r"(?:json|yaml|xml|csv|markdown|schema|exactly|verbatim)\b",
            r"\b(?:respond|reply|answer)\s+(?:only\s+)?(?:with|that|as\s+if|in)\b",
            r"^\W*(?:please\s+)?(?:output|print|emit|return|classify|pretend|act\s+as)\s+(?!to\b"
            r"|if\b|for\b|visit)",
            r"\b(?:code|label|classify|tag|annotate|mark|record)\s+(?:this|the)\s+(?:study|report"
            r"|exam\w*|case|text"
            r"|document|patient|image)\s+(?:as|with)\b",
            r"\bwhen\s+(?:you\s+)?(?:summari[sz]ing|extracting|parsing|processing|reading"
            r"|coding)\s+this\b",
            r"\b(?:jailbreak|developer\s+mode|prompt\s+injection|system\s+override"
            r"|begin\s+override|admin\s+override)",
        )
    )
)
_COMMAND = re.compile(
    r"\W*(?:(?:please|instead|then|now|and|also|finally|step\s+\d+|\d+[.)])[\s,:]+)*"
    rf"{_ORDER}\b(?!\s*(?:phoned|telephoned|dictated|sent|called|faxed|follows|by|to\s+dr)\b)"
)
