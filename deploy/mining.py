"""What the miner reads in a report file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from pipeline.decoder import Decoder
from pipeline.errors import PipelineError
from pipeline.mining import RulesMiner, mine_json
from pipeline.report import report_text

__all__ = ["Mined", "mine_files"]

_MAX_TEXT_BYTES = 1 << 20


@dataclass(frozen=True)
class Mined:
    """One report file and what was read in it."""

    file: Path
    row: dict[str, Any]

    @property
    def failed(self) -> bool:
        """True where the file could not be read."""
        return "reason" in self.row

    def as_json(self) -> dict[str, Any]:
        """Return the findings with their evidence as one JSON object."""
        return self.row

    def as_table(self) -> Table:
        """Return the findings for people."""
        table = Table(title=self.file.name, title_justify="left")
        if self.failed:
            table.add_column("not read")
            table.add_row(self.row["reason"])
            return table
        for heading in ("bone", "fracture", "type", "healing", "displacement", "evidence"):
            table.add_column(heading, overflow="fold")
        for region, found in self.row["regions"].items():
            words = [
                str(found[key] or "–").replace("_", " ")
                for key in ("fracture", "type", "healing", "displacement")
            ]
            evidence = found["evidence"] or "–"
            said = "; ".join(evidence) if isinstance(evidence, list) else str(evidence)
            table.add_row(region.replace("_", " "), *words, said)
        return table


def mine_files(files: Sequence[Path]) -> Iterator[Mined]:
    """Mine text files and DICOM structured reports one by one; a broken one stops nothing."""
    miner = RulesMiner()
    with Decoder() as decoder:
        for file in files:
            try:
                text = _text(file, decoder)
            except PipelineError as error:
                yield Mined(file, {"file": str(file), "reason": str(error)})
            except OSError as error:
                yield Mined(file, {"file": str(file), "reason": error.strerror or "not readable"})
            else:
                yield Mined(file, mine_json(str(file), miner.mine(text)))


def _text(file: Path, decoder: Decoder) -> str:
    with file.open("rb") as stream:
        start = stream.read(_MAX_TEXT_BYTES)
    if start[128:132] == b"DICM":
        return report_text(decoder.header(file)).text
    return start.decode("utf-8", errors="replace")
