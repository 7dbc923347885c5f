"""The tables of an evaluation, laid out as in the paper, the paper's own rows first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from pipeline.region import GLOBAL, Region
from training import paper
from training.bootstrap import Estimate
from training.consistency import CHANCE as ANY_EXAM
from training.consistency import Consistency, Likeness
from training.detection import Detection
from training.evaluation_record import CHANCE, UNTRAINED, EncoderFigures, Evaluation
from training.exam_table import Split
from training.latency import POOL_SIZES, Latency
from training.matching import COMPARED, Matching, Measure
from training.nearest import Way
from training.probing import LinearProbe
from training.ranking import DEPTHS, POOLS, CaptionRanking, Positives

__all__ = ["Kind", "Line", "Sheet", "box_sheet", "sheets"]


class Kind(StrEnum):
    """Whose a line is."""

    PAPER = "paper"
    OURS = "ours"
    BASELINE = "baseline"
    HEADING = "heading"


@dataclass(frozen=True)
class Line:
    """A line of a table; ``strong`` holds the cells that stand out."""

    kind: Kind
    name: str
    cells: tuple[str, ...] = ()
    strong: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Sheet:
    """One table. ``main`` is False for other readings, which a report may fold away."""

    title: str
    note: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    main: bool = True
    key: str = field(default="")


_BONES = tuple(region.words.capitalize() for region in Region)
_WAYS = {
    Way.GLOBAL_ONLY: "single-stage (global only)",
    Way.REGION_ONLY: "region-only",
    Way.TWO_STAGE: "two-stage",
    Way.FUSED: "fused (union, calibrated)",
}
_MEASURES = {
    Measure.BINARY_OF_FRACTURED: "Binary fracture matching",
    Measure.CLASS_OF_FRACTURED: "Fracture classification matching",
    Measure.DIAGNOSIS_F1: "Retrieval-based fracture diagnosis (F1)",
    Measure.BINARY_MAJORITY: "Binary, majority of the ten, all queries",
    Measure.CLASS_MAJORITY: "Classification, majority of the ten, all queries",
    Measure.BINARY_OF_ALL: "Binary, share of the ten, all queries",
    Measure.CLASS_OF_ALL: "Classification, share of the ten, all queries",
}
_MAIN = (Measure.BINARY_OF_FRACTURED, Measure.CLASS_OF_FRACTURED, Measure.DIAGNOSIS_F1)
_PUBLISHED: Mapping[Measure, Mapping[str, tuple[str, ...]]] = {
    Measure.BINARY_OF_FRACTURED: paper.BINARY,
    Measure.CLASS_OF_FRACTURED: paper.CLASS,
    Measure.DIAGNOSIS_F1: paper.DIAGNOSIS,
}
_LIKELY = ("pairs", Positives.OWN)


def sheets(evaluation: Evaluation) -> tuple[Sheet, ...]:
    """Return every table, in the paper's order; other readings stand behind each."""
    return tuple(_sheets(evaluation))


def _sheets(evaluation: Evaluation) -> Iterator[Sheet]:
    ours, *others = evaluation.encoders
    yield _composition(evaluation)
    if ours.captions:
        yield _representation(evaluation)
    if ours.matching:
        yield _stages(evaluation)
        yield _other_measures(evaluation)
    if ours.captions:
        yield _losses(evaluation)
        yield _ranks(evaluation)
        yield _recalls(evaluation)
        yield _other_pools(ours)
    if ours.probes:
        yield _probes(evaluation)
    if ours.matching:
        yield _appendix_f(ours.matching[0])
        yield _differences(ours.matching[0], _MAIN, main=True)
        for matching in ours.matching[1:]:
            yield _other_stored(matching, evaluation)
            yield _differences(matching, _MAIN, main=False)
    yield _seconds(evaluation.latency)
    if evaluation.detection is not None:
        yield box_sheet(evaluation.detection)
    yield _consistency(ours.consistency, [e for e in others if e.name != CHANCE])


def _composition(evaluation: Evaluation) -> Sheet:
    lines = []
    for name, split in evaluation.splits.items():
        sources = ", ".join(f"{source} {count}" for source, count in split.sources.items())
        cells = (split.exams, split.patients, split.with_findings, split.captions)
        lines.append(Line(Kind.HEADING, f"{name} ({sources or 'empty'})"))
        lines.append(Line(Kind.OURS, "exams", (*map(str, cells),)))
        for region in Region:
            counts = split.fractures[region.value].items()
            kinds = ", ".join(f"{kind.replace('_', ' ')} {count}" for kind, count in counts)
            lines.append(Line(Kind.BASELINE, region.words, (kinds,)))
    columns = ("exams", "patients", "with findings", "distinct captions")
    return Sheet("Data set", "", columns, tuple(lines), main=False, key="data")


def _representation(evaluation: Evaluation) -> Sheet:
    """Return Table 1."""
    lines = [*_published(paper.REPRESENTATION)]
    lines += [_representation_line(evaluation, figures) for figures in evaluation.encoders]
    ranking = _ranking(evaluation.encoders[0], *_LIKELY)
    pool = "" if ranking is None else f"{ranking.entries} captions ({ranking.captions} distinct)"
    return Sheet(
        "Table 1. Image-to-text retrieval and linear probing",
        f"Pool: all pairs of the test split, {pool}; an image's own caption is right, identical "
        "ones compete with it: the reading in which the paper's MedCLIP is near chance. Probing: "
        "the whole wrist's vector, any fracture of the three bones, fitted on the training split.",
        _representation_columns(),
        tuple(lines),
        key="table-1",
    )


def _representation_columns() -> tuple[str, ...]:
    return (*(f"R@{k} %" for k in DEPTHS), "AUROC", "AUPRC", "F1")


def _representation_line(evaluation: Evaluation, figures: EncoderFigures) -> Line:
    ranking, probe = _ranking(figures, *_LIKELY), _probe(figures, GLOBAL)
    cells = [_percent(ranking.recall[k]) if ranking else "–" for k in DEPTHS]
    cells += (
        [_share(e) for e in (probe.area_under_roc, probe.average_precision, probe.f1)]
        if probe
        else ["–"] * 3
    )
    return Line(_kind(evaluation, figures), figures.name, tuple(cells))


def _losses(evaluation: Evaluation) -> Sheet:
    """Return Table 4; a bundle trained with the other loss is named with ``--compare``."""
    lines = [*_published(paper.MULTI_POSITIVE)]
    trained = [e for e in evaluation.encoders if e.name not in (UNTRAINED, CHANCE)]
    lines += [_representation_line(evaluation, figures) for figures in trained]
    return Sheet(
        "Table 4. Impact of the multi-positive loss",
        "A row for the bundle and for every bundle compared with it.",
        _representation_columns(),
        tuple(lines),
        main=len(trained) > 1,
        key="table-4",
    )


def _ranks(evaluation: Evaluation) -> Sheet:
    """Return Table 5."""
    return Sheet(
        "Table 5. Expanded retrieval performance",
        "The reading of Table 1; 95 % intervals by patient.",
        ("mAP %", "Mean rank", "Median rank"),
        (
            *_published(paper.RANKS),
            *_by_encoder(
                evaluation,
                lambda r: (
                    _percent(r.mean_average_precision), _rank(r.mean_rank), _rank(r.median_rank),
                ),
            ),
        ),
        key="table-5",
    )  # fmt: skip


def _recalls(evaluation: Evaluation) -> Sheet:
    """Return Table 6."""
    return Sheet(
        "Table 6. Expanded Recall@k",
        "The reading of Table 1; 95 % intervals by patient.",
        tuple(f"k = {k}" for k in DEPTHS),
        (
            *_published(paper.RECALLS),
            *_by_encoder(evaluation, lambda r: tuple(_percent(r.recall[k]) for k in DEPTHS)),
        ),
        key="table-6",
    )


def _by_encoder(
    evaluation: Evaluation, cells: Callable[[CaptionRanking], tuple[str, ...]]
) -> Iterator[Line]:
    for figures in evaluation.encoders:
        ranking = _ranking(figures, *_LIKELY)
        if ranking is not None:
            yield Line(_kind(evaluation, figures), figures.name, cells(ranking))


def _other_pools(ours: EncoderFigures) -> Sheet:
    lines = []
    for pool in POOLS:
        lines.append(Line(Kind.HEADING, f"pool: {pool}"))
        for positives in Positives:
            ranking = _ranking(ours, pool, positives)
            if ranking is None:
                continue
            name = f"{_POSITIVES[positives]} ({ranking.queries} images, {ranking.entries} captions)"
            recalls = [_percent(ranking.recall[k]) for k in DEPTHS]
            ranks = [_rank(ranking.mean_rank), _rank(ranking.median_rank)]
            cells = (*recalls, _percent(ranking.mean_average_precision), *ranks)
            lines.append(Line(Kind.OURS, name, cells))
    return Sheet(
        "Tables 1, 5 and 6 in every reading of the pool and of what is right",
        "The bundle only.",
        (*(f"R@{k} %" for k in DEPTHS), "mAP %", "Mean rank", "Median rank"),
        tuple(lines),
        main=False,
        key="pools",
    )


_POSITIVES = {
    Positives.OWN: "own caption only",
    Positives.SHARED: "every identical caption",
    Positives.DISTINCT: "each distinct caption once",
}


def _probes(evaluation: Evaluation) -> Sheet:
    lines = []
    for figures in evaluation.encoders:
        lines.append(Line(Kind.HEADING, figures.name))
        for probe in figures.probes:
            estimates = (probe.area_under_roc, probe.average_precision, probe.f1)
            sizes = (f"{probe.fitted_on}", f"{probe.fractured} of {probe.queries}")
            cells = (*sizes, f"{probe.strength:g}", *map(_share, estimates))
            lines.append(Line(_kind(evaluation, figures), probe.name.replace("_", " "), cells))
    return Sheet(
        "Linear probing of every vector",
        "A bone's vector tells a fracture of that bone.",
        ("fitted on", "fractured", "C", "AUROC", "AUPRC", "F1"),
        tuple(lines),
        main=False,
        key="probes",
    )


def _stages(evaluation: Evaluation) -> Sheet:
    """Return Table 2."""
    matching = evaluation.encoders[0].matching[0]
    shown = (Way.GLOBAL_ONLY, Way.TWO_STAGE)
    lines: list[Line] = []
    for measure in _MAIN:
        if measure is Measure.DIAGNOSIS_F1:
            lines.append(Line(Kind.HEADING, "Radiologist assessment"))
            lines += _ways_of(paper.RADIOLOGIST)
            lines.append(Line(Kind.OURS, "needs a radiologist: not measured", ("–", "–", "–")))
        lines.append(Line(Kind.HEADING, _MEASURES[measure]))
        lines += _ways_of({w: _PUBLISHED[measure][w] for w in shown})
        lines += [_way_line(matching, measure, way) for way in shown]
        for figures in evaluation.encoders[1:]:
            lines.append(_baseline_line(figures, measure, 0))
    return Sheet(
        "Table 2. Single- and two-stage retrieval",
        f"{_asked(matching)} Matching: share of the ten nearest like the query, over queries "
        "fractured in the bone; why this reading, and the others: at the end.",
        _BONES,
        tuple(lines),
        key="table-2",
    )


def _baseline_line(figures: EncoderFigures, measure: Measure, number: int) -> Line:
    two = figures.matching[number].figures[measure][Way.TWO_STAGE]
    cells = tuple(_share(two[region]) for region in Region)
    return Line(Kind.BASELINE, f"{figures.name}, two-stage", cells)


def _other_measures(evaluation: Evaluation) -> Sheet:
    matching = evaluation.encoders[0].matching[0]
    lines: list[Line] = []
    for measure in Measure:
        if measure in _MAIN:
            continue
        lines.append(Line(Kind.HEADING, _MEASURES[measure]))
        lines += [_way_line(matching, measure, way) for way in _measured(matching)]
        lines += [_baseline_line(figures, measure, 0) for figures in evaluation.encoders[1:]]
    return Sheet(
        "Tables 2 and 7 in the other readings",
        "All eighteen matching cells of the paper's Tables 2 and 7 are multiples of 1/500, as "
        "fifty queries of ten matches give, and its styloid cells lie near the share of styloid "
        "fractures: hence the share of the ten over fractured queries above. " + _asked(matching),
        _BONES,
        tuple(lines),
        main=False,
        key="measures",
    )


def _appendix_f(matching: Matching) -> Sheet:
    """Return Table 7 without its times."""
    lines: list[Line] = []
    for measure in _MAIN:
        lines.append(Line(Kind.HEADING, _MEASURES[measure]))
        published = _PUBLISHED[measure]
        lines += _ways_of(
            {w: published[w] for w in (Way.REGION_ONLY, Way.TWO_STAGE) if w in published}
        )
        ways = [way for way in _measured(matching) if way is not Way.GLOBAL_ONLY]
        lines += [_way_line(matching, measure, way) for way in ways]
    return Sheet(
        "Table 7. Region-based, two-stage and fused retrieval",
        _asked(matching) + " The diagnosis rows are not in the paper's Table 7.",
        _BONES,
        tuple(lines),
        key="table-7",
    )


def _differences(matching: Matching, measures: Sequence[Measure], *, main: bool) -> Sheet:
    lines: list[Line] = []
    for measure in measures:
        lines.append(Line(Kind.HEADING, _MEASURES[measure]))
        for pair in COMPARED:
            cells = matching.differences[measure].get(" - ".join(pair))
            if cells is None:
                continue
            estimates = [cells[region] for region in Region]
            name = f"{_SHORT[pair[0]]} less {_SHORT[pair[1]]}"
            strong = frozenset(n for n, e in enumerate(estimates) if e.certain)
            lines.append(Line(Kind.OURS, name, tuple(map(_signed, estimates)), strong))
    return Sheet(
        "Cell by cell: paired differences between the ways"
        + ("" if main else f", {_where(matching)}"),
        "Of the same queries in the same resamples of patients; bold where the 95 % interval "
        f"leaves out zero. {_asked(matching)}",
        _BONES,
        tuple(lines),
        main=main,
        key=f"differences-{matching.stored_split}-{'side' if matching.same_side else 'any'}",
    )


_SHORT = {
    Way.GLOBAL_ONLY: "global only",
    Way.REGION_ONLY: "region-only",
    Way.TWO_STAGE: "two-stage",
    Way.FUSED: "fused",
}


def _other_stored(matching: Matching, evaluation: Evaluation) -> Sheet:
    number = evaluation.encoders[0].matching.index(matching)
    lines: list[Line] = []
    for measure in _MAIN:
        lines.append(Line(Kind.HEADING, _MEASURES[measure]))
        lines += [_way_line(matching, measure, way) for way in _measured(matching)]
        lines += [_baseline_line(figures, measure, number) for figures in evaluation.encoders[1:]]
    return Sheet(
        f"Tables 2 and 7, {_where(matching)}",
        _asked(matching),
        _BONES,
        tuple(lines),
        main=False,
        key=f"stored-{number}",
    )


def _seconds(latency: Latency) -> Sheet:
    """Return the last part of Table 7."""
    cached = tuple(f"{latency.cached[size]:.4f}" for size in POOL_SIZES)
    lines = [
        Line(Kind.HEADING, "Without stored vectors, seconds"),
        Line(Kind.PAPER, "paper: two-stage", paper.SECONDS),
    ]
    if latency.exam is not None:
        reckoned = tuple(f"{latency.uncached[size]:.2f}" for size in POOL_SIZES)
        lines.append(Line(Kind.OURS, "two-stage, reckoned", reckoned))
    lines.append(Line(Kind.HEADING, "From stored vectors, seconds"))
    lines.append(Line(Kind.OURS, "two-stage, measured", cached))
    exam = "" if latency.exam is None else f" One exam takes {1000 * latency.exam:.0f} ms."
    return Sheet(
        "Table 7, retrieval time by pool size",
        f"Mean of {latency.queries} answers for one bone by the embedded engine over "
        f"{latency.stored} exams, on the processor of this run. Without stored vectors every "
        "candidate is located, cut and encoded first: reckoned from the mean time of one exam, "
        f"not waited for.{exam} A pool larger than what is stored holds all of it.",
        tuple(f"k = {size}" for size in POOL_SIZES),
        tuple(lines),
        key="seconds",
    )


def box_sheet(detection: Detection) -> Sheet:
    """Return Table 8."""
    lines = [
        Line(Kind.PAPER, f"paper: {name.replace('_', ' ')}", (*cells, "", ""))
        for name, cells in paper.BOXES.items()
    ]
    for name, row in detection.rows.items():
        shares = (row.precision, row.recall, row.f1, row.average_precision, row.mean_overlap)
        cells = (*map(_share, shares), str(row.drawn))
        lines.append(Line(Kind.OURS, name.replace("_", " "), cells))
    return Sheet(
        "Table 8. Bone detector",
        f"{detection.pictures} test pictures whose true boxes are known (exact in phantoms, drawn "
        "by hand in GRAZPEDWRI-DX). A box hits at an intersection over union of 0.5; precision, "
        "recall and F1 of the boxes as served, where a missed wrist is a miss of its bones. "
        "A perfect mAP@50 is 1.000 here and 0.995 in ultralytics, whose 0.995 the paper reports. "
        "Overall is the mean over the bones.",
        ("Precision", "Recall", "F1", "mAP@50", "Mean IoU", "Boxes"),
        tuple(lines),
        key="table-8",
    )


def _consistency(found: Consistency, others: Sequence[EncoderFigures]) -> Sheet:
    ways = [way for way in Way if way in found.figures[Likeness.AGE]]
    chance = [_share(found.figures[likeness][ANY_EXAM]) for likeness in Likeness]
    lines = [Line(Kind.BASELINE, "chance (any exam)", tuple(chance))]
    for way in ways:
        estimates = [found.figures[likeness][way] for likeness in Likeness]
        better = frozenset(
            n
            for n, likeness in enumerate(Likeness)
            if _better(likeness, found.differences[likeness][f"{way} - {ANY_EXAM}"])
        )
        lines.append(Line(Kind.OURS, _WAYS[way], tuple(map(_share, estimates)), better))
    for figures in others:
        table = figures.consistency.figures
        two = [_share(table[likeness][Way.TWO_STAGE]) for likeness in Likeness]
        lines.append(Line(Kind.BASELINE, f"{figures.name}, two-stage", tuple(two)))
    lines.append(Line(Kind.HEADING, "Paired differences"))
    for pair in (pair for pair in COMPARED if set(pair) <= set(ways)):
        cells = [found.differences[likeness][" - ".join(pair)] for likeness in Likeness]
        certain = frozenset(n for n, cell in enumerate(cells) if cell.certain)
        name = f"{_SHORT[pair[0]]} less {_SHORT[pair[1]]}"
        lines.append(Line(Kind.OURS, name, tuple(map(_signed, cells)), certain))
    known = found.known
    return Sheet(
        "Are the ten nearest wrists like the query's? (Appendix F)",
        f"{found.queries} test exams ask, {found.stored} exams of the split "
        f"{found.stored_split!r} answer, with or without findings; mean over the bones asked "
        "about. Age: mean absolute difference in years, smaller is better. Cast and metal: share "
        f"of the ten that have it, over the {known[Likeness.CAST]} and {known[Likeness.METAL]} "
        "queries that have it. Bold: better than chance, and differences whose paired 95 % "
        "interval leaves out zero. The paper claims this use of the global stage and does not "
        "measure it. Needs no finding, so overlays and painted-over fractures spoil none of it.",
        ("Age, years", "Same side", "Cast", "Metal"),
        tuple(lines),
        key="consistency",
    )


def _better(likeness: Likeness, less_chance: Estimate) -> bool:
    gain = less_chance.value or 0.0
    return less_chance.certain and (gain < 0 if likeness is Likeness.AGE else gain > 0)


def _measured(matching: Matching) -> list[Way]:
    return [way for way in Way if way in matching.figures[Measure.DIAGNOSIS_F1]]


def _way_line(matching: Matching, measure: Measure, way: Way) -> Line:
    cells = matching.figures[measure][way]
    return Line(Kind.OURS, _WAYS[way], tuple(_share(cells[region]) for region in Region))


def _ways_of(published: Mapping[str, tuple[str, ...]]) -> list[Line]:
    return [
        Line(Kind.PAPER, f"paper: {_WAYS[Way(way)]}", cells) for way, cells in published.items()
    ]


def _published(rows: Mapping[str, tuple[str, ...]]) -> Iterator[Line]:
    for name, cells in rows.items():
        yield Line(Kind.PAPER, f"paper: {name}", cells)


def _where(matching: Matching) -> str:
    side = " of the query's side" if matching.same_side else ""
    if matching.stored_split == Split.TEST:
        return f"the other test exams{side} answer"
    return f"{_SPLITS.get(matching.stored_split, matching.stored_split)} exams{side} answer"


_SPLITS = {Split.TRAIN.value: "training", Split.VALIDATION.value: "validation"}


def _asked(matching: Matching) -> str:
    broken = ", ".join(
        f"{matching.fractured[region]} fractured in the {region.words}" for region in Region
    )
    return (
        f"{matching.queries} test exams with findings ask ({broken}); {_where(matching)} "
        f"({matching.stored}), never the query's own patient's."
    )


def _kind(evaluation: Evaluation, figures: EncoderFigures) -> Kind:
    return Kind.OURS if figures is evaluation.encoders[0] else Kind.BASELINE


def _ranking(figures: EncoderFigures, pool: str, positives: Positives) -> CaptionRanking | None:
    found = (r for r in figures.captions if (r.pool, r.positives) == (pool, positives))
    return next(found, None)


def _probe(figures: EncoderFigures, name: str) -> LinearProbe | None:
    return next((probe for probe in figures.probes if probe.name == name), None)


def _written(estimate: Estimate, form: Callable[[float], str]) -> str:
    if estimate.value is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return form(estimate.value)
    return f"{form(estimate.value)} [{form(estimate.low)}, {form(estimate.high)}]"


def _share(estimate: Estimate) -> str:
    return _written(estimate, lambda value: f"{value:.3f}")


def _percent(estimate: Estimate) -> str:
    return _written(estimate, lambda value: f"{100 * value:.2f}")


def _rank(estimate: Estimate) -> str:
    return _written(estimate, lambda value: f"{value:.1f}".removesuffix(".0"))


def _signed(estimate: Estimate) -> str:
    return _written(estimate, lambda value: f"{value:+.3f}".replace("-", "−"))
