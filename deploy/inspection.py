"""What the pipeline sees in a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from pipeline.bundle import Bundle
from pipeline.decoder import Decoder
from pipeline.errors import PipelineError
from pipeline.examination import Examination, Examiner

__all__ = ["Inspection", "inspect_files"]


@dataclass(frozen=True, eq=False)
class Inspection:
    """One file and what was seen in it; ``examination`` is None where it could not be read."""

    file: Path
    examination: Examination | None
    reason: str

    @property
    def failed(self) -> bool:
        """True where the file could not be read at all."""
        return self.examination is None

    def as_json(self) -> dict[str, Any]:
        """Return the inspection in the form that the README gives."""
        seen = self.examination
        if seen is None:
            return {"file": str(self.file), "accepted": False, "reason": self.reason}
        rows, columns = seen.radiograph.pixels.shape
        boxes = [] if seen.anatomy.wrist is None else [seen.anatomy.wrist]
        return {
            "file": str(self.file),
            "rows": rows,
            "columns": columns,
            "view": {
                "name": seen.view.view.value,
                "score": round(seen.view.score, 4),
                "evidence": seen.view.evidence,
            },
            "laterality": seen.laterality.value,
            "boxes": [
                {
                    "name": box.name,
                    "box": [round(float(corner), 1) for corner in box.corners],
                    "score": round(box.score, 4),
                }
                for box in (*boxes, *seen.anatomy.bones.values())
            ],
            "accepted": seen.accepted,
            "reason": self.reason,
        }

    def as_table(self) -> Table:
        """Return the inspection for people."""
        row = self.as_json()
        table = Table(title=self.file.name, show_header=False, title_justify="left")
        table.add_row("accepted", "[green]yes[/]" if row["accepted"] else "[red]no[/]")
        if row["reason"]:
            table.add_row("reason", row["reason"])
        seen = self.examination
        if seen is not None:
            view = row["view"]
            table.add_row("size", f"{row['rows']} rows × {row['columns']} columns")
            table.add_row("view", f"{view['name']} ({view['score']:.2f}, by {view['evidence']})")
            table.add_row("side", f"{row['laterality']}{' (by the bones)' * seen.side_from_image}")
            for box in row["boxes"]:
                corners = ", ".join(f"{corner:.0f}" for corner in box["box"])
                table.add_row(box["name"], f"{corners} (score {box['score']:.2f})")
        return table


def inspect_files(files: Sequence[Path], bundle: Path) -> Iterator[Inspection]:
    """Look at DICOM, PNG and JPEG files one by one; a broken file does not stop the rest."""
    models = Bundle.load(bundle)
    with Decoder() as decoder:
        examiner = Examiner(models, decoder)
        for file in files:
            if not file.is_file():
                yield Inspection(file, None, "no such file")
                continue
            try:
                seen = examiner.examine(file)
            except PipelineError as error:
                yield Inspection(file, None, str(error))
            else:
                yield Inspection(file, seen, "" if seen.accepted else seen.reason)
