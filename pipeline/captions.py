"""Findings as sentences, by the templates of the paper's Appendix H."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.exam import RegionFindings
from pipeline.region import GLOBAL, Laterality, Region, View

__all__ = ["captions", "global_caption", "region_caption"]

_TYPE_WORDS: dict[str | None, str] = {
    **{
        f"salter_harris_{number}": f"Salter-Harris type {roman} fracture"
        for number, roman in enumerate(("I", "II", "III", "IV", "V"), start=1)
    },
    "salter_harris_unspecified": "Salter-Harris fracture",
    "plastic_bowing": "plastic bowing deformity",
    "unspecified": "fracture",
    None: "fracture",
}
_OTHER_WORDS = {
    "cast_or_splint": "cast or splint",
    "hardware": "orthopaedic hardware",
    "soft_tissue_swelling": "soft tissue swelling",
    "scaphoid_fracture": "scaphoid fracture",
    "other_fracture": "fracture of another bone",
    "osteopenia": "osteopenia",
    "dislocation": "dislocation",
    "foreign_body": "foreign body",
    "bone_lesion": "bone lesion",
}
_VIEW_WORDS = {View.PA: "PA view", View.LATERAL: "lateral view", View.OBLIQUE: "oblique view"}

NO_FRACTURE = "no fracture"
"""Said of a bone whose report denies a fracture (the paper's own words for a normal exam)."""

NOT_DESCRIBED = "no described fracture"
"""Said of a bone that the report does not mention: weaker than a denial, and told apart from it."""


def captions(
    laterality: Laterality,
    view: View,
    findings: Mapping[Region, RegionFindings],
    other: Sequence[str] = (),
) -> dict[str, str]:
    """Return the captions of one exam: ``global`` and one for every region."""
    sentences = {GLOBAL: global_caption(laterality, view, findings, other)}
    for region in Region:
        sentences[region.value] = region_caption(region, findings.get(region, RegionFindings()))
    return sentences


def global_caption(
    laterality: Laterality,
    view: View,
    findings: Mapping[Region, RegionFindings],
    other: Sequence[str] = (),
) -> str:
    """Return the caption of the whole image (WristMIR, Appendix H.1).

    ``[Side] wrist X-ray ([View] view) showing [fracture details]. [Additional findings].``
    Bones come in the order of `Region`, additional findings in that of `pipeline.findings.Other`,
    so that the same findings give the same caption whatever their order. A side or view that is
    not known is left out.
    """
    side = "" if laterality is Laterality.UNKNOWN else laterality.value
    shown = f" ({_VIEW_WORDS[view]})" if view in _VIEW_WORDS else ""
    broken = [r for r in Region if r in findings and _is_fractured(findings[r])]
    if broken:
        details = "; ".join(_details(region, findings[region]) for region in broken)
    elif any(f.fracture == "absent" for f in findings.values()):
        details = NO_FRACTURE
    else:
        details = NOT_DESCRIBED
    sentence = _sentence(f"{side} wrist X-ray{shown} showing {details}".strip())
    additional = [words for name, words in _OTHER_WORDS.items() if name in other]
    return f"{sentence} {_sentence(', '.join(additional))}" if additional else sentence


def region_caption(region: Region, findings: RegionFindings) -> str:
    """Return the caption of one bone's crop (WristMIR, Appendix H.2).

    ``[Region] region showing [fracture details].``
    """
    if _is_fractured(findings):
        details = _details(region, findings)
    else:
        details = NO_FRACTURE if findings.fracture == "absent" else NOT_DESCRIBED
    return _sentence(f"{region.words} region showing {details}")


def _is_fractured(findings: RegionFindings) -> bool:
    return findings.fracture in ("present", "possible")


def _details(region: Region, findings: RegionFindings) -> str:
    kind = _TYPE_WORDS.get(findings.type) or f"{findings.type} fracture"
    doubt = "possible " if findings.fracture == "possible" else ""
    details = f"{doubt}{kind} in the {region.words}"
    if findings.displacement == "none":
        details += ", without displacement"
    elif findings.displacement:
        details += f", with displacement ({findings.displacement})"
    if findings.angulation_deg is not None:
        details += f", with angulation ({findings.angulation_deg:g} degrees)"
    if findings.healing:
        details += f", currently in {findings.healing} stage"
    return details


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."
