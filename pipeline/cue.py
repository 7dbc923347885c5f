"""Cues of denial and doubt: what stands under one that came before it."""

from __future__ import annotations

import re

__all__ = ["BACKWARD", "CONSUMER", "FORWARD", "TERMINATOR", "denied", "doubted"]


def denied(words: str, start: int, reach: int = 45) -> bool:
    """Tell whether what begins at ``start`` stands under a denial shortly before."""
    behind = words[max(0, start - reach) : start]
    cues = [m for m in FORWARD.finditer(behind) if m.lastgroup in ("denial", "pseudo")]
    return bool(cues) and not TERMINATOR.search(behind, cues[-1].end())


def doubted(words: str, start: int) -> bool:
    """Tell whether what begins at ``start`` stands under a doubt, or in an aside."""
    cues = [m for m in FORWARD.finditer(words, 0, start) if m.lastgroup in ("doubt", "aside")]
    return bool(cues) and not TERMINATOR.search(words, cues[-1].end(), start)


FORWARD = re.compile(
    r"(?:\b(?=[a-z])|(?=\?))(?:"
    + "|".join(
        (
            r"(?P<doubt>(?:cannot|can\s*not|can't|unable\s+to|(?:not\s+possible|difficult"
            r"|hard)\s+to"
            r"|(?:does|do|would|not)\s+not|not|impossible\s+to)\s+(?:be\s+)?"
            r"(?:\w+ly\s+)?(?:exclud\w+|rul\w+\s+out)"
            r"|\b(?:possibl[ey]|possibility|probabl[ey]|likely|suspect\w*|suspicio\w+"
            r"|question(?:able|ed)?\b(?:\s+of)?|equivocal|(?:may|might|could)\s+(?:well\s+)?"
            r"(?:represent|reflect|be|indicate)(?:\s+(?:due|related|secondary)\s+to)?|concern(?:ing"
            r"|ed)?\s+(?:for|of|about)|concern\b"
            r"|worrisome|suggest\w*|consider(?:ed|ing|ation)?\b|presum\w+|perhaps|potential\w*"
            r"|versus|vs"
            r"|doubtful|(?:uncertain|unclear)(?:\s+(?:whether|if)(?:\s+there\s+(?:is|are))?)?"
            r"|not\s+(?:entirely\s+)?(?:certain|sure|clear)\s+(?:whether|if|that|of"
            r"|about)(?:\s+there\s+(?:is|are))?"
            r"|rais\w+\s+(?:the\s+|a\s+)?(?:question|possibility|suspicion|concern)|indeterminate"
            r"|might|query|queried|favou?r\w*)\b|\?)",
            r"(?P<aside>\b(?:(?:in\s+order\s+)?to\s+(?:exclude|rule\s+out|evaluate|assess|look|"
            r"confirm|detect)|(?:mistaken|read|interpreted|taken|mis\w+)\s+(?:for|as)\b"
            r"|confused\s+with|(?:may|might|could|can)\s+(?:look|appear)\s+like|resembl\w+"
            r"|(?:may|might|could|can|will|would)\s+(?:still\s+|then\s+|yet\s+|well\s+)?(?:show"
            r"|reveal|demonstrate|disclose|unmask|detect|uncover)\b|mimic\w*|simulat\w+"
            r"|(?:re-?)?evaluat\w+\s+for|assess\w*\s+for|r/o"
            r"|rule\s+out"
            r"|if\s+(?:there|clinical\w*|symptom\w*|pain|concern\w*|a\b|the\b|suspicion)"
            r"|no\s+(?:known\s+)?(?:previous|prior|past|earlier|history)\b"
            r"|(?:^\W*clinical(?:ly)?\b)|(?:history|hx)\s+of|h/o|in\s+case\s+of|recommend\w*"
            r"|advise\w*|suggested\s+if)\b)",
            r"(?P<pseudo>\bno(?:t)?\s+(?:\w+\s+){0,2}?(?:chang\w+|difference|alteration|longer)\b)",
            r"(?P<affirmed>\bno\s+(?:doubt|question)\b|\bnot\s+only\b)",
            r"(?P<denial>\b(?:(?:cannot|can\s*not|can't|could\s*n[o']t|did\s*n[o']t|do\s*n[o']t"
            r"|unable\s+to|fail(?:ed|s)?\s+to)\s+"
            r"(?:\w+ly\s+)?(?:reveal|show|disclose|establish|see|identify|find|detect|make\s+out"
            r"|appreciate|discern|recogni[sz]e"
            r"|demonstrate)|no|without|w/o|absence\s+of|exclusion\s+of|nothing|none"
            r"|neg(?:ative)?\.?\s+for|free\s+(?:of|from)|neither"
            r"|nor|nil|never|not\s+(?:one|a\s+single|found|discovered)\b|lack\s+of|rather\s+than"
            r"|excludes?"
            r"|rules?\s+out"
            r"|not\s+(?:\w+ly\s+)?(?:demonstrat\w+"
            r"|show\w*|identif\w+|see|seen|reveal\w*|any|an?|detect\w*|appreciat\w*|represent\w*"
            r"|have|consistent|typical|correspond\w*|indicate|constitute|look|appear)"
            r"|not(?:\s+been|\s+appear\w*)?(?=\s*\Z))\b)",
        )
    )
    + ")"
)
"""A cue that says how the fracture after it is meant; its group is how."""

BACKWARD = re.compile(
    "|".join(
        (
            r"(?P<doubt>(?:cannot|can\s*not|can't|could\s+not|not)\s+(?:be\s+)?(?:\w+ly\s+)?"
            r"(?:excluded|ruled\s+out)|\b(?:difficult|hard"
            r"|impossible)\s+to\s+(?:\w+ly\s+)?(?:exclude|rule\s+out)"
            r"|\b(?:is|are|was|were|remains?)\s+(?:\w+ly\s+|an?\s+|in\s+|still\s+)*(?:suspected"
            r"|possibilit\w+|question\b|doubt\w*|uncertain|unclear|conceivable|possible|questioned"
            r"|questionable|considered|probable|likely|favou?red|equivocal)\b"
            r"(?!\s+(?:old|heal\w*|remote|chronic|acute|sub|related|due|second))"
            r"|\b(?:may|might|could)\s+(?:\w+\s+)?be\s+(?:present|there|hid\w+)\b"
            r"|^(?:\s+of\s+the(?:\s+(?!and\b)\w+){1,3}?)?\s+(?:questionable|suspected|possible"
            r"|probable|doubtful|uncertain|equivocal)\s*(?:[.,;)]|$)"
            r"|[(,]\s*(?:possible|suspected|questionable|query)\s*(?:$|[).,])|\?(?!\s*(?:no|none"
            r"|nil|not)\b))",
            r"(?P<denial>\b(?:not|never)\s+(?!previously|initially|originally|fully|completely"
            r"|well\b)(?:be\s+)?(?:\w+ly\s+)?(?:seen|identified|visible"
            r"|visuali[sz]ed|evident|demonstrated|detected|appreciated|present|apparent|shown|noted"
            r"|found|observed|confirmed|delineated|depicted|recognised|recognized|discerned"
            r"|perceived|proven|encountered|delimited|distinguished|ascertained|in\s+evidence"
            r"|on\s+view|to\s+be\s+(?:seen|found|made\s+out|identified|recogni[sz]ed)|verified"
            r"|perceptible|borne\s+out|substantiated|(?:detect|recogni[sz]|demonstr|discern"
            r"|identifi"
            r"|visuali[sz])\w*[ai]ble|made\s+out)|\b(?:excluded|ruled\s+out|unlikely|absent"
            r"|withdrawn|retracted|(?:does|did)\s+not\s+exist|never\s+existed"
            r"|is\s+not\s+(?:there|real|genuine)|was\s+never\s+there|imaginary|art[ei]fact\w*"
            r"|projectional"
            r"|(?:is|are|represents?)\s+(?:merely\s+|only\s+)?(?:the"
            r"|an?)\s+(?:\w+\s+){0,2}?(?:physis|nutrient"
            r"|growth\s+plate|vascular|skin|normal)|no\s+fracture)\b"
            r"|(?:cannot|can\s*not|could\s+not)\s+be\s+(?:\w+ly\s+)?(?:made\s+out|seen|identified"
            r"|traced|found|demonstrated|detected|delineated|recogni[sz]ed|visuali[sz]ed|proven"
            r"|appreciated|confirmed|shown|depicted|reproduced|substantiated|discerned)"
            r"(?!\s+any\s?(?:more|longer))|^(?:\s+(?:signs?|evidence))?\s*[?:-]\s*(?:no|none|nil"
            r"|negative|absent|not)\b|^-free\b)",
        )
    )
)

TERMINATOR = re.compile(
    r"\b(?:but|however|although|though|yet|except|apart\s+from|aside\s+from|other\s+than|besides"
    r"|exception|there\s+(?:is|are|was|were)|which|showing|shows|demonstrates|consistent\s+with"
    r"|compatible\s+with|representing|in\s+keeping|due\s+to|secondary\s+to|after|following"
    r"|status\s+post|related\s+to|in\s+addition\s+to|with(?!out))\b|[;:]"
    r"|(?:\band|,|-)\s+(?:the|there|healing|healed|old|known|previous\w*|again|stable|unchanged"
    r"|persistent|also|associated|beginning|incipient|early|initial|good|abundant|now|already"
    r"|minimally|mildly|a|an)\b|\sn\.b\."
)
"""Where the reach of a cue ends."""

CONSUMER = re.compile(
    r"\b(?:displacement|angulation|change\w*|alteration|shift\w*|loss|progress\w*|healing|union"
    r"|callus(?:\s+formation)?|complications?|alignment|position\w*|reduction|extension|involvement"
    r"|deformity|redisplacement|movement|migration|increase|worsening|difference|translation"
    r"|bridging|step|gap|widening|reaction)\s+(?:\w+\s+){0,4}?"
    r"(?:of|in|at|to(?!\s+(?:suggest|indicate))|across|within|around|about|since|from|for|along)\b"
)
"""What a denial before a fracture denies instead of it: "no displacement of the fracture"."""
