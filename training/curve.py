"""The curves of an evaluation, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.region import GLOBAL, Region
from training.evaluation_record import EncoderFigures
from training.matching import COMPARED, Matching, Measure
from training.probing import LinearProbe
from training.ranking import Positives

__all__ = ["differences_svg", "probe_svg", "recall_svg"]

_COLOURS = ("#0b5c8a", "#c4602a", "#5b8c3a", "#8a4f9e", "#9a9a9a", "#c9c9c9")
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "evaluation",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#777777",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
}


def recall_svg(encoders: Sequence[EncoderFigures]) -> str:
    """Draw Recall@k over k for every encoder, in the paper's most probable reading and another."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8.4, 3.1), layout="constrained")
        readings = (("pairs", Positives.OWN), ("whole wrists", Positives.SHARED))
        for axes, (pool, positives) in zip(figure.subplots(1, 2), readings, strict=True):
            for encoder, colour in zip(encoders, _colours(encoders), strict=True):
                for ranking in encoder.captions:
                    if (ranking.pool, ranking.positives) == (pool, positives):
                        depths, recalls = zip(*ranking.curve, strict=True)
                        axes.plot(depths, recalls, color=colour, label=encoder.name, lw=1.6)
            right = {"own": "own caption", "shared": "any identical caption"}[positives]
            axes.set(xscale="log", ylim=(0, 1), xlabel="k", ylabel="Recall@k")
            axes.set_title(f"Pool: {pool}; right: {right}")
            axes.grid(color="#eeeeee")
        figure.axes[0].legend(loc="upper left")
        return _svg(figure)


def probe_svg(encoders: Sequence[EncoderFigures]) -> str:
    """Draw ROC and precision over recall of the linear probes of the whole wrist."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8.4, 3.1), layout="constrained")
        left, right = figure.subplots(1, 2)
        for encoder, colour in zip(encoders, _colours(encoders), strict=True):
            for probe in encoder.probes:
                if probe.name == GLOBAL:
                    false, true, precision = _operating_points(probe)
                    left.plot(false, true, color=colour, lw=1.6, label=encoder.name)
                    right.plot(true[1:], precision[1:], color=colour, lw=1.6)
        left.plot([0, 1], [0, 1], color="#bbbbbb", lw=0.8, ls=":")
        left.set(xlabel="1 − specificity", ylabel="sensitivity", title="ROC, any fracture")
        right.set(xlabel="recall", ylabel="precision", ylim=(0, 1.02), title="Precision and recall")
        left.legend(loc="lower right")
        for axes in (left, right):
            axes.grid(color="#eeeeee")
        return _svg(figure)


def differences_svg(matching: Matching) -> str:
    """Draw the paired differences of Tables 2 and 7 with their intervals."""
    measures = {
        Measure.BINARY_OF_FRACTURED: "Binary matching",
        Measure.CLASS_OF_FRACTURED: "Class matching",
        Measure.DIAGNOSIS_F1: "Diagnosis, F1",
    }
    pairs = [
        pair for pair in COMPARED if " - ".join(pair) in next(iter(matching.differences.values()))
    ]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8.4, 0.62 * len(pairs) + 1.2), layout="constrained")
        row = figure.subplots(1, len(measures), sharey=True)
        for axes, (measure, title) in zip(row, measures.items(), strict=True):
            for place, pair in enumerate(pairs):
                cells = matching.differences[measure][" - ".join(pair)]
                for shift, (region, colour) in enumerate(zip(Region, _COLOURS[:3], strict=True)):
                    cell, y = cells[region.value], place + 0.22 * (shift - 1)
                    if cell.value is None or cell.low is None or cell.high is None:
                        continue
                    label = region.words if not place else None
                    axes.plot([cell.low, cell.high], [y, y], color=colour, lw=1.4)
                    axes.plot(cell.value, y, "o", color=colour, ms=4, label=label)
            axes.axvline(0, color="#999999", lw=0.8)
            axes.set_title(title)
            names = [" − ".join(part.replace("_", " ") for part in pair) for pair in pairs]
            axes.set_yticks(range(len(pairs)), names)
        row[0].invert_yaxis()
        figure.legend(*row[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        return _svg(figure)


def _operating_points(
    probe: LinearProbe,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return share of false alarms, recall and precision as the threshold falls."""
    order = np.argsort(-np.array(probe.scores), kind="stable")
    truth = np.array(probe.truth)[order]
    true, false = np.cumsum(truth), np.cumsum(~truth)
    precision = true / (true + false)
    return (
        np.concatenate([[0.0], false / max(1, false[-1])]),
        np.concatenate([[0.0], true / max(1, true[-1])]),
        np.concatenate([[1.0], precision]),
    )


def _colours(encoders: Sequence[EncoderFigures]) -> list[str]:
    """Return strong colours for what was trained, greys for untrained and chance at the end."""
    trained = max(0, len(encoders) - 2)
    return [*_COLOURS[:trained], *_COLOURS[-2:]][: len(encoders)]


def _svg(figure: Any) -> str:
    stream = StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]
