"""GRAZPEDWRI-DX: its rows, its AO codes, and reports worded from them.

Data set: Nagy et al., "A pediatric wrist trauma X-ray dataset (GRAZPEDWRI-DX) for machine
learning", Scientific Data 9:222 (2022), CC BY 4.0. Codes: AO Paediatric Comprehensive
Classification of Long-Bone Fractures; carpals and metacarpals by the AO hand classification. Their
meaning here is for building test material: have it checked before any clinical use.
"""

from __future__ import annotations

import csv
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from pipeline.exam import RegionFindings
from pipeline.findings import Fracture, FractureType, Other
from pipeline.region import Laterality, Region, View
from training.errors import DataError

__all__ = [
    "STYLES",
    "AoFracture",
    "Reading",
    "Row",
    "ao_fractures",
    "findings",
    "lines",
    "reading",
    "report",
    "rows",
]


@dataclass(frozen=True)
class Row:
    """One image of dataset.csv; ``ao`` is its classification as written, slips included."""

    filestem: str
    patient: int
    study: int
    age_years: float
    sex: str
    laterality: Laterality
    view: View
    ao: str
    cast: bool
    osteopenia: bool
    metal: bool
    spacing_mm: float


@dataclass(frozen=True)
class AoFracture:
    """One fracture of a classification: in a region, or in words elsewhere (``site``)."""

    region: Region | None
    site: str
    type: FractureType


@dataclass(frozen=True)
class Reading:
    """What a row says, in the words of `pipeline.findings`.

    A region without a type is not fractured: the classification is complete. An unspecified type
    beside a specific one of the same bone is left out, as a report's reader would merge the two.
    Healing, displacement and angulation are not coded.
    """

    regions: Mapping[Region, frozenset[FractureType]]
    other: frozenset[Other]


def rows(path: Path) -> Iterator[Row]:
    """Yield the rows of dataset.csv.

    Raises
    ------
    DataError
        Where a row lacks a column or holds what cannot be read.
    """
    for number, row in lines(path):
        if isinstance(row, DataError):
            message = f"line {number} of the table: {row.detail}"
            raise DataError(message) from row
        yield row


def lines(path: Path) -> Iterator[tuple[int, Row | DataError]]:
    """Yield the number of each line of dataset.csv with its row, or with what is wrong with it.

    Raises
    ------
    DataError
        Where the file is no table at all.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            table = csv.DictReader(stream)
            for row in table:
                yield table.line_num, _row(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        message = f"{path} is no table ({type(error).__name__})."
        raise DataError(message) from error


def reading(row: Row) -> Reading:
    """Return what a row's classification and marks say."""
    fractures = ao_fractures(row.ao)
    regions = {
        region: _specific(frozenset(f.type for f in fractures if f.region is region))
        for region in Region
    }
    marks = {
        Other.CAST_OR_SPLINT: row.cast,
        Other.HARDWARE: row.metal,
        Other.OSTEOPENIA: row.osteopenia,
        Other.SCAPHOID_FRACTURE: any(f.site == "scaphoid" for f in fractures),
        Other.OTHER_FRACTURE: any(not f.region and f.site != "scaphoid" for f in fractures),
    }
    return Reading(regions, frozenset(name for name, marked in marks.items() if marked))


def findings(row: Row) -> dict[Region, RegionFindings]:
    """Return a row's classification as findings, one value for each bone.

    Of several specific types of one bone the first in the order of `FractureType` is taken.
    """
    found = {}
    for region, types in reading(row).regions.items():
        kind = next((kind for kind in FractureType if kind in types), None)
        fracture = Fracture.ABSENT if kind is None else Fracture.PRESENT
        found[region] = RegionFindings(fracture.value, kind and kind.value)
    return found


def ao_fractures(ao: str) -> tuple[AoFracture, ...]:
    """Read a classification such as ``23r-M/3.1; 23u-E/7``, slips like ``23u-E7`` included.

    Raises
    ------
    DataError
        For a code that is neither of the forearm nor of the hand.
    """
    found: list[AoFracture] = []
    for part in re.split(r"[;,]", ao):
        code = part.strip()
        if not code:
            continue
        if match := _FOREARM.fullmatch(code):
            found += _forearm(match)
        elif match := _HAND.fullmatch(code):
            site = _HAND_SITES.get(match["bone"], "carpal bone")
            found.append(AoFracture(None, site, FractureType.UNSPECIFIED))
        else:
            message = f"an AO code of {len(code)} characters is neither of forearm nor hand"
            raise DataError(message)
    return tuple(dict.fromkeys(found))


def report(row: Row, seed: int, style: str | None = None) -> str:
    """Word a row as a dictated report, in one of `STYLES` (drawn where None).

    Says all that `reading` holds and nothing more about fractures; the same seed gives the same
    text.
    """
    pen = random.Random(f"{row.filestem}/{seed}")  # noqa: S311 - wording, not a secret
    chosen = pen.choice(STYLES) if style is None else style
    return _STYLES[chosen](row, _Wording(row, pen))


def _specific(types: frozenset[FractureType]) -> frozenset[FractureType]:
    return types - {FractureType.UNSPECIFIED} or types


_SIDES = {"L": Laterality.LEFT, "R": Laterality.RIGHT}
_VIEWS = {"1": View.PA, "2": View.LATERAL, "3": View.OBLIQUE}


def _row(row: Mapping[str, str]) -> Row | DataError:
    try:
        return Row(**{name: read(row[column]) for name, (column, read) in _COLUMNS.items()})
    except (KeyError, ValueError, AttributeError, TypeError):
        wrong = [column for column, read in _COLUMNS.values() if not _reads(row, column, read)]
        return DataError(f"its column {wrong[0]} is not in the format of dataset.csv")


def _reads(row: Mapping[str, str], column: str, read: Callable[[str], object]) -> bool:
    try:
        read(row[column])
    except (KeyError, ValueError, AttributeError, TypeError):
        return False
    return True


def _years(text: str) -> float:
    years = float(text)
    if not 0 <= years < 130:
        raise ValueError
    return years


def _stem(text: str) -> str:
    """Return a file's name, which must not lead to another folder."""
    if not re.fullmatch(r"\w[\w.-]*", text):
        raise ValueError
    return text


def _marked(text: str) -> bool:
    return text.strip() == "1"


_COLUMNS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "filestem": ("filestem", _stem),
    "patient": ("patient_id", int),
    "study": ("study_number", int),
    "age_years": ("age", _years),
    "sex": ("gender", str.strip),
    "laterality": ("laterality", _SIDES.__getitem__),
    "view": ("projection", _VIEWS.__getitem__),
    "ao": ("ao_classification", str.strip),
    "cast": ("cast", _marked),
    "osteopenia": ("osteopenia", _marked),
    "metal": ("metal", _marked),
    "spacing_mm": ("pixel_spacing", float),
}


_FOREARM = re.compile(
    r"2(?P<part>[23])(?P<bone>[ru]?)[-/](?P<segment>[EMD])/?(?P<kind>\d)(?:\.(?P<severity>\d?))?"
)
_HAND = re.compile(r"(?P<bone>7[1-8])\D?.*")
_HAND_SITES = {"71": "lunate", "72": "scaphoid", "73": "capitate", "74": "hamate"} | {
    "77": "metacarpal",
    "78": "phalanx",
}
_KINDS = {
    **{f"E{n}": FractureType(f"salter_harris_{n}") for n in range(1, 5)},
    "E7": FractureType.AVULSION,
    "M2": FractureType.BUCKLE,
    # M/3 is a complete fracture of the metaphysis, transverse or not
    "D1": FractureType.PLASTIC_BOWING,
    "D2": FractureType.GREENSTICK,
    "D4": FractureType.TRANSVERSE,
    "D5": FractureType.OBLIQUE,
}


def _forearm(match: re.Match[str]) -> Iterator[AoFracture]:
    kind = match["segment"] + match["kind"]
    found = _KINDS.get(kind, FractureType.UNSPECIFIED)
    for bone in match["bone"] or "ru":
        name = "radius" if bone == "r" else "ulna"
        if match["part"] == "2":
            yield AoFracture(None, f"{'radial' if bone == 'r' else 'ulnar'} shaft", found)
        elif bone == "u" and kind == "E7":
            yield AoFracture(Region.ULNAR_STYLOID, "ulnar styloid", found)
        else:
            region = Region.DISTAL_RADIUS if bone == "r" else Region.DISTAL_ULNA
            yield AoFracture(region, f"distal {name}", found)


_TYPE_WORDS: Mapping[FractureType, Sequence[str]] = {
    FractureType.SALTER_HARRIS_1: (
        "Salter-Harris type I fracture",
        "Salter Harris I fracture",
        "SH 1 fracture",
    ),
    FractureType.SALTER_HARRIS_2: (
        "Salter-Harris type II fracture",
        "Salter-Harris II fracture",
        "SH2 fracture",
        "Salter Harris type 2 physeal fracture",
    ),
    FractureType.SALTER_HARRIS_3: ("Salter-Harris type III fracture", "SH III fracture"),
    FractureType.SALTER_HARRIS_4: ("Salter-Harris type IV fracture", "Salter-Harris 4 fracture"),
    FractureType.BUCKLE: ("buckle fracture", "torus fracture", "torus (buckle) fracture"),
    FractureType.GREENSTICK: ("greenstick fracture", "green-stick fracture"),
    FractureType.TRANSVERSE: ("transverse fracture", "complete transverse fracture"),
    FractureType.OBLIQUE: ("oblique fracture", "spiral fracture"),
    FractureType.AVULSION: ("avulsion fracture",),
    FractureType.PLASTIC_BOWING: ("plastic bowing deformity", "plastic deformation"),
    FractureType.UNSPECIFIED: ("fracture", "complete fracture"),
}
_OTHER_WORDS: Mapping[Other, Sequence[str]] = {
    Other.CAST_OR_SPLINT: (
        "A cast is in place.",
        "Overlying plaster cast obscures bony detail.",
        "Imaged in a forearm cast.",
    ),
    Other.HARDWARE: ("K-wires are in situ.", "Fixation hardware is in place without loosening."),
    Other.OSTEOPENIA: ("Mild disuse osteopenia.", "The bones are osteopenic."),
}
_NORMAL = (
    "No acute fracture or dislocation.",
    "No fracture is seen.",
    "Normal radiographs, no bony injury.",
    "There is no evidence of fracture.",
)
_REST = (
    "No other fracture is seen.",
    "No further fracture.",
    "The remaining bones are intact.",
    "No additional fracture identified.",
)
_INDICATIONS = (
    "Fall onto the outstretched hand, wrist pain. Query fracture.",
    "Trauma, ?fracture.",
    "Injury at sports, rule out distal radius fracture.",
    "Follow-up after wrist injury.",
)


class _Wording:
    """The sentences of one row, drawn with one pen."""

    def __init__(self, row: Row, pen: random.Random) -> None:
        self._pen = pen
        self._fractures = ao_fractures(row.ao)
        self._other = [name for name in _OTHER_WORDS if name in reading(row).other]

    def pick(self, choices: Sequence[str]) -> str:
        return self._pen.choice(choices)

    def phrases(self) -> list[str]:
        """Return a noun phrase per fracture, equal types of two bones in one."""
        ordered = sorted(self._fractures, key=lambda f: (f.region is None, f.type.value, f.site))
        said = []
        for kind, group in groupby(ordered, key=lambda f: f.type):
            sites = [f.site for f in group]
            words = self.pick(_TYPE_WORDS[kind])
            if len(sites) == 1:
                said.append(f"{words} of the {sites[0]}")
            else:
                plural = re.sub(r"(fracture|deformity|deformation)$", _plural, words)
                said.append(f"{plural} of the {', '.join(sites[:-1])} and {sites[-1]}")
        return said

    def types_at(self, region: Region) -> list[str]:
        return [self.pick(_TYPE_WORDS[f.type]) for f in self._fractures if f.region is region]

    def elsewhere(self) -> list[str]:
        return [
            f"{_article(self.pick(_TYPE_WORDS[f.type]))} of the {f.site}"
            for f in self._fractures
            if f.region is None
        ]

    def closing(self) -> str:
        return self.pick(_REST if self._fractures else _NORMAL)

    def others(self) -> list[str]:
        return [self.pick(_OTHER_WORDS[name]) for name in self._other]


def _plural(match: re.Match[str]) -> str:
    return {"deformity": "deformities"}.get(match[1], match[1] + "s")


def _article(words: str) -> str:
    head = words.split(" of ", maxsplit=1)[0]
    if head.endswith(("deformation", "s")):
        return words
    return f"{'an' if words[0].lower() in 'aeo' or words.startswith('SH') else 'a'} {words}"


def _is(words: str) -> str:
    return "are" if words.split(" of ", maxsplit=1)[0].endswith("s") else "is"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


_VIEW_WORDS = {View.PA: "PA", View.LATERAL: "lateral", View.OBLIQUE: "oblique"}


def _sectioned(row: Row, wording: _Wording) -> str:
    findings = [_sentence(f"there {_is(p)} {_article(p)}") for p in wording.phrases()]
    findings += [wording.closing(), *wording.others()]
    impression = [_sentence(phrase) for phrase in wording.phrases()] or [wording.closing()]
    numbered = "\n".join(f"{number}. {line}" for number, line in enumerate(impression, start=1))
    return (
        f"EXAMINATION: Radiograph of the {row.laterality.value} wrist, {_VIEW_WORDS[row.view]} view"
        f"\nINDICATION: {wording.pick(_INDICATIONS)}\nCOMPARISON: None.\n"
        f"\nFINDINGS:\n{' '.join(findings)}\n\nIMPRESSION:\n{numbered}\n"
    )


def _template(row: Row, wording: _Wording) -> str:
    lines = [
        f"XR {row.laterality.value.upper()} WRIST ({_VIEW_WORDS[row.view]})",
        f"Clinical information: {wording.pick(_INDICATIONS)}",
    ]
    for region in Region:
        kinds = wording.types_at(region) or [wording.pick(("no fracture", "intact"))]
        lines.append(f"{region.words.capitalize()}: {_sentence(_listed(kinds))}")
    lines += [_sentence(words) for words in wording.elsewhere()]
    return "\n".join([*lines, *wording.others()]) + "\n"


def _prose(row: Row, wording: _Wording) -> str:
    shown = f"The {_VIEW_WORDS[row.view]} view of the {row.laterality.value} wrist"
    phrases = [_article(phrase) for phrase in wording.phrases()]
    sentences = [f"{shown} shows {_listed(phrases)}." if phrases else f"{shown} was obtained."]
    return " ".join([*sentences, wording.closing(), *wording.others()]) + "\n"


def _terse(row: Row, wording: _Wording) -> str:
    side = "L" if row.laterality is Laterality.LEFT else "R"
    lines = [f"{side} wrist {_VIEW_WORDS[row.view]}.", f"Clinical: {wording.pick(_INDICATIONS)}"]
    lines.append("Report:")
    lines += [_sentence(phrase.replace("fracture", "#")) for phrase in wording.phrases()]
    return "\n".join([*lines, wording.closing(), *wording.others()]) + "\n"


def _capitals(row: Row, wording: _Wording) -> str:
    return _sectioned(row, wording).upper()


_STYLES: Mapping[str, Callable[[Row, _Wording], str]] = {
    "sectioned": _sectioned,
    "template": _template,
    "prose": _prose,
    "terse": _terse,
    "capitals": _capitals,
}
STYLES = tuple(_STYLES)
"""Names of the dictation styles."""
