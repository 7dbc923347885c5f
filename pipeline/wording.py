"""How results say in words what an answer holds in codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pipeline.dictionary import ENGLISH, Dictionary
from pipeline.exam import SIDE_FROM_IMAGE, Exam, RegionFindings
from pipeline.region import Laterality, Region
from pipeline.remark import told
from pipeline.request import Answer, Match, Request

__all__ = [
    "BundleWords",
    "age_words",
    "bone_words",
    "case_labels",
    "exam_words",
    "finding_words",
    "findings_words",
    "in_language",
    "index_words",
    "match_words",
    "other_words",
    "side_words",
    "told_regions",
    "use_words",
    "wanted_words",
]


@dataclass(frozen=True)
class BundleWords:
    """What a result says of the models behind it (`pipeline.bundle.Manifest`)."""

    id: str
    intended_use: str
    demonstration: bool


def in_language(answer: Answer, words: Dictionary) -> Answer:
    """Return the answer with its warnings, fallbacks and reasons in a language."""
    regions = tuple(
        replace(
            part,
            fallbacks=tuple(told(remark, words) for remark in part.fallbacks),
            matches=tuple(_told_match(match, words) for match in part.matches),
            further=tuple(_told_match(match, words) for match in part.further),
        )
        for part in answer.regions
    )
    warnings = tuple(told(warning, words) for warning in answer.warnings)
    return replace(answer, regions=regions, warnings=warnings)


def _told_match(match: Match, words: Dictionary) -> Match:
    return replace(match, reasons=tuple(told(reason, words) for reason in match.reasons))


def use_words(bundle: BundleWords, words: Dictionary = ENGLISH) -> str:
    """Return what the models may be used for; a bundle's own sentence stays as it is written."""
    known = bundle.intended_use == ENGLISH.say("report.demonstration_use")
    use = words.say("report.demonstration_use") if known else bundle.intended_use
    return words.say("report.intended_use", use=use)


def case_labels(answer: Answer, words: Dictionary = ENGLISH) -> Mapping[str, str]:
    """Return ``Case 1``, ``Case 2`` … by SOP Instance UID, in order of first mention."""
    return {
        prior.sop_instance_uid: words.say("case", number=number)
        for number, prior in enumerate(answer.priors, 1)
    }


def bone_words(region: Region | None, words: Dictionary = ENGLISH) -> str:
    """Return a bone's name, or ``the wrist as a whole``."""
    return words.say(f"bone.{region.value if region else 'wrist'}")


def exam_words(exam: Exam, words: Dictionary = ENGLISH) -> str:
    """Return side, view and age band, e.g. ``left wrist, PA view, 6-8 years``."""
    view = words.say(f"view.{exam.view.value}")
    return words.say(
        "exam.line", side=side_words(exam, words), view=view, age=age_words(exam, words)
    )


def age_words(exam: Exam, words: Dictionary = ENGLISH) -> str:
    """Return the age band, e.g. ``6-8 years``."""
    if exam.age_years is None:
        return words.say("age.unknown")
    if exam.ages is None:
        return words.say("age.adult")
    low, high = exam.ages
    return words.say("age.band", low=low, high=high)


def side_words(exam: Exam, words: Dictionary = ENGLISH) -> str:
    """Return ``left wrist``, by which evidence where it is weak, or ``wrist of unknown side``."""
    side = words.say(f"side.{exam.laterality.value}")
    doubtful = SIDE_FROM_IMAGE in exam.flags and exam.laterality is not Laterality.UNKNOWN
    return words.say("side.by_bones", side=side) if doubtful else side


def index_words(index: float | None, words: Dictionary = ENGLISH) -> str:
    """Return a similarity index as text, e.g. ``88 of 100``; viewers print unit 1 badly."""
    if index is None:
        return words.say("index.unknown")
    return words.say("index.known", index=f"{index:.0f}")


def match_words(
    region: Region | None, match: Match, label: str, words: Dictionary = ENGLISH
) -> tuple[str, ...]:
    """Return the sentences that tell of a match: which, what its report says, and why it is one.

    Parameters
    ----------
    region
        The bone asked about, or None for the wrist as a whole.
    match
        With its reasons in the language (`in_language`).
    label
        Of the case (`case_labels`).
    """
    exam = exam_words(match.exam, words)
    scores = [words.say("report.wrist_similarity", index=index_words(match.global_index, words))]
    if region is not None:
        index = index_words(match.region_index, words)
        scores.insert(0, words.say("report.bone_similarity", bone=region, index=index))
    sentences = [
        words.say(
            "report.match",
            rank=match.rank,
            case=label,
            scores=", ".join(scores),
            exam=words.capital(words.say("report.mirrored", exam=exam) if match.mirrored else exam),
        ),
        words.say("report.findings", findings=findings_words(match.exam, region, words)),
    ]
    if match.reasons:
        sentences.append(words.say("report.why", reasons="; ".join(match.reasons)))
    return tuple(sentences)


def finding_words(findings: RegionFindings, words: Dictionary = ENGLISH) -> str:
    """Return what a report says of one bone, e.g. ``buckle fracture, acute, mildly displaced``."""
    if findings.fracture == "absent":
        return words.say("finding.absent")
    if findings.fracture not in ("present", "possible"):
        return words.say("finding.not_described")
    kind = words.coded("fracture", findings.type or "unspecified")
    possible = findings.fracture == "possible"
    parts = [words.say("finding.possible", fracture=kind) if possible else kind]
    if findings.healing:
        parts.append(words.coded("healing", findings.healing))
    if findings.displacement:
        parts.append(words.coded("displacement", findings.displacement))
    if findings.angulation_deg is not None:
        parts.append(words.say("finding.angulation", degrees=float(findings.angulation_deg)))
    return ", ".join(parts)


def findings_words(exam: Exam, first: Region | None, words: Dictionary = ENGLISH) -> str:
    """Return what a report says of a wrist, the asked bone first.

    Other bones follow where the report says something of them; ``no report yet`` where none was
    read.
    """
    if not exam.findings_known:
        return words.say("finding.no_report")
    parts = [
        words.say(
            "finding.of_bone",
            bone=region,
            finding=finding_words(exam.findings.get(region, RegionFindings()), words),
        )
        for region in told_regions(exam.findings, first)
    ]
    parts.extend(other_words(exam, words))
    return "; ".join(parts) or words.say("finding.no_bone")


def told_regions(
    findings: Mapping[Region, RegionFindings], first: Region | None
) -> tuple[Region, ...]:
    """Return the bones to speak of: the asked one, then those that the report mentions."""
    rest = (
        region
        for region in Region
        if region is not first
        and findings.get(region, RegionFindings()).fracture != "not_mentioned"
    )
    return (*([first] if first else ()), *rest)


def wanted_words(request: Request, words: Dictionary = ENGLISH) -> str:
    """Return which priors were wanted, e.g. ``same side, age within 3 years``; or nothing."""
    wanted = [words.say("wanted.same_side")] if request.same_side else []
    if request.age_band_years is not None:
        wanted.append(words.say("wanted.age", count=float(request.age_band_years)))
    return ", ".join(wanted)


def other_words(exam: Exam, words: Dictionary = ENGLISH) -> tuple[str, ...]:
    """Return what else a report describes, e.g. ``cast or splint``."""
    return tuple(words.coded("other", name) for name in exam.other)
