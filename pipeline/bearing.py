"""What words of a report can bear out a finding: stems in the languages that reports come in.

Coarse on purpose: they do not read a report, they only refuse what its words do not even touch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pipeline.findings import Displacement, Finding, Fracture, FractureType
from pipeline.region import Laterality, Region

__all__ = [
    "bears_out",
    "denies",
    "doubts",
    "is_asked",
    "names_bone",
    "names_no_bone",
    "sides_named",
    "with_borne_details",
]


def names_bone(words: str, region: Region) -> bool:
    """Whether words (in lower case) name a bone, or both bones of the forearm."""
    return bool(_BONE[region].search(words))


def names_no_bone(words: str) -> bool:
    """Whether words name none of the bones, so that they are of the whole wrist."""
    return not any(pattern.search(words) for pattern in _BONE.values())


def doubts(words: str) -> bool:
    """Whether words doubt anything."""
    return bool(_DOUBT.search(words))


def bears_out(words: str, fracture: Fracture) -> bool:
    """Whether words tell of a fracture, or, for an absent one, of anything whole or denied."""
    if fracture is Fracture.ABSENT:
        return bool(_DENIAL.search(words) or _WHOLE.search(words))
    return bool(_FRACTURE.search(words))


def denies(words: str) -> bool:
    """Whether words deny anything; of what, they do not tell."""
    return bool(_DENIAL.search(words))


def is_asked(words: str) -> bool:
    """Whether a sentence stands under a heading of what was asked or seen before."""
    return bool(_ASKED.match(words))


def sides_named(words: str) -> frozenset[Laterality]:
    """Return the sides that words name, in any of the languages."""
    return frozenset(side for side, pattern in _SIDE.items() if pattern.search(words))


def with_borne_details(finding: Finding, words: str) -> tuple[Finding, int]:
    """Return a finding whose details words bear out, the others left open, and how many were.

    Parameters
    ----------
    finding
        Of a fracture that is present or possible.
    words
        The sentences that it quotes, in lower case.
    """
    opened: dict[str, object] = {}
    kind = finding.type
    if kind is not None and kind in _TYPE and not _TYPE[kind].search(words):
        opened["type"] = FractureType.UNSPECIFIED
    if finding.healing is not None and not _HEALING.search(words):
        opened["healing"] = None
    if finding.displacement is not None and not _displaced(finding.displacement, words):
        opened["displacement"] = None
    if finding.angulation_deg is not None and not _angled(finding.angulation_deg, words):
        opened["angulation_deg"] = None
    if finding.physeal is not None and not _PHYSIS.search(words):
        opened["physeal"] = None
    if finding.intra_articular is not None and not _JOINT.search(words):
        opened["intra_articular"] = None
    return finding.model_copy(update=opened), len(opened)


def _displaced(degree: Displacement, words: str) -> bool:
    if degree is Displacement.NONE:
        return bool(_DENIAL.search(words) or _IN_PLACE.search(words))
    return bool(_DISPLACED.search(words))


def _angled(angle: float, words: str) -> bool:
    """Whether words give an angle in degrees; of a range, anything from one end to the other."""
    return any(
        float(match["low"]) <= angle <= float(match["high"] or match["low"])
        for match in _DEGREES.finditer(words)
    )


def _any(*stems: str) -> re.Pattern[str]:
    return re.compile("|".join(stems))


_BOTH_BONES = r"both[\s-]+bone|forearm|unterarm|avant-bras|antebra|avambracc|onderarm|przedrami"
_BONE: Mapping[Region, re.Pattern[str]] = {
    Region.DISTAL_RADIUS: _any(r"\bradi[uo]|\bradial|\bdr\b|speiche|promieni", _BOTH_BONES),
    Region.DISTAL_ULNA: _any(r"\buln|\bdu\b|cubit|cúbito|łokciow", _BOTH_BONES),
    Region.ULNAR_STYLOID: _any(r"st[yiï]l[oö]|griffel|rylc|\bus\b"),
}
_FRACTURE = _any(
    r"fra[ck]t|fratt|\bfx|#|brok|break|\bbr[uü]ch|gebroch|rotura|złam|kırık|breuk",
    r"buckl|torus|wulst|rodete|motte|avuls|abri(?:ss|ß)|arrach|green\s*stick|grünholz|tallo\s+verde",
    r"bois\s+vert|salter|\bs-?h\b|epiphys|physeal|bow(?:ed|ing)|cort(?:ex|ical)|lucen|callus|kallus",
)
_DENIAL = _any(
    r"\b(?:no|not|non|nor|neither|none|never|without|absent|absence|excluded|free\s+of|negative)\b",
    r"\bun(?:displaced|fractured|remarkable|broken)|n't\b",
    r"\b(?:kein\w*|nicht|ohne|ausgeschlossen|ausschluss)\b",
    r"\b(?:pas|sans|aucune?|ni|sin|ning[uú]na?|ausencia|senza|nessuna?|assenza|n[ãa]o|sem|nenhuma?)\b",
    r"\b(?:geen|zonder|niet|yok|izlenmedi|saptanmad[ıi]|görülmedi|bez|nie|brak)\b",
)
_DOUBT = _any(
    r"\?|cannot|can't|may\b|might|possib|suspi|probab|likely|query|questionable|uncertain|unsure",
    r"verdacht|fraglich|möglich|nicht\s+(?:sicher\s+)?auszuschlie|suspect|douteu|sospech|sospett",
)
_WHOLE = _any(
    r"intact|normal|unremark|spared|unharmed|regular|smooth|clear|\bok\b|fine|nad\b|regelrecht",
    r"unauff[äa]llig|intakt|intègre|íntegr|integro|conservad|bewaard|gaaf|doğal|prawidłow|zachowan",
)
_PLACE = (
    r"(?:displac|disloc|dislok|shift|off-?ended|translat|verschob|versatz|déplac|desplaz|scompost"
)
_DISPLACED = _any(
    _PLACE + r"|verplaats|przemieszcz|deplase|%|percent|prozent|width|breite|overlap)"
)
_IN_PLACE = _any(
    r"\bun-?displac|\bnon-?displac|undislo|anatomic|aligned|in\s+situ|position|stellung|aligné",
)
_HEALING = _any(
    r"acute|fresh|new\b|recent|heal|call[uo]s|kallus|union|unit(?:ed|ing)|consolid|konsolid|remodel",
    r"\bold\b|perioste|periost|bridg|knit|frisch|\balte?\b|älter|verheil|heilung|récent|ancien|cal\b",
    r"reciente|antigu|recente|vecchi|antig|oud|taze|eski|świeże|stare|zrost|chronic|resor",
)
_PHYSIS = _any(r"phys|growth\s+plate|salter|\bs-?h\b|wachstum|cartilage\s+de|fisa|fise|aitken")
_JOINT = _any(r"artic|joint|gelenk|gewricht|eklem|staw|art[ií]cul")
_TYPE: Mapping[FractureType, re.Pattern[str]] = {
    **dict.fromkeys(
        [kind for kind in FractureType if kind.startswith("salter")],
        _any(r"salter|\bs-?h\b|\bsh[\s-]?[iv\d]|phys|growth\s+plate|epiphys|aitken"),
    ),
    FractureType.BUCKLE: _any(r"buckl|torus|bulg|wulst|rodete|motte|stauch"),
    FractureType.TRANSVERSE: _any(r"transv|quer|transwers|poprzecz"),
    FractureType.GREENSTICK: _any(
        r"green\s*-?\s*stick|grünholz|bois\s+vert|tallo\s+verde|legno|ramo"
    ),
    FractureType.OBLIQUE: _any(r"obliq|spir|schr[äa]g|skośn"),
    FractureType.COMMINUTED: _any(r"commin|conmin|multi-?frag|mehrfrag|trümmer|frag|pluri"),
    FractureType.AVULSION: _any(
        r"avuls|torn|chip|fleck|abri(?:ss|ß)|arrach|arranc|strappamento|tip\b"
    ),
    FractureType.PLASTIC_BOWING: _any(r"bow|plasti|bieg|incurv|arqu"),
}
_DEGREES = re.compile(
    r"(?<![\d.])(?P<low>\d{1,3})(?:\s*(?:-|–|to|bis|à|a|tot|do)\s*(?P<high>\d{1,3}))?"
    r"\s*-?\s*(?:°|º|deg|grad|degr|gra[dn]|stop|derece)"
)
_SIDE: Mapping[Laterality, re.Pattern[str]] = {
    Laterality.LEFT: _any(
        r"\b(?:left|lt|l|links?|linke\w*|gauche|izquierd\w|sinistr\w|esquerd\w|sol|lew\w+)\b"
    ),
    Laterality.RIGHT: _any(
        r"\b(?:right|rt|r|rechts?|rechte\w*|droite?|derech\w|destr\w|direit\w|sağ|praw\w+)\b"
    ),
}
_ASKED = re.compile(
    r"\s*(?:klinische\s+angaben?|fragestellung|indikation|anamnese|klinik|vergleich|voraufnahmen?"
    r"|renseignements|indications?|motif|comparaison|datos\s+cl[ií]nicos|motivo|comparaci[oó]n"
    r"|quesito|notizie|confronto|informaç\w+|compara\w+|klinische\s+gegevens|vraagstelling|vergelijking"
    r"|klinik\s+bilgi|wskazani\w+|porównani\w+)\b[^.]{0,30}?:"
)
