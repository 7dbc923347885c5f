"""The words of wrist reports: which fracture, how it is, which doubt; its bones: `pipeline.bone`.

Patterns for flattened text (`pipeline.passage.flatten`). A pattern that carries a value names it
by its group.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pipeline.findings import Alignment, Displacement, FractureType, Healing, Other
from pipeline.region import View

__all__ = [
    "ACUTE",
    "ADJECTIVES",
    "ALIGNMENTS",
    "ANGLE",
    "ARTICULAR",
    "BACKWARD",
    "CARPUS",
    "CONSUMER",
    "DISPLACEMENTS",
    "DISPLACEMENT_MEASURED",
    "EXTRA_ARTICULAR",
    "FORWARD",
    "HEAD",
    "HEALINGS",
    "NOT_YET",
    "NO_ANGULATION",
    "OTHERS",
    "PHYSEAL",
    "REMOVED_AHEAD",
    "REMOVED_BEHIND",
    "SALTER_HARRIS",
    "TERMINATOR",
    "VIEWS",
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
    r"(?:(?:s[ae]l?[tl]t?[ae]r|slater)(?:[\s/-]*ha+r+i+s+(?:'s?)?)?|harris[\s-]+salter|s[-/.\s]?h)"
)
_NUMBERED = rf"[\s,(-]*(?:fracture[\s,-]*)?(?:(?:type|class|grade)[\s-]*)?(?P<{{}}>{_NUMERAL})\b"
_FRACTURE = (
    r"(?:\b(?:re|micro)?-?fr(?:acture|actrue|acure|atcure|ature|acutre|acturre|acrure|cature"
    r"|accture|actur)(?:s|d)?\b|\bf(?:r?x|xs)\b|\bnon-?union\b|\b(?:un|non)-?united\b(?=\s+(?:ulnar|styloid|tip|fragment))|\bbroken\b|\bbon[ye]\s+breaks?\b|#(?!\s*\d)s?(?!\w*\d))"
)

HEAD = re.compile(
    r"(?:\b(?=[a-z])|(?=#))(?:"
    + "|".join(
        (
            rf"(?P<salter_harris>\b{_SALTER}{_NUMBERED.format('after')}"
            rf"(?P<alternative>\s*(?:/|or|vs\.?|versus|-)\s*{_NUMERAL}\b)?"
            rf"|\btype\s+(?P<before>{_NUMERAL})\s+(?:{_SALTER}\b|(?:trans)?(?:physeal|growth[\s-]plate"
            r"|epiphyseal)\s+(?:fract\w*|injur\w+))"
            rf"|\b(?:s[ae]l?[tl]t?[ae]r|slater|harris)[\s/-]*(?:ha+r+i+s+|salter)\b|\bsalter\b)",
            r"(?P<buckle>\bbuc?k(?:l(?:e|ing|ed)|el)\b|\btor(?:us|ous|sus)\b)",
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
            r"|(?<!soft tissue )abnormalit(?:y|ies)|bony\s+cause))",
            r"(?P<irregularity>\bcortical\s+(?:irregularit\w+|step\w*(?:[\s-]?off)?|disruption"
            r"|break\w*|breach|discontinuit\w+|contour\s+abnormality)|\blucen(?:t\s+line|cy)\b)",
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

_DEGREE = r"(?:\w+\s+){0,3}?"
FORWARD = re.compile(
    r"(?:\b(?=[a-z])|(?=\?))(?:"
    + "|".join(
        (
            r"(?P<doubt>(?:cannot|can\s*not|can't|unable\s+to|(?:not\s+possible|difficult|hard)\s+to"
            r"|(?:does|do|would|not)\s+not|not|impossible\s+to)\s+(?:be\s+)?"
            r"(?:\w+ly\s+)?(?:exclud\w+|rul\w+\s+out)"
            r"|\b(?:possibl[ey]|possibility|probabl[ey]|likely|suspect\w*|suspicio\w+"
            r"|question(?:able|ed)?\b(?:\s+of)?|equivocal|(?:may|might|could)\s+(?:well\s+)?"
            r"(?:represent|reflect|be|indicate)(?:\s+(?:due|related|secondary)\s+to)?|concern(?:ing|ed)?\s+(?:for|of|about)|concern\b"
            r"|worrisome|suggest\w*|consider\w*|presum\w+|perhaps|potential\w*|versus|vs"
            r"|indeterminate|might|query|queried|favou?r\w*)\b|\?)",
            r"(?P<aside>\b(?:(?:in\s+order\s+)?to\s+(?:exclude|rule\s+out|evaluate|assess|look|"
            r"confirm|detect)|(?:mistaken|read|interpreted|taken|mis\w+)\s+(?:for|as)\b|confused\s+with|mimic\w*|simulat\w+|(?:re-?)?evaluat\w+\s+for|assess\w*\s+for|r/o|rule\s+out"
            r"|if\s+(?:there|clinical\w*|symptom\w*|pain|concern\w*|a\b|the\b|suspicion)"
            r"|(?:history|hx)\s+of|h/o|in\s+case\s+of|recommend\w*|advise\w*|suggested\s+if)\b)",
            r"(?P<pseudo>\bno(?:t)?\s+(?:\w+\s+){0,2}?(?:chang\w+|difference|alteration|longer)\b"
            r"|\bno\s+(?:doubt|question)|\bnot\s+only)",
            r"(?P<denial>\b(?:no|without|w/o|absence\s+of|nothing|none|neg(?:ative)?\.?\s+for|free\s+(?:of|from)|neither"
            r"|nor|nil|never|lack\s+of|rather\s+than|excludes?|rules?\s+out|not\s+(?:\w+ly\s+)?(?:demonstrat\w+"
            r"|show\w*|identif\w+|see|seen|reveal\w*|any|an?|detect\w*|appreciat\w*|represent\w*"
            r"|have|consistent|typical)|not(?=\s+(?:broken|fractured)))\b)",
        )
    )
    + ")"
)
"""A cue that says how the fracture after it is meant; its group is how."""

BACKWARD = re.compile(
    "|".join(
        (
            r"(?P<doubt>(?:cannot|can\s*not|can't|could\s+not|not)\s+(?:be\s+)?(?:\w+ly\s+)?"
            r"(?:excluded|ruled\s+out)|\b(?:is|are|was|were|remains?)\s+(?:\w+ly\s+)?(?:suspected"
            r"|possible|questioned|questionable|considered|probable|likely|favou?red|equivocal)\b"
            r"(?!\s+(?:old|heal\w*|remote|chronic|acute|sub|related|due|second))"
            r"|[(,]\s*(?:possible|suspected|questionable|query)\s*(?:$|[).,])|\?(?!\s*(?:no|none|nil|not)\b))",
            r"(?P<denial>\b(?:not|never)\s+(?:be\s+)?(?:\w+ly\s+)?(?:seen|identified|visible"
            r"|visuali[sz]ed|evident|demonstrated|detected|appreciated|present|apparent|shown|noted"
            r"|found|observed|confirmed)|\b(?:excluded|ruled\s+out|unlikely|absent|withdrawn|retracted|art[ei]fact\w*|projectional"
            r"|(?:is|are|represents?)\s+(?:merely\s+|only\s+)?(?:the|an?)\s+(?:\w+\s+){0,2}?(?:physis|nutrient"
            r"|growth\s+plate|vascular|skin|normal)|no\s+fracture)\b"
            r"|(?:cannot|can\s*not|could\s+not)\s+be\s+(?:made\s+out|seen|identified|traced|found|discerned)"
            r"(?!\s+any\s?(?:more|longer))|^\s*[?:-]\s*(?:no|none|nil|negative|absent|not)\b)",
        )
    )
)

TERMINATOR = re.compile(
    r"\b(?:but|however|although|though|yet|except|apart\s+from|aside\s+from|other\s+than|besides"
    r"|exception|there\s+(?:is|are|was|were)|which|showing|shows|demonstrates|consistent\s+with"
    r"|compatible\s+with|representing|in\s+keeping|due\s+to|secondary\s+to|after|following"
    r"|status\s+post|related\s+to|in\s+addition\s+to|with(?!out))\b|[;:]"
    r"|(?:\band|,|-)\s+(?:the|there|healing|healed|old|known|previous\w*|again|stable|unchanged"
    r"|persistent|also|associated|minimally|mildly|a|an)\b|\sn\.b\."
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

HEALINGS: Mapping[Healing, re.Pattern[str]] = {
    Healing.HEALING: re.compile(
        r"(?:not\s+(?:yet\s+)?|in-?completely\s+|partial(?:ly)?\s+|near(?:ly)?\s+|almost\s+"
        r"|near-)(?:\w+\s+)?(?:healed|united|consolidated)"
        r"|\b(?:healing|callus|periosteal\s+(?:reaction|rxn|new|bone)|sub-?acute|remodell?ing|bridg(?:ing|ed)(?!\s+(?:plate|fixat|a\b))"
        r"|sclero(?:sis|tic|sed)(?!\s+(?:on\s+either|bar|lesion|focus|bone))|consolidati(?:ng|on)|(?:partial|early|progressive)\s+(?:\w+\s+)?union)\b"
    ),
    Healing.HEALED: re.compile(
        r"\b(?:healed|united|consolidated|remodell?ed|(?:complete|solid|full)\s+(?:bony\s+|osseous\s+)?"
        r"(?:healing|union|consolidation)|no\s+longer\s+(?:be\s+)?(?:\w+\s+)?(?:visible|seen|visuali[sz]ed"
        r"|evident|identified|apparent|discern\w+|appreciated|detect\w+|made\s+out|traced|recogni\w+)"
        r"|cannot\s+be\s+(?:\w+\s+){1,2}?any\s?(?:more|longer)|(?:line|lucency)\s+(?:\w+\s+)?gone|old|remote|chronic(?!\s+(?:\w+\s+)?(?:stress|physeal|repetitive|overuse|salter)))\b"
    ),
}
NOT_YET = re.compile(
    r"(?:\bnot\s+(?:yet\s+)?(?:\w+ly\s+)?|\b(?:incompletely|partially|nearly|almost|near|un)[\s-]+"
    r"|\b(?:years?|yr|months?|weeks?|days?)[\s-]+)$"
)
"""Before a word of healing: it is not yet so, or the word counts an age."""

ACUTE = re.compile(
    r"\b(?:acute(?:ly)?|fresh(?:ly)?|recent|new)\b(?!\s+(?:\w+\s+)?(?:stud|exam|radiogr|prior|bone))"
)

_SHIFT = r"(?:displac|displ\b|translat|translocat|shift|offset)"
_IS = (
    r"\bdispl(?:acement)?\b(?:\s*,[^,;]{0,30},)?\s*(?:[:(]|is|was|remains?|measures|now)\s*"
    r"(?:(?:now|only|still)\s+)*"
)
_LATER = r"\b(?:displac\w+|displ\b|shifted|translated)\s+(?:\w+ly\s+|only\s+)?"
DISPLACEMENTS: tuple[tuple[Displacement, re.Pattern[str]], ...] = (
    (
        Displacement.NONE,
        re.compile(
            r"\b(?:non|un)[\s-]?disp(?:l(?:aced)?)?\b|\bnot\s+(?:significantly\s+)?displaced"
            r"|\b(?:no|without|w/o|nor|nil|neither)\s+(?!further|interval|additional|increas|new|change"
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
            rf"|\b(?:two[\s-]+thirds|three[\s-]+quarters|2/3|3/4)\s+{_DEGREE}(?:{_SHIFT}|shaft|width)"
            rf"|{_IS}(?:severe|marked|complete)|{_LATER}(?:severely|markedly|completely|grossly|widely)"
        ),
    ),
    (
        Displacement.MILD,
        re.compile(
            rf"\b(?:mild|minimal|min|slight|minor|subtle|small|trace|tiny|little|hard|bare)(?:ly|\.)?"
            rf"\s+{_DEGREE}{_SHIFT}|{_IS}(?:mild|minimal|slight|minor|small)"
            rf"|{_LATER}(?:slightly|minimally|mildly|a\s+little)|\b(?:cortical|cortex)[\s-]+width"
            rf"|\b(?:one[\s-]+(?:quarter|fifth)|a\s+quarter|1/[45])\s+{_DEGREE}(?:{_SHIFT}|shaft|width)"
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
    r"(?P<unit_after>mm|cm|%|percent|per\s+cent)|(?P<plain>(?<!re)\bdispl(?:aced|acement)?\b(?!\s+(?:\w+\s+){0,2}?fat\b))"
)

_UNIT = r"(?:°|degrees?\b|deg\b)"
ANGLE = re.compile(
    rf"(?:(?P<change>from\s+\d{{1,3}}(?:\.\d+)?\s*{_UNIT}?\s+(?:down\s+|up\s+)?to\s+)"
    r"|(?P<earlier>previously|prior|from|formerly|was|earlier|against|versus|vs\.?)\s+(?:[\w]+\s+){0,2}?)?"
    r"(?<![\d.])(?P<low>\d{1,3}(?:\.\d+)?)\s*(?:(?:-|to)\s*(?P<high>\d{1,3}(?:\.\d+)?)\s*)?"
    rf"[\s-]*{_UNIT}"
)
NO_ANGULATION = re.compile(
    r"\b(?:inclination|lunate|luno\w+|scapho\w+|capitate|elbow|supracondylar|flexion|extension"
    r"|supination|pronation|rotat\w+|oblique\s+(?:view|elbow|projection)|slope|metacarp\w+|beam)\b"
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

OTHERS: Mapping[Other, re.Pattern[str]] = {
    Other.CAST_OR_SPLINT: re.compile(
        r"\b(?:cast(?:s|ed|ing)?|splint(?:s|ed|ing)?|plaster|(?:back-?\s?)?slabs?|pop|b\.?e\.?c|a\.?e\.?c|fib(?:re|er)\s?glass"
        r"|(?<!after )(?<!following )(?<!post )(?<!post-)(?<!prolonged )(?<!to )(?<!from )(?<!for )"
        r"immobili[sz](?:ation|ed|er)|orthosis|brace|sugar[- ]tong|gypsum)\b"
    ),
    Other.HARDWARE: re.compile(
        r"\b(?:k(?:irschner)?[\s-]?wires?|(?:percutaneous\s+)?pins?|pinning|screws?|esin|tens?\s+nail"
        r"|nail(?:s|ing)?|hardware|(?:internal|plate|screw|wire|external)\s+fixat\w+|orif"
        r"|metal\s?work|osteosynthesis|fixateur|(?<!growth[\s-])(?<!physeal )(?<!epiphyseal )"
        r"(?<!end[\s-])(?<!articular )plates?"
        r"(?!\s+(?:injur|avuls|fract|open|clos|(?:is|are)\s+(?:open|clos|nor))))\b"
        r"(?!\s+(?:tracks?|tracts?|holes?|sites?|beds?))"
    ),
    Other.SOFT_TISSUE_SWELLING: re.compile(
        r"\b(?:swelling|swollen|sts\b|o?edema(?:tous)?|fat\s+pad\s+(?:sign|displace\w*|elevat\w*|bulg\w*))"
    ),
    Other.OSTEOPENIA: re.compile(
        r"\b(?:osteop[eo]ni[ac]\w*|(?:de|under)-?minerali[sz]\w+|osteoporo\w+"
        r"|(?:reduced|decreased|low)\s+bone\s+(?:mineral\s+)?(?:density|minerali[sz]ation))"
    ),
    Other.DISLOCATION: re.compile(r"\b(?:dislocat\w+|sub-?lux\w+|galeazzi|diastasis)"),
    Other.FOREIGN_BODY: re.compile(r"\bforeign\s+bod(?:y|ies)|\bfbs?\b"),
    Other.BONE_LESION: re.compile(
        r"\b(?:(?:bone|osseous|bony|lytic|sclerotic|lucent|focal)\s+lesions?|bone\s+cyst|enchondroma"
        r"|exostosis|osteochondroma|non-?ossifying\s+fibroma|nof|fibrous\s+(?:cortical\s+)?"
        r"(?:defect|dysplasia))\b"
    ),
}
REMOVED_AHEAD = re.compile(
    r"\b(?:out\s+of|no\s+longer|previous(?:ly)?|history\s+of|hx\s+of|remov(?:al|ed)(?:\s+of)?"
    r"|discontinu\w+|post|ex|following|after)[\s-]+(?:(?:the|a|an|in|of|her|his|\w+ing|\w+elbow"
    r"|short|long|arm|plaster|removal)[\s-]+){0,4}$"
)
REMOVED_BEHIND = re.compile(
    r"\s*(?:(?!(?:a|an|the|new|applied|remains?|present|place|situ)\b)[\w/-]+\s+){0,6}?"
    r"(?:remov(?:ed|al)\b(?!\s+(?:may|is\s+(?:planned|advised)|at|in|to)\b)|off\b|pulled|discarded|taken\s+down"
    r"|discontinued|no\s+longer)"
)
"""What a cast or hardware has before or behind it that is there no more."""

_ALIGNED = (
    r"(?:(?:near[- ])?anatomic(?:al(?:ly)?)?|satisfactory|good|acceptable|maintained|normal"
    r"|preserved|excellent)"
)
ALIGNMENTS: Mapping[Alignment, re.Pattern[str]] = {
    Alignment.ABNORMAL: re.compile(
        r"\bmal-?\s?align\w+|\b(?:abnormal|poor|unsatisfactory|loss\s+of)\s+(?:\w+\s+)?alignment"
        r"|(?<!no )(?<!without )\bloss\s+of\s+reduction"
    ),
    Alignment.NORMAL: re.compile(
        rf"\b{_ALIGNED}\s+(?:\w+\s+){{0,3}}?(?:alignment|position)\b|\balignment\b[\w\s,]{{0,40}}?\b"
        rf"(?:is|are|remains?|appears?)?\s*{_ALIGNED}\b|\b{_ALIGNED}ly\s+aligned|\bwell[\s-]aligned"
        r"|\balignment\s*:\s*" + _ALIGNED
    ),
}

VIEWS: Mapping[View, re.Pattern[str]] = {
    View.PA: re.compile(
        r"\b(?:pa|p\.a\.?|ap|a\.p\.?|dp|d\.p\.?|frontal|postero-?anterior|dorso-?\s?(?:palmar|volar))\b"
    ),
    View.LATERAL: re.compile(
        r"\b(?:lateral(?=\s|,|$|/)|lat)\b(?!\s+(?:aspect|cortex|epicond|side))"
    ),
    View.OBLIQUE: re.compile(r"\bobliques?\b(?!\s+fracture)"),
}
