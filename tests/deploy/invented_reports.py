"""Invented reports as files, and miners that tests can watch."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.findings import WristReport
from pipeline.mining import RulesMiner

TUNING = Path(__file__).parents[1] / "data" / "gold" / "tuning.jsonl"

BUCKLE = (
    "INDICATION: Fall, pain in the left wrist.\n"
    "FINDINGS: There is a buckle fracture of the distal radius. The ulna is intact.\n"
    "IMPRESSION: Buckle fracture of the left distal radius."
)
BOTH_WRISTS = (
    "LEFT WRIST: Transverse fracture of the distal radius with 12 degrees of dorsal angulation.\n"
    "RIGHT WRIST: No fracture. There is soft tissue swelling."
)
DISPUTED = (
    "XR RIGHT WRIST\nFINDINGS: No fracture of the distal radius.\n"
    "IMPRESSION: Buckle fracture of the distal radius. Follow-up in a cast."
)


def tuning_texts(count: int) -> tuple[str, ...]:
    """Return so many texts of the gold reports that the rules were tuned on."""
    with TUNING.open(encoding="utf-8") as lines:
        return tuple(json.loads(line)["text"] for line, _ in zip(lines, range(count), strict=False))


def write_reports(folder: Path, count: int) -> tuple[Path, ...]:
    """Write so many text files, each of its own content."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = tuning_texts(176)
    files = tuple(folder / f"report-{number:05d}.txt" for number in range(count))
    for number, file in enumerate(files):
        file.write_text(f"{texts[number % len(texts)]}\nReport number {number}.", encoding="utf-8")
    return files


@dataclass
class WatchedMiner:
    """The rules, counting what they are given; `before` is called with each text first."""

    before: Callable[[str], None] = lambda _: None
    name: str = "watched"
    version: str = "1"
    ready: bool = True
    texts: Counter[str] = field(default_factory=Counter)
    most_at_once: int = 0
    _at_once: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def probe(self) -> None:
        if not self.ready:
            raise PipelineError

    def mine(self, text: str, age_years: float | None = None) -> WristReport:
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            self.before(text)
            report = RulesMiner().mine(text, age_years)
        finally:
            with self._lock:
                self._at_once -= 1
        with self._lock:
            self.texts[text] += 1
        return report
