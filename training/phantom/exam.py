"""One synthetic radiograph with everything that is true of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.exam import RegionFindings
from pipeline.region import Laterality, Region, View
from training.phantom.anatomy import skeleton
from training.phantom.boxes import Box, boxes
from training.phantom.case import Case
from training.phantom.elsewhere import elsewhere
from training.phantom.exposure import Exposure
from training.phantom.fractures import injured
from training.phantom.frame import Frame
from training.phantom.marker import side_marker
from training.phantom.prevalence import TABLE3, Prevalence
from training.phantom.rendering import Scene, render
from training.phantom.reports import dictate
from training.phantom.supports import shells, wires

__all__ = ["PhantomExam", "phantom"]


@dataclass(frozen=True, eq=False)
class PhantomExam:
    """A synthetic radiograph and its truth.

    Parameters
    ----------
    pixels
        uint16, shape (rows, columns), 0 to 2**bits - 1, bone bright.
    bits
        Bits stored, 10 to 15.
    view, laterality, age_years, sex, patient, seed
        What and who; ``patient`` joins several visits of one invented child.
    spacing_mm
        Size of a pixel, row and column.
    boxes
        ``wrist`` and the bones that are in the image: ``(x0, y0, x1, y1)`` in pixels; empty
        where the image shows no wrist.
    findings
        Per bone what the report says, which is also what the pixels show; ``not_mentioned``
        only for an unbroken bone of which the report is silent.
    other
        Further findings as codes of `pipeline.findings`.
    report
        The dictated text; empty where the image shows no wrist.
    body_part
        Defined term of BodyPartExamined; ``WRIST`` but for the view ``other``.
    """

    pixels: NDArray[np.uint16]
    bits: int
    view: View
    laterality: Laterality
    age_years: float
    sex: str
    spacing_mm: tuple[float, float]
    boxes: Mapping[str, Box]
    findings: Mapping[Region, RegionFindings]
    other: tuple[str, ...]
    report: str
    patient: int
    seed: int
    body_part: str = "WRIST"


def phantom(
    seed: int,
    *,
    view: View | None = None,
    patient: int | None = None,
    laterality: Laterality | None = None,
    age_years: float | None = None,
    sex: str | None = None,
    findings: Mapping[Region, RegionFindings] | None = None,
    other: tuple[str, ...] | None = None,
    size: int = 800,
    prevalence: Prevalence = TABLE3,
    injured_as: int | None = None,
) -> PhantomExam:
    """Draw one radiograph: the same arguments always give the same one.

    (Between builds of OpenCV the pixels may differ by rounding.)

    Case, report and findings depend on ``seed`` alone, so that ``phantom(7, view=View.PA)`` and
    ``phantom(7, view=View.LATERAL)`` are two views of one study.

    Parameters
    ----------
    seed
        Not negative.
    view
        Drawn where None: mostly PA.
    patient
        By default a patient of this seed's own.
    laterality, age_years, sex, findings, other
        Kept where given, else drawn by ``prevalence``.
    size
        Longer side in pixels.
    prevalence
        How often what is broken; by default as in the paper's Table 3.
    injured_as
        A number that several looks at one wrist share: its fractures lie where they lay.
    """
    case = Case.drawn(
        seed,
        seed if patient is None else patient,
        age_years=age_years,
        sex=sex,
        laterality=laterality,
        findings=findings,
        other=other,
        prevalence=prevalence,
        injured_as=injured_as,
    )
    rng = np.random.default_rng([seed, 13])
    shown = _view(rng) if view is None else view
    rng = np.random.default_rng([seed, 14, list(View).index(shown)])
    shot = _elsewhere(case, size, rng) if shown is View.OTHER else _wrist(case, shown, size, rng)
    bits = int(rng.choice([10, 12, 12, 14, 15]))
    spacing = round(shot.frame.spacing_mm, 4)
    dictation = dictate(case, np.random.default_rng([seed, 15]))
    wrist = shown is not View.OTHER
    return PhantomExam(
        pixels=np.round(shot.grey * ((1 << bits) - 1)).astype(np.uint16),
        bits=bits,
        view=shown,
        laterality=case.laterality,
        age_years=case.age_years,
        sex=case.sex,
        spacing_mm=(spacing, spacing),
        boxes=shot.boxes,
        findings=dictation.findings if wrist else {},
        other=case.other if wrist else (),
        report=dictation.text if wrist else "",
        patient=case.patient,
        seed=seed,
        body_part=shot.body_part,
    )


@dataclass(frozen=True, eq=False)
class _Shot:
    grey: NDArray[np.float32]
    frame: Frame
    boxes: Mapping[str, Box]
    body_part: str


def _view(rng: np.random.Generator) -> View:
    views = [View.PA, View.LATERAL, View.OBLIQUE, View.OTHER]
    return views[int(rng.choice(4, p=[0.55, 0.25, 0.12, 0.08]))]


_TURN = {View.PA: (0.0, 4.0), View.OBLIQUE: (47.0, 7.0), View.LATERAL: (87.0, 8.0)}


def _wrist(case: Case, view: View, size: int, rng: np.random.Generator) -> _Shot:
    middle, spread = _TURN[view]
    wrist = skeleton(
        case.growth, case.build, float(rng.normal(middle, spread)), float(rng.normal(0, 6))
    )
    wrist = injured(wrist, case.injuries)
    frame = _frame(wrist.unit, view, case.laterality, size, rng)
    scene = Scene(
        wrist.bones,
        wrist.skin,
        wrist.skin_depth,
        clouds=wrist.clouds,
        unit=wrist.unit,
        wires=wires(wrist, case.support, rng),
        shells=shells(wrist, case.support, rng),
    )
    grey = render(scene, frame, Exposure.drawn(rng), rng)
    side_marker(grey, frame, case.laterality, rng)
    levels = {i.region: i.level * wrist.unit for i in case.injuries}
    return _Shot(grey, frame, boxes(wrist, frame, levels), "WRIST")


def _elsewhere(case: Case, size: int, rng: np.random.Generator) -> _Shot:
    shown = elsewhere(case.growth.metaphysis_mm, rng)
    wide, high = shown.window[2] - shown.window[0], shown.window[3] - shown.window[1]
    inset = rng.uniform(0.0, 0.05, 4) * (rng.random() < 0.7)
    frame = Frame.around(
        shown.window,
        size,
        float(np.clip(wide / high, 0.5, 1.2)),
        float(rng.normal(0, 8)),
        case.laterality is Laterality.RIGHT,
        (float(inset[0]), float(inset[1]), float(inset[2]), float(inset[3])),
        float(rng.normal(0, 2)),
    )
    grey = render(shown.scene, frame, Exposure.drawn(rng), rng)
    side_marker(grey, frame, case.laterality, rng)
    return _Shot(grey, frame, {}, shown.body_part)


def _frame(
    unit: float, view: View, laterality: Laterality, size: int, rng: np.random.Generator
) -> Frame:
    """Lay the wrist on the detector: how much of it is seen, and how crooked."""
    half = 1.6 if view is not View.LATERAL else 1.15
    x0 = -0.2 - half * rng.uniform(0.75, 1.4)
    x1 = -0.1 + half * rng.uniform(0.75, 1.4)
    y0, y1 = -rng.uniform(1.4, 3.3), rng.triangular(1.1, 1.9, 5.2)
    degrees = rng.normal(0, 5.5) if rng.random() < 0.85 else rng.uniform(-40, 40)
    inset = rng.uniform(0.0, 0.07, 4) * (rng.random() < 0.8)
    return Frame.around(
        (x0 * unit, y0 * unit, x1 * unit, y1 * unit),
        size,
        float(np.clip((x1 - x0) / (y1 - y0) * rng.uniform(0.9, 1.15), 0.42, 1.15)),
        float(degrees),
        laterality is Laterality.RIGHT,
        (float(inset[0]), float(inset[1]), float(inset[2]), float(inset[3])),
        float(rng.normal(0, 2.5) if rng.random() < 0.75 else rng.normal(degrees, 2.5)),
    )
