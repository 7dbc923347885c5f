"""An evaluation as one HTML page that needs nothing else, and its tables for the terminal."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from pipeline.region import Region
from training.attention import Attention, AttentionMap
from training.curve import differences_svg, probe_svg, recall_svg
from training.evaluation_record import Evaluation
from training.match_sheet import MatchSheet, Print
from training.matching import Matching
from training.nearest import Way
from training.paper_tables import Kind, Line, Sheet, sheets

__all__ = ["Exhibits", "evaluation_page", "terminal_table"]


@dataclass(frozen=True, eq=False)
class Exhibits:
    """What is looked at rather than counted."""

    sheets: tuple[MatchSheet, ...]
    maps: tuple[AttentionMap, ...]


def evaluation_page(evaluation: Evaluation, exhibits: Exhibits) -> str:
    """Return the page.

    It holds crops of radiographs, so it stays where the exam table may be.
    """
    found = sheets(evaluation)
    prints = "".join(map(_match_sheet, exhibits.sheets))
    maps = "".join(map(_map, exhibits.maps))
    sections = {
        "Tables": "".join(_table(sheet) for sheet in found if sheet.main),
        "Curves": _curves(evaluation),
        "Matches": _LEGEND + prints if prints else "",
        "Attention": f'{_ATTENTION}<div class="maps">{maps}</div>' if maps else "",
        "Other readings": "".join(_folded(sheet) for sheet in found if not sheet.main),
    }
    filled = {title: body for title, body in sections.items() if body}
    body = "".join(_section(title, body) for title, body in filled.items())
    head = _head(evaluation, list(filled))
    return f"<!doctype html>\n{head}{body}</main></body></html>\n"


def terminal_table(sheet: Sheet, width: int) -> Table:
    """Return a table for the terminal; the paper's rows are dim.

    Intervals are left out where ``width`` characters do not hold them.
    """
    whole = 34 + 25 * len(sheet.columns) <= width
    table = Table(title=sheet.title, title_justify="left", caption=sheet.note)
    table.caption_justify = "left"
    table.add_column("", min_width=14)
    for column in sheet.columns:
        table.add_column(column, justify="right")
    for line in sheet.lines:
        if line.kind is Kind.HEADING:
            table.add_section()
        style = {Kind.PAPER: "dim", Kind.HEADING: "bold", Kind.OURS: "", Kind.BASELINE: "cyan"}
        shown = [cell if whole else cell.partition(" [")[0] for cell in line.cells]
        cells = [Text(c, "bold" if n in line.strong else "") for n, c in enumerate(shown)]
        table.add_row(line.name, *cells, style=style[line.kind])
    return table


_STYLE = """
:root { --ink: #1d2329; --soft: #5c6670; --line: #d9dee3; --ours: #0b5c8a; --tint: #f1f6fa; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff;
  font: 15px/1.5 "Source Sans 3", "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 28px 80px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 20px; margin: 52px 0 12px; padding-top: 14px; border-top: 3px solid var(--ink); }
h3 { font-size: 15.5px; margin: 30px 0 2px; }
p.note { color: var(--soft); font-size: 13px; margin: 2px 0 8px; max-width: 88ch; }
nav a { color: var(--ours); margin-right: 16px; text-decoration: none; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px;
  font-variant-numeric: tabular-nums; }
th, td { padding: 3px 10px; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; }
thead th { border-bottom: 1.5px solid var(--ink); font-weight: 600; }
tbody tr:last-child td { border-bottom: 1.5px solid var(--ink); }
tr.heading td { font-style: italic; padding-top: 9px; border-top: 1px solid var(--line); }
tr.paper td { color: var(--soft); }
tr.ours td { background: var(--tint); }
tr.ours td:first-child { color: var(--ours); font-weight: 600; }
td small { color: var(--soft); font-size: 11.5px; margin-left: 3px; }
td b { color: var(--ours); }
table.wide td small { display: block; margin: -3px 0 0; }
.scroll { overflow-x: auto; }
.facts { display: flex; flex-wrap: wrap; gap: 6px 34px; margin: 16px 0 6px; padding: 0; }
.facts div { min-width: 90px; } .facts dt { color: var(--soft); font-size: 12px; }
.facts dd { margin: 0; font-size: 19px; font-weight: 600; }
.warn { border-left: 4px solid #c4602a; background: #fdf5ef; padding: 8px 14px; font-size: 13.5px; }
svg { max-width: 100%; height: auto; display: block; margin: 6px 0 18px; }
details { border-bottom: 1px solid var(--line); padding: 6px 0; }
summary { cursor: pointer; font-weight: 600; }
.sheet { display: grid; grid-template-columns: 128px 1fr; gap: 4px 14px; align-items: start;
  border-top: 1px solid var(--line); padding: 12px 0 16px; }
.sheet h3 { grid-column: 1 / -1; margin: 0 0 4px; }
.ways { display: grid; gap: 8px; }
.way { display: grid; grid-template-columns: 84px repeat(6, minmax(0, 1fr)); gap: 12px;
  align-items: start; }
.way > span { font-size: 12px; color: var(--soft); padding-top: 4px; }
figure { margin: 0; } figcaption { font-size: 11px; line-height: 1.25; color: var(--soft);
  margin-top: 2px; overflow-wrap: anywhere; }
figure img { display: block; width: 100%; background: #000; }
figure.same img { outline: 3px solid #3f9a4a; }
figure.other img { outline: 1px solid #d9b9a8; }
.maps { display: grid; grid-template-columns: repeat(2, 1fr); gap: 20px 26px; }
.map { display: grid; grid-template-columns: repeat(3, 1fr); gap: 6px; }
.map p { grid-column: 1 / -1; margin: 0; font-size: 12.5px; }
@media print { main { max-width: none; padding: 0; } h2 { break-after: avoid; } }
"""

_LEGEND = (
    '<p class="note">Queries of the test split, drawn once with a fixed seed and not chosen by '
    "outcome; each print shows the whole wrist above and the bone that was asked about below. A "
    "green frame: the class of the fracture (or none) is the query's; a pale one: it is not.</p>"
)
_ATTENTION = (
    '<p class="note">Occlusion: a square of 40 pixels is blurred away, place after place, and the '
    "colour says by how much the cosine of the crop and its own caption falls (scaled to each "
    "map's own greatest fall, which stands beneath). The map of the same network with shuffled "
    "weights stands beside it: what that one marks too was not learnt. The first test crops of "
    "each kind with a fracture.</p>"
)


def _head(evaluation: Evaluation, titles: Sequence[str]) -> str:
    test, train = evaluation.splits["test"], evaluation.splits["train"]
    facts = {
        "test exams": test.exams,
        "their patients": test.patients,
        "training exams": train.exams,
        "resamples": evaluation.draws,
        "first stage's pool": evaluation.candidates,
    }
    items = "".join(f"<div><dt>{k}</dt><dd>{v:,}</dd></div>" for k, v in facts.items())
    sources = sorted({*test.sources, *train.sources})
    warnings = "".join(f'<p class="warn">{words}</p>' for words in _warnings(evaluation))
    links = "".join(f'<a href="#{_anchor(name)}">{name}</a>' for name in titles)
    return (
        '<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Evaluation of {escape(evaluation.bundle)}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>Evaluation of {escape(evaluation.bundle)}</h1>"
        f'<p class="note">{evaluation.measured_at:%d %B %Y, %H:%M} UTC. Exams: '
        f"{escape(', '.join(sources))}. Grey rows: the paper's own figures, from its own data "
        "(Sonmezer et al., WristMIR, MIDL 2026), which ours share neither exams nor reports with. "
        "Brackets: 95 % intervals, patients resampled. This page holds crops of radiographs: it "
        f'stays where they may be.</p>{warnings}<dl class="facts">{items}</dl><nav>{links}</nav>'
    )


def _warnings(evaluation: Evaluation) -> Iterator[str]:
    test, train = evaluation.splits["test"], evaluation.splits["train"]
    if "phantom" in {*test.sources, *train.sources}:
        yield (
            "Phantoms are among the exams: what is measured on them says nothing about real "
            "fractures."
        )
    stored = evaluation.encoders[0].consistency.stored
    if stored < 3 * evaluation.candidates:
        yield (
            f"The first stage keeps {evaluation.candidates} of {stored} stored exams: two-stage "
            "retrieval can hardly differ from region-only here."
        )


def _section(title: str, body: str) -> str:
    return f'<h2 id="{_anchor(title)}">{escape(title)}</h2>{body}'


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _table(sheet: Sheet) -> str:
    return f'<h3 id="{sheet.key}">{escape(sheet.title)}</h3>{_body(sheet)}'


def _folded(sheet: Sheet) -> str:
    summary = f"<summary>{escape(sheet.title)}</summary>"
    return f'<details id="{sheet.key}">{summary}{_body(sheet)}</details>'


def _body(sheet: Sheet) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in sheet.columns)
    rows = "".join(_line(line, len(sheet.columns)) for line in sheet.lines)
    width = "wide" if len(sheet.columns) > 5 else ""
    return (
        f'<p class="note">{escape(sheet.note)}</p>'
        f'<div class="scroll"><table class="{width}"><thead><tr><th></th>'
        f"{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _line(line: Line, columns: int) -> str:
    if line.kind is Kind.HEADING:
        return f'<tr class="heading"><td colspan="{columns + 1}">{escape(line.name)}</td></tr>'
    cells = "".join(_cell(cell, n in line.strong) for n, cell in enumerate(line.cells))
    if len(line.cells) == 1 < columns:
        cells = f'<td colspan="{columns}" style="text-align:left">{escape(line.cells[0])}</td>'
    return f'<tr class="{line.kind}"><td>{escape(line.name)}</td>{cells}</tr>'


def _cell(text: str, strong: bool) -> str:
    value, _, interval = text.partition(" [")
    shown = f"<b>{escape(value)}</b>" if strong else escape(value)
    return f"<td>{shown}{f'<small>[{escape(interval)}</small>' if interval else ''}</td>"


def _curves(evaluation: Evaluation) -> str:
    parts = []
    if any(encoder.captions for encoder in evaluation.encoders):
        parts += ["<h3>Image to caption</h3>", recall_svg(evaluation.encoders)]
    if any(encoder.probes for encoder in evaluation.encoders):
        parts += ["<h3>Linear probes of the whole wrist</h3>", probe_svg(evaluation.encoders)]
    matching: Sequence[Matching] = evaluation.encoders[0].matching
    if matching:
        parts += ["<h3>Paired differences between the ways</h3>", differences_svg(matching[0])]
    return "".join(parts)


_WAYS = {
    Way.GLOBAL_ONLY: "global only",
    Way.REGION_ONLY: "region-only",
    Way.TWO_STAGE: "two-stage",
    Way.FUSED: "fused",
}


def _match_sheet(sheet: MatchSheet) -> str:
    ways = "".join(
        f'<div class="way"><span>{_WAYS[way]}</span>{"".join(map(_figure, matches))}</div>'
        for way, matches in sheet.matches.items()
    )
    return (
        f'<div class="sheet"><h3>{sheet.region.words.capitalize()}: {escape(sheet.query.words)}'
        f'</h3><div>{_figure(sheet.query, "query")}</div><div class="ways">{ways}</div></div>'
    )


def _figure(shown: Print, words: str = "") -> str:
    size = 112
    bone = np.zeros_like(shown.whole) if shown.bone is None else shown.bone
    image = np.concatenate([_small(shown.whole, size), _small(bone, size)])
    state = {None: "", True: "same", False: "other"}[shown.agrees]
    words = words or shown.words
    return (
        f'<figure class="{state}"><img alt="{escape(words)}" src="{_jpeg(image)}">'
        f"<figcaption>{escape(words)}</figcaption></figure>"
    )


def _map(one: AttentionMap) -> str:
    name = one.name.replace("_", " ") if one.name in set(Region) else "whole wrist"
    looks = {"trained": one.trained, "shuffled weights": one.untrained}
    figures = "".join(
        f'<figure><img alt="{words}" src="{_jpeg(_heated(one.crop, look))}"><figcaption>{words}: '
        f"cosine {look.cosine:.3f}, falls by {look.drop.max():.3f}</figcaption></figure>"
        for words, look in looks.items()
    )
    return (
        f'<div class="map"><p><b>{name}</b>: {escape(one.caption)}</p>'
        f'<figure><img alt="crop" src="{_jpeg(_small(one.crop, 180))}">'
        f"<figcaption>crop</figcaption></figure>{figures}</div>"
    )


def _heated(crop: NDArray[np.uint8], look: Attention) -> NDArray[np.uint8]:
    """Return the crop with the places that matter in warm colours."""
    share = np.clip(look.drop / max(float(look.drop.max()), 1e-6), 0, 1)
    smooth = cv2.GaussianBlur(share.astype(np.float32), (0, 0), 6)
    colour = cv2.applyColorMap((smooth * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    grey = cv2.cvtColor(crop, cv2.COLOR_GRAY2BGR).astype(np.float32)
    weight = (0.65 * smooth)[..., None]
    return _small((grey * (1 - weight) + colour * weight).astype(np.uint8), 180)


def _small(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def _jpeg(image: NDArray[np.uint8]) -> str:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 82])
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode('ascii')}"
