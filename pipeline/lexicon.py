"""The words of wrist reports that name a fracture, and say of what type and stage it is.

Patterns for flattened text (`pipeline.passage.flatten`). A pattern that carries a value names it
by its group.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pipeline.findings import Displacement, FractureType, Healing

__all__ = [
    "ACUTE",
    "ADJECTIVES",
    "ANGLE",
    "ARTICULAR",
    "CARPUS",
    "DISPLACEMENTS",
    "DISPLACEMENT_MEASURED",
    "EXTRA_ARTICULAR",
    "HEAD",
    "HEALINGS",
    "NOT_YET",
    "NO_ANGULATION",
    "PHYSEAL",
    "SALTER_HARRIS",
]


CARPUS = re.compile(r"\bcarp(?:al|us)")

_ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5}
SALTER_HARRIS: Mapping[str, FractureType] = {
    **{word: FractureType(f"salter_harris_{number}") for word, number in _ROMAN.items()},
    **{str(number): FractureType(f"salter_harris_{number}") for number in _ROMAN.values()},
    "one": FractureType.SALTER_HARRIS_1,
    "two": FractureType.SALTER_HARRIS_2,
    "three": FractureType.SALTER_HARRIS_3,
    "four": FractureType.SALTER_HARRIS_4,
    "five": FractureType.SALTER_HARRIS_5,
    "l": FractureType.SALTER_HARRIS_1,
    "ll": FractureType.SALTER_HARRIS_2,
    "lll": FractureType.SALTER_HARRIS_3,
}
_NUMERAL = r"(?:iii|ii|iv|i|v|[1-5]|one|two|three|four|five|lll|ll|l)"
_SALTER = (
    r"(?:(?:s[ae]l?[tl]t?[ae]r|slater)(?:[\s/&-]*(?:and\s+)?ha+r+i+s+(?:'s?)?)?|harris[\s-]+salter"
    r"|s[-/.\s]?h\.?)"
)
_NUMBERED = rf"[\s,(-]*(?:fracture[\s,-]*)?(?:(?:type|class|grade)[\s-]*)?(?P<{{}}>{_NUMERAL})\b"
_FRACTURE = (
    r"(?:\b(?:re|micro)?-?fr(?:acture|actrue|acure|atcure|ature|acutre|acturre|acrure|cature"
    r"|accture|actur)(?:s|d)?\b|\bf(?:r?x|xs)\b|\bnon-?union\b|\b(?:un|non)-?united\b(?=\s+(?:ulnar"
    r"|styloid|tip|fragment))|\bbroken\b|\b(?:bon[ye]|transverse|oblique|complete"
    r"|clean)\s+breaks?\b|\bbreaks?\b(?=\s+(?:of|in|through|across)\s+(?:(?:the|left|right|distal)"
    r"\s+)*(?:radi|uln|styl|scaph|meta))"
    r"|\bfissures?\b(?!\s+fract)|\bcrack(?:s|ed)?\b|\binfractions?\b|#(?!\s*\d)s?(?!\w*\d))"
)

HEAD = re.compile(
    r"(?:\b(?=[a-z])|(?=#))(?:"
    + "|".join(
        (
            rf"(?P<salter_harris>\b{_SALTER}{_NUMBERED.format('after')}"
            rf"(?P<alternative>\s*(?:/|or|vs\.?|versus|-)\s*{_NUMERAL}\b)?"
            rf"|\btype\s+(?P<before>{_NUMERAL})\s+(?:{_SALTER}\b|(?:trans)?(?:physeal"
            rf"|growth[\s-]plate"
            r"|epiphyseal)\s+(?:fract\w*|injur\w+))"
            rf"|\b(?:s[ae]l?[tl]t?[ae]r|slater|harris)[\s/-]*(?:ha+r+i+s+|salter)\b|\bsalter\b)",
            r"(?P<buckle>\bbulge(?=\s+fract)|\bbuc?k(?:l(?:e|ing|ed)|el)\b|\btor(?:us|ous|sus)\b)",
            r"(?P<greenstick>\bgreen[\s-]?stick|\bgs(?=\s+(?:fx|#|fract)))",
            r"(?P<plastic_bowing>\b(?:plastic|bowing)\s+(?:bowing|deform\w+)|\bbowing|\bbowed)",
            r"(?P<avulsion>\bavuls(?:ion|ed|ions)\b|\bav(?=\s+(?:fx|#|fract)))",
            r"(?P<physeal>\b(?:trans)?(?:physeal|growth[\s-]plate|epiphyseal)\s+(?:\w+\s+)?"
            r"(?:fractures?|injur(?:y|ies)|separation|slip)|\bepiphysiolysis)",
            rf"(?P<fracture>{_FRACTURE}(?!\s+(?:clinic|protocol|series|service|follow|line|lucen"
            r"|gap|risk|nurse)))",
            rf"(?P<line>{_FRACTURE}\s+(?:line|lucen|gap)\w*)",
            r"(?P<injury>\b(?:(?:osseous|bony|bone|skeletal|radiographic|traumatic|radiological)\s+"
            r"(?:or\s+\w+\s+|\w+\s+)?(?:injur(?:y|ies)|abnormalit(?:y|ies)|trauma|pathology)"
            r"|(?:fresh|recent|acute|traumatic)\s+(?:bony|bone|osseous|skeletal)\s+lesions?"
            r"|(?:evidence|signs?|proof)\s+of\s+(?:(?:an?|any|acute|recent|fresh"
            r"|bony)\s+)*(?:injur(?:y|ies)|trauma)"
            r"|(?:(?<=no )|(?<=acute )|(?<=recent )|(?<=fresh ))(?:injur(?:y|ies)"
            r"|damage)(?!\s+(?:film|radiogr))"
            r"|breaks?\s+in\s+(?:the\s+)?(?:bones?|cort\w+)"
            r"|(?<!soft tissue )abnormalit(?:y|ies)|bony\s+cause))",
            r"(?P<irregularity>\bcortical\s+(?:irregularit\w+|step\w*(?:[\s-]?off)?|disruption"
            r"|break\w*|breach|discontinuit\w+|contour\s+abnormality)|\blucent\s+line\b"
            r"|\b(?:linear|cortical|fine|oblique)\s+lucenc(?:y|ies)\b)",
        )
    )
    + ")"
)
"""What stands for a fracture; the group is its kind."""

ADJECTIVES: Mapping[FractureType, re.Pattern[str]] = {
    FractureType.COMMINUTED: re.compile(r"\bcomm?in+ut\w+|\bmulti-?\s?fragment\w*"),
    FractureType.TRANSVERSE: re.compile(r"\btra?n?s?n?[sv]+ers\w*"),
    FractureType.OBLIQUE: re.compile(
        r"\b(?:obliqu\w+|spiral)\b(?!\s*(?:view|radiograph|projection|image|film|and\s+lat))"
    ),
}

HEALINGS: Mapping[Healing, re.Pattern[str]] = {
    Healing.HEALING: re.compile(
        r"(?:not\s+(?:yet\s+)?|in-?completely\s+|partial(?:ly)?\s+|near(?:ly)?\s+|almost\s+"
        r"|near-)(?:\w+\s+)?(?:healed|united|consolidated)"
        r"|\b(?:healing|uniting|callus|periosteal\s+(?:reaction|rxn|new|bone)|sub-?acute"
        r"|remodell?ing"
        r"|(?<!plate )bridg(?:ing|ed)(?!\s+(?:plate|fixat|a\b))"
        r"|sclero(?:sis|tic|sed)(?!\s+(?:on\s+either|bar|lesion|focus|bone))|consolidati(?:ng|on)"
        r"|(?:partial|early|progressive)\s+(?:\w+\s+)?union)\b"
    ),
    Healing.HEALED: re.compile(
        r"\b(?:healed|united|consolidated|remodell?ed|(?:complete|solid|full)\s+(?:bony\s+"
        r"|osseous\s+)?"
        r"(?:healing|union|consolidation)|no\s+longer\s+(?:be\s+)?(?:\w+\s+)?(?:visible|seen"
        r"|visuali[sz]ed"
        r"|evident|identified|apparent|discern\w+|appreciated|detect\w+|made\s+out|traced"
        r"|recogni\w+)"
        r"|cannot\s+be\s+(?:\w+\s+){1,2}?any\s?(?:more|longer)|(?:line|lucency)\s+(?:\w+\s+)?gone"
        r"|old|remote|chronic(?!\s+(?:\w+\s+)?(?:stress|physeal|repetitive|overuse|salter)))\b"
    ),
}
NOT_YET = re.compile(
    r"(?:\bnot\s+(?:yet\s+)?(?:\w+ly\s+)?|\b(?:incompletely|partially|nearly|almost|near|un)[\s-]+"
    r"|\b(?:years?|yr|months?|weeks?|days?)[\s-]+)$"
)
"""Before a word of healing: it is not yet so, or the word counts an age."""

ACUTE = re.compile(
    r"\b(?:acute(?:ly)?|fresh(?:ly)?|recent|new)\b(?!\s+(?:\w+\s+)?(?:stud|exam|radiogr|prior"
    r"|bone))"
)

_DEGREE = r"(?:\w+\s+){0,3}?"
_SHIFT = r"(?:displac|displ\b|translat|translocat|shift|offset|slip(?:ped|page)?\b)"
_IS = (
    r"\bdispl(?:acement)?\b(?:\s*,[^,;]{0,30},)?\s*(?:[:(]|is|was|remains?|measures|now)?\s*"
    r"(?:(?:now|only|still)\s+)*"
)
_LATER = r"\b(?:displac\w+|displ\b|shifted|translated)\s+(?:\w+ly\s+|only\s+)?"
DISPLACEMENTS: tuple[tuple[Displacement, re.Pattern[str]], ...] = (
    (
        Displacement.NONE,
        re.compile(
            r"\b(?:non|un)[\s-]?disp(?:l(?:aced)?)?\b|\bnot\s+(?:significantly\s+)?displaced"
            r"|\b(?:no|without|w/o|nor|nil|neither)\s+(?!further|interval|additional|increas|new"
            r"|change"
            r"|worsen)(?:[\w-]+[\s,]+){0,5}?(?:displ(?:acement|aced)?\b|translation)"
            r"|\bdispl(?:acement)?\s*[:(]?\s*(?:none|nil|no)\b"
            r"|(?<!near )(?<!near-)(?<!nearly )(?<!non-)(?<!towards )\banatomic(?:al)?(?:ly)?"
            r"(?:\s+(?:and\s+\w+\s+)?(?:position\w*|alignment|reduction|reduced|aligned|restor\w+)"
            r"|(?=\s*(?:[,.;]|$|and\b)))"
        ),
    ),
    (
        Displacement.SEVERE,
        re.compile(
            rf"\b(?:severe|marked|gross|significant|complete|wide|substantial|considerable)(?:ly)?"
            rf"\s+{_DEGREE}{_SHIFT}|\boff[- ]?ended|\bbayonet|\bfull[\s-]+shaft|\bone[\s-]+shaft"
            rf"|(?:\b(?:more|greater)\s+than|\bover|>|\bexceeding|\babove)\s*(?:half|one[\s-]half"
            rf"|50\s*(?:%|per\s*cent))\s+{_DEGREE}(?:{_SHIFT}|shaft|width|diameter)"
            rf"|\b(?:two[\s-]+thirds|three[\s-]+quarters|2/3|3/4)\s+{_DEGREE}(?:{_SHIFT}|shaft"
            rf"|width)"
            rf"|{_IS}(?:severe|marked|complete)|{_LATER}(?:severely|markedly|completely|grossly"
            rf"|widely)"
        ),
    ),
    (
        Displacement.MILD,
        re.compile(
            rf"\b(?:mild|minimal|min|slight|minor|subtle|small|trace|tiny|little|hard|bare)(?:ly"
            rf"|\.)?"
            rf"\s+{_DEGREE}{_SHIFT}|{_IS}(?:mild|minimal|slight|minor|small)"
            rf"|{_LATER}(?:slightly|minimally|mildly|a\s+little)|\b(?:cortical|cortex)[\s-]+width"
            rf"|\b(?:one[\s-]+(?:quarter|fifth)|a\s+quarter|1/[45])\s+{_DEGREE}(?:{_SHIFT}|shaft"
            rf"|width)"
        ),
    ),
    (
        Displacement.MODERATE,
        re.compile(
            rf"\bmoderate(?:ly)?\s+{_DEGREE}{_SHIFT}|\b(?:half|50\s*%)[\s\w-]*shaft|{_IS}moderate"
            rf"|\b(?:one[\s-]+third|a\s+third|1/[23]|half)\s+{_DEGREE}(?:{_SHIFT}|shaft|width)"
        ),
    ),
)
"""In the order in which they are tried; "displaced" without a degree is moderate."""

DISPLACEMENT_MEASURED = re.compile(
    r"(?P<before>\d+(?:\.\d+)?)\s*(?P<unit_before>mm|cm|%|percent|per\s+cent)\s+(?:of\s+)?"
    rf"(?:[\w-]+\s+){{0,3}}?{_SHIFT}"
    rf"|\b{_SHIFT}\w*[\s(:]+(?:[\w-]+\s+){{0,4}}?(?P<after>\d+(?:\.\d+)?)\s*"
    r"(?P<unit_after>mm|cm|%|percent|per\s+cent)|(?P<plain>(?<!re)\bdispl(?:aced"
    r"|acement)?\b(?!\s+(?:\w+\s+){0,2}?fat\b))"
)

_UNIT = r"(?:°|degrees?\b|deg\b)"
ANGLE = re.compile(
    rf"(?:(?P<change>from\s+\d{{1,3}}(?:\.\d+)?\s*{_UNIT}?\s+(?:down\s+|up\s+)?to\s+)"
    r"|(?P<earlier>previous(?:ly)?|prior|before|from|formerly|was|earlier|against|versus"
    r"|vs\.?)\s+(?:[\w]+\s+){0,2}?)?"
    r"(?<![\d.])(?P<low>\d{1,3}(?:\.\d+)?)\s*(?:(?:-|to)\s*(?P<high>\d{1,3}(?:\.\d+)?)\s*)?"
    rf"[\s-]*{_UNIT}"
)
NO_ANGULATION = re.compile(
    r"\b(?:inclination|lunate|luno\w+|scapho\w+|capitate|elbow|supracondylar|flexion|extension"
    r"|supination|pronation|rotat\w+|oblique\s+(?:view|elbow|projection)|slope|metacarp\w+|beam"
    r"|(?:is|are|remains?)\s+(?:\w+ly\s+)?(?:normal|preserved|maintained|physiolog\w+)"
    r"|within\s+normal)\b"
)
"""Near a number of degrees: it is no angulation of a fracture."""

PHYSEAL = re.compile(
    r"(?:(?:extend\w*|extension|involv\w*|through|across|into|reach\w*)\s+(?:[\w-]+\s+){0,5}?"
    r"(?:phys[ei]s|growth\s+plate)|\bphyseal\s+(?:fracture|injury|extension|involvement|separation)"
    r"|\btransphyseal)"
)
ARTICULAR = re.compile(
    r"\bintra-?\s?articular|\barticular\s+(?:extension|involvement)|(?:extend\w*|involv\w*)\s+"
    r"(?:[\w-]+\s+){0,5}?(?:articular\s+surface|joint\s*(?:surface|space)?)"
)
EXTRA_ARTICULAR = re.compile(r"\bextra-?\s?articular")
