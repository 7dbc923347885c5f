"""Dictated reports whose words agree with what is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.exam import RegionFindings
from pipeline.region import Region
from training.phantom.case import Case
from training.phantom.slips import SLIPS, slipped

__all__ = ["STYLES", "Dictation", "dictate"]


@dataclass(frozen=True)
class Dictation:
    """A report and what it says.

    ``findings`` are those of the case, less what the words leave out: a bone of which the report
    is silent is ``not_mentioned``, a stage that is not stated is None.
    """

    text: str
    findings: Mapping[Region, RegionFindings]
    style: str


def dictate(case: Case, rng: np.random.Generator, style: str | None = None) -> Dictation:
    """Dictate a report about a case, in one of `STYLES` (drawn where None)."""
    slip = style if style in SLIPS else None
    spoken = str(rng.choice(list(_STYLES))) if style is None or slip else style
    pen = _Pen(case, rng)
    text = _STYLES[spoken](pen)
    if style is None or slip:
        text, slip = slipped(text, slip)
    return Dictation(text, dict(pen.said), slip or spoken)


class _Pen:
    """Finds words for one case, and remembers what has been said."""

    def __init__(self, case: Case, rng: np.random.Generator) -> None:
        self.case = case
        self.rng = rng
        self.side = case.laterality.value
        self.said = dict.fromkeys(Region, RegionFindings())
        self.broken = [r for r in Region if case.findings[r].fracture in ("present", "possible")]
        self.intact = [r for r in Region if r not in self.broken]
        self.follow_up = any(case.findings[r].healing in ("healing", "healed") for r in self.broken)

    def one_of(self, *phrases: str) -> str:
        """Choose a phrase."""
        return phrases[int(self.rng.integers(len(phrases)))]

    def fracture(self, region: Region) -> str:
        """Return a noun phrase for the fracture of a bone, with every attribute it has."""
        finding = self.case.findings[region]
        if finding.healing == "acute" and self.rng.random() < 0.5:
            finding = replace(finding, healing=None)
        self.said[region] = finding
        if finding.fracture == "possible":
            return self._doubt(region, finding)
        words = [_DISPLACED[finding.displacement][int(self.rng.integers(2))]]
        words += [self._stage(finding), _KIND[finding.type or "unspecified"]]
        phrase = " ".join(w for w in words if w)
        return f"{phrase} of the {self.place(region)}{self._tail(finding)}"

    def _stage(self, finding: RegionFindings) -> str:
        return {
            "acute": "acute",
            "healing": self.one_of("healing", "healing", "subacute healing"),
            "healed": self.one_of("healed", "old healed"),
        }.get(finding.healing or "", "")

    def _doubt(self, region: Region, finding: RegionFindings) -> str:
        kind = _KIND[finding.type or "unspecified"]
        stage = f"{finding.healing} " if finding.healing else ""
        return self.one_of("possible ", "questionable ") + f"{stage}{kind} of the {region.words}"

    def place(self, region: Region) -> str:
        """Return the bone's name, varied."""
        return {
            Region.DISTAL_RADIUS: self.one_of("distal radius", f"{self.side} distal radius"),
            Region.DISTAL_ULNA: "distal ulna",
            Region.ULNAR_STYLOID: self.one_of("ulnar styloid", "ulnar styloid process"),
        }[region]

    def _tail(self, finding: RegionFindings) -> str:
        tail = ""
        if finding.angulation_deg is not None:
            degrees = f"{finding.angulation_deg:.0f}"
            tail += self.one_of(
                f" with {degrees} degrees of dorsal angulation",
                f" with dorsal angulation of {degrees} degrees",
                f", angulated by about {degrees}°",
            )
        if finding.healing == "healing" and self.rng.random() < 0.6:
            tail += self.one_of(
                " with callus formation", " with bridging callus", " and periosteal reaction"
            )
        return tail

    def all_intact(self) -> str:
        """Deny every fracture."""
        for region in self.intact:
            self.said[region] = RegionFindings("absent")
        return self.one_of(
            "No fracture or dislocation.",
            "No evidence of fracture.",
            "No fracture is identified.",
            "There is no fracture or malalignment.",
        )

    def rest_intact(self) -> str:
        """Deny a fracture of every bone that is not broken."""
        if not self.intact:
            return ""
        for region in self.intact:
            self.said[region] = RegionFindings("absent")
        if self.broken and self.rng.random() < 0.4:
            return self.one_of("No other fracture.", "No additional fracture is seen.")
        return " ".join(self.intact_bone(region) for region in self.intact)

    def intact_bone(self, region: Region) -> str:
        """Deny a fracture of one bone."""
        self.said[region] = RegionFindings("absent")
        bone = region.words
        return self.one_of(
            f"The {bone} is intact.",
            f"No fracture of the {bone}.",
            f"The {bone} is unremarkable, without fracture.",
        )

    def additional(self) -> list[str]:
        """Return a sentence for each further finding, and sometimes for its absence."""
        lines = []
        support = self.case.support
        if support.casing is not None:
            kind = {"plaster": "plaster cast", "synthetic": "fibreglass cast"}
            name = kind.get(support.casing, "splint")
            lines.append(
                self.one_of(
                    f"Overlying {name} obscures fine bony detail.",
                    f"Images obtained in a {name}.",
                    f"A {name} is in place.",
                )
            )
        if support.metal is not None:
            lines.append(_METAL[support.metal])
        if "soft_tissue_swelling" in self.case.other:
            lines.append(
                self.one_of(
                    "Soft tissue swelling about the wrist.", "There is soft tissue swelling."
                )
            )
        elif self.rng.random() < 0.25:
            lines.append("No soft tissue swelling.")
        if "osteopenia" in self.case.other:
            lines.append("Diffuse osteopenia.")
        return lines

    def indication(self) -> str:
        """Return why the child came."""
        years = int(self.case.age_years)
        age = f"{years}-year-old" if years else f"{int(self.case.age_years * 12)}-month-old"
        child = "girl" if self.case.sex == "F" else "boy"
        if self.follow_up:
            return self.one_of("Follow-up of fracture.", f"{age} {child}, follow-up after injury.")
        return self.one_of(
            "Fall on outstretched hand, evaluate for fracture.",
            f"{age} {child} with wrist pain after a fall.",
            "Trauma. Rule out fracture.",
            "Pain and swelling after a sports injury.",
        )

    def sentences(self) -> list[str]:
        """Return one sentence for each fracture."""
        return [_sentence(self.fracture(region), self.rng) for region in self.broken]


def _structured(pen: _Pen) -> str:
    body = pen.sentences() + ([pen.rest_intact()] if pen.broken else [pen.all_intact()])
    body += pen.additional()
    return (
        f"EXAM: {pen.side.capitalize()} wrist radiographs, PA and lateral views.\n"
        f"INDICATION: {pen.indication()}\n"
        f"FINDINGS: {_joined(body)}\n"
        f"IMPRESSION: {_impression(pen)}"
    )


def _impression(pen: _Pen) -> str:
    """Repeat the fractures briefly, contradicting nothing that was said above."""
    if not pen.broken:
        return pen.one_of("Normal wrist for age. No fracture.", "No fracture.")
    brief = []
    for region in pen.broken:
        finding = pen.case.findings[region]
        stage = {"healing": "healing ", "healed": "healed "}.get(finding.healing or "", "")
        doubt = "Possible " if finding.fracture == "possible" else ""
        kind = _KIND[finding.type or "unspecified"]
        phrase = f"{doubt}{stage}{kind} of the {region.words}."
        brief.append(phrase[0].upper() + phrase[1:])
    return _joined(brief)


def _terse(pen: _Pen) -> str:
    """Fractures only: of unbroken bones nothing is said."""
    if not pen.broken:
        return f"{pen.side.capitalize()} wrist: {pen.all_intact()}"
    phrases = [pen.fracture(region) for region in pen.broken]
    phrases = [p[0].upper() + p[1:] + "." for p in phrases]
    return _joined([f"{pen.side.capitalize()} wrist.", *phrases, *pen.additional()])


def _prose(pen: _Pen) -> str:
    lines = [
        pen.one_of(
            f"Two views of the {pen.side} wrist were obtained.",
            f"PA and lateral radiographs of the {pen.side} wrist are submitted.",
        )
    ]
    lines.append(
        "The patient is skeletally immature."
        if pen.case.growth.physis_open > 0.3 and pen.rng.random() < 0.5
        else "Bone maturation is in keeping with age."
    )
    lines += pen.sentences() or [pen.all_intact()]
    if pen.broken:
        lines.append(pen.rest_intact())
    lines.append(
        pen.one_of("The carpal bones are normally aligned.", "Carpal alignment is maintained.", "")
    )
    return _joined([*lines, *pen.additional()])


def _itemised(pen: _Pen) -> str:
    lines = [f"WRIST, {pen.side.upper()}", f"Clinical information: {pen.indication()}"]
    for region in Region:
        if region in pen.broken:
            phrase = pen.fracture(region)
            lines.append(f"{region.words.capitalize()}: {phrase[0].upper()}{phrase[1:]}.")
        else:
            pen.said[region] = RegionFindings("absent")
            words = pen.one_of("No fracture.", "Intact.", "Normal, no fracture.")
            lines.append(f"{region.words.capitalize()}: {words}")
    carpus = pen.one_of("No fracture.", "Normal alignment.")
    return "\n".join([*lines, f"Carpal bones: {carpus}", *pen.additional()])


def _follow_up(pen: _Pen) -> str:
    """Compare with an earlier study that nobody sees."""
    if not pen.follow_up:
        return _prose(pen)
    lines = [
        f"INDICATION: {pen.indication()}",
        "COMPARISON: Radiographs three weeks earlier.",
    ]
    body = pen.sentences()
    body.append(
        pen.one_of("Alignment is unchanged.", "Position is maintained since the prior.", "")
    )
    if pen.rng.random() < 0.6:
        body.append(pen.rest_intact())
    body += pen.additional()
    lines.append(f"FINDINGS: {pen.side.capitalize()} wrist. {_joined(body)}")
    return "\n".join(lines)


def _hurried(pen: _Pen) -> str:
    """Abbreviations, no full sentences."""
    side = pen.side[0].upper()
    if not pen.broken:
        return f"{side} wrist 2 views. {pen.all_intact()} {_joined(pen.additional())}".strip()
    phrases = [pen.fracture(region).replace("fracture", "fx") for region in pen.broken]
    phrases = [p.replace("Salter-Harris type", "SH") + "." for p in phrases]
    text = f"{side} wrist 2 views. " + _joined([p[0].upper() + p[1:] for p in phrases])
    rest = pen.rest_intact() if pen.rng.random() < 0.5 else ""
    return _joined([text, rest, *pen.additional()])


_STYLES: Mapping[str, Callable[[_Pen], str]] = {
    "structured": _structured,
    "terse": _terse,
    "prose": _prose,
    "itemised": _itemised,
    "follow_up": _follow_up,
    "hurried": _hurried,
}

STYLES: Sequence[str] = (*_STYLES, *SLIPS)
"""Names of the dictation styles; those of `SLIPS` change the text of another."""

_DISPLACED: Mapping[str | None, tuple[str, str]] = {
    None: ("", ""),
    "none": ("nondisplaced", "undisplaced"),
    "mild": ("mildly displaced", "minimally displaced"),
    "moderate": ("moderately displaced", "moderately displaced"),
    "severe": ("severely displaced", "markedly displaced"),
}

_KIND: Mapping[str, str] = {
    "salter_harris_1": "Salter-Harris type I fracture",
    "salter_harris_2": "Salter-Harris type II fracture",
    "salter_harris_3": "Salter-Harris type III fracture",
    "salter_harris_4": "Salter-Harris type IV fracture",
    "buckle": "buckle fracture",
    "transverse": "transverse fracture",
    "greenstick": "greenstick fracture",
    "oblique": "oblique fracture",
    "comminuted": "comminuted fracture",
    "avulsion": "avulsion fracture",
    "plastic_bowing": "plastic bowing fracture",
    "unspecified": "fracture",
}

_METAL: Mapping[str, str] = {
    "wires": "Kirschner wire fixation of the distal radius.",
    "plate": "Plate and screw fixation of the distal radius.",
    "nail": "An intramedullary nail lies in the radius.",
}


def _sentence(phrase: str, rng: np.random.Generator) -> str:
    article = "an" if phrase[0] in "aeiou" else "a"
    forms = (
        f"There is {article} {phrase}.",
        f"{phrase[0].upper()}{phrase[1:]}.",
        f"{article.capitalize()} {phrase} is seen.",
    )
    return forms[int(rng.integers(len(forms)))]


def _joined(lines: Sequence[str]) -> str:
    return " ".join(line for line in lines if line)
