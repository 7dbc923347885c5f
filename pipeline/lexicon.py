"""The words of wrist reports: which bone, which fracture, which doubt.

Patterns for flattened text (`pipeline.passage.flatten`). A pattern that carries a value names it
by its group.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from pipeline.findings import Alignment, Displacement, FractureType, Healing, Other
from pipeline.region import View

__all__ = [
    "ACUTE",
    "ADJECTIVES",
    "ALIGNMENTS",
    "ANGLE",
    "ARTICULAR",
    "BACKWARD",
    "BONE",
    "CARPUS",
    "CONSUMER",
    "DISPLACEMENTS",
    "DISPLACEMENT_MEASURED",
    "EXTRA_ARTICULAR",
    "FORWARD",
    "HEAD",
    "HEALINGS",
    "INTACT",
    "NORMAL",
    "NOT_YET",
    "OTHERS",
    "PHYSEAL",
    "REMOVED",
    "SALTER_HARRIS",
    "SHAFT",
    "TERMINATOR",
    "VIEWS",
    "Elsewhere",
]


class Elsewhere(StrEnum):
    """A bone that is none of the three regions."""

    SCAPHOID = Other.SCAPHOID_FRACTURE.value
    ELSEWHERE = Other.OTHER_FRACTURE.value
    CARPUS = "carpus"


_STYLOID = r"st[yi]l?[oi]{1,2}d\w*"
_DIRECTION = (
    r"(?:deviat\w+|displace\w+|angulat\w+|translat\w+|tilt\w*|inclination|side\w*|aspect|height"
    r"|length|shorten\w+|shift\w*|variance|minus|plus|positive|negative|apex|border|translocation"
    r"|wards?|ly|artery|nerve|column|gutter|slab|club)"
)
_PART = (
    r"(?:metaph(?:ys\w+)?|metadiaphys\w+|phys[ei]\w*|epiphys\w+|growth|cort\w+|buckl\w+|torus|fract\w+"
    r"|fx|#|greenstick|salter|plastic|bowing|avuls\w+|torus|transverse|oblique|metaphysis|bone)"
)
_SHAFT_OF = r"(?:shaft|mid-?shaft|diaphys[ie]s|middle\s+third|proximal\s+third)\s+of\s+(?:the\s+)?"
_FOREARM_BONE = r"(?:radius|radial|ulnar?)"

BONE = re.compile(
    # one look at each word's start instead of one for each alternative: five times as fast
    r"\b(?=[a-z])(?:"
    + "|".join(
        (
            r"(?P<no_bone>\b(?:(?:distal\s+)?radio-?\s?ulnar(?:\s+joint)?|druj)\b"
            rf"|\b(?:radial|ulnar|ulna)(?:[- ]sided|\s+{_DIRECTION}\b|ly\b|wards?\b))",
            rf"(?P<ulnar_styloid>\buln(?:ar|a'?s?)?[\s-]+(?:distal\s+)?{_STYLOID}(?:\s+process)?"
            rf"|\bulnostyloid|\b{_STYLOID}(?:\s+process)?\s+(?:of|from|at)\s+(?:the\s+)?"
            rf"(?:left\s+|right\s+)?(?:distal\s+)?ulna\b|\bu\.?s\.?p\b)",
            rf"(?P<radial_styloid>\b(?:radial|radius)\s+{_STYLOID}(?:\s+process)?|\b{_STYLOID}"
            r"(?:\s+process)?\s+of\s+(?:the\s+)?(?:distal\s+)?radius\b)",
            rf"(?P<styloid>\b{_STYLOID}(?:\s+process)?)",
            r"(?P<scaphoid>\b(?:scaphoid|navicular)\w*)",
            r"(?P<carpus>\bcarp(?:al|us)(?:\s+(?:bones?|rows?|arcs?|alignment))?)",
            r"(?P<elsewhere>\b(?:lunat\w+|triquetr\w+|pisiform|trapezi\w+|capitate|hamat\w+"
            r"|hook\s+of\s+hamate|(?:\w+\s+)?metacarp\w+|phalan\w+|fingers?|thumb|elbow|humer\w+"
            r"|supracondylar|radial\s+(?:head|neck)|olecranon|coronoid|clavicle|sesamoid"
            rf"|(?:mid|proximal|mid-?shaft|middle\s+third)\s+(?:third\s+)?{_FOREARM_BONE}"
            rf"|mid-?forearm|proximal\s+forearm|(?<!distal )(?<!distal third ){_SHAFT_OF}"
            rf"(?:left\s+|right\s+)?(?:radius|ulna|forearm|both\s+bones)(?:\s+and\s+(?:the\s+)?ulna)?"
            rf"|(?<!distal ){_FOREARM_BONE}(?:\s+and\s+(?:the\s+)?ulnar?)?"
            r"\s+(?:mid-?)?(?:shafts?|diaphys[ie]s|diaphyseal|midshafts?)))",
            r"(?P<both>\bboth[\s-]bones?(?:\s+of\s+the)?(?:\s+distal)?(?:\s+forearm)?"
            r"|\bboth\s+(?:the\s+)?(?:distal\s+)?(?:forearm\s+)?bones"
            r"|\bdistal\s+forearm\s+(?:bones|fractures|#s)|\bfractures\s+of\s+(?:the\s+)?"
            r"(?:left\s+|right\s+)?distal\s+forearm|\bbbfa\b)",
            rf"(?P<distal_radius>\bradius\b|\bdist\.?\s+rad\b|\bdr\b(?=[\s:]+(?:[\w-]+\s+){{0,2}}?{_PART})|(?:(?<=fx )|(?<=of )|(?<=# )|(?<=fracture ))dr\b|\brad\b(?=\s*[:\d]|\s+metaph)|\bdistal\s+radi(?:al|i|us)\b(?!\s+{_DIRECTION})"
            rf"|\bradial\b(?=\s+(?:(?:and|&)\s+(?:the\s+)?(?:distal\s+)?uln|(?:\w+\s+)?{_PART}))"
            r"|\bdistal\s+forearm\b|\bcolles\w*)",
            rf"(?P<distal_ulna>\bulnas?\b|\bdist\.?\s+uln\b|\bu(?:ln)?\b\.?(?=\s+metaph)|\buln\b(?=\s*[:\d])|\bdistal\s+ulnar?\b|\bulnar\b(?!\s+{_DIRECTION}))",
        )
    )
    + ")"
)
"""A bone in words; the group is the name of a region, of an `Elsewhere` or one of both kinds.

A bare "styloid" is the ulna's: the radius's is called by its name. "Both bones" is both regions.
"""

SHAFT = re.compile(r"(?<!distal )\b(?:mid)?-?(?:shafts?|diaphys[ei]\w+|midshafts?)\b(?!\s+width)")
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
    r"|accture|actur)(?:s|d)?\b|\bf(?:r?x|xs)\b|\bnon-?union\b|#(?!\s*\d)s?(?!\w*\d))"
)

HEAD = re.compile(
    r"(?:\b(?=[a-z])|(?=#))(?:"
    + "|".join(
        (
            rf"(?P<salter_harris>\b{_SALTER}{_NUMBERED.format('after')}"
            rf"(?P<alternative>\s*(?:/|or|vs\.?|versus|-)\s*{_NUMERAL}\b)?"
            rf"|\btype\s+(?P<before>{_NUMERAL})\s+{_SALTER}\b"
            rf"|\b(?:s[ae]l?[tl]t?[ae]r|slater|harris)[\s/-]*(?:ha+r+i+s+|salter)\b|\bsalter\b)",
            r"(?P<buckle>\bbuc?k(?:l(?:e|ing|ed)|el)\b|\btor(?:us|ous|sus)\b)",
            r"(?P<greenstick>\bgreen[\s-]?stick|\bgs(?=\s+(?:fx|#|fract)))",
            r"(?P<plastic_bowing>\b(?:plastic|bowing)\s+(?:bowing|deform\w+)|\bbowing|\bbowed)",
            r"(?P<avulsion>\bavuls(?:ion|ed|ions)\b)",
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
            r"(?:represent|reflect|be|indicate)|concern(?:ing|ed)?\s+(?:for|of|about)|concern\b"
            r"|worrisome|suggest\w*|consider\w*|presum\w+|perhaps|potential\w*|versus|vs"
            r"|indeterminate|might|query|queried|favou?r\w*)\b|\?)",
            r"(?P<aside>\b(?:(?:in\s+order\s+)?to\s+(?:exclude|rule\s+out|evaluate|assess|look|"
            r"confirm|detect)|(?:re-?)?evaluat\w+\s+for|assess\w*\s+for|r/o|rule\s+out"
            r"|if\s+(?:there|clinical\w*|symptom\w*|pain|concern\w*|a\b|the\b|suspicion)"
            r"|(?:history|hx)\s+of|h/o|in\s+case\s+of|recommend\w*|advise\w*|suggested\s+if)\b)",
            r"(?P<pseudo>\bno(?:t)?\s+(?:\w+\s+){0,2}?(?:chang\w+|difference|alteration|longer)\b"
            r"|\bno\s+(?:doubt|question)|\bnot\s+only)",
            r"(?P<denial>\b(?:no|without|w/o|absence\s+of|neg(?:ative)?\.?\s+for|free\s+(?:of|from)|neither"
            r"|nor|nil|never|lack\s+of|rather\s+than|excludes?|rules?\s+out|not\s+(?:\w+ly\s+)?(?:demonstrat\w+"
            r"|show\w*|identif\w+|see|seen|reveal\w*|any|an?|detect\w*|appreciat\w*|represent\w*"
            r"|have|consistent|typical))\b)",
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
            r"|[(,]\s*(?:possible|suspected|questionable|query)\s*(?:$|[).,])|\?)",
            r"(?P<denial>\b(?:not|never)\s+(?:be\s+)?(?:\w+ly\s+)?(?:seen|identified|visible"
            r"|visuali[sz]ed|evident|demonstrated|detected|appreciated|present|apparent|shown|noted"
            r"|found|observed|confirmed)|\b(?:excluded|ruled\s+out|unlikely|absent)\b"
            r"|^\s*[:-]\s*(?:no|none|nil|negative|absent|not)\b)",
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

INTACT = re.compile(
    r"\s*:\s*(?:no|neg|none|nil)\b(?!\s+\w)"
    r"|(?:\b(?:is|are|appears?|remains?|looks?|seems?)\b|[:,(-])?\s*(?:\w+\s+){0,2}?(?:otherwise\s+)?"
    r"\b(?:intact|normal|nl|nad|unremarkable|uninvolved|unaffected|spared|preserved|clear|fine|ok(?:ay)?"
    r"|un(?:injured|damaged|broken)|whole|in"
    r"\s+one\s+piece|within\s+normal\s+limits|wnl|negative|not\s+(?:fractured|injured"
    r"|involved))\b(?!\s+(?:align\w*|variant|mineral\w*|position|variance|appearing\s+phys))"
)
NORMAL = re.compile(
    r"(?P<rest>\b(?:otherwise|remaining|remainder|rest\s+of|other(?:\s+\w+)?\s+bones)\b[\w\s]{0,50}?"
    r"(?:intact|normal|unremarkable|ok(?:ay)?|clear|fine)"
    r"|\brest\s+(?:is\s+)?(?:intact|normal|ok(?:ay)?|clear|fine|nad))"
    r"|(?P<whole>\b(?:visuali[sz]ed\s+|imaged\s+)?(?:bones|bony\s+structures|osseous\s+structures"
    r"|skeleton|bony\s+\w+|cortices|wrists?|radiographs?|study|examination|exam|films?|x-?rays?"
    r"|appearances?|images)\s*(?:\([^)]*\)\s*)?(?:(?:is|are|appears?|remains?|all|of\s+the\s+"
    r"(?:left|right)?\s*wrist|in\s+\w+)\s*)*[:,-]?\s*(?:within\s+normal\s+limits|intact|normal"
    r"|unremarkable)"
    r"|\b(?:normal|unremarkable)\s+(?:\w+\s+){0,2}?(?:wrists?|study|exam\w*|radiograph\w*|x-?rays?"
    r"|films?|bones|appearances?|series|views?|plain)\b(?!\s+(?:align\w+))"
    r"|\bwithin\s+normal\s+limits|\bnad\b|\bnbi\b|\bn\.a\.d|^\s*(?:\d+[.)]\s*)?(?:normal"
    r"|unremarkable)\s*\.?$)"
)

HEALINGS: Mapping[Healing, re.Pattern[str]] = {
    Healing.HEALING: re.compile(
        r"(?:not\s+(?:yet\s+)?|in-?completely\s+|partial(?:ly)?\s+|near(?:ly)?\s+|almost\s+"
        r"|near-)(?:\w+\s+)?(?:healed|united|consolidated)"
        r"|\b(?:healing|callus|periosteal\s+(?:reaction|new|bone)|sub-?acute|remodell?ing|bridging"
        r"|sclero\w+|consolidati(?:ng|on)|(?:partial|early|progressive)\s+(?:\w+\s+)?union)\b"
    ),
    Healing.HEALED: re.compile(
        r"\b(?:healed|united|consolidated|remodell?ed|(?:complete|solid|full)\s+(?:bony\s+|osseous\s+)?"
        r"(?:healing|union|consolidation)|no\s+longer\s+(?:\w+\s+)?(?:visible|seen|visuali[sz]ed"
        r"|evident|identified|apparent)|old|remote|chronic)\b"
    ),
}
NOT_YET = re.compile(
    r"(?:\bnot\s+(?:yet\s+)?(?:\w+ly\s+)?|\b(?:incompletely|partially|nearly|almost|near|un)[\s-]+"
    r"|\b(?:years?|yr|months?|weeks?|days?)[\s-]+)$"
)
"""Before a word of healing: it is not yet so, or the word counts an age."""

ACUTE = re.compile(
    r"\b(?:acute(?:ly)?|fresh|recent|new)\b(?!\s+(?:\w+\s+)?(?:stud|exam|radiogr|prior|bone))"
)

DISPLACEMENTS: tuple[tuple[Displacement, re.Pattern[str]], ...] = (
    (
        Displacement.NONE,
        re.compile(
            r"\b(?:non|un)[\s-]?displaced|\bnot\s+(?:significantly\s+)?displaced"
            r"|\b(?:no|without|nor)\s+(?!further|interval|additional|increas|new|change|worsen)"
            r"(?:[\w-]+[\s,]+){0,5}?(?:displacement|translation)"
            r"|\bdisplacement\s*[:(]\s*(?:none|nil|no)\b"
        ),
    ),
    (
        Displacement.SEVERE,
        re.compile(
            rf"\b(?:severe|marked|gross|significant|complete|wide|substantial|considerable)(?:ly)?"
            rf"\s+{_DEGREE}(?:displac|translat)|\boff[- ]?ended|\bbayonet|\bfull[\s-]+shaft"
            r"|\bone[\s-]+shaft|\bdisplacement\s*(?:[:(]|is|remains)\s*(?:severe|marked)"
        ),
    ),
    (
        Displacement.MILD,
        re.compile(
            rf"\b(?:mild|minimal|slight|minor|minimally|subtle|small|trace|tiny|little)(?:ly)?"
            rf"\s+{_DEGREE}(?:displac|translat)|\bdisplacement\s*(?:[:(]|is|remains)\s*(?:mild|minimal|slight|minor)"
            r"|\b(?:cortical|cortex)[\s-]+width"
        ),
    ),
    (
        Displacement.MODERATE,
        re.compile(
            rf"\bmoderate(?:ly)?\s+{_DEGREE}(?:displac|translat)|\b(?:half|50\s*%)[\s\w-]*shaft"
            r"|\bdisplacement\s*(?:[:(]|is|remains)\s*moderate"
        ),
    ),
)
"""In the order in which they are tried; "displaced" without a degree is moderate."""

DISPLACEMENT_MEASURED = re.compile(
    r"(?P<before>\d+(?:\.\d+)?)\s*(?P<unit_before>mm|cm|%|percent)\s+(?:of\s+)?(?:[\w-]+\s+){0,3}?"
    r"(?:displac|translat|offset)"
    r"|\b(?:displac|translat)\w+\s+(?:[\w-]+\s+){0,4}?(?P<after>\d+(?:\.\d+)?)\s*"
    r"(?P<unit_after>mm|cm|%|percent)|(?P<plain>(?<!re)\bdisplac(?:ed|ement)\b)"
)

ANGLE = re.compile(
    r"(?:(?P<earlier>previously|prior|from|formerly|was|earlier)\s+(?:[\w]+\s+){0,2}?)?"
    r"(?<![\d.])(?P<low>\d{1,3}(?:\.\d+)?)\s*(?:(?:-|to)\s*(?P<high>\d{1,3}(?:\.\d+)?)\s*)?"
    r"(?:°|degrees?\b|deg\b|degress\b)"
)

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
        r"\b(?:cast(?:s|ed|ing)?|splint(?:s|ed|ing)?|plaster|back-?\s?slab|pop|fib(?:re|er)\s?glass"
        r"|immobili[sz](?:ation|ed|er)|orthosis|brace|sugar[- ]tong|gypsum)\b"
    ),
    Other.HARDWARE: re.compile(
        r"\b(?:k(?:irschner)?[\s-]?wires?|(?:percutaneous\s+)?pins?|pinning|screws?|esin|tens?\s+nail"
        r"|nail(?:s|ing)?|hardware|(?:internal|plate|screw|wire|external)\s+fixat\w+|orif"
        r"|metal\s?work|osteosynthesis|fixateur|(?<!growth )(?<!physeal )(?<!epiphyseal )plates?"
        r"(?=\s+(?:and|fix|with|osteo|in\s+situ|is|are|screw)|\s*[,.]|$))\b"
    ),
    Other.SOFT_TISSUE_SWELLING: re.compile(
        r"\b(?:swelling|swollen|o?edema(?:tous)?|fat\s+pad\s+(?:sign|displace\w*|elevat\w*|bulg\w*))"
    ),
    Other.OSTEOPENIA: re.compile(
        r"\b(?:osteop[eo]ni[ac]\w*|(?:de|under)-?minerali[sz]\w+|osteoporo\w+"
        r"|(?:reduced|decreased|low)\s+bone\s+(?:mineral\s+)?(?:density|minerali[sz]ation))"
    ),
    Other.DISLOCATION: re.compile(r"\b(?:dislocat\w+|sub-?lux\w+|galeazzi|diastasis)"),
    Other.FOREIGN_BODY: re.compile(r"\bforeign\s+bod(?:y|ies)"),
    Other.BONE_LESION: re.compile(
        r"\b(?:(?:bone|osseous|bony|lytic|sclerotic|lucent|focal)\s+lesions?|bone\s+cyst|enchondroma"
        r"|exostosis|osteochondroma|non-?ossifying\s+fibroma|nof|fibrous\s+(?:cortical\s+)?"
        r"(?:defect|dysplasia))\b"
    ),
}
REMOVED = re.compile(
    r"\b(?:remov\w+|out\s+of|no\s+longer|previous(?:ly)?|history\s+of|hx\s+of|discontinu\w+)\b"
)

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
