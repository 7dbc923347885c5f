"""DCMTK's command line tools, called as other people's software calls the plugin."""

from __future__ import annotations

import os
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

from peers import peer
from pydicom import dcmread

__all__ = ["PROPOSALS", "call", "shown_words", "storescu"]

PROPOSALS = {
    "1.2.840.10008.1.2": "-xi",
    "1.2.840.10008.1.2.1": "-xe",
    "1.2.840.10008.1.2.4.70": "-xs",
    "1.2.840.10008.1.2.4.80": "-xt",
    "1.2.840.10008.1.2.4.90": "-xv",
    "1.2.840.10008.1.2.5": "-xr",
}
"""By transfer syntax, the option by which storescu proposes it. HTJ2K is newer than this DCMTK."""


def call(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a tool to its end; skip where it is missing, unless it has to be there."""
    return subprocess.run(
        [peer(name), *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=60,
        # without it Debian's DCMTK waits 40 ms for every object
        env={**os.environ, "TCP_NODELAY": "1"},
    )


def storescu(files: Sequence[Path], port: int, *, calling: str, called: str) -> None:
    """Send files in their own transfer syntaxes, one association for each of these."""
    by_option = defaultdict(list)
    for file in files:
        meta = dcmread(file, stop_before_pixels=True).file_meta
        by_option[PROPOSALS[str(meta.TransferSyntaxUID)]].append(str(file))
    for option, names in by_option.items():
        titles = ["-aet", calling, "-aec", called]
        done = call("storescu", "-R", option, *titles, "127.0.0.1", str(port), *names)
        assert done.returncode == 0, done.stderr


def shown_words(page: str) -> str:
    """Return the words that an HTML page shows, a space between any two."""
    parser = _Words()
    parser.feed(page)
    return " ".join(" ".join(parser.words).split())


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)
