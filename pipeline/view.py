"""Which image is the PA view of a wrist, and by what evidence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydicom import uid
from pydicom.dataset import Dataset

from pipeline.region import View

__all__ = ["Exclusion", "ViewDecision", "decide_view", "exclusion", "is_stated"]


@dataclass(frozen=True)
class Exclusion:
    """Why an image is out of the question whatever it shows.

    ``evidence`` names the kind of statement (``sop_class``, ``image_type``, ``body_part``).
    """

    evidence: str
    reason: str


@dataclass(frozen=True)
class ViewDecision:
    """What one image shows, and whether it is taken in as the PA view of a wrist.

    Parameters
    ----------
    view
        The projection that was decided on.
    accepted
        True for the PA view of a wrist.
    score
        The image model's probability of `view`, 0 where it was not asked.
    evidence
        What won: ``view_code``, ``view_position``, ``words``, ``image``, or that of an exclusion.
    flags
        ``ap_label`` (a wrist's PA is often labelled AP), ``body_part_unstated``,
        ``image_disagrees`` (the model is sure of PA where the labels say otherwise).
    reason
        In words; names no value of the object beyond the view.
    """

    view: View
    accepted: bool
    score: float
    evidence: str
    flags: tuple[str, ...]
    reason: str


def decide_view(
    header: Dataset | None,
    scores: Mapping[View, float],
    *,
    accept_at: float = 0.5,
    contradict_at: float = 0.9,
) -> ViewDecision:
    """Decide by labels first, and always by the image too.

    Exclusions come first, then ViewCodeSequence, ViewPosition and words of the series; where these
    are silent the image decides; where they say PA the image may object.

    Parameters
    ----------
    header
        The vetted header; None for a picture, which is decided by its image alone.
    scores
        Probabilities of the views by the image (`pipeline.view_model`, `pipeline.witness`); empty
        where no model was asked.
    accept_at
        Probability of PA from which an unlabelled image is accepted.
    contradict_at
        Probability of another view from which an image labelled PA is rejected.
    """
    header = Dataset() if header is None else header
    excluded = exclusion(header) if header else None
    if excluded is not None:
        score = float(scores.get(View.OTHER, 0.0))
        return ViewDecision(View.OTHER, False, score, excluded.evidence, (), excluded.reason)
    label = _label(header)
    if label is None:
        return _by_image(header, scores, accept_at)
    return _by_label(header, label, scores, contradict_at)


def is_stated(header: Dataset | None) -> bool:
    """Whether labels alone tell what the image is: excluded, or of a view that they name."""
    if not header:
        return False
    return exclusion(header) is not None or _label(header) is not None


def exclusion(header: Dataset) -> Exclusion | None:
    r"""Return why an image is never accepted, or None where it may be a PA wrist.

    Needs no pixels: CR and DX only, no localizer, nothing derived for another purpose, wrist,
    forearm or hand (PS3.3 C.8.11, C.7.6.1.1.2; FOR PRESENTATION images are DERIVED\PRIMARY by
    right, so DERIVED alone excludes nothing).
    """
    if header.get("SOPClassUID") not in _SOP_CLASSES:
        return Exclusion("sop_class", "it is neither a CR nor a DX image")
    kinds = [str(kind).upper() for kind in _values(header.get("ImageType"))]
    if "LOCALIZER" in kinds:
        return Exclusion("image_type", "it is a localizer")
    if len(kinds) > 1 and kinds[1] == "SECONDARY":
        return Exclusion("image_type", "it is derived from another image")
    if _wrist(header) is False:
        return Exclusion("body_part", "it is labelled as another part of the body")
    return None


_SOP_CLASSES = frozenset(
    {
        uid.ComputedRadiographyImageStorage,
        uid.DigitalXRayImageStorageForPresentation,
        uid.DigitalXRayImageStorageForProcessing,
    }
)


def _by_image(header: Dataset, scores: Mapping[View, float], accept_at: float) -> ViewDecision:
    flags = _flags(header)
    if not scores:
        reason = "no label names the view and no image model was asked"
        return ViewDecision(View.OTHER, False, 0.0, "image", flags, reason)
    view = max(scores, key=lambda name: scores[name])
    score = float(scores[view])
    if view is not View.PA:
        reason = f"the image looks {_words(view)}"
        return ViewDecision(view, False, score, "image", flags, reason)
    if score < accept_at:
        reason = "no label names the view and the image model is not sure"
        return ViewDecision(view, False, score, "image", flags, reason)
    return ViewDecision(view, True, score, "image", flags, "the image looks like a PA wrist")


def _by_label(
    header: Dataset, label: _Label, scores: Mapping[View, float], contradict_at: float
) -> ViewDecision:
    flags = (("ap_label",) if label.says_ap else ()) + _flags(header)
    pa = float(scores.get(View.PA, 0.0))
    if label.view is not View.PA:
        flags += ("image_disagrees",) if pa >= contradict_at else ()
        score = float(scores.get(label.view, 0.0))
        reason = f"it is labelled {_words(label.view)}"
        return ViewDecision(label.view, False, score, label.evidence, flags, reason)
    against = max(scores, key=lambda name: scores[name]) if scores else View.PA
    if against is not View.PA and scores[against] >= contradict_at:
        score = float(scores[against])
        reason = f"it is labelled PA, but the image looks {_words(against)}"
        return ViewDecision(against, False, score, "image", flags, reason)
    return ViewDecision(View.PA, True, pa, label.evidence, flags, "it is labelled PA")


def _words(view: View) -> str:
    return "like no wrist" if view is View.OTHER else view.value


def _flags(header: Dataset) -> tuple[str, ...]:
    return ("body_part_unstated",) if header and _wrist(header) is None else ()


@dataclass(frozen=True)
class _Label:
    view: View
    evidence: str
    says_ap: bool = False


def _label(header: Dataset) -> _Label | None:
    """Return what the labels say; a label that is not understood counts as silent."""
    for item in header.get("ViewCodeSequence") or ():
        code = _code(item)
        if code in _AP_CODES:
            return _Label(View.PA, "view_code", says_ap=True)
        if code in _VIEW_CODES:
            return _Label(_VIEW_CODES[code], "view_code")
    position = str(header.get("ViewPosition") or "").strip().upper()
    if position == "AP":
        return _Label(View.PA, "view_position", says_ap=True)
    if position in _POSITIONS:
        return _Label(_POSITIONS[position], "view_position")
    for name in ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription"):
        found = _label_in(str(header.get(name) or ""))
        if found is not None:
            return found
    return None


def _label_in(text: str) -> _Label | None:
    """Read a description that names one view; one that names several says nothing."""
    words = _split(text)
    named = {view for view, known in _VIEW_WORDS.items() if words & known}
    says_ap = bool(words & _AP_WORDS)
    if says_ap:
        named.add(View.PA)
    return _Label(named.pop(), "words", says_ap) if len(named) == 1 else None


def _split(text: str) -> frozenset[str]:
    joined = re.sub(r"\b([a-z])\.\s?([a-z])\b\.?", r"\1\2", text.lower())  # p.a. and d. p.
    return frozenset(re.findall(r"[a-zà-ÿ]+", joined))


def _code(item: Dataset) -> tuple[str, str]:
    scheme = str(item.get("CodingSchemeDesignator") or "").replace("SNM3", "SRT")
    return scheme, str(item.get("CodeValue") or "")


# DICOM CID 4010 (DX View), with the SNOMED RT codes that older modalities send
_AP_CODES = frozenset({("SCT", "399348003"), ("SRT", "R-10206")})
_VIEW_CODES = {
    ("SCT", "272479007"): View.PA,
    ("SRT", "R-40888"): View.PA,
    ("SRT", "R-10214"): View.PA,
    **dict.fromkeys(
        [
            *(("SCT", code) for code in ("399067008", "399173006", "399198007", "399352003")),
            *(("SCT", code) for code in ("399260004", "30730003")),
            *(("SRT", code) for code in ("R-102CD", "R-10236", "R-10232", "R-10228", "R-10224")),
        ],
        View.LATERAL,
    ),
    **dict.fromkeys(
        [
            *(("SCT", code) for code in ("399182000", "399184004", "399236003", "399059000")),
            *(("SCT", code) for code in ("399312000", "260427002", "260426006", "399099002")),
            *(("SCT", code) for code in ("399368009", "399135007", "399006002", "399356000")),
            *(("SCT", code) for code in ("399038007", "399160007")),
        ],
        View.OBLIQUE,
    ),
}
_POSITIONS = {
    **dict.fromkeys(("PA", "DP"), View.PA),
    **dict.fromkeys(("LL", "RL", "LAT", "LATERAL", "ML", "LM", "LLAT", "RLAT"), View.LATERAL),
    **dict.fromkeys(
        ("LLO", "RLO", "OBL", "OBLIQUE", "RPO", "LPO", "RAO", "LAO", "MLO", "LMO"), View.OBLIQUE
    ),
}
_AP_WORDS = frozenset({"ap", "anteroposterior"})
_VIEW_WORDS = {
    View.PA: frozenset(
        {"pa", "dp", "dorsopalmar", "dorsovolar", "posteroanterior", "dorsopalmarer"}
    ),
    View.LATERAL: frozenset({"lat", "lateral", "laterale", "seitlich", "seitl", "profil", "ll"}),
    View.OBLIQUE: frozenset(
        {"obl", "oblique", "schräg", "schraeg", "oblik", "scaphoid", "kahnbein"}
    ),
}


def _wrist(header: Dataset) -> bool | None:
    """Whether the labels allow a wrist; None where they say nothing."""
    for item in header.get("AnatomicRegionSequence") or ():
        scheme, value = _code(item)
        if scheme in _REGIONS:
            return value in _REGIONS[scheme]
    part = re.sub(r"[^A-Z]", "", str(header.get("BodyPartExamined") or "").upper())
    if part:
        return part in _BODY_PARTS or "WRIST" in part
    names = ("SeriesDescription", "ProtocolName", "StudyDescription")
    words = frozenset().union(*(_split(str(header.get(name) or "")) for name in names))
    if words & _WRIST_WORDS:
        return True
    return False if words & _OTHER_WORDS else None


# wrist, forearm, hand, radius, ulna, both, their distal ends, ulnar styloid, upper limb, limb
_REGIONS = {
    "SCT": frozenset(
        [
            "74670003",
            "8205005",
            "14975008",
            "85562004",
            "62413002",
            "23416004",
            "110535000",
            "75129005",
            "91238003",
            "91361004",
            "53120007",
            "66019005",
        ]
    ),
    "SRT": frozenset(
        [
            "T-15460",
            "T-D8600",
            "T-D8500",
            "T-D8700",
            "T-12420",
            "T-12430",
            "T-12403",
            "T-1242B",
            "T-1243B",
            "T-D8000",
            "T-D0300",
        ]
    ),
}
_BODY_PARTS = frozenset(
    [
        "WRIST",
        "FOREARM",
        "HAND",
        "RADIUS",
        "ULNA",
        "RADIUSULNA",
        "EXTREMITY",
        "UPPERLIMB",
        "UPPEREXTREMITY",
        "UPEXM",
        "ARM",
        "HANDGELENK",
        "UNTERARM",
        "POIGNET",
    ]
)
_WRIST_WORDS = frozenset(
    [
        "wrist",
        "wrists",
        "handgelenk",
        "handgelenke",
        "handgelenks",
        "poignet",
        "hand",
        "forearm",
        "unterarm",
        "radius",
        "ulna",
        "carpus",
        "carpal",
    ]
)
_OTHER_WORDS = frozenset(
    [
        "chest",
        "thorax",
        "abdomen",
        "pelvis",
        "becken",
        "hip",
        "hüfte",
        "spine",
        "wirbelsäule",
        "cspine",
        "lspine",
        "skull",
        "schädel",
        "shoulder",
        "schulter",
        "clavicle",
        "humerus",
        "oberarm",
        "elbow",
        "ellbogen",
        "femur",
        "knee",
        "knie",
        "tibia",
        "fibula",
        "ankle",
        "sprunggelenk",
        "foot",
        "fuss",
        "fuß",
        "toe",
        "finger",
        "thumb",
        "daumen",
    ]
)


def _values(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str) else list(value)
